"""Edits as an operator holds them: plain dictionaries that Airflow can render, and back to edits when it has.

Frozen dataclasses cannot be rendered in place, and Airflow finds an XComArg (and the dependency it brings) only inside
lists and dictionaries. A dictionary is the edit's form on the wire, except that texts stand bare and values may still
be templates; so the list that an upstream task returns as JSON is accepted as well.

A template renders to text. `number` and `boolean` say that another kind of value is meant.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from loopseal.domain.proposal import ABSENT, ANYTHING, DeleteFile, Edit, PutFile, RemoveKey, SetImage, SetValue

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

_KINDS: Final = (SetValue, RemoveKey, SetImage, PutFile, DeleteFile)
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


def plain(edits: Any) -> Any:
    """`edits` with every Edit replaced by its dictionary; whatever else it holds (an XComArg, say) stays as it is."""
    if isinstance(edits, _KINDS):
        return _plain(edits)
    if isinstance(edits, list | tuple):
        return [plain(one) for one in edits]
    return edits


def _plain(edit: Edit) -> dict[str, Any]:
    out: dict[str, Any] = {"type": type(edit).__name__}
    for field in dataclasses.fields(edit):
        value = getattr(edit, field.name)
        if value is ABSENT:
            out[field.name] = {"type": "absent"}
        elif field.name == "content" and isinstance(value, str):
            out[field.name] = Typed(value, "text")
        elif value is not ANYTHING and (field.default is dataclasses.MISSING or value is not field.default):
            out[field.name] = value
    return out


def build(edits: Any) -> tuple[Edit, ...]:
    """The edits that rendered `edits` (one or a list of dictionaries or Edits) mean. Raises ConfigError."""
    from loopseal import wire

    one_or_many = [edits] if isinstance(edits, (Mapping, *_KINDS)) else edits
    if not isinstance(one_or_many, Iterable) or isinstance(one_or_many, str | bytes):
        return wire.load_edits(one_or_many)  # which says what is wrong with it
    return wire.load_edits([_to_wire(plain(edit)) for edit in one_or_many])


def _to_wire(edit: Any) -> Any:
    if not isinstance(edit, Mapping):
        return edit
    return {name: _field(name, value) for name, value in edit.items()}


def _field(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return {"type": "float", "text": repr(value)}
    if name == "content" and isinstance(value, str):
        return {"text": value}
    if name == "content" and isinstance(value, Typed):  # of an edit that was not rendered, but returned by a function
        return {"text": value.template}
    if name == "content" and isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return value


class Typed:
    """A template and what its text means once it is rendered: a `number`, a `boolean`, or the `text` of a file."""

    __slots__ = ("kind", "template")  # not a dataclass: those take a millisecond to make, in every parsing process

    def __init__(self, template: str, kind: Literal["number", "boolean", "text"]) -> None:
        self.template, self.kind = template, kind

    def resolve(self, context: Context) -> int | float | bool | str:
        """Airflow calls this instead of rendering. Raises ValueError for a text that is no such value."""
        task: Any = context["task"]
        environment = task.get_template_env()
        text = str(task.render_template(self.template, context, environment))
        match self.kind:
            case "number":
                return _number(text.strip())
            case "boolean":
                return _boolean(text.strip())
            case "text":  # Jinja takes the last newline away, and a file should keep it
                taken = self.template.endswith("\n") and not environment.keep_trailing_newline
                return text + "\n" if taken else text

    def __str__(self) -> str:
        return self.template if self.kind == "text" else f"{self.kind}({self.template!r})"

    __repr__ = __str__  # what Airflow before 3.2 shows of a rendered field


def number(template: str) -> Any:
    """Read what `template` renders to as a number.

    ``SetValue("values.yaml", "replicas", number("{{ params.replicas }}"))``
    """
    return Typed(template, "number")


def boolean(template: str) -> Any:
    """Read what `template` renders to as a truth value: true, yes, on, 1, or an opposite of these, in any case."""
    return Typed(template, "boolean")


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    message = f"{text!r} is neither true nor false"
    raise ValueError(message)
