"""No call without a record: ours beside the API server's own audit log and Argo CD's log, through kills and nudges."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopseal.domain.revision import State
from loopseal.ports import Behalf, on_behalf_of
from loopseal.testing import objects
from tests.calls import Record, kept, read
from tests.conformance import rights
from tests.conformance.content import deployment
from tests.conformance.real import Real, apart
from tests.conformance.stage import TOKEN
from tests.conformance.world import Kind, Live, Peer
from tests.peers import audit
from tests.peers.cluster import Cluster
from tests.peers.worlds import REAL

ACCOUNT = f"system:serviceaccount:{rights.HOME}:{rights.NAME}"
_numbers = count(800)
_PATIENCE = 30.0
KUBERNETES = [Kind.OBJECTS, Kind.FLUX]


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Cluster:
    """The cluster with the documented admission policy in force."""
    cluster.processes.revive()
    rights.guard(cluster)
    return cluster


def change(number: int) -> str:
    """A change id of the usual form."""
    return "audit" + "abcdefghijklmnopqrstuvwxyz234567"[number] * 21


async def waits(world: Real, trouble: Callable[[int], Any] | None = None, rounds: int = 4) -> None:
    """Some waits, each for a change of its own, with trouble while it waits."""
    await world.begin()
    for number in range(rounds):
        with on_behalf_of(Behalf("person:auditor@https://id.test", change(number))):
            revision = await world.commit(deployment(f"v{number + 2}"))
            waiting = world.wait(revision)
            if trouble is not None:
                await trouble(number)
            await waiting.ends(State.SUCCEEDED, live=Live(f"v{number + 2}"))


def disturbed(world: Real) -> Callable[[int], Any]:
    """Something else each time: a cut, our server killed, the controller killed, a new engine."""

    async def trouble(number: int) -> None:
        match number % 4:
            case 0:
                await world.cut()
            case 1:
                await world.kill(Peer.API_SERVER)
                await world.start(Peer.API_SERVER)
            case 2:
                await world.kill(Peer.CONTROLLER)
                await world.start(Peer.CONTROLLER)
            case _:
                await world.cut()

    return trouble


def caught_up(look: Callable[[], audit.Difference]) -> audit.Difference:
    """The difference once the server has written down what ended last: a watch is entered when it is over."""
    end = time.monotonic() + _PATIENCE
    while (found := look()).missing and time.monotonic() < end:
        time.sleep(0.2)
    return found


@pytest.mark.smoke
@pytest.mark.parametrize("kind", KUBERNETES)
def test_every_call_is_in_both_records(guarded: Cluster, kind: Kind, tmp_path: Path):
    tokens: list[str] = []

    async def main() -> None:
        async with asyncio.timeout(280), REAL[kind](kind, "audit", guarded, next(_numbers)) as world:
            tokens.append(rights.claims(world.vault.values[TOKEN])["jti"])
            await waits(world, disturbed(world))

    ours = tmp_path / "calls.jsonl"
    with kept(ours):
        asyncio.run(main())
    record = read(ours)

    def look() -> audit.Difference:
        return audit.compare(record, audit.entries(guarded.audit_log, account=ACCOUNT, tokens=tokens))

    assert not caught_up(look), look()
    theirs = audit.entries(guarded.audit_log, account=ACCOUNT, tokens=tokens)
    assert len(theirs) > 40
    assert {"get", "watch", "patch"} <= {one["verb"] for one in theirs}
    tell_the_change(record, theirs)
    text = ours.read_text()
    assert not any(part in text for part in tokens)


def tell_the_change(record: Record, theirs: list[dict[str, Any]]) -> None:
    """Each nudge names its change four times: in our record, in what we wrote, to the policy, in the next object."""
    wrote, calls = audit.nudges(theirs), {line["id"]: line for line in record.sent}
    assert wrote
    for call, (written, seen) in wrote.items():
        assert calls[call]["writes"]
        assert calls[call]["change"] == written == seen
    assert {change(number) for number in range(4)} <= {written for written, _ in wrote.values()}


@pytest.mark.parametrize("kind", KUBERNETES)
def test_a_call_past_the_record_is_found(guarded: Cluster, kind: Kind, tmp_path: Path):
    """What the comparison is for: somebody uses our credential, with an id of ours or with none."""
    tokens: list[str] = []
    paths: list[str] = []

    async def main() -> None:
        async with asyncio.timeout(200), REAL[kind](kind, "past", guarded, next(_numbers)) as world:
            tokens.append(rights.claims(world.vault.values[TOKEN])["jti"])
            await world.begin()
            await apart(steal, world)

    def steal(world: Real) -> None:
        stolen = read(ours).sent[0]["id"]
        namespace = "argocd" if kind is Kind.OBJECTS else world.team
        paths.extend(f"/api/v1/namespaces/{namespace}/{what}" for what in ("secrets", "configmaps"))
        with guarded.kube.as_token(world.vault.values[TOKEN]) as thief:
            thief.request("GET", paths[0])
            thief.request("GET", paths[1], headers={"Audit-ID": stolen, "User-Agent": "loopseal/0"})

    ours = tmp_path / "calls.jsonl"
    with kept(ours):
        asyncio.run(main())
    entries = audit.entries(guarded.audit_log, account=ACCOUNT, tokens=tokens)
    found = audit.compare(read(ours), entries)
    assert [one.split()[1] for one in found.unrecorded] == paths[:1]
    assert [one.split()[1] for one in found.twice] == paths[1:]
    assert found.other, "an id alone proves nothing: verb and address must fit as well"


# --- processes that are killed ----------------------------------------------------------------------------------------


@pytest.fixture
def configured(guarded: Cluster, tmp_path: Path, repository: str) -> Iterator[tuple[Path, str, str]]:
    """Settings of the command line for Flux with a record of calls; the team's namespace; the `jti` of its token."""
    team, kube = f"team-{next(_numbers)}", guarded.kube
    kube.namespace(team)
    account = rights.Account(guarded, team)
    account.admit(Kind.FLUX)
    token = account.token()
    (tmp_path / "kubeconfig").write_text(guarded.kubeconfig_for(token))
    guarded.git.commit(repository, deployment("v1"))
    kube.apply(objects.git_repository("apps", url=guarded.git.url(repository), namespace=team, interval="60s"))
    made = objects.kustomization(
        "web", source="apps", path="./apps/web", namespace=team, target=team, interval="10m", timeout="30s"
    )
    kube.apply(made)
    settings = {
        "repositories": {"platform": {"url": guarded.git.url(repository)}},
        "engines": {"eu1": {"kind": "flux", "kubeconfig": f"file:{tmp_path / 'kubeconfig'}", "namespace": team}},
        "targets": {
            "web": {"repository": "platform", "paths": ["apps/**"], "applications": [{"engine": "eu1", "name": "web"}]}
        },
        "calls": {"path": str(tmp_path / "calls.jsonl")},
    }
    file = tmp_path / "loopseal.yaml"
    file.write_text(yaml.safe_dump(settings))
    yield file, team, rights.claims(token)["jti"]
    kube.delete("Kustomization", team, "web")
    kube.delete("Namespace", "", team)


def waiting(file: Path) -> subprocess.Popen[bytes]:
    run = "import sys; from loopseal.cli import main; sys.exit(main())"
    argv = [sys.executable, "-c", run, "--config", str(file), "wait", "-t", "web", "--timeout", "60s"]
    environ = {**os.environ, "HOME": str(file.parent), "XDG_STATE_HOME": str(file.parent)}
    return subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_killed_processes_leave_a_record_of_everything_they_did(
    guarded: Cluster, configured: tuple[Path, str, str], repository: str
):
    file, _team, jti = configured
    ours = file.parent / "calls.jsonl"
    for wanted in (1, 3, 6, 9):
        guarded.git.commit(repository, deployment(f"v{wanted}"))
        before = len(read(ours).sent)
        with waiting(file) as process:
            end = time.monotonic() + _PATIENCE
            while len(read(ours).sent) < before + wanted and process.poll() is None and time.monotonic() < end:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
    with waiting(file) as process:
        out, _ = process.communicate(timeout=90)
    assert process.returncode == 0, out.decode()
    record = read(ours)

    def look() -> audit.Difference:
        return audit.compare(record, audit.entries(guarded.audit_log, account=ACCOUNT, tokens=[jti]))

    assert not caught_up(look), look()
    assert len(record.sent) > len(record.answers), "some were killed with a call under way"
    actors = {line["actor"] for line in record.sent if not line["shared"]}
    assert len(actors) == 1
    assert actors.pop().startswith("person:")


# --- Argo CD's own log --------------------------------------------------------------------------------------------


def test_argocds_log_knows_of_the_same_calls(guarded: Cluster, tmp_path: Path):
    """As far as it goes: method and content of each unary call; no id, nobody's name, no line for the stream."""
    names: list[str] = []

    async def main() -> None:
        async with asyncio.timeout(280), REAL[Kind.ARGOCD](Kind.ARGOCD, "audit", guarded, next(_numbers)) as world:
            names.append(world.application("web").name)
            await waits(world, disturbed_argocd(world))

    ours = tmp_path / "calls.jsonl"
    with kept(ours):
        asyncio.run(main())
    record, [name] = read(ours), names
    theirs = audit.argocd_unary(guarded.processes.log("argocd-server"), name)
    answered = audit.recorded_unary(record, name, answered=True)
    assert answered["Get", ""] > 10
    assert answered["Get", "normal"] >= 4
    assert not answered - theirs, "what was answered was received"
    assert not theirs - audit.recorded_unary(record, name, answered=False), "what was received was sent by us"
    assert {line["change"] for line in record.sent if line["writes"]} >= {change(number) for number in range(4)}


def disturbed_argocd(world: Real) -> Callable[[int], Any]:
    """Cuts, and the controller killed: a call that its server never answered may be in its log or not."""

    async def trouble(number: int) -> None:
        if number % 2:
            await world.cut()
        else:
            await world.kill(Peer.CONTROLLER)
            await world.start(Peer.CONTROLLER)

    return trouble
