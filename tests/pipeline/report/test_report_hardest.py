"""The hardest utterances: ranked by gold's probability, with texts where the manifest is the one trained on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from run_factory import write_json
from talk_factory import SPEAKERS, TURNS, make_talk, make_talk_run

from features.manifest import read_manifest
from pipeline.report.corpus import corpora_of
from pipeline.report.hardest import Hardest, hardest_of
from pipeline.report.read import read_runs
from pipeline.report.write import write_report

pytestmark = pytest.mark.usefixtures("without_plots")

ATTACKS = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a | b\n*c*", "x" * 1000)


def found(runs: Path, shown: int = 100) -> Hardest:
    (corpus,) = corpora_of(read_runs(runs))
    hardest = hardest_of(corpus, shown)
    assert hardest is not None
    return hardest


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    return make_talk(tmp_path / "talk.parquet", texts=ATTACKS)


@pytest.fixture
def run(tmp_path: Path, talk: Path) -> Path:
    return make_talk_run(tmp_path / "runs", "text", talk, seeds=(0, 1, 2))


def test_the_rank_is_by_the_mean_probability_of_gold(run: Path, talk: Path) -> None:
    hardest = found(run.parent)
    frames = [pl.read_parquet(run / f"seed-{seed}" / "predictions-dev.parquet") for seed in (0, 1, 2)]
    expected = {}
    for rows in zip(*(frame.iter_rows(named=True) for frame in frames), strict=True):
        of_gold = np.mean([float(row[f"p_{row['gold']}"]) for row in rows])
        expected[rows[0]["utterance_id"]] = (of_gold, sum(row["predicted"] == row["gold"] for row in rows))
    assert (hardest.split, hardest.seeds, hardest.labelled) == ("dev", 3, len(expected))
    assert [one.utterance_id for one in hardest.utterances] == sorted(expected, key=lambda key: expected[key][0])
    for one in hardest.utterances:
        assert one.of_gold == pytest.approx(expected[one.utterance_id][0], abs=1e-9)
        assert one.seeds_right == expected[one.utterance_id][1]
        assert one.predicted == max(one.probabilities, key=lambda label: one.probabilities[label])
        assert sum(one.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert [one.utterance_id for one in found(run.parent, 7).utterances] == [
        one.utterance_id for one in hardest.utterances[:7]
    ]


def test_an_utterance_stands_with_the_two_turns_before_it_of_its_own_dialogue(run: Path, talk: Path) -> None:
    rows = {row["utterance_id"]: row for row in read_manifest(talk).frame.iter_rows(named=True)}
    seen = set()
    for one in found(run.parent).utterances:
        row = rows[one.utterance_id]
        assert one.turn is not None
        assert one.turn.speaker == row["speaker"]
        assert one.turn.text[:400] == " ".join(row["text"].split())[:400]
        assert len(one.turn.text) <= 401
        dialogue, turn = row["dialogue_id"], row["turn"]
        before = [rows[f"{dialogue}_utt{place}"] for place in range(max(0, turn - 2), turn)]
        assert [other.speaker for other in one.before] == [other["speaker"] for other in before]
        assert [other.text[:9] for other in one.before] == [" ".join(other["text"].split())[:9] for other in before]
        seen.add(len(one.before))
    assert seen == {0, 1, 2}


def test_test_comes_first_where_the_selected_run_was_scored_there(tmp_path: Path, talk: Path) -> None:
    make_talk_run(tmp_path / "runs", "text", talk, splits=("dev", "test"))
    assert found(tmp_path / "runs").split == "test"


def test_unlabelled_utterances_are_left_out(run: Path) -> None:
    for file in run.glob("seed-*/predictions-dev.parquet"):
        frame = pl.read_parquet(file)
        hidden = pl.when(pl.int_range(pl.len()) < 4).then(None).otherwise(pl.col("gold"))
        frame.with_columns(gold=hidden).write_parquet(file)
    hardest = found(run.parent)
    assert hardest.labelled == 8 * TURNS - 4
    assert not {f"meld/dev/dia0_utt{turn}" for turn in range(4)} & {one.utterance_id for one in hardest.utterances}


def test_without_the_very_manifest_there_are_no_texts(run: Path, talk: Path, tmp_path: Path) -> None:
    content = talk.read_bytes()
    talk.write_bytes(content + b" ")
    assert found(run.parent).no_texts == (
        f"The manifest {talk} has changed since the run was trained, so the texts are not shown."
    )
    talk.unlink()
    hardest = found(run.parent)
    assert hardest.no_texts == f"The manifest {talk} is not there, so the texts are not shown."
    assert len(hardest.utterances) == 8 * TURNS
    assert all(one.turn is None for one in hardest.utterances)
    record = json.loads((run / "features.json").read_text())
    record["manifest"]["sha256"] = None
    write_json(run / "features.json", record)
    assert found(run.parent).no_texts == "features.json names no manifest file, so the texts are not shown."
    write_report(run.parent, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "features.json names no manifest file" in page
    assert "meld/dev/dia0_utt0" in page


def test_predictions_that_cannot_be_ranked_say_why(run: Path, tmp_path: Path) -> None:
    file = run / "seed-1" / "predictions-dev.parquet"
    frame = pl.read_parquet(file)
    damages = {
        "is other": (frame.reverse(), "seed 1 predicts other utterances than seed 0: evaluate again"),
        "no number": (
            frame.with_columns(p_joy=pl.lit(float("nan"))),
            f"{file}: does not hold a probability of each label: run `erc evaluate {run} --split dev`",
        ),
        "no column": (frame.drop("p_joy"), f"{file}: has no column p_joy: run `erc evaluate {run} --split dev`"),
        "another label": (
            frame.with_columns(predicted=pl.lit("bliss")),
            f"{file}: predicted 'bliss' is not one of the labels ",
        ),
    }
    for damaged, problem in damages.values():
        damaged.write_parquet(file)
        hardest = found(run.parent)
        assert problem in (hardest.problem or "")
        assert hardest.utterances == ()
    file.unlink()
    assert f"{file}: is not there: run `erc evaluate {run} --split dev`" in (found(run.parent).problem or "")
    write_report(run.parent, tmp_path / "out")
    for name in ("report.html", "report.md"):
        assert "Not shown: " in (tmp_path / "out" / name).read_text()


@pytest.mark.with_plots
def test_the_page_shows_texts_as_text_and_is_readable_without_script(run: Path, tmp_path: Path) -> None:
    write_report(run.parent, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    (section,) = re.findall(r'<ol class="hard".*?</ol>', page, flags=re.DOTALL)
    assert section.count("<li ") == 8 * TURNS
    assert "hidden" not in section
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in section
    assert "&gt;&lt;img src=x onerror=alert(1)&gt;" in section
    assert "<img" not in page
    assert page.count("<script") == 1
    (bar,) = re.findall(r'<div class="filters".*?</div>', page, flags=re.DOTALL)
    assert bar.partition(">")[0].endswith(" hidden")
    assert set(re.findall(r'<option value="([^"]+)">', bar)) > set(SPEAKERS)


def test_the_markdown_lists_ten(run: Path, tmp_path: Path) -> None:
    write_report(run.parent, tmp_path / "out")
    block = (tmp_path / "out" / "report.md").read_text().partition("## Hardest utterances of dev\n\n")[2]
    lines = block.partition("\n\n")[0].splitlines()
    assert len(lines) == 2 + 10
    first = found(run.parent).utterances[0]
    assert first.turn is not None
    assert lines[2].startswith(f"| {first.turn.speaker} | ")
    assert f"| {first.gold} | {first.predicted} | {100 * first.of_gold:.1f} |" in lines[2]
