"""What figures and tables of a report must not mislead about: few utterances, nameless lines, rings on one another."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from prediction_factory import add_predictions
from run_factory import LOGMEL, MELD_LABELS, SENTENCE, add_suite, make_run, write_json
from test_report_page import read_page

from pipeline.pages.drawing import COLOURS, Drawing
from pipeline.pages.end_labels import elided, spread
from pipeline.report.corpus import Corpus, corpora_of
from pipeline.report.curves import standing_out
from pipeline.report.figures import drawings_of, stacked
from pipeline.report.read import read_runs
from pipeline.report.reliability_figure import strength
from pipeline.report.scale import scale_of, scale_text, standing
from pipeline.report.write import write_report

SVG = "{http://www.w3.org/2000/svg}"


def corpus_of(runs: Path) -> Corpus:
    (corpus,) = corpora_of(read_runs(runs))
    return corpus


def texts(drawing: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(drawing).iter() if element.tag.endswith("text")]


def groups(drawing: Drawing) -> dict[str, list[ElementTree.Element]]:
    """Tooltip -> what it is of."""
    found: dict[str, list[ElementTree.Element]] = {}
    for group in ElementTree.fromstring(drawing.svg).iter(f"{SVG}g"):
        title = group.findtext(f"{SVG}title")
        if title:
            found.setdefault(title, []).append(group)
    return found


def change(path: Path, **values: Any) -> None:
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | values)


class TestReliability:
    @pytest.fixture
    def drawing(self, tmp_path: Path) -> Drawing:
        run = make_run(tmp_path, "text")
        counts = {3: 3, 7: 90, 11: 1500, 13: 12345}
        bins = [
            {"lower": place / 15, "upper": (place + 1) / 15, "count": count}
            | {"confidence": (place + 0.5) / 15, "accuracy": 0.6}
            for place, count in counts.items()
        ]
        change(run / "metrics-dev.json", reliability=bins)
        return drawings_of([corpus_of(tmp_path)])["1-reliability-dev"]

    def test_a_bin_of_one_utterance_is_paler_than_one_of_many(self, drawing: Drawing) -> None:
        opacity = {}
        for title, found in groups(drawing).items():
            if title.startswith("confidence"):
                style = " ".join(path.get("style", "") for path in found[0].iter(f"{SVG}path"))
                opacity[int(re.search(r"([\d,]+) predictions", title)[1].replace(",", ""))] = float(  # type: ignore[index]
                    re.search(r"opacity: ([\d.]+)", style)[1]  # type: ignore[index]
                )
        assert sorted(opacity) == [3, 90, 1500, 12345]
        assert opacity[3] < opacity[90] < opacity[1500] == opacity[12345]
        assert opacity[3] <= 0.1, "one utterance of each of three seeds"

    def test_its_count_is_printed(self, drawing: Drawing) -> None:
        assert {"3", "90", "1500", "12.3k"} <= set(texts(drawing.svg))
        assert {"3", "90", "1500", "12.3k"} <= set(texts(drawing.page))

    def test_strength_follows_the_number_of_utterances(self) -> None:
        assert 0 < strength(0.3) == strength(0.1) < strength(10) < strength(40) < strength(100) == strength(10_000) < 1


class TestSlices:
    def test_few_utterances_have_no_score_but_a_reason(self, tmp_path: Path) -> None:
        for name, skill in (("best", 0.7), ("base", 0.4)):
            run = make_run(tmp_path / "runs", name)
            add_predictions(run, skill=skill)
            known = json.loads((run / "metrics-dev.json").read_text())
            score = {"mean": 1 / 3, "std": 0.577, "values": [1, 0, 0]}
            few = [
                {"group": "duration", "name": f"of {number}", "utterances": number}
                | {"weighted_f1": score, "accuracy": score}
                for number in (1, 9, 10)
            ]
            change(run / "metrics-dev.json", slices=[*known["slices"], *few])
        add_suite(tmp_path / "runs", [], baseline="base")
        write_report(tmp_path / "runs", tmp_path / "out")
        page = {row[0]: row for row in read_page(tmp_path / "out").rows if row and row[0].startswith("of ")}
        for name in ("of 1", "of 9"):
            assert page[name][2].startswith("– ")
            assert "fewer than 10 utterances" in page[name][2]
            assert set(page[name][3:]) == {"–"}
        assert page["of 10"][2] == "33.3 ± 57.7"
        lines = (tmp_path / "out" / "report.md").read_text().splitlines()
        markdown = {number: next(line for line in lines if f"| of {number} |" in line) for number in (1, 9, 10)}
        assert "33.3" in markdown[10]
        for number in (1, 9):
            assert "33.3" not in markdown[number]
            assert "– (fewer than 10 utterances)" in markdown[number]


class TestCurves:
    @pytest.fixture
    def corpus(self, tmp_path: Path) -> Corpus:
        """Ten runs; the higher the number, the higher the curve."""
        for number in range(10):
            run = make_run(tmp_path / "runs", f"run-{number}", skill=0.1 * number, seeds=(0, 1))
            for file in run.glob("seed-*/history.parquet"):
                history = pl.read_parquet(file).with_columns(
                    dev_weighted_f1=pl.lit(0.05 + 0.09 * number), dev_loss=pl.lit(2.0 - 0.1 * number)
                )
                history.write_parquet(file)
        add_suite(tmp_path / "runs", [], baseline="run-4")
        return corpus_of(tmp_path / "runs")

    def test_the_lines_that_stand_out_have_their_names(self, corpus: Corpus) -> None:
        drawings = drawings_of([corpus])
        named = {"run-9", "run-8", "run-7", "run-6", "run-4", "run-0"}
        for key in ("1-learning-curves", "1-dev-losses"):
            for form in (drawings[key].svg, drawings[key].page):
                shown = {text.removesuffix(" (higher)") for text in texts(form) if text.startswith("run-")}
                assert shown == named

    def test_a_named_line_is_darker_than_the_others(self, corpus: Corpus) -> None:
        found = groups(drawings_of([corpus])["1-learning-curves"])
        styles = {
            title: " ".join(path.get("style", "") for group in parts for path in group.iter(f"{SVG}path"))
            for title, parts in found.items()
        }
        assert COLOURS["muted"] in styles["run-8, mean of 2 seeds"]
        assert COLOURS["faint"] in styles["run-3, mean of 2 seeds"]

    def test_losses_stand_out_at_their_lowest(self, corpus: Corpus) -> None:
        lines = [(run, ((1, 2), (1.0, 0.5 + place))) for place, run in enumerate(corpus.runs)]
        found = standing_out(corpus, lines, percent=False)
        expected = {corpus.runs[place].experiment for place in (1, 2, 3, 9)} | {"run-4"}
        assert {run.experiment for run in found} == expected

    def test_names_do_not_touch_and_lose_their_middles(self) -> None:
        places = spread([5.0, 5.0, 6.0, 100.0], 12, 100)
        assert all(two - one >= 12 for one, two in pairwise(places))
        assert places[0] >= 0
        assert places[-1] == 100
        assert spread([95.0, 99.0], 12, 100) == [88.0, 100.0]
        long = "text-audio-visual-dialogues", "text-audio-visual-dialogue-rnn"
        assert len({elided(name, 20) for name in long}) == 2
        assert all(len(elided(name, 20)) == 20 for name in long)


class TestFiles:
    def test_files_have_titles_labels_and_keys_and_the_page_has_its_own(self, tmp_path: Path) -> None:
        make_run(tmp_path / "runs", "text", skill=0.6)
        make_run(tmp_path / "runs", "audio", features=(LOGMEL,), skill=0.3)
        drawings = drawings_of([corpus_of(tmp_path / "runs")])
        keys = {
            "1-learning-curves": ("selected model, one line a seed", "epoch", "weighted F1, percent"),
            "1-losses": ("train", "epoch", "loss"),
            "1-f1-dev": ("a seed", "F1, percent", "F1, percent"),
            "1-confusion-dev": ("predicted", "predicted", "gold"),
            "1-reliability-dev": ("calibrated", "right, percent", "predictions"),
        }
        for key, (mark, *labels) in keys.items():
            drawing = drawings[key]
            in_file, in_page = texts(drawing.svg), texts(drawing.page)
            assert drawing.title in " ".join(in_file)
            assert drawing.title not in " ".join(in_page)
            assert {mark, *labels} <= set(in_file)
            assert set(labels) <= set(in_page)
            assert (mark in in_page) == (mark in labels)

    def test_the_page_shows_no_room_where_title_and_keys_are(self, tmp_path: Path) -> None:
        make_run(tmp_path / "runs", "text")
        for drawing in drawings_of([corpus_of(tmp_path / "runs")]).values():
            page, file = (ElementTree.fromstring(text) for text in (drawing.page, drawing.svg))
            heights = [float(root.get("viewBox", "").split()[3]) for root in (page, file)]
            assert heights[0] <= heights[1] - 15
            assert float(page.get("height", 0)) == pytest.approx(heights[0], abs=0.1)


class TestRings:
    def test_rings_that_would_lie_on_another_are_moved_and_keep_their_values(self) -> None:
        assert stacked([40.0, 60.0, 80.0]) == [0, 0, 0]
        moved = stacked([70.0] * 6)
        assert len(set(moved)) == 6
        assert max(map(abs, moved)) < 0.5, "they stay in their row"
        assert stacked([70.0, 70.5, 90.0])[2] == 0

    def test_ten_equal_seeds_are_seen(self, tmp_path: Path) -> None:
        run = make_run(tmp_path, "text", seeds=range(6))
        known = json.loads((run / "metrics-dev.json").read_text())
        joy = known["per_class_f1"]["joy"] | {"values": [0.5] * 6, "mean": 0.5, "std": 0.0}
        known["per_class_f1"]["joy"] = joy
        known["per_class"]["joy"]["f1"] = joy
        write_json(run / "metrics-dev.json", known)
        root = ElementTree.fromstring(drawings_of([corpus_of(tmp_path)])["1-f1-dev"].svg)
        places = [(use.get("x"), use.get("y")) for use in root.iter(f"{SVG}use")]
        at_half = [y for x, y in places if [other for other, _ in places].count(x) >= 6]
        assert len(set(at_half)) == 6


class TestScale:
    def test_a_run_far_below_does_not_press_the_others_together(self, tmp_path: Path) -> None:
        for number in range(10):
            make_run(tmp_path, f"run-{number}", skill=0.6 + 0.004 * number)
        make_run(tmp_path, "lost", features=(SENTENCE,), collapse=(0, 1, 2))
        corpus = corpus_of(tmp_path)
        near = [standing(corpus, run) for run in corpus.runs if run.experiment != "lost"]
        places = [one.mean for one in near if one]
        assert max(places) - min(places) > 20
        assert len(set(places)) > 7
        lost = next(run for run in corpus.runs if run.experiment == "lost")
        found = standing(corpus, lost)
        assert found is not None
        assert found.off
        assert not any(one.off for one in near if one)
        bottom, top = scale_of(corpus)
        assert f"from {100 * bottom:.0f} to {100 * top:.0f} percent" in scale_text(corpus)
        assert "◂: below it" in scale_text(corpus)
        values = {run.experiment: run.dev.headline_score.mean for run in corpus.runs if run.dev}
        for run in corpus.runs:
            one = standing(corpus, run)
            if one and not one.off:
                assert bottom + one.mean / 100 * (top - bottom) == pytest.approx(values[run.experiment], abs=1e-3)


def test_confusion_counts_stand_in_the_cells(tmp_path: Path) -> None:
    run = make_run(tmp_path, "text")
    known = json.loads((run / "metrics-dev.json").read_text())
    drawing = drawings_of([corpus_of(tmp_path)])["1-confusion-dev"]
    for form in (drawing.svg, drawing.page):
        shown = texts(form)
        for row in known["confusion"]:
            for number in row:
                assert f"{number:,}" in shown
    total = sum(map(sum, known["confusion"]))
    printed = [text for text in texts(drawing.page) if re.fullmatch(r"[\d,]+", text)]
    assert len(printed) == 2 * len(MELD_LABELS) ** 2
    assert total == 3 * sum(known["support"].values())


def test_questions_without_an_answer_are_folded_away_with_their_count(tmp_path: Path) -> None:
    for name, skill in (("best", 0.7), ("base", 0.4)):
        add_predictions(make_run(tmp_path / "runs", name), skill=skill)
    asked = [
        ("Does it help?", "best", "base"),
        *((f"Is {number} there?", "best", f"no-{number}") for number in range(30)),
    ]
    add_suite(tmp_path / "runs", asked)
    write_report(tmp_path / "runs", tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text()
    before, _, folded = html.partition("<details><summary>30 questions without an answer</summary>")
    assert "Does it help?" in before
    assert "Is 7 there?" not in before
    assert "Is 7 there?" in folded.partition("</details>")[0]
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert "<details><summary>30 questions without an answer</summary>" in markdown
    row = next(row for row in read_page(tmp_path / "out").rows if row[0] == "Does it help?")
    assert re.fullmatch(r"best is higher by \d+\.\d points", row[1])


class TestProvenance:
    def rows(self, tmp_path: Path) -> dict[str, str]:
        write_report(tmp_path / "runs", tmp_path / "out")
        lines = (tmp_path / "out" / "report.md").read_text().splitlines()
        cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
        return {row[0]: row[1] for row in cells if len(row) == 2}

    def test_old_runs_show_a_dash(self, tmp_path: Path) -> None:
        make_run(tmp_path / "runs", "text")
        rows = self.rows(tmp_path)
        assert rows["torch"] == "2.14.1"
        for name in ("transformers", "commit", "processor", "features extracted with"):
            assert rows[name] == "–"
        assert rows["device, precision"] == "cpu, fp32"
        page = read_page(tmp_path / "out").text
        assert all(name in page for name in ("transformers", "commit", "processor", "numpy"))

    def test_what_runs_recorded_is_told(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "runs", "text")
        record = json.loads((run / "features.json").read_text())
        write_json(run / "features.json", record | {"versions": record["versions"] | {"transformers": "5.1.0"}})
        for file in run.glob("seed-*/result.json"):
            change(file, commit="ab" * 20, processor="A Processor 9000")
        rows = self.rows(tmp_path)
        assert (rows["transformers"], rows["numpy"]) == ("5.1.0", "2.5.0")
        assert (rows["commit"], rows["processor"]) == ("ab" * 20, "A Processor 9000")


def test_a_seed_records_commit_and_processor() -> None:
    from pipeline.suites.made_by import processor_of, source_commit

    assert processor_of("cpu")
    commit = source_commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}( and changes)?", commit)


def test_the_commit_of_another_projects_clone_is_not_ours(tmp_path: Path) -> None:
    from pipeline.suites.made_by import source_commit

    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    assert source_commit(tmp_path) is None
