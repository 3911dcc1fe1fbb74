"""The figures: literal text, the page's colours, a name for screen readers, the same whatever matplotlib is set to."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import polars as pl
import pytest
from run_factory import SENTENCE, add_suite, make_run, write_json
from talk_factory import make_talk, make_talk_run

from pipeline.pages.drawing import COLOURS, Drawing
from pipeline.report.corpus import Corpus, corpora_of
from pipeline.report.curves import mean_curve, with_other_loss
from pipeline.report.figures import drawings_of
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
    assert sorted(drawings_of(corpora(tmp_path / "runs"))) == [
        "1-architecture",
        "1-confusion-dev",
        "1-f1-dev",
        "1-reliability-dev",
    ]


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


def test_other_runs_have_one_line_each_and_the_selected_one_a_line_a_seed(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "best", skill=0.8, seeds=(3, 5))
    make_run(tmp_path / "runs", "other", skill=0.3, seeds=(0, 1))
    make_run(tmp_path / "runs", "dice", skill=0.2, seeds=(0,), config={"loss": [{"name": "dice", "weight": 1}]})
    found = corpora(tmp_path / "runs")
    drawn = drawings_of(found)
    names = ["best, seed 3", "best, seed 5", "dice, seed 0", "other, mean of 2 seeds"]
    for key in ("1-learning-curves", "1-dev-losses", "1-train-losses"):
        assert sorted(hints_of(drawn[key])) == names
        lines = {title: line.get("style", "") for title, line in hinted_paths(drawn[key])}
        dashed = [title for title, style in lines.items() if "stroke-dasharray" in style]
        assert dashed == ([] if key == "1-learning-curves" else ["dice, seed 0"])
        assert [title for title, style in lines.items() if COLOURS["accent"] in style] == names[:2]
    assert with_other_loss(found[0]) == [run for run in found[0].runs if run.experiment == "dice"]


def test_a_mean_curve_ends_where_the_first_seed_does() -> None:
    lines = [((1, 2, 3), (0.1, 0.2, 0.9)), ((1, 2), (0.3, 0.6)), ((1, 2, 3, 4), (0.2, 0.1, 0.5, 0.5))]
    epochs, values = mean_curve(lines)
    assert epochs == [1, 2]
    assert values == pytest.approx([0.2, 0.3])


def test_losses_that_would_press_the_selected_ones_flat_are_cut_and_said_to_be(tmp_path: Path) -> None:
    for name, skill in (("best", 0.8), ("wild", 0.3)):
        make_run(tmp_path / "runs", name, skill=skill, seeds=(0,))
    (file,) = (tmp_path / "runs").glob("wild-*/seed-0/history.parquet")
    quiet = drawings_of(corpora(tmp_path / "runs"))["1-train-losses"]
    frame = pl.read_parquet(file)
    frame.with_columns(train_loss=pl.col("train_loss") * 50).write_parquet(file)
    cut = drawings_of(corpora(tmp_path / "runs"))["1-train-losses"]
    assert ["some lines go higher" in drawing.svg for drawing in (quiet, cut)] == [False, True]


def test_the_reliability_diagram_is_of_the_bins(tmp_path: Path) -> None:
    talk = make_talk(tmp_path / "talk.parquet", dialogues=20)
    folder = make_talk_run(tmp_path / "runs", "text", talk, skill=0.5)
    metrics = json.loads((folder / "metrics-dev.json").read_text())
    expected = [
        f"confidence {100 * one['lower']:.0f} to {100 * one['upper']:.0f}: {one['count']} prediction"
        f"{'s' if one['count'] > 1 else ''}, mean confidence {100 * one['confidence']:.1f}, right "
        f"{100 * one['accuracy']:.1f}"
        for one in metrics["reliability"]
        if one["count"]
    ]
    drawing = drawings_of(corpora(tmp_path / "runs"))["1-reliability-dev"]
    titles = [title for title in hints_of(drawing) if title.startswith("confidence")]
    assert len(expected) > 5
    assert sorted(titles) == sorted(expected * 3)  # the bar, its gap to the diagonal, its share
    write_report(tmp_path / "runs", tmp_path / "out")
    error, likelihood = metrics["calibration_error"], metrics["negative_log_likelihood"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"Expected calibration error {100 * error['mean']:.1f} ± {100 * error['std']:.1f} points" in page
    assert f"negative log-likelihood {likelihood['mean']:.2f} ± {likelihood['std']:.2f} nats" in " ".join(page.split())


def test_the_number_of_bins_is_that_of_the_file(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs", "text")
    values = json.loads((folder / "metrics-dev.json").read_text())
    values["reliability"] = values["reliability"][:7]
    write_json(folder / "metrics-dev.json", values)
    assert "7 bins of confidence" in drawings_of(corpora(tmp_path / "runs"))["1-reliability-dev"].svg
    write_report(tmp_path / "runs", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "ECE: expected calibration error, percent, 7 bins. Of both" in page
    assert "points over 7 bins" in page
    assert set(re.findall(r"(\d+) bins", page)) == {"7"}
    del values["reliability"]
    write_json(folder / "metrics-dev.json", values)
    write_report(tmp_path / "runs", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "ECE: expected calibration error, percent. Of both" in page
    assert " bins" not in page


def test_without_bins_there_is_no_reliability_diagram(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs", "text")
    assert "1-reliability-dev" in drawings_of(corpora(tmp_path / "runs"))
    values = json.loads((folder / "metrics-dev.json").read_text())
    write_json(folder / "metrics-dev.json", {key: value for key, value in values.items() if key != "reliability"})
    assert not [key for key in drawings_of(corpora(tmp_path / "runs")) if "reliability" in key]


def test_the_suites_baseline_has_its_confusion_matrix(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "best", skill=0.8, splits=("dev", "test"))
    plain = make_run(tmp_path / "runs", "plain", skill=0.2)
    add_suite(tmp_path / "runs", [])
    assert not [key for key in drawings_of(corpora(tmp_path / "runs")) if "baseline" in key]
    name_baseline(tmp_path / "runs", "plain")
    drawn = drawings_of(corpora(tmp_path / "runs"))
    assert [key for key in drawn if "baseline" in key] == ["1-baseline-confusion-dev"]  # it was not scored on test
    counts = json.loads((plain / "metrics-dev.json").read_text())["confusion"]
    first = f"anger predicted as anger: {counts[0][0]} of {sum(counts[0])}"
    assert first in hints_of(drawn["1-baseline-confusion-dev"])
    assert first not in hints_of(drawn["1-confusion-dev"])
    write_report(tmp_path / "runs", tmp_path / "out")
    assert "of the baseline, <span" in (tmp_path / "out" / "report.html").read_text()


def test_a_baseline_that_is_selected_is_not_drawn_twice(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "best")
    add_suite(tmp_path / "runs", [])
    name_baseline(tmp_path / "runs", "best")
    assert not [key for key in drawings_of(corpora(tmp_path / "runs")) if "baseline" in key]


def name_baseline(runs: Path, experiment: str) -> None:
    suite = json.loads((runs / "suite-fake.json").read_text())
    (runs / "suite-fake.json").write_text(json.dumps(suite | {"baseline": experiment}))


def hints_of(drawing: Drawing) -> list[str]:
    return [title for title, _ in hinted_paths(drawing)]


def hinted_paths(drawing: Drawing) -> list[tuple[str, ElementTree.Element]]:
    """(tooltip, what is drawn with it), without the picture's own title."""
    found = []
    for group in ElementTree.fromstring(drawing.svg).iter():
        title = group.find("{*}title")
        if group.tag.endswith("}g") and title is not None and group.find("{*}path") is not None:
            found.append((title.text or "", group.find("{*}path")))
    return found  # type: ignore[return-value]
