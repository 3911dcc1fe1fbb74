"""Stored features as a torch dataset, for training loops of your own.

    from torch.utils.data import DataLoader

    from features.manifest import read_manifest
    from features.torch import FeatureDataset, collate

    manifest = read_manifest("data/manifest.parquet")
    data = FeatureDataset("store", manifest, {"text": "sentence", "audio": "logmel"}, "train")
    for batch in DataLoader(data, batch_size=64, shuffle=True, num_workers=2, collate_fn=collate):
        batch["inputs"]["text"]  # float32 [b, 2304]

When the dataset is made, it reads manifest and ledgers into plain arrays. After that it uses only these arrays and
memory maps. So workers give the same bytes as this process, whether they are forked, spawned or started by a fork
server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from features.errors import ManifestError, StaleFeaturesError
from features.manifest import Manifest
from features.packs.mounted import open_store
from features.spec import EncoderSpec, Selector
from features.store.commit import ShardName
from features.store.feature import Feature
from features.store.index import OK, Sources, read_index
from features.store.maps import ShardGoneError, ShardMaps

UNLABELLED = -1


@dataclass
class _Column:
    """One feature of all items: where each one's embedding is. shard: -1 where there is none"""

    spec: EncoderSpec
    sources: Sources
    maps: ShardMaps
    names: list[ShardName] = field(default_factory=list)
    shard: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    row: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def locate(self) -> frozenset[str]:
        """Read the ledgers. Gives the ids whose rows are stale."""
        index = read_index(self.maps.folder, self.sources)
        places = index.find(self.sources.ids)
        present = places >= 0
        present[present] = index.status[places[present]] == OK
        self.names = index.names
        self.shard = np.where(present, index.shard[places], -1).astype(np.int32) if len(index.shard) else places
        self.row = np.where(present, index.row[places], -1) if len(index.row) else places
        return index.stale

    def read(self, place: int) -> np.ndarray | None:
        """An item's embedding, a copy in the stored dtype; None where there is none."""
        try:
            return self._read(place)
        except ShardGoneError:  # `gc` removed it: another shard has what holds now
            self.maps.close()
            self.locate()
            return self._read(place)

    def _read(self, place: int) -> np.ndarray | None:
        shard = self.shard[place]
        return None if shard < 0 else np.array(self.maps[self.names[shard]].row(int(self.row[place])))


class FeatureDataset(Dataset[dict[str, Any]]):
    """The utterances of a split with some of their stored features, joined by id, in the manifest's order.

    An item has `utterance_id`, `dialogue_id`, `speaker` (str), `turn` (int) and `label` (int: its index in `labels`,
    UNLABELLED for none). It also has these mappings by modality:

    inputs:  a vector or stack: float32 [*shape], zeros where there is no embedding. A sequence: [length, *shape] in the
             stored dtype, of length 0 where there is none. For a feature with `from_top`, each element is a state below
             the encoder's top and two flags (`features.top.elements`); `Feature.read_top` has the layers
    present: bool, whether there is an embedding
    length:  int, for sequences only
    """

    def __init__(
        self,
        store: Path | str,
        manifest: Manifest,
        features: Mapping[str, Selector],
        split: str,
        *,
        allow_stale: bool = False,
    ) -> None:
        """store:    a folder, or the address of a pack (hf://OWNER/NAME, s3://...)
        features: modality -> which feature of the store, as in `Store.choose`

        Raises FeatureChoiceError if no feature or several match, ManifestError for a split that is not there, and
        StaleFeaturesError if rows were made from another input than the manifest has now.
        """
        if not features:
            raise ManifestError("a dataset needs a feature: give {modality: name}, as in {'text': 'sentence'}")
        rows = manifest.select_splits([split])
        opened = open_store(store)
        self.split = split
        self.labels = list(manifest.card.labels)
        self.ids = rows.ids
        self._dialogues, self._speakers = rows.frame["dialogue_id"].to_list(), rows.frame["speaker"].to_list()
        self._turns = rows.frame["turn"].to_numpy().copy()
        self._labels = label_numbers(rows)
        self._columns = {
            modality: _open(opened.choose(modality, selector), rows, allow_stale)
            for modality, selector in features.items()
        }

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> dict[str, Any]:
        if not -len(self) <= place < len(self):
            raise IndexError(f"item {place} of {len(self)}")
        place %= len(self)
        inputs: dict[str, Tensor] = {}
        present: dict[str, bool] = {}
        for modality, column in self._columns.items():
            found = column.read(place)
            present[modality] = found is not None
            inputs[modality] = torch.from_numpy(_absent(column.spec) if found is None else _as_read(column.spec, found))
        return {
            "utterance_id": self.ids[place],
            "dialogue_id": self._dialogues[place],
            "turn": int(self._turns[place]),
            "speaker": self._speakers[place],
            "label": int(self._labels[place]),
            "inputs": inputs,
            "present": present,
            "length": {
                modality: len(inputs[modality])
                for modality, column in self._columns.items()
                if column.spec.kind == "sequence"
            },
        }


def _open(feature: Feature, rows: Manifest, allow_stale: bool) -> _Column:
    sources = Sources(rows.ids, rows.source_digests(feature.spec.depends))
    column = _Column(feature.spec, sources, ShardMaps(feature.path, feature.spec))
    stale = column.locate()
    if not allow_stale:
        check_fresh(feature, stale, rows)
    return column


def check_fresh(feature: Feature, stale: frozenset[str], rows: Manifest) -> None:
    """Raises StaleFeaturesError where any of these utterances' rows were made from other input than it has today."""
    if stale:
        first = next(utterance_id for utterance_id in rows.ids if utterance_id in stale)
        raise StaleFeaturesError(
            f"{feature.path}: {len(stale)} of {len(rows)} utterances were extracted from other input than the manifest"
            f" holds today (the first is {first}): run {feature.spec.made_by} again, or give allow_stale=True"
        )


def label_numbers(rows: Manifest) -> np.ndarray:
    """int64 [n]: the place of each utterance's label among the card's; UNLABELLED for none."""
    numbers = {label: number for number, label in enumerate(rows.card.labels)}
    return np.array([numbers.get(label, UNLABELLED) for label in rows.frame["label"]], np.int64)


def _as_read(spec: EncoderSpec, array: np.ndarray) -> np.ndarray:
    return array if spec.kind == "sequence" else array.astype(np.float32, copy=False)


def _absent(spec: EncoderSpec) -> np.ndarray:
    if spec.kind == "sequence":
        return np.zeros((0, *spec.shape), spec.stored_dtype)
    return np.zeros(spec.shape, np.float32)


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Makes a batch of items. Sequences are padded to the longest.

    utterance_id, dialogue_id, speaker: lists; turn, label: int64 [b]
    inputs:  by modality, float32 [b, *shape]; for sequences [b, t, *shape] in the stored dtype, with zeros as padding
    present: by modality, bool [b]
    mask:    by modality, for sequences only: bool [b, t], True where an element is real
    """
    batch: dict[str, Any] = {
        name: [item[name] for item in items] for name in ("utterance_id", "dialogue_id", "speaker")
    }
    batch |= {name: torch.tensor([item[name] for item in items], dtype=torch.int64) for name in ("turn", "label")}
    batch["inputs"], batch["present"], batch["mask"] = {}, {}, {}
    for modality in items[0]["inputs"]:
        values: list[Tensor] = [item["inputs"][modality] for item in items]
        batch["present"][modality] = torch.tensor([item["present"][modality] for item in items])
        if modality in items[0]["length"]:
            lengths = torch.tensor([item["length"][modality] for item in items])
            batch["inputs"][modality] = torch.nn.utils.rnn.pad_sequence(values, batch_first=True)
            batch["mask"][modality] = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        else:
            batch["inputs"][modality] = torch.stack(values)
    return batch
