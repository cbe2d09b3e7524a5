"""The legs of a task that makes a change: intent, deferral, outcome, retry, clear, kill."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from typing import Any

import pytest
from airflow.sdk import Asset

from loopseal.airflow.compat import AirflowException, AirflowFailException
from loopseal.airflow.decorators.change import gitops_change_task
from loopseal.airflow.operators.change import GitOpsChangeOperator
from loopseal.airflow.operators.revert import GitOpsRevertOperator
from loopseal.domain.proposal import PutFile, SetValue
from tests.unit.airflow import scripted
from tests.unit.airflow.stage import VALUES, Stage, Try, defer, event_of, execute, in_dag, resume, revived, whole


def change(target: str = "good", value: Any = "v2", **more: Any) -> Any:
    edits = more.pop("edits", [SetValue(VALUES, "image.tag", value)])
    more.setdefault("deferrable", False)
    return in_dag(lambda: GitOpsChangeOperator(task_id="change", target=target, edits=edits, reason="because", **more))


def told(one: Try, change_id: str) -> list[str]:
    assert one.store is not None
    kept = one.store.get("loopseal")
    return [event["type"] for event in kept["events"][change_id]["events"]]


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_change_that_becomes_healthy(stage: Stage, deferrable: bool) -> None:
    live, one = Asset("live", uri="x-test://live"), Try()
    task = change(deferrable=deferrable, outlets=[live])
    outcome = whole(task, one) if deferrable else execute(task, one)
    (commit,) = stage.commits_of(outcome["change"])
    assert outcome == {
        "change": outcome["change"],
        "target": "good",
        "revision": commit,
        "phase": "healthy",
        "reason": "HEALTHY",
        "links": {"application": "https://engine.test/good"},
    }
    assert "tag: v2" in stage.text()
    assert told(one, outcome["change"]) == ["Proposed", "Cleared", "Committed", "Reconciled", "Healthy"]
    assert one.outlets[live].extra == {"mine": 1, "change": outcome["change"], "revision": commit, "target": "good"}


def test_nothing_is_written_before_the_intent_is_kept(stage: Stage) -> None:
    one = Try()
    deferred = defer(change(deferrable=True), one)
    assert stage.commits() == 1
    assert told(one, one.xcoms["change"]) == ["Proposed", "Cleared"]
    event_of(revived(deferred.trigger))
    assert stage.commits() == 2


def test_the_trigger_may_run_twice(stage: Stage) -> None:
    one, task = Try(), change(deferrable=True)
    deferred = defer(task, one)
    first, second = event_of(revived(deferred.trigger)), event_of(revived(deferred.trigger))
    assert stage.commits() == 2
    assert resume(task, one, deferred, second)["revision"] == stage.commits_of(first["change"])[0]


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_failed_rollout_fails_without_a_retry(stage: Stage, deferrable: bool) -> None:
    one, task = Try(), change("bad", deferrable=deferrable)
    with pytest.raises(AirflowFailException) as failed:
        whole(task, one) if deferrable else execute(task, one)
    assert "DEGRADED: the rollout failed" in str(failed.value)
    assert "Deployment/api Degraded: cannot pull the image" in str(failed.value)
    assert "tag: v2" in stage.text(), "nobody asked to take it back"
    assert one.xcoms["failed"]["phase"] == "failed"


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_failed_rollout_is_taken_back_where_that_is_asked(stage: Stage, deferrable: bool) -> None:
    one, task = Try(), change("bad", deferrable=deferrable, on_failure="revert")
    with pytest.raises(AirflowFailException) as failed:
        whole(task, one) if deferrable else execute(task, one)
    assert "tag: v1" in stage.text()
    back = one.xcoms["failed"]["revert"]
    assert f"reverted by {back['revision']}, and that is failed" in str(failed.value)
    assert stage.commits_of(back["change"]) == [back["revision"]]


def test_the_evidence_is_logged_in_groups(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    from loopseal.airflow.telling import log_evidence
    from loopseal.ports import Evidence

    lines: list[str] = []

    class Log:
        def info(self, event: str, *args: Any) -> None:
            lines.append(event % args if args else event)

    log_evidence(Log(), Evidence((("Events of api", "one\ntwo"),), (("page", "https://x.test"),)))
    assert lines == ["::group::Events of api", "one", "two", "::endgroup::", "page: https://x.test"]


def test_superseded_is_a_definite_no(stage: Stage) -> None:
    with pytest.raises(AirflowFailException, match="REVISION_DIVERGED: the branch was rewritten"):
        whole(change("gone", deferrable=True), Try())


def test_what_can_never_arrive_is_refused_before_the_commit(stage: Stage) -> None:
    with pytest.raises(AirflowFailException, match="it reads from another folder"):
        execute(change("deaf", deferrable=True), Try())
    assert stage.commits() == 1


@pytest.mark.parametrize(
    ("edits", "code"),
    [
        ([SetValue(VALUES, "image.tug", "x")], "edit.key_missing"),
        ([SetValue("elsewhere.yaml", "a", "x")], "proposal.out_of_scope"),
        ([SetValue(VALUES, "image.tag", "x", expect="v0")], "edit.expectation"),
        ([], "proposal.invalid"),
        ("nonsense", "proposal.invalid"),
    ],
)
def test_an_edit_that_cannot_be_done(stage: Stage, edits: Any, code: str) -> None:
    with pytest.raises(AirflowFailException) as failed:
        whole(change("good", deferrable=True, edits=edits), Try())
    assert code in str(failed.value)
    assert stage.commits() == 1


def test_an_undeclared_target_names_the_near_one(stage: Stage) -> None:
    with pytest.raises(AirflowFailException, match="did you mean 'good'"):
        execute(change("goood"), Try())


def test_a_dag_that_is_not_listed_is_denied(stage: Stage) -> None:
    task, one = change(), Try()
    context = one.context(task)
    context["ti"].dag_id = "another"
    with pytest.raises(AirflowFailException, match="does not list Dag 'another'"):
        task.execute(context)


def test_what_passes_is_sat_out_within_the_trigger(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from loopseal.airflow import errand

    monkeypatch.setattr(errand, "PAUSES", (0.01,))
    scripted.unreachable += [scripted.down(), scripted.down()]
    outcome = whole(change(deferrable=True), Try())
    assert outcome["phase"] == "healthy"
    assert scripted.unreachable == []


def test_what_does_not_pass_in_time_is_for_a_retry(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from loopseal.airflow import errand

    monkeypatch.setattr(errand, "PAUSES", (0.01,))
    monkeypatch.setattr(errand, "LOOK", timedelta(seconds=-1))
    scripted.unreachable += [scripted.down() for _ in range(1000)]
    one, task = Try(), change(deferrable=True, timeout=0.1)
    with pytest.raises(AirflowException, match="nobody answers") as failed:
        whole(task, one)
    assert not isinstance(failed.value, AirflowFailException)
    scripted.reset()
    again = whole(change(deferrable=True), Try(one.store, number=2))
    assert again["change"] == one.xcoms["change"], "the retry goes on with the same change"
    assert stage.commits() == 2


def test_whatever_hangs_ends_some_time_after_the_deadline(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from loopseal.airflow import errand

    async def hangs(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(errand, "GRACE", timedelta(seconds=0.1))
    monkeypatch.setattr(errand, "LOOK", timedelta(seconds=-1))
    monkeypatch.setattr(scripted.Engine, "baseline", hangs)
    with pytest.raises(AirflowException, match="something hangs") as failed:
        whole(change(deferrable=True, timeout=0.1), Try())
    assert not isinstance(failed.value, AirflowFailException)


def test_a_retry_finds_what_has_landed(stage: Stage) -> None:
    one, task = Try(), change(deferrable=True)
    first = event_of(revived(defer(task, one).trigger))["change"]
    outcome = whole(change(deferrable=True), Try(one.store, number=2))
    assert outcome["change"] == first
    assert len(stage.commits_of(first)) == 1


def test_a_retry_of_what_is_healthy_is_done_at_once(stage: Stage) -> None:
    one = Try()
    first = whole(change(deferrable=True), one)
    assert execute(change(deferrable=True), Try(one.store, number=2)) == first


def test_a_retry_that_asks_for_something_else_is_refused(stage: Stage) -> None:
    one = Try()
    defer(change(deferrable=True), one)
    with pytest.raises(AirflowFailException, match="Clear the task to propose anew"):
        execute(change(value="v3", deferrable=True), Try(one.store, number=2))
    assert stage.commits() == 1


def test_a_clear_begins_anew(stage: Stage) -> None:
    one = Try()
    first = whole_or_direct(change(), one)
    second = whole_or_direct(change(value="v3"), Try(one.store, number=2, max_tries=2))
    assert second["change"] != first["change"]
    assert one.store is not None
    assert one.store.get("loopseal")["previous"] == [first["change"]]
    third = whole_or_direct(change(value="v4"), Try(one.store, number=3, max_tries=3))
    assert one.store.get("loopseal")["previous"] == [first["change"], second["change"]]
    assert "tag: v4" in stage.text()
    assert third["phase"] == "healthy"


def whole_or_direct(task: Any, one: Try) -> Any:
    return whole(task, one) if task.deferrable else execute(task, one)


def test_before_airflow_3_3_the_id_alone_finds_the_commit(stage: Stage) -> None:
    first = whole(change(deferrable=True), Try(store=None))
    second = whole(change(deferrable=True), Try(store=None, number=2))
    assert second["change"] == first["change"]
    assert second["revision"] == first["revision"]
    assert stage.commits() == 2


def test_what_an_earlier_try_kept_must_be_readable(stage: Stage) -> None:
    one = Try()
    assert one.store is not None
    one.store.set("loopseal", {"format": 99})
    with pytest.raises(AirflowFailException, match="cannot be read"):
        execute(change(), one)


def test_where_there_is_nothing_to_wait_for_deferring_is_left_out(stage: Stage) -> None:
    outcome = execute(change("plain", deferrable=True), Try())
    assert outcome["phase"] == "healthy"
    landed = execute(change("good", value="v3", deferrable=True, wait=False), Try())
    assert landed["phase"] == "committed"


def test_mapped_instances_share_pushes_in_the_triggerer(stage: Stage) -> None:
    tries = [Try(map_index=index) for index in range(6)]
    tasks = [change("plain", edits=[PutFile(f"apps/{n}.txt", f"{n}\n")], deferrable=True) for n in range(6)]
    triggers = [revived(defer(task, one).trigger) for task, one in zip(tasks, tries, strict=True)]

    async def all_at_once() -> list[Any]:
        async def run(trigger: Any) -> Any:
            return [event.payload async for event in trigger.run()]

        return await asyncio.gather(*(run(trigger) for trigger in triggers))

    events = asyncio.run(all_at_once())
    assert len(events) == 6
    assert stage.commits() == 7
    assert len({one.xcoms["change"] for one in tries}) == 6


def test_a_stopped_task_withdraws_and_a_retry_begins_anew(stage: Stage) -> None:
    one, task = Try(), change(deferrable=True)
    defer(task, one)
    task.on_kill()
    assert told(one, one.xcoms["change"]) == ["Proposed", "Cleared", "Withdrawn"]
    again = Try(one.store, number=2)
    outcome = whole(change(deferrable=True), again)
    assert outcome["change"] != one.xcoms["change"]
    assert stage.commits() == 2


@pytest.mark.parametrize(("action", "tag"), [("keep", "v2"), ("revert", "v1")])
@pytest.mark.parametrize("where", ["worker", "trigger"])
def test_a_stopped_task_keeps_or_takes_back_what_landed(stage: Stage, where: str, action: Any, tag: str) -> None:
    one, task = Try(), change(deferrable=True, on_kill_action=action)
    deferred = defer(task, one)
    trigger = revived(deferred.trigger)
    event_of(trigger)
    if where == "worker":
        task.on_kill()
    else:
        asyncio.run(revived(deferred.trigger).on_kill())
    assert f"tag: {tag}" in stage.text()


def test_a_kill_is_finished_although_airflow_cancels_again_and_again(stage: Stage) -> None:
    one, task = Try(), change(deferrable=True, on_kill_action="revert")
    deferred = defer(task, one)
    event_of(revived(deferred.trigger))

    async def killed() -> None:
        work = asyncio.create_task(revived(deferred.trigger).on_kill())
        while not work.done():
            await asyncio.sleep(0.02)
            work.cancel()
        await work

    asyncio.run(killed())
    assert "tag: v1" in stage.text()


def test_a_kill_before_anything_was_asked_is_nothing(stage: Stage) -> None:
    change().on_kill()
    assert stage.commits() == 1


def test_on_kill_stops_what_runs(stage: Stage) -> None:
    import threading

    one, task = Try(), change("late", deferrable=False, on_kill_action="revert")
    raised: list[BaseException] = []

    def work() -> None:
        try:
            execute(task, one)
        except BaseException as error:  # noqa: BLE001 - whatever comes is what is looked at
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while stage.commits() == 1:
        threading.Event().wait(0.02)
    task.on_kill()
    thread.join(20)
    assert [type(error) for error in raised] == [asyncio.CancelledError]
    assert "tag: v1" in stage.text()


def test_the_actor_is_the_task_on_behalf_of_a_person(stage: Stage) -> None:
    outcome = execute(change("plain"), Try(map_index=3, bundle_version="c" * 40))
    trailers = stage.git("log", "-1", "--format=%(trailers:only)", outcome["revision"]).splitlines()
    assert "Loopseal-Actor: dag:loop_test/change@airflow.test" in trailers
    assert "Loopseal-Actor-On-Behalf-Of: person:ada@airflow.test" in trailers
    assert {"Loopseal-Map-Index: 3", f"Loopseal-Bundle-Version: {'c' * 40}", "Loopseal-Try: 1"} <= set(trailers)


def test_the_function_form(stage: Stage) -> None:
    with_tag: Any = gitops_change_task(target="plain", reason="from {{ ti.run_id }}")

    def three(n: int) -> Any:
        return [
            SetValue(VALUES, "replicas", n),
            PutFile("apps/raw.txt", "{{ not rendered }}\n"),
        ]

    def none() -> None:
        return None

    task = in_dag(lambda: with_tag(three)(3)).operator
    task.op_args = (3,)
    outcome = execute(task, Try())
    assert outcome["phase"] == "healthy"
    assert "replicas: 3\n" in stage.text()
    assert stage.text("apps/raw.txt") == "{{ not rendered }}\n"
    empty = in_dag(with_tag(none)).operator
    with pytest.raises(AirflowFailException, match="edits"):
        execute(empty, Try())


@pytest.mark.parametrize("as_output", [True, False])
def test_a_change_is_taken_back_by_another_task(stage: Stage, as_output: bool) -> None:
    landed = execute(change("plain"), Try())

    def back() -> Any:
        which = landed if as_output else f" {landed['change']} "
        return in_dag(lambda: GitOpsRevertOperator(task_id="back", target="plain", change=which))

    outcome = execute(back(), Try())
    assert outcome["phase"] == "healthy"
    assert "tag: v1" in stage.text()
    again = execute(back(), Try(max_tries=5))
    assert again["change"] == outcome["change"], "one change has one revert, whoever asks"
    assert stage.commits() == 3


@pytest.mark.parametrize("which", ["", None, "no such id", {"other": 1}])
def test_what_is_no_change_cannot_be_taken_back(stage: Stage, which: Any) -> None:
    task = in_dag(lambda: GitOpsRevertOperator(task_id="back", target="plain", change=which))
    with pytest.raises(AirflowFailException, match="is no change id"):
        execute(task, Try())


def test_somebody_elses_later_edit_is_not_undone(stage: Stage) -> None:
    first = execute(change("plain"), Try())
    execute(change("plain", value="v3"), Try(max_tries=7))
    task = in_dag(lambda: GitOpsRevertOperator(task_id="back", target="plain", change=first["change"]))
    with pytest.raises(AirflowFailException, match=r"revert\.not_last_writer"):
        execute(task, Try())
    assert "tag: v3" in stage.text()


def test_the_links_are_there_on_every_leg(stage: Stage) -> None:
    from loopseal.airflow.links import ApplicationLink, CommitLink

    one, task = Try(), change("bad", deferrable=True)
    deferred = defer(task, one)
    key: Any = one.context(task)["ti"]
    assert ApplicationLink().get_link(task, ti_key=key) == "https://engine.test/bad"
    fresh = change("bad", deferrable=True)
    with pytest.raises(AirflowFailException):
        resume(fresh, one, deferred, event_of(revived(deferred.trigger)))
    assert ApplicationLink().get_link(fresh, ti_key=key) == "https://engine.test/bad"
    broken = change("bad", deferrable=True)
    assert ApplicationLink().get_link(broken, ti_key=key) == "https://engine.test/bad", "from the state store"
    assert CommitLink().get_link(broken, ti_key=key) == "", "a folder has no pages"
    stranger: Any = object()
    assert ApplicationLink().get_link(broken, ti_key=stranger) == ""


def test_a_trigger_never_raises(stage: Stage) -> None:
    one, task = Try(), change(deferrable=True)
    deferred = defer(task, one)
    stage.rewrite({"targets": {}, "engines": {}})
    with pytest.raises(AirflowFailException, match="engine 'argo', which is not declared"):
        resume(task, one, deferred, event_of(revived(deferred.trigger)))
    stage.config.unlink()
    with pytest.raises(AirflowFailException, match="config"):
        resume(task, one, deferred, event_of(revived(deferred.trigger)))


def test_an_unexpected_error_is_for_a_retry_and_not_repeated(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from loopseal.airflow import errand

    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError("holds a secret, for all we know")

    one, task = Try(), change(deferrable=True)
    deferred = defer(task, one)
    monkeypatch.setattr(errand, "carry_out", broken)
    payload = event_of(revived(deferred.trigger))
    with pytest.raises(AirflowException, match="unexpected ZeroDivisionError") as failed:
        resume(task, one, deferred, payload)
    assert "secret" not in str(failed.value)
    assert not isinstance(failed.value, AirflowFailException)


def test_engines_and_repositories_are_closed_when_the_last_one_leaves(stage: Stage) -> None:
    execute(change(), Try())
    assert scripted.closed == ["engine"]


def test_an_event_does_not_print_what_it_carries() -> None:
    from loopseal.airflow.triggers.change import Told

    event = Told(payload={"change": "abc", "events": {"abc": "the content of a file"}})
    assert repr(event) == "Told<abc>"
    assert event.model_dump()["payload"]["events"] == {"abc": "the content of a file"}


def test_a_revert_that_landed_before_a_crash_is_found(stage: Stage) -> None:
    one, task = Try(), change("bad", deferrable=True, on_failure="revert")
    deferred = defer(task, one)
    event_of(revived(deferred.trigger))
    assert stage.commits() == 3
    with pytest.raises(AirflowFailException, match="reverted by"):
        resume(task, one, deferred, event_of(revived(deferred.trigger)))
    assert stage.commits() == 3
    assert "tag: v1" in stage.text()


def test_openlineage_is_told_which_files_were_written(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import ModuleType, SimpleNamespace

    if importlib.util.find_spec("openlineage") is None:  # a stand-in for the two names that are used of it
        extractors, events = ModuleType("extractors"), ModuleType("event_v2")
        extractors.OperatorLineage = lambda outputs=(): SimpleNamespace(outputs=outputs)  # type: ignore[attr-defined]
        events.OutputDataset = SimpleNamespace  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "airflow.providers.openlineage", ModuleType("openlineage"))
        monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.extractors", extractors)
        monkeypatch.setitem(sys.modules, "openlineage", ModuleType("openlineage"))
        monkeypatch.setitem(sys.modules, "openlineage.client", ModuleType("client"))
        monkeypatch.setitem(sys.modules, "openlineage.client.event_v2", events)
    task, one = change("plain"), Try()
    assert list(task.get_openlineage_facets_on_complete(None).outputs) == []
    execute(task, one)
    (output,) = task.get_openlineage_facets_on_complete(None).outputs
    assert (output.namespace, output.name) == (f"file://{stage.bare}", f"main:{VALUES}")


def test_waiting_without_a_worker_slot_is_the_default() -> None:
    task = in_dag(lambda: GitOpsChangeOperator(task_id="t", target="x", edits=[], reason="r"))
    assert task.deferrable


@pytest.mark.parametrize(("deferred_still", "tag"), [(True, "v2"), (False, "v1")])
def test_before_airflow_3_3_a_kill_shows_in_the_tasks_state(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, deferred_still: bool, tag: str
) -> None:
    from types import SimpleNamespace

    from loopseal.airflow import compat

    async def still_deferred(_: Any) -> bool:
        return deferred_still

    one, task = Try(), change(deferrable=True, on_kill_action="revert")
    deferred = defer(task, one)
    event_of(revived(deferred.trigger))
    trigger = revived(deferred.trigger)
    trigger.task_instance = SimpleNamespace(task_id="change")
    monkeypatch.setattr(compat, "triggers_hear_kills", lambda: True)
    asyncio.run(trigger.cleanup())
    assert "tag: v2" in stage.text(), "where Airflow tells a kill, the end alone says nothing"
    monkeypatch.setattr(compat, "triggers_hear_kills", lambda: False)
    monkeypatch.setattr(compat, "still_deferred", still_deferred)
    asyncio.run(trigger.cleanup())
    assert f"tag: {tag}" in stage.text()
