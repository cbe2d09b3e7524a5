"""Reading the settings file: what it means, and what is said when it is wrong."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal import settings
from loopseal.domain.identity import ActorKind
from loopseal.domain.proposal import Application, Target
from loopseal.domain.revision import Tolerance
from loopseal.errors import Code, ConfigError
from loopseal.settings.document import scalar
from loopseal.settings.identity import actor_of

EXAMPLE = """\
# yaml-language-server: $schema=loopseal.schema.json
repositories:
  platform: {url: https://git.example.com/platform/apps.git, branch: main, credential: connection:git_platform, sign: {ssh: file:/etc/loopseal/signing_key}}
engines:
  argo: {kind: argocd, url: https://argocd.example.com, credential: connection:argocd}
  eu1:  {kind: flux, kubeconfig: file:/etc/loopseal/eu1.kubeconfig}
targets:
  payments-staging: {repository: platform, paths: ["apps/payments/**"], applications: [{engine: argo, name: payments-staging}], timeout: 20m, dags: ["payments_*"]}
"""
REPOSITORY: dict[str, Any] = {"url": "https://git.example.com/a.git"}
ENGINE: dict[str, Any] = {"kind": "argocd", "url": "https://argocd.example.com"}
TARGET: dict[str, Any] = {"repository": "git", "paths": ["apps/**"]}


def written(folder: Path, text: str | bytes) -> str:
    file = folder / "loopseal.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(file)


def document(**parts: dict[str, Any]) -> dict[str, Any]:
    """A small good document; `repository`, `engine`, `target` add to or replace its fields."""
    return {
        "repositories": {"git": REPOSITORY | parts.get("repository", {})},
        "engines": {"argo": ENGINE | parts.get("engine", {})},
        "targets": {"t": TARGET | parts.get("target", {})},
        **parts.get("top", {}),
    }


def refused(data: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        settings.parse(data, source="loopseal.yaml")
    return caught.value


# What a good file means.


def test_the_example(tmp_path: Path):
    path = written(tmp_path, EXAMPLE)
    tree = settings.load(path)
    assert tree.source == path
    assert tree.sha256 == hashlib.sha256(EXAMPLE.encode()).hexdigest()
    git = tree.repositories["platform"]
    assert (git.url, git.credential) == ("https://git.example.com/platform/apps.git", "connection:git_platform")
    assert git.sign == settings.SignSettings(ssh="file:/etc/loopseal/signing_key")
    assert tree.engines["eu1"].kubeconfig == "file:/etc/loopseal/eu1.kubeconfig"
    target = tree.targets["payments-staging"]
    assert (target.timeout, target.tolerance) == (1200.0, Tolerance())
    assert settings.resolve_target(tree, "payments-staging") == Target(
        "payments-staging",
        "platform",
        "main",
        ("apps/payments/**",),
        (Application("argo", "payments-staging"),),
    )


def test_a_target_may_name_its_own_branch():
    tree = settings.parse(document(target={"branch": "release/1.x"}))
    assert settings.resolve_target(tree, "t").branch == "release/1.x"


def test_wait_is_the_tolerance():
    wait = {"exact": True, "settle": "1m", "degraded_grace": 2.5, "failed_passes": 3, "nudge": ["1s", 5]}
    tree = settings.parse(document(target={"wait": wait}))
    assert tree.targets["t"].tolerance == Tolerance(
        exact=True, settle=60.0, degraded_grace=2.5, failed_passes=3, nudge=(1.0, 5.0)
    )


def test_an_application_has_all_its_fields():
    app = {"engine": "argo", "name": "n", "namespace": "ns", "project": "p", "kind": "HelmRelease"}
    tree = settings.parse(document(target={"applications": [app]}))
    assert tree.targets["t"].applications == (Application("argo", "n", "ns", "p", "HelmRelease"),)


def test_maps_cannot_be_changed():
    tree = settings.parse(document(target={"labels": {"tier": "production"}}))
    for mapping in (tree.targets, tree.repositories, tree.engines, tree.targets["t"].labels):
        with pytest.raises(TypeError):
            mapping["x"] = None  # type: ignore[index]  # that is the point


def test_a_file_may_declare_engines_alone():
    assert settings.parse({"engines": {"argo": ENGINE}}).targets == {}


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/a.git",
        "https://git.example.com:8443/a.git",
        "ssh://git@git.example.com/a.git",
        "ssh://git.example.com:2222/a.git",
        "git@git.example.com:team/a.git",
        "file:///srv/git/a.git",
        "http://127.0.0.1:3000/a.git",
        "http://[::1]:3000/a.git",
        "http://localhost/a.git",
        "http://git.localhost/a.git",
    ],
)
def test_addresses_of_repositories(url: str):
    assert settings.parse(document(repository={"url": url})).repositories["git"].url == url


def test_plain_http_is_spelled_unsafe():
    tree = settings.parse(
        document(
            repository={"url": "http://git.lan/a.git", "unsafe_http": True},
            engine={"url": "http://argo.lan", "unsafe_http": True},
        )
    )
    assert tree.repositories["git"].unsafe_http


def test_in_cluster_is_a_kubeconfig():
    assert settings.parse(document(engine={"url": "", "kubeconfig": "in-cluster"})).engines["argo"].url == ""


@pytest.mark.parametrize(
    "sign",
    [
        {"openpgp": "env:KEY", "passphrase": "env:PASSPHRASE"},
        {"agent": "SHA256:" + "a" * 43},
        {"agent": "ssh-ed25519 AAAAC3Nz ann@example.com"},
        {"command": ["/usr/bin/sign", "--key", "7"]},
    ],
)
def test_ways_to_sign(sign: dict[str, Any]):
    assert settings.parse(document(repository={"sign": sign})).repositories["git"].sign is not None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("20m", 1200),
        ("1h", 3600),
        ("1h30m", 5400),
        ("2d", 172800),
        ("0.5s", 0.5),
        ("1d1h1m1.5s", 90061.5),
        ("", None),
        ("5", None),
        ("5 s", None),
        ("-5s", None),
        ("1m1h", None),
        ("1.5m", None),
        ("5S", None),
        ("\u0665s", None),
        ("5s\n", None),
    ],
)
def test_durations(text: str, seconds: float | None):
    assert settings.duration(text) == seconds


@given(st.integers(0, 99999), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(hours: int, minutes: int, seconds: int):
    assert settings.duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


def test_numbers_are_seconds():
    assert settings.parse(document(target={"timeout": 90})).targets["t"].timeout == 90.0


# Where the file is.


def test_the_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(settings.VARIABLE, written(tmp_path, EXAMPLE))
    assert "payments-staging" in settings.load().targets


def test_no_file_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(settings.VARIABLE, raising=False)
    with pytest.raises(ConfigError) as caught:
        settings.load()
    assert caught.value.code is Code.CONFIG_MISSING
    assert settings.VARIABLE in caught.value.hint


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        settings.load(str(tmp_path / "nope.yaml"))
    assert (caught.value.code, caught.value.where) == (Code.CONFIG_MISSING, str(tmp_path / "nope.yaml"))


@pytest.mark.parametrize("name", [".", "a\0b"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str):
    with pytest.raises(ConfigError) as caught:
        settings.load(f"{tmp_path}/{name}")
    assert caught.value.code is Code.CONFIG_UNREADABLE
    assert caught.value.hint


def test_the_ledger_of_the_command_line_has_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = written(tmp_path, EXAMPLE)
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert settings.load(path).ledger.path == "/var/state/loopseal/ledger.jsonl"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ann")
    assert settings.load(path).ledger.path == "/home/ann/.local/state/loopseal/ledger.jsonl"


def test_the_ledger_stays_where_the_file_says(tmp_path: Path):
    path = written(tmp_path, EXAMPLE + "ledger: {path: /srv/ledger.jsonl}\n")
    assert settings.load(path).ledger.path == "/srv/ledger.jsonl"


def test_the_environment_is_that_of_the_process():
    assert settings.environment() is os.environ


# What YAML may not do here.


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: &x 1\n", 1, "anchors and aliases"),
        ("a: 1\nb: *x\n", 2, "anchors and aliases"),
        ("a: &x [1]\nb: [*x, *x]\n", 1, "anchors and aliases"),
        ("&x a: 1\n", 1, "anchors and aliases"),
        ("a: &x 1\n*x : 2\n", 1, "anchors and aliases"),
        ("!!str a: 1\n", 1, "tags are not read"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "tags are not read"),
        ("!!map {a: 1}\n", 1, "tags are not read"),
        ("targets: {}\n\ntargets: {}\n", 3, "'targets' stands here a second time"),
        ("targets:\n  t: {paths: [a], paths: [b]}\n", 2, "'paths' stands here a second time"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a: [1\nb: 2\n", 2, "is not YAML"),
        ("a: 1\n\tb: 2\n", 2, "is not YAML"),
        ("a: 'x\n", 2, "is not YAML"),
        ("? [a]\n: 1\n", 1, "a key must be a plain word"),
        ("a: " + "[" * 40 + "]" * 40 + "\n", 1, "more than 32 levels"),
        ("a: " + "[" * 100_000 + "\n", 1, ""),
        (b"a: \xff\n", 1, "is not UTF-8"),
        (b"a: 1\nb: \xc3(\n", 2, "is not UTF-8"),
    ],
)
def test_loose_yaml(tmp_path: Path, text: str | bytes, line: int, says: str):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        settings.load(path)
    assert caught.value.code is Code.CONFIG_INVALID
    assert caught.value.where.startswith(f"{path}:{line}")
    assert says in caught.value.message
    assert caught.value.hint


def test_characters_that_yaml_does_not_allow(tmp_path: Path):
    with pytest.raises(ConfigError, match="a character that YAML does not allow"):
        settings.load(written(tmp_path, "a: \x01\n"))


def test_duplicates_name_the_first_line(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        settings.load(written(tmp_path, "targets: {}\n\ntargets: {}\n"))
    assert "line 1" in caught.value.hint


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~\n"])
def test_an_empty_file(tmp_path: Path, text: str):
    with pytest.raises(ConfigError) as caught:
        settings.load(written(tmp_path, text))
    assert caught.value.code is Code.CONFIG_MISSING


def test_a_large_file(tmp_path: Path):
    with pytest.raises(ConfigError, match="more than 1048576 bytes"):
        settings.load(written(tmp_path, "#" * (1024 * 1024 + 1)))


@pytest.mark.parametrize("text", ["[]", "{}", "just text", "- a\n"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str):
    with pytest.raises(ConfigError, match="must be a mapping"):
        settings.load(written(tmp_path, text))


def test_a_byte_order_mark_is_no_character(tmp_path: Path):
    assert settings.load(written(tmp_path, b"\xef\xbb\xbf" + EXAMPLE.encode())).targets


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("on", "on"),
        ("yes", "yes"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("-5", -5),
        ("+5", 5),
        ("1.50", 1.5),
        ("1.", 1.0),
        ("1e3", "1e3"),
        ("1.0e3", 1000.0),
        ("5.0e-324", 5e-324),
        (".inf", ".inf"),
        ("2026-01-01", "2026-01-01"),
        ("9" * 17, "9" * 17),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any):
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quoted_scalars_are_text(tmp_path: Path):
    path = written(tmp_path, EXAMPLE + "ledger: {kind: memory, path: ''}\n")
    assert settings.load(path).ledger.kind == "memory"
    with pytest.raises(ConfigError, match="must be true or false, but is a string"):
        settings.load(written(tmp_path, EXAMPLE.replace("timeout: 20m", "sync: 'true'")))


# What the fields may not say.


@pytest.mark.parametrize(
    ("data", "where", "says", "hint"),
    [
        (document(top={"target": {}}), "target", "no such field", "Did you mean 'targets'?"),
        (
            document(top={"zzz": {}}),
            "zzz",
            "no such field",
            "There are: calls, engines, ledger, repositories, targets.",
        ),
        (document(repository={"brunch": "x"}), "repositories.git.brunch", "no such field", "Did you mean 'branch'?"),
        (document(repository={"password": "x"}), "repositories.git.password", "no such field", "Secrets never stand"),
        (document(engine={"apiKey": "x"}), "engines.argo.apiKey", "no such field", "Secrets never stand"),
        (document(target={"tolerance": {}}), "targets.t.tolerance", "no such field", "There are: "),
        (document(target={"wait": {"setle": 1}}), "targets.t.wait.setle", "no such field", "'settle'"),
        (document(top={"source": "x"}), "source", "no such field", "There are"),
        (document(top={"targets": []}), "targets", "mapping of names, but is a list", "name: …"),
        (document(top={"targets": {"t": "x"}}), "targets.t", "mapping of fields, but is a string", "Indent"),
        (document(top={"targets": {"t": None}}), "targets.t", "mapping of fields, but is empty", "Indent"),
        (document(top={"targets": {"a b": TARGET}}), "targets.a b", "is no name", "letters"),
        (document(top={"targets": {"": TARGET}}), "targets.", "is no name", "letters"),
        (document(top={"targets": {"t": {"paths": ["a"]}}}), "targets.t.repository", "is missing", "repository: …"),
        (document(repository={"url": None}), "repositories.git.url", "must be a string, but is empty", ""),
        (document(repository={"branch": 1.0}), "repositories.git.branch", "but is a number", "quotes"),
        (document(repository={"sign": None}), "repositories.git.sign", "but is empty", "Indent"),
        (document(repository={"author": "a\nb <x>"}), "repositories.git.author", "cannot be printed", "one line"),
        (document(target={"sync": "yes"}), "targets.t.sync", "must be true or false, but is a string", ""),
        (document(target={"sync": 1}), "targets.t.sync", "but is a number", ""),
        (document(target={"paths": "apps/**"}), "targets.t.paths", "must be a list, but is a string", "[a, b]"),
        (document(target={"paths": [1]}), "targets.t.paths[0]", "must be a string", "quotes"),
        (document(target={"timeout": "20 minutes"}), "targets.t.timeout", "or a duration", "20m"),
        (document(target={"timeout": True}), "targets.t.timeout", "but is true or false", "20m"),
        (document(target={"timeout": -1}), "targets.t.timeout", "must not be negative", ""),
        (document(target={"timeout": 0}), "targets.t.timeout", "above zero", ""),
        (document(target={"timeout": float("inf")}), "targets.t.timeout", "or a duration", ""),
        (document(target={"wait": {"failed_passes": -1}}), "targets.t.wait.failed_passes", "not be negative", ""),
        (document(target={"wait": {"failed_passes": 1.5}}), "targets.t.wait.failed_passes", "a whole number", ""),
        (document(target={"wait": {"nudge": []}}), "targets.t.wait.nudge", "pauses above zero", "[2, 4"),
        (document(target={"wait": {"nudge": [0]}}), "targets.t.wait.nudge", "pauses above zero", "[2, 4"),
        (document(repository={"pushes_per_minute": "6"}), "repositories.git.pushes_per_minute", "per minute", ""),
        (document(repository={"pushes_per_minute": -1}), "repositories.git.pushes_per_minute", "negative", ""),
        (document(target={"repository": "gti"}), "targets.t.repository", "no repository 'gti'", "Declared: git."),
        (document(top={"repositories": {}}), "targets.t.repository", "no repository 'git'", "None is declared."),
        (
            document(target={"applications": [{"engine": "flux", "name": "x"}]}),
            "targets.t.applications[0].engine",
            "no engine 'flux'",
            "Declared: argo.",
        ),
        (
            document(target={"applications": [{"engine": "argo", "name": "x"}] * 2}),
            "targets.t.applications[1]",
            "a second time",
            "Remove",
        ),
        (
            document(target={"applications": [{"engine": "argo", "name": ""}]}),
            "targets.t.applications[0].name",
            "is empty",
            "engine and name",
        ),
        (document(target={"applications": ["x"]}), "targets.t.applications[0]", "mapping of fields", "Indent"),
        (document(target={"paths": []}), "targets.t.paths", "is empty, so no change", "apps/payments/**"),
        (document(target={"paths": ["a", ""]}), "targets.t.paths[1]", "relative path", ""),
        (document(target={"paths": ["/etc/*"]}), "targets.t.paths[0]", "relative path", ""),
        (document(target={"paths": ["a/../**"]}), "targets.t.paths[0]", "relative path", ""),
        (document(target={"paths": ["./a"]}), "targets.t.paths[0]", "relative path", ""),
        (document(target={"paths": ["a//b"]}), "targets.t.paths[0]", "relative path", ""),
        (document(target={"paths": ["a\\b"]}), "targets.t.paths[0]", "relative path", ""),
        (document(target={"dags": [""]}), "targets.t.dags[0]", "must be a Dag id", "payments_*"),
        (document(target={"dags": ["a[bc]"]}), "targets.t.dags[0]", "must be a Dag id", "payments_*"),
        (document(target={"branch": "a..b"}), "targets.t.branch", "is no branch name", "check-ref-format"),
        (document(target={"labels": {"tier": 1}}), "targets.t.labels.tier", "must be a string", "quotes"),
        (document(engine={"kind": "Argo CD"}), "engines.argo.kind", "is no kind", "argocd"),
        (document(engine={"url": ""}), "engines.argo", "how to reach its cluster", "kubeconfig"),
        (document(engine={"url": "argocd.example.com"}), "engines.argo.url", "https:// address", "https://"),
        (document(engine={"url": "ftp://argocd.example.com"}), "engines.argo.url", "https:// address", ""),
        (document(engine={"url": "http://argocd.lan"}), "engines.argo.url", "plain http://", "unsafe_http"),
        (document(engine={"url": "https://a.lan/?x=1"}), "engines.argo.url", "without `?`", "credential"),
        (document(engine={"url": "https://a.lan:port"}), "engines.argo.url", "https:// address", "https://"),
        (document(engine={"public_url": "javascript:alert(1)"}), "engines.argo.public_url", "https:// address", ""),
        (document(engine={"ca": "ca.pem"}), "engines.argo.ca", "absolute path", ""),
        (document(engine={"poll": 0}), "engines.argo.poll", "above zero", ""),
        (document(repository={"url": "http://git.lan/a.git"}), "repositories.git.url", "plain http://", "unsafe"),
        (document(repository={"url": "http://127.0.0.1.evil.com/a"}), "repositories.git.url", "plain http://", ""),
        (document(repository={"url": "ftp://git.lan/a.git"}), "repositories.git.url", "must be https://", ""),
        (document(repository={"url": "/srv/git"}), "repositories.git.url", "is no address", ""),
        (document(repository={"url": "file://host/srv"}), "repositories.git.url", "local folder", ""),
        (document(repository={"url": "https:///a"}), "repositories.git.url", "names no host", ""),
        (document(repository={"url": "https://[::1/a"}), "repositories.git.url", "is no address", ""),
        (document(repository={"url": "https://a b/c"}), "repositories.git.url", "is no address", ""),
        (document(repository={"author": "bot"}), "repositories.git.author", "`Name <email>`", ""),
        (document(repository={"committer": "bot <>"}), "repositories.git.committer", "`Name <email>`", ""),
        (document(repository={"mode": "clone"}), "repositories.git.mode", "is no mode", "auto, wire"),
        (document(repository={"username": "a:b"}), "repositories.git.username", "colon", "RFC 7617"),
        (document(repository={"change_refs": "refs/x"}), "repositories.git.change_refs", "end with `/`", ""),
        (document(repository={"known_hosts": "~/x"}), "repositories.git.known_hosts", "absolute path", ""),
        (document(repository={"timeout": 0}), "repositories.git.timeout", "above zero", ""),
        (document(repository={"sign": {}}), "repositories.git.sign", "names no key", "exactly one"),
        (
            document(repository={"sign": {"ssh": "env:A", "openpgp": "env:B"}}),
            "repositories.git.sign",
            "names ssh and openpgp",
            "exactly one",
        ),
        (
            document(repository={"sign": {"agent": "SHA256:" + "a" * 43, "passphrase": "env:A"}}),
            "repositories.git.sign.passphrase",
            "belongs to a key in a file",
            "",
        ),
        (document(repository={"sign": {"agent": "x"}}), "repositories.git.sign.agent", "public key or", "ssh-add"),
        (document(top={"ledger": {"path": "x.jsonl"}}), "ledger.path", "absolute path", ""),
        (document(top={"ledger": {"kind": "SQL!"}}), "ledger.kind", "is no kind", "memory"),
    ],
)
def test_wrong_fields(data: Any, where: str, says: str, hint: str):
    error = refused(data)
    assert error.where == f"loopseal.yaml: {where}"
    assert says in error.message
    assert hint in error.hint


BRANCHES = [
    "",
    "-x",
    "a b",
    "a~1",
    "a^",
    "a:b",
    "a?",
    "a*",
    "a[",
    "a\\b",
    "a..b",
    "a@{1}",
    "/a",
    "a/",
    "a//b",
    ".a",
    "a/.b",
]


@pytest.mark.parametrize("name", [*BRANCHES, "a.lock", "a.lock/b", "a.", "@"])
def test_no_branch(name: str):
    assert refused(document(repository={"branch": name})).message == "is no branch name"


@pytest.mark.parametrize("name", ["main", "release/1.x", "a-b_c", "@a", "größe", "a.lockb"])
def test_branches(name: str):
    assert settings.parse(document(repository={"branch": name})).repositories["git"].branch == name


def test_errors_name_the_line(tmp_path: Path):
    path = written(tmp_path, EXAMPLE.replace("timeout: 20m", "tiemout: 20m"))
    with pytest.raises(ConfigError) as caught:
        settings.load(path)
    assert caught.value.where == f"{path}:8: targets.payments-staging.tiemout"
    assert "'timeout'" in caught.value.hint


def test_errors_of_a_missing_field_name_the_line_of_its_record(tmp_path: Path):
    path = written(tmp_path, "repositories: {}\nengines:\n  argo:\n    url: https://a.lan\n")
    with pytest.raises(ConfigError) as caught:
        settings.load(path)
    assert caught.value.where == f"{path}:3: engines.argo.kind"


# Secrets.

SECRET = "hunter2-S3cr3t"
LEAKS = [
    document(repository={"url": f"https://bot:{SECRET}@git.example.com/a.git"}),
    document(repository={"url": f"https://{SECRET}@git.example.com/a.git"}),
    document(repository={"url": f"ssh://git:{SECRET}@git.example.com/a.git"}),
    document(repository={"url": f"https://git.example.com/a.git?token={SECRET}"}),
    document(repository={"url": f"https://git.example.com/a.git#{SECRET}"}),
    document(repository={"url": f"https://bot:{SECRET}@[::1/a.git"}),
    document(repository={"url": f"https://bot:{SECRET}@git.example.com:port/a.git"}),
    document(repository={"credential": SECRET}),
    document(repository={"credential": f"plain:{SECRET}"}),
    document(repository={"credential": f"file:{SECRET}"}),
    document(repository={"credential": {"token": SECRET}}),
    document(repository={"credential": [SECRET]}),
    document(repository={"sign": {"ssh": f"-----BEGIN OPENSSH PRIVATE KEY-----{SECRET}"}}),
    document(repository={"sign": {"ssh": "file:/key", "passphrase": SECRET}}),
    document(engine={"credential": SECRET}),
    document(engine={"kubeconfig": f"token: {SECRET}"}),
    document(engine={"kubeconfig": {"users": [{"token": SECRET}]}}),
    document(engine={"url": f"https://{SECRET}@argocd.example.com"}),
    document(engine={"public_url": f"https://a:{SECRET}@argocd.example.com"}),
    document(repository={"password": SECRET}),
    document(repository={"mode": SECRET}),
    document(repository={"author": SECRET}),
    document(repository={"branch": f"{SECRET}.."}),
]


@pytest.mark.parametrize("data", LEAKS)
def test_what_may_be_a_secret_is_never_repeated(data: Any):
    error = refused(data)
    assert SECRET not in error.diagnostics()
    assert SECRET not in repr(error)
    assert error.__context__ is None or SECRET not in repr(error.__context__)


@pytest.mark.parametrize("data", LEAKS[:3])
def test_credentials_in_an_address_have_their_own_code(data: Any):
    error = refused(data)
    assert (error.code, error.where) == (Code.CONFIG_SECRET, "loopseal.yaml: repositories.git.url")
    assert "credential: env:NAME" in error.hint


@pytest.mark.parametrize("reference", ["", "env:", "file: ", SECRET, "Env:A", "in-cluster"])
def test_references_only(reference: str):
    error = refused(document(repository={"credential": reference}))
    assert error.code is Code.CONFIG_SECRET


# Targets and Dags.


def test_an_unknown_target_names_the_near_one():
    tree = settings.parse(document(), source="loopseal.yaml")
    with pytest.raises(ConfigError) as caught:
        settings.resolve_target(tree, "T1")
    assert caught.value.code is Code.CONFIG_UNKNOWN_TARGET
    assert caught.value.hint == "There are: t."
    with pytest.raises(ConfigError, match="no target") as caught:
        settings.resolve_target(settings.parse({"engines": {"argo": ENGINE}}), "x" * 500)
    assert caught.value.hint == "There are none."
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("patterns", "dag", "allowed"),
    [
        (["payments_*"], "payments_daily", True),
        (["payments_*"], "payments_", True),
        (["payments_*"], "xpayments_daily", False),
        (["payments_*"], "payments_daily\n", True),  # `*` is any text; Airflow refuses such ids
        (["payments"], "payments", True),
        (["payments"], "payments\n", False),
        (["payments"], "payments_daily", False),
        (["a", "b"], "b", True),
        (["*"], "anything", True),
        (["*"], "", False),
        (["a.b"], "axb", False),
        (["a*b*c"], "a1b2c", True),
        (["a*b*c"], "a1c2b", False),
        (["team-*"], "team-ü", True),
    ],
)
def test_dags(patterns: list[str], dag: str, allowed: bool):
    target = settings.parse(document(target={"dags": patterns})).targets["t"]
    assert settings.dag_allowed(target, dag) is allowed


def test_without_patterns_no_dag_is_allowed():
    target = settings.parse(document()).targets["t"]
    assert not settings.dag_allowed(target, "payments")


@given(st.lists(st.text("ab*", max_size=4), max_size=3), st.text("ab", max_size=4))
def test_a_dag_is_allowed_by_no_more_than_one_whole_pattern(patterns: list[str], dag: str):
    from fnmatch import fnmatchcase

    target = settings.TargetSettings("git", ("a",), dags=tuple(patterns))
    assert settings.dag_allowed(target, dag) == (dag != "" and any(fnmatchcase(dag, one) for one in patterns))


# Any document at all.

yaml_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
field_names = [
    "url",
    "branch",
    "credential",
    "sign",
    "kind",
    "paths",
    "repository",
    "applications",
    "wait",
    "dags",
    "labels",
    "timeout",
]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            part: st.dictionaries(
                st.sampled_from(["git", "argo", "t"]), st.dictionaries(st.sampled_from(field_names), yaml_like)
            )
            for part in ("repositories", "engines", "targets")
        },
    )
    | yaml_like
)
def test_any_document_is_read_or_refused(data: Any):
    try:
        tree = settings.parse(data)
    except ConfigError as error:
        assert error.code in {Code.CONFIG_INVALID, Code.CONFIG_SECRET, Code.CONFIG_UNKNOWN_KIND}  # noqa: PT017 - either way is right
    else:
        assert all(target.paths for target in tree.targets.values())


@given(st.binary(max_size=60) | st.text("ab:-{}[],&*!|>'\"# \n\t%@`?", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(content: bytes):
    from loopseal.settings.document import read

    try:
        data, lines = read(content, "x")
    except ConfigError:
        return
    assert data is not None
    assert lines[()] >= 1


# Who runs the command line.


@pytest.mark.parametrize(
    ("environ", "subject", "issuer", "person"),
    [
        (
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "o/r",
                "GITHUB_WORKFLOW": "ci",
                "GITHUB_RUN_ID": "7",
                "GITHUB_ACTOR": "ann",
            },
            "o/r:ci:7",
            "https://github.com",
            "ann",
        ),
        (
            {
                "GITLAB_CI": "true",
                "CI_SERVER_URL": "https://gitlab.example.com",
                "CI_PROJECT_PATH": "g/p",
                "CI_JOB_NAME": "deploy",
                "CI_JOB_ID": "8",
                "GITLAB_USER_LOGIN": "bob",
            },
            "g/p:deploy:8",
            "https://gitlab.example.com",
            "bob",
        ),
        (
            {"JENKINS_URL": "https://ci.example.com/", "JOB_NAME": "j", "BUILD_NUMBER": "9"},
            "j:9",
            "https://ci.example.com/",
            None,
        ),
    ],
)
def test_ci_jobs(environ: dict[str, str], subject: str, issuer: str, person: str | None):
    actor = actor_of(environ)
    assert (actor.subject, actor.issuer, actor.kind) == (subject, issuer, ActorKind.CI)
    assert (actor.on_behalf_of.subject if actor.on_behalf_of else None) == person


@pytest.mark.parametrize("environ", [{}, {"GITHUB_ACTIONS": "true"}, {"GITLAB_CI": "true", "CI_SERVER_URL": "x"}])
def test_otherwise_a_person(environ: dict[str, str]):
    actor = actor_of(environ)
    assert actor.kind is ActorKind.PERSON
    assert actor.issuer == os.uname().nodename


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)
    assert actor_of({}).subject == "uid-987654321"


def test_the_caller_is_somebody():
    assert settings.caller().subject
