"""A store: a folder of features, MODALITY/NAME-XXXXXXXX, chosen by name and read by utterance id.

A feature that is damaged or cannot be read is listed as damaged. The others work all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from features.errors import FeatureChoiceError, ShardError, StoreError, nearest
from features.manifest import Manifest
from features.spec import MODALITIES
from features.store.commit import file_role
from features.store.feature import Feature
from features.store.reading import check_store, folder_entries

_SELECTOR = re.compile(r"(?P<name>[^@]+)(@(?P<fingerprint>[0-9a-f]+))?")
_FOLDER = re.compile(r".+-[0-9a-f]{8}")
_MATCHED = ("encoder", "model", "alias", "weights", "compute_dtype", "kind", "fingerprint")


class Store:
    """A store of features. Opening it lists folders. Files are read only when they are needed."""

    def __init__(self, path: Path | str, manifest: Manifest | None = None) -> None:
        """manifest: the utterances to read. For each, features then give the newest row that was made from what the
        manifest has now (`Feature.fitting`). Without a manifest, they give the newest row.

        Raises StoreError if there is no such folder, and UnreadableError if it cannot be listed.
        """
        self.path = Path(path)
        self.manifest = manifest
        check_store(self.path)

    @property
    def place(self) -> str:
        """Where the store is, in words: its path, or the address that it is a copy of."""
        return str(self.path)

    @property
    def extract_to(self) -> Path:
        """The store to name in a command that makes or repairs a feature."""
        return self.path

    @cached_property
    def _opened(self) -> tuple[list[Feature], list[tuple[str, StoreError]]]:
        features: list[Feature] = []
        damaged: list[tuple[str, StoreError]] = []
        for modality in MODALITIES:
            try:
                names = [entry.name for entry in folder_entries(self.path / modality)]
            except ShardError:
                continue  # no feature of this modality
            except StoreError as error:
                damaged.append((modality, error))
                continue
            for folder in (f"{modality}/{name}" for name in names if _FOLDER.fullmatch(name)):
                try:
                    feature = Feature(self.path, folder)
                    features.append(feature.fitting(self.manifest) if self.manifest else feature)
                except StoreError as error:
                    if self._holds_anything(folder):
                        damaged.append((folder, error))
        return features, damaged

    def _holds_anything(self, folder: str) -> bool:
        """Whether a folder whose spec.json does not serve is a feature: an extraction may just have made it."""
        try:
            roles = {file_role(entry.name) for entry in folder_entries(self.path / folder)}
        except ShardError:
            return False  # it is no folder, or was removed meanwhile
        except StoreError:
            return True
        return not roles.isdisjoint({"spec", "record"})

    def features(self) -> list[Feature]:
        """Every feature whose spec can be read, by modality and folder name."""
        return list(self._opened[0])

    def with_fingerprint(self, fingerprint: str) -> list[Feature]:
        """The features that have this fingerprint."""
        return [feature for feature in self.features() if feature.fingerprint == fingerprint]

    @property
    def damaged(self) -> list[tuple[str, StoreError]]:
        """The folders of features that cannot be opened, and why. For a modality's folder, why it cannot be listed."""
        return list(self._opened[1])

    def choose(self, modality: str, selector: str | Mapping[str, Any]) -> Feature:
        """The one feature that a selector names: `gpt2`, `gpt2@1f3a` (a fingerprint's beginning), or {encoder: ...}.

        The keys of a mapping are fields of the spec, or of its settings. Raises FeatureChoiceError, which lists the
        candidates, if none or several match, or if the feature that is meant may be damaged.
        """
        candidates = [feature for feature in self.features() if feature.spec.modality == modality]
        if isinstance(selector, str):
            match = _SELECTOR.fullmatch(selector)
            if not match:
                raise FeatureChoiceError(f"{modality}: {selector!r} is not a feature: write NAME or NAME@FINGERPRINT")
            name, beginning = match["name"], match["fingerprint"] or ""
            found = [item for item in candidates if item.name == name and item.fingerprint.startswith(beginning)]
        else:
            found = [item for item in candidates if all(_field(item, key) == value for key, value in selector.items())]
        damaged = [(folder, error) for folder, error in self.damaged if _may_be(folder, modality, selector)]
        names_alone = isinstance(selector, str) or selector.keys() <= {"encoder", "alias"}
        if len(found) == 1 and not (damaged and names_alone):
            return found[0]
        shown = selector if isinstance(selector, str) else dict(selector)
        if len(found) < 2 and damaged:
            other = f" (or {found[0].name}@{found[0].fingerprint[:8]}: then say so)" if found else ""
            folder, error = damaged[0]
            raise FeatureChoiceError(f"{modality}: {shown!r} is {folder}, which cannot be opened{other}: {error}")
        if found:
            names = ", ".join(f"{item.name}@{item.fingerprint[:8]}" for item in found)
            raise FeatureChoiceError(
                f"{modality}: {shown!r} matches {len(found)} features of {self.place}: choose one of {names}"
            )
        if not candidates:
            raise FeatureChoiceError(
                f"{modality}: {self.place} has no {modality} feature: make it with `erc extract --modality {modality}"
                f"{f' --encoder {selector}' if isinstance(selector, str) else ''} --store {self.extract_to}`"
            )
        known = {item.name for item in candidates}
        hint = nearest(selector, known) if isinstance(selector, str) else f"known: {', '.join(sorted(known))}"
        raise FeatureChoiceError(f"{modality}: no feature {shown!r} in {self.place}: {hint}")

    def find(self, feature: str) -> Feature:
        """The one feature of a name, of any modality: NAME or NAME@FINGERPRINT, or MODALITY/NAME if two modalities have
        the name. Raises the errors of `choose`."""
        modality, _, name = feature.rpartition("/")
        if modality:
            return self.choose(modality, name)
        there = {item.spec.modality for item in self.features() if item.name == name.partition("@")[0]}
        if len(there) > 1:
            both = " or ".join(f"{found}/{name}" for found in MODALITIES if found in there)
            raise FeatureChoiceError(f"{name!r} is a feature of several modalities in {self.place}: write {both}")
        if there:
            return self.choose(there.pop(), name)
        known = sorted({item.name for item in self.features()})
        hint = nearest(name, known) if known else "the store is empty: fill it with `erc extract`"
        raise FeatureChoiceError(f"no feature {name!r} in {self.place}: {hint}")


def _may_be(folder: str, modality: str, selector: str | Mapping[str, Any]) -> bool:
    """Whether a feature that cannot be opened, of which its folder's name is known, may be what a selector names."""
    if folder == modality:
        return True
    here, _, name = folder.partition("/")
    name, _, fingerprint = name.rpartition("-")
    if isinstance(selector, str):
        wanted, _, beginning = selector.partition("@")
        names = {wanted}
    else:
        names = {value for key, value in selector.items() if key in ("alias", "encoder")}
        beginning = selector.get("fingerprint", "")
    return here == modality and name in names and fingerprint.startswith(beginning[:8])


def _field(feature: Feature, key: str) -> Any:
    if key in _MATCHED:
        return getattr(feature.spec, key)
    if key in feature.spec.settings:
        return feature.spec.settings[key]
    return None
