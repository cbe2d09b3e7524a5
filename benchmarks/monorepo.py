"""A repository as a large team has it: 2,000 applications in 3 environments with 5 files each, 30,000 files."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

ENVIRONMENTS = ("dev", "staging", "prod")
SETTINGS = {
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    "http.receivepack": "true",
    "gc.auto": "0",
    "receive.autogc": "false",
    "maintenance.auto": "false",
}


def values(app: int, environment: str, tag: str) -> str:
    """Helm values, 1.2 KB."""
    hashes = (hashlib.sha256(f"{app}{environment}{number}".encode()).hexdigest()[:32] for number in range(12))
    noise = "".join(f"  - name: VAR_{number}\n    value: '{value}'\n" for number, value in enumerate(hashes))
    return f"""# Helm values of svc-{app:04d}
image:
  repository: registry.example.com/svc-{app:04d}
  tag: "{tag}"   # bumped by automation
  pullPolicy: IfNotPresent

replicaCount: {1 + app % 5}
resources:
  limits: {{cpu: {100 + app % 900}m, memory: {128 + app % 512}Mi}}
env:
{noise}ingress:
  enabled: {"true" if app % 2 else "false"}
  hosts:
    - svc-{app:04d}.{environment}.example.com
"""


def files(app: int, environment: str) -> Iterator[tuple[str, str]]:
    """The five files of one application in one environment."""
    where, name = f"apps/svc-{app:04d}/{environment}", f"svc-{app:04d}"
    head = f"metadata:\n  name: {name}\nspec:\n"
    yield f"{where}/values.yaml", values(app, environment, "v1.0.0")
    yield f"{where}/kustomization.yaml", f"resources:\n  - app.yaml\nimages:\n  - name: {name}\n    newTag: v1.0.0\n"
    yield f"{where}/deployment.yaml", f"apiVersion: apps/v1\nkind: Deployment\n{head}  replicas: {app}\n"
    yield f"{where}/service.yaml", f"apiVersion: v1\nkind: Service\n{head}  port: {8000 + app}\n"
    yield f"{where}/app.yaml", f"kind: Application\n{head}  path: {where}\n"


def build(folder: Path, *, apps: int = 2000, history: int = 300) -> None:
    """A bare repository at `folder`, packed."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", folder], check=True)
    for key, value in SETTINGS.items():
        subprocess.run(["git", "-C", folder, "config", key, value], check=True)
    with subprocess.Popen(["git", "-C", folder, "fast-import", "--quiet"], stdin=subprocess.PIPE) as process:
        for piece in stream(apps, history):
            process.stdin.write(piece)
        process.stdin.close()
    if process.returncode:
        raise SystemExit("git fast-import failed")
    subprocess.run(["git", "-C", folder, "repack", "-adfq", "--window=5"], check=True)


def stream(apps: int, history: int) -> Iterator[bytes]:
    """The input of git-fast-import(1): everything at once, then bumps of single tags."""
    choose = random.Random(7)
    yield _commit("Import", 1_700_000_000)
    for app in range(apps):
        for environment in ENVIRONMENTS:
            for path, text in files(app, environment):
                yield _file(path, text)
    for number in range(history):
        app, environment = choose.randrange(apps), choose.choice(ENVIRONMENTS)
        yield _commit(f"Bump svc-{app:04d} in {environment}", 1_700_000_600 + 600 * number)
        yield _file(f"apps/svc-{app:04d}/{environment}/values.yaml", values(app, environment, f"v1.{number}.0"))


def _commit(message: str, seconds: int) -> bytes:
    who = f"GitOps Bot <bot@example.com> {seconds} +0000"
    return f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n{message}\n".encode()


def _file(path: str, text: str) -> bytes:
    return f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n".encode()
