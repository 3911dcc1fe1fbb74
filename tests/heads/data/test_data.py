"""Store and manifest joined: by id, train statistics only, stale rows and odd features refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from small_corpus import HOG, LABELS, LOGMEL, SENTENCE, edited, embeddings, make_manifest, make_store

from features.cards import DatasetCard
from features.errors import FeatureChoiceError, ManifestError, StaleFeaturesError, StoreError, UsageError
from features.manifest import Manifest
from features.store import Feature, Store, write_feature
from heads.data.batch import batch_of
from heads.data.data import FeatureShape, HeadData, apply_feature, check_fresh, choose_features, fit_feature, read_rows
from heads.data.sequences import Sequences
from heads.data.utterances import read_utterances


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return make_manifest(tmp_path / "M.parquet", unlabelled=2)


def test_labels_follow_the_cards_order_and_null_is_minus_one(manifest: Manifest) -> None:
    utterances = read_utterances(manifest, ["train", "dev"])
    assert utterances.label_names == LABELS
    assert utterances.labels[:2].tolist() == [-1, -1]
    gold = dict(manifest.frame.select("utterance_id", "label").iter_rows())
    for place in range(2, len(utterances)):
        assert LABELS[utterances.labels[place]] == gold[utterances.ids[place]]
    assert set(utterances.splits) == {"train", "dev"}
    assert utterances.counts("train").sum() == 58


def test_an_unknown_label_a_card_without_labels_and_an_unknown_split_are_refused(manifest: Manifest) -> None:
    card = replace(manifest.card, labels=("joy", "anger", "neutrall"))
    with pytest.raises(ManifestError, match=r"label 'neutral' is not on its dataset card.*did you mean 'neutrall'"):
        read_utterances(replace(manifest, card=card), ["train"])
    with pytest.raises(ManifestError, match="lists no labels"):
        read_utterances(replace(manifest, card=DatasetCard("tiny")), ["train"])
    with pytest.raises(ManifestError, match="no split 'valid'"):
        read_utterances(manifest, ["valid"])


def test_rows_are_joined_by_id_in_whatever_order_the_manifest_stands(tmp_path: Path, manifest: Manifest) -> None:
    store = Store(make_store(tmp_path / "store", manifest, (SENTENCE,)))
    values, present = read_rows(store.features()[0], manifest.ids[::-1])
    expected = embeddings(manifest, SENTENCE, seed=0)
    assert present.all()
    assert np.array_equal(values, np.stack([expected[key] for key in manifest.ids[::-1]]))


def test_standardising_uses_train_rows_that_are_present_only(tmp_path: Path, manifest: Manifest) -> None:
    vectors = embeddings(manifest, LOGMEL)
    train = [key for key in manifest.ids if "/train/" in key]
    for key in manifest.ids:
        if key not in train:
            vectors[key] = vectors[key] * 1e6  # dev and test are poisoned
    from features.errors import Reason, UnavailableError

    gone = {key: UnavailableError(Reason.NO_AUDIO) for key in train[:5]}
    feature = write_feature(tmp_path / "store", LOGMEL, manifest, vectors, gone)
    rows = fit_feature(feature, read_utterances(manifest, ["train", "dev"]), "standardise")
    there = np.stack([vectors[key] for key in train[5:]]).astype(np.float64)
    assert np.allclose(rows.normaliser.mean, there.mean(axis=0), rtol=1e-6)
    assert np.allclose(rows.normaliser.scale[:-1], there.std(axis=0)[:-1], rtol=1e-5)  # type: ignore[index]
    assert rows.present.tolist() == [key not in gone for key in read_utterances(manifest, ["train", "dev"]).ids]
    assert not rows.values[~rows.present].any()
    again = apply_feature(feature, read_utterances(manifest, ["dev"]), rows.normaliser)
    assert np.array_equal(again.values, rows.values[60:])


def test_a_mapped_file_holds_the_same_values(tmp_path: Path, manifest: Manifest) -> None:
    feature = write_feature(tmp_path / "store", SENTENCE, manifest, embeddings(manifest, SENTENCE))
    utterances = read_utterances(manifest, ["train", "dev"])
    in_memory = fit_feature(feature, utterances, "l2+standardise")
    path = tmp_path / "values.npy"
    mapped = fit_feature(
        feature, utterances, "l2+standardise", lambda shape, dtype: np.lib.format.open_memmap(path, "w+", dtype, shape)
    )
    assert isinstance(mapped.values, np.memmap)
    assert np.array_equal(mapped.values, in_memory.values)
    assert np.array_equal(np.load(path), in_memory.values)


def test_a_feature_without_any_train_row_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    feature = write_feature(tmp_path / "s", SENTENCE, manifest.select_splits(["dev"]), embeddings(manifest, SENTENCE))
    with pytest.raises(StoreError, match="none of the 60 train utterances has an embedding"):
        fit_feature(feature, read_utterances(manifest, ["train", "dev"]), "none")


def test_a_stack_is_laid_end_to_end(tmp_path: Path, manifest: Manifest) -> None:
    stack = replace(SENTENCE, kind="stack", shape=(2, 3), alias="layers")
    vectors = {key: np.arange(6, dtype=np.float32).reshape(2, 3) for key in manifest.ids}
    feature = write_feature(tmp_path / "store", stack, manifest, vectors)
    assert read_rows(feature, manifest.ids[:1])[0].tolist() == [[0, 1, 2, 3, 4, 5]]
    rows = fit_feature(feature, read_utterances(manifest, ["train", "dev"]), "none")
    assert rows.shape == FeatureShape("stack", (2, 3))
    assert rows.values.shape == (len(rows.present), 6)


def sequence_feature(
    path: Path, manifest: Manifest, shape: tuple[int, ...], dtype: str
) -> tuple[Feature, dict[str, np.ndarray]]:
    """Sequences of 0 to 6 elements, the third utterance without one; dev is a hundred times as large."""
    from features.errors import Reason, UnavailableError

    generator = np.random.default_rng(0)
    values = {
        key: (generator.normal(1.0, 2.0, (place % 7, *shape)) * (100 if "/dev/" in key else 1)).astype(dtype)
        for place, key in enumerate(manifest.ids)
    }
    gone = manifest.ids[2]
    spec = replace(SENTENCE, kind="sequence", shape=shape, stored_dtype=dtype, alias="tokens")
    feature = write_feature(path, spec, manifest, values, {gone: UnavailableError(Reason.NO_TEXT)})
    values[gone] = values[gone][:0]
    return feature, values


def test_sequences_stand_end_to_end_standardised_by_train_elements(tmp_path: Path, manifest: Manifest) -> None:
    feature, values = sequence_feature(tmp_path / "store", manifest, (3,), "float32")
    utterances = read_utterances(manifest, ["train", "dev"])
    rows = fit_feature(feature, utterances, "standardise")
    train = np.concatenate([values[utterances.ids[row]] for row in utterances.rows("train")]).astype(np.float64)
    assert rows.shape == FeatureShape("sequence", (3,))
    assert rows.offsets is not None
    for place, key in enumerate(utterances.ids):
        mine = rows.values[rows.offsets[place] : rows.offsets[place + 1]]
        assert np.allclose(mine, (values[key] - train.mean(axis=0)) / train.std(axis=0), rtol=1e-4, atol=1e-5)
    assert rows.present.tolist() == [place != 2 for place in range(len(utterances))]
    again = apply_feature(feature, read_utterances(manifest, ["dev"]), rows.normaliser)
    assert np.array_equal(again.values, rows.values[rows.offsets[60] :])


def test_a_waveform_stays_as_stored_and_is_scaled_by_one_train_rms(tmp_path: Path, manifest: Manifest) -> None:
    feature, values = sequence_feature(tmp_path / "store", manifest, (1,), "float16")
    utterances = read_utterances(manifest, ["train", "dev"])
    rows = fit_feature(feature, utterances, "standardise")
    train = np.concatenate([values[utterances.ids[row]] for row in utterances.rows("train")]).astype(np.float64)
    assert rows.values.dtype == np.float16
    assert rows.values.ndim == 1
    assert rows.scale == pytest.approx(1 / np.sqrt((train**2).mean()), rel=1e-5)
    assert fit_feature(feature, utterances, "none").scale == 1.0
    item = batch_of(HeadData(utterances, {"text": (rows,)})).select(torch.tensor([6, 2, 1])).values["text"][0]
    assert isinstance(item, Sequences)
    padded, mask = item.padded()
    assert mask.sum(dim=1).tolist() == [6, 0, 1]
    assert np.allclose(padded[0].numpy(), values[utterances.ids[6]][:, 0].astype(np.float32) * rows.scale)
    assert not padded[~mask].any()


def test_who_speaks_where(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "M.parquet")
    utterances = read_utterances(manifest, ["train", "dev"])
    names = dict(zip(utterances.ids, utterances.speakers, strict=True))
    assert names == dict(manifest.frame.filter(pl.col("split") != "test").select("utterance_id", "speaker").iter_rows())
    dialogues = manifest.frame.filter(pl.col("split") != "test")["dialogue_id"].to_list()
    same = [one == other for one, other in pairwise(dialogues)]
    assert (np.diff(utterances.dialogues) == 0).tolist() == same
    first = {}
    for dialogue, slot, name in zip(utterances.dialogues, utterances.slots, utterances.speakers, strict=True):
        assert first.setdefault((dialogue, name), slot) == slot
    for dialogue in set(utterances.dialogues):
        slots = utterances.slots[utterances.dialogues == dialogue].tolist()
        assert list(dict.fromkeys(slots)) == list(range(len(set(slots))))
    rows = utterances.rows("train")
    counts = {name: sum(utterances.speakers[row] == name for row in rows) for name in "AB"}
    assert utterances.frequent_speakers(min(counts.values())) == tuple(sorted(counts, key=lambda n: (-counts[n], n)))
    assert utterances.frequent_speakers(max(counts.values()) + 1) == ()


def test_nobody_known_is_a_stranger_each_time(tmp_path: Path) -> None:
    """A blank speaker, or the placeholder of older manifests, is no person whom a head could know or follow."""
    manifest = make_manifest(tmp_path / "M.parquet")
    frame = manifest.frame
    nobody = pl.Series("speaker", ["unknown", "", " unknown ", "A"] * len(frame))[: len(frame)]
    masked = read_utterances(replace(manifest, frame=frame.with_columns(nobody)), ["train"])
    assert set(masked.speakers) == {"", "A"}
    assert masked.frequent_speakers(1) == ("A",)
    for dialogue in set(masked.dialogues):
        rows = np.flatnonzero(masked.dialogues == dialogue)
        slots = [masked.slots[row] for row in rows if not masked.speakers[row]]
        of_a = {masked.slots[row] for row in rows if masked.speakers[row] == "A"}
        assert len(set(slots)) == len(slots)
        assert len(of_a) <= 1
        assert not of_a & set(slots)
        assert set(slots) | of_a == set(range(len(slots) + len(of_a)))
    blank = read_utterances(replace(manifest, frame=frame.with_columns(pl.lit("").alias("speaker"))), ["train"])
    placeholder = read_utterances(
        replace(manifest, frame=frame.with_columns(pl.lit("unknown").alias("speaker"))), ["train"]
    )
    assert blank.digest() == placeholder.digest()


def test_choosing_names_what_is_wrong(tmp_path: Path, manifest: Manifest) -> None:
    store = Store(make_store(tmp_path / "store", manifest, (SENTENCE, HOG)))
    chosen = choose_features(store, {"text": [f"sentence@{SENTENCE.fingerprint[:6]}"], "visual": ["hog-colour"]})
    assert [item.fingerprint for item in chosen["text"]] == [SENTENCE.fingerprint]
    with pytest.raises(FeatureChoiceError, match="did you mean 'sentence'"):
        choose_features(store, {"text": ["sentense"]})
    with pytest.raises(UsageError, match="chosen more than once"):
        choose_features(store, {"text": ["sentence", {"encoder": "sentence"}]})


def test_stale_rows_are_counted_named_and_mended(tmp_path: Path, manifest: Manifest) -> None:
    feature = Store(make_store(tmp_path / "store", manifest, (SENTENCE,))).features()[0]
    check_fresh(feature, manifest, "mend")
    changed = edited(manifest, tmp_path / "changed.parquet", "tiny/dev/dia0_utt1", text="something else")
    with pytest.raises(
        StaleFeaturesError, match=r"1 of 108 .*first is tiny/dev/dia0_utt1\): run `mend`.*--allow-stale"
    ):
        check_fresh(feature, changed, "mend")
