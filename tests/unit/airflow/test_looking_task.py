"""Tasks without a change of their own: the sensor, and asking an engine to act."""

from __future__ import annotations

from typing import Any

import pytest

from loopseal.airflow.compat import AirflowException, AirflowFailException, AirflowSensorTimeout
from loopseal.airflow.operators.act import ArgoCDSyncOperator, FluxReconcileOperator
from loopseal.airflow.sensors.health import ApplicationHealthSensor
from tests.unit.airflow import scripted
from tests.unit.airflow.stage import AirflowSkipException, Stage, Try, defer, event_of, execute, in_dag, resume, revived

SHA = "b" * 40


def sensor(target: str = "good", **more: Any) -> Any:
    options: dict[str, Any] = {"timeout": 60, "poke_interval": 0, "deferrable": True, **more}
    return in_dag(lambda: ApplicationHealthSensor(task_id="look", target=target, **options))


class Acts(ArgoCDSyncOperator):
    """The scripted engine is of no known kind."""

    engine_kind = "scripted"


def acts(target: str = "synced", **more: Any) -> Any:
    return in_dag(lambda: Acts(task_id="act", target=target, **{"deferrable": True, **more}))


def whole(task: Any, one: Try | None = None) -> Any:
    one = one or Try()
    deferred = defer(task, one)
    return resume(task, one, deferred, event_of(revived(deferred.trigger)))


@pytest.mark.parametrize(("revision", "seen"), [(None, "a" * 40), (SHA, SHA)])
def test_the_sensor_sees_health_at_a_commit_or_at_whatever_is_shown(
    stage: Stage, revision: str | None, seen: str
) -> None:
    outcome = whole(sensor(revision=revision))
    assert outcome == {
        "target": "good",
        "revision": seen,
        "reason": "HEALTHY",
        "links": {"application": "https://engine.test/good"},
    }


def test_the_commit_of_the_dag_itself(stage: Stage) -> None:
    assert whole(sensor(revision="dag"), Try(bundle_version="d" * 40))["revision"] == "d" * 40
    with pytest.raises(AirflowFailException, match="needs a Dag bundle with versions"):
        defer(sensor(revision="dag"), Try())


def test_the_sensor_pokes_as_any_other(stage: Stage) -> None:
    assert execute(sensor(deferrable=False), Try()) is None
    with pytest.raises(AirflowFailException, match="REVISION_DIVERGED"):
        execute(sensor("gone", deferrable=False), Try())


@pytest.mark.parametrize(("soft", "error"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)])
def test_the_sensor_gives_up_in_time_and_says_what_it_saw(stage: Stage, soft: bool, error: type[Exception]) -> None:
    with pytest.raises(error) as gave_up:
        whole(sensor("late", timeout=0.2, soft_fail=soft))
    cause = gave_up.value.__cause__ if soft else gave_up.value
    assert "argo/late is not in time: PENDING HEALTH_PROGRESSING" in str(cause)


def test_a_failure_may_still_turn_for_a_sensor(stage: Stage) -> None:
    with pytest.raises(AirflowSensorTimeout, match="argo/bad is not in time: FAILED DEGRADED"):
        whole(sensor("bad", timeout=0.2))


def test_what_shows_no_commit_is_waited_for(stage: Stage) -> None:
    with pytest.raises(AirflowSensorTimeout, match="it shows no commit yet"):
        whole(sensor("empty", timeout=0.2))


def test_one_application_of_several(stage: Stage) -> None:
    assert whole(sensor("two", application="good"))["reason"] == "HEALTHY"
    with pytest.raises(AirflowFailException, match=r"no application 'best'[\s\S]*argo/good, argo/bad"):
        whole(sensor("two", application="best"))


def test_a_target_of_other_dags_is_not_looked_at(stage: Stage) -> None:
    task, one = sensor(), Try()
    deferred = defer(task, one)
    trigger = revived(deferred.trigger)
    with pytest.raises(AirflowFailException, match="does not list Dag 'another'"):
        resume(task, one, deferred, event_of(revived(trigger, wish={**trigger.wish, "dag": "another"})))


def test_acting_is_asked_for_and_waited_for(stage: Stage) -> None:
    outcome = whole(acts(revision=SHA))
    assert (outcome["revision"], scripted.acted) == (SHA, [f"good@{SHA}"])
    assert execute(acts(deferrable=False), Try())["revision"] == stage.git("rev-parse", "main").strip()


def test_without_permission_there_is_only_watching(stage: Stage) -> None:
    assert whole(acts("good"))["reason"] == "HEALTHY"
    assert scripted.acted == []


def test_the_operator_must_fit_the_engine(stage: Stage) -> None:
    task = in_dag(lambda: FluxReconcileOperator(task_id="act", target="synced", deferrable=True))
    with pytest.raises(AirflowFailException, match="looked after by scripted, not by flux"):
        whole(task)


def test_acting_ends_with_a_failure(stage: Stage) -> None:
    with pytest.raises(AirflowFailException, match="argo/bad is FAILED DEGRADED"):
        whole(acts("bad"))
    with pytest.raises(AirflowFailException, match="not in time"):
        whole(acts("late", timeout=0.2))


def test_an_undeclared_target_is_told_before_deferring(stage: Stage) -> None:
    with pytest.raises(AirflowFailException, match="did you mean"):
        defer(acts("sinced"), Try())


def test_a_peer_that_is_down_is_sat_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from loopseal.airflow import looking

    down = [scripted.down(), scripted.down()]

    async def status(self: Any, application: Any) -> Any:
        if down:
            raise down.pop()
        return {"revision": SHA}

    monkeypatch.setattr(looking, "PAUSES", (0.01,))
    monkeypatch.setattr(scripted.Engine, "status", status)
    assert whole(sensor())["revision"] == SHA


def test_a_trigger_never_raises(stage: Stage) -> None:
    task, one = sensor(), Try()
    deferred = defer(task, one)
    stage.config.unlink()
    with pytest.raises(AirflowFailException):
        resume(task, one, deferred, event_of(revived(deferred.trigger)))


def test_an_unexpected_error_is_for_a_retry(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from loopseal.airflow import looking

    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    task, one = acts(), Try()
    deferred = defer(task, one)
    monkeypatch.setattr(looking, "fulfil", broken)
    with pytest.raises(AirflowException, match="unexpected ZeroDivisionError") as failed:
        resume(task, one, deferred, event_of(revived(deferred.trigger)))
    assert not isinstance(failed.value, AirflowFailException)
