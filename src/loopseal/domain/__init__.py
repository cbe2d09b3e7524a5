"""The nouns of the loop and the decisions over them.

May live here: frozen dataclasses, enums, pure functions over them. Standard library only.
May not: I/O, clocks, randomness, asyncio, anything that can fail for a reason outside its arguments.
"""
