"""For whom a task without a change of its own calls engines: the Dag that looks."""

from __future__ import annotations

import asyncio
import logging

from loopseal.airflow.looking import Wish, fulfil
from loopseal.ports import Behalf
from tests.unit.usecases.scene import HEALTHY, Scene
from tests.unit.usecases.test_behalf import Asked


def test_a_dag_that_looks_is_named_in_the_record():
    async def go():
        scene = Scene(argo=Asked(HEALTHY))
        wish = Wish("payments-staging", scene.deadline(), revision="a" * 40, dag="payments_look")
        seen = await fulfil(scene.world(), wish, logging.getLogger("task"))
        assert seen.good
        assert {whose for _, whose in scene.argo.whose} == {Behalf("dag:payments_look")}

    asyncio.run(go())
