"""The table of reasons is whole, and the page is made from it."""

from __future__ import annotations

import re
from pathlib import Path

from loopseal.domain.revision import State
from loopseal.engines import reasons
from loopseal.engines.reasons import FINDINGS, REASONS, known, page

ROOT = Path(__file__).parents[3]
ENGINES = ROOT / "src/loopseal/engines"
SAID = re.compile(r'State\.([A-Z]+),\s*"([A-Z][A-Z_]+)"')


def test_the_page_is_up_to_date():
    assert (ROOT / "docs/reference/verdicts.md").read_text() == page()


def test_no_code_stands_twice():
    assert len({one.code for one in REASONS}) == len(REASONS)
    assert len({code for code, _, _ in FINDINGS}) == len(FINDINGS)


def test_every_reason_that_a_module_says_is_in_the_table():
    said = {pair for path in ENGINES.glob("*.py") for pair in SAID.findall(path.read_text())}
    assert len(said) > 40
    assert [(state, reason) for state, reason in said if not known(State[state], reason)] == []


def test_every_reason_in_the_table_is_said_somewhere():
    written = "".join(path.read_text() for path in ENGINES.glob("*.py") if path.name != "reasons.py")
    written += (ROOT / "src/loopseal/domain/revision.py").read_text()
    built = {"HEALTH_", "OPERATION_"}  # made from the engine's own words
    unsaid = [
        one.code
        for one in REASONS
        if f'"{one.code}"' not in written
        and not one.code.startswith(tuple(built))
        and one.code not in {"DEGRADED", "MISSING"}
    ]
    assert unsaid == []


def test_every_finding_is_in_the_table():
    written = "".join(path.read_text() for path in ENGINES.glob("*.py") if path.name != "reasons.py")
    said = set(re.findall(r'"((?:argocd|flux)\.[a-z_]+)"', written))
    said |= {
        f"{engine}.{name}" for engine in ("argocd", "flux") for name in re.findall(r'f"\{engine\}\.([a-z_]+)"', written)
    }
    assert said == {code for code, _, _ in FINDINGS}


def test_what_is_known():
    assert known(State.SUCCEEDED, "HEALTHY")
    assert not known(State.FAILED, "HEALTHY")
    assert known(State.FAILED, "HealthCheckFailed")
    assert known(State.PENDING, "FAILED_ONCE_HealthCheckFailed")
    assert not known(State.FAILED, "SOMETHING_NEW")
    assert reasons.REASONS[0].code == "HEALTHY"
