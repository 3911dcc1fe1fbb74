"""Raw turns to emotions: what `Predictor` says is what the batch pipeline says, whatever else is predicted."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from page_checks import findings_of, paths_in
from predict_world import probabilities, rows_of, run_of, talks_of

from features.errors import RunError
from pipeline.cli import erc, run
from pipeline.predict import Predictor
from pipeline.predict.turns import Talk, Turn
from pipeline.runs.folder import Run


def pipeline_means(found: Run, split: str) -> np.ndarray:
    """What `erc evaluate` predicted, averaged over seeds."""
    frames = [probabilities(found.predictions(seed, split), found.labels) for seed in found.finished_seeds()]
    mean: np.ndarray = np.stack(frames).mean(axis=0, dtype=np.float64)
    return mean


@pytest.mark.parametrize("name", ["alone", "causal", "full"])
def test_a_manifest_is_predicted_as_the_pipeline_does_bit_for_bit(world: Path, name: str) -> None:
    found = run_of(world, name)
    with Predictor(found, "cpu") as predictor:
        predicted = predictor.predict_manifest(rows_of(world, "test"), world / "store")
    assert np.array_equal(probabilities(predicted.frame, found.labels), pipeline_means(found, "test"))
    assert predicted.frame["utterance_id"].to_list() == rows_of(world, "test").ids


def test_raw_clips_are_predicted_as_the_pipeline_does_bit_for_bit(world: Path) -> None:
    found = run_of(world, "alone")
    with Predictor(found, "cpu") as predictor:
        predicted = predictor.predict(talks_of(rows_of(world, "test")))
    assert np.array_equal(probabilities(predicted.frame, found.labels), pipeline_means(found, "test"))
    assert predicted.notes == ()


@pytest.mark.parametrize("name", ["causal", "full"])
def test_raw_clips_in_context_are_predicted_as_the_pipeline_does(world: Path, name: str) -> None:
    """Products over a dialogue's turns are summed in another order where other dialogues stand beside it."""
    found = run_of(world, name)
    with Predictor(found, "cpu") as predictor:
        predicted = predictor.predict(talks_of(rows_of(world, "test")))
    assert np.abs(probabilities(predicted.frame, found.labels) - pipeline_means(found, "test")).max() < 1e-5


@pytest.mark.parametrize("name", [pytest.param("alone", marks=pytest.mark.slow), "causal"])
def test_a_talk_turn_by_turn_is_the_whole_talk_bit_for_bit(world: Path, name: str) -> None:
    talk = max(talks_of(rows_of(world, "test")), key=lambda talk: len(talk.turns))
    with Predictor(run_of(world, name), "cpu") as predictor:
        whole = predictor.predict([talk]).frame
        conversation = predictor.conversation("as it goes on")
        parts = [conversation.add(turn).frame for turn in talk.turns]
    assert np.array_equal(
        probabilities(whole, predictor.labels),
        np.concatenate([probabilities(part, predictor.labels) for part in parts]),
    )


def test_what_is_said_of_a_talk_does_not_depend_on_other_talks(world: Path) -> None:
    talks = [*talks_of(rows_of(world, "dev")), *talks_of(rows_of(world, "test"))]
    with Predictor(run_of(world, "alone"), "cpu") as predictor:
        together = predictor.predict(talks)
        for talk in (talks[0], talks[-1]):
            alone = predictor.predict([talk])
            same = together.frame.filter(pl.col("dialogue_id") == f"predict/{talk.name}")
            assert np.array_equal(probabilities(alone.frame, predictor.labels), probabilities(same, predictor.labels))


@pytest.mark.slow  # turn by turn is the whole talk, which is tested beside it
def test_later_turns_count_only_where_the_run_is_not_causal(world: Path) -> None:
    talk = max(talks_of(rows_of(world, "test")), key=lambda talk: len(talk.turns))
    shorter = replace(talk, turns=talk.turns[:-1])
    for name, changes in (("causal", False), ("full", True)):
        with Predictor(run_of(world, name), "cpu") as predictor:
            whole, part = (probabilities(predictor.predict([item]).frame, predictor.labels) for item in (talk, shorter))
        assert (np.abs(whole[: len(part)] - part).max() > 1e-6) == changes


def test_what_is_missing_is_masked_and_told(world: Path) -> None:
    talk = talks_of(rows_of(world, "test"))[0]
    first = talk.turns[0]
    with Predictor(run_of(world, "alone"), "cpu") as predictor:
        text, clip, both = (
            predictor.predict([Talk("t", (turn,))], what_if=True)
            for turn in (replace(first, clip=None), replace(first, text=""), first)
        )
    assert text.frame["missing"].to_list() == [["audio", "visual"]]
    assert clip.frame["missing"].to_list() == [["text"]]
    assert both.frame["missing"].to_list() == [[]]
    assert np.array_equal(both.without["text"], clip.probabilities)
    assert not np.array_equal(both.without["audio"], both.probabilities)
    assert set(both.without) == {"text", "audio", "visual"}


def test_a_clip_that_cannot_be_read_is_told_and_the_rest_is_predicted(world: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip")
    with Predictor(run_of(world, "alone"), "cpu") as predictor:
        predicted = predictor.predict([Talk("t", (Turn("A", "Hello.", broken), Turn("B", "Yes.")))])
    assert predicted.frame["missing"].to_list() == [["audio", "visual"], ["audio", "visual"]]
    assert {note[0] for note in predicted.notes} == {"predict/t_utt0"}
    assert {note[2] for note in predicted.notes} == {"undecodable"}


def test_a_part_of_a_recording_is_what_that_clip_is(world: Path) -> None:
    """Turns with start and end are cuts of one file."""
    turn = next(turn for talk in talks_of(rows_of(world, "test")) for turn in talk.turns if turn.clip)
    with Predictor(run_of(world, "alone"), "cpu") as predictor:
        cut = predictor.predict([Talk("a", (replace(turn, start=0.0, end=0.5), replace(turn, start=0.5, end=1.0)))])
    assert cut.frame["start"].to_list() == [0.0, 0.5]
    first, second = probabilities(cut.frame, predictor.labels)
    assert not np.array_equal(first, second)
    assert cut.notes == ()


def test_clips_of_several_folders_are_named_from_one_root(world: Path, tmp_path: Path) -> None:
    """Also in a causal run, where a turn is predicted before the next one's folder is known."""
    clip = next(turn.clip for talk in talks_of(rows_of(world, "test")) for turn in talk.turns if turn.clip)
    turns = []
    for folder in ("one", "two/deep"):
        place = tmp_path / folder / "clip.mp4"
        place.parent.mkdir(parents=True)
        place.write_bytes(clip.read_bytes())
        turns.append(Turn("A", "Hello.", place))
    with Predictor(run_of(world, "causal"), "cpu") as predictor:
        predicted = predictor.predict([Talk("t", tuple(turns))])
    assert predicted.root is not None
    assert [predicted.root / media for media in predicted.frame["media"]] == [turn.clip for turn in turns]


def test_another_encoder_than_the_run_s_is_refused_with_what_differs(world: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(run_of(world, "alone").path, copy)
    file = copy / "features.json"
    values = json.loads(file.read_text())
    sound = next(item for item in values["features"] if item["modality"] == "audio")
    sound["settings"]["max_seconds"] = 7.0
    file.write_text(json.dumps(values))
    with Predictor(copy, "cpu") as predictor, pytest.raises(RunError, match="was trained on audio/logmel"):
        predictor.predict([Talk("t", (Turn("A", "Hello."),))])
    sound |= {"encoder": "wav2vec2", "model": "nobody/has-this", "weights": "pretrained", "settings": {}}
    file.write_text(json.dumps(values))
    with Predictor(copy, "cpu") as predictor, pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(RunError, match=r"audio/logmel.* cannot be computed here.*nobody/has-this"):
            predictor.predict([Talk("t", (Turn("A", "Hello."),))])


def test_a_run_without_a_finished_seed_is_refused(world: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(run_of(world, "alone").path, copy, ignore=shutil.ignore_patterns("result.json"))
    with pytest.raises(RunError, match="no seed is finished"):
        Predictor(copy, "cpu")


def test_the_command_prints_writes_and_shows(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk = talks_of(rows_of(world, "test"))[0]
    turns = [
        {"speaker": "<b>A</b>", "text": "<script>alert(1)</script>", "clip": str(talk.turns[0].clip)},
        {"text": "Yes."},
    ]
    (tmp_path / "talk.json").write_text(json.dumps(turns))
    path = str(run_of(world, "alone").path)
    given = ["predict", path, "--dialogue", str(tmp_path / "talk.json"), "--device", "cpu", "--what-if"]
    capsys.readouterr()
    assert (
        run(erc, [*given, "--json", "--out", str(tmp_path / "t.csv"), "--html", str(tmp_path / "t.html")], "erc") == 0
    )
    document = json.loads(capsys.readouterr().out)
    first = document["utterances"][0]
    assert first["predicted"] == max(first["probabilities"], key=first["probabilities"].get)
    assert set(first["without"]) == {"text", "audio", "visual"}
    assert abs(sum(first["calibrated"].values()) - 1) < 1e-9
    assert document["temperature"]["rows"] > 0
    assert pl.read_csv(tmp_path / "t.csv")["missing"].to_list()[1] == "audio+visual"
    page = (tmp_path / "t.html").read_text()
    assert findings_of(page) == []
    assert paths_in(page, tmp_path) == []
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert 'src="data:video/mp4;base64,' in page
    assert ": turn 1</figcaption>" in page, "a clip says whose it is"
    assert ">Missing</th>" in page
    assert ">At</th>" not in page, "no turn has a time"
    for label, chance in first["calibrated"].items():
        assert re.search(
            rf'title="turn 1, {label}: {100 * chance:.0f} %".*?color:var\(--[\w-]+\)">{100 * chance:.0f}</span>', page
        )
    assert run(erc, given, "erc") == 0
    assert "Probabilities are calibrated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one of"),
        (["--text", "Hi.", "--manifest", "m.parquet"], "not --clip or --text and --manifest"),
        (["--video", "a.mp4"], "go together"),
        (["--clip", "no-such.mp4"], "no clip at no-such.mp4"),
        (["--text", "Hi.", "--store", "s"], "--store works only with --manifest"),
        (["--text", "Hi.", "--out", "t.xlsx"], "the ending must be"),
    ],
)
def test_wrong_usage_is_told(world: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(erc, ["predict", str(run_of(world, "alone").path), *arguments], "erc") == 2
    assert said in capsys.readouterr().err


def test_a_folder_of_runs_is_told_from_a_run(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(erc, ["predict", str(world / "runs"), "--text", "Hi."], "erc") == 2
    assert "holds 3 runs: give one of them" in capsys.readouterr().err


def test_folders_of_outputs_are_made_before_the_work(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["predict", str(run_of(world, "alone").path), "--text", "Hi.", "--device", "cpu"]
    new = tmp_path / "new"
    assert run(erc, [*given, "--out", str(new / "t.csv"), "--html", str(new / "pages" / "t.html")], "erc") == 0
    assert {path.name for path in new.rglob("*.*")} == {"t.csv", "t.html"}
    monkeypatch.setattr(Predictor, "predict", lambda *_, **__: pytest.fail("it encodes"))
    capsys.readouterr()
    assert run(erc, [*given, "--html", str(new / "t.csv" / "t.html")], "erc") == 2
    assert "its folder cannot be made (" in capsys.readouterr().err
