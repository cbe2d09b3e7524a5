"""What a commit says, and what is read back from it. Git itself is the judge of what is a trailer."""

from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import ABSENT, SetValue, Target
from loopseal.errors import ConfigError
from loopseal.git import message
from loopseal.git.edits import Difference
from tests.unit.git.memory_remote import ACTOR, proposal

NASTY = st.text(
    st.one_of(
        st.characters(exclude_categories=("Cs",)),
        st.sampled_from("\n\r\t\0\x0b\x0c\x1c\x85\u2028\u2029\u202e:#-= "),
    ),
    max_size=60,
)
LINES = st.lists(
    st.one_of(
        NASTY,
        st.sampled_from(
            [
                "",
                "Argocd-gpg-seal: yes",
                "Loopseal-Change: aaaaaaaaaaaaaaaaaaaaaaaaaa",
                " Loopseal-Change: x",
                "---",
                "--- a/file",
                "# ------------------------ >8 ------------------------",
                "#",
                "Signed-off-by: a <b>",
                "(cherry picked from commit 0000000000000000000000000000000000000000)",
                "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001",
                "Bug #12",
            ]
        ),
    ),
    min_size=1,
    max_size=6,
).map("\n".join)
LABELS = st.lists(st.tuples(NASTY, LINES), max_size=4).map(tuple)
DIFFERENCES = st.lists(
    st.builds(
        Difference,
        NASTY,
        NASTY,
        st.one_of(NASTY, st.integers(), st.booleans(), st.none(), st.just(ABSENT)),
        st.one_of(NASTY, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.just(ABSENT)),
    ),
    max_size=3,
)


def composed(reason: str = "why", labels: tuple[tuple[str, str], ...] = (), differences=(), **more: object) -> str:
    asked = proposal("a", SetValue("a.yaml", "a", 1), reason=reason, labels=labels, **more)
    return message.compose(asked, "sha256:" + "0" * 64, differences)


def read_by_git(text: str, *options: str) -> list[str]:
    command = ["git", "interpret-trailers", "--parse", *options]
    ended = subprocess.run(command, input=text.encode(), capture_output=True, check=True, cwd="/")
    return ended.stdout.decode().splitlines()


@settings(max_examples=150)
@given(LINES, LABELS, DIFFERENCES)
@example("Argocd-gpg-seal: yes", (("dag", "x\nArgocd-gpg-seal: yes"),), [])
@example("a\n\nArgocd-gpg-seal: yes", (), [])
@example("a\n---\nb", (), [])
def test_git_reads_our_trailers_and_no_others(reason, labels, differences) -> None:
    text = composed(reason, labels, differences)
    ours = [f"{name}: {value}".rstrip() for name, value in message.trailers(text)]
    for options in ((), ("--no-divider",)):
        told = [line.rstrip() for line in read_by_git(text, *options)]
        assert told == ours
        assert all(line.startswith("Loopseal-") for line in told)
        assert sum(line.lower().startswith("loopseal-change:") for line in told) == 1


@given(LINES, LABELS, DIFFERENCES)
def test_no_value_adds_a_line(reason, labels, differences) -> None:
    text = composed(reason, labels, differences)
    block = text.rstrip("\n").rpartition("\n\n")[2].split("\n")
    assert all(line.startswith("Loopseal-") and line.isprintable() for line in block)
    assert len(block) <= 4 + len(labels) + len(differences)
    head = text.rstrip("\n").rpartition("\n\n")[0]
    assert not any(line.startswith(("---", "#")) for line in head.split("\n"))
    assert not any(message._TRAILER.fullmatch(line) for line in head.split("\n")[1:])
    assert text.encode()
    assert head.partition("\n")[0].strip()
    assert all(char.isprintable() or char == "\n" for char in text)


@given(DIFFERENCES)
def test_edits_are_read_back(differences) -> None:
    found = message.edits(message.trailers(composed(differences=differences)))
    assert found == tuple(dict.fromkeys((one.path, one.key) for one in differences))


@given(st.text(max_size=200))
def test_reading_trailers_never_fails(text) -> None:
    message.edits(message.trailers(text))
    message.trailers(f"subject\n\nLoopseal-Edit: {text}")
    assert message.trailers(text.replace("\n", " ")) == ()


def test_a_message_for_people_and_programs() -> None:
    difference = Difference("apps/pay/values.yaml", "image.tag", "v1", "v2")
    text = composed(
        "model v2 passed evaluation",
        (("dag", "deploy"), ("run", "manual__2026"), ("map_index", "3"), ("try", "1"), ("empty", " \n")),
        [difference],
        reverts="b" * 26,
        actor=Actor("deploy", "airflow", ActorKind.DAG, Actor("ada", "sso", ActorKind.PERSON)),
    )
    assert text == (
        "model v2 passed evaluation\n"
        "\n"
        f"Loopseal-Change: {proposal('a').id}\n"
        "Loopseal-Target: staging\n"
        f"Loopseal-Digest: sha256:{'0' * 64}\n"
        "Loopseal-Actor: dag:deploy@airflow\n"
        "Loopseal-Dag: deploy\n"
        "Loopseal-Run: manual__2026\n"
        "Loopseal-Map-Index: 3\n"
        "Loopseal-Try: 1\n"
        "Loopseal-Actor-On-Behalf-Of: person:ada@sso\n"
        f"Loopseal-Reverts: {'b' * 26}\n"
        'Loopseal-Edit: {"path":"apps/pay/values.yaml","key":"image.tag","old":"v1","new":"v2"}\n'
    )


def test_a_long_reason_is_a_cut_subject_and_a_body() -> None:
    text = composed("word " * 40)
    subject, _, rest = text.partition("\n\n")
    assert len(subject) <= message.SUBJECT
    assert subject.endswith("…")
    assert rest.startswith(("word " * 40).strip())


def test_a_reason_of_several_lines_keeps_its_paragraphs() -> None:
    text = composed("first\n\nsecond\nthird\n\n\n\nkey: value")
    assert text.startswith("first\n\nsecond\nthird\n\n    key: value\n\nLoopseal-Change: ")


@pytest.mark.parametrize("reason", ["# all of it", "--- dashes", "#"])
def test_a_subject_is_never_a_comment_or_the_end(reason: str) -> None:
    text = composed(reason)
    assert text.startswith("· ")
    assert len(read_by_git(text)) == 4


@pytest.mark.parametrize(
    ("name", "trailer"),
    [
        ("dag", "Loopseal-Dag"),
        ("map_index", "Loopseal-Map-Index"),
        ("mapIndex", "Loopseal-Mapindex"),
        ("change", "Loopseal-Label-Change"),
        ("CHANGE", "Loopseal-Label-Change"),
        ("edit:", "Loopseal-Label-Edit"),
        ("reverts_not", "Loopseal-Label-Reverts-Not"),
        ("a: b\nArgocd-gpg-seal", "Loopseal-A-B-Argocd-Gpg-Seal"),
        ("é", "Loopseal-Label"),
        ("", "Loopseal-Label"),
    ],
)
def test_a_label_never_passes_for_one_of_ours(name: str, trailer: str) -> None:
    assert message.label(name) == trailer


def test_long_values_of_an_edit_are_named_by_their_hash() -> None:
    told = json.loads(message.edit_value(Difference("a", "b", "x" * 300, "y" * 200)))
    assert told["old"].keys() == {"sha256"}
    assert told["new"] == "y" * 200


def test_absent_values_are_left_out_and_null_is_not() -> None:
    assert message.edit_value(Difference("a", "b", ABSENT, None)) == '{"path":"a","key":"b","new":null}'
    assert message.edit_value(Difference("a", "", "1" * 40, ABSENT)) == '{"path":"a","old":"' + "1" * 40 + '"}'


@pytest.mark.parametrize(
    "text",
    [
        "Loopseal-Change: x",
        "subject\n\nLoopseal-Change: x\n\nlast paragraph",
        "subject\n\n> Loopseal-Change: x",
        "subject\n\nOther: y",
        "",
    ],
)
def test_what_stands_elsewhere_is_no_trailer(text: str) -> None:
    assert message.trailers(text) == ()


def test_trailers_of_others_beside_ours_are_passed_over() -> None:
    text = "s\r\n\r\nSigned-off-by: a\r\nloopseal-change : x\r\nLoopseal-Dag: y\r\n"
    assert message.trailers(text) == (("loopseal-change", "x"), ("Loopseal-Dag", "y"))
    assert message.first(message.trailers(text), "LOOPSEAL-CHANGE") == "x"
    assert message.first((), "x") == ""


@pytest.mark.parametrize(
    ("given_", "made"),
    [
        ("bot <bot@example.com>", "bot <bot@example.com>"),
        ("  A. B  <a@b>  ", "A. B <a@b>"),
        ("Дима <d@x>", "Дима <d@x>"),
    ],
)
def test_identities(given_: str, made: str) -> None:
    assert message.identity(given_, where="author") == made


@pytest.mark.parametrize(
    "text", ["", "bot", "<a@b>", "a <>", "a <b> c", "a\n <b>", "a <b\n>", "a <<b>", ". <a@b>", "a\0 <b>"]
)
def test_impossible_identities(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        message.identity(text, where="author")
    assert caught.value.where == "author"


def test_the_target_and_actor_cannot_forge_either() -> None:
    target = Target("t\n\nLoopseal-Change: x", "r", "main", ("**",))
    actor = Actor("a\nArgocd-gpg-seal: y", "i", ActorKind.CI)
    names = [line.partition(":")[0] for line in read_by_git(composed(target=target, actor=actor))]
    assert names == ["Loopseal-Change", "Loopseal-Target", "Loopseal-Digest", "Loopseal-Actor"]
    assert ACTOR.subject == "deploy"


def test_a_subject_for_people() -> None:
    assert message.subject("\n\nfirst\x1b[31m\nsecond") == "first [31m"
