"""The generated schema and page: true to the tree, and what stands in the docs is what is generated."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from loopseal import settings
from loopseal.errors import ConfigError
from loopseal.settings import reference
from loopseal.settings.__main__ import main
from tests.unit.settings.test_settings import EXAMPLE, document

DOCS = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize(("name", "file"), [("schema", "loopseal.schema.json"), ("docs", "settings.md")])
def test_the_docs_hold_what_is_generated(name: str, file: str, capsys: pytest.CaptureFixture[str]):
    """To bring them up to date: `python -m loopseal.settings schema > docs/reference/loopseal.schema.json`, and `docs`."""
    assert main([name]) == 0
    assert capsys.readouterr().out == (DOCS / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [[], ["x"], ["schema", "docs"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [kind for kind, _ in reference.TABLES])
def test_every_field_of_the_file_is_documented(kind: Any):
    fields = [field.name for field in dataclasses.fields(kind)]
    assert [name for name in fields if not reference._doc(kind, name)] == []


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(settings.schema())


GOOD = [
    yaml.safe_load(EXAMPLE),
    document(),
    document(target={"wait": {"settle": "1m", "nudge": [1, "2s"]}, "labels": {"a": "b"}, "sync": True}),
    document(engine={"kubeconfig": "in-cluster", "refreshes_per_minute": 5}, top={"ledger": {"kind": "memory"}}),
]
BAD = [
    document(top={"more": 1}),
    document(repository={"credential": "hunter2"}),
    document(repository={"mode": "clone"}),
    document(target={"paths": []}),
    document(target={"timeout": "20 minutes"}),
    document(target={"timeout": -1}),
    document(target={"sync": "yes"}),
    document(engine={"kubeconfig": "out-cluster"}),
    document(top={"targets": {"a b": {"repository": "git", "paths": ["a"]}}}),
    {"targets": {"t": {"paths": ["a"]}}},
]


@pytest.mark.parametrize("data", GOOD)
def test_the_schema_takes_what_the_reader_takes(data: Any):
    settings.parse(data)
    jsonschema.Draft202012Validator(settings.schema()).validate(data)


@pytest.mark.parametrize("data", BAD)
def test_the_schema_refuses_what_the_reader_refuses(data: Any):
    with pytest.raises(ConfigError):
        settings.parse(data)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(settings.schema()).validate(data)


def test_defaults_of_the_schema_are_those_of_the_tree():
    target = settings.schema()["$defs"]["TargetSettings"]
    assert target["properties"]["timeout"]["default"] == 1200.0
    assert target["required"] == ["repository", "paths"]
    tolerance = settings.schema()["$defs"]["Tolerance"]["properties"]
    assert json.dumps(tolerance["nudge"]["default"]) == "[2.0, 4.0, 8.0, 16.0, 32.0, 60.0]"
