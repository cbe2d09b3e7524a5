"""The build of the real peers, with a `go` that is a few lines of shell: what is built when, and what is said."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.peers import build, pins

GO = """\
#!/bin/sh
echo "$*" >> "{log}"
case "$1 $2" in
"env GOVERSION") echo "{version}" ;;
"mod download")
    mkdir -p "{modules}/manifests/crds" "{modules}/config/crd/bases"
    for folder in manifests/crds config/crd/bases; do
        echo "kind: CustomResourceDefinition" > "{modules}/$folder/one.yaml"
        echo "resources: []" > "{modules}/$folder/kustomization.yaml"
    done
    echo '{{"Dir": "{modules}"}}' ;;
"build -v")
    echo "go: downloading example.com/one v1.0.0" >&2
    echo "example.com/one" >&2
    {body}
    for word; do [ "$last" = -o ] && printf 'program' > "$word"; last=$word; done ;;
esac
"""


class FakeGo:
    """A `go` in PATH that notes how it was called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._log = folder, folder / "calls"
        self.install()
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def install(self, version: str = "go1.26.8", body: str = ":") -> None:
        text = GO.format(log=self._log, version=version, modules=self.folder / "modules", body=body)
        (self.folder / "go").write_text(text)
        (self.folder / "go").chmod(0o755)

    def builds(self) -> list[str]:
        """The package of each `go build`."""
        calls = self._log.read_text().splitlines() if self._log.exists() else []
        return [call.split()[-1] for call in calls if call.startswith("build")]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGo:
    (tmp_path / "go").mkdir()
    return FakeGo(tmp_path / "go", monkeypatch)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOOPSEAL_PEERS", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- what is pinned --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", pins.PROGRAMS, ids=lambda program: program.name)
def test_every_program_has_a_version_and_sources_that_are_pinned(program: pins.Program) -> None:
    assert program.version[0] == "v"
    assert len(program.version.split(".")) == 3
    assert (program.folder / "go.sum").stat().st_size > 1000


def test_a_module_is_pinned_in_a_block_or_on_a_line_of_its_own() -> None:
    text = "module x\n\nrequire example.com/one v1.2.3\n\nrequire (\n\texample.com/two v0.1.0 // indirect\n)\n"
    assert pins.pinned(text, "example.com/one") == "v1.2.3"
    assert pins.pinned(text, "example.com/two") == "v0.1.0"
    with pytest.raises(ValueError, match=r"example\.com/tw$"):
        pins.pinned(text, "example.com/tw")


def test_kubernetes_is_stamped_with_the_version_that_it_is() -> None:
    flags = pins.program("kube-apiserver").ldflags.split()
    version = pins.program("kube-apiserver").version
    assert f"k8s.io/component-base/version.gitVersion={version}" in flags
    assert f"k8s.io/component-base/version.gitMinor={version.split('.')[1]}" in flags
    assert pins.program("etcd").ldflags == "-s -w"


def test_a_key_depends_on_sources_flags_and_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "MODULES", tmp_path)
    (tmp_path / "one").mkdir()
    mod, total = tmp_path / "one" / "go.mod", tmp_path / "one" / "go.sum"
    mod.write_text("require example.com/one v1.2.3\n")
    total.write_text("one\n")
    program = pins.Program("one", "one", "example.com/one", "example.com/one")
    keys = {program.key}
    keys.add(pins.Program("two", "one", "example.com/one", "example.com/one").key)
    keys.add(pins.Program("one", "one", "example.com/one", "example.com/one", ("x={version}",)).key)
    total.write_text("two\n")
    keys.add(program.key)
    mod.write_text("require example.com/one v1.2.4\n")
    keys.add(program.key)
    assert len(keys) == 5
    assert all(len(key) == 16 for key in keys)


def test_another_compiler_builds_anew_but_what_is_there_can_be_run(tmp_path: Path) -> None:
    etcd = pins.program("etcd")
    old, new = (etcd.built(tmp_path, go) for go in ("go1.26.8", "go1.27.0"))
    assert old != new
    assert etcd.found(tmp_path) is None
    for path, age in ((old, 1), (new, 2)):
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (age, age))
    assert etcd.found(tmp_path) == new


def test_the_cache_is_where_the_user_says() -> None:
    assert pins.cache({"LOOPSEAL_PEERS": "/x", "XDG_CACHE_HOME": "/y"}) == Path("/x")
    assert pins.cache({"XDG_CACHE_HOME": "/y"}) == Path("/y/loopseal/peers")
    assert pins.cache({}) == Path("~/.cache/loopseal/peers").expanduser()


# --- building --------------------------------------------------------------------------------------------------------


def test_it_builds_what_is_not_there_and_only_that(go: FakeGo, cache: Path) -> None:
    assert build.main(["k8s"]) == build.OK
    assert [package.rpartition("/")[2] for package in go.builds()] == [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ]
    assert build.main(["k8s"]) == build.OK
    assert len(go.builds()) == 3
    found = pins.program("kube-scheduler").found(cache)
    assert found is not None
    assert found.read_text() == "program"
    go.install("go1.27.0")
    assert build.main(["etcd", "k8s"]) == build.OK
    assert len(go.builds()) == 7


def test_definitions_are_copied_so_that_tests_need_no_module_cache(go: FakeGo, cache: Path) -> None:
    assert build.main(["argocd", "source"]) == build.OK
    for peer in ("argocd", "source"):
        assert [file.name for file in pins.definitions(cache, peer).iterdir()] == ["one.yaml"]
    assert not pins.definitions(cache, "kustomize").exists()


def test_a_build_that_fails_says_why_and_leaves_nothing(
    go: FakeGo, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go.install(body='echo "one.go:3:1: syntax error" >&2; exit 2')
    assert build.main(["etcd"]) == build.FAILED
    said = capsys.readouterr().err
    assert "etcd: go build ended with 2" in said
    assert "one.go:3:1: syntax error" in said
    assert pins.program("etcd").found(cache) is None
    go.install()
    assert build.main(["etcd"]) == build.OK


def test_without_go_it_says_what_to_do(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.main(["etcd"]) == build.NO_GO
    assert "there is no Go" in capsys.readouterr().err


def test_a_go_that_is_too_old_is_named(go: FakeGo, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = "go: go.mod requires go >= 1.26.0 (running go 1.21.0; GOTOOLCHAIN=local)"
    (go.folder / "go").write_text(f'#!/bin/sh\necho "{refusal}" >&2\nexit 1\n')
    assert build.main(["etcd"]) == build.NO_GO
    said = capsys.readouterr().err
    assert "it needs Go 1.26" in said
    assert "running go 1.21.0" in said
    assert build.main(["--check"]) == build.NO_GO


def test_a_check_builds_nothing(go: FakeGo, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--check", "etcd", "argocd"]) == build.OK
    assert capsys.readouterr().out == "etcd: go1.26.8, argocd: go1.26.8\n"
    assert not go.builds()
    assert not cache.exists()


def test_a_peer_that_is_not_one_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build.main(["consul"])
    assert ended.value.code == build.USAGE
    assert "consul" in capsys.readouterr().err


def test_the_list_says_what_is_there(go: FakeGo, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.main(["etcd"])
    capsys.readouterr()
    assert build.main(["--list"]) == build.OK
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == {program.name for program in pins.PROGRAMS}
    assert str(cache) in lines["etcd"]
    assert lines["kwok"].endswith("not built")


def test_progress_counts_modules_and_packages_and_keeps_the_rest() -> None:
    progress = build.Progress()
    for line in ("go: downloading a v1", "example.com/a", "internal/abi", "# example.com/b", "b.go:1: wrong", ""):
        progress.hear(line + "\n")
    assert str(progress) == "1 modules downloaded, 2 packages compiled"
    assert progress.words == ["# example.com/b", "b.go:1: wrong"]
    for number in range(100):
        progress.hear(f"error {number}\n")
    assert len(progress.words) == 40
    assert progress.words[-1] == "error 99"


def test_progress_is_said_while_it_lasts(
    go: FakeGo, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    go.install(body=f'read line < "{gate}"')
    monkeypatch.setattr(build, "EVERY", 0.05)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "packages compiled" in line:
            gate.write_text("go on\n")

    build.build(["etcd"], cache, say)
    assert any("etcd: 1 modules downloaded, 1 packages compiled" in line for line in said)
    assert "built in" in said[-2]


def test_the_second_of_two_builds_waits_and_finds_it_done(go: FakeGo, cache: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    go.install(body=f'read line < "{gate}"')
    first = threading.Thread(target=build.build, args=(["etcd"], cache, lambda line: None))
    first.start()
    with gate.open("w") as opened:  # returns when the first one builds
        go.install()
        said: list[str] = []

        def say(line: str) -> None:
            said.append(line)
            if "waiting" in line:
                opened.write("go on\n")
                opened.flush()

        build.build(["etcd"], cache, say)
    first.join()
    assert "waiting" in said[0]
    assert "is there" in said[1]
    assert len(go.builds()) == 1


def test_an_interrupted_build_takes_its_compilers_along(go: FakeGo, cache: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    go.install(body=f'echo $$ > "{gate}"; exec sleep 600')
    command = [sys.executable, "-m", "tests.peers.build", "etcd"]
    environment = {**os.environ, "LOOPSEAL_PEERS": str(cache)}
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL) as process:
        compiler = int(gate.read_text())
        process.terminate()
        assert process.wait(30) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(compiler, 0)
    assert pins.program("etcd").found(cache) is None
