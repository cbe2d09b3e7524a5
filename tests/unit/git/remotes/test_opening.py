"""Which way an address and a mode lead to, and what is refused before anything is sent."""

import asyncio
import gc

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)

from loopseal.errors import Code, ConfigError
from loopseal.git.remotes import open_remote
from loopseal.git.remotes.access import Access
from loopseal.git.remotes.fallback import Fallback
from loopseal.git.remotes.http import HttpChannel
from loopseal.git.remotes.local import LocalChannel
from loopseal.git.remotes.process import Finished
from loopseal.git.remotes.program import ProgramRemote
from loopseal.git.remotes.ssh import Address, Identity, SshChannel, address_of, ssh_failure
from loopseal.git.remotes.wire import WireRemote
from loopseal.ports import Credential, Secret

URLS = {
    "https://git.example.com/a.git": HttpChannel,
    "http://127.0.0.1:8080/a.git": HttpChannel,
    "http://localhost/a.git": HttpChannel,
    "http://[::1]:80/a.git": HttpChannel,
    "ssh://git@git.example.com:2222/a.git": SshChannel,
    "git@git.example.com:team/a.git": SshChannel,
    "file:///srv/git/a.git": LocalChannel,
    "/srv/git/a.git": LocalChannel,
}


@pytest.mark.parametrize("url", URLS)
def test_the_address_chooses_the_channel(url):
    for mode in ("wire", "shallow"):
        remote = open_remote(url, mode=mode)
        assert isinstance(remote, WireRemote)
        assert isinstance(remote._channel, URLS[url])
        assert remote.filters is (mode == "wire")
        assert remote.url == url
        asyncio.run(remote.aclose())
    assert isinstance(open_remote(url, mode="git"), ProgramRemote)
    auto = open_remote(url)
    assert isinstance(auto, Fallback)
    assert isinstance(auto._second(), ProgramRemote)
    asyncio.run(auto.aclose())


@pytest.mark.parametrize("mode", ["wire", "git"])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://user:hunter2secret@git.example.com/a.git", "must not hold"),
        ("https://hunter2secret@git.example.com/a.git", "must not hold"),
        ("http://git.example.com/a.git", "in clear"),
        ("ftp://git.example.com/a.git", "not an address"),
        ("ext::sh -c evil", "not an address"),
        ("https://git.example.com/a.git?token=hunter2secret", "not an address"),
        ("https://git.example.com/a.git#x", "not an address"),
        ("https:///a.git", "not an address"),
        ("https://[broken/a.git", "not a usable"),
        ("", "not an address"),
        ("ssh://-oProxyCommand=evil/a.git", "SSH address"),
        ("ssh://-oProxyCommand=evil@host/a.git", "SSH address"),
        ("-oProxyCommand=evil:a.git", "SSH address"),
        ("git@host:-a.git", "SSH address"),
        ("ssh://git.example.com", "SSH address"),
        ("ssh://git:hunter2secret@git.example.com/a.git", "hold a password"),
        ("ssh:///a.git", "SSH address"),
    ],
)
def test_addresses_that_are_refused(url, why, mode):
    with pytest.raises(ConfigError, match=why) as caught:
        open_remote(url, mode=mode)
    assert caught.value.code is Code.CONFIG_INVALID
    assert "hunter2secret" not in caught.value.diagnostics()


def test_plain_http_has_to_be_asked_for():
    asyncio.run(open_remote("http://git.example.com/a.git", unsafe_http=True).aclose())


def test_a_mode_that_is_none():
    with pytest.raises(ConfigError, match="unknown mode"):
        open_remote("https://git.example.com/a.git", mode="fast")


def test_a_credential_needs_somebody_who_resolves_it():
    with pytest.raises(ConfigError, match="resolves"):
        open_remote("https://git.example.com/a.git", credential="env:TOKEN")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ssh://git@h:22/a/b.git", Address("h", "/a/b.git", "git", 22)),
        ("ssh://h/~user/b.git", Address("h", "~user/b.git")),
        ("git+ssh://h/with%20space.git", Address("h", "/with space.git")),
        ("git@h:a/b.git", Address("h", "a/b.git", "git")),
        ("h:/abs/b.git", Address("h", "/abs/b.git")),
        ("https://h/a.git", None),
        ("/srv/a.git", None),
        ("file:///srv/a.git", None),
    ],
)
def test_ssh_addresses(url, address):
    assert address_of(url) == address
    if address:
        assert address.destination in {"h", "git@h"}


@pytest.mark.parametrize("port", ["x", "99999"])
def test_an_ssh_port_that_is_none(port):
    with pytest.raises(ConfigError):
        address_of(f"ssh://h:{port}/a.git")


# --- the credential in its shapes


class Fixed:
    def __init__(self, secret, username="", **extra):
        self.credential = Credential(Secret(secret), username, {name: Secret(value) for name, value in extra.items()})
        self.forgotten = []

    async def resolve(self, reference):
        return self.credential

    def forget(self, reference):
        self.forgotten.append(reference)


def authorization(secrets, username=""):
    return asyncio.run(Access(secrets, "x", username).authorization())


def test_the_authorization_header():
    assert authorization(Fixed("token")) == "Basic bG9vcHNlYWw6dG9rZW4="  # loopseal:token
    assert authorization(Fixed("token"), "oauth2") == "Basic b2F1dGgyOnRva2Vu"
    assert authorization(Fixed("token", "own"), "oauth2") == "Basic b3duOnRva2Vu"
    assert authorization(Fixed("token", scheme="Bearer")) == "Bearer token"
    assert authorization(Fixed("token", "own", scheme="bearer")).startswith("Basic ")
    assert authorization(Fixed("")) == ""
    assert asyncio.run(Access(None).authorization()) == ""


def test_a_token_with_a_line_break_is_named_as_such():
    with pytest.raises(ConfigError, match="line break") as caught:
        authorization(Fixed("token-with-newline\n"))
    assert "token-with-newline" not in caught.value.diagnostics()


def test_what_was_resolved_is_blanked_out():
    access = Access(Fixed("longtoken", other="line one\nline two"), "x")
    text = "longtoken bG9vcHNlYWw6bG9uZ3Rva2Vu line one, line two, loopseal"
    assert access.redact(text) == text
    asyncio.run(access.authorization())
    assert access.redact(text) == "*** *** ***, ***, loopseal"


def test_forgetting_reaches_the_resolver():
    secrets = Fixed("t")
    Access(secrets, "x").forget()
    Access(None).forget()
    assert secrets.forgotten == ["x"]


KEY = Ed25519PrivateKey.generate()
PLAIN = KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
LOCKED = KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"phrase")).decode()


def private_key(secrets):
    return asyncio.run(Access(secrets, "x").private_key())


def test_the_private_key():
    assert private_key(Fixed(PLAIN)) == PLAIN.strip().encode() + b"\n"
    assert private_key(Fixed("password", private_key=PLAIN)) == PLAIN.strip().encode() + b"\n"
    assert private_key(Fixed("")) == b""
    assert asyncio.run(Access(None).private_key()) == b""
    opened = private_key(Fixed(LOCKED, private_key_passphrase="phrase"))
    assert load_ssh_private_key(opened, None).public_key() == KEY.public_key()


@pytest.mark.parametrize("secrets", [Fixed("just-a-token"), Fixed(LOCKED, private_key_passphrase="wrong")])
def test_a_key_that_is_none(secrets):
    with pytest.raises(ConfigError) as caught:
        private_key(secrets)
    assert caught.value.code is Code.CONFIG_SECRET
    assert "just-a-token" not in caught.value.diagnostics()


def test_the_key_is_written_for_us_alone_and_goes(tmp_path):
    async def main():
        identity = Identity(Access(Fixed(PLAIN), "x"), f"{tmp_path}/known_hosts")
        assert identity.socket is None
        options = await identity.options()
        assert await identity.options() == options
        key = identity._folder / "key"
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.read_text() == PLAIN.strip() + "\n"
        assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "SendEnv=GIT_PROTOCOL", f"IdentityFile={key}"} <= set(
            options
        )
        assert f"UserKnownHostsFile={tmp_path}/known_hosts" in options
        assert not any("PRIVATE" in option for option in options)
        identity.forget()
        await identity.aclose()
        assert not key.parent.exists()

    asyncio.run(main())


def test_a_forgotten_folder_goes_with_its_owner():
    async def main():
        identity = Identity(Access(Fixed(PLAIN), "x"))
        await identity.options()
        return identity._folder

    folder = asyncio.run(main())
    gc.collect()
    assert not folder.exists()


def test_without_a_credential_the_users_own_keys_are_used():
    async def main():
        identity = Identity(Access(None))
        options = await identity.options()
        assert not any(
            option.startswith(("IdentityFile", "IdentitiesOnly", "UserKnownHostsFile")) for option in options
        )
        await identity.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (255, "Host key verification failed.", Code.GIT_HOST_KEY),
        (255, "git@h: Permission denied (publickey).", Code.GIT_AUTHENTICATION),
        (255, "ssh: connect to host h port 22: Connection refused", Code.GIT_UNREACHABLE),
        (128, "fatal: '/x' does not appear to be a git repository", Code.GIT_NOT_FOUND),
        (1, "ERROR: Repository not found.", Code.GIT_NOT_FOUND),
        (127, "Permission denied", Code.GIT_NOT_FOUND),
    ],
)
def test_how_ssh_fails(code, words, expected):
    error = ssh_failure(Finished(code, b"", words), "ssh://h/x", Identity(Access(None)))
    assert error.code is expected
    assert error.hint
    assert error.where == "ssh://h/x"
