"""Each utterance, by its id, has the same numbers, split, text and labels in every format as in the store."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tool_corpus import (
    EMOTIONS,
    FACES,
    FRAMES,
    LAYERS,
    SENTIMENTS,
    SOUND,
    SPECS,
    TOKENS,
    WAVE,
    WORDS,
    Corpus,
    make_corpus,
)
from tool_readers import (
    CONV_EMOTIONS,
    CONV_SENTIMENTS,
    MER_EMOTIONS,
    Seen,
    read_conv_emotion,
    read_mertools,
    read_mmsa,
)

from features.exports.export import export_for_tool
from features.exports.request import Request
from features.spec import EncoderSpec

SEEDS = st.integers(0, 2**16)
FEW = settings(max_examples=4, deadline=None)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def export(corpus: Corpus, file_format: str, *specs: EncoderSpec, length: int | None = None) -> Path:
    out = Path(tempfile.mkdtemp(dir=corpus.root)) / "out"
    return export_for_tool(Request(corpus.features(*specs), corpus.manifest, length), out, file_format).path


def check_values(corpus: Corpus, seen: Mapping[str, Seen], places: Mapping[str, EncoderSpec]) -> None:
    """Bit for bit: float16 becomes float32 without loss. Zeros stand for what is gone."""
    compared = 0
    for key, found in seen.items():
        for place, spec in places.items():
            stored = corpus.made[spec.encoder].get(key)
            d = math.prod(spec.shape)
            expected = np.zeros((1, d), np.float32) if stored is None else stored.reshape(-1, d).astype(np.float32)
            assert found.values[place].dtype == np.float32
            assert found.values[place].tobytes() == expected.tobytes(), (key, place)
            compared += stored is not None
    assert compared > len(seen)


def check_mmsa(corpus: Corpus) -> None:
    seen = read_mmsa(export(corpus, "mmsa", LAYERS, FRAMES, FACES))
    assert seen.keys() == set(corpus.manifest.ids)
    check_values(corpus, seen, {"text": LAYERS, "audio": FRAMES, "vision": FACES})
    for key, found in seen.items():
        row = corpus.row(key)
        assert found.split == {"train": "train", "dev": "valid", "test": "test"}[row["split"]]
        assert found.told["text"] == row["text"]
        assert found.told["score"] == {"negative": -1.0, "neutral": 0.0, "positive": 1.0}[row["sentiment"]]
        assert SENTIMENTS[found.told["class"]] == row["sentiment"] == found.told["annotation"].lower()
        assert found.told["label"] == row["label"]
        assert found.told["group"] == (row["group"] or "")
        assert found.told["duration"] == row["duration"] or (
            row["duration"] is None and np.isnan(found.told["duration"])
        )


def check_mertools(corpus: Corpus) -> None:
    out = export(corpus, "mertools", WORDS, TOKENS, SOUND, FRAMES)
    seen = read_mertools(out)
    assert seen.keys() == set(corpus.manifest.ids)
    places = {"text_sentence-UTT": WORDS, "text_tokens-FRA": TOKENS, "audio_logmel-UTT": SOUND}
    check_values(corpus, seen, places | {"audio_wave_frames-FRA": FRAMES})
    english = dict(pl.read_csv(out / "transcription.csv").select("name", "english").iter_rows())
    table = {row["utterance_id"]: row for row in pl.read_parquet(out / "utterances.parquet").iter_rows(named=True)}
    for key, found in seen.items():
        row = corpus.row(key)
        assert found.split == {"train": "train", "dev": "val", "test": "test"}[row["split"]]
        assert found.told["name"] == f"{found.split}_{key.rpartition('/')[2]}"
        assert MER_EMOTIONS[found.told["emo"]] == row["label"]
        assert found.told["val"] == SENTIMENTS.index(row["sentiment"]) - 1
        assert english[found.told["name"]] == row["text"]
        for name in ("text", "sentiment", "duration", "group", "speaker", "turn", "label", "split"):
            assert table[key][name] == row[name]


def check_conv_emotion(corpus: Corpus) -> None:
    path = export(corpus, "conv-emotion", WORDS, SOUND)
    seen, again = read_conv_emotion(path, 7), read_conv_emotion(path, 3)
    assert list(seen) != corpus.manifest.ids  # the splits stand in another order
    assert seen.keys() == again.keys() == set(corpus.manifest.ids)
    check_values(corpus, seen, {"text": WORDS, "audio": SOUND})
    for key, found in seen.items():
        row = corpus.row(key)
        assert found.split == {"train": "train", "dev": "train", "test": "test"}[row["split"]]
        assert CONV_EMOTIONS[found.told["label"]] == row["label"]
        assert CONV_SENTIMENTS[again[key].told["label"]] == row["sentiment"]
        assert (found.told["text"], found.told["dialogue"]) == (row["text"], row["dialogue_id"])


def check_parquet_row(corpus: Corpus, row: Mapping[str, Any], places: Mapping[str, EncoderSpec]) -> None:
    stored = corpus.row(row["utterance_id"])
    for name in ("split", "dialogue_id", "turn", "speaker", "label", "text", "sentiment", "duration", "group"):
        assert row[name] == stored[name], name
    for place, spec in places.items():
        expected = corpus.made[spec.encoder].get(row["utterance_id"])
        assert (row[f"{place}_status"], row[f"{place}_reason"]) == (
            ("missing", "no-text") if expected is None else ("ok", None)
        )
        if expected is None:
            assert row[place] is None
        else:
            assert np.array(row[place], spec.stored_dtype).tobytes() == expected.tobytes()


def check_hf(corpus: Corpus) -> None:
    import datasets

    places = {"text_sentence": WORDS, "text_layers": LAYERS, "text_tokens": TOKENS, "audio_logmel": SOUND}
    places |= {"audio_waveform": WAVE, "visual_hog_colour": FACES}
    out = export(corpus, "hf", *places.values())
    loaded = datasets.load_dataset(str(out), cache_dir=str(out.parent / "cache"))
    by_split = corpus.manifest.frame.group_by("split").agg("utterance_id")
    assert set(loaded) == {"train", "dev", "test"}
    for split, ids in by_split.iter_rows():
        rows = list(loaded[split])
        assert [row["utterance_id"] for row in rows] == ids
        file = out / "data" / f"{split}-00000-of-00001.parquet"
        others = {
            "polars": pl.read_parquet(file).to_dicts(),
            "duckdb": [
                dict(zip(corpus_columns(file), row, strict=True))
                for row in duckdb.execute("FROM read_parquet(?)", [str(file)]).fetchall()
            ],
        }
        for row in [*rows, *others["polars"], *others["duckdb"]]:
            check_parquet_row(corpus, row, places)
        frame = pd.read_parquet(file)
        assert frame["utterance_id"].tolist() == ids
        for key, value in zip(ids, frame["text_sentence"], strict=True):
            expected = corpus.made["sentence"].get(key)
            assert value is None if expected is None else value.tobytes() == expected.tobytes()


def corpus_columns(file: Path) -> list[str]:
    return pl.read_parquet_schema(file).keys()  # type: ignore[return-value]


CHECKS = {"mmsa": check_mmsa, "mertools": check_mertools, "conv-emotion": check_conv_emotion, "hf": check_hf}


@pytest.mark.parametrize("file_format", list(CHECKS))
def test_a_corpus(corpus: Corpus, file_format: str) -> None:
    assert {encoder for encoder, _ in corpus.gone} == {spec.encoder for spec in SPECS}  # zeros and nulls are met
    CHECKS[file_format](corpus)


@pytest.mark.parametrize("file_format", list(CHECKS))
@FEW
@given(seed=SEEDS)
def test_drawn_corpora(file_format: str, seed: int) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        CHECKS[file_format](make_corpus(root, seed))
    finally:
        shutil.rmtree(root)


def test_rows_keep_their_order_over_several_row_groups(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.exports.hf._MOST_ROWS", 3)
    check_hf(corpus)
    monkeypatch.setattr("features.exports.hf.BLOCK_BYTES", 100)
    check_hf(corpus)


def test_the_labels_of_the_card_are_classes_of_datasets(corpus: Corpus) -> None:
    """The lines of the card itself are run."""
    import datasets

    out = export(corpus, "hf", WORDS, FACES)
    code = (out / "README.md").read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    given_names: dict[str, Any] = {}
    exec(code.replace('"FOLDER"', f"{str(out)!r}, cache_dir={str(out.parent / 'cache')!r}"), given_names)
    data = given_names["data"]
    ok = [key for key in corpus.manifest.ids if key in corpus.made["sentence"]]
    assert sum(len(part) for part in data.values()) == len(ok)
    assert isinstance(data["train"].features["label"], datasets.ClassLabel)
    train = [key for key in ok if corpus.row(key)["split"] == "train"]
    found = [EMOTIONS[number] for number in data["train"]["label"]]
    assert found == [corpus.row(key)["label"] for key in train]
    assert data["train"][:]["text_sentence"].dtype == np.float32
