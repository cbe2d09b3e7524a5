"""The triggers: what goes on in the triggerer's event loop while a task is deferred."""
