"""The table in the docs is made of outcomes that were seen, and says something about every scenario and kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.conformance import results, rights
from tests.conformance.proxy import Proxy
from tests.conformance.results import COLUMNS, Run, known, page, rows
from tests.conformance.world import Kind

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_no_cell_is_blank_without_a_reason() -> None:
    outcomes, gaps = known(), []
    for row in rows():
        played = [column for column in COLUMNS if Kind(column.partition("-")[2]) not in row.reasons]
        gaps += [
            f"{row.name}: {column}" for column in played if not outcomes.get(row.name, {}).get(column, {}).get("passed")
        ]
    assert not gaps, "play them: pytest --peers --results tests/conformance"


def test_no_outcome_is_of_a_scenario_that_is_gone() -> None:
    assert set(known()) == {row.name for row in rows()}


def test_a_run_is_put_over_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FILE", tmp_path / "results.json")
    results.FILE.write_text(
        json.dumps({"old": {"real-flux": {"passed": True}}, "both": {"real-flux": {"passed": True}}})
    )
    run = Run()
    run.note(scenario="both", world="simulated-flux", seconds=1.5, passed=True)
    run.note(scenario="both", world="real-flux", seconds=None, passed=False)
    run.write()
    found = known()
    assert found["old"] == {"real-flux": {"passed": True}}
    assert found["both"]["simulated-flux"] == {"passed": True, "seconds": 1.5, "version": "this commit"}
    assert not found["both"]["real-flux"]["passed"]
    assert found["both"]["real-flux"]["version"].startswith("Flux controllers v")


def test_the_documented_rights_are_read_as_the_simulators_have_them() -> None:
    assert "watch kustomize.toolkit.fluxcd.io/kustomizations team" in rights.rules(Kind.FLUX, "team")
    assert "patch argoproj.io/applications argocd" in rights.rules(Kind.OBJECTS, "team")
    assert "applications, get, team/*" in rights.policies("team")
    assert not any("secrets" in rule for kind in Kind for rule in rights.rules(kind, "team"))


@asynccontextmanager
async def echo() -> AsyncIterator[Proxy]:
    """A proxy before a server that says everything twice."""

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line * 2)
        writer.close()

    server = await asyncio.start_server(twice, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Proxy(f"http://127.0.0.1:{port}/path") as proxy:
        yield proxy
    server.close()


async def connected(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(proxy.url.removesuffix("/path").rpartition(":")[2]))


def test_a_frozen_connection_says_nothing_and_later_ones_work() -> None:
    async def main() -> None:
        async with echo() as proxy:
            reader, writer = await connected(proxy)
            writer.write(b"one\n")
            assert await reader.readexactly(8) == b"one\none\n"
            proxy.freeze()
            writer.write(b"two\n")
            later, other = await connected(proxy)
            other.write(b"three\n")
            assert await later.readline() == b"three\n"
            pending = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({pending}, timeout=0.05)
            assert not pending.done()
            proxy.cut()
            [ended] = await asyncio.wait_for(asyncio.gather(pending, return_exceptions=True), 5)
            assert ended == b"" or isinstance(ended, OSError)
            for one in (writer, other):
                one.transport.abort()

    asyncio.run(main())


def test_a_refusing_proxy_breaks_what_comes_and_keeps_what_is() -> None:
    async def main() -> None:
        async with echo() as proxy:
            kept, writer = await connected(proxy)
            writer.write(b"a\n")
            assert await kept.readexactly(4) == b"a\na\n"
            proxy.refuse(on=True)
            refused, other = await connected(proxy)
            assert await refused.read() == b""
            proxy.refuse(on=False)
            writer.write(b"b\n")
            assert await kept.readexactly(4) == b"b\nb\n"
            for one in (writer, other):
                one.transport.abort()

    asyncio.run(main())
