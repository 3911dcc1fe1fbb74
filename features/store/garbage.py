"""What a store no longer needs: shards that are replaced whole, orphans, and features that nothing uses.

Planning reads; removing takes each feature's lock, plans once more under it, and removes nothing that was not shown. A
feature that is damaged or cannot be read keeps all it has, and stands in no other's way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from features.errors import StoreError
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store.commit import clear_write_errors, file_role, orphans
from features.store.damaged import damaged_size, remove_damaged
from features.store.faults import Fault
from features.store.feature import Feature
from features.store.lock import no_writer, writer_lock
from features.store.reading import folder_entries
from features.store.repair import drop_shard
from features.store.replaced import Replaced, find_replaced, sources_of
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


def plan_garbage(root: Path, used: Collection[str] | None = None, manifests: Sequence[Manifest] = ()) -> GarbagePlan:
    """What a store no longer needs.

    used:      the fingerprints that are needed; with it, features that are neither one of them nor one that these
               derive from are garbage as a whole. None keeps every feature.
    manifests: all that read the store; with them, rows that none of them reads are replaced too
    A shard stays where it, or one that replaces rows of it, is not sound. Raises StoreError where there is no store.
    """
    items: list[Garbage] = []
    store = Store(root)
    notes = [f"{folder} was not looked at: {error}" for folder, error in store.damaged]
    if used is not None and store.damaged:
        notes.append(f"unused features were not looked for: {store.damaged[0][0]} may be derived from one")
        used = None
    needed = None if used is None else needed_fingerprints([feature.spec for feature in store.features()], used)
    for feature in store.features():
        try:
            if needed is not None and feature.fingerprint not in needed:
                items.append(Garbage(feature.folder, "unused", "", _size_of_all(feature.path)))
                continue
            items += _superseded(feature, manifests, notes)
            items += _orphans(feature, notes)
        except StoreError as error:
            notes.append(f"{feature.folder} was not looked at: {error}")
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


def remove_garbage(
    root: Path,
    items: Iterable[Garbage],
    manifests: Sequence[Manifest] = (),
    used: Callable[[], Collection[str]] | None = None,
) -> int:
    """Remove what `plan_garbage` found and still is garbage; how many bytes that freed.

    used: asked again before a feature is removed: a run may have begun to use it
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
                if used is not None and _is_needed(root, folder, used()):
                    continue
                _remove_feature(path)
                freed += found[0].num_bytes
                continue
            still = {item.name for item in _superseded(Feature(root, folder), manifests, [])}
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


def _is_needed(root: Path, folder: str, used: Collection[str]) -> bool:
    """Also where that is not known any more."""
    store = Store(root)
    needed = needed_fingerprints([feature.spec for feature in store.features()], used)
    known = [feature.fingerprint for feature in store.features() if feature.folder == folder]
    return bool(store.damaged) or not known or known[0] in needed


def _superseded(feature: Feature, manifests: Sequence[Manifest], notes: list[str]) -> list[Garbage]:
    """Shards all of whose rows are replaced, where they and those that replace them are sound."""
    stems = [name.stem for name in feature.names]
    found = find_replaced([feature.path / f"{stem}.parquet" for stem in stems], sources_of(manifests, feature.spec))
    notes += [f"{stems[place]} of {feature.folder} was not looked at: {error}" for place, error in found.bad.items()]
    faults: dict[int, list[Fault]] = {}
    items: list[Garbage] = []
    kept_for: dict[int, int] = {}
    for place, by in found.replacers().items():
        for other in (place, *by):
            if other not in faults:
                faults[other] = check_shard(feature.root, feature.folder, stems[other], feature.spec).faults
        unsound = [other for other in (place, *by) if faults[other]]
        if unsound:
            kept_for[unsound[0]] = kept_for.get(unsound[0], 0) + 1
        else:
            items.append(Garbage(feature.folder, "superseded", stems[place], _shard_size(feature, stems[place])))
    for place, number in kept_for.items():
        fault = faults[place][0]
        mend = f": first run `erc store verify {feature.root} --repair`" if fault.is_damage else ""
        notes.append(f"{fault}: {number} shards that it replaces, or that it is, stay{mend}")
    notes += _source_notes(feature, found, stems, has_manifests=bool(manifests))
    return items


def _source_notes(feature: Feature, found: Replaced, stems: list[str], *, has_manifests: bool) -> Iterator[str]:
    if found.other_sources and not has_manifests:
        size = sum(_shard_size(feature, stems[place]) for place in found.other_sources)
        yield (
            f"{feature.folder}: {len(found.other_sources)} shards ({size:,} bytes) hold only rows of other sources than"
            " the newest, which another manifest may read: name all manifests in use with --manifest, and what none of"
            " them reads goes too"
        )
    if found.unnamed:
        yield f"{feature.folder}: {found.unnamed:,} rows belong to utterances that no manifest here has: they stay"


def _orphans(feature: Feature, notes: list[str]) -> list[Garbage]:
    try:
        with no_writer(feature.path) as is_quiet:
            if is_quiet:
                sizes = [(path.name, path.stat().st_size) for path in orphans(feature.path)]
                return [Garbage(feature.folder, "orphan", name, size) for name, size in sizes]
    except OSError as error:
        notes.append(f"{feature.path}: orphans were not looked for ({error.strerror})")
        return []
    notes.append(f"{feature.path}: a run may be writing it: files of a commit in hand were not looked at")
    return []


_KINDS = ("json", "h5", "parquet")


def _shard_size(feature: Feature, stem: str) -> int:
    size = 0
    for kind in _KINDS:
        with suppress(OSError):
            size += (feature.path / f"{stem}.{kind}").stat().st_size
    return size


def _own_files(path: Path) -> list[Path]:
    own = [path / entry.name for entry in folder_entries(path) if file_role(entry.name) not in ("unknown", "damaged")]
    return [entry for entry in own if entry.is_file()]


def _size_of_all(path: Path) -> int:
    return sum(entry.stat().st_size for entry in _own_files(path)) + damaged_size(path)[1]


def _remove_feature(path: Path) -> None:
    """Remove a whole feature: records first, the spec after all shards, the lock last. Files of others stay."""
    own = _own_files(path)
    for stem in sorted(entry.stem for entry in own if file_role(entry.name) == "record"):
        drop_shard(path, stem)
    remove_damaged(path)
    for role in ("member", "temporary", "top", "spec", "lock"):
        for entry in own:
            if file_role(entry.name) == role:
                entry.unlink(missing_ok=True)
    with suppress(OSError):
        path.rmdir()
