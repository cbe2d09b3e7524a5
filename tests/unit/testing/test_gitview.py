from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from loopseal.testing.clock import run
from loopseal.testing.gitview import GitFailure, MemoryRepositories, MemoryRepository, Repositories

URL = "http://git.test/team/apps.git"


def git(*arguments: str, cwd: Path) -> str:
    variables = {"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(cwd)}
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    return subprocess.run(
        ["git", *who, *arguments], cwd=cwd, env=variables, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    git("init", "-q", "-b", "main", cwd=work)
    (work / "apps/web").mkdir(parents=True)
    (work / "apps/web/a.yaml").write_text("a: 1\n")
    (work / "top.txt").write_text("top\n")
    git("add", "-A", cwd=work)
    git("commit", "-q", "-m", "one", cwd=work)
    git("tag", "v1", cwd=work)
    (tmp_path / "team").mkdir()
    git("clone", "-q", "--bare", "work", "team/apps.git", cwd=tmp_path)
    return tmp_path


def test_refs_and_files_of_a_real_repository(root: Path) -> None:
    tip = git("rev-parse", "main", cwd=root / "work")

    async def main() -> None:
        view = Repositories(root)
        assert await view.resolve(URL, "main") == tip
        assert await view.resolve(URL, "HEAD") == tip
        assert await view.resolve(URL, "v1") == tip
        assert await view.resolve(URL, tip) == tip
        for path in ("apps/web", "./apps/web", "./apps/web/"):
            assert await view.files(URL, tip, path) == {"a.yaml": "a: 1\n"}
        assert set(await view.files(URL, tip, ".") or ()) == {"apps/web/a.yaml", "top.txt"}
        assert await view.files(URL, tip, "gone") is None
        assert await view.signer(URL, tip) == ""
        with pytest.raises(GitFailure, match="unable to resolve 'gone'"):
            await view.resolve(URL, "gone")
        with pytest.raises(GitFailure, match="reference is not a tree"):
            await view.files(URL, "0" * 40, "apps/web")

    run(main)


@pytest.mark.parametrize(
    "url", ["http://git.test/gone.git", "http://git.test/../../etc", "http://git.test/work/top.txt"]
)
def test_nothing_but_repositories_below_the_root_is_read(root: Path, url: str) -> None:
    async def main() -> None:
        with pytest.raises(GitFailure, match="repository not found"):
            await Repositories(root).resolve(url, "main")

    run(main)


def test_commits_in_memory() -> None:
    repository = MemoryRepository()
    one = repository.commit({"apps/a.yaml": "1", "b": "2"}, "one")
    two = repository.commit({"b": None}, "two", signer="KEY")
    other = repository.commit({"c": "3"}, "instead", onto=one)
    assert repository.tip == other
    assert repository.parents == {one: (), two: (one,), other: (one,)}

    async def main() -> None:
        view = MemoryRepositories({URL: repository})
        assert await view.resolve(URL, "main") == other
        assert await view.resolve(URL, "HEAD") == other
        assert await view.resolve(URL, two) == two
        assert await view.files(URL, two, "apps") == {"a.yaml": "1"}
        assert await view.files(URL, two, "") == {"apps/a.yaml": "1"}
        assert await view.files(URL, two, "gone") is None
        assert await view.signer(URL, two) == "KEY"
        for failing in (view.resolve(URL, "gone"), view.files(URL, "f" * 40, "."), view.resolve("http://x", "main")):
            with pytest.raises(GitFailure):
                await failing

    run(main)
