"""The wire format: pinned by golden files, strict on reading, the same after a round trip."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal import ports, wire
from loopseal.domain.change import Change, Event, Proposed, Refusal
from loopseal.domain.decision import Hold
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import ABSENT, ANYTHING, Application, Edit, Proposal, PutFile, SetValue, Target
from loopseal.domain.revision import Tolerance, Verdict
from loopseal.errors import Code, ConfigError
from tests import strategies
from tests.unit.wire import golden

everything = st.one_of([strategies.values(kind) for kind in wire.KINDS.values()])


def kind_of(value: object) -> str:
    return next(name for name, kind in wire.KINDS.items() if type(value) in (get_args(kind) or (kind,)))


# The format stays what it is.


def test_there_is_a_golden_file_for_every_kind_and_for_no_other():
    assert set(golden.SAMPLES) == set(wire.KINDS)
    assert {file.stem for file in golden.FOLDER.glob("*.json")} == set(wire.KINDS)


@pytest.mark.parametrize("name", sorted(wire.KINDS))
def test_golden(name: str):
    text = (golden.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert golden.document(name) == text
    assert tuple(wire.load(wire.KINDS[name], data) for data in json.loads(text)) == golden.SAMPLES[name]


@pytest.mark.parametrize("name", ["Decision", "Edit", "Event"])
def test_golden_files_show_every_member_of_a_union(name: str):
    assert {type(sample) for sample in golden.SAMPLES[name]} == set(get_args(wire.KINDS[name]))


def test_the_digest_is_pinned():
    assert wire.digest(golden.PROPOSAL) == "sha256:ff2482137d45ab805ad486a3a0446eef7de512cbf4608803b6849cd8315ea1f0"


def test_an_outsider_can_compute_the_digest_from_the_record():
    import hashlib

    import rfc8785

    record = json.loads((golden.FOLDER / "Proposal.json").read_text(encoding="utf-8"))[0]
    canonical = rfc8785.dumps({name: record[name] for name in ("target", "base", "edits")})
    assert wire.digest(golden.PROPOSAL) == f"sha256:{hashlib.sha256(canonical).hexdigest()}"


# What goes out comes back.


@given(everything)
def test_round_trip(value: Any):
    kind = wire.KINDS[kind_of(value)]
    back = wire.loads(kind, wire.dumps(value))
    assert back == value
    assert type(back) is type(value)
    assert wire.dumps(back) == wire.dumps(value)


@given(everything)
def test_the_schema_accepts_what_is_written(value: Any):
    schema = wire.schema(kind_of(value))
    jsonschema.Draft202012Validator(schema).validate(json.loads(wire.dumps(value)))


@pytest.mark.parametrize("name", sorted(wire.KINDS))
def test_schemas_are_schemas(name: str):
    jsonschema.Draft202012Validator.check_schema(wire.schema(name))


@given(st.lists(strategies.values(Event), max_size=4))
def test_events_round_trip(events: list[Event]):
    assert wire.loads_events(wire.dumps_events(events)) == tuple(events)


@given(st.lists(strategies.values(Edit), max_size=4))
def test_edits_round_trip(edits: list[Edit]):
    assert wire.load_edits(wire.dump_edits(edits)) == tuple(edits)


SCALARS = [
    "1",
    1,
    1.0,
    True,
    "true",
    0,
    -0.0,
    0.0,
    False,
    None,
    "null",
    "",
    "absent",
    ABSENT,
    ANYTHING,
    "anything",
    1e300,
]


@pytest.mark.parametrize("left", SCALARS)
def test_no_scalar_is_taken_for_another(left: Any):
    written = {wire.dumps(SetValue("p", "k", 0, expect=right)) for right in SCALARS}
    assert len(written) == len(SCALARS)
    back = wire.loads(Edit, wire.dumps(SetValue("p", "k", 0, expect=left))).expect
    assert (type(back), repr(back)) == (type(left), repr(left))


def test_text_and_bytes_stay_what_they_are():
    for content in ("x", b"x", "", b"", "\ufeff", b"\xff"):
        assert wire.loads(Edit, wire.dumps(PutFile("p", content))).content == content


def test_times_are_written_in_utc_and_read_with_any_offset():
    event = Refusal(datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))), "c", "m")
    data = wire.dump(event)
    assert data["at"] == "2026-01-01T10:00:00Z"
    assert wire.load(Event, {**data, "at": "2026-01-01T05:00:00-05:00"}) == event


def test_a_string_that_is_an_enum_is_written_as_its_text():
    class Mine(StrEnum):
        ONE = "one"

    event = Refusal(datetime(2026, 1, 1, tzinfo=UTC), Mine.ONE, "m")
    assert wire.dump(event)["code"] == "one"
    assert type(wire.dump(event)["code"]) is str


def test_defaults_are_left_out_and_may_be_written_all_the_same():
    assert wire.dump(Application("argo", "x")) == {"engine": "argo", "name": "x"}
    assert wire.load(Application, {"engine": "argo", "name": "x", "kind": ""}) == Application("argo", "x")
    assert wire.dump(Tolerance()) == {}
    assert wire.dump(ports.Wait(Application("a", "b"), "r", ports.Source("u", "b"))).keys() == {
        "application",
        "revision",
        "source",
    }


# The digest stands for the content.


@given(strategies.proposals(), strategies.proposals())
def test_the_digest_differs_exactly_when_the_content_does(one: Proposal, two: Proposal):
    def content(proposal: Proposal) -> str:
        whole = wire.dump(proposal)
        return json.dumps([whole[name] for name in ("target", "base", "edits")])

    assert (wire.digest(one) == wire.digest(two)) == (content(one) == content(two))


@given(strategies.values(Proposal), st.data())
def test_what_is_not_content_changes_no_digest(proposal: Proposal, data: st.DataObject):
    from dataclasses import replace

    other = data.draw(strategies.values(Proposal))
    same = replace(
        proposal, id=other.id, reason=other.reason, actor=other.actor, labels=other.labels, reverts=other.reverts
    )
    assert wire.digest(same) == wire.digest(proposal)


@given(strategies.values(Edit), strategies.values(Edit))
def test_edits_that_differ_have_digests_that_differ(one: Edit, two: Edit):
    digests = {wire.digest(_proposal(edit)) for edit in (one, two)}
    assert len(digests) == len({repr(one), repr(two)})


def test_the_order_of_edits_is_content():
    one, two = SetValue("p", "a", 1), SetValue("p", "b", 1)
    assert wire.digest(_proposal(one, two)) != wire.digest(_proposal(two, one))


def test_a_digest_survives_the_wire():
    back = wire.loads(Proposal, wire.dumps(golden.PROPOSAL))
    assert wire.digest(back) == wire.digest(golden.PROPOSAL)


def _proposal(*edits: Edit) -> Proposal:
    return Proposal("x", Target("t", "r", "b", ()), "", edits, "", Actor("s", "i", ActorKind.CI))


# What JSON cannot keep is refused on the way out…


@pytest.mark.parametrize(
    ("value", "place", "says"),
    [
        (SetValue("p", "k", math.nan), "SetValue.value", "finite"),
        (SetValue("p", "k", -math.inf), "SetValue.value", "finite"),
        (SetValue("p", "k", 2**53), "SetValue.value", "2**53"),
        (SetValue("p", "k", "\ud800"), "SetValue.value", "surrogate"),
        (SetValue("\udfff", "k", 1), "SetValue.path", "surrogate"),
        (SetValue("p", "k", [1]), "SetValue.value", "not list"),  # type: ignore[arg-type]  # what a template may give
        (SetValue("p", None, 1), "SetValue.key", "must be a string, not null"),  # type: ignore[arg-type]
        (SetValue("p", "k", 1, create=1), "SetValue.create", "true or false"),  # type: ignore[arg-type]
        (PutFile("p", bytearray(b"x")), "PutFile.content", "one of"),  # type: ignore[arg-type]
        (PutFile("p", "\ud800"), "PutFile.content", "surrogate"),
        (Tolerance(settle=math.inf), "Tolerance.settle", "finite"),
        (Tolerance(settle="10"), "Tolerance.settle", "must be a number"),  # type: ignore[arg-type]
        (Tolerance(nudge=(1.0, "2")), "Tolerance.nudge[1]", "must be a number"),  # type: ignore[arg-type]
        (Tolerance(nudge=3), "Tolerance.nudge", "must be a list"),  # type: ignore[arg-type]
        (Refusal(datetime(2026, 1, 1), "c", "m"), "Refusal.at", "with its zone"),  # noqa: DTZ001 - that is the point
        (Refusal("now", "c", "m"), "Refusal.at", "RFC 3339"),  # type: ignore[arg-type]
        (Refusal(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "c", "m"), "Refusal.at", "years 1 to 9999"),
        (Verdict("FAILED", "x"), "Verdict.state", "one of SUCCEEDED"),  # type: ignore[arg-type]
        (Actor("s", "i", ActorKind.CI, "ann"), "Actor.on_behalf_of", "one of Actor"),  # type: ignore[arg-type]
        (ports.Evidence((("a",),)), "Evidence.sections[0]", "list of 2"),  # type: ignore[arg-type]
        (ports.Wait(Application("a", "b"), "r", ports.Source("u", "b"), baseline=[]), "Wait.baseline", "an object"),  # type: ignore[arg-type]
        (
            ports.Wait(Application("a", "b"), "r", ports.Source("u", "b"), baseline={"a": [{"b": math.nan}]}),
            "Wait.baseline['a'][0]['b']",
            "finite",
        ),
        (
            ports.Wait(Application("a", "b"), "r", ports.Source("u", "b"), baseline={"a": b"x"}),
            "Wait.baseline['a']",
            "plain JSON data, not bytes",
        ),
        (
            ports.Wait(Application("a", "b"), "r", ports.Source("u", "b"), baseline={1: 2}),
            "Wait.baseline[1]",
            "a string",
        ),  # type: ignore[dict-item]
        (ports.Wait(Application("a", "b"), "r", "u"), "Wait.source", "must be Source, not str"),  # type: ignore[arg-type]
    ],
)
def test_not_writable(value: Any, place: str, says: str):
    with pytest.raises(ConfigError) as caught:
        wire.dump(value)
    assert caught.value.code is Code.PROPOSAL_INVALID
    assert caught.value.where == place
    assert says in caught.value.message
    assert caught.value.hint


def test_nesting_without_end_is_refused_both_ways():
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    wait = ports.Wait(Application("a", "b"), "r", ports.Source("u", "b"), baseline={"x": deep})
    with pytest.raises(ConfigError, match="nested too deep"):
        wire.dump(wait)
    with pytest.raises(ConfigError, match="nested too deep"):
        wire.load(
            ports.Wait,
            {
                "application": {"engine": "a", "name": "b"},
                "revision": "r",
                "source": {"url": "u", "branch": "b"},
                "baseline": {"x": deep},
            },
        )
    with pytest.raises(ConfigError, match="nested too deep"):
        wire.loads(Edit, "[" * 100_000)
    actor = b'{"subject":"s","issuer":"i","kind":"ci","on_behalf_of":' * 100_000
    with pytest.raises(ConfigError, match="nested too deep"):
        wire.loads(Actor, actor + b"null" + b"}" * 100_000)


def test_a_type_without_a_form_is_our_mistake():
    with pytest.raises(TypeError, match="no form in JSON"):
        wire.dump(object())


# …and reading takes nothing on trust.

SET = {"type": "SetValue", "path": "p", "key": "k", "value": 1}
REFUSAL = {"type": "Refusal", "at": "2026-01-01T00:00:00Z", "code": "c", "message": "m"}


@pytest.mark.parametrize(
    ("kind", "data", "place", "says"),
    [
        (Edit, {**SET, "foo": 1}, "Edit.foo", "no such field"),
        (Edit, {key: value for key, value in SET.items() if key != "key"}, "Edit.key", "is missing"),
        (Edit, {**SET, "type": "setvalue"}, "Edit.type", "must be one of SetValue"),
        (Edit, {**SET, "type": ["SetValue"]}, "Edit", "must be one of SetValue"),
        (Edit, {key: value for key, value in SET.items() if key != "type"}, "Edit", "must be one of SetValue"),
        (Edit, REFUSAL, "Edit.type", "not 'Refusal'"),
        (Edit, [], "Edit", "not list"),
        (Edit, None, "Edit", "not null"),
        (SetValue, {**SET, "type": "PutFile"}, "SetValue.type", "must be 'SetValue'"),
        (Edit, {**SET, "path": 1}, "Edit.path", "must be a string, not int"),
        (Edit, {**SET, "path": None}, "Edit.path", "must be a string, not null"),
        (Edit, {**SET, "create": 1}, "Edit.create", "true or false, not int"),
        (Edit, {**SET, "value": 1.5}, "Edit.value", "not float"),
        (Edit, {**SET, "value": {"type": "float", "text": "nan"}}, "Edit.value", "finite"),
        (Edit, {**SET, "value": {"type": "float", "text": "1"}}, "Edit.value", "shortest spelling"),
        (Edit, {**SET, "value": {"type": "float", "text": "1.50"}}, "Edit.value", "shortest spelling"),
        (Edit, {**SET, "value": {"type": "float", "text": 1.5}}, "Edit.value", "not float"),
        (Edit, {**SET, "value": {"type": "float"}}, "Edit.value.type", "must be one of"),
        (Edit, {**SET, "value": 2**53}, "Edit.value", "2**53"),
        (Edit, {**SET, "value": "\ud800"}, "Edit.value", "surrogate"),
        (Edit, {**SET, "value": {"type": "absent"}}, "Edit.value.type", "must be one of str"),
        (Edit, {**SET, "expect": {"type": "nothing"}}, "Edit.expect", "one of anything, absent"),
        (Edit, {**SET, "expect": {"type": "absent", "x": 1}}, "Edit.expect.type", "must be one of"),
        (Edit, {"type": "PutFile", "path": "p", "content": "bare"}, "Edit.content", "not str"),
        (Edit, {"type": "PutFile", "path": "p", "content": {"base64": "A"}}, "Edit.content", "base64"),
        (Edit, {"type": "PutFile", "path": "p", "content": {"base64": "AB=="}}, "Edit.content", "base64"),
        (Edit, {"type": "PutFile", "path": "p", "content": {"base64": "AA==\n"}}, "Edit.content", "base64"),
        (Edit, {"type": "PutFile", "path": "p", "content": {"text": "a", "base64": "AA=="}}, "Edit.content", "one of"),
        (Edit, {"type": "PutFile", "path": "p", "content": {"text": 1}}, "Edit.content", "must be a string"),
        (Event, {**REFUSAL, "at": "2026-01-01T00:00:00"}, "Event.at", "RFC 3339"),
        (Event, {**REFUSAL, "at": "2026-01-01"}, "Event.at", "RFC 3339"),
        (Event, {**REFUSAL, "at": "2026-13-01T00:00:00Z"}, "Event.at", "RFC 3339"),
        (Event, {**REFUSAL, "at": "0001-01-01T00:00:00+01:00"}, "Event.at", "RFC 3339"),
        (Event, {**REFUSAL, "at": "2026-01-01T00:00:00Z\n"}, "Event.at", "RFC 3339"),
        (Event, {**REFUSAL, "at": 0}, "Event.at", "not int"),
        (Verdict, {"state": "GREAT", "reason": "x"}, "Verdict.state", "one of SUCCEEDED"),
        (Verdict, "x", "Verdict", "an object (Verdict)"),
        (Actor, {"subject": "", "issuer": "i", "kind": "ci"}, "Actor", "needs a subject"),
        (Actor, {"subject": "s", "issuer": "i", "kind": "ci", "type": "Actor"}, "Actor.type", "no such field"),
        (Hold, {"type": "Hold", "policies": [], "needs": []}, "Hold", "at least one person"),
        (Hold, {"type": "Hold", "policies": [], "needs": [["sre", 1, 2]]}, "Hold.needs[0]", "list of 2"),
        (Hold, {"type": "Hold", "policies": [], "needs": [["sre", True]]}, "Hold.needs[0][1]", "an integer, not bool"),
        (Tolerance, {"settle": "10"}, "Tolerance.settle", "must be a number, not str"),
        (Tolerance, {"nudge": {}}, "Tolerance.nudge", "must be a list, not dict"),
    ],
)
def test_not_readable(kind: Any, data: Any, place: str, says: str):
    with pytest.raises(ConfigError) as caught:
        wire.load(kind, data)
    assert caught.value.code is Code.PROPOSAL_INVALID
    assert (caught.value.where, says in caught.value.message) == (place, True), str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1 column 1"),
        ("{", "is no JSON"),
        ("{} {}", "Extra data"),
        ('{"a":1,"a":2}', "same field twice"),
        ("NaN", "NaN, which is no JSON"),
        ("[-Infinity]", "-Infinity, which is no JSON"),
        ("1" * 5000, "is no JSON"),
        (b"\xff", "is no JSON"),
    ],
)
def test_not_json(text: str | bytes, says: str):
    with pytest.raises(ConfigError) as caught:
        wire.loads(Edit, text, code=Code.LEDGER_INVALID)
    assert caught.value.code is Code.LEDGER_INVALID
    assert says in str(caught.value)


def test_a_text_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire, "MAX_TEXT", 10)
    with pytest.raises(ConfigError, match="more than 10 characters"):
        wire.loads(Edit, " " * 11)


@given(strategies.json_data)
def test_any_data_is_read_or_refused(data: Any):
    for kind in wire.KINDS.values():
        try:
            value = wire.load(kind, data)
        except ConfigError:
            continue
        assert wire.load(kind, wire.dump(value)) == value


@given(everything, st.data())
def test_a_document_with_one_thing_changed_is_never_read_as_the_same(value: Any, data: st.DataObject):
    document = json.loads(wire.dumps(value))
    if not document:
        return
    name = data.draw(st.sampled_from(sorted(document)))
    other = data.draw(strategies.json_data)
    kind = wire.KINDS[kind_of(value)]
    try:
        back = wire.load(kind, {**document, name: other})
    except ConfigError:
        return
    assert wire.dumps(back) == wire.dumps(value) or back != value


@pytest.mark.parametrize(
    ("data", "where", "says"),
    [
        ([], "events", "must be"),
        ({"format": 1}, "events", "must be"),
        ({"format": 1, "events": [], "more": 1}, "events", "must be"),
        ({"format": 2, "events": []}, "format", "format 2 is not 1"),
        ({"format": True, "events": []}, "format", "format True is not 1"),
        ({"format": 1, "events": {}}, "events", "must be a list"),
        ({"format": 1, "events": [REFUSAL, {}]}, "events[1]", "must be one of"),
    ],
)
def test_event_documents(data: Any, where: str, says: str):
    with pytest.raises(ConfigError) as caught:
        wire.load_events(data)
    assert caught.value.code is Code.LEDGER_INVALID
    assert (caught.value.where, says in caught.value.message) == (where, True), str(caught.value)


def test_edits_say_which_one_is_wrong():
    with pytest.raises(ConfigError) as caught:
        wire.load_edits([SET, {**SET, "path": 1}])
    assert caught.value.where == "edits[1].path"


def test_a_change_must_be_what_its_events_tell():
    data = wire.dump(golden.SAMPLES["Change"][0])
    with pytest.raises(ConfigError, match="not what its events tell"):
        wire.load(Change, {**data, "phase": "healthy"})
    with pytest.raises(ConfigError, match="at least one event"):
        wire.load(Change, {**data, "events": []})


def test_a_vote_in_a_proposed_event_has_its_own_place():
    data = wire.dump(Proposed(golden.AT, golden.PROPOSAL, "sha256:1"))
    data["proposal"]["edits"][2]["value"] = {}
    with pytest.raises(ConfigError) as caught:
        wire.load(Event, data)
    assert caught.value.where == "Event.proposal.edits[2].value"


@pytest.mark.parametrize("hint", [set[int], complex, list[int], tuple[int, ...] | None])
def test_types_that_have_no_form_are_refused_when_they_are_declared(hint: Any):
    from loopseal.wire.codec import Codecs

    with pytest.raises(TypeError, match=r"form in JSON|shape of its own"):
        Codecs(frozenset()).of(hint)


def test_importing_it_brings_no_third_party():
    code = (
        "import sys; before = set(sys.modules); import loopseal.wire;"
        "print(sorted({n.partition('.')[0] for n in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    told = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "['loopseal']"
