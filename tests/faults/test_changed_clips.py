"""Clips that change while they are read, and clocks that jump: a row says so, and the next run mends it by itself."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clip_factory import every, write_clip
from store_factory import HashEncoder, make_manifest
from test_hanging_clip import LONG_S, ClipEncoder, decode

from features.engines.decode_pool import DecodeOptions
from features.extract import extract_features, plan_extraction
from features.manifest import Manifest
from features.media import decode as media_decode
from features.store import Feature
from features.store.plan import PlanOptions

NUM_CLIPS = 5
CHANGED = 2


@pytest.fixture
def corpus(tmp_path: Path) -> Manifest:
    """Five clips of their own."""
    for number in range(NUM_CLIPS):
        write_clip(tmp_path / f"{number}.mp4", times_ms=every(40, 5 + number))
    return replace(make_manifest(NUM_CLIPS, media=lambda number: f"{number}.mp4", text=""), media_root=tmp_path)


def extract(manifest: Manifest, encoder: Any, **options: Any) -> tuple[Feature, list[int]]:
    """The feature, and the rows of the manifest that were left to do."""
    store = (manifest.media_root or Path()) / "store"
    jobs = extract_features(manifest, store, [encoder], PlanOptions(**options), decoding=DecodeOptions(0))
    return Feature(store, jobs[0].key), [row for chunk in jobs[0].plan.chunks for row in chunk.positions]


def decoding_meets(monkeypatch: pytest.MonkeyPatch, event: Any) -> None:
    """Have `event(path)` happen in the middle of decoding the clip CHANGED."""
    real = media_decode.decode

    def decode(path: Path, *arguments: Any) -> Any:
        result = real(path, *arguments)
        if path.name == f"{CHANGED}.mp4":
            event(path)
        return result

    monkeypatch.setattr(media_decode, "decode", decode)


def replace_by_another(path: Path) -> None:
    other = write_clip(path.with_name("other.mp4"), times_ms=every(40, 20))
    other.replace(path)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def remove_and_restore(path: Path) -> None:
    """As a copy that keeps size and mtime: only the inode tells."""
    status, data = path.stat(), path.read_bytes()
    path.rename(path.with_name("kept.mp4"))
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("event", [replace_by_another, append])
def test_a_clip_that_changes_while_it_is_read_is_redone_by_the_next_run(
    corpus: Manifest, monkeypatch: pytest.MonkeyPatch, event: Any
) -> None:
    path = corpus.media_path(f"{CHANGED}.mp4")
    before = path.stat()
    with monkeypatch.context() as patch:
        decoding_meets(patch, event)
        feature, _ = extract(corpus, ClipEncoder())
    assert feature.read(corpus.ids).reason == [None, None, "changed", None, None]
    ledger = feature.ledger()
    assert ledger["status"][CHANGED] == "failed"
    assert "replaced or written to while it was read" in ledger["detail"][CHANGED]
    assert (ledger["media_size"][CHANGED], ledger["media_mtime_ns"][CHANGED]) == (before.st_size, before.st_mtime_ns)
    feature, left = extract(corpus, ClipEncoder())
    assert left == [CHANGED]
    assert feature.read(corpus.ids).reason == [None] * NUM_CLIPS
    ledger = feature.ledger().sort("utterance_id")
    assert ledger["media_size"][CHANGED] == path.stat().st_size
    assert extract(corpus, ClipEncoder())[1] == []


def test_a_clip_that_is_the_same_again_waits_for_retry_failed(
    corpus: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        decoding_meets(patch, remove_and_restore)
        feature, _ = extract(corpus, ClipEncoder())
    assert feature.read(corpus.ids).reason[CHANGED] == "changed"
    assert extract(corpus, ClipEncoder())[1] == []
    feature, left = extract(corpus, ClipEncoder(), retry_failed=True)
    assert left == [CHANGED]
    assert feature.read(corpus.ids).reason == [None] * NUM_CLIPS


# Clocks.


def test_a_clip_from_the_future_is_a_clip(corpus: Manifest) -> None:
    future_ns = time.time_ns() + 10**9 * 3600 * 24 * 365
    past_ns = -(10**9) * 3600  # an hour before 1970
    os.utime(corpus.media_path("0.mp4"), ns=(future_ns, future_ns))
    os.utime(corpus.media_path("1.mp4"), ns=(past_ns, past_ns))
    feature, _ = extract(corpus, ClipEncoder())
    assert feature.read(corpus.ids).reason == [None] * NUM_CLIPS
    assert extract(corpus, ClipEncoder())[1] == []


class Clock:
    """A wall clock that goes back an hour each time that it is read."""

    def __init__(self) -> None:
        self.readings = 0
        self._now = time.time()
        self._gmtime = time.gmtime

    def time(self) -> float:
        self.readings += 1
        self._now -= 3600
        return self._now

    def gmtime(self, seconds: float | None = None) -> time.struct_time:
        return self._gmtime(self.time() if seconds is None else seconds)


@pytest.fixture
def backward_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock.time)
    monkeypatch.setattr(time, "time_ns", lambda: int(clock.time() * 1e9))
    monkeypatch.setattr(time, "gmtime", clock.gmtime)
    return clock


def test_a_clock_that_goes_back_changes_no_row_but_for_when_it_was_written(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    manifest = make_manifest(100)

    def run(store: Path) -> Feature:
        jobs = extract_features(manifest, store, [HashEncoder()])
        assert jobs[0].seconds_encode >= 0
        return Feature(store, jobs[0].key)

    plain = run(tmp_path / "plain")
    clock = request.getfixturevalue("backward_clock")
    backward = run(tmp_path / "backward")
    assert clock.readings >= len(backward.names), "the ledger's time of writing is not asked of this clock"
    times = ["seconds_decode", "seconds_encode"]
    assert backward.names == plain.names
    assert backward.ledger().drop(times).equals(plain.ledger().drop(times))
    assert (backward.ledger()["seconds_encode"] >= 0).all()
    for name in plain.names:
        assert (backward.path / f"{name.stem}.h5").read_bytes() == (plain.path / f"{name.stem}.h5").read_bytes()
    jobs = plan_extraction(manifest, tmp_path / "backward", [HashEncoder()], PlanOptions())
    assert jobs[0].plan.chunks == []


@pytest.mark.parametrize("jump_s", [-1e6, 1e6])
def test_a_clock_that_jumps_times_no_clip_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    clip = write_clip(tmp_path / "clip.mp4", times_ms=every(40, 5))
    real, started = time.time, time.monotonic()
    monkeypatch.setattr(time, "time", lambda: real() + jump_s * (time.monotonic() - started))
    results = decode(clip, ["half-a-second"] * 4, LONG_S)
    assert [type(result.outcomes["one"]).__name__ for result in results] == ["Input"] * 4
    assert all(0.5 <= result.seconds < LONG_S for result in results)
