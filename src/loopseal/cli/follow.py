"""Show a change's progress while it happens, and answer how it ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from loopseal.cli import render
from loopseal.domain.change import Change
from loopseal.usecases import Progress


async def follow(steps: AsyncGenerator[Progress, None], *, as_json: bool) -> Change:
    """Print each step to standard error; answer the change that was asked for, closed (not the one that reverts it)."""
    console, asked, shown = render.err(), None, ""
    async with aclosing(steps):
        async for step in steps:
            asked = asked if asked is not None and step.change.id != asked.id else step.change
            if as_json:
                continue
            line = f"{step.change.phase:<10} {step.change.revision[:12]} {step.note}".rstrip()
            if step.verdict is not None:
                console.print(render.verdict_line(step.verdict))
            elif line != shown:
                console.print(line, markup=False)
            shown = line
    if asked is None:
        message = "a change in progress always tells of itself"
        raise RuntimeError(message)
    return asked
