"""What the provider adds to parsing a Dag file, and what importing the package costs.

    python benchmarks/dag_parsing.py

Everything is measured in processes of its own, as Airflow's Dag processor parses: it forks one per file, in which
Airflow itself is loaded already and this package is not. The best of several runs counts: noise only ever adds.
Exits with 1 when a promise is not kept: parsing below 10 ms, `import loopseal` below 150 ms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 7
PARSING_MS = 10.0
IMPORT_MS = 150.0

OURS = """
from airflow.sdk import DAG
from loopseal.airflow import GitOpsChangeOperator, SetValue

with DAG("parsed", schedule=None):
    GitOpsChangeOperator(
        task_id="deploy",
        target="payments-staging",
        edits=[SetValue("apps/payments/values.yaml", "image.tag", "{{ params.tag }}")],
        reason="measured",
        on_failure="revert",
    )
"""

PLAIN = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("parsed", schedule=None):
    EmptyOperator(task_id="deploy")
"""

PARSE = """
import json, sys, time
import airflow.sdk, airflow.models, airflow.settings
from airflow.sdk import DAG, BaseSensorOperator, BaseOperatorLink, BaseHook
import airflow.providers.standard.operators.empty
code = compile(open(sys.argv[1]).read(), sys.argv[1], "exec")
with DAG("warm", schedule=None):
    airflow.providers.standard.operators.empty.EmptyOperator(task_id="warm")
begun = time.process_time()
exec(code, {"__name__": "parsed"})
print(json.dumps((time.process_time() - begun) * 1000))
"""

IMPORT = """
import json, time
begun = time.process_time()
import loopseal
print(json.dumps((time.process_time() - begun) * 1000))
"""


def best(program: str, *arguments: str, home: str) -> float:
    """Milliseconds that the program says it took, the least of several runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    told = []
    for _ in range(RUNS):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], env=environment, check=True, capture_output=True, text=True
        )
        told.append(json.loads(done.stdout.splitlines()[-1]))
    return min(told)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        files = {"plain": PLAIN, "ours": OURS}
        for name, text in files.items():
            (Path(folder) / f"{name}.py").write_text(text)
        parsed = {name: best(PARSE, f"{folder}/{name}.py", home=folder) for name in files}
        imported = best(IMPORT, home=folder)
    share = parsed["ours"] - parsed["plain"]
    rows = [
        ("a Dag with Airflow's EmptyOperator", parsed["plain"], ""),
        ("a Dag with GitOpsChangeOperator", parsed["ours"], ""),
        ("the provider's share of parsing", share, f"< {PARSING_MS:.0f}"),
        ("import loopseal", imported, f"< {IMPORT_MS:.0f}"),
    ]
    print(f"{'':44}{'ms':>8}  promised")
    for name, took, promise in rows:
        print(f"{name:44}{took:8.1f}  {promise}")
    return 0 if share < PARSING_MS and imported < IMPORT_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())
