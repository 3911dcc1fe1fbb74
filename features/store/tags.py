"""Tags: which very rows some features had, under a name that a paper can cite.

    store/.tags/NAME.json       features with fingerprints, and a digest over all of it
    store/.tags/NAME.parquet    folder, utterance_id, crc32: one line an embedding

A tag keeps nothing alive: `gc` and extraction do as ever. It tells afterwards whether a store still has those rows.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.digests import digest_of
from features.errors import StoreError, UsageError
from features.files import write_bytes_whole
from features.manifest import Manifest
from features.store.feature import Feature
from features.store.ledger import read_ledgers

FOLDER = ".tags"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FORMAT = 1


@dataclass(frozen=True)
class Tag:
    """features: folder -> fingerprint; rows: folder, utterance_id, crc32; digest: over both, what a paper cites
    of_manifest: whether the rows are those that fit a manifest, which another manifest's may follow in the store
    """

    name: str
    features: dict[str, str]
    rows: pl.DataFrame
    of_manifest: bool = False

    @property
    def digest(self) -> str:
        return digest_of("tag", self.features, self.rows.sort("folder", "utterance_id").rows())


def write_tag(store: Path, name: str, features: Sequence[Feature], manifest: Manifest | None = None) -> Tag:
    """Freeze the rows that these features have now, of a manifest's utterances or of all.

    Raises UsageError for a name that cannot be a file's, or that is taken by other rows, and StoreError where there is
    no feature.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"tag {name!r}: letters, digits, '.', '_' and '-', at most 64")
    if not features:
        raise StoreError(f"{store} holds no feature: fill it with `erc extract --modality text --store {store}`")
    frames = []
    for feature in features:
        seen = feature if manifest is None else feature.fitting(manifest)
        ledger = seen.ledger(["status", "crc32"]).filter(pl.col("status") == "ok")
        if manifest is not None:
            ledger = ledger.filter(pl.col("utterance_id").is_in(manifest.ids))
        frames.append(ledger.select(pl.lit(feature.folder).alias("folder"), "utterance_id", "crc32"))
    fingerprints = {feature.folder: feature.fingerprint for feature in features}
    tag = Tag(name, fingerprints, pl.concat(frames), of_manifest=manifest is not None)
    path = store / FOLDER / f"{name}.json"
    if path.exists() and read_tag(store, name).digest != tag.digest:
        raise UsageError(f"tag {name!r} is taken, by other rows: give another name, or remove {path}")
    content: dict[str, object] = {"format": _FORMAT, "name": name, "features": tag.features, "digest": tag.digest}
    content["of_manifest"] = tag.of_manifest
    path.parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    tag.rows.write_parquet(buffer)
    write_bytes_whole(path.with_suffix(".parquet"), buffer.getvalue())
    write_bytes_whole(path, json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")
    return tag


def read_tag(store: Path, name: str) -> Tag:
    """Raises StoreError where there is no such tag, or it is damaged."""
    path = store / FOLDER / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = pl.read_parquet(path.with_suffix(".parquet"), glob=False)
        rows = rows.select("folder", "utterance_id", "crc32")
        tag = Tag(content["name"], content["features"], rows, content.get("of_manifest") is True)
        digest = content["digest"]
    except FileNotFoundError as error:
        there = ", ".join(tag_names(store)) or "none"
        raise StoreError(f"no tag {name!r} in {store} ({there} there): make it with `erc store tag {name}`") from error
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{path}: is damaged ({type(error).__name__}): make the tag again") from error
    if tag.name != name or tag.digest != digest:
        raise StoreError(f"{path}: its digest is of other rows: it was changed or damaged: make the tag again")
    return tag


def tag_names(store: Path) -> list[str]:
    return sorted(path.stem for path in (store / FOLDER).glob("*.json"))


def check_tag(store: Path, tag: Tag) -> list[str]:
    """What the store no longer has as the tag says, a line each; nothing where all of it is there.

    A tag of a manifest's rows is held against the newest rows of each source, since those of another manifest may be
    newer; one of all rows against those that count.
    """
    problems = []
    for folder, fingerprint in tag.features.items():
        expected = tag.rows.filter(pl.col("folder") == folder)
        try:
            feature = Feature(store, folder)
            held = _held(feature, tag.of_manifest) if feature.fingerprint == fingerprint else None
        except StoreError as error:
            problems.append(f"{folder}: {error}")
            continue
        if held is None:
            problems.append(f"{folder}: is another feature now: its fingerprint differs")
            continue
        lost = expected.join(held, on=["utterance_id", "crc32"], how="anti", maintain_order="left")
        gone = lost.join(held, on="utterance_id", how="anti", maintain_order="left")
        other = lost.join(held, on="utterance_id", how="semi", maintain_order="left")
        for found, told in ((gone, "are gone"), (other, "have other numbers")):
            if len(found):
                first = found["utterance_id"][0]
                problems.append(f"{folder}: {len(found)} of {len(expected)} rows {told}, first {first}")
    return problems


def _held(feature: Feature, of_each_source: bool) -> pl.DataFrame:
    """utterance_id and crc32 of the embeddings that count: of each utterance, or of each of its sources."""
    columns = ["utterance_id", "source_digest", "status", "crc32"]
    if of_each_source and feature.names:
        frames = read_ledgers([feature.path / f"{name.stem}.parquet" for name in feature.names], columns)
        rows = pl.concat(frames).unique(["utterance_id", "source_digest"], keep="last", maintain_order=True)
    else:
        rows = feature.ledger(columns)
    return rows.filter(pl.col("status") == "ok").select("utterance_id", "crc32")
