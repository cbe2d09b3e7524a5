"""What must hold of one record of the tree beyond the types of its fields.

Pure functions that yield problems; `RULES` says which record each is for. A problem never repeats a value that could
be a secret, such as a URL with a password in it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Tolerance
from loopseal.errors import Code
from loopseal.settings.tree import (
    CallsSettings,
    EngineSettings,
    LedgerSettings,
    RepositorySettings,
    Settings,
    SignSettings,
    TargetSettings,
)

MODES: Final = ("auto", "wire", "shallow", "git")

_SCP: Final = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:(?!//)[^\s:@?#]+")
"""`git@host:path`, OpenSSH's own short form."""
_KIND: Final = re.compile(r"[a-z][a-z0-9_]*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_PERSON: Final = re.compile(r"[^<>\n]*[^<>\s][^<>\n]* <[^<>\s]+>")
_BAD_BRANCH: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[-/.@]$|^[-/.]|[/.]$")
"""What `git check-ref-format` refuses, and a leading dash."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not hold: at `path` within the record."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    code: Code = Code.CONFIG_INVALID


def repository(one: RepositorySettings) -> Iterator[Problem]:
    """Address, names and files of one repository."""
    yield from _repository_url(one)
    yield from _branch("branch", one.branch)
    for name, person in (("author", one.author), ("committer", one.committer or one.author)):
        if not _PERSON.fullmatch(person):
            yield Problem((name,), "must be `Name <email>`", "For instance `loopseal <loopseal@example.com>`.")
    if one.mode not in MODES:
        yield Problem(("mode",), "is no mode", f"One of {', '.join(MODES)}.")
    if ":" in one.username:
        yield Problem(("username",), "must not have a colon", "RFC 7617 cannot carry it.")
    if one.change_refs and not re.fullmatch(r"refs/([A-Za-z0-9_-]+/)+", one.change_refs, re.ASCII):
        yield Problem(
            ("change_refs",), "must begin with `refs/` and end with `/`", "For instance refs/loopseal/change/."
        )
    yield from _absolute(ca=one.ca, known_hosts=one.known_hosts)
    yield from _positive(timeout=one.timeout)


def _repository_url(one: RepositorySettings) -> Iterator[Problem]:
    if _SCP.fullmatch(one.url):
        return
    url = _split(one.url)
    if url is None:
        yield Problem(("url",), "is no address", "Give the one that `git clone` takes; check brackets and port.")
    elif url.scheme not in {"https", "http", "ssh", "file"}:
        yield Problem(("url",), "must be https://, ssh://, git@host:path or file://", "As `git clone` takes it.")
    elif url.scheme == "file" and (url.netloc or not url.path.startswith("/")):
        yield Problem(("url",), "must name a local folder", "For instance file:///srv/git/platform.git.")
    elif url.scheme != "file" and not url.hostname:
        yield Problem(("url",), "names no host", "Give the address that `git clone` takes.")
    else:
        yield from _credentials("url", url, allow_user=url.scheme == "ssh")
        yield from _plain_http("url", url, unsafe_http=one.unsafe_http)


def engine(one: EngineSettings) -> Iterator[Problem]:
    """Kind and address of one engine."""
    if not _KIND.fullmatch(one.kind):
        yield Problem(("kind",), "is no kind", "`argocd`, `flux`, or a dotted module.", Code.CONFIG_UNKNOWN_KIND)
    if one.kind in {"argocd", "flux"} and not (one.url or one.kubeconfig):
        yield Problem(
            (),
            "says neither where its API is nor how to reach its cluster",
            "Set `url`, or `kubeconfig` (`in-cluster`).",
        )
    for name, text, unsafe in (("url", one.url, one.unsafe_http), ("public_url", one.public_url, True)):
        if text:
            yield from _web_url(name, text, unsafe_http=unsafe)
    yield from _absolute(ca=one.ca)
    yield from _positive(timeout=one.timeout, poll=one.poll)


def _web_url(name: str, text: str, *, unsafe_http: bool) -> Iterator[Problem]:
    url = _split(text)
    if url is None or url.scheme not in {"https", "http"} or not url.hostname:
        yield Problem((name,), "must be an https:// address", "For instance https://argocd.example.com.")
    else:
        yield from _credentials(name, url, allow_user=False)
        yield from _plain_http(name, url, unsafe_http=unsafe_http)


def sign(one: SignSettings) -> Iterator[Problem]:
    """One way of signing, and a key that can be meant."""
    ways = [name for name in ("ssh", "openpgp", "agent", "command") if getattr(one, name)]
    if len(ways) != 1:
        yield Problem(
            (), f"names {' and '.join(ways) or 'no key'}", "Set exactly one of ssh, openpgp, agent and command."
        )
    if one.passphrase and not (one.ssh or one.openpgp):
        yield Problem(
            ("passphrase",), "belongs to a key in a file", "Remove it, or name the key with `ssh` or `openpgp`."
        )
    if one.agent and not re.fullmatch(
        r"(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/=]+( .*)?|SHA256:[A-Za-z0-9+/]{43}", one.agent
    ):
        yield Problem(("agent",), "must be a public key or a fingerprint", "As `ssh-add -L` or `ssh-add -l` prints it.")


def target(one: TargetSettings) -> Iterator[Problem]:
    """Scope and applications of one target."""
    if not one.paths:
        yield Problem(("paths",), "is empty, so no change could ever go there", "For instance [apps/payments/**].")
    for index, path in enumerate(one.paths):
        if not path or path.startswith("/") or "\\" in path or {"", ".", ".."} & set(path.split("/")):
            yield Problem(
                ("paths", index), "must be a relative path without `.`, `..` or `\\`", "For instance apps/payments/**."
            )
    if one.branch:
        yield from _branch("branch", one.branch)
    seen: set[tuple[str, ...]] = set()
    for index, app in enumerate(one.applications):
        identity = (app.engine, app.namespace, app.kind, app.name)
        if identity in seen:
            yield Problem(("applications", index), "stands here a second time", "Remove one of the two.")
        seen.add(identity)
    for index, pattern in enumerate(one.dags):
        if not pattern or re.search(r"[?\[\]{}!\s]", pattern):
            yield Problem(("dags", index), "must be a Dag id, with `*` for any text", "For instance payments_*.")
    yield from _positive(timeout=one.timeout)


def application(one: Application) -> Iterator[Problem]:
    """An application has a name."""
    for name in ("engine", "name"):
        if not getattr(one, name):
            yield Problem((name,), "is empty", "Applications are known by engine and name.")


def tolerance(one: Tolerance) -> Iterator[Problem]:
    """Counts are not negative; there is a pause to repeat."""
    for name in ("failed_passes", "failed_syncs"):
        if getattr(one, name) < 0:
            yield Problem((name,), "must not be negative", "")
    if not one.nudge or min(one.nudge) <= 0:
        yield Problem(("nudge",), "must be a list of pauses above zero", "For instance [2, 4, 8, 16, 32, 60].")


def ledger(one: LedgerSettings) -> Iterator[Problem]:
    """A kind and an absolute file."""
    if not _KIND.fullmatch(one.kind):
        yield Problem(("kind",), "is no kind", "`file`, `memory`, or a dotted module.", Code.CONFIG_UNKNOWN_KIND)
    yield from _absolute(path=one.path)


def calls(one: CallsSettings) -> Iterator[Problem]:
    """An absolute file."""
    yield from _absolute(path=one.path)


def _split(text: str) -> SplitResult | None:
    """The parts of an address; None when it is none."""
    try:
        url = urlsplit(text)
        _ = url.port  # which checks it
    except ValueError:
        return None
    return url if url.scheme and not re.search(r"\s", text) else None


def _credentials(name: str, url: SplitResult, *, allow_user: bool) -> Iterator[Problem]:
    """URLs end up in logs and argument lists, so nothing secret may stand in one."""
    if url.password is not None or (url.username is not None and not allow_user):
        yield Problem((name,), "has credentials in it", "Move them to `credential: env:NAME`.", Code.CONFIG_SECRET)
    if url.query or url.fragment:
        yield Problem((name,), "must end with its path, without `?` or `#`", "Tokens belong to `credential`.")


def _plain_http(name: str, url: SplitResult, *, unsafe_http: bool) -> Iterator[Problem]:
    if url.scheme == "http" and not unsafe_http and not _loopback(url.hostname or ""):
        yield Problem(
            (name,), "is plain http:// to another host", "Use https://, or set `unsafe_http: true` knowingly."
        )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _branch(name: str, branch: str) -> Iterator[Problem]:
    if not branch or _BAD_BRANCH.search(branch):
        yield Problem((name,), "is no branch name", "As `git check-ref-format --branch` allows, without `refs/heads/`.")


def _absolute(**files: str) -> Iterator[Problem]:
    for name, path in files.items():
        if path and not path.startswith("/"):
            yield Problem((name,), "must be an absolute path", "Workers run in folders of their own.")


def _positive(**numbers: float) -> Iterator[Problem]:
    for name, number in numbers.items():
        if number <= 0:
            yield Problem((name,), "must be above zero", "For instance `30s`.")


def settings(one: Settings) -> Iterator[Problem]:
    """Names that are used must be declared."""
    for name, where in one.targets.items():
        if where.repository not in one.repositories:
            yield Problem(
                ("targets", name, "repository"),
                f"there is no repository {where.repository!r}",
                _known(one.repositories),
            )
        for index, app in enumerate(where.applications):
            if app.engine not in one.engines:
                path = ("targets", name, "applications", index, "engine")
                yield Problem(path, f"there is no engine {app.engine!r}", _known(one.engines))


def _known(names: Mapping[str, Any]) -> str:
    return f"Declared: {', '.join(sorted(names))}." if names else "None is declared."


RULES: Final[Mapping[Any, Callable[[Any], Iterator[Problem]]]] = {
    RepositorySettings: repository,
    EngineSettings: engine,
    SignSettings: sign,
    TargetSettings: target,
    Application: application,
    Tolerance: tolerance,
    LedgerSettings: ledger,
    CallsSettings: calls,
    Settings: settings,
}
