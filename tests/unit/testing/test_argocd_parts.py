"""The pure parts of the Argo CD simulator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.testing import objects
from loopseal.testing.argocd import compare, page, stream, windows
from loopseal.testing.argocd.accounts import Account
from loopseal.testing.clock import LoopClock, run
from loopseal.testing.store import Object, Store

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def app(**more: Any) -> Object:
    return objects.application("web", url="u", path="apps/web", **more)


def live_of(*items: Object) -> compare.Live:
    by_key = {(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]): item for item in items}
    return lambda *key: by_key.get(key)


def compared(wanted: list[Object], live: list[Object], revision: str = "X") -> compare.Comparison:
    tracked = [item for item in live if compare.owned_by(item, "web")]
    return compare.compare(revision, wanted, live_of(*live), tracked)


SETTINGS = compare.own(objects.config_map("settings", a="1"), app())
WEB = compare.own(objects.deployment("web", "x:v1"), app())
HOOK = compare.own(objects.job("smoke", "x:v1", hook="PostSync"), app())


def test_the_tracking_id_is_argo_cds() -> None:
    tracking = WEB["metadata"]["annotations"][compare.TRACKING]
    assert tracking == "web:apps/Deployment:web/web"
    assert SETTINGS["metadata"]["annotations"][compare.TRACKING] == "web:/ConfigMap:web/settings"
    assert compare.owned_by(WEB, "web")
    assert not compare.owned_by(WEB, "we")


def test_what_is_as_wanted_is_synced() -> None:
    found = compared([SETTINGS, HOOK], [SETTINGS])
    assert (found.sync, found.health) == ("Synced", "Healthy")
    assert [row["kind"] for row in found.resources] == ["ConfigMap"]


def test_missing_changed_and_surplus_resources_are_out_of_sync() -> None:
    changed = {**SETTINGS, "data": {"a": "2"}}
    found = compared([SETTINGS, WEB], [changed])
    assert (found.sync, found.health) == ("OutOfSync", "Missing")
    surplus = compared([SETTINGS], [SETTINGS, WEB, HOOK])
    rows = {row["kind"]: row for row in surplus.resources}
    assert rows["Deployment"]["requiresPruning"] is True
    assert rows["Job"] == {
        "group": "batch", "hook": True, "kind": "Job", "name": "smoke", "namespace": "web", "requiresPruning": True, "version": "v1",
    }  # fmt: skip


def test_status_and_foreign_metadata_are_no_difference() -> None:
    metadata = {**SETTINGS["metadata"], "uid": "u", "annotations": {**SETTINGS["metadata"]["annotations"], "x": "y"}}
    assert compare.matches(SETTINGS, {**SETTINGS, "metadata": metadata, "status": {"a": 1}})
    assert not compare.matches(SETTINGS, {**SETTINGS, "metadata": {**metadata, "annotations": {}}})


def decide(application: Object, found: compare.Comparison, *, window_open: bool = True) -> compare.Decision:
    return compare.auto_sync(application, found, window_open=window_open)


def with_state(phase: str, revision: str = "X", **more: Any) -> Object:
    operation = {"sync": {"revision": revision, **more}}
    state = {"phase": phase, "message": "why", "operation": operation, "syncResult": {"revision": revision}}
    return {**app(), "status": {"operationState": state}}


OUT = compared([SETTINGS, WEB], [])


def test_automated_sync_starts_for_what_differs_and_retries_five_times() -> None:
    decision = decide(app(), OUT)
    assert decision.operation is not None
    assert decision.operation["sync"]["revision"] == "X"
    assert decision.operation["retry"] == {"limit": 5}
    assert decision.operation["initiatedBy"] == {"automated": True}
    assert decide(app(retry={"limit": 0}), OUT).operation["retry"] == {}  # type: ignore[index]  # there is one


@pytest.mark.parametrize(
    "application",
    [
        app(manual=True),
        {**app(), "operation": {"sync": {}}},
        {**app(), "metadata": {**app()["metadata"], "deletionTimestamp": "t"}},
        with_state("Succeeded"),
    ],
)
def test_automated_sync_stays_away(application: Object) -> None:
    assert decide(application, OUT) == compare.Decision()


def test_automated_sync_stays_away_from_synced_closed_and_prune_only() -> None:
    assert decide(app(), compared([SETTINGS], [SETTINGS])) == compare.Decision()
    assert decide(app(), OUT, window_open=False) == compare.Decision()
    assert decide(app(), compared([SETTINGS], [SETTINGS, WEB])) == compare.Decision()


def test_a_failed_commit_is_not_tried_again_but_a_later_one_is() -> None:
    assert decide(with_state("Failed"), OUT).error == "Failed last sync attempt to [X]: why"
    assert decide(with_state("Failed", "older"), OUT).operation is not None


def test_self_heal_counts_its_attempts() -> None:
    healing = with_state("Succeeded", autoHealAttemptsCount=2)
    healing["spec"]["syncPolicy"] = {"automated": {"selfHeal": True}}
    operation = decide(healing, OUT).operation
    assert operation is not None
    assert operation["sync"]["autoHealAttemptsCount"] == 3


def test_nothing_is_wiped_out_unless_allowed() -> None:
    nothing_left = compared([], [SETTINGS, WEB])
    assert "will wipe out all resources" in decide(app(automated={"prune": True}), nothing_left).error
    allowed = decide(app(automated={"prune": True, "allowEmpty": True}), nothing_left)
    assert allowed.operation is not None
    assert allowed.operation["sync"]["prune"] is True


def test_a_failed_comparison_shows_the_name_of_the_ref_and_the_live_health() -> None:
    found = compare.failed(app(), "because", [SETTINGS, HOOK])
    assert (found.sync, found.revision, found.health) == ("Unknown", "main", "Healthy")
    assert [row.get("status") for row in found.resources] == ["Unknown", None]


def test_a_condition_that_stays_keeps_its_time() -> None:
    first = compare.conditions(compare.failed(app(), "because", []), "", [], "t1")
    assert compare.conditions(compare.failed(app(), "because", []), "worse", first, "t2") == [
        {"lastTransitionTime": "t1", "message": "because", "type": "ComparisonError"},
        {"lastTransitionTime": "t2", "message": "worse", "type": "SyncError"},
    ]


def window(kind: str, schedule: str = "* * * * *", duration: str = "1h", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "schedule": schedule, "duration": duration, "applications": ["web*"], **more}


@pytest.mark.parametrize(
    ("given_windows", "automatic", "by_hand"),
    [
        ([], True, True),
        ([window("deny")], False, False),
        ([window("deny", manualSync=True)], False, True),
        ([window("deny", "0 3 * * *")], True, True),
        ([window("allow")], True, True),
        ([window("allow", "0 3 * * *")], False, False),
        ([window("allow", "0 3 * * *", manualSync=True)], False, True),
        ([window("allow"), window("deny", "0 12 * * *")], False, False),
        ([window("allow", "0 11,12 * * 6")], True, True),
        ([window("allow", "0-10/5 12 * * 1-5")], False, False),
    ],
)
def test_sync_windows(given_windows: list[dict[str, Any]], automatic: bool, by_hand: bool) -> None:
    chosen = windows.assigned(given_windows, app())
    assert windows.may_sync(chosen, NOW, manual=False) is automatic
    assert windows.may_sync(chosen, NOW, manual=True) is by_hand


def test_windows_name_applications_or_namespaces() -> None:
    by_namespace = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "namespaces": ["we?"]}
    assert windows.assigned([by_namespace, window("deny") | {"applications": ["other"]}], app()) == [by_namespace]


@given(st.integers(0, 59), st.integers(0, 23), st.integers(1, 600))
def test_a_window_is_open_for_its_duration(minute: int, hour: int, length: int) -> None:
    one = window("deny", f"{minute} {hour} * * *", f"{length}m")
    since = (NOW.hour * 60 + NOW.minute - hour * 60 - minute) % (24 * 60)
    assert bool(windows.active([one], NOW)) is (since < length)


def test_projections_take_only_what_is_asked_or_all_but_that() -> None:
    value = {"metadata": {"name": "a", "uid": "u"}, "status": {"sync": {"status": "Synced"}, "health": {}}}
    assert stream.project(value, ["metadata.name", "status.sync.status", "gone.x"]) == {
        "metadata": {"name": "a"},
        "status": {"sync": {"status": "Synced"}},
    }
    assert stream.project(value, ["-metadata", "-status.health"]) == {"status": {"sync": {"status": "Synced"}}}


def test_a_projected_list_knows_no_revision() -> None:
    status = {"sync": {"revision": "X", "status": "Synced"}, "operationState": {"syncResult": {"revision": "X"}}}
    shown = {"metadata": {"name": "web"}, "status": status}
    assert stream.listed(shown, ["metadata.name", "status.sync.revision", "status.sync.status"]) == {
        "metadata": {"name": "web"},
        "status": {"sync": {"status": "Synced"}},
    }
    odd = stream.listed(shown, ["status.operationState.operation.sync"])
    assert odd == {"status": {"operationState": {"operation": {"sync": {"revision": "X"}}}}}


def test_policies_are_globs_that_cross_slashes() -> None:
    account = Account("bot", "t", ("applications, get, team-*/*", "logs, get, */*"))
    assert account.may("applications", "get", "team-a/ns/web")
    assert not account.may("applications", "get", "other/web")
    assert not account.may("applications", "sync", "team-a/web")


def test_the_page_shows_applications_and_escapes_what_it_shows() -> None:
    async def main() -> bytes:
        store = Store(LoopClock())
        store.create({**app(), "status": {"sync": {"status": "<b>"}, "health": {"status": "Degraded"}}})
        deployed = objects.deployment("web", "x:v1")
        deployed["metadata"]["namespace"] = "web"
        store.create(deployed)
        return page.render(store)

    shown = run(main).decode()
    assert "&lt;b&gt;" in shown
    assert 'class="bad">Degraded' in shown
    assert "x:v1" in shown
