"""What one signature costs: in process, and by the programs that are usually started for it, in the same run.

    python benchmarks/signing.py [--json]

Signs commits of the usual size, each another one. Ways whose program or package is not there are left out. Exits with 1
when a promise is not kept: an Ed25519 signature below 1 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from loopseal.git.signing import Signer, open_signer
from loopseal.ports import Credential, Secret

GOAL_MS = 1.0
RUNS = 30
COMMIT = """\
tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904
parent ce013625030ba8dba906f756967f9e9ca394464a
author loopseal <loopseal@example.com> 1700000000 +0000
committer loopseal <loopseal@example.com> 1700000000 +0000

Set image.tag of apps/payments/values.yaml to 2.0.{n}

Loopseal-Change: mzxw6ytboimzxw6ytboimzxw6y
"""

Sign = Callable[[bytes], object]


class Files:
    """Secrets by the path of their file."""

    async def resolve(self, reference: str) -> Credential:
        return Credential(Secret(await asyncio.to_thread(Path(reference).read_text)))

    def forget(self, reference: str) -> None:
        """Nothing is kept."""


def cost(sign: Sign) -> dict[str, float]:
    taken = []
    for number in range(RUNS):
        data = COMMIT.format(n=number).encode()
        started = time.perf_counter()
        sign(data)
        taken.append((time.perf_counter() - started) * 1000)
    return {"best_ms": min(taken), "median_ms": median(taken)}


def in_process(loop: asyncio.Runner, signer: Signer) -> Sign:
    return lambda data: loop.run(signer.sign(data, at=1_700_000_000))


def program(*command: str, env: dict[str, str] | None = None) -> Sign:
    whole = {**os.environ, **(env or {})}
    return lambda data: subprocess.run(command, input=data, env=whole, check=True, capture_output=True)


def ssh_ways(loop: asyncio.Runner, folder: Path) -> Iterator[tuple[str, Sign]]:
    for kind, bits in (("ed25519", "256"), ("ecdsa", "256"), ("rsa", "4096")):
        key = folder / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", str(key)], check=True)
        name = f"SSH {kind}{'' if kind == 'ed25519' else bits}"
        yield name, in_process(loop, loop.run(open_signer(secrets=Files(), ssh=str(key))))
        yield f"{name}, ssh-keygen -Y sign", program("ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(key))


@contextmanager
def gnupg() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="gnupg-") as home:
        try:
            yield home
        finally:
            subprocess.run(["gpgconf", "--kill", "gpg-agent"], env={**os.environ, "GNUPGHOME": home}, check=True)


def openpgp_ways(loop: asyncio.Runner, folder: Path, home: str) -> Iterator[tuple[str, Sign]]:
    env = {"GNUPGHOME": home}
    for kind in ("ed25519", "rsa4096"):
        user = f"{kind}@example.com"
        batch = ("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
        program(*batch, "--quick-gen-key", user, kind, "sign", "never", env=env)(b"")
        key = folder / f"{kind}.asc"
        program(*batch, "--armor", "--output", str(key), "--export-secret-keys", user, env=env)(b"")
        yield f"OpenPGP {kind}", in_process(loop, loop.run(open_signer(secrets=Files(), openpgp=str(key))))
        yield f"OpenPGP {kind}, gpg --detach-sign", program(*batch, "-u", user, "--armor", "--detach-sign", env=env)


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(prefix="signing-") as folder, asyncio.Runner() as loop:
        if shutil.which("ssh-keygen"):
            results |= {name: cost(sign) for name, sign in ssh_ways(loop, Path(folder))}
        if shutil.which("gpg"):
            with gnupg() as home:
                results |= {name: cost(sign) for name, sign in openpgp_ways(loop, Path(folder), home)}
    if options.json:
        print(json.dumps({"runs": RUNS, "ways": results}))
    else:
        print(f"{'one signature':40}{'best ms':>9}{'median ms':>11}")
        for name, one in results.items():
            print(f"{name:40}{one['best_ms']:9.3f}{one['median_ms']:11.3f}")
    fast = [one["best_ms"] for name, one in results.items() if name in {"SSH ed25519", "OpenPGP ed25519"}]
    if not fast or max(fast) >= GOAL_MS:
        print("a promise is not kept", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
