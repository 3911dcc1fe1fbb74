"""Making a pack from a store."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from features.digests import sha256_file
from features.errors import StaleFeaturesError, StoreError, UsageError
from features.files import write_folder_whole
from features.manifest import Manifest, write_manifest
from features.packs.check import pack_sums
from features.packs.layout import CARD, LEDGER, MANIFEST, RECORD, Pack, PackedFeature
from features.spec import MODALITIES
from features.store.checksums import FOLDER_SUMS, sums_bytes
from features.store.commit import clear_write_errors
from features.store.export_parquet import write_parquet
from features.store.feature import Feature
from features.store.ledger import COLUMNS
from features.store.stream import RowStream
from features.store.top_file import top_bytes
from features.top import FILE as TOP_FILE

_OF_A_PACK = re.compile(
    rf"{re.escape(RECORD)}|{re.escape(MANIFEST)}|{re.escape(CARD)}|{FOLDER_SUMS}"
    rf"|({'|'.join(MODALITIES)})/[^/]+/(spec\.json|[^/]+\.parquet|{re.escape(TOP_FILE)})"
)

Advance = Callable[[int], object]


def write_pack(
    features: Sequence[Feature],
    manifest: Manifest,
    out: Path,
    *,
    overwrite: bool = False,
    advance: Advance = lambda number: None,
) -> Pack:
    """Write these features, for the utterances of the manifest, to the folder `out`. It appears only when it is
    complete.

    advance: called with numbers of utterances, for each feature
    Raises UsageError if `out` exists and may not be replaced, or holds files that are not of its pack,
    StaleFeaturesError if rows were made from another input than the manifest has now, and ShardError if the store is
    damaged.
    """
    if out.exists() and not (overwrite and (out / RECORD).is_file()):
        mend = "give another --to" if overwrite else "give --overwrite, or another --to"
        raise UsageError(f"{out} exists: {mend}")
    if out.exists() and (others := _others(out)):
        raise UsageError(f"{out} holds {others[0]!r}, which is not of the pack, and would be lost: give another --to")
    for split in manifest.frame["split"].unique(maintain_order=True):
        taken = split.casefold() == Path(LEDGER).stem
        if taken or split.startswith(".") or set(split) & set("/\\:\0"):
            raise UsageError(
                f"split {split!r} cannot name a file of a pack, whose files are named by splits: give it another name,"
                " without '/', '\\', ':' or a dot before it, and not 'ledger'"
            )
    fitting = [feature.fitting(manifest) for feature in features]
    for feature in fitting:
        if stale := feature.stale(manifest):
            raise StaleFeaturesError(
                f"{feature.path}: {len(stale)} rows were made from other input than the manifest's, first {stale[0]}:"
                f" run {feature.spec.made_by} again"
            )
    packed = Pack(
        manifest.card.dataset, len(manifest), tuple(_packed(feature, manifest) for feature in fitting), _own_version()
    )

    def write(folder: Path) -> None:
        write_manifest(replace(manifest, media_root=None), folder / MANIFEST)
        for feature in fitting:
            _write_feature(feature, manifest, folder / feature.folder, advance)
        (folder / RECORD).write_text(packed.to_json(), encoding="utf-8")
        (folder / CARD).write_text(_card(packed, manifest, fitting), encoding="utf-8")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        digests = {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}
        (folder / FOLDER_SUMS).write_bytes(sums_bytes(digests))

    with clear_write_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_folder_whole(out, write)
    return packed


def _others(pack: Path) -> list[str]:
    """Files that are not of a pack: that SHA256SUMS does not name, or where that is lost, that no pack has."""
    there = [path.relative_to(pack).as_posix() for path in sorted(pack.rglob("*")) if not path.is_dir()]
    try:
        named = {FOLDER_SUMS, *pack_sums(pack / FOLDER_SUMS)}
    except StoreError:
        return [name for name in there if not _OF_A_PACK.fullmatch(name)]
    return [name for name in there if name not in named]


def _packed(feature: Feature, manifest: Manifest) -> PackedFeature:
    splits = {}
    for split in manifest.frame["split"].unique(maintain_order=True):
        ids = manifest.select_splits([split]).ids
        splits[split] = feature.statuses(ids).count("ok")
    return PackedFeature(feature.folder, feature.fingerprint, feature.rows_digest(manifest.ids), splits)


def _write_feature(feature: Feature, manifest: Manifest, folder: Path, advance: Advance) -> None:
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(feature.spec.to_json(), encoding="utf-8")
    for split in manifest.frame["split"].unique(maintain_order=True):
        write_parquet(RowStream(feature, manifest.select_splits([split])), folder / f"{split}.parquet", advance)
    ledger = feature.ledger().drop("generation", "chunk")
    wanted = manifest.frame.select("utterance_id").join(ledger, on="utterance_id", how="inner", maintain_order="left")
    counts = [name for name in wanted.columns if name not in COLUMNS]
    wanted.select(*COLUMNS, *sorted(counts)).write_parquet(folder / LEDGER)
    if feature.spec.from_top:
        (folder / TOP_FILE).write_bytes(top_bytes(feature.path, feature.spec))


def _own_version() -> str:
    try:
        return version("erc-feature-store")
    except PackageNotFoundError:
        return "unknown"


def _card(pack: Pack, manifest: Manifest, features: Sequence[Feature]) -> str:
    """README.md: front matter by which `datasets` finds the splits, then what is in the pack and how it was made."""
    configs = [
        {
            "config_name": feature.folder.replace("/", "-"),
            "data_files": [{"split": split, "path": f"{feature.folder}/{split}.parquet"} for split in item.splits],
        }
        for feature, item in zip(features, pack.features, strict=True)
    ]
    card = manifest.card
    rows = "\n".join(
        f"| `{item.folder}` | {feature.spec.kind} {list(feature.spec.shape)} | {feature.spec.weights} |"
        f" {', '.join(f'{split} {count}' for split, count in item.splits.items())} | `{item.rows[:16]}` |"
        for feature, item in zip(features, pack.features, strict=True)
    )
    specs = "\n\n".join(f"### {item.folder}\n\n```json\n{item.spec.to_json()}```" for item in features)
    return f"""---
configs: {json.dumps(configs)}
---

# Features of {card.title or card.dataset}

{pack.utterances:,} utterances of `{card.dataset}`. Licence of the corpus: {card.licence or "not known here"}.
{card.citation}

| feature | shape | weights | embeddings | rows |
|---|---|---|---|---|
{rows}

Made by erc-feature-store {pack.made_by}. `erc store pull FOLDER --store store` checks every byte and puts the
rows into a store; heads then train without clips, and their runs have the digests of the machine that made this.

## Specs

{specs}
"""
