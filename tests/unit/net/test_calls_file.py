"""The file of the record: whole lines from several processes, through renames, full disks and forbidden folders."""

from __future__ import annotations

import json
import logging
import multiprocessing
import resource
import signal
from pathlib import Path

import pytest

from loopseal.errors import Code, ConfigError
from loopseal.net import calls, calls_file
from loopseal.settings import CallsSettings, Settings
from tests.calls import attached, kept, read


def write(text: str, level: int = logging.DEBUG) -> None:
    calls.logger.log(level, "%s", json.dumps({"event": "call", "text": text}))


def texts(path: Path) -> list[str]:
    return [line["text"] for line in read(path).lines]


def test_lines_are_appended_for_this_user_only(tmp_path: Path):
    path = tmp_path / "new" / "calls.jsonl"
    with kept(path):
        write("one")
    with kept(path):
        write("two", logging.INFO)
    assert texts(path) == ["one", "two"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


def test_they_go_nowhere_else(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with kept(tmp_path / "calls.jsonl"):
        write("one", logging.INFO)
    assert not caplog.records


def test_asked_for_twice_it_is_one(tmp_path: Path):
    path = tmp_path / "calls.jsonl"
    with kept(path):
        assert calls_file.keep(str(path)) is calls_file.keep(str(path))
        write("one")
    assert texts(path) == ["one"]


def test_two_files_get_all(tmp_path: Path):
    one, two = tmp_path / "1", tmp_path / "2"
    with kept(one):
        second = calls_file.keep(str(two))
        write("x")
        second.close()
    assert texts(one) == texts(two) == ["x"]


def test_it_may_be_renamed_or_removed_under_us(tmp_path: Path):
    path = tmp_path / "calls.jsonl"
    with kept(path):
        write("one")
        path.rename(tmp_path / "calls.jsonl.1")
        write("two")
        path.unlink()
        write("three")
    assert texts(tmp_path / "calls.jsonl.1") == ["one"]
    assert texts(path) == ["three"]


@pytest.mark.parametrize("bad", ["folder", "file/below.jsonl"])
def test_a_file_that_cannot_be_is_told_at_the_start(tmp_path: Path, bad: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with attached(logging.NullHandler()), pytest.raises(ConfigError) as caught:
        calls_file.keep(str(tmp_path / bad))
    assert caught.value.code is Code.CONFIG_UNREADABLE
    assert "calls.path" in caught.value.hint


def test_a_torn_line_is_ended_before_the_next(tmp_path: Path):
    path = tmp_path / "calls.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with kept(path):
            write("one")
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limits[1]))
            with pytest.raises(OSError, match="No space left"):
                write("torn")
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            write("three")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    first, torn, third = path.read_text().splitlines()
    assert [json.loads(first)["text"], json.loads(third)["text"]] == ["one", "three"]
    assert len(torn) == 10


def _writer(path: str, name: str) -> None:
    with kept(Path(path)):
        for number in range(200):
            write(f"{name}-{number}" + "x" * 1500)


def test_several_processes_write_whole_lines(tmp_path: Path):
    path = tmp_path / "calls.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_writer, args=(str(path), str(one))) for one in range(3)]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
    assert [one.exitcode for one in writers] == [0, 0, 0]
    assert sorted(text.rstrip("x") for text in texts(path)) == sorted(f"{a}-{b}" for a in range(3) for b in range(200))


def test_a_workshop_keeps_the_file_of_its_settings(tmp_path: Path):
    from loopseal.credentials.reference import References
    from loopseal.wiring import SystemClock, Workshop

    path = tmp_path / "calls.jsonl"
    with attached(logging.NullHandler()):
        Workshop(Settings(), References(), SystemClock())
        assert not path.exists()
        Workshop(Settings(calls=CallsSettings(str(path))), References(), SystemClock())
        write("one")
        for handler in calls.logger.handlers:
            handler.close()
    assert texts(path) == ["one"]
