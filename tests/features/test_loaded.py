"""features.load: one feature as a tensor, beside the manifest's rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_corpus import edited, make_manifest, make_store

import features
from features.errors import FeatureChoiceError, ManifestError, Reason, StaleFeaturesError, UnavailableError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store import Store, write_feature

TOKENS = EncoderSpec("text", "tokens", 1, "text", "sequence", (3,), stored_dtype="float16")


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Manifest]:
    """The small corpus at the places that `load` looks at; three utterances have no embedding."""
    (tmp_path / "data").mkdir()
    manifest = make_manifest(tmp_path / "data" / "manifest.parquet")
    store = make_store(tmp_path / "store", manifest, missing=(0, 3, 61))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ERC_STORE", raising=False)
    monkeypatch.delenv("ERC_MANIFEST", raising=False)
    return store, manifest


def test_rows_are_those_of_the_store_in_the_manifests_order(corpus: tuple[Path, Manifest]) -> None:
    store, manifest = corpus
    loaded = features.load("logmel")
    rows = Store(store, manifest).choose("audio", "logmel").read(manifest.ids)
    assert loaded.tensor.dtype == torch.float32
    assert loaded.tensor.numpy().tobytes() == rows.values.tobytes()
    assert loaded.present.tolist() == rows.present.tolist()
    assert sorted(np.flatnonzero(~rows.present).tolist()) == [0, 3, 61]
    assert loaded.frame["utterance_id"].to_list() == manifest.ids
    assert loaded.frame["status"].to_list() == rows.status
    assert loaded.frame["reason"].to_list() == rows.reason
    assert [loaded.classes[number] for number in loaded.labels if number >= 0] == [
        label for label in manifest.frame["label"] if label is not None
    ]


def test_a_split_alone(corpus: tuple[Path, Manifest]) -> None:
    whole, dev = features.load("logmel"), features.load("logmel", split="dev")
    places = [place for place, split in enumerate(whole.frame["split"]) if split == "dev"]
    assert 0 < len(dev) == len(places) < len(whole)
    assert torch.equal(dev.tensor, whole.tensor[places])
    assert dev.frame["utterance_id"].to_list() == whole.frame["utterance_id"].gather(places).to_list()
    with pytest.raises(ManifestError, match="nosuch"):
        features.load("logmel", split="nosuch")


def test_sequences_are_padded_with_zeros(corpus: tuple[Path, Manifest]) -> None:
    store, manifest = corpus
    generator = np.random.default_rng(3)
    arrays = {
        name: generator.standard_normal((place % 5 + 1, 3)).astype(np.float16)
        for place, name in enumerate(manifest.ids)
        if place != 1
    }
    write_feature(store, TOKENS, manifest, arrays, {manifest.ids[1]: UnavailableError(Reason.NO_TEXT)})
    loaded = features.load("text/tokens", manifest=manifest, store=store)
    assert loaded.tensor.dtype == torch.float16
    assert loaded.tensor.shape == (len(manifest), 5, 3)
    assert loaded.lengths is not None
    for place, name in enumerate(manifest.ids):
        length = int(loaded.lengths[place])
        assert length == (len(arrays[name]) if name in arrays else 0)
        assert not loaded.tensor[place, length:].any()
        assert bool(loaded.present[place]) is (name in arrays)
        if name in arrays:
            assert loaded.tensor[place, :length].numpy().tobytes() == arrays[name].tobytes()
    assert loaded.frame["reason"][1] == Reason.NO_TEXT
    assert (loaded.frame["status"] == "ok").to_list() == loaded.present.tolist()


def test_places_come_from_the_environment(corpus: tuple[Path, Manifest], monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = corpus
    monkeypatch.setenv("ERC_STORE", str(store.rename(store.with_name("elsewhere"))))
    moved = Path("data/manifest.parquet").rename("other.parquet")
    monkeypatch.setenv("ERC_MANIFEST", str(moved))
    assert len(features.load("logmel", split="train"))


def test_names_that_mean_nothing_or_two_things(corpus: tuple[Path, Manifest], tmp_path: Path) -> None:
    store, manifest = corpus
    with pytest.raises(FeatureChoiceError, match="logmel"):
        features.load("logmell")
    (tmp_path / "none").mkdir()
    with pytest.raises(FeatureChoiceError, match="empty: fill it with `erc extract`"):
        features.load("logmel", store=tmp_path / "none")
    two = EncoderSpec("visual", "logmel", 1, "media", "vector", (2,))
    write_feature(store, two, manifest, {name: np.ones(2, np.float32) for name in manifest.ids}, {})
    with pytest.raises(FeatureChoiceError, match="audio/logmel or visual/logmel"):
        features.load("logmel")
    assert features.load("visual/logmel").tensor.shape[1] == 2


def test_stale_rows_are_refused(corpus: tuple[Path, Manifest], tmp_path: Path) -> None:
    _, manifest = corpus
    changed = edited(manifest, tmp_path / "edited.parquet", manifest.ids[0], text="Something else.")
    with pytest.raises(StaleFeaturesError, match="erc extract"):
        features.load("sentence", manifest=changed)
    assert len(features.load("sentence", manifest=changed, allow_stale=True)) == len(manifest)


def test_the_package_alone_is_light() -> None:
    code = "import features, sys; assert not {'torch', 'polars', 'numpy'} & set(sys.modules); features.read_manifest"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="nosuch"):
        features.nosuch
