"""The generated sample corpus: MELD's layout, the same for a seed, a signal in every modality, safe to interrupt."""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.digests import sha256_bytes
from features.errors import ErcError, UsageError
from pipeline import cli
from pipeline.sample import corpus
from pipeline.sample.corpus import CLIP_FOLDERS, clip_path, render_clip, write_sample
from pipeline.sample.face import EXPRESSIONS, draw_frames
from pipeline.sample.script import EMOTIONS, SHOWS, SPLITS, Line, generator, write_script
from pipeline.sample.speakers import CAST
from pipeline.sample.text import sentence
from pipeline.sample.voice import MANNERS, SAMPLE_RATE_HZ, plan_prosody, speak

MELD_HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
SIZE = 4


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four dialogues of seed 3."""
    out = tmp_path_factory.mktemp("sample") / "corpus"
    write_sample(out, dialogues=SIZE, seed=3, workers=1)
    return out


@pytest.fixture(scope="module")
def script() -> list[Line]:
    """A long script; nothing is rendered."""
    return write_script(300, seed=1)


def rows(out: Path, split: str) -> list[dict[str, str]]:
    with (out / f"{split}_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))


def all_bytes(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_the_folder_is_laid_out_like_meld(sample: Path) -> None:
    names = set(all_bytes(sample))
    expected = {"SYNTHETIC.md"} | {f"{split}_sent_emo.csv" for split in SPLITS}
    for split, folder in (
        ("train", "train/train_splits"),
        ("dev", "dev/dev_splits_complete"),
        ("test", "test/output_repeated_splits_test"),
    ):
        expected |= {f"{folder}/dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4" for row in rows(sample, split)}
    assert expected - names == set()  # four dialogues have no second one in dev, which would hold the absent clip
    assert names - expected == set()


def test_the_table_is_written_like_melds(sample: Path) -> None:
    for split in SPLITS:
        data = (sample / f"{split}_sent_emo.csv").read_bytes()
        assert data.startswith(MELD_HEADER.encode() + b"\r\n")
        assert data.count(b"\n") == data.count(b"\r\n") == len(rows(sample, split)) + 1
        table = rows(sample, split)
        assert [row["Sr No."] for row in table] == [str(number) for number in range(1, len(table) + 1)]
        assert table[0]["Dialogue_ID"] == table[0]["Utterance_ID"] == "0"  # ids restart in every split
        assert {row["Sentiment"] for row in table if row["Emotion"] == "neutral"} == {"neutral"}
        for row in table:
            assert len(row["StartTime"]) == len("00:00:00,000")
            assert 0.3 < seconds(row["EndTime"]) - seconds(row["StartTime"]) < 6
        for before, after in pairwise(table):
            if before["Dialogue_ID"] == after["Dialogue_ID"]:
                assert seconds(after["StartTime"]) >= seconds(before["EndTime"])
    assert "’" in (sample / "train_sent_emo.csv").read_text(encoding="utf-8")


@pytest.mark.shared_data
def test_the_columns_are_melds(sample: Path, shared_data: Path) -> None:
    with (shared_data / "meld" / "dev_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        meld = next(csv.reader(file))
    assert list(rows(sample, "dev")[0]) == meld


def test_clips_last_as_long_as_annotated(sample: Path) -> None:
    checked = 0
    for split in SPLITS:
        for row in rows(sample, split):
            annotated = seconds(row["EndTime"]) - seconds(row["StartTime"])
            path = sample / CLIP_FOLDERS[split] / f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4"
            with av.open(str(path)) as container:
                for stream in container.streams:
                    assert stream.codec_context.name in {"h264", "aac"}
                if container.streams.video:
                    frames = sum(1 for _ in container.decode(video=0))
                    rate = container.streams.video[0].average_rate
                    assert frames / rate == pytest.approx(annotated, abs=0.002)
                    checked += 1
                container.seek(0)
                if container.streams.audio:
                    heard = list(container.decode(audio=0))
                    assert sum(frame.samples for frame in heard) / SAMPLE_RATE_HZ == pytest.approx(annotated, abs=0.1)
                    end = heard[-1].time + heard[-1].samples / SAMPLE_RATE_HZ
                    assert end == pytest.approx(annotated, abs=0.1)
                    checked += 1
    total = sum(len(rows(sample, split)) for split in SPLITS)
    assert checked == 2 * total - 1  # one clip lacks its sound


def test_blemishes_are_there_and_documented() -> None:
    lines = {(line.split, line.name): line for line in write_script(10, seed=0)}
    notice = corpus._notice(10, 0, list(lines.values()))
    damaged = {key: line.blemish for key, line in lines.items() if line.blemish}
    assert damaged == {
        ("train", "dia1_utt1"): "no-audio",
        ("dev", "dia1_utt1"): "absent",
        ("test", "dia1_utt1"): "no-video",
    }
    for (split, name), blemish in damaged.items():
        assert f"{CLIP_FOLDERS[split]}/{name}.mp4" in notice
        if blemish == "absent":
            continue
        with av.open(io.BytesIO(render_clip(lines[split, name]))) as container:
            assert [stream.type for stream in container.streams] == ["video" if blemish == "no-audio" else "audio"]


def test_the_notice_says_what_it_is(sample: Path) -> None:
    text = (sample / "SYNTHETIC.md").read_text(encoding="utf-8")
    assert "erc sample --dialogues 4 --seed 3" in text
    assert "scores on it say nothing about emotion recognition" in text


def test_same_seed_same_bytes_whatever_the_workers(sample: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "again", dialogues=SIZE, seed=3, workers=2)
    assert all_bytes(tmp_path / "again") == all_bytes(sample)


def test_another_seed_is_another_corpus() -> None:
    first, second = (write_script(3, seed) for seed in (0, 1))
    assert [line.text for line in first] != [line.text for line in second]
    line, other = (next(line for line in lines if line.blemish is None) for lines in (first, second))
    assert render_clip(line) != render_clip(other)


@given(seed=st.integers(0, 2**40), small=st.integers(3, 12), more=st.integers(1, 12))
@settings(max_examples=8, deadline=None)
def test_a_larger_corpus_begins_with_the_smaller(seed: int, small: int, more: int) -> None:
    for split in SPLITS:
        few = [line for line in write_script(small, seed) if line.split == split]
        many = [line for line in write_script(small + more, seed) if line.split == split]
        assert few == many[: len(few)]


@given(seed=st.integers(0, 2**40))
@settings(max_examples=15, deadline=None)
def test_every_split_has_every_emotion(seed: int) -> None:
    lines = write_script(corpus.MIN_DIALOGUES, seed)
    for split in SPLITS:
        assert {line.emotion for line in lines if line.split == split} == set(EMOTIONS)


def test_turns_draw_from_sources_of_their_own() -> None:
    keys = [("train", 0, -1, 0), ("train", 0, 0, 0), ("train", 0, 0, 1), ("train", 1, 0, 0), ("dev", 0, 0, 0)]
    draws = {generator(5, *key).integers(2**60) for key in keys}
    assert len(draws) == len(keys)


def test_classes_are_unbalanced_like_melds(script: list[Line]) -> None:
    share = {emotion: count / len(script) for emotion, count in Counter(line.emotion for line in script).items()}
    assert 0.40 < share["neutral"] < 0.55
    assert share["joy"] > share["sadness"] > share["disgust"]
    assert min(share.values()) > 0.02
    assert {line.speaker for line in script} == {speaker.name for speaker in CAST}


def test_the_past_tells_of_the_present(script: list[Line]) -> None:
    share = {emotion: count / len(script) for emotion, count in Counter(line.emotion for line in script).items()}
    by_chance = sum(value**2 for value in share.values())
    answered, kept = [], []
    last: dict[tuple[str, int, str], str] = {}
    for before, line in pairwise(script):
        last[before.split, before.dialogue, before.speaker] = before.emotion
        own = last.get((line.split, line.dialogue, line.speaker))
        if (before.split, before.dialogue) == (line.split, line.dialogue) and before.speaker != line.speaker:
            answered.append(before.emotion == line.emotion)
            if own is not None:
                kept.append(own == line.emotion)
    assert np.mean(answered) > by_chance + 0.08
    assert np.mean(kept) > by_chance + 0.18


def test_modalities_err_independently_so_that_fusing_helps(script: list[Line]) -> None:
    loud = [line for line in script if line.emotion != "neutral"]
    right = {name: np.array([line.shown[name] == line.emotion for line in loud]) for name in SHOWS}
    for name, (chance, _) in SHOWS.items():
        assert right[name].mean() == pytest.approx(chance, abs=0.04)
    correlation = np.corrcoef(np.array(list(right.values()), float))
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 0.08
    majority = [Counter(line.shown.values()).most_common(1)[0] for line in loud]
    agreed = np.mean([name == line.emotion for (name, votes), line in zip(majority, loud, strict=True) if votes > 1])
    assert agreed > max(values.mean() for values in right.values()) + 0.05


def test_words_are_shared_between_emotions_but_not_evenly() -> None:
    rng = np.random.default_rng(0)
    words = {
        emotion: Counter(w for _ in range(300) for w in sentence(emotion, "the letter", "Bo", rng).lower().split())
        for emotion in EMOTIONS
    }
    for emotion in EMOTIONS:
        others = set().union(*(words[other] for other in EMOTIONS if other != emotion))
        shared = sum(count for word, count in words[emotion].items() if word in others) / words[emotion].total()
        assert 0.4 < shared < 0.97, emotion


def test_pitch_pace_and_loudness_differ_between_emotions() -> None:
    pitch, length, loudness = ({emotion: [] for emotion in MANNERS} for _ in range(3))
    for emotion in MANNERS:
        for number, speaker in enumerate(CAST):
            rng = np.random.default_rng(number)
            prosody = plan_prosody("I was thinking about the letter.", emotion, rng)
            samples = speak(prosody, speaker, int(prosody.seconds * SAMPLE_RATE_HZ), rng)
            assert samples.dtype == np.float32
            assert np.abs(samples).max() <= 1
            pitch[emotion].append(_pitch_hz(samples) / speaker.pitch_hz)
            length[emotion].append(prosody.seconds)
            loudness[emotion].append(np.sqrt(np.mean(samples**2)))
    pitch, length, loudness = (
        {emotion: np.median(values) for emotion, values in figures.items()} for figures in (pitch, length, loudness)
    )
    assert pitch["joy"] > 1.1 * pitch["neutral"] > 1.15 * pitch["sadness"]
    assert pitch["fear"] > 1.2 * pitch["neutral"]
    assert length["sadness"] > 1.15 * length["neutral"] > 1.25 * length["anger"]
    assert loudness["anger"] > 1.5 * loudness["neutral"] > 1.5 * 1.5 * loudness["sadness"]


def _pitch_hz(samples: np.ndarray) -> float:
    """Median over windows of the lag with the highest autocorrelation between 60 and 500 Hz."""
    lags = []
    for start in range(0, len(samples) - 1024, 512):
        window = samples[start : start + 1024]
        if np.sqrt(np.mean(window**2)) < 0.3 * np.sqrt(np.mean(samples**2)):
            continue
        spectrum = np.abs(np.fft.rfft(window * np.hanning(1024), 4096)) ** 2
        correlation = np.fft.irfft(spectrum)[: SAMPLE_RATE_HZ // 60]
        low = SAMPLE_RATE_HZ // 500
        lags.append(low + int(correlation[low:].argmax()))
    return SAMPLE_RATE_HZ / float(np.median(lags))


def test_expressions_can_be_told_apart() -> None:
    speaker, silent = CAST[1], np.zeros(2)
    drawn = {
        emotion: np.array(
            [
                draw_frames(speaker, emotion, silent, 0, np.random.default_rng(100 * number + index))[1].ravel()
                for index in range(8)
            ],
            float,
        )
        for number, emotion in enumerate(EXPRESSIONS)
    }
    names = list(drawn)
    right = 0
    for emotion, images in drawn.items():
        for index, image in enumerate(images):
            centres = [(np.delete(drawn[name], index, 0) if name == emotion else drawn[name]).mean(0) for name in names]
            right += names[int(np.argmin([np.sum((image - centre) ** 2) for centre in centres]))] == emotion
    assert right / (8 * len(names)) > 0.35  # chance is 1 in 7; whole pictures hold light and motion too


def test_speech_moves_the_lips() -> None:
    open_, shut = (draw_frames(CAST[1], "neutral", np.full(2, value), 0, np.random.default_rng(0)) for value in (1, 0))
    assert open_.shape == shut.shape == (2, 240, 320, 3)
    assert open_.dtype == np.uint8
    changed = np.abs(open_[1].astype(int) - shut[1]).max(axis=2) > 40
    assert changed[140:200].sum() > 100


def test_a_run_that_stopped_is_completed_and_keeps_what_it_had(sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    shutil.copytree(sample, out)
    clips = sorted((out / CLIP_FOLDERS["train"]).iterdir())
    lost, empty, kept = clips[0], clips[1], clips[2]
    lost.unlink()
    empty.write_bytes(b"")
    (out / "test_sent_emo.csv").unlink()
    (out / CLIP_FOLDERS["train"] / ".dia0_utt0.mp4.99.tmp").write_bytes(b"half")
    before = kept.stat().st_mtime_ns
    summary = write_sample(out, dialogues=SIZE, seed=3, workers=1)
    assert (summary.clips_written, kept.stat().st_mtime_ns) == (2, before)
    assert summary.clips_kept == sum(summary.utterances.values()) - 2
    assert all_bytes(out) == all_bytes(sample)


def test_an_interruption_leaves_no_half_written_clip_and_no_table(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []

    def stop_at_third(line: Line) -> bytes:
        if len(rendered) == 2:
            raise KeyboardInterrupt
        rendered.append(line.name)
        return clip_path(sample, line).read_bytes()

    monkeypatch.setattr(corpus, "render_clip", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "out", dialogues=SIZE, seed=3, workers=1)
    assert set(all_bytes(tmp_path / "out")) == {
        "SYNTHETIC.md",
        *(f"train/train_splits/{name}.mp4" for name in rendered),
    }


def test_a_folder_of_something_else_is_refused(tmp_path: Path, sample: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UsageError, match="is a file: give a new or empty folder"):
        write_sample(file, dialogues=3)
    with pytest.raises(UsageError, match=r"holds 'file' and no SYNTHETIC\.md"):
        write_sample(tmp_path, dialogues=3)
    before = all_bytes(sample)
    with pytest.raises(UsageError, match="holds another corpus, of `erc sample --dialogues 4 --seed 3`"):
        write_sample(sample, dialogues=SIZE, seed=4)
    with pytest.raises(UsageError, match="not of `erc sample --dialogues 7 --seed 3`"):
        write_sample(sample, dialogues=7, seed=3)
    assert all_bytes(sample) == before
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "SYNTHETIC.md").write_text("my own notes")
    with pytest.raises(UsageError, match=r"a SYNTHETIC\.md of something else"):
        write_sample(tmp_path / "foreign", dialogues=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dialogues": 2}, r"dialogues \(2\) must be at least 3"),
        ({"seed": -1}, r"seed \(-1\) must be 0 or more"),
        ({"workers": 0}, r"workers \(0\) must be at least 1"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_sample(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_worker_that_dies_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures.process import BrokenProcessPool

    class Dying:
        def __init__(self, *args: object, **kwargs: object) -> None: ...

        def map(self, *args: object, **kwargs: object) -> list[None]:
            raise BrokenProcessPool("killed")

        def shutdown(self, **kwargs: object) -> None: ...

    monkeypatch.setattr(corpus, "ProcessPoolExecutor", Dying)
    with pytest.raises(ErcError, match="died: run the same command again, it continues"):
        write_sample(tmp_path / "out", dialogues=3, workers=2)


def test_the_command(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sample", str(sample), "--dialogues", str(SIZE), "--seed", "3"]
    assert cli.run(cli.erc, arguments, "erc") == 0
    printed = capsys.readouterr()
    assert "synthetic corpus, 4 dialogues" in printed.out
    assert printed.err == ""  # no progress bar where there is no terminal
    assert cli.run(cli.erc, [*arguments[:-1], "5"], "erc") == 2
    assert "give another folder" in capsys.readouterr().err


def test_a_change_of_the_script_needs_a_new_generator_version() -> None:
    tables = [corpus._table([line for line in write_script(3, seed=0) if line.split == split]) for split in SPLITS]
    assert corpus.GENERATOR_VERSION == 1
    assert sha256_bytes(b"".join(tables))[:16] == "aae20a50f8f96395"


def test_the_commands_default_is_the_functions() -> None:
    from pipeline.commands.sample import command

    defaults = {option.name: option.default for option in command.params}
    assert defaults["dialogues"] == corpus.DEFAULT_DIALOGUES
