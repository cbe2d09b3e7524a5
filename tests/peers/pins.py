"""Which real programs the tests run, at which versions: read from the pinned Go modules in `mod/`.

May live here: names, packages, versions, build flags, keys of the cache. May not: building (`build`), running (`cluster`).

A program is a Go tool dependency of a small module of its own: `go.mod` says the version, `go.sum` the hash of every
source that goes into it. Nothing is downloaded but Go modules, through the module proxy that Go is configured with.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODULES: Final = Path(__file__).parent / "mod"

FLAGS: Final = ("-mod=readonly", "-trimpath", "-buildvcs=false")
"""Of every `go build`. Nothing of this machine gets into a program: no paths, no state of a repository."""

_KUBERNETES: Final = "k8s.io/kubernetes"
_ARGOCD: Final = "github.com/argoproj/argo-cd/v3"
_FLUX: Final = "github.com/fluxcd"
_KUSTOMIZE: Final = "sigs.k8s.io/kustomize/kustomize/v5"


@dataclass(frozen=True, slots=True)
class Program:
    """One program: `peer` is the folder of its module in `mod/`, `module` whose version it has."""

    name: str
    peer: str
    module: str
    package: str
    stamps: tuple[str, ...] = ()
    """Go variables that the linker sets to the version, `{version}` (v1.2.3), `{bare}`, `{major}` or `{minor}`."""

    @property
    def folder(self) -> Path:
        """Where its go.mod and go.sum are."""
        return MODULES / self.peer

    @property
    def version(self) -> str:
        """Such as `v1.36.3`."""
        return pinned((self.folder / "go.mod").read_text(), self.module)

    @property
    def ldflags(self) -> str:
        """What the linker is told: no debug information, and the version."""
        bare = self.version.removeprefix("v")
        major, minor, _ = bare.split(".", 2)
        values = {"version": self.version, "bare": bare, "major": major, "minor": minor}
        return " ".join(["-s -w", *(f"-X {stamp.format_map(values)}" for stamp in self.stamps)])

    @property
    def key(self) -> str:
        """What the program is made of and how, but for the compiler: 16 hex digits."""
        parts = [(self.folder / name).read_bytes() for name in ("go.mod", "go.sum")]
        parts.append("\n".join([self.name, self.package, *FLAGS, self.ldflags]).encode())
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]

    def built(self, cache: Path, go: str) -> Path:
        """Where the compiler of this version (`go1.26.8`) puts it."""
        return cache / "programs" / self.name / f"{self.key}-{go}" / self.name

    def found(self, cache: Path) -> Path | None:
        """The newest that is there, whichever compiler made it: running it needs no Go."""
        there = [one for one in self.built(cache, "*").parent.parent.glob(f"{self.key}-*/{self.name}") if one.is_file()]
        return max(there, key=lambda one: one.stat().st_mtime, default=None)


# Without a version stamp the Kubernetes programs say v0.0.0, and clients that compare versions refuse them.
_KUBERNETES_STAMPS: Final = tuple(
    f"k8s.io/component-base/version.git{name}={value}"
    for name, value in (("Version", "{version}"), ("Major", "{major}"), ("Minor", "{minor}"))
)

PROGRAMS: Final = (
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
    *(
        Program(name, "k8s", _KUBERNETES, f"{_KUBERNETES}/cmd/{name}", _KUBERNETES_STAMPS)
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ),
    Program("kwok", "kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    *(
        Program(f"{peer}-controller", peer, f"{_FLUX}/{peer}-controller", f"{_FLUX}/{peer}-controller")
        for peer in ("source", "kustomize")
    ),
    Program("argocd", "argocd", _ARGOCD, f"{_ARGOCD}/cmd", (f"{_ARGOCD}/common.version={{bare}}",)),
    Program("kustomize", "kustomize-cli", _KUSTOMIZE, _KUSTOMIZE),
)
PEERS: Final = tuple(dict.fromkeys(program.peer for program in PROGRAMS))

DEFINITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "argocd": (_ARGOCD, "manifests/crds"),
    "source": (f"{_FLUX}/source-controller", "config/crd/bases"),
    "kustomize": (f"{_FLUX}/kustomize-controller", "config/crd/bases"),
}
"""Where in which module a peer's CustomResourceDefinitions are."""


def pinned(text: str, module: str) -> str:
    """The version of `module` that a go.mod requires. Raises ValueError when it does not."""
    found = re.search(rf"^(?:require\s+|\s+){re.escape(module)}\s+(v\S+)", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"go.mod does not require {module}")
    return found[1]


def definitions(cache: Path, peer: str) -> Path:
    """The folder with a peer's CustomResourceDefinitions, at the version that is pinned."""
    module, _ = DEFINITIONS[peer]
    version = pinned((MODULES / peer / "go.mod").read_text(), module)
    return cache / "definitions" / f"{peer}-{version}"


def program(name: str) -> Program:
    """One program by its name. Raises KeyError."""
    return {one.name: one for one in PROGRAMS}[name]


def cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of everything that was built: `LOOPSEAL_PEERS`, or `loopseal/peers` below the user's cache."""
    chosen = environ.get("LOOPSEAL_PEERS")
    base = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(chosen or f"{base}/loopseal/peers").expanduser()
