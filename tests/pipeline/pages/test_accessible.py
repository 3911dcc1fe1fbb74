"""Colours, type sizes and paths of pages, asked of their sources; and that the checks of pages find what they ought."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_checks import blended, contrast, findings_of, paths_in, variables

from pipeline.pages import paths
from pipeline.pages.drawing import COLOURS, draw
from pipeline.pages.html import source
from pipeline.pages.shades import LEAST, REST, tone

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CSS = source("pipeline.report", "style.css.jinja", "figures.css.jinja")
ALL_CSS = (
    CSS
    + source("pipeline.explore", "explore.css.jinja", "clip.css.jinja")
    + source("pipeline.predict", "predict.css.jinja")
)
SCHEMES = variables(CSS)
TEXT = ("ink", "muted", "accent", "warn")
GROUNDS = ("page", "panel", "tint")
SMALLEST_PRINTED = 10  # pixels, which are 7.5 points


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_is_readable_on_every_ground(scheme: str) -> None:
    colours = SCHEMES[scheme]
    pairs = [(text, ground) for text in TEXT for ground in GROUNDS] + [("warn", "warn-bg"), ("on-accent", "accent")]
    ratios = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
@pytest.mark.parametrize("diagonal", [True, False])
def test_numbers_are_readable_on_every_shade_of_a_confusion_matrix(scheme: str, diagonal: bool) -> None:
    colours, names = SCHEMES[scheme], {value: name for name, value in COLOURS.items()}
    low = {}
    for percent in range(101):
        share = percent / 100
        ground = blended(colours["accent"], colours["page"], LEAST + REST * share)
        ratio = contrast(colours[names[tone(share, diagonal)]], ground)
        if ratio < 4.5:
            low[percent] = round(ratio, 2)
    assert low == {}


def test_text_has_colours_for_text_and_is_not_faded() -> None:
    for block in re.findall(r"[^{}]+\{([^{}]*)\}", ALL_CSS):
        assert not re.search(r"(?<![\w-])color:var\(--(faint|line)\)", block), block
        assert not ("opacity" in block and re.search(r"(?<![\w-])color:", block)), block


def test_what_is_hidden_in_a_table_does_not_widen_the_page() -> None:
    """What is placed absolutely is cut by its box only if the box is what it is placed in."""
    assert "}.hidden{position:absolute" in ALL_CSS.replace("\n", "")
    assert "}.scroll{position:relative;overflow-x:auto" in ALL_CSS.replace("\n", "")


def test_print_keeps_what_leads_to_a_figure_with_it_and_figures_within_the_paper() -> None:
    printed = "".join(_media(ALL_CSS, "@media print"))
    assert "h2,h3,.lead,summary{break-after:avoid}" in printed
    assert ".drawing svg{min-width:0!important}" in printed


def test_a_figure_is_never_so_small_that_its_text_cannot_be_read() -> None:
    def plot(axes: Axes) -> None:
        axes.text(0.5, 0.5, "small", fontsize=10)
        axes.text(0.5, 0.8, "large", fontsize=20)

    for width, share in ((200, 0.9), (900, 0.9)):
        drawing = draw("key", "A & B", (width, 100), plot)
        own = float(re.findall(r' width="([\d.]+)"', drawing.page)[0])
        least = float(re.findall(r"min-width: ([\d.]+)px", drawing.page)[0])
        assert abs(least - share * own) < 1, "nine pixels of ten"
        assert drawing.box.startswith('<div class="drawing" tabindex="0" role="group" aria-label="A &amp; B"><svg')


def test_print_has_no_type_that_is_too_small_to_read() -> None:
    printed = "".join(_media(ALL_CSS, "@media print"))
    sizes = [float(size) for size in re.findall(r"font-size:([\d.]+)px", printed)]
    assert len(sizes) > 8
    assert min(sizes) >= SMALLEST_PRINTED
    assert re.search(r"body\{font-size:1[2-9]px", printed)
    assert re.search(r"table,.board thead th\{font-size:1[0-9.]+px", printed)
    assert ".92em" not in printed
    for part in (".num small", ".tag", "td code", ".board .group"):
        assert re.search(rf"(^|[,}}]){re.escape(part)}[^{{]*\{{font-size:1\dpx", printed), (
            f"{part} is smaller than its table"
        )


def _media(css: str, rule: str) -> list[str]:
    """The insides of a media rule, each time that it stands there."""
    found = []
    for start in [match.end() for match in re.finditer(re.escape(rule) + r"\{", css)]:
        depth, place = 1, start
        while depth:
            depth += {"{": 1, "}": -1}.get(css[place], 0)
            place += 1
        found.append(css[start : place - 1])
    return found


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        ("<h1>a</h1><h3>b</h3>", "h3 follows h1"),
        ("<h2>a</h2>", "the first heading is h2"),
        ("<h1>a</h1><details><summary>b <a href='#'>c</a></summary></details>", "a within summary"),
        ("<h1>a</h1><div role='img' aria-label='b'><button>c</button></div>", "button within div"),
        ("<h1>a</h1><section aria-label='b'></section><div role='region' aria-label='b'></div>", "two landmarks"),
        ("<h1>a</h1><table><tr><th>b</th></tr></table>", "a th without scope"),
        ("<h1>a</h1><div class='scroll'><table><tr><th scope='col'>b</th></tr></table></div>", "by keyboard"),
        ("<h1>a</h1><div class='drawing'></div>", "scrolls, but not by keyboard"),
        ("<h1>a</h1><svg class='figure' role='img' aria-label='b'></svg>", "a figure in no box"),
        ("<h1>a</h1><svg></svg>", "an svg without a name"),
        ("<h1 id='a'>a</h1><p id='a'>b</p>", "the id a is there 2 times"),
    ],
)
def test_the_checks_find_what_is_wrong(body: str, finding: str) -> None:
    assert [line for line in findings_of(f"<main>{body}</main>") if finding in line]
    assert findings_of("<main><h1>a</h1><h2>b</h2><p>c</p></main>") == []


class TestPaths:
    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ("/home/jo/runs/x.parquet: is not there", "x.parquet: is not there"),
            ("run `erc evaluate /tmp/a/runs/text-1 --split dev`", "run `erc evaluate text-1 --split dev`"),
            ("/mnt/my disk/models/gpt2", "gpt2"),
            ("C:\\Users\\Jo\\x.parquet", "x.parquet"),
            ("file:///home/jo/x", "x"),
            ("model=/a/b, b=2", "model=b, b=2"),
            ("(/a/b/c)", "(c)"),
        ],
    )
    def test_an_absolute_path_is_its_last_name(self, given: str, shown: str) -> None:
        assert paths.shareable(given) == shown

    @pytest.mark.parametrize(
        "text", ["and/or", "3/4 of all", "../data/x.parquet", "runs/text-1", "/none", "https://a.b/c/d", "a / b / c"]
    )
    def test_all_else_stays(self, text: str) -> None:
        assert paths.shareable(text) == text

    def test_media_within_the_page_stay(self) -> None:
        uri = "data:image/png;base64,+/a/b/c+/d/e/f=="
        assert paths.shareable(uri) == uri

    def test_what_was_said_stays(self) -> None:
        assert paths.shareable(paths.Verbatim("look in /etc/passwd")) == "look in /etc/passwd"

    def test_below_a_known_folder_the_rest_is_shown(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a b").mkdir()
        with paths.relative_to(tmp_path / "a b"):
            assert paths.shareable(f"{tmp_path}/a b/runs/x is old") == "runs/x is old"
            assert paths.shareable(f"{tmp_path}/a bc/x y") == "x y"
        monkeypatch.chdir(tmp_path)
        assert paths.shareable(f"see {tmp_path}/runs/x") == "see runs/x"

    def test_a_command_keeps_all_but_the_folders(self) -> None:
        given = "erc train --out '/home/jo doe/my runs' --store=/data --set model=/m/n --manifest ../x.parquet"
        assert paths.shareable_command(given) == (
            "erc train --out 'my runs' --store=data --set model=n --manifest ../x.parquet"
        )
        assert paths.shareable_command("erc train 'open /a/b") == "erc train 'open b"

    def test_the_check_finds_paths(self) -> None:
        assert paths_in("<p>/home/jo/x</p>") == ["/home/jo/x</p>"]
        assert paths_in("see /x/y", "/x") == ["/x/y"]
        assert paths_in("<p>runs/x</p>") == []
