"""Which rights a wait for one object of Flux makes use of, beyond reading it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from loopseal.domain.revision import Tolerance
from loopseal.engines import flux_object as flux
from loopseal.engines.fields import Object
from loopseal.engines.flux_inventory import reads_objects
from loopseal.engines.flux_inventory_reader import KNOWN, PLAIN
from loopseal.engines.flux_places import Place
from loopseal.engines.rights import Right, asking, health, watching

_MAX: Final = 20
"""Questions about kinds of applied objects: each is a call."""


def needed(target: Object, place: Place, origin: Place | None, tolerance: Tolerance) -> Iterator[Right]:
    """To watch and ask the object and its source, and to read what it applied where health is not told otherwise."""
    for one in (place, origin):
        if one is not None:
            yield watching("flux", one.kind, one.namespace)
            yield asking("flux", one.kind, one.namespace, one.name)
    if reads_objects(target, tolerance) and not flux.is_remote(target):
        applied = {(one.group, one.kind, one.namespace): None for one in flux.inventory(target)}
        for group, kind, namespace in tuple(applied)[:_MAX]:
            known = KNOWN.get((group, kind))
            if known is not None and kind not in PLAIN:
                yield health(known, namespace)
