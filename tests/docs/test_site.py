"""`make docs`: the site is built without a warning, and the Python API is on it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from page_checks import contrast
from pages import ROOT

sys.path.insert(0, str(ROOT / "docs" / "site_parts"))
griffe = pytest.importorskip("griffe")
pytest.importorskip("mkdocs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / ("" if page.stem == "index" else page.stem) / "index.html").is_file(), page.name
    assert (site / "examples" / "first-steps.ipynb").is_file()
    assert not list(site.rglob("*.py"))


def test_the_api_is_told(site: Path) -> None:
    page = (site / "api" / "index.html").read_text(encoding="utf-8")
    named = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(named) > 15
    for name in named:
        assert f'id="{name}"' in page, name
    assert "<li><code>split</code>: only the utterances of this split" in page


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r"<(?:link|script|img)[^>]+(?:href|src)=\"https?://")
    for page in site.rglob("index.html"):
        assert not fetched.search(page.read_text(encoding="utf-8")), page


def test_code_can_be_read_and_tables_can_be_scrolled(site: Path) -> None:
    look = (ROOT / "docs" / "site_look" / "look.css").read_text(encoding="utf-8")
    grounds = {"default": "#f5f5f5", "slate": "#272a35"}  # of code, as the theme has them
    read = dict(re.findall(r'scheme="(\w+)"\] \{([^}]*)\}', look))
    assert set(read) == set(grounds)
    for scheme, rules in read.items():
        for colour in re.findall(r"#[0-9a-f]{6}", rules):
            assert contrast(colour, grounds[scheme]) >= 4.5, (scheme, colour)
    pages = [page.read_text(encoding="utf-8") for page in site.rglob("index.html")]
    assert len(pages) > 20
    assert all("site_look/look.css" in page and "site_look/look.js" in page for page in pages)


def test_lines_of_names_become_lists() -> None:
    from docstrings import with_lists

    told = "What.\n\na:    one\nb, *c: two\n      goes on\nRaises X.\n\nNote: no\n  list"
    assert with_lists(told) == "What.\n\n- `a`: one\n- `b`, `*c`: two goes on\n\nRaises X.\n\n- `Note`: no list"
    assert with_lists("As in\n\n    a: code") == "As in\n\n    a: code"
