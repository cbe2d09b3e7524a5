"""One workshop per event loop and settings, shared by all who work there at the same time.

All triggers of a triggerer run on one loop. Because they share repositories and engines, their waiting changes share
pushes and their waits share one watch per engine. The last one to leave closes them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from loopseal.ports import Secrets
    from loopseal.settings import Settings
    from loopseal.wiring import Workshop


@dataclass(slots=True)
class _Shared:
    workshop: Workshop
    users: int = 0


_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()


def _import(settings: Settings) -> None:
    """What the workshop will need, so that the event loop of a triggerer does not stand still for it."""
    import_module("loopseal.git.repository")
    for engine in settings.engines.values():
        with suppress(ImportError):  # told in full where the engine is made
            import_module(engine.kind if "." in engine.kind else f"loopseal.engines.{engine.kind}")
    http = logging.getLogger("httpx2")
    if http.level == logging.NOTSET:
        http.setLevel(logging.WARNING)  # as Airflow does for httpx: a line per request buries a task's own


@asynccontextmanager
async def opened(settings: Settings, secrets: Secrets | None = None) -> AsyncIterator[Workshop]:
    """The workshop of this loop for these settings; open a world with a ledger of your own on it.

    `secrets` counts for whoever comes first; default: Airflow's connections and all else that may be referred to.
    """
    from loopseal.airflow.secrets import MaskedSecrets
    from loopseal.wiring import SystemClock, Workshop

    here = _open.setdefault(asyncio.get_running_loop(), {})
    if settings.sha256 not in here:
        await asyncio.to_thread(_import, settings)
    shared = here.get(settings.sha256)
    if shared is None:
        shared = _Shared(Workshop(settings, secrets or MaskedSecrets(), SystemClock()))
        here[settings.sha256] = shared
    shared.users += 1
    try:
        yield shared.workshop
    finally:
        shared.users -= 1
        if not shared.users:
            del here[settings.sha256]
            await shared.workshop.aclose()
