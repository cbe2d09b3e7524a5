"""Edits as dictionaries that Airflow renders, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import DAG, XComArg, literal, task
from hypothesis import given
from hypothesis import strategies as st

from loopseal.airflow.edits import boolean, build, number, plain
from loopseal.airflow.operators.change import GitOpsChangeOperator
from loopseal.domain.proposal import ABSENT, ANYTHING, DeleteFile, PutFile, RemoveKey, SetImage, SetValue
from loopseal.errors import ConfigError

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
expected = st.sampled_from([ANYTHING, ABSENT]) | scalars
blobs = st.sampled_from([ANYTHING, ABSENT, "a" * 40])
edits = st.one_of(
    st.builds(SetValue, texts, texts, scalars, expected, st.booleans()),
    st.builds(RemoveKey, texts, texts, expected),
    st.builds(SetImage, texts, texts, st.none() | texts, st.none() | texts, st.none() | texts, st.just(ANYTHING)),
    st.builds(PutFile, texts, texts | st.binary(max_size=12), blobs),
    st.builds(DeleteFile, texts, blobs),
)


def same(one: Any, other: Any) -> bool:
    """Equality that tells 1 from 1.0 and True."""
    return repr(one) == repr(other)


@given(st.lists(edits, min_size=1, max_size=4))
def test_plain_and_back(given_edits: list[Any]) -> None:
    assert same(build(plain(given_edits)), tuple(given_edits))


@given(edits)
def test_one_edit_is_as_good_as_a_list(edit: Any) -> None:
    assert same(build(plain(edit)), (edit,))
    assert same(build(edit), (edit,))


@given(st.lists(edits, min_size=1, max_size=3))
def test_the_json_of_an_upstream_task_is_as_good(given_edits: list[Any]) -> None:
    from loopseal.wire import dump_edits

    assert same(build(json.loads(json.dumps(dump_edits(given_edits)))), tuple(given_edits))


@pytest.mark.parametrize("wrong", ["text", 7, None, [7], [{"type": "Nothing"}], [{"path": "x"}], {"type": "SetValue"}])
def test_anything_else_is_told_with_its_place(wrong: Any) -> None:
    with pytest.raises(ConfigError) as told:
        build(wrong)
    assert told.value.code == "proposal.invalid"
    assert "edits" in told.value.where


def rendered(make: Any, *, params: dict[str, Any], **dag: Any) -> Any:
    with DAG("d", schedule=None, **dag) as made:
        operator = GitOpsChangeOperator(task_id="t", target="x", reason="r", edits=make)
    operator.render_template_fields({"params": params, "task": operator, "dag": made})
    return build(operator.edits)


def test_templates_render_to_text_unless_another_kind_is_meant() -> None:
    out = rendered(
        [
            SetValue("{{ params.p }}", "a.b", "{{ params.n }}"),
            SetValue("p", "n", number("{{ params.n }}")),
            SetValue("p", "f", number(" {{ params.f }} ")),
            SetValue("p", "b", boolean("{{ params.b }}"), expect=ABSENT, create=True),
            SetValue("p", "i", 7),
            SetValue("p", "l", literal("{{ kept }}")),
        ],
        params={"p": "values.yaml", "n": 3, "f": 1.5, "b": "Yes"},
    )
    assert same(
        out,
        (
            SetValue("values.yaml", "a.b", "3"),
            SetValue("p", "n", 3),
            SetValue("p", "f", 1.5),
            SetValue("p", "b", True, ABSENT, create=True),
            SetValue("p", "i", 7),
            SetValue("p", "l", "{{ kept }}"),
        ),
    )


@pytest.mark.parametrize(("text", "value"), [("true", True), ("ON", True), ("0", False), ("no", False)])
def test_truth_values(text: str, value: bool) -> None:
    (edit,) = rendered([SetValue("p", "k", boolean("{{ params.t }}"))], params={"t": text})
    assert edit.value is value


@pytest.mark.parametrize("make", [number, boolean])
def test_what_is_no_such_value_fails_the_rendering(make: Any) -> None:
    with pytest.raises(ValueError, match="maybe"):
        rendered([SetValue("p", "k", make("{{ params.t }}"))], params={"t": "maybe"})


@pytest.mark.parametrize("keep", [None, True])
def test_a_file_keeps_its_last_newline(keep: bool | None) -> None:
    environment = None if keep is None else {"keep_trailing_newline": keep}
    (edit,) = rendered([PutFile("p", "a: {{ params.n }}\n")], params={"n": 3}, jinja_environment_kwargs=environment)
    assert edit.content == "a: 3\n"


def test_native_rendering_gives_native_values() -> None:
    (edit,) = rendered([SetValue("p", "k", "{{ params.n }}")], params={"n": 3}, render_template_as_native_obj=True)
    assert same(edit.value, 3)


def test_an_xcomarg_inside_an_edit_is_an_upstream_task() -> None:
    with DAG("d", schedule=None):

        @task
        def a_value() -> str:
            return "x"

        @task
        def all_edits() -> list[Any]:
            return []

        inside = GitOpsChangeOperator(task_id="inside", target="x", reason="r", edits=[SetValue("p", "k", a_value())])
        instead = GitOpsChangeOperator(task_id="instead", target="x", reason="r", edits=all_edits())
    assert inside.upstream_task_ids == {"a_value"}
    assert instead.upstream_task_ids == {"all_edits"}
    assert isinstance(instead.edits, XComArg)


def test_edits_are_shown_as_json() -> None:
    from airflow.sdk.execution_time.task_runner import _serialize_rendered_fields

    with DAG("d", schedule=None):
        operator = GitOpsChangeOperator(
            task_id="t", target="x", reason="r", edits=[SetValue("p", "k", number("{{ 1 }}")), PutFile("q", "text")]
        )
    shown = _serialize_rendered_fields(operator)["edits"]
    if isinstance(shown, str):  # Airflow 3.1 shows the list as text
        assert "'value': number('{{ 1 }}')" in shown
    else:
        assert shown == [
            {"key": "k", "path": "p", "type": "SetValue", "value": "number('{{ 1 }}')"},
            {"content": "text", "path": "q", "type": "PutFile"},
        ]
