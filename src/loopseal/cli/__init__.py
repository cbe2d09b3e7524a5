"""The command line: one file per command; parse, call one verb, render.

May live here: arguments, tables, progress, exit codes. May not: decisions, I/O of its own beside the terminal.
A file `cli/<name>.py` with a click command called `command` is the command `<name>`, imported when it is asked for.
"""

from loopseal.cli.app import main

__all__ = ["main"]
