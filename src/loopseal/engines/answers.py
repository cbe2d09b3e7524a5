"""What a status of an engine's API means in our errors.

Lives here: the table for Argo CD (grpc-gateway) and the Kubernetes API, whose statuses agree. Does not: retrying.
"""

from __future__ import annotations

from typing import Final

from loopseal.engines.fields import Object, text
from loopseal.engines.lines import parsed
from loopseal.errors import Code, Conflict, LoopsealError, Refused, Unreachable
from loopseal.net import Response, clean

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
MISSING: Final = 404
CONFLICT: Final = 409
GONE: Final = 410
_TOO_MANY: Final = 429
_SERVER: Final = 500


class Missing(Exception):
    """404: there is no such object. Caught in this room, where it is a value (None)."""


class Gone(Exception):
    """410: the resourceVersion is too old. Caught in this room: everything is looked at again."""


def body(answer: Response, where: str) -> Object:
    """The JSON object of a good answer. Raises what `failure` says of a bad one."""
    if answer.status >= 400:  # noqa: PLR2004 - where errors begin in HTTP
        raise failure(answer, where)
    return parsed(answer.body, where)


def failure(answer: Response, where: str) -> LoopsealError | Missing | Gone:
    """What to raise for a bad answer."""
    told = _message(answer, where)
    match answer.status:
        case 401:
            hint = "Renew the token that `credential` or the kubeconfig names; it was read anew before this was said."
            return Refused(Code.ENGINE_AUTHENTICATION, f"it does not know us: {told}", where=where, hint=hint)
        case 403:
            hint = "Grant what the guide's page on least privilege lists, or correct name, namespace or project."
            return Refused(Code.ENGINE_FORBIDDEN, f"not allowed: {told}", where=where, hint=hint)
        case 404:
            return Missing(told)
        case 409:
            return Conflict(Code.ENGINE_CONFLICT, f"changed meanwhile: {told}", where=where, hint="Look again.")
        case 410:
            return Gone(told)
        case 429:
            hint = "Fewer refreshes per minute (`refreshes_per_minute`), or a longer `poll`."
            return Unreachable(
                Code.NET_RATE_LIMITED,
                f"too many requests: {told}",
                where=where,
                hint=hint,
                retry_after=answer.retry_after,
            )
        case status if status < _SERVER:
            hint = "Is `url` the address of the API, and its version supported?"
            return Refused(Code.ENGINE_PROTOCOL, f"status {status}: {told}", where=where, hint=hint)
        case status:
            hint = "It is tried again; look at the server's own log if it stays."
            return Unreachable(Code.ENGINE_UNREACHABLE, f"status {status}: {told}", where=where, hint=hint)


def _message(answer: Response, where: str) -> str:
    try:
        told = parsed(answer.body, where)
    except Unreachable:
        return answer.text(300)
    return clean(text(told, "message") or text(told, "error"), 300)
