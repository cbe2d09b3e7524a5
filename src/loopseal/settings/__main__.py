"""`python -m loopseal.settings schema|docs`: print the JSON Schema of the settings file, or its reference page."""

from __future__ import annotations

import json
import sys

from loopseal.settings import reference

PRINTED = {
    "schema": lambda: json.dumps(reference.schema(), indent=2, ensure_ascii=False) + "\n",
    "docs": reference.page,
}


def main(arguments: list[str]) -> int:
    """Print what is asked for; 2 when it is neither."""
    if len(arguments) != 1 or arguments[0] not in PRINTED:
        sys.stderr.write("usage: python -m loopseal.settings schema|docs\n")
        return 2
    sys.stdout.write(PRINTED[arguments[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
