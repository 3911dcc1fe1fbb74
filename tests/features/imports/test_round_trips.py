"""What `erc store export` writes for other tools, `erc store import` takes back, bit for bit."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from small_corpus import make_manifest, make_store

from features.manifest import Manifest, build_manifest, read_manifest, write_manifest
from features.store import Store
from pipeline.cli import erc, run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """Vectors of text and sound; every utterance has both."""
    folder = tmp_path_factory.mktemp("corpus")
    plain = make_manifest(folder / "plain.parquet")
    sentiment = pl.Series(["positive", "neutral", "negative"] * len(plain))[: len(plain)]
    frame = plain.frame.with_columns(sentiment=sentiment)  # which MMSA asks for
    write_manifest(build_manifest(frame, plain.card, plain.media_root), folder / "M.parquet")
    manifest = read_manifest(folder / "M.parquet")
    return make_store(folder / "store", manifest), manifest


@pytest.mark.parametrize(
    ("file_format", "source", "field"),
    [
        ("mertools", "features/{modality}_{name}-UTT", None),
        ("hf", ".", "{modality}_{name}"),
        ("mmsa", ".", "{modality}"),
        ("conv-emotion", ".", "{modality}"),
    ],
)
@pytest.mark.parametrize("name", ["text/sentence", "audio/logmel"])
def test_bit_equal(
    corpus: tuple[Path, Manifest], tmp_path: Path, file_format: str, source: str, field: str | None, name: str
) -> None:
    store, manifest = corpus
    out = tmp_path / ("out.pkl" if file_format in ("mmsa", "conv-emotion") else "out")
    chosen = ["--feature", "text/sentence", "--feature", "audio/logmel"]
    given = ["--manifest", str(manifest.path)]
    written = ["store", "export", str(store), *chosen, *given, "--format", file_format, "--to", str(out)]
    assert run(erc, written, "erc") == 0
    modality, _, short = name.partition("/")
    place = out / source.format(name=short, modality=modality) if source != "." else out
    asked = ["--field", field.format(name=short, modality=modality)] if field else []
    words = ["store", "import", str(place), "--modality", modality, "--as", "theirs", *asked, *given, "--store"]
    assert run(erc, [*words, str(tmp_path / "there")], "erc") == 0
    ours, theirs = Store(store).find(name).read(manifest.ids), Store(tmp_path / "there").find("theirs")
    assert theirs.read(manifest.ids).values.reshape(len(manifest), -1).tobytes() == ours.values.tobytes()
