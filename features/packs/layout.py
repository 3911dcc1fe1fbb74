"""What lies where in a pack.

pack.json                                what is in it, below
manifest.parquet                         the utterances, without the folder of their clips
text/sentence-5b698f53/spec.json         as in a store
text/sentence-5b698f53/train.parquet     a split's rows, as `erc store export` writes them
text/sentence-5b698f53/ledger.parquet    what happened to each utterance
text/.../top.safetensors                 of a feature with `from_top`
README.md                                the card
SHA256SUMS                               of all files but itself
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.errors import FormatError, StoreError

FORMAT = 1
RECORD, MANIFEST, LEDGER, CARD = "pack.json", "manifest.parquet", "ledger.parquet", "README.md"


@dataclass(frozen=True)
class PackedFeature:
    """folder: MODALITY/NAME-XXXXXXXX, in the pack and in a store
    fingerprint: of its spec
    rows:   a digest of the (utterance id, crc32) pairs in the manifest's order: which very numbers
    splits: split -> how many of its utterances have an embedding
    """

    folder: str
    fingerprint: str
    rows: str
    splits: dict[str, int]


@dataclass(frozen=True)
class Pack:
    """What pack.json says.

    dataset: the card's; utterances: how many the manifest has; made_by: the version of this package
    """

    dataset: str
    utterances: int
    features: tuple[PackedFeature, ...]
    made_by: str

    def to_json(self) -> str:
        values = {"format": FORMAT, **asdict(self)}
        return json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_pack(folder: Path) -> Pack:
    """Raises StoreError where there is no pack, or pack.json is damaged, FormatError where a later version made it."""
    path = folder / RECORD
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"no pack at {folder}: it has no {RECORD}: make one with `erc store pack`") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}): fetch the pack again") from error
    try:
        if values.pop("format") > FORMAT:
            raise FormatError(f"{path}: a later version made this pack: upgrade")
        features = tuple(PackedFeature(**item) for item in values.pop("features"))
        return Pack(features=features, **values)
    except FormatError:
        raise
    except (KeyError, TypeError) as error:
        raise StoreError(f"{path}: is not a pack's ({type(error).__name__}: {error}): fetch the pack again") from error
