"""The format may grow: what a later version adds must not change what an earlier one wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.wire.codec import Codecs
from loopseal.wire.scalars import Malformed


@dataclass(frozen=True, slots=True)
class Old:
    """As it was written."""

    name: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class New:
    """As it is read two years later: three more fields, each with a default."""

    name: str
    count: int = 0
    note: str = ""
    ratio: float = 1.0
    parts: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


CODECS = Codecs(frozenset())
olds = st.builds(Old, st.text(max_size=5), st.integers(-5, 5))


@given(olds)
def test_old_records_are_read_and_written_again_as_they_were(old: Old):
    written = CODECS.of(Old).dump(old)
    new = CODECS.of(New).load(written)
    assert (new.name, new.count, new.note, new.ratio) == (old.name, old.count, "", 1.0)
    assert CODECS.of(New).dump(new) == written  # so its digest is the same, too


@given(olds)
def test_new_records_that_use_nothing_new_are_read_by_the_old(old: Old):
    assert CODECS.of(Old).load(CODECS.of(New).dump(New(old.name, old.count))) == old


def test_what_the_old_version_does_not_know_it_refuses_and_never_drops():
    with pytest.raises(Malformed, match="no such field") as caught:
        CODECS.of(Old).load(CODECS.of(New).dump(New("a", note="b")))
    assert caught.value.place == "note"


def test_a_field_without_default_breaks_old_records_so_none_may_be_added():
    broken = make_dataclass("Broken", [("name", "str"), ("must", "str")], frozen=True)
    broken.__module__ = __name__
    with pytest.raises(Malformed, match="is missing"):
        CODECS.of(broken).load(CODECS.of(Old).dump(Old("a")))


@pytest.mark.parametrize(
    ("value", "default"),
    [(New("a", count=0), {}), (New("a", ratio=1), {"ratio": 1.0}), (New("a", extra={"k": 1}), {"extra": {"k": 1}})],
)
def test_only_the_default_itself_is_left_out(value: New, default: dict[str, Any]):
    assert CODECS.of(New).dump(value) == {"name": "a"} | default


def test_defaults_that_are_made_anew_are_not_shared():
    one, two = (CODECS.of(New).load({"name": "a"}) for _ in range(2))
    assert one.extra is not two.extra
