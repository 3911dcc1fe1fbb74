"""Tags: which very rows features had, told later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_corpus import SENTENCE, edited, embeddings, make_manifest, make_store

from features.errors import StoreError, UsageError
from features.manifest import Manifest
from features.packs.install import install_pack
from features.packs.write import write_pack
from features.store import Store, write_feature
from features.store.ledger import LedgerRow
from features.store.tags import check_tag, read_tag, tag_names, write_tag
from features.store.verify import verify_store
from features.store.write import open_writer
from pipeline.cli import erc, run


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Manifest]:
    manifest = make_manifest(tmp_path / "M.parquet")
    return make_store(tmp_path / "store", manifest, missing=(0, 3)), manifest


def test_a_tag_holds_as_long_as_its_rows_do(corpus: tuple[Path, Manifest], tmp_path: Path) -> None:
    store, manifest = corpus
    tag = write_tag(store, "submitted", Store(store).features())
    assert check_tag(store, read_tag(store, "submitted")) == []
    assert len(tag.rows) == 3 * len(manifest) - 2 * 2
    assert write_tag(store, "submitted", Store(store).features()).digest == tag.digest
    changed = edited(manifest, tmp_path / "edited.parquet", manifest.ids[4], text="Something else.")
    write_feature(store, SENTENCE, changed, embeddings(changed, SENTENCE, seed=9))
    folder = Store(store).find("sentence").folder
    assert check_tag(store, tag) == [f"{folder}: 1 of {len(manifest)} rows have other numbers, first {manifest.ids[4]}"]
    with pytest.raises(UsageError, match="tag 'submitted' is taken, by other rows"):
        write_tag(store, "submitted", Store(store).features())


def test_its_digest_is_that_of_the_rows_wherever_they_are(corpus: tuple[Path, Manifest], tmp_path: Path) -> None:
    store, manifest = corpus
    write_pack(Store(store).features(), manifest, tmp_path / "pack")
    install_pack(tmp_path / "pack", tmp_path / "there")
    one = write_tag(store, "a", Store(store).features(), manifest)
    other = write_tag(tmp_path / "there", "b", Store(tmp_path / "there").features())
    assert one.digest == other.digest
    assert check_tag(tmp_path / "there", one) == []


def test_a_feature_that_is_gone_is_named(corpus: tuple[Path, Manifest]) -> None:
    store, _ = corpus
    tag = write_tag(store, "a", [Store(store).find("logmel")])
    folder = store / Store(store).find("logmel").folder
    folder.rename(folder.with_name("elsewhere"))
    (problem,) = check_tag(store, tag)
    assert problem.startswith("audio/logmel-")


def test_the_commands(
    corpus: tuple[Path, Manifest], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _ = corpus
    monkeypatch.setenv("ERC_STORE", str(store))
    assert run(erc, ["store", "tag", "paper", "sentence"], "erc") == 0
    digest = capsys.readouterr().out.splitlines()[-1].split(": ")[1]
    assert run(erc, ["store", "verify", "--tag", "paper"], "erc") == 0
    assert digest in capsys.readouterr().out
    assert run(erc, ["store", "verify", "--tag", "other"], "erc") == 1
    assert "no tag 'other'" in capsys.readouterr().err
    assert verify_store(store).is_sound  # a tag is no fault of it
    assert run(erc, ["store", "ls"], "erc") == 0
    assert run(erc, ["store", "gc", str(store), "--yes"], "erc") == 0
    assert tag_names(store) == ["paper"]


@pytest.mark.parametrize("name", ["../out", "a/b", "", "x" * 65])
def test_names_that_cannot_be_files_are_refused(corpus: tuple[Path, Manifest], name: str) -> None:
    with pytest.raises(UsageError, match="letters, digits"):
        write_tag(corpus[0], name, Store(corpus[0]).features())


def test_a_tag_that_was_changed_is_refused(corpus: tuple[Path, Manifest]) -> None:
    store, _ = corpus
    tag = write_tag(store, "a", Store(store).features())
    rows = tag.rows.with_columns(crc32=tag.rows["crc32"] ^ np.uint32(1))
    rows.write_parquet(store / ".tags" / "a.parquet")
    with pytest.raises(StoreError, match="its digest is of other rows"):
        read_tag(store, "a")


def test_a_tag_of_a_manifest_holds_while_another_manifest_has_newer_rows(
    corpus: tuple[Path, Manifest], tmp_path: Path
) -> None:
    store, manifest = corpus
    changed = edited(manifest, tmp_path / "edited.parquet", manifest.ids[4], text="Something else.")
    write_feature(store, SENTENCE, changed, embeddings(changed, SENTENCE, seed=9))
    feature = Store(store).find("sentence")
    for name, rows in (("before", manifest), ("after", changed)):
        write_tag(store, name, [feature], rows)
        assert check_tag(store, read_tag(store, name)) == []
        assert not [note for note in verify_store(store, rows).notes if "other input" in note]
    tag = read_tag(store, "before")
    others = replace(tag, rows=tag.rows.with_columns(pl.col("crc32") ^ 1))
    (problem,) = check_tag(store, others)
    assert (
        problem
        == f"{feature.folder}: {len(tag.rows)} of {len(tag.rows)} rows have other numbers, first {manifest.ids[0]}"
    )


def test_nothing_is_tagged_without_what_is_damaged_or_where_nothing_is(
    corpus: tuple[Path, Manifest], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _ = corpus
    feature = Store(store).find("sentence")
    (feature.path / "spec.json").write_text("{}")
    assert run(erc, ["store", "tag", "a", "--store", str(store)], "erc") == 1
    assert f"{feature.path / 'spec.json'}: " in capsys.readouterr().err
    assert tag_names(store) == []
    assert run(erc, ["store", "tag", "a", "logmel", "--store", str(store)], "erc") == 0
    (tmp_path / "new").mkdir()
    capsys.readouterr()
    assert run(erc, ["store", "tag", "a", "--store", str(tmp_path / "new")], "erc") == 1
    assert "new holds no feature: fill it with `erc extract" in capsys.readouterr().err


def test_a_tag_of_a_manifest_breaks_where_the_same_source_has_other_numbers(
    corpus: tuple[Path, Manifest],
) -> None:
    """As a clip that was replaced under its path gives them."""
    store, manifest = corpus
    feature = Store(store).find("sentence")
    write_tag(store, "a", [feature], manifest)
    name, digest = manifest.ids[4], manifest.source_digests("text")[4]
    with open_writer(store, SENTENCE) as writer:
        writer.commit(0, [LedgerRow(name, digest)], {name: np.ones(SENTENCE.shape, np.float32)}, 1)
    (problem,) = check_tag(store, read_tag(store, "a"))
    assert problem == f"{feature.folder}: 1 of {len(manifest)} rows have other numbers, first {name}"
