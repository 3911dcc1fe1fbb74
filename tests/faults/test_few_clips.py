"""A few clips are decoded by workers as many are, under the same limits: a guard that a small run skips is none."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from bad_preparers import Behaving
from click.testing import CliRunner
from clip_factory import sine, write_clip
from store_factory import make_manifest
from test_hanging_clip import HANGS_S, ClipEncoder

from features.encoders.protocol import Input
from features.engines import decode_pool
from features.engines.decode_pool import DecodeOptions
from features.extract import extract_features
from features.manifest import Manifest, write_manifest
from features.media import limits as media_limits
from features.store import Feature
from features.store.plan import PlanOptions
from pipeline.commands.extract import command

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them")

NUM_CLIPS = 12
BAD = 9
REASONS = {"die": "worker-died", "sleep": "timed-out", "hoard": "out-of-memory"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", times_ms=[0, 100])


def corpus(clip: Path, text: str) -> Manifest:
    """Twelve utterances; the clip of one does what `text` says."""
    manifest = make_manifest(NUM_CLIPS, media=clip.name, text=lambda number: text if number == BAD else "")
    return replace(manifest, media_root=clip.parent)


def run(manifest: Manifest, store: Path, options: PlanOptions | None = None, workers: int | None = None) -> list[Any]:
    """The reasons after extraction, `absent` for what was not asked for."""
    jobs = extract_features(manifest, store, [ClipEncoder()], options, decoding=DecodeOptions(workers))
    return Feature(store, jobs[0].key).reasons(manifest.ids)


@pytest.fixture(autouse=True)
def short_limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortest where all that a clip does is hang."""
    hangs = "sleep" in request.node.name
    monkeypatch.setattr(decode_pool, "DEFAULT_CLIP_TIMEOUT_S", HANGS_S if hangs else 3.0)


@pytest.mark.parametrize("how", REASONS)
def test_a_bad_clip_alone_is_left_to_a_resume_and_then_to_retry_failed(clip: Path, tmp_path: Path, how: str) -> None:
    manifest = corpus(clip, how)
    expected: list[str | None] = [None] * NUM_CLIPS
    expected[BAD] = REASONS[how]
    first = PlanOptions(limit=BAD)
    assert run(manifest, tmp_path, first) == [None] * BAD + ["absent"] * (NUM_CLIPS - BAD)
    assert run(manifest, tmp_path) == expected
    assert run(manifest, tmp_path, PlanOptions(retry_failed=True)) == expected
    assert run(corpus(clip, ""), tmp_path, PlanOptions(retry_failed=True)) == [None] * NUM_CLIPS


@pytest.mark.parametrize("how", REASONS)
def test_limit_takes_a_bad_clip(clip: Path, tmp_path: Path, how: str) -> None:
    manifest = corpus(clip, how)
    texts = manifest.frame["text"].to_list()
    moved = replace(manifest, frame=manifest.frame.with_columns(text=pl.Series(texts[BAD:] + texts[:BAD])))
    assert run(moved, tmp_path, PlanOptions(limit=5)) == [REASONS[how]] + [None] * 4 + ["absent"] * (NUM_CLIPS - 5)


class Limits(ClipEncoder):
    """Notes what limit on memory the processes had that its inputs were made in."""

    prepare = Behaving()

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[int] = []

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        self.limits += [item.value for item in inputs]
        return super().encode(inputs)


def test_memory_is_limited_for_one_clip(clip: Path, tmp_path: Path) -> None:
    manifest, encoder = corpus(clip, ""), Limits()
    manifest = replace(manifest, frame=manifest.frame.with_columns(text=pl.lit("limit")))
    extract_features(manifest, tmp_path, [encoder], PlanOptions(limit=1))
    (limit,) = encoder.limits
    assert 0 < limit - media_limits.MAX_WORKER_BYTES < 1 << 36


@pytest.mark.parametrize(("flags", "workers"), [([], 1), (["--workers", "0"], 0)])
def test_the_command_decodes_here_only_where_that_is_typed(tmp_path: Path, flags: list[str], workers: int) -> None:
    write_clip(tmp_path / "0.wav", samples=sine(0.2, 16000), rate_hz=16000, audio_codec="pcm_s16le")
    manifest = replace(make_manifest(3, media="0.wav"), media_root=tmp_path)
    paths = ["--manifest", str(write_manifest(manifest, tmp_path / "manifest.parquet")), "--store", str(tmp_path / "s")]
    done = CliRunner().invoke(command, ["--encoder", "waveform", *paths, "--limit", "1", "--json", *flags])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["activity"][0]["workers"] == workers
