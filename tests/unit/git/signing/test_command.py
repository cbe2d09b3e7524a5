"""A program that signs: what it may answer, and what is refused."""

import asyncio
import base64
import hashlib
import os
import sys

import pytest

from loopseal.errors import Code, ConfigError, Unreachable
from loopseal.git.signing.command import CommandSigner

SSH = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\nAAAA\n-----END SSH SIGNATURE-----\n"
PGP = "-----BEGIN PGP SIGNATURE-----\nVersion: X 1\n\niHUEABYKAB0=\n=abcd\n-----END PGP SIGNATURE-----\n"
MIME = "-----BEGIN SIGNED MESSAGE-----\nMIIB\n-----END SIGNED MESSAGE-----\n"


def program(body: str) -> CommandSigner:
    return CommandSigner([sys.executable, "-c", f"import sys, os, time\n{body}"], timeout=20)


def sign(signer: CommandSigner, data: bytes = b"data") -> str:
    return asyncio.run(signer.sign(data, at=0))


@pytest.mark.parametrize("answer", [SSH, PGP, MIME], ids=["ssh", "pgp", "smime"])
def test_takes_every_form_of_signature(answer):
    assert sign(program(f"print({answer!r}, end='')")) == answer


@pytest.mark.parametrize("answer", [SSH.strip(), "\n" + SSH + "\n\n", SSH.replace("\n", "\r\n")])
def test_line_ends_are_made_right(answer):
    assert sign(program(f"sys.stdout.buffer.write({answer.encode()!r})")) == SSH


def test_the_program_gets_the_very_bytes():
    data = bytes(range(256)) * 4000
    body = (
        "import base64, hashlib\n"
        "got = base64.b64encode(hashlib.sha512(sys.stdin.buffer.read()).digest()[:48]).decode()\n"
        "print('-----BEGIN SSH SIGNATURE-----', got, '-----END SSH SIGNATURE-----', sep='\\n')"
    )
    assert base64.b64encode(hashlib.sha512(data).digest()[:48]).decode() in sign(program(body), data)


def test_a_program_need_not_read():
    assert sign(program(f"os.close(0); print({SSH!r}, end='')"), b"x" * 1_000_000) == SSH


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "signed!",
        SSH + SSH,
        "warning: old card\n" + SSH,
        SSH.replace("END SSH", "END PGP"),
        SSH.replace("AAAA", "AA A"),
        SSH.replace("AAAA", "AAAA\ntree 0000"),
        SSH.replace("AAAA", "\u00e4"),
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    ],
)
def test_what_is_no_signature_is_refused(answer):
    with pytest.raises(ConfigError, match="one armoured signature") as caught:
        sign(program(f"sys.stdout.buffer.write({answer.encode()!r})"))
    assert caught.value.code is Code.CONFIG_SIGNING_KEY
    assert "AAAA" not in str(caught.value)


def test_too_much_is_refused():
    with pytest.raises(ConfigError, match="too much"):
        sign(program("while True: sys.stdout.write('x' * 65536)"))
    with pytest.raises(ConfigError, match="too much"):
        sign(program("while True: sys.stderr.write('x' * 65536)"))


def test_a_failure_is_told_without_secrets():
    with pytest.raises(Unreachable, match="status 3: no card") as caught:
        sign(program("sys.stderr.write('no card; password=hunter2hunter2'); sys.exit(3)"))
    assert "hunter2" not in caught.value.diagnostics()


def test_a_program_that_hangs_is_ended():
    signer = CommandSigner([sys.executable, "-c", "import time; time.sleep(600)"], timeout=0.2)
    with pytest.raises(Unreachable) as caught:
        sign(signer)
    assert caught.value.code is Code.NET_TIMEOUT


def test_a_program_is_ended_with_its_task(tmp_path):
    told = tmp_path / "pid"
    os.mkfifo(told)
    body = f"open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(600)"

    async def scene():
        task = asyncio.create_task(program(body).sign(b"", at=0))
        pid = int(await asyncio.to_thread(told.read_text))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    pid = asyncio.run(scene())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("command", [["/nowhere/signer"], ["/"], ["a\0b"]])
def test_a_program_that_cannot_be_started(command):
    with pytest.raises(ConfigError, match="cannot be started"):
        sign(CommandSigner(command))


def test_arguments_are_not_shown():
    signer = CommandSigner(["/usr/bin/sign", "--pin", "1234"])
    assert signer.name == "command /usr/bin/sign"
    assert signer.public == ""
    assert "1234" not in repr(signer)
