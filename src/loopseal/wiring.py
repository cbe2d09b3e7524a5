"""Settings to objects: the only module that knows which adapter stands behind a port.

The folder is the registry: `kind: argocd` means the class `Engine` of `loopseal.engines.argocd`, and a dotted kind
names a module of your own. Nothing is imported that is not configured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from loopseal.domain.proposal import Application, Target
from loopseal.errors import Code, ConfigError
from loopseal.net import calls_file
from loopseal.ports import Clock, Engine, Ledger, Repository, Secrets, Tap
from loopseal.settings import LedgerSettings, Settings, SignSettings, environment, resolve_target
from loopseal.usecases import Route, World

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from loopseal.engines.recorder import Recorder
    from loopseal.git.signing import Signer


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)


def build(room: str, kind: str, attribute: str) -> Any:
    """The class `attribute` of `loopseal.<room>.<kind>`, or of the dotted module `kind`. Raises ConfigError."""
    name = kind if "." in kind else f"loopseal.{room}.{kind}"
    try:
        return getattr(import_module(name), attribute)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            raise ConfigError(
                Code.CONFIG_UNKNOWN_KIND,
                f"no {room} of kind {kind!r}",
                hint=f"`kind` is a file in loopseal/{room}/, or a dotted module with a class `{attribute}`.",
            ) from error
        raise ConfigError(
            Code.CONFIG_EXTRA_MISSING,
            f"{kind!r} needs the package {error.name!r}",
            hint="pip install 'loopseal[kubernetes,openpgp]'",
        ) from error
    except AttributeError as error:
        raise ConfigError(Code.CONFIG_UNKNOWN_KIND, f"module {name} has no class {attribute!r}") from error


def build_ledger(settings: LedgerSettings) -> Ledger:
    """The ledger of the settings."""
    made = build("ledger", settings.kind, "Ledger")
    return cast("Ledger", made() if settings.kind == "memory" else made(settings.path))


def open_recorder(path: Path, *, system: str, scenario: str) -> Recorder:
    """A flight recorder that writes to `path` what an engine of this kind answers."""
    from loopseal.engines.recorder import Recorder

    return Recorder(path, SystemClock(), system=system, scenario=scenario)


@asynccontextmanager
async def open_world(
    settings: Settings,
    *,
    secrets: Secrets,
    ledger: Ledger,
    clock: Clock | None = None,
    tap: Tap | None = None,
    transports: Mapping[str, httpx2.AsyncBaseTransport] | None = None,
) -> AsyncIterator[World]:
    """The verbs' world for these settings, on the running event loop; connections are closed at the end.

    Repositories and engines are made when they are first asked for, and shared by all that run on this world.
    `transports` replace the network by name of engine or repository (simulators in the same process).
    """
    workshop = Workshop(settings, secrets, clock or SystemClock(), tap, transports or {})
    try:
        yield workshop.world(ledger)
    finally:
        await workshop.aclose()


class SignerOnDemand:
    """Opens the key when the first commit is signed: who only reads needs none."""

    def __init__(self, settings: SignSettings, secrets: Secrets) -> None:
        self._settings, self._secrets = settings, secrets
        self._signer: Signer | None = None

    @property
    def name(self) -> str:
        """How it signs, for people."""
        if self._signer is not None:
            return self._signer.name
        return next(way for way in ("ssh", "openpgp", "agent", "command") if getattr(self._settings, way))

    @property
    def public(self) -> str:
        """The public half, once it is known."""
        return self._signer.public if self._signer is not None else ""

    async def sign(self, data: bytes, *, at: int) -> str:
        """The armoured signature."""
        if self._signer is None:
            from loopseal.git.signing import open_signer

            chosen = self._settings
            self._signer = await open_signer(
                secrets=self._secrets,
                ssh=chosen.ssh,
                openpgp=chosen.openpgp,
                agent=chosen.agent,
                command=chosen.command,
                passphrase=chosen.passphrase,
                agent_socket=environment().get("SSH_AUTH_SOCK", ""),
            )
        return await self._signer.sign(data, at=at)


class Workshop:
    """Makes repositories and engines once, keeps them, and closes them.

    For those who outlive a `with`: Airflow's triggerer keeps one per event loop, and opens worlds with ledgers of their
    own on it.
    """

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        clock: Clock,
        tap: Tap | None = None,
        transports: Mapping[str, httpx2.AsyncBaseTransport] | None = None,
    ) -> None:
        self.settings, self.secrets, self.clock = settings, secrets, clock
        self._tap, self._transports = tap, transports or {}
        self._repositories: dict[tuple[str, str], Repository] = {}
        self._engines: dict[str, Engine] = {}
        self._budgets: Any = None
        if settings.calls.path:
            calls_file.keep(settings.calls.path)

    def world(self, ledger: Ledger) -> World:
        """A world on these objects, with this ledger."""
        return World(
            routes={name: self._route(name) for name in self.settings.targets},
            repository=self.repository,
            engine=self.engine,
            ledger=ledger,
            clock=self.clock,
            policy_set=self.settings.sha256,
        )

    def repository(self, target: Target) -> Repository:
        """The repository of a target, at its branch."""
        key = (target.repository, target.branch)
        if key not in self._repositories:
            self._repositories[key] = self._open_repository(target.repository, target.branch)
        return self._repositories[key]

    def engine(self, application: Application) -> Engine:
        """The engine of an application."""
        name = application.engine
        if name not in self._engines:
            chosen = self.settings.engines.get(name)
            if chosen is None:
                raise ConfigError(
                    Code.CONFIG_INVALID,
                    f"application {application.name!r} names engine {name!r}, which is not declared",
                    hint=f"Declared engines: {', '.join(sorted(self.settings.engines)) or 'none'}.",
                )
            made = build("engines", chosen.kind, "Engine")
            self._engines[name] = made(
                chosen,
                name=name,
                secrets=self.secrets,
                clock=self.clock,
                tap=self._tap,
                transport=self._transports.get(name),
            )
        return self._engines[name]

    async def aclose(self) -> None:
        """Close every connection."""
        opened: list[Repository | Engine] = [*self._repositories.values(), *self._engines.values()]
        self._repositories, self._engines = {}, {}
        await asyncio.gather(*(one.aclose() for one in opened))

    def _route(self, name: str) -> Route:
        chosen = self.settings.targets[name]
        target = resolve_target(self.settings, name)
        return Route(target, chosen.dags, chosen.timeout, chosen.tolerance, chosen.sync)

    def _open_repository(self, name: str, branch: str) -> Repository:
        from loopseal.git.budget import Budgets
        from loopseal.git.remotes import open_remote
        from loopseal.git.repository import Repository as GitRepository

        chosen = self.settings.repositories[name]
        if self._budgets is None:
            self._budgets = Budgets(self.clock)
        remote = open_remote(
            chosen.url,
            secrets=self.secrets,
            credential=chosen.credential,
            username=chosen.username,
            mode=chosen.mode,
            ca=chosen.ca,
            known_hosts=chosen.known_hosts,
            timeout=chosen.timeout,
            unsafe_http=chosen.unsafe_http,
            transport=self._transports.get(name),
        )
        return GitRepository(
            remote,
            branch=branch,
            clock=self.clock,
            signer=SignerOnDemand(chosen.sign, self.secrets) if chosen.sign else None,
            author=chosen.author,
            committer=chosen.committer or chosen.author,
            change_refs=chosen.change_refs,
            budget=self._budgets.of(urlsplit(chosen.url).hostname or chosen.url, chosen.pushes_per_minute),
        )
