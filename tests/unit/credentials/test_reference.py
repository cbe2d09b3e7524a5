"""References to secrets: what each scheme gives, and that nothing of a secret is ever told."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopseal.credentials import program
from loopseal.credentials.reference import References
from loopseal.errors import Code, ConfigError
from loopseal.ports import Credential, Level, Secret

T = TypeVar("T")
SECRET = "hunter2-S3cr3t"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n"
PATH = {"PATH": os.environ["PATH"]}


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def resolve(reference: str, **options: Any) -> Credential:
    return run(References(options.pop("environ", PATH), **options).resolve(reference))


def secret(reference: str, **options: Any) -> str:
    return resolve(reference, **options).secret.reveal()


def refused(reference: str, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        resolve(reference, **options)
    error = caught.value
    assert error.code is Code.CONFIG_SECRET
    assert error.hint
    assert SECRET not in error.diagnostics() + repr(error)
    return error


def python(code: str) -> str:
    return f"command:{shlex.quote(sys.executable)} -c {shlex.quote(code)}"


# env:


def test_a_variable():
    assert secret("env:TOKEN", environ={"TOKEN": SECRET}) == SECRET


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOOPSEAL_TEST_TOKEN", SECRET)
    assert run(References().resolve("env:LOOPSEAL_TEST_TOKEN")).secret.reveal() == SECRET


def test_a_variable_that_is_not_set():
    assert refused("env:NOPE").where == "env:NOPE"


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_variable(value: str):
    assert refused("env:TOKEN", environ={"TOKEN": value}).message == "is empty"


# file:


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"token", "token"),
        (b"token\n", "token"),
        (b"token\r\n", "token"),
        (b"token\n\n", "token\n"),
        (b" token ", " token "),
        ("größe✓\n".encode(), "größe✓"),
        (KEY.encode(), KEY),
    ],
)
def test_a_file(tmp_path: Path, content: bytes, value: str):
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert secret(f"file:{file}") == value


def test_a_binary_key_keeps_its_bytes(tmp_path: Path):
    file = tmp_path / "key.pgp"
    file.write_bytes(bytes(range(255, 0, -1)))
    assert secret(f"file:{file}").encode("utf-8", "surrogateescape") == bytes(range(255, 0, -1))


@pytest.mark.parametrize("name", ["nope", ".", "fifo", "empty", "large", "nul\0"])
def test_files_that_are_no_secret(tmp_path: Path, name: str):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "large").write_text(SECRET * 10_000)
    os.mkfifo(tmp_path / "fifo")
    assert refused(f"file:{tmp_path}/{name}").where == f"file:{tmp_path}/{name}"


def test_a_relative_file():
    assert "absolute path" in refused("file:secret").message


# command:


def test_a_command_that_prints_the_secret():
    assert secret(python(f"print({SECRET!r})")) == SECRET


def test_a_command_that_prints_a_key():
    assert secret(python(f"import sys; sys.stdout.write({KEY!r})")) == KEY


@pytest.mark.parametrize(
    "lines",
    [
        "username=bot\npassword=a=b c",
        "protocol=https\nhost=git.example.com\nusername=bot\npassword=a=b c\npassword_expiry_utc=1\n",
        "capability[]=authtype\nusername=bot\npassword=a=b c\n\n",
    ],
)
def test_a_git_credential_helper(lines: str):
    found = resolve(python(f"print({lines!r})"))
    assert (found.username, found.secret.reveal()) == ("bot", "a=b c")


def test_a_helper_without_user():
    found = resolve(python("print('password=x')"))
    assert (found.username, found.secret.reveal()) == ("", "x")


@pytest.mark.parametrize("text", ["key=value", "username=bot", "two\npassword=x", "Password=x", "=x"])
def test_what_only_looks_like_a_helper_is_the_secret_itself(text: str):
    assert secret(python(f"print({text!r})")) == text


def test_a_command_gets_no_shell_and_no_input():
    assert (
        secret(python("import sys; print(repr(sys.stdin.read()), sys.argv[1:])") + " '$HOME;*' ~")
        == "'' ['$HOME;*', '~']"
    )


def test_a_command_gets_the_environment_it_is_given():
    assert secret(python("import os; print(os.environ['A'])"), environ={"A": "x"}) == "x"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (f"import sys; sys.stderr.write({SECRET!r}); sys.exit(3)", "ended with status 3"),
        (f"import os; print({SECRET!r}, flush=True); os.kill(os.getpid(), 9)", "ended with status -9"),
        ("print()", "is empty"),
        ("print('password=')", "is empty"),
        (f"import sys\nwhile True: sys.stdout.write({SECRET!r})", "printed more than 65536 bytes"),
    ],
)
def test_commands_that_fail(code: str, says: str):
    error = refused(python(code))
    assert says in error.message
    assert error.where == f"command:{sys.executable}"


@pytest.mark.parametrize("line", ["nonexistent-program", "/", "'"])
def test_commands_that_cannot_start(line: str):
    assert refused(f"command:{line} {SECRET}").where.startswith("command:")


def test_a_command_that_does_not_end_is_ended_with_all_it_started(tmp_path: Path):
    note = tmp_path / "child"
    child = f"import subprocess,sys; p=subprocess.Popen([sys.executable,'-c','import time; time.sleep(600)']); open({str(note)!r},'w').write(str(p.pid)); p.wait()"

    async def work() -> ConfigError:
        references = References(PATH, command_seconds=600)
        waiting = asyncio.create_task(references.resolve(python(child)))
        while not (note.exists() and note.read_text()):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(ConfigError) as caught:
            await References(PATH, command_seconds=0.05).resolve(python("import time; time.sleep(600)"))
        return caught.value

    assert run(work()).message == "did not end within 0.05 s"
    assert state_of(int(note.read_text())) in {"gone", "Z", "X"}


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def test_a_program_that_cannot_be_killed_is_left_after_a_moment(monkeypatch: pytest.MonkeyPatch):
    """As one of another user would be: the call ends with the answer all the same."""

    def forbidden(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(program.os, "killpg", forbidden)
    assert secret(python(f"print({SECRET!r})")) == SECRET


# connection:


def test_a_connection_is_resolved_by_airflow():
    async def connections(name: str) -> Credential:
        return Credential(Secret(SECRET), username=name)

    assert resolve("connection:git", connections=connections).username == "git"


def test_connections_exist_only_within_airflow():
    assert "only within Airflow" in refused("connection:git").message


@pytest.mark.parametrize("reference", ["", SECRET, f"plain:{SECRET}", f":{SECRET}", "env:", "file: ", "command:"])
def test_what_is_no_reference(reference: str):
    assert refused(reference).where == "(a reference)"


# What is kept.


class Counting:
    """A resolver of connections that counts, answers after a turn of the loop, and can be told to fail."""

    def __init__(self) -> None:
        self.calls = 0
        self.fail = False

    async def __call__(self, name: str) -> Credential:
        self.calls += 1
        number, fail = self.calls, self.fail
        await asyncio.sleep(0)
        if fail:
            raise ConfigError(Code.CONFIG_SECRET, "no such connection", where=name)
        return Credential(Secret(f"{name}-{number}"))


def test_it_is_read_once_until_it_is_forgotten():
    async def work() -> tuple[list[str], int]:
        counting = Counting()
        references = References({}, connections=counting)
        seen = [(await references.resolve("connection:a")).secret.reveal() for _ in range(3)]
        references.forget("connection:a")
        references.forget("connection:never-seen")
        seen += [(await references.resolve("connection:a")).secret.reveal() for _ in range(2)]
        return seen, counting.calls

    assert run(work()) == (["a-1", "a-1", "a-1", "a-2", "a-2"], 2)


def test_callers_at_the_same_time_share_one_reading():
    async def work() -> tuple[set[str], int]:
        counting = Counting()
        references = References({}, connections=counting)
        found = await asyncio.gather(*(references.resolve("connection:a") for _ in range(20)))
        return {one.secret.reveal() for one in found}, counting.calls

    assert run(work()) == ({"a-1"}, 1)


def test_a_failure_is_not_kept():
    async def work() -> str:
        counting = Counting()
        counting.fail = True
        references = References({}, connections=counting)
        outcomes = await asyncio.gather(*(references.resolve("connection:a") for _ in range(3)), return_exceptions=True)
        assert all(isinstance(outcome, ConfigError) for outcome in outcomes)
        counting.fail = False
        return (await references.resolve("connection:a")).secret.reveal()

    assert run(work()) == "a-4"


def test_one_object_serves_one_loop_after_another():
    references = References({}, connections=Counting())
    for _ in range(2):

        async def work() -> None:
            await asyncio.gather(*(references.resolve("connection:a") for _ in range(3)))

        run(work())
        references.forget("connection:a")


def test_a_rotated_file_is_noticed_after_forget(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("old")
    references = References({})
    assert run(references.resolve(f"file:{file}")).secret.reveal() == "old"
    file.write_text("new")
    assert run(references.resolve(f"file:{file}")).secret.reveal() == "old"
    references.forget(f"file:{file}")
    assert run(references.resolve(f"file:{file}")).secret.reveal() == "new"


# What is wrong with it.


def test_a_check_warns_of_files_that_others_may_read(tmp_path: Path):
    file = tmp_path / "it's secret"
    file.write_text(SECRET)
    file.chmod(0o644)
    (finding,) = run(References({}).check(f"file:{file}"))
    assert (finding.level, finding.code) == (Level.WARNING, Code.CONFIG_SECRET)
    assert finding.hint == f"chmod 600 {shlex.quote(str(file))}"
    file.chmod(0o600)
    assert run(References({}).check(f"file:{file}")) == []


def test_a_check_finds_what_cannot_be_read():
    (finding,) = run(References({}).check("env:NOPE"))
    assert (finding.level, finding.where) == (Level.ERROR, "env:NOPE")


def test_a_check_of_other_schemes_has_nothing_to_add():
    assert run(References({"A": "x"}).check("env:A")) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(min_size=1, max_size=20))
def test_any_reference_is_resolved_or_refused(text: str):
    references = References({"A": "x"})
    for reference in (text, f"env:{text}", f"file:{text}", f"connection:{text}"):
        try:
            found = run(references.resolve(reference))
        except ConfigError as error:
            assert error.code is Code.CONFIG_SECRET  # noqa: PT017 - either way is right
        else:
            assert repr(found.secret) == "Secret(***)"
