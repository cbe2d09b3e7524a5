"""Claim: right after the push our wait says healthy as soon as it is true, and never before. How long from push to
"healthy", how often each way is wrong, and how many calls it makes: ours beside what people use, on the real peers.

    python -m benchmarks.loop [--engine argocd|flux] [--runs 30] [--json] [--markdown] [--rehearse]

Every way plays the same random runs on applications of its own: our commit is a good, slow, broken or empty one, others
commit just before and after it. Wrong is judged by the truth at that moment: the live Deployment's image and whether it
is available, as the API server shows it. `--rehearse` takes the simulators instead of the real peers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.loop.contest import contest
from benchmarks.loop.page import RESYNC, page, table
from benchmarks.loop.ways import CONTESTANTS
from tests.peers.processes import PeerError


def peers(*, rehearse: bool) -> str:
    """What was measured."""
    if rehearse:
        return "the simulators (a rehearsal)"
    from tests.peers import pins

    chosen = {"Argo CD": "argocd", "Flux": "kustomize-controller", "Kubernetes": "kube-apiserver", "kwok": "kwok"}
    return ", ".join(f"{name} {pins.program(program).version}" for name, program in chosen.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=CONTESTANTS, action="append")
    parser.add_argument("--runs", type=int, default=30, help="of every way")
    parser.add_argument("--rehearse", action="store_true", help="on the simulators")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="the page of the documentation")
    options = parser.parse_args()
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    found: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "peers": peers(rehearse=options.rehearse)}
    found["machine"] = "2 cores, everything on it"
    for engine in options.engine or CONTESTANTS:
        with tempfile.TemporaryDirectory(prefix="loop-") as folder, ExitStack() as stack:
            try:
                cluster = stack.enter_context(_cluster(Path(folder) / "cluster", engine, rehearse=options.rehearse))
            except PeerError as error:
                print(error, file=sys.stderr)
                return 1
            tell(f"{engine}: the cluster is up")
            found[engine] = asyncio.run(contest(cluster, Path(folder), engine, options.runs, tell))
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print(page(found) if options.markdown else "\n".join(table(found[one]) for one in CONTESTANTS if one in found))
    return 0


def _cluster(folder: Path, engine: str, *, rehearse: bool) -> Any:
    if rehearse:
        from tests.peers.rehearsal import Rehearsal

        return Rehearsal(folder, resync=RESYNC)
    from tests.peers.cluster import Cluster

    return Cluster(folder, argocd=engine == "argocd", flux=engine == "flux", resync=RESYNC)


if __name__ == "__main__":
    raise SystemExit(main())
