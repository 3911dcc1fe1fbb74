"""A pack read where it lies: its specs and manifest are fetched at once, a feature's rows when it is first chosen.

What was fetched lies in the user's cache, as a store that any later command reads, with or without a network:

packs/ADDRESS-DIGEST/latest               which of those below is the address' newest
packs/ADDRESS-DIGEST/SUMS-DIGEST/source.json    the address
packs/ADDRESS-DIGEST/SUMS-DIGEST/pack/          the pack's small files
packs/ADDRESS-DIGEST/SUMS-DIGEST/store/         a store with all its features, those with rows that were chosen

A pack that has changed at its address is another folder. Nothing is ever written to the address.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.defaults import DEFAULT_STORE
from features.digests import digest_of, sha256_file
from features.errors import ErcWarning, NetworkError, StoreError
from features.files import write_bytes_whole
from features.manifest import Manifest
from features.packs.check import check_feature, check_files, pack_sums
from features.packs.install import install_feature
from features.packs.layout import MANIFEST, RECORD, PackedFeature, read_pack
from features.packs.places import fetch_files, fetch_sums, is_remote
from features.remembered import cache_folder
from features.store.checksums import FOLDER_SUMS
from features.store.feature import Feature
from features.store.store import Store

_SOURCE, _LATEST, _ARRIVED = "source.json", "latest", "arrived"


def mount(address: str) -> Path:
    """The local store that stands for a pack at an address, as `fetch_pack` takes it; `open_store` opens it.

    Where the address cannot be read, but was before, what was fetched then is meant, with a warning. Raises StoreError
    where there is no pack or it is damaged, UsageError for an address that nothing reads, NetworkError.
    """
    base = cache_folder() / "packs" / digest_of("pack", address.rstrip("/"))[:16]
    base.mkdir(parents=True, exist_ok=True)
    incoming = Path(tempfile.mkdtemp(dir=base, prefix="incoming-"))
    try:
        fetch_sums(address, incoming)
        root = base / sha256_file(incoming / FOLDER_SUMS)[:16]
        _set_up(address, root, (incoming / FOLDER_SUMS).read_bytes())
    except (NetworkError, StoreError) as error:
        before = _latest(base)
        if before is None:
            raise
        root = before
        warnings.warn(f"{error}: the copy that was fetched before is used", ErcWarning, stacklevel=2)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    write_bytes_whole(base / _LATEST, root.name.encode())
    return root / "store"


def mounted_manifest(store: Path) -> Path:
    """The manifest of the pack that a store of `mount` stands for."""
    return store.parent / "pack" / MANIFEST


def open_store(place: Path | str, manifest: Manifest | None = None) -> Store:
    """The store at a place: a folder, one that `mount` gave, or the address of a pack. Raises as `Store`, `mount`."""
    path = mount(place) if isinstance(place, str) and is_remote(place) else Path(place)
    return PackStore(path, manifest) if (path.parent / _SOURCE).is_file() else Store(path, manifest)


@dataclass(frozen=True)
class OnOffer:
    """A feature of a pack at an address. fetched: its rows are in the cache"""

    feature: PackedFeature
    fetched: bool


def on_offer(address: str) -> list[OnOffer]:
    """What a pack at an address has. Raises as `mount`."""
    pack = mount(address).parent / "pack"
    return [OnOffer(item, (pack / item.folder / _ARRIVED).is_file()) for item in read_pack(pack).features]


class PackStore(Store):
    """A store of `mount`: a feature's rows are fetched when it is chosen, checked byte for byte, and kept.

    Features that are only listed (`features`) may have no rows yet.
    """

    def __init__(self, path: Path | str, manifest: Manifest | None = None) -> None:
        """Raises StoreError where the cache's record of the address is gone or damaged."""
        super().__init__(path, manifest)
        source = self.path.parent / _SOURCE
        try:
            self.address: str = json.loads(source.read_text(encoding="utf-8"))["address"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{source}: cannot be read: remove {source.parent}, and read the pack again") from error

    @property
    def place(self) -> str:
        return self.address

    @property
    def extract_to(self) -> Path:
        return Path(DEFAULT_STORE)

    def choose(self, modality: str, selector: str | Mapping[str, Any]) -> Feature:
        """As of any store. Raises NetworkError and StoreError, too, as `mount`."""
        feature = super().choose(modality, selector)
        return super().choose(modality, selector) if self._bring({feature.folder}) else feature

    def with_fingerprint(self, fingerprint: str) -> list[Feature]:
        found = super().with_fingerprint(fingerprint)
        return super().with_fingerprint(fingerprint) if self._bring({item.folder for item in found}) else found

    def _bring(self, folders: set[str]) -> bool:
        """Fetch the rows of these features that are not here yet; whether there were any."""
        pack = self.path.parent / "pack"
        items = [item for item in read_pack(pack).features if item.folder in folders]
        coming = [item for item in items if not (pack / item.folder / _ARRIVED).is_file()]
        for item in coming:
            _bring_feature(self.address, pack, item, self.path)
        if coming:
            self.__dict__.pop("_opened", None)
        return bool(coming)


def _latest(base: Path) -> Path | None:
    try:
        root = base / (base / _LATEST).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return root if root.parent == base and (root / _SOURCE).is_file() else None


def _set_up(address: str, root: Path, sums_file: bytes) -> None:
    """The pack's small files, and a store of its specs. source.json is written last: with it all is there."""
    if (root / _SOURCE).is_file():
        return
    pack = root / "pack"
    pack.mkdir(parents=True, exist_ok=True)
    write_bytes_whole(pack / FOLDER_SUMS, sums_file)
    sums = pack_sums(pack / FOLDER_SUMS)
    _fetch(address, pack, {name: sums[name] for name in (RECORD, MANIFEST) if name in sums})
    features = read_pack(pack).features
    _fetch(address, pack, {name: sums[name] for item in features if (name := f"{item.folder}/spec.json") in sums})
    for item in features:
        check_feature(pack, item, sums)
        there = root / "store" / item.folder
        there.mkdir(parents=True, exist_ok=True)
        write_bytes_whole(there / "spec.json", (pack / item.folder / "spec.json").read_bytes())
    (root / "store").mkdir(exist_ok=True)
    write_bytes_whole(root / _SOURCE, json.dumps({"address": address}).encode())


def _bring_feature(address: str, pack: Path, item: PackedFeature, store: Path) -> None:
    """Rows into the store; the pack's own files of them are removed after that."""
    sums = pack_sums(pack / FOLDER_SUMS)
    own = {name: digest for name, digest in sums.items() if name.startswith(f"{item.folder}/")}
    try:
        _fetch(address, pack, own)
        install_feature(pack, item, store)
    except StoreError:
        if not (pack / item.folder / _ARRIVED).is_file():  # else another process did it meanwhile
            raise
    write_bytes_whole(pack / item.folder / _ARRIVED, b"")
    for name in own:
        if name.endswith(".parquet"):
            (pack / name).unlink(missing_ok=True)


def _fetch(address: str, pack: Path, sums: Mapping[str, str]) -> None:
    fetch_files(address, pack, sums)
    check_files(pack, sums)
