"""`erc extract`: the flags that say how clips are decoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest
from click.testing import CliRunner
from clip_factory import sine, write_clip
from store_factory import make_manifest

from features.encoders import devices
from features.engines.decode_pool import DecodeOptions
from features.errors import UsageError
from features.manifest import write_manifest
from features.store import Store
from pipeline.commands.extract import command


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three clips; the second is a link that leads out of the media root."""
    root = tmp_path / "media"
    root.mkdir()
    for path in (root / "0.wav", tmp_path / "outside.wav", root / "2.wav"):
        write_clip(path, samples=sine(0.5, 16000), rate_hz=16000, audio_codec="pcm_s16le")
    (root / "1.wav").symlink_to(tmp_path / "outside.wav")
    manifest = make_manifest(3, media=lambda number: f"{number}.wav")
    return write_manifest(replace(manifest, media_root=root), tmp_path / "manifest.parquet")


def run(corpus: Path, *flags: str) -> Any:
    paths = ["--manifest", str(corpus), "--store", str(corpus.parent / "store")]
    return CliRunner().invoke(command, ["--encoder", "waveform", *paths, *flags])


def run_here(corpus: Path, *flags: str) -> Any:
    """Without the processes that decode: each takes a second to start."""
    return run(corpus, "--workers", "0", *flags)


def test_links_that_lead_out_are_told_with_their_mend(corpus: Path) -> None:
    done = run(corpus)
    assert done.exit_code == 3, done.output
    assert "2 ok, 1 outside-root" in done.output
    assert "\n3 utterances done, 2 embeddings, 1 without one, in " in done.output
    assert "outside-root: symbolic links lead to these clips: --follow-symlinks --retry-failed" in done.output
    assert run(corpus, "--follow-symlinks", "--retry-failed").exit_code == 0
    (feature,) = Store(corpus.parent / "store").features()
    assert feature.ledger().filter(pl.col("status") == "ok").height == 3


def test_the_end_counts_embeddings_and_not_rows(corpus: Path) -> None:
    both = run_here(corpus, "--encoder", "logmel", "--follow-symlinks", "--limit", "2")
    assert both.exit_code == 0, both.output
    assert "\n4 embeddings in 2 features, in " in both.output
    (corpus.parent / "media" / "2.wav").unlink()
    assert "\n1 utterances done, 0 embeddings, 1 without one, in " in run_here(corpus).output
    assert " done, " not in run_here(corpus).output


def test_a_dry_run_without_weights_says_what_it_can(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(*given: object, **named: object) -> None:
        raise AssertionError("a dry run downloads something")

    for module in ("features.encoders.weights.hub_snapshot", "features.encoders.published.fetch_file"):
        monkeypatch.setattr(module, download)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(corpus.parent / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(corpus.parent / "torch"))
    assert run_here(corpus, "--follow-symlinks").exit_code == 0
    done = run_here(corpus, "--encoder", "wav2vec2", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "wav2vec2: 3 of 3 utterances have a clip; the store has no feature of it. What is left is not" in done.output
    assert "is not in the hub's cache, and a dry run downloads nothing" in done.output
    assert "0 of 3 utterances left" in done.output  # of waveform
    published = run_here(corpus, "--encoder", "resnet50", "--dry-run").output
    assert f"are not in {corpus.parent / 'torch'}/hub/checkpoints, and a dry run downloads nothing" in published
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert run_here(corpus, "--encoder", "wav2vec2").exit_code != 0


def test_help_shows_each_option_once_and_in_groups() -> None:
    lines = CliRunner().invoke(command, ["--help"]).output.splitlines()
    for name in (parameter.opts[0] for parameter in command.params if isinstance(parameter, click.Option)):
        assert sum(line.strip().split(" ")[0].rstrip(",") == name for line in lines) == 1, name
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == [*(f"{group}:" for group in command.groups), "Options:"]
    assert {name for names in command.groups.values() for name in names} <= {item.opts[0] for item in command.params}


def test_cuts_that_lie_partly_outside_their_clip_are_counted(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.wav", samples=sine(2, 16000), rate_hz=16000, audio_codec="pcm_s16le")
    ends = [1.0, 2.0, 3.0]
    manifest = make_manifest(3, media="clip.wav", start=0.5, end=lambda number: ends[number])
    done = run_here(write_manifest(replace(manifest, media_root=tmp_path), tmp_path / "manifest.parquet"))
    assert "3 ok, 1 whose start and end lie partly outside their clip (outside_ms in the ledger)" in done.output


def test_the_flags_reach_the_engine(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[DecodeOptions] = []

    def extract(*arguments: Any, decoding: DecodeOptions, **options: Any) -> int:
        seen.append(decoding)
        return 0

    monkeypatch.setattr("pipeline.commands.extraction.extract", extract)
    for flags in ([], ["--clip-timeout", "2.5", "--workers", "3"], ["--follow-symlinks", "--workers", "0"]):
        assert run(corpus, *flags).exit_code == 0
    assert seen == [DecodeOptions(), DecodeOptions(3, 2.5), DecodeOptions(0, None, True)]


@pytest.mark.parametrize("value", ["0", "-1", "soon"])
def test_a_time_limit_is_a_number_of_seconds(corpus: Path, value: str) -> None:
    done = run(corpus, "--clip-timeout", value)
    assert done.exit_code == 2
    assert "--clip-timeout" in done.output


def test_without_workers_no_time_can_be_limited(corpus: Path) -> None:
    done = run(corpus, "--workers", "0", "--clip-timeout", "5")
    assert isinstance(done.exception, UsageError)
    assert "--workers 0 decodes in this process, which cannot limit time" in str(done.exception)
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "0: this one, which cannot limit a clip's time or memory" in text


@pytest.mark.parametrize(("gpus", "flags", "told"), [(4, (), True), (4, ("--shard", "1/4"), False), (1, (), False)])
def test_a_run_on_one_of_several_gpus_says_how_to_use_all(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, gpus: int, flags: tuple[str, ...], told: bool
) -> None:
    monkeypatch.setattr(devices, "_cuda_count", lambda: (gpus, ""))
    done = run_here(corpus, "--device", "cuda", *flags)  # waveform computes nothing
    said = (
        "erc: one of 4 GPUs is used: for all of them give --engine ray, or start a run for each,"
        " --device cuda:0 --shard 1/4 to --device cuda:3 --shard 4/4"
    )
    assert (said in done.output) == told
    assert "GPUs" not in run_here(corpus, "--device", "cuda:0").output
