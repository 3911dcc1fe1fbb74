"""Mixed versions of the libraries that change numbers do not pass in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from store_damage import recommitted
from store_factory import make_manifest, make_spec

from features.store import Feature, write_feature
from features.store.listing import list_store
from features.store.verify import verify_store
from features.store.versions import PACKAGES, mixed_versions, versions_of
from features.store.write import library_versions


def write(root: Path) -> Feature:
    manifest = make_manifest(100)
    return write_feature(root, make_spec(), manifest, {key: np.full(3, 1, np.float32) for key in manifest.ids})


def test_the_footers_last_bytes_say_what_the_metadata_say(tmp_path: Path) -> None:
    """They are read without a Parquet reader: should the writer lay them out otherwise, this fails."""
    feature = write(tmp_path)
    recommitted(feature, "00001", lambda metadata: metadata.update({"version.torch": "2.0+cu121.äö"}))
    assert len(feature.names) == 3
    for name in feature.names:
        path = feature.path / f"{name.stem}.parquet"
        metadata = pl.read_parquet_metadata(path)
        expected = {key: value for key, value in metadata.items() if key.startswith("version.")}
        assert versions_of(path) == expected
        assert len(expected) == len(library_versions())


def test_what_is_no_ledger_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"PAR1")
    (tmp_path / "long").write_bytes(b"\xff" * 100)
    for name in ("short", "long", "nowhere"):
        assert versions_of(tmp_path / name) == {}


def test_packages_that_change_numbers(tmp_path: Path) -> None:
    assert set(PACKAGES) == set(library_versions()) - {"erc-feature-store"}
    one = {f"version.{package}": "1" for package in PACKAGES} | {"version.erc-feature-store": "1", "erc.python": "3.11"}
    assert mixed_versions([one, one | {"version.erc-feature-store": "2", "erc.python": "3.12"}]) == []
    assert mixed_versions([one, {}]) == []  # where a package is not installed, it changes nothing
    for package in PACKAGES:
        ledgers = [one, one | {f"version.{package}": "2"}, one]
        assert mixed_versions(ledgers) == [f"{package} 1 (2 shards), 2 (1 shards)"]


def test_verify_and_ls_say_so(tmp_path: Path) -> None:
    feature = write(tmp_path)
    assert verify_store(tmp_path).notes == []
    assert list_store(tmp_path)[0][0].versions == []
    recommitted(feature, "00001", lambda metadata: metadata.update({"version.numpy": "1.0"}))
    clause = f"numpy {library_versions()['numpy']} (2 shards), 1.0 (1 shards)"
    report = verify_store(tmp_path)
    assert report.is_sound
    assert report.notes == [f"{feature.folder}: shards of different versions: {clause}"]
    assert list_store(tmp_path)[0][0].versions == [clause]
