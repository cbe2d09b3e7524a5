"""The operators. They translate between a task and the verbs; what a change does stands in `loopseal.usecases`."""
