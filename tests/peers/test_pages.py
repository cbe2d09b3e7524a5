"""Making Argo CD's pages, with a `go`, a `node` and an `npx` that are a few lines of shell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.peers import pages, pins
from tests.peers.build import FAILED, NO_GO
from tests.peers.test_build import FakeGo

NPX = """\
#!/bin/sh
echo "$*" >> "{log}"
case "$*" in
*webpack*) {webpack} ;;
esac
"""
MAKES_IT = 'mkdir -p dist/app && echo "<title>Argo CD</title>" > dist/app/index.html'


class Tools:
    """A folder in PATH with the three programs, and the folder that stands for Argo CD's module."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.log = folder, folder / "npx.calls"
        self.go = FakeGo(folder, monkeypatch)
        self.install("node", "#!/bin/sh\necho v22.9.0\n")
        self.npx()
        source = folder / "modules/ui/src"
        source.mkdir(parents=True)
        (source / "index.html").write_text("<html></html>")
        (source / "index.html").chmod(0o444)
        source.chmod(0o555)  # as Go's module cache is

    def install(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def npx(self, webpack: str = MAKES_IT) -> None:
        self.install("npx", NPX.format(log=self.log, webpack=webpack))

    def steps(self) -> list[str]:
        return [line.split()[0] for line in self.log.read_text().splitlines()]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    (tmp_path / "tools").mkdir()
    monkeypatch.setenv("LOOPSEAL_PEERS", str(tmp_path / "cache"))
    return Tools(tmp_path / "tools", monkeypatch)


def test_it_is_made_once_and_found(tools: Tools, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = tmp_path / "cache"
    assert pages.found(cache) is None
    assert pages.main([]) == 0
    made = pages.found(cache)
    assert made is not None
    assert made.read_text() == "program"
    assert tools.steps() == ["--yes", "webpack"]
    assert tools.go.builds() == [pins.program("argocd").package]
    assert not list((cache / "pages").iterdir()), "what it was made of takes a gigabyte"
    assert pages.main([]) == 0
    assert tools.steps() == ["--yes", "webpack"], "nothing is made again"
    assert str(made) in capsys.readouterr().out


def test_a_step_that_fails_says_why_and_the_next_run_goes_on_there(
    tools: Tools, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.npx("echo 'Module not found: argo-ui' >&2; exit 2")
    assert pages.main([]) == FAILED
    assert "Module not found: argo-ui" in capsys.readouterr().err
    assert pages.found(tmp_path / "cache") is None
    copied = tmp_path / "cache/pages" / pins.program("argocd").version / "argo-cd/ui/src/index.html"
    assert copied.is_file()
    assert os.access(copied, os.W_OK)
    tools.npx()
    assert pages.main([]) == 0


def test_a_web_application_that_is_empty_is_a_failure(tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    tools.npx(":")
    assert pages.main([]) == FAILED
    assert "made no index.html" in capsys.readouterr().err


@pytest.mark.parametrize(("said", "told"), [("v18.20.4", "v18.20.4"), ("", "broken"), ("22", "22")])
def test_a_node_that_is_too_old_is_said(tools: Tools, capsys: pytest.CaptureFixture[str], said: str, told: str) -> None:
    tools.install("node", f"#!/bin/sh\necho {said}\n")
    assert pages.main([]) == NO_GO
    assert f"this Node.js is {told}: Argo CD's pages are made with Node.js 20" in capsys.readouterr().err


def test_without_node_it_says_what_is_missing(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tools.folder / "node").unlink()
    monkeypatch.setenv("PATH", str(tools.folder))
    assert pages.main([]) == NO_GO
    assert "there is no Node.js" in capsys.readouterr().err
