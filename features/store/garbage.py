"""What a store no longer needs: generations that are superseded whole, orphans, and features that nothing uses.

Planning reads; removing takes each feature's lock, plans once more under it, and removes nothing that was not shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from features.errors import ShardError
from features.spec import EncoderSpec
from features.store.commit import clear_write_errors, file_role, orphans
from features.store.feature import Feature
from features.store.lock import no_writer, writer_lock
from features.store.repair import drop_shard
from features.store.shard_checks import check_shard
from features.store.store import Store


@dataclass(frozen=True)
class Garbage:
    """One thing to remove.

    folder:    the feature's, within the store
    name:      the stem of a shard, the name of an orphan, or "" for the whole feature
    num_bytes: what its removal frees
    """

    folder: str
    kind: Literal["superseded", "orphan", "unused"]
    name: str
    num_bytes: int


@dataclass(frozen=True)
class GarbagePlan:
    """What can be removed, and what a reader should know of what cannot."""

    items: list[Garbage]
    notes: list[str]

    @property
    def num_bytes(self) -> int:
        return sum(item.num_bytes for item in self.items)


def plan_garbage(root: Path, used: Collection[str] | None = None) -> GarbagePlan:
    """What a store no longer needs.

    used: the fingerprints that are needed; with it, features that are neither one of them nor one that these derive
          from are garbage as a whole. None keeps every feature.
    Raises StoreError where a spec is damaged, and ShardError where a shard that supersedes others is: first it must be
    repaired, since the rows that it replaced are the only ones left.
    """
    items: list[Garbage] = []
    notes: list[str] = []
    features = Store(root).features()
    needed = None if used is None else needed_fingerprints([feature.spec for feature in features], used)
    for feature in features:
        if needed is not None and feature.fingerprint not in needed:
            size = sum(path.stat().st_size for path in _own_files(feature.path))
            items.append(Garbage(feature.folder, "unused", "", size))
            continue
        items += _superseded(feature)
        with no_writer(feature.path) as is_quiet:
            left = list(orphans(feature.path)) if is_quiet else []
        items += [Garbage(feature.folder, "orphan", path.name, path.stat().st_size) for path in left]
        if not is_quiet:
            notes.append(f"{feature.path}: a run may be writing it: files of a commit in hand were not looked at")
    return GarbagePlan(items, notes)


def needed_fingerprints(specs: Iterable[EncoderSpec], used: Collection[str]) -> set[str]:
    """`used`, and what these features are derived from, however far back."""
    sources = {spec.fingerprint: spec.derives_from for spec in specs}
    needed: set[str] = set()
    for fingerprint in used:
        current: str | None = fingerprint
        while current is not None and current not in needed:
            needed.add(current)
            current = sources.get(current)
    return needed


def remove_garbage(root: Path, items: Iterable[Garbage]) -> int:
    """Remove what `plan_garbage` found and still is garbage; how many bytes that freed.

    Raises StoreBusyError where another run holds a feature, and StoreError where its folder cannot be written.
    """
    by_folder: dict[str, list[Garbage]] = {}
    for item in items:
        by_folder.setdefault(item.folder, []).append(item)
    freed = 0
    for folder, found in by_folder.items():
        path = root / folder
        with clear_write_errors(path), writer_lock(path) as locked:
            if found[0].kind == "unused":
                _remove_feature(path)
                freed += found[0].num_bytes
                continue
            still = {item.name for item in _superseded(Feature(root, folder))}
            still |= {orphan.name for orphan in orphans(path)} if locked else set()
            for item in found:
                if item.name not in still:
                    continue
                if item.kind == "superseded":
                    drop_shard(path, item.name)
                else:
                    (path / item.name).unlink(missing_ok=True)
                freed += item.num_bytes
    return freed


def _superseded(feature: Feature) -> list[Garbage]:
    """Shards all of whose rows are replaced by later generations, which are sound."""
    if not feature.names or not feature.names[-1].generation:
        return []
    holding = feature.ledger(["status"])
    held = set(holding.select("generation", "chunk").unique().iter_rows())
    replaced = [name for name in feature.names if (name.generation, name.chunk) not in held]
    if not replaced:
        return []
    lowest = min(name.generation for name in replaced)
    for name in feature.names:
        if name.generation > lowest and name not in replaced:
            report = check_shard(feature.root, feature.folder, name.stem, feature.spec)
            if report.faults:
                raise ShardError(
                    f"{report.faults[0]}: it replaces other shards, so nothing is removed: first run"
                    f" `erc store verify {feature.root} --repair`"
                )
    return [
        Garbage(feature.folder, "superseded", name.stem, _size(feature.path / f"{name.stem}.{kind}" for kind in _KINDS))
        for name in replaced
    ]


_KINDS = ("json", "h5", "parquet")


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.exists())


def _own_files(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if file_role(entry.name) != "unknown" and entry.is_file()]


def _remove_feature(path: Path) -> None:
    """Remove a whole feature: records first, the spec after all shards, the lock last. Files of others stay."""
    own = _own_files(path)
    for stem in sorted(entry.stem for entry in own if file_role(entry.name) == "record"):
        drop_shard(path, stem)
    for role in ("member", "temporary", "spec", "lock"):
        for entry in own:
            if file_role(entry.name) == role:
                entry.unlink(missing_ok=True)
    with suppress(OSError):
        path.rmdir()
