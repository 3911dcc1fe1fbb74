"""Calls of the system fail, one after another, while features are extracted: nothing is lost, done twice or silent.

For every kind of call, error and n the n-th such call fails. The run either does its work or says in one line why not;
the next run then makes the store of a run that nothing interrupted, and touches no committed file.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from failing_calls import FailingCalls
from faulted_runs import NUM_CHUNKS, check_run, clear, described, extract, make_corpus, small_and_fast, sweep

from features.manifest import Manifest
from features.store import Store


@pytest.fixture(scope="module", autouse=True)
def fast() -> Iterator[None]:
    with small_and_fast():
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_corpus(tmp_path_factory.mktemp("corpus") / "media")


@pytest.fixture(scope="module")
def whole(corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that nothing interrupted."""
    store = tmp_path_factory.mktemp("whole") / "store"
    assert extract(corpus, store).error is None
    assert [len(feature.names) for feature in Store(store).features()] == [NUM_CHUNKS] * 2
    return store


class Runs:
    """Each check in a folder of its own, which is new, and below which calls fail."""

    def __init__(self, corpus: Manifest, whole: Path, folder: Path) -> None:
        self.corpus, self.whole, self.folder = corpus, whole, folder / "runs"

    def check(self, calls: FailingCalls) -> None:
        self.folder.mkdir()
        check_run(self.corpus, self.whole, self.folder / "store", calls)
        clear(self.folder)


@pytest.fixture
def runs(corpus: Manifest, whole: Path, tmp_path: Path) -> Runs:
    return Runs(corpus, whole, tmp_path)


def test_a_run_passes_many_calls_and_each_kind_is_seen(corpus: Manifest, tmp_path: Path) -> None:
    calls = FailingCalls((tmp_path,))
    assert extract(corpus, tmp_path / "store", calls).error is None
    assert calls.failed == 0
    for kind, number in {
        "open": 40,
        "write": 20,
        "fsync": 40,
        "link": 20,
        "unlink": 20,
        "stat": 20,
        "mkdir": 3,
    }.items():
        assert calls.seen[kind] >= number, kind
    for kind in ("read", "close", "scandir", "flock"):
        assert calls.seen[kind], kind


def test_a_sample_of_the_points_of_an_extraction(runs: Runs) -> None:
    """One error of each kind; the first calls of it, and ever fewer of the later ones."""
    started = time.monotonic()
    tried = sweep(
        runs.check,
        (runs.folder,),
        modes=("once", "late"),
        errors_each=1,
        stride=lambda number: 2 * number,
    )
    print(described(tried, time.monotonic() - started))
    assert tried.total() >= 60
    assert tried.keys() >= {"open", "read", "write", "close", "fsync", "link", "unlink", "mkdir", "scandir", "flock"}


@pytest.mark.slow
def test_every_point_of_an_extraction(runs: Runs) -> None:
    started = time.monotonic()
    tried = sweep(runs.check, (runs.folder,))
    print(described(tried, time.monotonic() - started))
    assert tried.total() >= 1_000
    assert tried.keys() >= {"open", "read", "write", "close", "fsync", "link", "unlink", "mkdir", "scandir", "flock"}


def check_clips(runs: Runs, calls: FailingCalls) -> None:
    """A clip that cannot be read is `failed`, never `missing`, and `--retry-failed` makes it; one that has a row keeps
    it, whatever happens to the clip's folder."""
    store = runs.folder / "store"
    outcome = extract(runs.corpus, store, calls)
    expected = clip_rows(runs.whole, runs.corpus)
    for here, there in zip(clip_rows(store, runs.corpus), expected, strict=True):
        is_told = here[0] == "failed" or (here[0] == "absent" and outcome.error is not None)
        assert here == there or is_told, f"{here}, not {there}"
    assert extract(runs.corpus, store, retry_failed=True).error is None
    assert clip_rows(store, runs.corpus) == expected
    disturbed = FailingCalls(calls.roots, calls.kind, calls.error, calls.number, calls.mode)
    assert not extract(runs.corpus, store, disturbed).encoded[1]
    assert clip_rows(store, runs.corpus) == expected
    clear(runs.folder)


def clip_rows(store: Path, corpus: Manifest) -> list[tuple[str, str | None, bytes]]:
    """Status, reason and embedding of each clip, as far as there are any."""
    if not store.is_dir() or not any(item.spec.modality == "audio" for item in Store(store).features()):
        return [("absent", None, b"")] * len(corpus)
    rows = Store(store, corpus).choose("audio", "digest").read(corpus.ids)
    values = [row.tobytes() for row in rows.values]
    return list(zip(rows.status, rows.reason, values, strict=True))


def test_a_sample_of_the_points_of_reading_clips(runs: Runs) -> None:
    started = time.monotonic()
    assert runs.corpus.media_root is not None
    tried = sweep(
        partial(check_clips, runs),
        (runs.corpus.media_root,),
        kinds=("open", "read", "stat"),
        modes=("once",),
        errors_each=1,
        stride=lambda number: number + 15,
    )
    print(described(tried, time.monotonic() - started))
    assert tried.total() >= 12


@pytest.mark.slow
def test_every_point_of_reading_clips(runs: Runs) -> None:
    started = time.monotonic()
    assert runs.corpus.media_root is not None
    tried = sweep(partial(check_clips, runs), (runs.corpus.media_root,), kinds=("open", "read", "stat"))
    print(described(tried, time.monotonic() - started))
    assert tried.total() >= 500


def test_every_point_of_giving_names_without_hard_links(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system has none, files are renamed, and by Python where the C library cannot."""
    monkeypatch.setattr("features.store.placing._renamer", lambda: None)
    started = time.monotonic()

    def check(calls: FailingCalls) -> None:
        with FailingCalls((runs.folder,), "link", errno.EPERM, 1, "gone"):
            runs.check(calls)

    tried = sweep(
        check,
        (runs.folder,),
        kinds=("rename",),
        modes=("once", "late"),
        errors_each=1,
        stride=lambda number: number + 3,
    )
    print(described(tried, time.monotonic() - started))
    assert tried["rename"] >= (2 + 2 * 3 * NUM_CHUNKS) // 3
