"""What the verbs work with: the ports, and the targets as the deployment declared them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from loopseal.domain.proposal import Application, Target
from loopseal.domain.revision import Tolerance
from loopseal.errors import Code, ConfigError
from loopseal.ports import Clock, Engine, Ledger, Repository


@dataclass(frozen=True, slots=True)
class Route:
    """One declared target with its rules: who may use it, how long and how patiently it is waited for.

    `dags` are patterns of Dag ids (`*` matches anything); none means that no Dag may. `timeout` is in seconds.
    """

    target: Target
    dags: tuple[str, ...] = ()
    timeout: float = 1200.0
    tolerance: Tolerance = field(default_factory=Tolerance)
    sync: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """The ports, wired. `policy_set` identifies the rules that decisions are made under (a hash of the settings)."""

    routes: Mapping[str, Route]
    repository: Callable[[Target], Repository]
    engine: Callable[[Application], Engine]
    ledger: Ledger
    clock: Clock
    policy_set: str = ""

    def route(self, target: str) -> Route:
        """The declared target of that name. Raises ConfigError (`config.unknown_target`)."""
        found = self.routes.get(target)
        if found is None:
            near = get_close_matches(target, self.routes, n=1)
            known = ", ".join(sorted(self.routes)) or "none"
            raise ConfigError(
                Code.CONFIG_UNKNOWN_TARGET,
                f"no target {target!r} is declared" + (f"; did you mean {near[0]!r}?" if near else ""),
                hint=f"Declared targets: {known}. Targets are added to the settings file, not in Dags.",
            )
        return found
