"""Helper programs end, say no more than is taken, and leave nothing behind."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from loopseal.errors import Code, ConfigError, Unreachable
from loopseal.git.remotes.access import Access
from loopseal.git.remotes.cache import PrivateGit, _config
from loopseal.git.remotes.process import MAX_WORDS, Bounds, Finished, run, succeeds, with_environment


def ended(*argv, data=b"", variables=None, **bounds):
    return asyncio.run(run(argv, data, variables=variables or {}, bounds=Bounds(**bounds), where="here"))


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_input_output_and_exit_code():
    assert ended("cat", data=b"x" * 500_000) == Finished(0, b"x" * 500_000, "")
    assert ended("sh", "-c", "echo out; echo err >&2; exit 3") == Finished(3, b"out\n", "err\n")


def test_a_program_that_does_not_read_its_input():
    assert ended("true", data=b"x" * 1_000_000).code == 0


def test_variables_come_in_and_those_of_a_surrounding_git_stay_out(monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("GIT_TRACE_CURL", "1")
    monkeypatch.setenv("KEPT", "yes")
    out = ended("env", variables={"GIT_PROTOCOL": "version=2"}).out.decode().splitlines()
    assert {"GIT_PROTOCOL=version=2", "KEPT=yes", "LC_ALL=C"} <= set(out)
    assert not any(line.startswith(("GIT_DIR=", "GIT_TRACE")) for line in out)
    assert "-u" in with_environment(["git"], {})
    assert "GIT_DIR=/x" in with_environment(["git"], {"GIT_DIR": "/x"})


def test_only_the_last_words_are_kept():
    words = ended("sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x >&2; echo end >&2").words
    assert len(words) == MAX_WORDS
    assert words.endswith("end\n")


def test_a_program_that_is_not_there():
    with pytest.raises(ConfigError) as caught:
        ended("loopseal-no-such-program")
    assert caught.value.code is Code.CONFIG_EXTRA_MISSING


def test_too_much_output_is_not_taken():
    with pytest.raises(Unreachable) as caught:
        ended("cat", "/dev/zero", output=100_000)
    assert caught.value.code is Code.NET_TOO_LARGE


@pytest.mark.parametrize("bounds", [{"silence": 0.3}, {"total": 0.3}])
def test_a_hung_program_and_its_children_are_ended(tmp_path, bounds):
    script = f"sleep 1000 & echo $$ $! > {tmp_path}/pids; wait"
    with pytest.raises(Unreachable) as caught:
        ended("sh", "-c", script, **bounds)
    assert caught.value.code is Code.NET_TIMEOUT
    assert not any(alive(pid) for pid in (tmp_path / "pids").read_text().split())


def test_a_cancelled_caller_leaves_nothing_behind(tmp_path):
    fifo = tmp_path / "started"
    os.mkfifo(fifo)

    async def main():
        script = f"echo $$ > {fifo}; sleep 1000"
        task = asyncio.ensure_future(run(["sh", "-c", script], variables={}, bounds=Bounds(), where="here"))
        pid = await asyncio.to_thread(fifo.read_text)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not alive(pid.strip())

    asyncio.run(main())


def test_a_killed_program_says_so():
    assert ended("sh", "-c", "kill -9 $$").code == -signal.SIGKILL


def test_whether_a_program_succeeds():
    def ask(*argv, seconds=20.0):
        return asyncio.run(succeeds(argv, variables={}, seconds=seconds))

    assert ask("true")
    assert not ask("false")
    assert not ask("sleep", "1000", seconds=0.3)


# --- git's last words


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("fatal: Authentication failed for 'https://h/a.git/'", Code.GIT_AUTHENTICATION),
        ("fatal: could not read Username for 'http://h': terminal prompts disabled", Code.GIT_AUTHENTICATION),
        ("git@h: Permission denied (publickey).", Code.GIT_AUTHENTICATION),
        ("fatal: unable to access 'http://h/': The requested URL returned error: 403", Code.GIT_FORBIDDEN),
        ("fatal: unable to access 'http://h/': The requested URL returned error: 429", Code.GIT_RATE_LIMITED),
        ("fatal: repository 'http://h/a.git/' not found", Code.GIT_NOT_FOUND),
        ("fatal: '/a.git' does not appear to be a git repository", Code.GIT_NOT_FOUND),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", Code.GIT_HOST_KEY),
        ("error: RPC failed; curl 28 Operation too slow. Less than 1 bytes/sec", Code.NET_TIMEOUT),
        ("fatal: unable to access: SSL certificate problem: self-signed certificate", Code.NET_TLS),
        ("fatal: mismatched algorithms: client sha1; server sha256", Code.GIT_OBJECT_FORMAT),
        ("fatal: remote error: upload-pack: not our ref 1111", Code.GIT_OBJECT_MISSING),
        ("fatal: unable to access 'http://h/': The requested URL returned error: 301", Code.GIT_MOVED),
        ("fatal: something new", Code.GIT_UNREACHABLE),
        ("", Code.GIT_UNREACHABLE),
    ],
)
def test_how_git_fails(words, code):
    error = PrivateGit("https://h/a.git", Access(None), None, Bounds(), "").failure(Finished(128, b"", words))
    assert error.code is code
    assert error.where == "https://h/a.git"
    assert error.hint


def test_gits_configuration_cannot_be_broken_out_of(tmp_path):
    value = 'Basic a"b\\c'
    (tmp_path / "config").write_bytes(_config(value, 0.5))
    found = ended("git", "config", "--file", f"{tmp_path}/config", "--list").out.decode().splitlines()
    assert f"http.extraheader=Authorization: {value}" in found
    assert {
        "http.followredirects=false",
        "http.lowspeedtime=1",
        "protocol.allow=never",
    } <= set(found)
