"""Secrets by reference, where Airflow is: `connection:<id>` is one of its connections, everything else as elsewhere.

Every secret is told to Airflow's masker before anybody gets it, so that no log shows it whatever happens next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from loopseal.airflow import compat
from loopseal.credentials.reference import References
from loopseal.errors import Code, ConfigError
from loopseal.ports import Credential, Secret

_KINDS: Final[Mapping[str, tuple[str, ...]]] = {"loopseal_kubernetes": ("kubeconfig", "password")}
_MAIN: Final = ("password", "private_key", "kubeconfig", "token")
"""Where the secret of a connection is looked for, in this order; a kubeconfig says more than a token beside it."""
_LONG_ENOUGH: Final = 5
"""Airflow masks no shorter values: they would tear holes into ordinary words."""


def credential(connection: Any) -> Credential:
    """What a connection means: its password, or else the key, kubeconfig or token among its extra fields.

    All extra fields that are text come along, by name. Raises ConfigError (`config.secret`) when there is none.
    """
    extra = extra_texts(connection)
    held = {**extra, "password": connection.password or ""}
    secret = next((held[name] for name in _KINDS.get(connection.conn_type, _MAIN) if held.get(name)), "")
    if not secret:
        raise ConfigError(
            Code.CONFIG_SECRET,
            "the connection holds no password, private key, kubeconfig or token",
            where=f"connection:{connection.conn_id}",
            hint="Fill it in under Admin, Connections, or in the secrets backend it comes from.",
        )
    return Credential(Secret(secret), connection.login or "", {name: Secret(value) for name, value in extra.items()})


def extra_texts(connection: Any) -> Mapping[str, str]:
    """The extra fields of a connection that are text."""
    return {name: value for name, value in connection.extra_dejson.items() if isinstance(value, str) and value}


async def read_connection(name: str) -> Credential:
    """The credential that Airflow keeps under this connection id. Raises ConfigError (`config.secret`)."""
    from airflow.sdk import BaseHook

    try:
        connection = await BaseHook.aget_connection(name)
    except Exception as error:  # noqa: BLE001 - Airflow raises many kinds here, some with the connection in their text
        raise ConfigError(
            Code.CONFIG_SECRET,
            f"Airflow gave no such connection ({type(error).__name__})",
            where=f"connection:{name}",
            hint="Create the connection, or correct its name in the settings file.",
        ) from None
    return credential(connection)


class MaskedSecrets:
    """As `ports.Secrets`, and nothing gets out before Airflow's masker has heard of it."""

    def __init__(self, references: References | None = None) -> None:
        self._references = references or References(connections=read_connection)
        self._masked: set[Secret] = set()

    async def resolve(self, reference: str) -> Credential:
        """As `ports.Secrets`."""
        found = await self._references.resolve(reference)
        for secret in (found.secret, *found.extra.values()):
            if secret not in self._masked:
                await mask(secret)
                self._masked.add(secret)
        return found

    def forget(self, reference: str) -> None:
        """As `ports.Secrets`."""
        self._references.forget(reference)


async def mask(secret: Secret) -> None:
    """Tell Airflow's masker, line by line as well: logs are lines."""
    value = secret.reveal()
    for part in dict.fromkeys((value, *value.splitlines())):
        if len(part) >= _LONG_ENOUGH:
            await compat.mask(part)
