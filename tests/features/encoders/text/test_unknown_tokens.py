"""Texts that a model cannot read are counted, and told at the end of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from store_factory import make_manifest
from tiny_bert import dialogue, turn, write_tiny_bert
from tiny_gpt2 import write_tiny_gpt2
from tokenizers import Tokenizer, models, pre_tokenizers

from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.encoders.text.token_windows import WindowPreparer
from features.encoders.text.unknown_tokens import count_unknown, unknown_id
from features.manifest import write_manifest
from features.store import Store
from features.store.unknown_tokens import are_many, unknown_tokens
from pipeline.commands.extract import command

pytestmark = pytest.mark.usefixtures("one_thread")

CHINESE = "\u4f60\u597d \u4e16\u754c"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bert(tmp_path_factory.mktemp("unknown") / "bert"))


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -1.0)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def test_unknown_tokens_of_an_utterance_are_counted(bert: str) -> None:
    encoder = create(EncoderRequest("sentence", {}, model=bert))
    assert encoder.prepare(turn(CHINESE)).counts == ({"num_tokens": 6, "cut": 0, "num_unknown": 4},)
    assert encoder.prepare(turn("oh my")).counts == ({"num_tokens": 4, "cut": 0},)
    assert encoder.prepare(turn("oh " + CHINESE)).counts[0]["num_unknown"] == 4
    asking = create(EncoderRequest("sentence", {"pooling": "mask", "layers": "-1"}, model=bert))
    assert asking.prepare(turn(CHINESE)).counts[0]["num_unknown"] == 4


def test_every_kind_of_vocabulary_says_what_it_does_not_know(bert: str, tmp_path: Path) -> None:
    tokenizer = create(EncoderRequest("sentence", {}, model=bert)).prepare.tokenizer  # type: ignore[attr-defined]
    assert unknown_id(tokenizer) == tokenizer.token_to_id("[UNK]")
    assert unknown_id(unigram()) == 0
    assert WindowPreparer(unigram(), 9)(turn("a b z")).counts[0] == {"num_tokens": 3, "cut": 0, "num_unknown": 1}
    gpt2 = create(EncoderRequest("gpt2", {}, model=str(write_tiny_gpt2(tmp_path / "gpt2"))))
    assert unknown_id(gpt2.prepare.tokenizer) is None, "all bytes are in it"  # type: ignore[attr-defined]
    assert all("num_unknown" not in counts for counts in gpt2.prepare(dialogue(("Ross", CHINESE))).counts)
    assert count_unknown(np.array([3, 1, 3]), None) == {}


def extract(folder: Path, bert: str, texts: tuple[str, ...], *flags: str) -> Any:
    path = write_manifest(make_manifest(len(texts), text=lambda number: texts[number]), folder / "m.parquet")
    store = ["--manifest", str(path), "--store", str(folder / "store")]
    return CliRunner().invoke(command, ["--encoder", "sentence", "--model", bert, *store, *flags])


def test_a_run_warns_of_texts_that_its_model_cannot_read(tmp_path: Path, bert: str) -> None:
    done = extract(tmp_path, bert, (CHINESE, "oh my god"))
    assert done.exit_code == 0, done.output
    assert ", 4 of 11 tokens unknown (" in done.output
    assert "can hardly read these texts, 36 % of their tokens are unknown to it: give --model one for" in done.output
    (feature,) = Store(tmp_path / "store").features()
    assert unknown_tokens(feature) == (11, 4)


def test_a_run_over_texts_that_it_reads_says_nothing(tmp_path: Path, bert: str) -> None:
    assert "unknown" not in extract(tmp_path, bert, ("oh my god", "no way")).output
    (feature,) = Store(tmp_path / "store").features()
    assert unknown_tokens(feature) == (9, 0)
    said = json.loads(extract(tmp_path / "store", bert, (CHINESE,), "--json").output.splitlines()[-1])
    assert (said["features"][0]["tokens"], said["features"][0]["unknown_tokens"]) == (6, 4)


@pytest.mark.parametrize(("tokens", "unknown", "many"), [(0, 0, False), (100, 9, False), (100, 10, True), (1, 1, True)])
def test_from_a_tenth_on_they_are_many(tokens: int, unknown: int, many: bool) -> None:
    assert are_many(tokens, unknown) == many
