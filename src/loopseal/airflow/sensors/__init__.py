"""The sensors: they look and never write."""
