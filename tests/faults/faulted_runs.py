"""A small extraction of texts and clips in this process, run while calls of the system fail, and what must hold after.

The clips are small files of text; only FFmpeg is left out.
"""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from failing_calls import KINDS, LATE, FailingCalls, Mode
from store_comparison import TIMES
from store_factory import HashEncoder, make_manifest, make_spec, text_vector

from features.encoders.protocol import Input
from features.engines.decode_pool import DecodeOptions
from features.errors import ErcError
from features.extract import extract_features
from features.manifest import Manifest
from features.media import clip as media_clip
from features.media.needs import ClipNeeds
from features.store import Feature, Store
from features.store.commit import orphans
from features.store.faults import FaultKind
from features.store.plan import PlanOptions
from features.store.verify import verify_store

NUM_UTTERANCES = 42
NUM_CHUNKS = 3
NUM_REFUSED = 3  # an empty text, a clip that is not there, and an utterance without one


class ClipPreparer:
    def __call__(self, clip: media_clip.Clip) -> Input:
        return Input(clip.digest, 1, (clip.digest,), ({"num_samples": 1},))


class ClipEncoder:
    """A clip encoder whose embedding is made of the sha256 of the clip's bytes; it notes what it was given."""

    reads = "clip"
    batch_size = 8
    prepare: Any = ClipPreparer()
    needs = ClipNeeds()

    def __init__(self) -> None:
        self.spec = make_spec(modality="audio", encoder="digest", depends="media")
        self.batches: list[list[str]] = []

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        self.batches.append([item.value for item in inputs])
        return [text_vector(item.value) for item in inputs]


@contextmanager
def small_and_fast() -> Iterator[None]:
    """Chunks of two dialogues; no FFmpeg; and no look for libraries of threads, which takes longest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("features.media.decode.decode", lambda *arguments: ({}, {}))
        patch.setattr("features.engines.decode_pool.threadpool_limits", lambda number: nullcontext())
        patch.setattr("features.store.plan.chunk_size", lambda number, waveform: 14)
        yield


def make_corpus(folder: Path) -> Manifest:
    texts = {9: "empty", 40: "not a number"}
    folder.mkdir(parents=True)
    for number in range(NUM_UTTERANCES):
        if number != 12:
            (folder / f"{number}.mp4").write_text(f"clip {number}")
    manifest = make_manifest(
        NUM_UTTERANCES,
        text=lambda number: texts.get(number, f"text {number}"),
        media=lambda number: f"{number}.mp4" if number != 25 else None,
    )
    return replace(manifest, media_root=folder)


@dataclass(frozen=True)
class Outcome:
    """What came of a run: its error, None where it said that all is done; and how many inputs each encoder was given"""

    error: ErcError | None
    encoded: list[Counter[str]]


def extract(manifest: Manifest, root: Path, calls: FailingCalls | None = None, **options: Any) -> Outcome:
    """Run; raises what is no ErcError."""
    media_clip._digest.cache_clear()
    encoders = [HashEncoder(), ClipEncoder()]
    error: ErcError | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of file systems without locks
        try:
            with calls or FailingCalls((root,)):
                extract_features(manifest, root, encoders, PlanOptions(**options), decoding=DecodeOptions(workers=0))
        except ErcError as raised:
            error = raised
    if error is not None:
        assert "\n" not in str(error), f"not one line: {error}"
    return Outcome(error, [Counter(value for batch in encoder.batches for value in batch) for encoder in encoders])


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def committed(root: Path) -> dict[str, bytes]:
    """The files of committed shards, and specs."""
    found: dict[str, bytes] = {}
    for record in root.glob("*/*/[0-9]*.json"):
        for path in (record, record.with_suffix(".h5"), record.with_suffix(".parquet")):
            found[str(path.relative_to(root))] = path.read_bytes()
    for spec in root.glob("*/*/spec.json"):
        found[str(spec.relative_to(root))] = spec.read_bytes()
    return found


def rows_of(feature: Feature) -> pl.DataFrame:
    """What a feature says of each utterance, wherever its row lies."""
    return feature.ledger().drop(*TIMES, "row", "generation", "chunk").sort("utterance_id")


def assert_same_rows(root: Path, whole: Path, manifest: Manifest) -> None:
    """The rows, reasons and tensors of a run that nothing interrupted, each once."""
    found, expected = ({item.folder: item for item in Store(place, manifest).features()} for place in (root, whole))
    assert found.keys() == expected.keys()
    for folder, feature in found.items():
        assert rows_of(feature).equals(rows_of(expected[folder])), folder
        rows, others = feature.read(manifest.ids), expected[folder].read(manifest.ids)
        assert rows.values.tobytes() == others.values.tobytes(), folder
        assert (rows.status, rows.reason) == (others.status, others.reason), folder
        assert len(feature.index.table) == NUM_UTTERANCES, f"{folder}: an utterance was committed twice"


def without_rows(root: Path, manifest: Manifest) -> int:
    """How many embeddings and reasons are still to be made."""
    if not root.is_dir():
        return 2 * NUM_UTTERANCES
    features = Store(root).features()
    left = sum(status == "absent" for feature in features for status in feature.read(manifest.ids).status)
    return left + (2 - len(features)) * NUM_UTTERANCES


def check_run(manifest: Manifest, whole: Path, root: Path, calls: FailingCalls) -> None:
    """One run in which a call fails, the next in which none does, and all that must hold."""
    outcome = extract(manifest, root, calls)
    left = without_rows(root, manifest)
    # What could not be forced to the disk may be gone after a cut of the power, which nothing here can show.
    assert outcome.error is not None or not (calls.kind == "fsync" and calls.failed), "silent: a sync failed"
    if outcome.error is None:
        assert not left, f"silent: said that all is done, and {left} rows are absent"
    stands = committed(root)
    if any(root.glob("*/*")):
        faults = [fault for fault in verify_store(root, manifest).faults if fault.kind is not FaultKind.ORPHAN]
        assert not faults, str(faults[0])
    again = extract(manifest, root)
    assert again.error is None, str(again.error)
    after = committed(root)
    for name, content in stands.items():
        assert after.get(name) == content, f"{name}: was committed, and is another or gone"
    if left in (0, 2 * NUM_UTTERANCES):
        assert sum(again.encoded, Counter()).total() == (2 * NUM_UTTERANCES - NUM_REFUSED if left else 0)
    else:
        assert left - NUM_REFUSED <= sum(again.encoded, Counter()).total() <= left, "done twice, or not at all"
    assert_same_rows(root, whole, manifest)
    report = verify_store(root, manifest)
    assert report.is_sound, str(report.faults[0])
    for feature in Store(root).features():
        assert list(orphans(feature.path)) == []


def sweep(
    check: Callable[[FailingCalls], None],
    roots: tuple[Path, ...],
    *,
    kinds: Sequence[str] = tuple(KINDS),
    modes: Sequence[Mode] = ("once", "gone", "late"),
    errors_each: int | None = None,
    stride: Callable[[int], int] = lambda number: number + 1,
) -> Counter[str]:
    """`check` with every kind, error, mode and n = 1, 2, 3 ... until nothing fails; how many points each kind had.

    errors_each: of each kind the first errors only. stride: n -> the next one
    Raises AssertionError that names the point.
    """
    tried: Counter[str] = Counter()
    for kind in kinds:
        for error in KINDS[kind][:errors_each]:
            for mode in modes:
                number = 1
                while mode != "late" or kind in LATE:
                    calls = FailingCalls(roots, kind, error, number, mode)
                    try:
                        check(calls)
                    except Exception as wrong:
                        raise AssertionError(f"{calls}: {type(wrong).__name__}: {wrong}") from wrong
                    if not calls.failed:
                        break
                    tried[kind] += 1
                    number = stride(number)
    return tried


def clear(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)


def described(tried: Counter[str], seconds: float) -> str:
    each = ", ".join(f"{kind} {number}" for kind, number in sorted(tried.items()))
    return f"{tried.total():,} points in {seconds:.0f} s: {each}"
