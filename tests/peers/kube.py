"""An administrator's client of the Kubernetes API: applies, reads, changes and deletes any kind of object.

Kinds are found by discovery, so that it knows custom resources as soon as the API server does. A kind is named
`Deployment`, or `Deployment.apps` where two groups have one of that name.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx2

MANAGER: Final = "loopseal-tests"
PATIENCE: Final = 30.0

_DISCOVERY: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_PAUSE: Final = 0.05

Object = dict[str, Any]


class KubeError(Exception):
    """The API server said no."""

    def __init__(self, status: int, message: str, what: str) -> None:
        super().__init__(f"{what}: {status}: {message}")
        self.status, self.message = status, message


@dataclass(frozen=True, slots=True)
class Resource:
    """Where the objects of one kind are: `/api/v1/…` or `/apis/apps/v1/…`."""

    root: str
    group: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """Of one object, or of all (of one namespace)."""
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.root}{scope}/{self.plural}" + (f"/{name}" if name else "")


class Kube:
    """One identity at one API server. Safe to use from many threads."""

    def __init__(self, url: str, token: str, authority: Path) -> None:
        self.url, self.authority, self._token = url, authority, token
        verify = ssl.create_default_context(cafile=str(authority))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(base_url=url, headers=headers, verify=verify, timeout=PATIENCE, trust_env=False)
        self._known: tuple[Resource, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def as_token(self, token: str) -> Kube:
        """The same API server as somebody else; to be closed by the caller."""
        return Kube(self.url, token, self.authority)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """One call, whatever the answer. Raises OSError when there is none."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        head = {"Accept": "application/json", **({"Content-Type": content_type} if content else {}), **(headers or {})}
        try:
            return self._http.request(method, path, content=content, headers=head)
        except httpx2.TransportError as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error

    def call(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Any:
        """The JSON that was answered. Raises KubeError."""
        answer = self.request(method, path, body, content_type=content_type)
        if answer.is_success:
            return answer.json()
        try:
            message = answer.json()["message"]
        except (ValueError, KeyError, TypeError):
            message = answer.text[:500]
        raise KubeError(answer.status_code, message, f"{method} {path}")

    def apply(self, obj: Object) -> Object:
        """Create it or make it so, by server-side apply. The object as it is now."""
        return self.call("PATCH", f"{self.path_of(obj)}?fieldManager={MANAGER}&force=true", obj, content_type=_APPLY)

    def create(self, obj: Object) -> Object:
        """Create it. Raises KubeError 409 when it is there already."""
        meta = obj["metadata"]
        return self.call("POST", self._resource_of(obj).path(meta.get("namespace", "")), obj)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object, or None; `namespace` is empty for those that have none."""
        try:
            return self.call("GET", self.resource(kind).path(namespace, name))
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str = "") -> list[Object]:
        """All of a namespace, or of the cluster."""
        return self.call("GET", self.resource(kind).path(namespace))["items"]

    def patch(self, kind: str, namespace: str, name: str, merge_patch: Object) -> Object:
        """Change an object (JSON merge patch, RFC 7386)."""
        return self.call("PATCH", self.resource(kind).path(namespace, name), merge_patch, content_type=_MERGE)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete it; does nothing when it is not there. Finalizers run afterwards."""
        try:
            self.call("DELETE", self.resource(kind).path(namespace, name))
        except KubeError as error:
            if error.status != 404:
                raise

    def namespace(self, name: str) -> None:
        """Make sure that there is one."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def until(
        self, kind: str, namespace: str, name: str, fits: Callable[[Object], object], seconds: float = PATIENCE
    ) -> Object:
        """The object as soon as it is there and `fits` says so. Raises AssertionError with what it was last.

        An API server that is away for a while is waited for as well.
        """
        end, found = time.monotonic() + seconds, None
        while (found := self._look(kind, namespace, name)) is None or not fits(found):
            if time.monotonic() > end:
                shown = json.dumps((found or {}).get("status"), indent=1)
                raise AssertionError(f"{kind} {namespace}/{name} is not as wanted after {seconds:g} s: {shown}")
            time.sleep(_PAUSE)
        return found

    def until_gone(self, kind: str, namespace: str, name: str, seconds: float = PATIENCE) -> None:
        """Until there is no such object. Raises AssertionError."""
        end = time.monotonic() + seconds
        while (found := self.get(kind, namespace, name)) is not None:
            if time.monotonic() > end:
                raise AssertionError(f"{kind} {namespace}/{name} is still there: {found['metadata']}")
            time.sleep(_PAUSE)

    @contextmanager
    def watch(self, kind: str, namespace: str, **query: str) -> Iterator[Iterator[Object]]:
        """Events (`type`, `object`) of a watch; the iterator ends when the server ends it."""
        path = self.resource(kind).path(namespace)
        asked = {"watch": "true", **query}
        with self._http.stream("GET", path, params=asked, timeout=httpx2.Timeout(PATIENCE, read=None)) as answer:
            answer.raise_for_status()
            yield (json.loads(line) for line in answer.iter_lines() if line)

    def resource(self, kind: str) -> Resource:
        """Where the objects of a kind are (`Deployment`, `Deployment.apps`). Raises LookupError."""
        name, _, group = kind.partition(".")
        return self._find(lambda one: one.kind == name and (not group or one.group == group), kind)

    def path_of(self, obj: Object) -> str:
        """Of one object."""
        meta = obj["metadata"]
        return self._resource_of(obj).path(meta.get("namespace", ""), meta["name"])

    def discovered(self) -> set[str]:
        """`plural.group` of everything, as controllers see it when they start."""
        self._known = tuple(self._discover())
        return {f"{one.plural}.{one.group}" for one in self._known}

    def _look(self, kind: str, namespace: str, name: str) -> Object | None:
        try:
            return self.get(kind, namespace, name)
        except ConnectionError:
            return None

    def _resource_of(self, obj: Object) -> Resource:
        version, kind = obj["apiVersion"], obj["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        return self._find(lambda one: one.kind == kind and one.root == root, f"{kind} of {version}")

    def _find(self, fits: Callable[[Resource], bool], what: str) -> Resource:
        for fresh in (False, True):
            if fresh:
                self.discovered()
            if found := next(filter(fits, self._known), None):
                return found
        raise LookupError(f"the API server knows no {what}")

    def _discover(self) -> Iterator[Resource]:
        """Of the preferred version first (aggregated discovery, KEP-3352)."""
        for root in ("/api", "/apis"):
            answer = self.request("GET", root, headers={"Accept": _DISCOVERY})
            if not answer.is_success:
                raise KubeError(answer.status_code, answer.text[:500], f"GET {root}")
            for group in answer.json()["items"]:
                yield from _resources(root, group)


def _resources(root: str, group: Mapping[str, Any]) -> Iterator[Resource]:
    name = group["metadata"].get("name", "")
    for version in group["versions"]:
        base = "/".join(filter(None, (root, name, version["version"])))
        for one in version.get("resources", []):
            yield Resource(base, name, one["responseKind"]["kind"], one["resource"], one["scope"] == "Namespaced")
