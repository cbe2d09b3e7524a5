"""The stage: everything that runs during the demo, started and ended together."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from loopseal.testing.airflow_stack import AirflowStack
from loopseal.testing.background import Background
from loopseal.testing.git_server import GitServer, serve
from loopseal.testing.gitview import Repositories
from loopseal.testing.serve import Declared, argocd_on, as_kubeconfig, flux_on

REPOSITORY: Final = "platform/apps.git"
APPLICATIONS: Final = (
    Declared("payments-staging", "apps/payments"),
    Declared("payments-thresholds", "apps/thresholds"),
)
FILES: Final = {
    "README.md": b"# Applications of the demo\n",
    "apps/payments/values.yaml": (
        b"# Written by people; changed by tasks.\n"
        b"image:\n  repository: registry.test/payments\n  tag: v1   # the model in production\n"
        b"replicaCount: 2\nprogressDeadlineSeconds: 4\n"
    ),
    "apps/thresholds/values.yaml": b"thresholds:\n"
    + b"".join(b'  model-%02d: "0.50"\n' % number for number in range(20))
    + b"replicaCount: 1\n",
}
MAIL: Final = "loopseal@example.com"


@dataclass(frozen=True, slots=True)
class Site:
    """What an engine finds when it is started: an empty folder of its own, and where the repository is."""

    engine: str
    """`argocd` or `flux`."""
    folder: Path
    git_root: Path
    git_url: str


@dataclass(frozen=True, slots=True)
class Running:
    """An engine that reconciles `APPLICATIONS`. `urls` are for people, `settings` are its entry in the targets file."""

    name: str
    urls: tuple[tuple[str, str], ...]
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays the engine: how it is started and ended, and what it needs to find in the repository beside `FILES`."""

    start: Callable[[Site], AbstractContextManager[Running]]
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """What runs, and where. `urls` are for people."""

    folder: Path
    engine: str
    git: GitServer
    git_url: str
    airflow: AirflowStack
    urls: tuple[tuple[str, str], ...]

    @property
    def bare(self) -> Path:
        """The repository on disk."""
        return self.folder / "git" / REPOSITORY

    def run_git(self, *arguments: str) -> str:
        """A question to the bare repository."""
        done = subprocess.run(  # noqa: S603 - our own arguments
            ["git", "-C", str(self.bare), *arguments],  # noqa: S607 - git from the PATH
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def tip(self) -> str:
        """The commit the branch points at."""
        return self.run_git("rev-parse", "main").strip()

    def verified(self, revision: str) -> bool:
        """Whether git itself finds a good signature of our key on this commit."""
        signers = self.folder / "allowed_signers"
        done = subprocess.run(  # noqa: S603 - our own arguments
            ["git", "-C", str(self.bare), "-c", f"gpg.ssh.allowedSignersFile={signers}", "verify-commit", revision],  # noqa: S607 - git from the PATH
            check=False,
            capture_output=True,
        )
        return done.returncode == 0


Tell: TypeAlias = Callable[[str], None]


@contextmanager
def simulated(site: Site) -> Iterator[Running]:
    """A simulator of the engine, in this process."""
    repositories = Repositories(site.git_root)
    with Background() as background:
        if site.engine == "argocd":
            _, url, _ = background.enter(argocd_on(repositories, site.git_url, APPLICATIONS))
            token = private(site.folder / "argocd.token", "bot-token")
            settings = {"kind": "argocd", "url": url, "credential": f"file:{token}"}
        else:
            _, url = background.enter(flux_on(repositories, site.git_url, APPLICATIONS))
            kubeconfig = private(site.folder / "kubeconfig", as_kubeconfig(url))
            settings = {"kind": "flux", "kubeconfig": f"file:{kubeconfig}"}
        name = f"{site.engine} simulator"
        yield Running(name, ((name, url),), settings)


SIMULATED: Final = Cast(simulated)


@contextmanager
def open_stage(folder: Path, engine: str, tell: Tell, cast: Cast = SIMULATED) -> Iterator[Stage]:
    """Start everything in `folder`, which is emptied first; leaving ends every process that was started."""
    if folder.exists():
        shutil.rmtree(folder)
    root, own = folder / "git", folder / "engine"
    for one in (folder / "dags", root, own):
        one.mkdir(parents=True)
    git = GitServer(root)
    asyncio.run(git.create(REPOSITORY, {**FILES, **cast.files}))
    with ExitStack() as stack:
        git_url = f"{stack.enter_context(serve(git))}/{REPOSITORY}"
        tell(f"{'Git server':<16} {git_url}")
        running = stack.enter_context(cast.start(Site(engine, own, root, git_url)))
        for name, url in running.urls:
            tell(f"{name:<16} {url}")
        settings = _settings(folder, git_url, running.settings)
        for dag in sorted(_examples().glob("0[1-3]-*/*.py")):
            shutil.copy(dag, folder / "dags")
        airflow = AirflowStack(folder / "airflow", folder / "dags", {"AIRFLOW__LOOPSEAL__CONFIG": str(settings)})
        tell("Airflow          migrating its database and starting four processes …")
        stack.enter_context(airflow)
        tell(f"Airflow          {airflow.url} (user and password: admin)")
        urls = (("Airflow", airflow.url), *running.urls, ("Git", git_url))
        yield Stage(folder, engine, git, git_url, airflow, urls)


def _settings(folder: Path, git_url: str, engine: Mapping[str, str]) -> Path:
    """The targets file of the demo, and the signing key that it refers to."""
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    signing = private(folder / "signing_key", secret.decode())
    (folder / "allowed_signers").write_text(f'{MAIL} namespaces="git" {public.decode()}\n', encoding="utf-8")

    def target(name: str, path: str) -> dict[str, object]:
        return {
            "repository": "platform",
            "paths": [f"{path}/**"],
            "applications": [{"engine": "engine", "name": name}],
            "timeout": "3m",
            "dags": ["payments_*"],
            "wait": {"settle": "1s", "degraded_grace": "2s"},
        }

    document = {
        "repositories": {
            "platform": {"url": git_url, "author": f"loopseal <{MAIL}>", "sign": {"ssh": f"file:{signing}"}}
        },
        "engines": {"engine": dict(engine)},
        "targets": {one.name: target(one.name, one.path) for one in APPLICATIONS},
        "ledger": {"path": str(folder / "ledger.jsonl")},
    }
    path = folder / "loopseal.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def private(path: Path, text: str) -> Path:
    """A file that nobody else may read, with this text; its absolute path."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path.resolve()


def _examples() -> Path:
    """The example Dags: beside the sources, or packed into an installed distribution."""
    packed = Path(__file__).parent / "examples"
    return packed if packed.exists() else Path(__file__).parents[4] / "examples"


def pusher(stage: Stage) -> int | None:
    """The process of Airflow's scheduler group that holds a connection to the Git server, from /proc; None if none.

    Linux only, as the demo is: this is how the act that kills a task between push and record finds it.
    """
    port = int(re.search(r":(\d+)/", stage.git_url)[1])  # type: ignore[index]  # our own URL has a port
    sockets = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) == port and fields[3] == "01":
            sockets.add(f"socket:[{fields[9]}]")
    for process in stage.airflow.pids("scheduler"):
        for descriptor in _links(Path(f"/proc/{process}/fd")):
            if descriptor in sockets:
                return process
    return None


def _links(folder: Path) -> list[str]:
    try:
        return [str(one.readlink()) for one in folder.iterdir()]
    except OSError:
        return []
