"""FeatureDataset: the same bytes in this process and in workers, however they start, cold and warm."""

from __future__ import annotations

import itertools
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from small_corpus import SENTENCE, edited, make_manifest, make_store
from torch.utils.data import DataLoader

from features.errors import Reason, StaleFeaturesError, UnavailableError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store import Store, open_writer, write_feature
from features.store.garbage import plan_garbage, remove_garbage
from features.store.ledger import LedgerRow
from features.torch import UNLABELLED, FeatureDataset, collate

TOKENS = EncoderSpec("text", "tokens", 1, "text", "sequence", (3,), stored_dtype="float16")


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Manifest]:
    manifest = make_manifest(tmp_path / "M.parquet")
    store = make_store(tmp_path / "store", manifest, missing=(0, 3, 61))
    generator = np.random.default_rng(3)
    lengths = {name: place % 5 + 1 for place, name in enumerate(manifest.ids)}
    write_feature(
        store,
        TOKENS,
        manifest,
        {name: generator.standard_normal((length, 3)).astype(np.float16) for name, length in lengths.items()},
        {manifest.ids[1]: UnavailableError(Reason.NO_TEXT)},
    )
    return store, manifest


def flat(batches: list[dict[str, Any]]) -> list[tuple[str, bytes, bytes, bytes]]:
    """(id, the three embeddings' bytes, without padding) of every item."""
    items = []
    for batch in batches:
        for place, name in enumerate(batch["utterance_id"]):
            tokens = batch["inputs"]["text"][place][batch["mask"]["text"][place]]
            vectors = [batch["inputs"][key][place].numpy().tobytes() for key in ("audio", "visual")]
            items.append((name, vectors[0], vectors[1], tokens.numpy().tobytes()))
    return items


def dataset(store: Path, manifest: Manifest, split: str = "train") -> FeatureDataset:
    return FeatureDataset(store, manifest, {"text": "tokens", "audio": "logmel", "visual": "hog-colour"}, split)


@pytest.mark.parametrize(("start", "warm"), list(itertools.product(["fork", "spawn", "forkserver"], [False, True])))
def test_workers_give_the_bytes_of_this_process(corpus: tuple[Path, Manifest], start: str, warm: bool) -> None:
    store, manifest = corpus
    pl.concat([manifest.frame] * 50).group_by("speaker").len()  # polars' threads are there before any fork
    expected = flat(list(DataLoader(dataset(store, manifest), batch_size=7, collate_fn=collate)))
    data = dataset(store, manifest)
    if warm:
        assert flat([collate([item]) for item in data]) == expected
    context = SpawnContext() if start == "spawn" else start  # by its name it is a fork server's here: see conftest.py
    loader = DataLoader(
        data, batch_size=7, collate_fn=collate, num_workers=2, multiprocessing_context=context, timeout=120
    )
    assert flat(list(loader)) == expected
    assert len(expected) == len(data) == (manifest.frame["split"] == "train").sum()


class ReadsByItself(torch.utils.data.Dataset[bytes]):
    """A user's own dataset, which opens the feature when its first item is asked for (cold), or before (warm)."""

    def __init__(self, store: Path, ids: list[str], warm: bool) -> None:
        self.store, self.ids = store, ids
        self.feature = Store(store).choose("text", "sentence")
        if warm:
            self.feature.read(ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> bytes:
        return self.feature.read([self.ids[place]]).values.tobytes()


@pytest.mark.parametrize("warm", [False, True])
def test_reading_by_id_in_a_forked_worker_does_not_hang(corpus: tuple[Path, Manifest], warm: bool) -> None:
    store, manifest = corpus
    expected = Store(store).choose("text", "sentence").read(manifest.ids).values
    manifest.frame.group_by("speaker").len()
    data = ReadsByItself(store, manifest.ids, warm)
    loader = DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60)
    assert b"".join(loader) == expected.tobytes()


def test_items_say_what_they_are(corpus: tuple[Path, Manifest]) -> None:
    store, manifest = corpus
    data = FeatureDataset(store, manifest, {"text": "tokens", "audio": "logmel"}, "train")
    rows = manifest.select_splits(["train"])
    labels = rows.frame["label"].to_list()
    assert [item["label"] for item in data] == [
        UNLABELLED if label is None else manifest.card.labels.index(label) for label in labels
    ]
    assert [item["utterance_id"] for item in data] == rows.ids
    first, second = data[0], data[1]
    assert (first["present"], second["present"]) == ({"text": True, "audio": False}, {"text": False, "audio": True})
    assert second["inputs"]["text"].shape == (0, 3)
    assert second["length"] == {"text": 0}
    assert first["inputs"]["audio"].eq(0).all()
    assert second["inputs"]["audio"].dtype == torch.float32
    assert data[-1]["utterance_id"] == rows.ids[-1]
    with pytest.raises(IndexError, match=f"item {len(data)} of {len(data)}"):
        data[len(data)]


def test_a_batch_of_sequences_is_padded_and_masked(corpus: tuple[Path, Manifest]) -> None:
    store, manifest = corpus
    data = FeatureDataset(store, manifest, {"text": "tokens"}, "train")
    items = [data[place] for place in (1, 2, 3)]
    batch = collate(items)
    assert batch["mask"]["text"].sum(dim=1).tolist() == [0, 3, 4]
    assert batch["inputs"]["text"].dtype == torch.float16
    assert batch["inputs"]["text"][~batch["mask"]["text"]].eq(0).all()
    assert batch["inputs"]["text"][2][:4].equal(items[2]["inputs"]["text"])


def test_stale_rows_are_refused(corpus: tuple[Path, Manifest], tmp_path: Path) -> None:
    store, manifest = corpus
    other = edited(manifest, tmp_path / "E.parquet", manifest.ids[5], text="something else")
    with pytest.raises(StaleFeaturesError, match=rf"1 of 60 utterances .* \(the first is {manifest.ids[5]}\)"):
        FeatureDataset(store, other, {"text": "sentence"}, "train")
    assert len(FeatureDataset(store, other, {"text": "sentence"}, "train", allow_stale=True)) == 60


def test_what_is_open_survives_gc(corpus: tuple[Path, Manifest]) -> None:
    """Rows that were made again, and whose older shards were cleared away, are found in the newer ones."""
    store, manifest = corpus
    data = FeatureDataset(store, manifest, {"text": "sentence"}, "train")
    feature = Store(store).choose("text", "sentence")
    before = feature.read(manifest.ids).values
    fresh = FeatureDataset(store, manifest, {"text": "sentence"}, "train")
    vectors = {name: vector + 1 for name, vector in zip(manifest.ids, before, strict=True)}
    digests = manifest.source_digests(SENTENCE.depends)
    with open_writer(store, SENTENCE) as writer:
        rows = [LedgerRow(name, digest) for name, digest in zip(manifest.ids, digests, strict=True)]
        writer.commit(0, rows, vectors, 1)
    feature.close_shards()
    assert data[3]["inputs"]["text"].numpy().tobytes() == before[3].tobytes()
    assert remove_garbage(store, plan_garbage(store).items) > 0
    assert fresh[3]["inputs"]["text"].numpy().tobytes() == (before[3] + 1).tobytes()
    assert feature.read(manifest.ids).values.tobytes() == (before + 1).tobytes()
