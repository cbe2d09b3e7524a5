"""The demo's acts on both engines: the Dags of `examples/` on a real Airflow."""

from __future__ import annotations

import pytest

from loopseal.testing.demo import ACTS, open_stage, run_act

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module", params=["argocd", "flux"])
def stage(request, tmp_path_factory):
    told: list[str] = []
    with open_stage(tmp_path_factory.mktemp("demo") / request.param, request.param, told.append) as made:
        yield made
    assert told


@pytest.mark.timeout(420)
@pytest.mark.parametrize("act", ACTS, ids=[act.letter for act in ACTS])
def test_an_act_goes_as_it_must(stage, act):
    said: list[str] = []
    rows = run_act(act, stage, said.append)
    assert rows
    assert all(row.verified and len(row.change) == 26 for row in rows)
    assert said
