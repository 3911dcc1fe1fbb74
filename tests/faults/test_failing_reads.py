"""Calls of the system fail while a store is read, verified, repaired, cleared up or exported.

Whatever is asked of the store gives what it gives undisturbed, or says that something could not be read. Nothing that
is sound is moved, removed or changed.
"""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from failing_calls import FailingCalls
from faulted_runs import ClipEncoder, clear, contents, described, extract, make_corpus, small_and_fast, sweep
from store_factory import HashEncoder

from features.errors import ErcError
from features.extract import plan_extraction
from features.manifest import Manifest, build_manifest
from features.store import Feature, Store
from features.store.export import export_feature
from features.store.faults import FaultKind
from features.store.garbage import plan_garbage, remove_garbage
from features.store.listing import list_store
from features.store.plan import PlanOptions
from features.store.repair import repair_store
from features.store.verify import verify_store

TEXT = HashEncoder().spec.folder
ORPHAN = f"{TEXT}/.tmp-{'0' * 32}-1"
DAMAGED = f"{TEXT}/00002."


@pytest.fixture(scope="module", autouse=True)
def fast() -> Iterator[None]:
    with small_and_fast():
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_corpus(tmp_path_factory.mktemp("corpus") / "media")


@pytest.fixture(scope="module")
def store(corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a shard whose rows no manifest reads any more (00000 of the texts), and an orphan."""
    root = tmp_path_factory.mktemp("sound") / "store"
    texts = [f"other {text}" for text in corpus.frame["text"]]
    older = build_manifest(corpus.frame.with_columns(pl.Series("text", texts)), corpus.card, corpus.media_root)
    assert extract(older, root, limit=14).error is None
    assert extract(corpus, root).error is None
    (root / ORPHAN).write_bytes(b"half")
    return root


@pytest.fixture(scope="module")
def damaged_store(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a shard whose tensors are damaged."""
    root = tmp_path_factory.mktemp("damaged") / "store"
    shutil.copytree(store, root)
    path = root / f"{DAMAGED}h5"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    return root


class FlaggedError(Exception):
    """What was asked for was given, and it said that something could not be read."""


def plan(root: Path, corpus: Manifest) -> Any:
    jobs = plan_extraction(corpus, root, [HashEncoder(), ClipEncoder()], PlanOptions())
    return [job.plan for job in jobs]


def verify(root: Path, corpus: Manifest) -> Any:
    report = verify_store(root, corpus)
    if any(fault.kind is FaultKind.UNREADABLE for fault in report.faults) or "not judged" in str(report.notes):
        raise FlaggedError
    return [str(fault) for fault in report.faults]


def repair(root: Path, corpus: Manifest) -> Any:
    report, done = repair_store(root)
    if report.faults or report.untouched or "not judged" in str(report.notes):
        raise FlaggedError
    return len(done)


def ls(root: Path, corpus: Manifest) -> Any:
    summaries, troubles = list_store(root)
    if troubles:
        raise FlaggedError
    return [
        (item.feature.folder, item.ok, item.missing, item.failed, item.shards, item.superseded, item.num_bytes)
        for item in summaries
    ]


def gc(root: Path, corpus: Manifest) -> Any:
    found = plan_garbage(root, None, [corpus])
    remove_garbage(root, found.items, [corpus])
    if any("not looked" in note or "cannot be read" in note for note in found.notes):
        raise FlaggedError
    return [(item.folder, item.kind, item.name) for item in found.items]


def read(root: Path, corpus: Manifest) -> Any:
    found = []
    for feature in Store(root, corpus).features():
        rows = feature.read(corpus.ids)
        found.append((feature.folder, rows.values.tobytes(), rows.status, rows.reason, feature.rows_digest(corpus.ids)))
    if Store(root).damaged or len(found) < 2:
        raise FlaggedError
    return found


def export(file_format: str) -> Callable[[Path, Manifest], Any]:
    def work(root: Path, corpus: Manifest) -> Any:
        out = root.parent / "out"
        export_feature(Feature(root, TEXT), out, file_format)
        return lambda: contents(out) if out.is_dir() else out.stat().st_size  # looked at when nothing fails any more

    return work


ACTIONS: dict[str, Callable[[Path, Manifest], Any]] = {
    "plan": plan,
    "verify": verify,
    "repair": repair,
    "ls": ls,
    "gc": gc,
    "read": read,
    "export npy": export("npy"),
    "export hdf5": export("hdf5"),
}


def settled(result: Any) -> Any:
    return result() if callable(result) else result


class Readings:
    """An action on a copy of the store, while a call fails, against what it does undisturbed."""

    def __init__(self, action: str, store: Path, corpus: Manifest, folder: Path) -> None:
        self.work, self.store, self.corpus = ACTIONS[action], store, corpus
        self.folder = folder / "readings"
        self.root = self.folder / "store"
        shutil.copytree(store, self.root)
        self.before = contents(store)
        self.result = settled(self.work(self.root, corpus))
        self.left = contents(self.root)
        self.changes = self.left != self.before
        clear(self.folder)

    def check(self, calls: FailingCalls) -> None:
        if not self.root.exists():
            shutil.copytree(self.store, self.root)
        flagged: Exception | None = None
        result = None
        try:
            with warnings.catch_warnings(), calls:
                warnings.simplefilter("ignore")  # of file systems without locks
                result = self.work(self.root, self.corpus)
        except (ErcError, FlaggedError) as error:
            flagged = error
        assert "\n" not in str(flagged)
        after = contents(self.root)
        for name, content in self.before.items():
            if after.get(name) == content:
                continue
            assert name not in self.left or name.endswith((".lock", ".media-digests.parquet")), f"{name} is gone"
            moved = [found for path, found in after.items() if path.endswith(name.rpartition("/")[2])]
            assert content in moved or self.work is gc, f"{name} is lost"
        assert not calls.failed or flagged or settled(result) == self.result, (
            "silent: another result, and nothing was said"
        )
        if after != self.before or (self.folder / "out").exists():
            clear(self.folder)


@pytest.fixture
def readings(
    request: pytest.FixtureRequest, store: Path, damaged_store: Path, corpus: Manifest, tmp_path: Path
) -> Readings:
    action = request.param
    chosen = damaged_store if action in ("verify", "repair") else store
    return Readings(action, chosen, corpus, tmp_path)


@pytest.mark.parametrize("readings", ACTIONS, indirect=True)
def test_a_sample_of_the_points_of_reading(readings: Readings) -> None:
    started = time.monotonic()
    tried = sweep(
        readings.check,
        (readings.folder,),
        modes=("once",),
        errors_each=1,
        stride=lambda number: number + 1 + number // 2,
    )
    print(described(tried, time.monotonic() - started))
    assert tried.total() >= 10
    assert tried.keys() >= {"open", "read"}


@pytest.mark.slow
@pytest.mark.parametrize("readings", ACTIONS, indirect=True)
def test_every_point_of_reading(readings: Readings) -> None:
    started = time.monotonic()
    tried = sweep(readings.check, (readings.folder,))
    print(described(tried, time.monotonic() - started))
    assert tried.total() >= 50
    assert tried.keys() >= {"open", "read"}
