"""One stored feature as a tensor, with the rows of the manifest as a frame.

from features import load

    dev = load("sentence", split="dev")
    dev.tensor  # float32 [1109, 2304]
    dev.frame  # polars: utterance_id, speaker, text, label, ..., status, reason
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from torch import Tensor

from features.defaults import DEFAULT_MANIFEST, DEFAULT_STORE, MANIFEST_VARIABLE, STORE_VARIABLE
from features.manifest import Manifest, read_manifest
from features.packs.mounted import mounted_manifest, open_store
from features.packs.places import is_remote
from features.spec import EncoderSpec
from features.torch import check_fresh, label_numbers

if TYPE_CHECKING:
    from features.store.feature import Feature


@dataclass(frozen=True)
class Loaded:
    """A feature of n utterances, in the manifest's order. Row i of every field belongs to the same utterance.

    tensor:  float32 [n, *shape], zeros where there is no embedding. For a sequence: [n, longest, *shape] in the stored
             dtype, with zeros after the end of each
    present: bool [n], True where there is an embedding
    lengths: int64 [n], the number of elements of each sequence, 0 where there is no embedding; None for vectors and
             stacks
    labels:  int64 [n], the index of each label in `classes`; -1 where there is none
    classes: the labels of the dataset card
    frame:   the manifest's columns, then `status` (ok, missing, failed, or absent, which means never extracted) and its
             `reason`
    spec:    what made the feature
    """

    tensor: Tensor
    present: Tensor
    lengths: Tensor | None
    labels: Tensor
    classes: list[str]
    frame: pl.DataFrame
    spec: EncoderSpec

    def __len__(self) -> int:
        return len(self.frame)


def load(
    feature: str,
    *,
    split: str | None = None,
    manifest: Manifest | Path | str | None = None,
    store: Path | str | None = None,
    allow_stale: bool = False,
) -> Loaded:
    """Read one feature of the store into memory, joined by utterance id.

    feature:     NAME or NAME@FINGERPRINT, as `erc store ls` shows it, or MODALITY/NAME if two modalities have the name
    split:       only the utterances of this split; None: those of every split
    manifest:    a path, or a Manifest. None: $ERC_MANIFEST; if it is not set, the pack's own manifest for a pack, else
                 data/manifest.parquet
    store:       a folder, or the address of a pack (hf://OWNER/NAME, s3://...). Of a pack, only this feature is
                 fetched, into the user's cache. None: $ERC_STORE; if it is not set, `store`
    allow_stale: also read rows that were made from another input than the manifest has now

    Raises FeatureChoiceError if no feature fits or several do, ManifestError for a split that is not there, and
    StaleFeaturesError for stale rows. For an address it may also raise StoreError, UsageError and NetworkError.

    For features that are larger than memory, and for several at once, use `features.torch.FeatureDataset`, or
    `Store.choose` and `Feature.read`.
    """
    place = store or os.environ.get(STORE_VARIABLE) or DEFAULT_STORE
    opened = open_store(place)
    of_pack = mounted_manifest(opened.path) if is_remote(str(place)) else None
    found = manifest or os.environ.get(MANIFEST_VARIABLE) or of_pack or DEFAULT_MANIFEST
    rows = found if isinstance(found, Manifest) else read_manifest(found)
    rows = rows if split is None else rows.select_splits([split])
    chosen = opened.find(feature).fitting(rows)
    if not allow_stale:
        check_fresh(chosen, chosen.index.stale, rows)
    tensor, present, lengths = _read(chosen, rows.ids)
    return Loaded(
        tensor,
        present,
        lengths,
        torch.from_numpy(label_numbers(rows)),
        list(rows.card.labels),
        rows.frame.with_columns(
            status=pl.Series(chosen.statuses(rows.ids), dtype=pl.String),
            reason=pl.Series(chosen.reasons(rows.ids), dtype=pl.String),
        ),
        chosen.spec,
    )


def _read(feature: Feature, ids: list[str]) -> tuple[Tensor, Tensor, Tensor | None]:
    if feature.spec.kind != "sequence":
        rows = feature.read(ids)
        return torch.from_numpy(rows.values), torch.from_numpy(rows.present), None
    found = feature.read_sequences(ids)
    lengths = torch.tensor([0 if item is None else len(item) for item in found], dtype=torch.int64)
    padded = np.zeros((len(ids), max(lengths.tolist(), default=0), *feature.spec.shape), feature.spec.stored_dtype)
    for row, item in zip(padded, found, strict=True):
        if item is not None:
            row[: len(item)] = item
    return torch.from_numpy(padded), torch.tensor([item is not None for item in found]), lengths
