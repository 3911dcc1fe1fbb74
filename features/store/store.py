"""A store: a folder of features, MODALITY/NAME-XXXXXXXX, chosen by name and read by utterance id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from features.errors import FeatureChoiceError, StoreError, nearest
from features.manifest import Manifest
from features.spec import MODALITIES
from features.store.feature import Feature

_SELECTOR = re.compile(r"(?P<name>[^@]+)(@(?P<fingerprint>[0-9a-f]+))?")
_FOLDER = re.compile(r".+-[0-9a-f]{8}")
_MATCHED = ("encoder", "model", "alias", "weights", "compute_dtype", "kind", "fingerprint")


class Store:
    """Opened by listing folders; nothing is read until it is asked for."""

    def __init__(self, path: Path | str, manifest: Manifest | None = None) -> None:
        """manifest: whose utterances are to be read: of each, features then have the newest row that was made from what
        the manifest holds today (`Feature.fitting`); without it, the newest row.

        Raises StoreError where there is no such folder.
        """
        self.path = Path(path)
        self.manifest = manifest
        if not self.path.is_dir():
            raise StoreError(
                f"no store at {self.path}: make one with `erc extract --modality text --store {self.path}`"
            )

    @cached_property
    def _features(self) -> list[Feature]:
        folders = [
            f"{modality}/{entry.name}"
            for modality in MODALITIES
            if (self.path / modality).is_dir()
            for entry in sorted((self.path / modality).iterdir())
            if _FOLDER.fullmatch(entry.name) and (entry / "spec.json").is_file()
        ]
        features = [Feature(self.path, folder) for folder in folders]
        return features if self.manifest is None else [feature.fitting(self.manifest) for feature in features]

    def features(self) -> list[Feature]:
        """Every feature, by modality and folder name. Raises StoreError where a spec is damaged."""
        return list(self._features)

    def choose(self, modality: str, selector: str | Mapping[str, Any]) -> Feature:
        """The one feature that a selector names: `gpt2`, `gpt2@1f3a` (a fingerprint begins so), or {encoder: ...}.

        A mapping's keys are fields of the spec, or of its settings. Raises FeatureChoiceError that lists the candidates
        where none or several match.
        """
        candidates = [feature for feature in self._features if feature.spec.modality == modality]
        if isinstance(selector, str):
            match = _SELECTOR.fullmatch(selector)
            if not match:
                raise FeatureChoiceError(f"{modality}: {selector!r} is not a feature: write NAME or NAME@FINGERPRINT")
            name, beginning = match["name"], match["fingerprint"] or ""
            found = [item for item in candidates if item.name == name and item.fingerprint.startswith(beginning)]
        else:
            found = [item for item in candidates if all(_field(item, key) == value for key, value in selector.items())]
        if len(found) == 1:
            return found[0]
        shown = selector if isinstance(selector, str) else dict(selector)
        if found:
            names = ", ".join(f"{item.name}@{item.fingerprint[:8]}" for item in found)
            raise FeatureChoiceError(
                f"{modality}: {shown!r} matches {len(found)} features of {self.path}: choose one of {names}"
            )
        if not candidates:
            raise FeatureChoiceError(
                f"{modality}: {self.path} has no {modality} feature: make it with `erc extract --modality {modality}"
                f"{f' --encoder {selector}' if isinstance(selector, str) else ''} --store {self.path}`"
            )
        known = {item.name for item in candidates}
        hint = nearest(selector, known) if isinstance(selector, str) else f"known: {', '.join(sorted(known))}"
        raise FeatureChoiceError(f"{modality}: no feature {shown!r} in {self.path}: {hint}")


def _field(feature: Feature, key: str) -> Any:
    if key in _MATCHED:
        return getattr(feature.spec, key)
    if key in feature.spec.settings:
        return feature.spec.settings[key]
    return None
