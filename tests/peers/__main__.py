"""The real peers for people: `python -m tests.peers up [--only argocd|flux] [--json]`, until Ctrl-C.

Prints where everything is. `python -m tests.peers.build` has to have built it (`make peers-build`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.peers.cluster import Cluster
from tests.peers.processes import PeerError


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Exit codes: 0 ended by the user, 1 something did not start."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything, and end it at Ctrl-C")
    up.add_argument("--only", choices=["argocd", "flux"], help="one engine instead of both")
    up.add_argument("--json", action="store_true", help="where everything is, as JSON")
    up.add_argument("--folder", type=Path, help="an empty folder, which is kept (default: a temporary one)")
    options = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job is born with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="loopseal-peers-"))
    try:
        with (
            suppress(KeyboardInterrupt),
            Cluster(folder, argocd=options.only != "flux", flux=options.only != "argocd") as cluster,
        ):
            shown = describe(cluster)
            print(json.dumps(shown, indent=1) if options.json else as_text(shown), flush=True)  # noqa: T201 - a program
            threading.Event().wait()
    except PeerError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a program
        return 1
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def describe(cluster: Cluster) -> dict[str, Any]:
    """Where everything is, and what it costs. Holds tokens: it is for whoever started it."""
    about: dict[str, Any] = {
        "kubeconfig": str(cluster.kubeconfig),
        "kubernetes": cluster.kube.url,
        "git": {"url": cluster.git.server, "folder": str(cluster.git.root)},
        "logs": str(cluster.folder / "logs"),
        "audit_log": str(cluster.audit_log),
        "seconds": {**cluster.processes.ready_seconds, "all": cluster.seconds},
        "MiB": cluster.processes.memory(),
    }
    if cluster.has_argocd:
        one = cluster.argocd
        about["argocd"] = {
            "url": one.url,
            "pages": one.has_pages(),
            "user": "admin",
            "password": one.password,
            "tokens": dict(one.accounts),
        }
    if cluster.has_flux:
        about["flux"] = {"namespace": cluster.flux.namespace}
    return about


def as_text(about: dict[str, Any]) -> str:
    """The same for people, with the line for their shell first."""
    lines = [f"export KUBECONFIG={about['kubeconfig']}", f"Kubernetes  {about['kubernetes']}"]
    if argocd := about.get("argocd"):
        lines.append(f"Argo CD     {argocd['url']}  (user admin, password {argocd['password']})")
        lines += (
            []
            if argocd["pages"]
            else [
                "            its API and /swagger-ui; `python -m tests.peers.pages` makes a program that has its pages too"
            ]
        )
    if flux := about.get("flux"):
        lines.append(f"Flux        its objects in namespace {flux['namespace']}")
    lines += [
        f"Git         {about['git']['url']}/NAME.git  (bare repositories in {about['git']['folder']})",
        f"logs        {about['logs']}",
        f"ready in {about['seconds']['all']} s, {sum(about['MiB'].values()) / 1024:.1f} GiB of memory; end with Ctrl-C",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
