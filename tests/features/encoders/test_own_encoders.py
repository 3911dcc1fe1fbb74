"""Encoders of other packages: found by entry point, fingerprinted, held to the promises, extracted like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from clip_factory import sine, write_wav
from own_package import forget, install
from small_corpus import make_manifest

from features import OwnEncoder, load
from features.encoders.build import create
from features.encoders.check import check_encoder
from features.encoders.protocol import EncoderRequest
from features.encoders.table import ENCODERS, entry, known_encoders
from features.errors import ErcError, UsageError, WeightsError
from features.manifest import build_manifest, write_manifest
from pipeline.cli import erc, run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    install(tmp_path / "site", monkeypatch)
    yield tmp_path / "site"
    monkeypatch.undo()
    forget()


def build(name: str, **settings: Any) -> Any:
    return create(EncoderRequest(name, settings))


def test_they_are_listed_with_their_settings_and_broken_ones_with_what_is_wrong() -> None:
    out = CliRunner().invoke(erc, ["extract", "--list"], catch_exceptions=False).output
    assert "loudness             audio   mean and peak level" in out
    assert "--set floor=-40.0" in out
    assert "encoder 'gone' of erc-tiny 0.3 cannot be loaded: AttributeError" in out
    assert "encoder 'something' of erc-tiny 0.3: erc_tiny:something is int, not features.OwnEncoder" in out
    assert set(known_encoders()) > set(ENCODERS)


def test_ours_keep_their_names() -> None:
    assert entry("sentence") is ENCODERS["sentence"]


def test_a_wrong_name_names_theirs_too() -> None:
    with pytest.raises(UsageError, match="did you mean 'loudness'"):
        entry("loudnes")


def test_version_and_settings_are_in_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = build("loudness").spec
    assert (spec.modality, spec.kind, spec.shape, spec.weights) == ("audio", "vector", (3,), "none")
    assert spec.settings["package"] == "erc-tiny"
    assert build("loudness").spec.fingerprint == spec.fingerprint
    assert build("loudness", floor="-50").spec.fingerprint != spec.fingerprint
    install(tmp_path / "site", monkeypatch, version="2")
    assert build("loudness").spec.fingerprint != spec.fingerprint


def test_a_torch_module_is_evaluated_and_its_weights_are_in_the_fingerprint() -> None:
    encoder = build("vowels")
    assert encoder.spec.weights == "pretrained"
    assert encoder.spec.weights_digest is not None
    assert not encoder._loaded.training  # else its dropout would break the first promise


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("beside", "gives an input beside a longer one another result"),
        ("random", "draws random numbers as it runs"),
        ("fewer", "gave 1 arrays for a batch of 2"),
    ],
)
def test_a_broken_one_is_caught_when_it_is_built(name: str, told: str) -> None:
    with pytest.raises(ErcError, match=told):
        build(name)


def test_random_weights_are_not_made_up() -> None:
    with pytest.raises(UsageError, match="has no random weights"):
        create(EncoderRequest("vowels", weights="random"))


@pytest.mark.parametrize("name", ["loudness", "seen", "vowels", "word-lengths", "surface", "logmel", "waveform"])
def test_check_finds_good_ones_good(name: str) -> None:
    promises = list(check_encoder(EncoderRequest(name)))
    assert len(promises) == 7
    assert [promise for promise in promises if not promise.kept] == []


def test_check_finds_what_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    from features.encoders import own_built

    monkeypatch.setattr(own_built, "check_promises", lambda *arguments: None)
    kept = {promise.name: promise.kept for promise in check_encoder(EncoderRequest("beside"))}
    assert not kept["alone as in a batch"]
    assert kept["the same twice"]
    kept = {promise.name: promise.kept for promise in check_encoder(EncoderRequest("random"))}
    assert not kept["the same twice"]


def test_the_command_ends_with_1_where_a_promise_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    from features.encoders import own_built

    assert run(erc, ["encoder", "check", "loudness"], "erc") == 0
    monkeypatch.setattr(own_built, "check_promises", lambda *arguments: None)
    assert run(erc, ["encoder", "check", "beside", "--json"], "erc") == 1


def test_one_that_derives_names_what_to_check() -> None:
    with pytest.raises(UsageError, match="check 'faces'"):
        list(check_encoder(EncoderRequest("retinaface-resnet50")))


def test_extraction_stores_them_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = make_manifest(tmp_path / "m.parquet")
    first = pl.col("utterance_id").is_in(manifest.ids[:5])
    frame = manifest.frame.filter(first).with_columns(
        media=pl.Series([f"{n}.wav" if n != 3 else None for n in range(5)])
    )
    for number in range(5):
        write_wav(tmp_path / f"{number}.wav", sine(0.2 + 0.1 * number, 16000))
    write_manifest(build_manifest(frame, manifest.card, tmp_path), tmp_path / "m.parquet")
    arguments = ["extract", "--manifest", "m.parquet", "--encoder", "loudness", "--encoder", "word-lengths"]
    assert run(erc, [*arguments, "--workers", "0"], "erc") == 0
    found = load("loudness", manifest="m.parquet")
    assert found.present.tolist() == [True, True, True, False, True]
    assert found.frame["reason"][3] == "no-media"
    (alone,) = build("loudness").encode([_input(tmp_path / "1.wav")])
    assert np.allclose(found.tensor[1].numpy(), alone, atol=1e-5)
    words = load("word-lengths", manifest="m.parquet")
    assert words.tensor.shape[::2] == (5, 1)
    assert words.lengths is not None
    assert words.lengths.tolist() == [len(text.split()) for text in words.frame["text"]]
    assert run(erc, [*arguments, "--workers", "2", "--dry-run"], "erc") == 0


def _input(path: Path) -> Any:
    from clip_factory import utterance

    from features.media.clip import decode_clip

    encoder = build("loudness")
    return encoder.prepare(decode_clip(path, utterance(media=path.name), [encoder.needs]))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"reads": "smell"}, "reads='smell' is none of text, audio, frames, clip"),
        ({"version": 1}, "version=1 must be text"),
        ({"batch_size": 0}, "batch_size=0 must be above 0"),
        ({"settings": {"layers": [1]}}, "the default of 'layers' must be"),
        ({"encode": 3}, "must be functions"),
        ({"modality": "smell"}, "modality='smell' is none of"),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, Any], told: str) -> None:
    values = {"reads": "text", "encode": len, "version": "1"} | changed
    with pytest.raises(UsageError, match=told):
        OwnEncoder(**values)


def test_a_load_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import erc_tiny  # type: ignore[import-not-found]

    def fail(device: str, dtype: str) -> None:
        raise OSError("no weights.bin\nhere")

    monkeypatch.setattr(erc_tiny, "network", OwnEncoder("text", erc_tiny.letters, version="1", load=fail))
    with pytest.raises(WeightsError, match=r"encoder 'vowels' cannot load: OSError: no weights.bin$"):
        build("vowels")
