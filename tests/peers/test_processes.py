"""Processes of a cluster: ready, killed, started again, and gone, whatever happens to those who started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.ports import FIRST, HOST, LAST, SIZE, Ports
from tests.peers.processes import MARK, Command, PeerError, Processes, descendants


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    (tmp_path / "tools").mkdir()
    one = Processes(tmp_path, tmp_path / "tools")
    yield one
    one.close()


def shell(name: str, text: str, ready=lambda: True, **more) -> Command:
    return Command(name, ["sh", "-c", text], ready, **more)


def gone(pid: int) -> bool:
    """Whether it is no more, or only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until(fits, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not fits():
        assert time.monotonic() < end, "not reached"
        time.sleep(0.01)


def test_it_is_ready_when_the_probe_says_so(processes: Processes, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    processes.launch(shell("one", f"echo begun; touch {flag}; exec sleep 600", flag.exists))
    processes.wait("one")
    assert processes.running("one")
    assert processes.log("one") == "begun\n"
    assert processes.ready_seconds["one"] >= 0
    assert processes.memory()["one"] > 0


def test_one_that_ends_instead_shows_its_log(processes: Processes) -> None:
    processes.launch(shell("one", "echo no such flag >&2; exit 3", lambda: False))
    with pytest.raises(PeerError, match=r"(?s)one ended.*no such flag"):
        processes.wait("one")
    assert not processes.running("one")


def test_one_that_is_never_ready_shows_its_log_and_the_last_error(processes: Processes) -> None:
    def refused() -> bool:
        raise ConnectionRefusedError("nobody listens")

    processes.launch(shell("one", "echo hello; exec sleep 600", refused, seconds=0.5))
    until(lambda: processes.log("one"))
    with pytest.raises(PeerError, match=r"(?s)not ready after 0.5 s \(nobody listens\).*hello"):
        processes.wait("one")


def test_a_program_that_is_not_there_names_the_way_to_it(processes: Processes) -> None:
    with pytest.raises(PeerError, match="make peers-build"):
        processes.launch(Command("one", ["no-such-program"], lambda: True))


def test_the_environment_is_its_own(processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    command = shell("one", "env; exec sleep 600", variables={"COLOUR": "blue"})
    processes.launch(command)
    until(lambda: "COLOUR=blue" in processes.log("one"))
    assert "planted" not in processes.log("one")
    assert f"HOME={tmp_path}/home" in processes.log("one")


@pytest.mark.parametrize("way", ["kill", "terminate"])
def test_what_is_ended_can_be_started_again(processes: Processes, way: str) -> None:
    processes.launch(shell("one", "echo begun; exec sleep 600"))
    first = processes.pid("one")
    until(lambda: processes.log("one"))
    getattr(processes, way)("one")
    assert not processes.running("one")
    assert gone(first)
    processes.start("one")
    assert processes.pid("one") != first
    processes.start("one")  # does nothing
    until(lambda: processes.log("one") == "begun\nbegun\n")


def test_terminate_asks_first(processes: Processes, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    processes.launch(
        shell("one", f"trap 'echo bye; exit 0' TERM; touch {ready}; while :; do sleep 0.05; done", ready.exists)
    )
    processes.wait("one")
    processes.terminate("one")
    assert processes.log("one") == "bye\n"


def test_killing_what_does_not_run_does_nothing(processes: Processes) -> None:
    processes.kill("nobody")
    assert not processes.running("nobody")


def test_revive_starts_what_was_killed_or_has_died(processes: Processes) -> None:
    for name in ("one", "two", "three"):
        processes.launch(shell(name, "exec sleep 600"))
    processes.kill("one")
    os.kill(processes.pid("two"), signal.SIGKILL)
    until(lambda: not processes.running("two"))
    third = processes.pid("three")
    processes.revive()
    assert all(processes.running(name) for name in processes.names)
    assert processes.pid("three") == third


def test_one_that_was_started_by_a_thread_outlives_the_thread(processes: Processes) -> None:
    processes.launch(shell("one", "exec sleep 600"))
    processes.kill("one")
    thread = threading.Thread(target=processes.start, args=("one",))
    thread.start()
    thread.join()
    until(lambda: b"sleep" in Path(f"/proc/{processes.pid('one')}/cmdline").read_bytes())
    assert processes.running("one")
    assert not gone(processes.pid("one"))


def test_the_children_of_a_killed_process_are_gone_too(processes: Processes, tmp_path: Path) -> None:
    child = tmp_path / "child"
    processes.launch(shell("one", f"sleep 600 & echo $! > {child}.new; mv {child}.new {child}; wait", child.exists))
    processes.wait("one")
    processes.kill("one")
    until(lambda: gone(int(child.read_text())))


@pytest.mark.parametrize("way", ["kill", "terminate", "close"])
def test_what_has_left_its_group_is_found(processes: Processes, tmp_path: Path, way: str) -> None:
    child = tmp_path / "child"
    text = f"setsid sh -c 'echo $$ > {child}.new; mv {child}.new {child}; exec sleep 600' & wait"
    processes.launch(shell("one", text, child.exists))
    processes.launch(shell("two", "exec sleep 600"))
    processes.wait("one")
    stray = int(child.read_text())
    assert stray in descendants(tmp_path, "one")
    if way == "close":
        processes.close()
        assert descendants(tmp_path) == []
    else:
        getattr(processes, way)("one")
        assert descendants(tmp_path) == [processes.pid("two")]
    assert gone(stray)


def test_nothing_outlives_a_killed_test_run(tmp_path: Path) -> None:
    text = f"""
from pathlib import Path
from tests.peers.processes import Command, Processes
one = Processes(Path({str(tmp_path)!r}), Path("/nowhere"))
one.launch(Command("one", ["sleep", "600"], lambda: True))
print(one.pid("one"), flush=True)
input()
"""
    command = [sys.executable, "-c", text]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        assert not gone(pid)
        run.kill()
    until(lambda: gone(pid))


def test_tails_are_the_ends_of_the_logs(processes: Processes) -> None:
    processes.launch(shell("one", "seq 1 2000; exec sleep 600"))
    until(lambda: processes.log("one").endswith("2000\n"))
    assert processes.tails(10) == {"one": "1999\n2000\n"}


def test_descendants_are_known_by_the_whole_value(tmp_path: Path) -> None:
    environment = {**os.environ, MARK: f"{tmp_path}/other"}
    with subprocess.Popen(["sleep", "600"], env=environment) as stranger:
        until(lambda: descendants(tmp_path / "other") == [stranger.pid])
        assert descendants(tmp_path) == []
        stranger.kill()


# --- ports -----------------------------------------------------------------------------------------------------------


def test_a_name_keeps_its_port(tmp_path: Path) -> None:
    with Ports(tmp_path) as ports:
        first = ports["one"]
        assert ports["two"] != first
        assert ports["one"] == first
        assert ports.address("one") == f"{HOST}:{first}"
        assert FIRST <= first < LAST


def test_two_clusters_never_share_a_port(tmp_path: Path) -> None:
    with Ports(tmp_path) as one, Ports(tmp_path) as two:
        names = [f"port-{number}" for number in range(SIZE)]
        assert not {one[name] for name in names} & {two[name] for name in names}


def test_a_block_is_given_back(tmp_path: Path) -> None:
    with Ports(tmp_path) as ports:
        first = ports["one"]
    with Ports(tmp_path) as ports:
        assert ports["one"] == first


def test_a_block_in_which_somebody_listens_is_left_out(tmp_path: Path) -> None:
    with Ports(tmp_path) as ports:
        first = ports["one"]
    with socket.create_server((HOST, first)), Ports(tmp_path) as ports:
        assert abs(ports["one"] - first) >= SIZE


def test_they_are_not_the_ones_that_the_kernel_hands_out() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert lowest >= LAST


def test_when_every_block_is_taken_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.peers.ports._is_free", lambda port: False)
    with pytest.raises(RuntimeError, match="taken"), Ports(tmp_path):
        pass
