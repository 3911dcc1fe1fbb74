"""Runs over texts and clips, killed at random moments and resumed until they are done: the store is always the same."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from clip_factory import sine, write_clip
from erc_process import run_erc, start_erc
from store_comparison import assert_same_store
from store_factory import make_manifest

from features.manifest import write_manifest
from features.store.faults import FaultKind
from features.store.verify import verify_store

NUM_UTTERANCES = 70


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(3):
        write_clip(folder / f"{number}.wav", samples=sine(0.2, 16000, 200 + 50 * number), audio_codec="pcm_s16le")
    manifest = make_manifest(NUM_UTTERANCES, media=lambda number: f"{number % 3}.wav" if number != 50 else None)
    return write_manifest(replace(manifest, media_root=folder), folder / "manifest.parquet")


def arguments(corpus: Path, store: Path) -> list[str]:
    flags = ["--encoder", "surface", "--encoder", "waveform", "--workers", "0"]
    return ["extract", *flags, "--manifest", str(corpus), "--store", str(store)]


@pytest.fixture(scope="module")
def whole(corpus: Path) -> tuple[Path, float]:
    """The store of a run that nothing interrupted, and how long such a run takes."""
    seconds = []
    for name in ("whole", "again"):
        started = time.monotonic()
        status, errors = run_erc(arguments(corpus, corpus.parent / name), corpus.parent / "stderr")
        assert status == 0, errors
        seconds.append(time.monotonic() - started)
    assert_same_store(corpus.parent / "whole", corpus.parent / "again")
    return corpus.parent / "whole", min(seconds)


def committed(store: Path) -> dict[str, tuple[bytes, int]]:
    """Content and inode of every file of a committed shard, by its path in the store."""
    found = {}
    for record in store.glob("*/*/[0-9]*.json"):
        for path in record.parent.glob(f"{record.stem}.*"):
            found[str(path.relative_to(store))] = path.read_bytes(), path.stat().st_ino
    return found


def kill_and_resume(corpus: Path, whole: tuple[Path, float], folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kill running processes so often. After each kill what was committed stands, and the store is sound but for
    orphans; each store is finished and compared before the next one is begun. Counts kills, stores, and the number of
    chunks that a killed run had committed."""
    chance, counts = random.Random(seed), Counter[str]()
    store = folder / "store"
    before: dict[str, tuple[bytes, int]] = {}
    while counts["kills"] < kills or before:
        process = start_erc(arguments(corpus, store), folder / "stderr")
        process.join(chance.uniform(0, whole[1]))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), (folder / "stderr").read_text()
        counts["kills"] += process.exitcode == -signal.SIGKILL
        after = committed(store)
        assert before.items() <= after.items(), f"seed {seed}, kill {counts['kills']}: a committed file is another"
        counts["killed after a commit"] += process.exitcode != 0 and len(after) > len(before)
        if after:
            faults = [fault for fault in verify_store(store).faults if fault.kind is not FaultKind.ORPHAN]
            assert not faults, f"seed {seed}, kill {counts['kills']}: {faults[0]}"
        before = after
        if process.exitcode == 0:
            assert_same_store(store, whole[0])
            assert verify_store(store).is_sound
            shutil.rmtree(store)
            before = {}
            counts["stores"] += 1
    return counts


def test_killed_ten_times(corpus: Path, whole: tuple[Path, float], tmp_path: Path) -> None:
    counts = kill_and_resume(corpus, whole, tmp_path, 10, seed=6)
    print(dict(counts))
    assert counts["stores"] >= 1


@pytest.mark.slow
def test_killed_a_thousand_times(corpus: Path, whole: tuple[Path, float], tmp_path: Path) -> None:
    seed, started = random.SystemRandom().randrange(1 << 32), time.monotonic()
    print(f"seed {seed}")
    counts = kill_and_resume(corpus, whole, tmp_path, 1_000, seed)
    print(f"{dict(counts)} in {time.monotonic() - started:.0f} s; a whole run takes {whole[1]:.2f} s")
    assert counts["kills"] >= 1_000
    assert counts["killed after a commit"] >= 50
    assert counts["stores"] >= 10
