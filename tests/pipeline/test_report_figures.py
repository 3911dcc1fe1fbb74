"""The figures: literal text, the page's colours, a name for screen readers, the same whatever matplotlib is set to."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from run_factory import SENTENCE, make_run

from pipeline.report.drawing import COLOURS, Drawing
from pipeline.report.figures import drawings_of
from pipeline.report.leaderboard import Corpus, corpora_of
from pipeline.report.read import read_runs
from pipeline.report.scale import standing
from pipeline.report.write import write_report

LABELS = ("<b>&</b>", "$x$", "\\$y_1^2$", "中性", "a\nb\x07", "a label of more than sixteen", "neutral")


def corpora(runs: Path) -> list[Corpus]:
    return corpora_of(read_runs(runs))


@pytest.fixture
def drawings(tmp_path: Path) -> dict[str, Drawing]:
    make_run(
        tmp_path / "runs",
        "$a$ <i>",
        folder="run",
        labels=LABELS,
        support=dict.fromkeys(("train", "dev", "test"), (20, 10, 30, 5, 6, 8, 40)),
    )
    return drawings_of(corpora(tmp_path / "runs"))


def test_labels_are_literal_text(drawings: dict[str, Drawing]) -> None:
    expected = {"<b>&</b>", "$x$", "\\$y_1^2$", "中性", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"}
    for key in ("1-f1-dev", "1-confusion-dev"):
        root = ElementTree.fromstring(drawings[key].svg)
        texts = {element.text for element in root.iter() if element.tag.endswith("}text")}
        titles = {element.text for element in root.iter() if element.tag.endswith("}title")}
        assert expected | {"a label of more…", "neutral"} <= texts
        assert "a label of more than sixteen" in titles


def test_a_figure_tells_screen_readers_what_it_is(drawings: dict[str, Drawing]) -> None:
    assert drawings["1-f1-dev"].title == "F1 of each label on dev, $a$ <i>"
    for drawing in drawings.values():
        for text in (drawing.svg, drawing.page):
            root = ElementTree.fromstring(text)
            assert (root.get("role"), root.get("aria-label"), root[0].text) == ("img", drawing.title, drawing.title)


def test_the_page_sets_every_colour_and_the_files_bring_their_own(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "text")
    write_report(tmp_path / "runs", tmp_path / "out")
    style = (tmp_path / "out" / "report.html").read_text().partition("</style>")[0]
    dark = style.partition("prefers-color-scheme:dark")[2]
    used = set()
    for drawing in drawings_of(corpora(tmp_path / "runs")).values():
        assert not re.search(r"(fill|stroke): #|font-family|xmlns", drawing.page)
        assert "var(" not in drawing.svg
        used |= set(re.findall(r"var\(--([\w-]+)\)", drawing.page))
    assert {"ink", "muted", "line", "accent", "page"} <= used <= set(COLOURS)
    for name in COLOURS:
        assert f"--{name}:#" in style.replace(dark, "")
        assert f"--{name}:#" in dark
    assert len(set(COLOURS.values())) == len(COLOURS)
    assert "#000000" not in COLOURS.values()


def test_matplotlib_settings_neither_reach_the_figures_nor_change(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "text")
    found = corpora(tmp_path / "runs")
    plain = drawings_of(found)
    with matplotlib.rc_context(
        {"font.size": 40, "axes.grid": True, "svg.fonttype": "path", "savefig.transparent": True}
    ):
        before = dict(matplotlib.rcParams)
        assert drawings_of(found) == plain
        assert dict(matplotlib.rcParams) == before


def test_one_epoch_is_still_seen(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "text", seeds=(0,))
    (corpus,) = corpora(tmp_path / "runs")
    (run,) = corpus.runs
    (curve,) = run.curves
    first = {name: getattr(curve, name)[:1] for name in ("epochs", "dev_weighted_f1", "train_loss", "dev_loss")}
    short = dataclasses.replace(corpus, runs=(dataclasses.replace(run, curves=(dataclasses.replace(curve, **first),)),))
    assert "<use" not in drawings_of([corpus])["1-losses"].svg
    assert drawings_of([short])["1-losses"].svg.count("<use") == 2


def test_runs_without_curves_have_no_figure_of_them(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "text", history=False)
    assert sorted(drawings_of(corpora(tmp_path / "runs"))) == ["1-confusion-dev", "1-f1-dev"]


def test_standings_share_one_scale(tmp_path: Path) -> None:
    for name, skill in (("low", 0.3), ("high", 0.7)):
        make_run(tmp_path / "runs", name, features=(SENTENCE,), skill=skill)
    (corpus,) = corpora(tmp_path / "runs")
    high, low = (standing(corpus, run) for run in corpus.runs)
    assert high is not None
    assert low is not None
    assert high.rule == low.rule
    assert 0 <= low.low < low.mean < low.high < high.low < high.mean < high.high <= 100
    means = [run.dev.weighted_f1.mean for run in corpus.runs if run.dev]
    deviations = [run.dev.weighted_f1.std or 0.0 for run in corpus.runs if run.dev]
    ratio = (high.high - high.mean) / (high.mean - low.mean)
    assert ratio == pytest.approx(deviations[0] / (means[0] - means[1]), abs=0.01)
