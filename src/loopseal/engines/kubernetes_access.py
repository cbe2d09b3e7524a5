"""The way into a cluster: kubeconfig, service account or a plain URL -> address, TLS and where tokens come from.

Kubeconfigs are read by lightkube; tokens are ours, because they must be renewed: by reading the file again (a service
account's token is replaced by the kubelet), by running the exec plugin again (client.authentication.k8s.io/v1 and
v1beta1), or by resolving the reference again. Does not live here: any call to the cluster.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loopseal.engines.bearer import Fetch, Token, from_reference
from loopseal.engines.checks import address_of
from loopseal.errors import Code, ConfigError
from loopseal.net import clean, tls_context
from loopseal.ports import Clock, Secret, Secrets
from loopseal.settings import EngineSettings, environment

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.config.models import UserExec

IN_CLUSTER: Final = "in-cluster"
SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_REREAD: Final = 60.0
"""Seconds that a token from a file is kept, as client-go does."""
_PLUGIN_TIMEOUT: Final = 30.0
_PLUGIN_VERSIONS: Final = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))
_INSTALL: Final = "pip install 'loopseal[kubernetes]'"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one cluster. `namespace` is the one that the kubeconfig's context names, or empty."""

    server: str
    namespace: str
    tls: ssl.SSLContext | None
    fetch: Fetch


async def access(
    settings: EngineSettings,
    secrets: Secrets,
    clock: Clock,
    *,
    name: str,
    service_account: str = SERVICE_ACCOUNT,
    simulated: bool = False,
) -> Access:
    """The way into the cluster of these settings. Raises ConfigError."""
    if not simulated:
        await asyncio.to_thread(_lightkube)  # a quarter of a second, that other waits on this loop need not stand still
    if not settings.kubeconfig:
        if not settings.url:
            raise ConfigError(
                Code.CONFIG_MISSING,
                "neither `kubeconfig` nor `url` says where the cluster is",
                where=f"engines.{name}",
                hint="Set `kubeconfig: file:/path`, or `kubeconfig: in-cluster` inside a pod.",
            )
        server = address_of(settings, f"engines.{name}.url", simulated=simulated)
        return Access(server, "", tls_context(settings.ca), from_reference(secrets, settings.credential))
    where = f"engines.{name}.kubeconfig"
    if settings.kubeconfig == IN_CLUSTER:
        config = await asyncio.to_thread(_service_account, service_account, where)
    else:
        content = (await secrets.resolve(settings.kubeconfig)).secret
        folder = Path(settings.kubeconfig.removeprefix("file:")) if settings.kubeconfig.startswith("file:") else None
        config = _parsed(content, settings.context, folder, where)
    tls = None if simulated else await asyncio.to_thread(_tls, config, where)
    fetch = from_reference(secrets, settings.credential) if settings.credential else _fetch(config, clock, where)
    server = address_of(settings, where, url=config.cluster.server, simulated=simulated)
    return Access(server, config.context.namespace or "", tls, fetch)


def _service_account(folder: str, where: str) -> SingleConfig:
    kube = _lightkube()
    try:
        found: SingleConfig = kube.KubeConfig.from_service_account(folder).get()
    except (kube.ConfigError, KeyError) as error:
        raise ConfigError(
            Code.CONFIG_UNREADABLE,
            "this process runs in no pod with a service account",
            where=where,
            hint="`in-cluster` works inside a pod only; elsewhere name a kubeconfig file.",
        ) from error
    return found


def _parsed(content: Secret, context: str, file: Path | None, where: str) -> SingleConfig:
    kube = _lightkube()
    import yaml  # noqa: PLC0415 - needed by this one function

    try:
        document = yaml.load(content.reveal(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are the safe loader
        found: SingleConfig | None = kube.KubeConfig.from_dict(document, fname=file).get(context or None)
    except Exception as error:  # noqa: BLE001 - whatever the text is; and the cause would show it
        raise ConfigError(
            Code.CONFIG_INVALID,
            f"not a usable kubeconfig, or it has no context {context or '(current)'!r} ({type(error).__name__})",
            where=where,
            hint="`kubectl config view --minify` with the same file shows what kubectl makes of it.",
        ) from None
    if found is None or found.user is None or found.cluster.insecure:
        raise ConfigError(
            Code.CONFIG_INVALID,
            "the context has no user, or says insecure-skip-tls-verify",
            where=where,
            hint="Name the user, and the cluster's certificate-authority: certificates are always checked.",
        )
    return found


def _tls(config: SingleConfig, where: str) -> ssl.SSLContext:
    """The cluster's authority and our certificate, each as a file or as data in the kubeconfig."""
    cluster, user = config.cluster, config.user
    assert user is not None  # noqa: S101 - `_parsed` refuses it
    try:
        authority = _pem(config, cluster.certificate_auth, cluster.certificate_auth_data)
        certificate = _pem(config, user.client_cert, user.client_cert_data)
        if not authority and not certificate:
            return tls_context()
        context = ssl.create_default_context(cadata=authority.decode("ascii") or None)
        if certificate:
            _identify(context, certificate, _pem(config, user.client_key, user.client_key_data))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; none of them is shown, a key may be in it
        raise ConfigError(
            Code.CONFIG_UNREADABLE,
            f"cannot use the kubeconfig's certificates ({type(error).__name__})",
            where=where,
            hint="certificate-authority, client-certificate and client-key must be readable PEM.",
        ) from None
    return context


def _pem(config: SingleConfig, file: str | None, data: str | None) -> bytes:
    if data:
        return base64.b64decode(data, validate=True)
    return Path(config.abs_file(file)).read_bytes() if file else b""


def _identify(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL takes our key from a file only: one that nobody else can open, for as long as it is read."""
    with tempfile.NamedTemporaryFile(prefix="loopseal-") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)


def _fetch(config: SingleConfig, clock: Clock, where: str) -> Fetch:
    user = config.user
    assert user is not None  # noqa: S101 - `_parsed` refuses it
    if user.token_file:
        return _from_file(Path(config.abs_file(user.token_file)), where)
    if user.token:
        return _fixed(Secret(user.token))
    if user.exec:
        return _from_plugin(user.exec, config, clock, where)
    if user.username or user.auth_provider:
        raise ConfigError(
            Code.CONFIG_INVALID,
            "the kubeconfig's user has a password or an auth-provider: Kubernetes removed both",
            where=where,
            hint="Use a token, a client certificate or an exec plugin.",
        )
    return _fixed(Secret(""))  # a client certificate is all it has


def _fixed(secret: Secret) -> Fetch:
    async def fetch(refused: bool) -> Token:  # noqa: ARG001, FBT001 - the one argument of a `Fetch`
        return Token(secret)

    return fetch


def _from_file(path: Path, where: str) -> Fetch:
    async def fetch(refused: bool) -> Token:  # noqa: ARG001, FBT001 - a file is read anew each time
        try:
            text = await asyncio.to_thread(path.read_text)
        except (OSError, UnicodeError) as error:
            raise ConfigError(
                Code.CONFIG_SECRET, f"cannot read the token: {error}", where=where, hint="Is the token still mounted?"
            ) from error
        return Token(Secret(text.strip()), _REREAD)

    return fetch


def _from_plugin(plugin: UserExec, config: SingleConfig, clock: Clock, where: str) -> Fetch:
    if plugin.apiVersion not in _PLUGIN_VERSIONS:
        raise ConfigError(
            Code.CONFIG_INVALID,
            f"exec plugin speaks {clean(plugin.apiVersion, 100)!r}",
            where=where,
            hint=f"Supported are {' and '.join(_PLUGIN_VERSIONS)}.",
        )
    named = Path(plugin.command)
    command = str(config.abs_file(named)) if len(named.parts) > 1 else plugin.command
    info = {"apiVersion": plugin.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
    extra = {one.name: one.value for one in plugin.env or ()} | {"KUBERNETES_EXEC_INFO": json.dumps(info)}

    async def fetch(refused: bool) -> Token:  # noqa: ARG001, FBT001 - a plugin keeps its own cache
        answer = await _run((command, *(plugin.args or ())), extra, where)
        return _token(answer, clock, where)

    return fetch


async def _run(command: tuple[str, ...], extra: Mapping[str, str], where: str) -> bytes:
    """Standard output of the plugin. It runs in our environment, as it does under kubectl; nothing is read from it."""
    hint = f"Run {Path(command[0]).name!r} by hand, as the user this process runs as."
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**environment(), **extra},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise ConfigError(
            Code.CONFIG_SECRET, f"cannot run the exec plugin: {error.strerror}", where=where, hint=hint
        ) from error
    try:
        async with asyncio.timeout(_PLUGIN_TIMEOUT):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise ConfigError(Code.CONFIG_SECRET, "the exec plugin does not end", where=where, hint=hint) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = clean(err[-2000:].decode("utf-8", "replace"), 300)
        raise ConfigError(
            Code.CONFIG_SECRET, f"the exec plugin ended with {process.returncode}: {said}", where=where, hint=hint
        )
    return out


def _token(answer: bytes, clock: Clock, where: str) -> Token:
    """The token of an ExecCredential: `status.token`, `status.expirationTimestamp`."""
    try:
        status: Any = json.loads(answer)["status"]
        secret, until = status["token"], status.get("expirationTimestamp")
        life = None if until is None else (datetime.fromisoformat(until) - clock.now()).total_seconds()
        return Token(Secret(str(secret)), life)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            Code.CONFIG_SECRET,
            "the exec plugin answered without a token",
            where=where,
            hint="Plugins that answer with a client certificate are not supported; ask it for a token.",
        ) from None


def lightkube_missing() -> ConfigError:
    """What to raise when the extra is not there."""
    return ConfigError(Code.CONFIG_EXTRA_MISSING, "lightkube is not installed", where="engines", hint=_INSTALL)


@dataclass(frozen=True, slots=True)
class _Lightkube:
    KubeConfig: Any
    ConfigError: type[Exception]


def _lightkube() -> _Lightkube:
    try:
        from lightkube import AsyncClient, generic_resource  # noqa: F401, PLC0415 - loaded for `kubernetes` as well
        from lightkube.config.kubeconfig import KubeConfig  # noqa: PLC0415 - an extra, loaded where it is needed
        from lightkube.core.exceptions import ConfigError as Invalid  # noqa: PLC0415 - as above
    except ImportError as error:
        raise lightkube_missing() from error
    return _Lightkube(KubeConfig, Invalid)
