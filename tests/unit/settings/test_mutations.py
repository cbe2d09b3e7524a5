"""Any small slip in a good file is either harmless or told, with its place; and any good document is read."""

from __future__ import annotations

from typing import Any

import hypothesis
import jsonschema
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loopseal import settings
from loopseal.errors import ConfigError
from loopseal.settings.document import read
from tests.unit.settings.test_settings import EXAMPLE

VALIDATOR = jsonschema.Draft202012Validator(settings.schema())

names = st.text("abcdefgh-_.0", min_size=1, max_size=8).map(lambda text: "n" + text)
references = st.sampled_from(["env:TOKEN", "file:/run/secrets/token", "connection:git", "command:helper get"])
durations = st.integers(1, 10_000) | st.sampled_from(["90s", "20m", "1h30m", "1.5s"])
paths = st.lists(st.sampled_from(["apps/**", "**/values.yaml", "a/b.yaml", "größe/*"]), min_size=1, max_size=3)

repositories = st.fixed_dictionaries(
    {"url": st.sampled_from(["https://git.example.com/a.git", "git@h:a/b.git", "file:///srv/a.git"])},
    optional={
        "branch": st.sampled_from(["main", "release/1"]),
        "credential": references,
        "sign": st.fixed_dictionaries({"ssh": references}, optional={"passphrase": references}),
        "mode": st.sampled_from(["auto", "wire", "shallow", "git"]),
        "timeout": durations,
        "pushes_per_minute": st.integers(0, 100) | st.floats(0, 100),
    },
)
engines = st.fixed_dictionaries(
    {"kind": st.sampled_from(["argocd", "flux", "acme.spinnaker"]), "url": st.just("https://a.example.com")},
    optional={"credential": references, "kubeconfig": references | st.just("in-cluster"), "poll": durations},
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A document that keeps all the rules."""
    repos = draw(st.dictionaries(names, repositories, min_size=1, max_size=2))
    runs = draw(st.dictionaries(names, engines, min_size=1, max_size=2))
    apps = st.fixed_dictionaries(
        {"engine": st.sampled_from(sorted(runs)), "name": names}, optional={"namespace": names}
    )
    target = st.fixed_dictionaries(
        {"repository": st.sampled_from(sorted(repos)), "paths": paths},
        optional={
            "applications": st.lists(apps, max_size=2, unique_by=lambda app: tuple(sorted(app.items()))),
            "timeout": durations,
            "dags": st.lists(st.sampled_from(["payments_*", "one"]), min_size=1),
            "wait": st.fixed_dictionaries({}, optional={"settle": durations, "exact": st.booleans()}),
            "labels": st.dictionaries(names, st.text("abc", max_size=3), max_size=2),
        },
    )
    return {"repositories": repos, "engines": runs, "targets": draw(st.dictionaries(names, target, max_size=2))}


@hypothesis.settings(max_examples=60)
@given(documents())
def test_a_document_that_keeps_the_rules_is_read_as_it_is_written(document: dict[str, Any]):
    tree = settings.parse(document)
    VALIDATOR.validate(document)
    data, _ = read(yaml.safe_dump(document, allow_unicode=True).encode(), "x")
    assert settings.parse(data) == tree
    assert set(tree.targets) == set(document["targets"])
    for name, target in document["targets"].items():
        resolved = settings.resolve_target(tree, name)
        assert resolved.paths == tuple(target["paths"])
        assert resolved.branch == document["repositories"][target["repository"]].get("branch", "main")
        assert [app.name for app in resolved.applications] == [app["name"] for app in target.get("applications", [])]
        assert settings.dag_allowed(tree.targets[name], "one") == ("one" in target.get("dags", []))


def scopes(tree: settings.Settings) -> dict[str, tuple[str, ...]]:
    return {name: (*target.paths, *target.dags) for name, target in tree.targets.items()}


@given(st.integers(0, len(EXAMPLE) - 1))
def test_a_letter_lost_never_drops_a_scope_in_silence(index: int):
    """A file with a letter missing is refused, or still has one target with paths and Dags."""
    try:
        data, lines = read((EXAMPLE[:index] + EXAMPLE[index + 1 :]).encode(), "x")
        tree = settings.parse(data, source="x", lines=lines)
    except ConfigError as error:
        assert error.where.startswith("x")  # noqa: PT017 - either way is right
        return
    assert [len(scope) for scope in scopes(tree).values()] == [2]


@given(st.integers(0, EXAMPLE.count("\n") - 1))
def test_a_line_lost_is_told_or_leaves_no_scope_wider(index: int):
    lines = EXAMPLE.splitlines(keepends=True)
    try:
        data, _ = read("".join(lines[:index] + lines[index + 1 :]).encode(), "x")
        tree = settings.parse(data)
    except ConfigError:
        return
    data, _ = read(EXAMPLE.encode(), "x")
    whole = scopes(settings.parse(data))
    assert all(whole[name] == scope for name, scope in scopes(tree).items())


@given(
    st.sampled_from(["paths", "dags", "repository", "applications", "timeout"]), st.text("abcdefghijkl_", min_size=1)
)
def test_a_misspelt_field_is_never_passed_over(field: str, other: str):
    known = {"repository", "paths", "applications", "branch", "dags", "timeout", "wait", "sync", "labels"}
    if other in known:
        return
    data, lines = read(EXAMPLE.replace(f"{field}:", f"{other}:", 1).encode(), "x")
    try:
        settings.parse(data, source="x", lines=lines)
    except ConfigError as error:
        assert ("no such field" in error.message) or ("is missing" in error.message)  # noqa: PT017 - it must raise
        return
    message = f"{other!r} was taken for {field!r}"
    raise AssertionError(message)
