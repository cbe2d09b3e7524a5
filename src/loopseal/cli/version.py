"""`loopseal version`."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with the versions of what it stands on.")
def command(*, as_json: bool) -> int:
    """Show the version."""
    import json
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from loopseal import __version__

    if not as_json:
        click.echo(f"loopseal {__version__}")
        return 0
    found: dict[str, str] = {}
    for name in ("apache-airflow", "cryptography", "httpx2", "lightkube", "pysequoia", "tree-sitter-yaml"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    click.echo(json.dumps({"loopseal": __version__, "python": platform.python_version(), "packages": found}, indent=2))
    return 0
