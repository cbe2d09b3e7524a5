"""The administrator's client, on an API server that is a few lines: what it sends, and what it makes of the answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loopseal.testing.asgi import Answer, Request, Service, as_json
from loopseal.testing.git_server import serve
from tests.peers import pki
from tests.peers.kube import Kube, KubeError

CORE = {"name": "", "resources": [("v1", "ConfigMap", "configmaps"), ("v1", "Event", "events")]}
EVENTS = {"name": "events.k8s.io", "resources": [("v1", "Event", "events"), ("v1beta1", "Event", "events")]}


class Api:
    """Objects by path; discovery of the groups that are served; who asked what."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.groups = [EVENTS]
        self.asked: list[Request] = []

    async def __call__(self, request: Request) -> Answer:
        self.asked.append(request)
        if request.path in {"/api", "/apis"}:
            groups = [CORE] if request.path == "/api" else self.groups
            return as_json({"items": [discovery(group) for group in groups]})
        if request.query.get("watch"):
            return Answer(200, b'{"type":"ADDED","object":{"a":1}}\n{"type":"BOOKMARK","object":{}}\n')
        if request.method in {"PATCH", "POST"}:
            self.objects[request.path] = {**self.objects.get(request.path, {}), **request.json()}
        if request.path.endswith("/configmaps") and request.method == "GET":
            return as_json({"items": list(self.objects.values())})
        found = self.objects.get(request.path)
        if found is None:
            return as_json({"message": f"{request.path} not found"}, 404)
        if request.method == "DELETE":
            del self.objects[request.path]
        return as_json(found)


def discovery(group: dict[str, Any]) -> dict[str, Any]:
    versions: dict[str, list[dict[str, Any]]] = {}
    for version, kind, plural in group["resources"]:
        resource = {"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced"}
        versions.setdefault(version, []).append(resource)
    listed = [{"version": version, "resources": found} for version, found in versions.items()]
    return {"metadata": {"name": group["name"]} if group["name"] else {}, "versions": listed}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki.make(tmp_path_factory.mktemp("pki")).authority


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def kube(api: Api, authority: Path) -> Iterator[Kube]:
    with serve(Service(api)) as url, Kube(url, "secret", authority) as client:
        yield client


def config_map(name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "team-a"}, **content}


ONE = "/api/v1/namespaces/team-a/configmaps/one"


def test_it_comes_as_who_it_is(kube: Kube, api: Api) -> None:
    kube.request("GET", "/somewhere")
    with kube.as_token("other") as other:
        other.request("GET", "/somewhere")
    with kube.as_token("") as nobody:
        nobody.request("GET", "/somewhere")
    assert [request.bearer for request in api.asked] == ["secret", "other", ""]


def test_apply_is_server_side_and_forced(kube: Kube, api: Api) -> None:
    assert kube.apply(config_map("one", data={"a": "1"}))["data"] == {"a": "1"}
    sent = api.asked[-1]
    assert (sent.method, sent.path) == ("PATCH", ONE)
    assert sent.query == {"fieldManager": "loopseal-tests", "force": "true"}
    assert sent.headers["content-type"] == "application/apply-patch+yaml"


def test_create_posts_to_all_of_the_namespace(kube: Kube, api: Api) -> None:
    kube.create(config_map("one"))
    assert (api.asked[-1].method, api.asked[-1].path) == ("POST", ONE.rpartition("/")[0])


def test_objects_are_read_changed_and_deleted(kube: Kube, api: Api) -> None:
    assert kube.get("ConfigMap", "team-a", "one") is None
    api.objects[ONE] = config_map("one")
    assert kube.get("ConfigMap", "team-a", "one") == config_map("one")
    assert kube.list("ConfigMap", "team-a") == [config_map("one")]
    assert kube.patch("ConfigMap", "team-a", "one", {"data": {"a": "1"}})["data"] == {"a": "1"}
    assert api.asked[-1].headers["content-type"] == "application/merge-patch+json"
    kube.delete("ConfigMap", "team-a", "one")
    assert api.objects == {}
    kube.delete("ConfigMap", "team-a", "one")


def test_a_refusal_is_raised_with_its_words(kube: Kube) -> None:
    with pytest.raises(KubeError, match=r"GET /nowhere: 404: /nowhere not found") as refused:
        kube.call("GET", "/nowhere")
    assert refused.value.status == 404


def test_a_kind_of_two_groups_is_told_apart_by_its_group(kube: Kube) -> None:
    assert kube.resource("Event").root == "/api/v1"
    assert kube.resource("Event.events.k8s.io").root == "/apis/events.k8s.io/v1", "the preferred version comes first"
    old = {"apiVersion": "events.k8s.io/v1beta1", "kind": "Event", "metadata": {"name": "x", "namespace": "y"}}
    assert kube.path_of(old) == "/apis/events.k8s.io/v1beta1/namespaces/y/events/x"


def test_kinds_are_learned_when_they_appear(kube: Kube, api: Api) -> None:
    with pytest.raises(LookupError, match="knows no Application"):
        kube.resource("Application")
    api.groups.append({"name": "argoproj.io", "resources": [("v1alpha1", "Application", "applications")]})
    assert kube.resource("Application").path("argocd") == "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
    assert "applications.argoproj.io" in kube.discovered()


def test_until_waits_for_the_object_and_for_what_it_says(kube: Kube, api: Api) -> None:
    threading.Timer(0.2, lambda: api.objects.update({ONE: config_map("one", status={"phase": "New"})})).start()
    threading.Timer(0.4, lambda: api.objects.update({ONE: config_map("one", status={"phase": "Old"})})).start()
    found = kube.until("ConfigMap", "team-a", "one", lambda one: one["status"]["phase"] == "Old")
    assert found["status"] == {"phase": "Old"}


def test_until_shows_what_it_was_last(kube: Kube, api: Api) -> None:
    api.objects[ONE] = config_map("one", status={"phase": "New"})
    with pytest.raises(AssertionError, match=r'(?s)team-a/one is not as wanted after 0.1 s.*"phase": "New"'):
        kube.until("ConfigMap", "team-a", "one", lambda one: False, 0.1)
    with pytest.raises(AssertionError, match="still there"):
        kube.until_gone("ConfigMap", "team-a", "one", 0.1)
    threading.Timer(0.2, api.objects.clear).start()
    kube.until_gone("ConfigMap", "team-a", "one")


def test_until_waits_for_a_server_that_is_away(api: Api, authority: Path) -> None:
    with serve(Service(api)) as url, Kube(url, "secret", authority) as first:
        assert first.get("ConfigMap", "team-a", "one") is None
        port = int(url.rpartition(":")[2])
    api.objects[ONE] = config_map("one")
    with pytest.raises(AssertionError, match="not as wanted"), Kube(url, "secret", authority) as away:
        away.until("ConfigMap", "team-a", "one", lambda one: True, 0.1)
    with serve(Service(api), port), Kube(url, "secret", authority) as back:
        assert back.until("ConfigMap", "team-a", "one", lambda one: True) == config_map("one")


def test_a_watch_gives_what_comes(kube: Kube, api: Api) -> None:
    with kube.watch("ConfigMap", "team-a", resourceVersion="7") as events:
        assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert api.asked[-1].query == {"watch": "true", "resourceVersion": "7"}
