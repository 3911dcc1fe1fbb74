"""Every figure of README stands in a page that its paragraph links, where it is measured (the rule: figures.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from figures import anchor, figures, section, without_source
from pages import ROOT

README = ROOT / "README.md"


def test_every_figure_of_readme_has_its_source() -> None:
    found = figures(README.read_text(encoding="utf-8"))
    assert len(found) >= 3, "the rule finds no figures"
    assert any("benchmarks.md" in figure.paragraph and figure.unit == "s" for figure in found), "no speed is claimed"
    lacking = without_source(README)
    assert not lacking, f"README claims what the pages that it links in that paragraph do not have: {lacking}"


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("reaches 57.4 ± 0.3 % (five seeds)", ["57.4 ± 0.3"]),
        ("an F1 of 57.4 ± 0.3 over five seeds", ["57.4 ± 0.3"]),
        ("is **3.1 times** as fast", ["3.1 times"]),
        ("trains in 12 s, extracts in 3 minutes", ["12 s", "3 minutes"]),
        ("needs 10.9 GB, three times that unpacked", ["10.9 GB", "three times"]),
        ("a 20-fold gain, 45% of it", ["20 fold", "45"]),
        ("Python 3.11, five seeds, `--cv 5`, [a](b.md#10-s)", []),
        ("```sh\nsleep 10 s\n```", []),
    ],
)
def test_what_a_figure_is(prose: str, expected: list[str]) -> None:
    assert [str(figure) for figure in figures(prose)] == expected


@pytest.mark.parametrize(
    ("claim", "source", "lacking"),
    [
        ("57.4 ± 0.3 %, see [x](x.md)", "| head | **57.4 ± 0.3** |", 0),
        ("57.4 ± 0.3 %, see [x](x.md)", "| head | 57.4 ± 0.9 |", 1),
        ("57.4 %, see [x](x.md)", "| head | 157.4 | 57.45 | 7.4 |", 1),
        ("12 s, see [x](x.md)", "it took 12 minutes, 112 s", 1),
        ("12 s, see [x](x.md)", "it took 12 s.", 0),
        ("12 s, see [x](x.md#later)", "# First\n\n12 s\n\n# Later\n\n13 s", 1),
        ("12 s, see [x](x.md#later)", "# First\n\n13 s\n\n# Later\n\n## More\n\n12 s", 0),
        ("12 s.\n\nSee [x](x.md)", "12 s", 1),
        ("12 s, see [x](https://x.org/x.md)", "12 s", 1),
    ],
)
def test_a_figure_must_stand_where_its_paragraph_leads(claim: str, source: str, lacking: int, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(claim, encoding="utf-8")
    (tmp_path / "x.md").write_text(source, encoding="utf-8")
    assert len(without_source(tmp_path / "README.md")) == lacking


def test_sections_are_found_by_their_anchors() -> None:
    text = "# A\n\none\n\n```sh\n# B\n```\n\n## B: `c`\n\ntwo\n\n# D\n\nthree"
    assert anchor("B: `c`") == "b-c"
    assert "two" in section(text, "b-c")
    assert "three" not in section(text, "b-c")
    assert section(text, "nowhere") == ""
