"""Who calls and what they get to see: tokens, sessions, and the difference between missing and forbidden."""

from __future__ import annotations

from collections.abc import Mapping

from loopseal.testing.argocd import accounts
from loopseal.testing.argocd.accounts import Account
from loopseal.testing.asgi import Answer, Request, as_json
from loopseal.testing.faults import Faults
from loopseal.testing.store import Object, Store


class Access:
    """Knows callers by their tokens. Refusals are raised as `accounts.Denied`."""

    def __init__(self, store: Store, faults: Faults, people: Mapping[str, Account]) -> None:
        self._store, self._faults, self._people = store, faults, people

    def known(self, token: str) -> Account | None:
        """Whose token it is, if it is good."""
        revoked = token in self._faults.revoked
        return None if revoked else next((one for one in self._people.values() if one.token == token), None)

    def caller(self, request: Request) -> Account:
        """Who calls."""
        if not request.bearer:
            raise accounts.Denied(401, accounts.UNAUTHENTICATED, "no session information")
        known = self.known(request.bearer)
        if known is not None:
            return known
        text = "invalid session: SSO is not configured"
        if request.bearer in self._faults.revoked:
            name = next((one.name for one in self._people.values() if one.token == request.bearer), "bot")
            text = f"invalid session: account {name} does not have token with id {name}"
        raise accounts.Denied(401, accounts.UNAUTHENTICATED, text)

    def session(self, request: Request) -> Answer:
        """A token for a name and a password."""
        asked = request.json()
        known = self._people.get(asked.get("username", ""))
        if known is None or not known.password or known.password != asked.get("password"):
            raise accounts.Denied(401, accounts.UNAUTHENTICATED, "Invalid username or password")
        return ok({"token": known.token})

    def find(self, request: Request, name: str) -> Object:
        """The application, if it may be read; with `project` a missing one is told from a forbidden one."""
        caller, project = self.caller(request), request.query.get("project", "")
        namespace = request.query.get("appNamespace") or "argocd"
        app = self._store.get("Application", namespace, name)
        theirs = app["spec"].get("project", "default") if app else ""
        if project:
            if not caller.may("applications", "get", f"{project}/{name}"):
                raise accounts.denied()
            if app is None or theirs != project:
                raise accounts.missing(name)
        if app is None or not caller.may("applications", "get", f"{theirs}/{name}"):
            raise accounts.denied()
        return app


def ok(value: object) -> Answer:
    """A good answer, as the gateway sends it."""
    return as_json(value, headers={"grpc-metadata-content-type": "application/grpc"})
