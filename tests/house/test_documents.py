"""What can rot is generated or tested: reference pages, links, the README's commands, paths named in documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from docs.generate import PAGES, REFERENCE

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_up_to_date(name):
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        assert (document.parent / link).exists(), f"{document.relative_to(ROOT)} links to {link}"


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_paths_named_in_tables_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for name in re.findall(r"`((?:src|tests|docs|usecases|engines|git|cli|airflow|testing|ledger)/[\w/.-]*)`", text):
        places = [ROOT / name, ROOT / "src/loopseal" / name]
        assert any(place.exists() for place in places), f"{document} names {name}"


def test_every_command_of_the_readme_is_a_target_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE):
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), f"make {name}"


@pytest.mark.parametrize("manifest", sorted((ROOT / "deploy").glob("*.yaml")), ids=lambda path: path.name)
def test_manifests_are_whole(manifest):
    for document in yaml.safe_load_all(manifest.read_text(encoding="utf-8")):
        assert {"apiVersion", "kind", "metadata"} <= document.keys()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_settings_shown_in_documents_are_valid(document):
    """Every YAML block that declares targets is read by the real reader."""
    from loopseal import settings

    for block in re.findall(r"```yaml\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
        parsed = yaml.safe_load(block)
        if isinstance(parsed, dict) and "targets" in parsed:
            assert settings.parse(parsed).targets
