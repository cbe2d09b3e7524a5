"""Connections as credentials, and that nothing gets out before Airflow's masker has heard of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.sdk import Connection

from loopseal.airflow import compat
from loopseal.airflow.hooks.argocd import ArgoCDHook
from loopseal.airflow.hooks.git import GitHook
from loopseal.airflow.hooks.kubernetes import KubernetesHook
from loopseal.airflow.secrets import MaskedSecrets, credential
from loopseal.credentials.reference import References
from loopseal.errors import ConfigError
from tests.unit.airflow.stage import Stage


def connection(kind: str = "loopseal_git", **fields: Any) -> Connection:
    extra = fields.pop("extra", None)
    return Connection(conn_id="c", conn_type=kind, extra=json.dumps(extra) if extra else None, **fields)


@pytest.mark.parametrize(
    ("made", "secret"),
    [
        (connection(password="token"), "token"),
        (connection(extra={"private_key": "KEY"}), "KEY"),
        (connection(password="token", extra={"private_key": "KEY"}), "token"),
        (connection("loopseal_kubernetes", password="token", extra={"kubeconfig": "FILE"}), "FILE"),
        (connection("loopseal_kubernetes", password="token"), "token"),
        (connection("generic", extra={"token": "T"}), "T"),
    ],
)
def test_where_the_secret_of_a_connection_is(made: Connection, secret: str) -> None:
    assert credential(made).secret.reveal() == secret


def test_the_rest_comes_along() -> None:
    found = credential(connection(login="me", password="p", extra={"private_key": "K", "number": 3, "empty": ""}))
    assert found.username == "me"
    assert {name: secret.reveal() for name, secret in found.extra.items()} == {"private_key": "K"}


def test_an_empty_connection_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match="holds no password") as told:
        credential(connection())
    assert told.value.where == "connection:c"


def test_a_connection_is_asked_from_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []

    async def mask(secret: str) -> None:
        masked.append(secret)

    monkeypatch.setattr(compat, "mask", mask)
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps({"conn_type": "x", "password": "line one\nline two\nabc"}))
    secrets = MaskedSecrets()

    async def twice() -> list[str]:
        return [(await secrets.resolve("connection:mine")).secret.reveal() for _ in range(2)]

    assert asyncio.run(twice()) == ["line one\nline two\nabc"] * 2
    assert masked == ["line one\nline two\nabc", "line one", "line two"], "each once, and nothing too short"
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps({"conn_type": "x", "password": "rotated"}))
    secrets.forget("connection:mine")
    assert asyncio.run(secrets.resolve("connection:mine")).secret.reveal() == "rotated"
    assert masked[-1] == "rotated"


def test_other_references_are_masked_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []

    async def mask(secret: str) -> None:
        masked.append(secret)

    monkeypatch.setattr(compat, "mask", mask)
    secrets = MaskedSecrets(References({"TOKEN": "from-the-environment"}))
    assert asyncio.run(secrets.resolve("env:TOKEN")).secret.reveal() == "from-the-environment"
    assert masked == ["from-the-environment"]


def test_a_missing_connection_is_told_by_name() -> None:
    with pytest.raises(ConfigError, match="Airflow gave no such connection") as told:
        asyncio.run(MaskedSecrets().resolve("connection:nobody"))
    assert told.value.where == "connection:nobody"


def test_masking_reaches_airflows_masker(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk._shared.secrets_masker import redact

    asyncio.run(compat.mask("a-value-to-hide"))
    assert "a-value-to-hide" not in str(redact("it is a-value-to-hide here"))


def test_the_test_button_of_a_repository(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"conn_type": "loopseal_git", "host": f"file://{stage.bare}"}
    monkeypatch.setenv("AIRFLOW_CONN_GOOD", json.dumps(good))
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps({**good, "extra": {"branch": "nope"}}))
    monkeypatch.setenv("AIRFLOW_CONN_GONE", json.dumps({**good, "host": "file:///nowhere/apps.git"}))
    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", json.dumps({"conn_type": "loopseal_git"}))
    ok, said = GitHook("good").test_connection()
    assert ok, said
    for name in ("wrong", "gone", "empty"):
        ok, said = GitHook(name).test_connection()
        assert not ok
        assert said


def test_what_a_connection_amounts_to() -> None:
    git = GitHook("c").settings(connection(host="https://x.test/a.git", password="p", extra={"branch": "dev"}))
    assert (git.url, git.branch, git.credential) == ("https://x.test/a.git", "dev", "connection:c")
    assert GitHook("c").settings(connection(host="https://x.test/a.git")).credential == ""
    argo = ArgoCDHook("c").settings(connection("loopseal_argocd", host="https://argo.test", password="t"))
    assert (argo.kind, argo.url, argo.credential) == ("argocd", "https://argo.test", "connection:c")
    by_file = KubernetesHook("c").settings(
        connection("loopseal_kubernetes", host="ignored", extra={"kubeconfig": "F", "context": "eu"})
    )
    assert (by_file.url, by_file.kubeconfig, by_file.credential, by_file.context) == ("", "connection:c", "", "eu")
    by_url = KubernetesHook("c").settings(connection("loopseal_kubernetes", host="https://k.test", password="t"))
    assert (by_url.url, by_url.kubeconfig, by_url.credential) == ("https://k.test", "", "connection:c")


def test_a_hook_gives_its_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps({"conn_type": "loopseal_git", "password": "pw"}))
    assert GitHook("mine").credential().secret.reveal() == "pw"
