"""The main job on real input: MELD's text, one real clip, and a clip without sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from features.manifest import read_manifest
from features.store import Store

pytestmark = pytest.mark.shared_data


def erc(*arguments: str | Path, status: int = 0) -> str:
    code = "from pipeline.cli import main; main()"
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def meld(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = tmp_path_factory.mktemp("meld") / "M.parquet"
    erc("ingest", "meld", shared_data / "meld", "--splits", "train,dev", "--out", manifest)
    return manifest


def test_meld_text_is_ingested_whole(meld: Path) -> None:
    manifest = read_manifest(meld)
    assert len(manifest) == 11_098
    counts = dict(manifest.frame.group_by("split").len().iter_rows())
    assert counts == {"train": 9989, "dev": 1109}
    assert manifest.card.labels == ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
    first = manifest.frame.row(by_predicate=pl.col("utterance_id") == "meld/train/dia0_utt0", named=True)
    assert (first["speaker"], first["label"], first["group"]) == ("Chandler", "neutral", "s08e21")
    assert first["duration"] == pytest.approx(5.672)


def test_the_real_clips(shared_data: Path, tmp_path: Path) -> None:
    rows = [
        {"utterance_id": f"u{turn}", "dataset": "clips", "split": "train", "dialogue_id": "d", "turn": turn}
        | {"speaker": "Joey", "text": "hi", "media": media}
        for turn, media in enumerate(["dia1_utt0.mp4", "noise_no_audio.mp4", "absent.mp4"])
    ]
    manifest = tmp_path / "clips.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    flags = ["--manifest", manifest, "--store", tmp_path / "store", "--media-root", shared_data / "clips"]
    summary = json.loads(erc("extract", "--encoder", "logmel", "--encoder", "hog-colour", "--json", *flags))
    assert [feature["outcomes"] for feature in summary["features"]] == [
        {"ok": 1, "no-audio": 1, "no-file": 1},
        {"ok": 2, "no-file": 1},
    ]
    store = Store(tmp_path / "store")
    audio = store.choose("audio", "logmel").read(["u0", "u1", "u2"])
    visual = store.choose("visual", "hog-colour").read(["u0", "u1", "u2"])
    assert audio.status == ["ok", "missing", "missing"]
    assert audio.reason == [None, "no-audio", "no-file"]
    assert visual.status == ["ok", "ok", "missing"]
    ledger = store.choose("audio", "logmel").ledger()
    assert ledger["media_size"][0] == (shared_data / "clips" / "dia1_utt0.mp4").stat().st_size


@pytest.mark.slow
def test_text_heads_reach_a_weighted_f1_of_055_on_dev(meld: Path, tmp_path: Path) -> None:
    flags = ["--manifest", meld, "--store", tmp_path / "store"]
    erc("extract", "--modality", "text", "--encoder", "sentence", *flags)
    erc("ablate", "meld-text", *flags, "--out", tmp_path / "runs", "--seeds", "5", "--only", "one-hidden-layer")
    scores = json.loads(erc("evaluate", tmp_path / "runs", "--split", "dev", "--json"))
    assert [score["experiment"] for score in scores] == ["one-hidden-layer"]
    assert len(scores[0]["weighted_f1"]["values"]) == 5
    assert scores[0]["weighted_f1"]["mean"] >= 0.55
