"""`loopseal installation`: what a GitOps engine makes of manifests, before it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from loopseal.cli import render
from loopseal.cli.exits import Exit
from loopseal.cli.session import json_option
from loopseal.installation.manifests import Key, Manifest
from loopseal.installation.reading import read
from loopseal.installation.simulate import Kustomization, Options, Outcome, State, World, reconcile, sync

_ENDS: Final = {
    State.SUCCEEDED: "the sync ends",
    State.FAILED: "the sync fails",
    State.RUNNING: "the sync never ends",
}


@click.group()
def command() -> None:
    """An Airflow on Kubernetes that Argo CD or Flux installs."""


class _Named(click.ParamType[Key]):
    """`Kind/name`."""

    name = "KIND/NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Key:
        if isinstance(value, Key):
            return value
        kind, slash, name = str(value).partition("/")
        if not (kind and slash and name):
            self.fail(f"{value!r} is not of the form KIND/NAME, such as Secret/airflow-metadata", param, ctx)
        return Key(kind, name)


@command.command("simulate")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--engine", type=click.Choice(["argocd", "flux"]), default="argocd", show_default=True)
@click.option("--given", multiple=True, type=_Named(), help="What is there before, such as Secret/airflow-metadata.")
@json_option
def simulate_command(*, paths: tuple[Path, ...], engine: str, given: tuple[Key, ...], as_json: bool) -> int:
    """Say whether rendered manifests ever get healthy, and what stands in the way. Exit 1 when they do not.

    Reads files, asks nobody. Secrets count as there when an ExternalSecret makes them, or when they are given.

    \b
    helm template airflow apache-airflow/airflow -f values.yaml > rendered.yaml
    loopseal installation simulate rendered.yaml --given Secret/airflow-metadata
    """
    files = read(paths)
    world = World(exists=World().exists | frozenset(given))
    if engine == "flux":
        outcome = reconcile(files, world, Kustomization(), frozenset())
    else:
        outcome = sync((Manifest(one) for found in files.values() for one in found), world, Options())
    if as_json:
        render.print_json(_as_data(outcome))
    else:
        _show(outcome)
    return Exit.DONE if outcome.converges else Exit.FAILED


def _show(outcome: Outcome) -> None:
    console = render.out()
    healthy = ", and everything is healthy then" if outcome.converges else ""
    where = f", at {outcome.where}" if outcome.where else ""
    console.print(f"{_ENDS[outcome.state]}{healthy}{where}", markup=False)
    rows = [(str(one.key), "waits for", ", ".join(one.needs) or "becoming healthy") for one in outcome.blocked]
    rows += [(str(one.key), "is refused:", ", ".join(one.needs)) for one in outcome.refused]
    rows += [(str(key), "is degraded", "") for key in outcome.unwell]
    rows += [(str(key), "stays different", "from what Git says") for key in outcome.differing]
    rows += [(str(key), "is never reached", "") for key in outcome.never]
    if rows:
        console.print(render.table(("object", "", ""), rows))


def _as_data(outcome: Outcome) -> dict[str, Any]:
    return {
        "converges": outcome.converges,
        "state": outcome.state.value,
        "where": outcome.where,
        "applied": [[str(key) for key in group] for group in outcome.applied],
        "blocked": [{"object": str(one.key), "needs": list(one.needs)} for one in outcome.blocked],
        "refused": [{"object": str(one.key), "why": list(one.needs)} for one in outcome.refused],
        "unwell": [str(key) for key in outcome.unwell],
        "differing": [str(key) for key in outcome.differing],
        "never": [str(key) for key in outcome.never],
    }
