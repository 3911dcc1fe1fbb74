"""Reading features of MELD's size, against what else they could be stored in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.contender import Contender
from benchmarks.harness.results import Claim, Comparison, Curve
from benchmarks.harness.rounds import Show, in_turns
from benchmarks.inputs.meld_features import make_others, make_store
from benchmarks.inputs.random_meld import SPLITS

TITLE = "Reading"
TEXT = """\
Random features of MELD's size and of the widths of gpt2 (768), wav2vec2 (1536) and resnet50 (2048), float32
everywhere, as our store keeps vectors by default: 238 MB. All were written a moment before and lie in the operating
system's memory (warm caches) for every contender, so that what is compared is the work of opening, checking, joining
and copying, not a disk. The store joins rows by utterance id, looks whether they were made from what the manifest
holds today, and tells what is missing; the others rely on the order in which they were written, which is the
manifest's here. That all read the same numbers is checked in the same run."""

_WORKERS = "benchmarks.workers.reading"
_OURS, _MEMMAP = "Feature.read", "np.memmap"


@dataclass(frozen=True)
class _Size:
    splits: dict[str, int]
    rounds: int
    batches: int


_SIZES = {
    "tiny": _Size({"train": 150, "dev": 25, "test": 25}, 1, 5),
    "small": _Size(SPLITS, 3, 300),
    "full": _Size(SPLITS, 7, 1_000),
}


def measure(size: str, place: Path, show: Show) -> list[Comparison | Curve]:
    chosen = _SIZES[size]
    make_others(place, make_store(place, chosen.splits).ids)
    count = sum(chosen.splits.values())
    return [_whole(chosen, place, count, show), _minibatches(chosen, place, show), _loaders(chosen, place, count, show)]


def _whole(size: _Size, place: Path, count: int, show: Show) -> Comparison:
    ways = {
        "features.load": "whole_load",
        "Store.choose, Feature.read": "whole_feature",
        "np.load, a .npy a feature": "whole_npy",
        "safetensors": "whole_safetensors",
        "Hugging Face datasets": "whole_datasets",
        "Lance": "whole_lance",
        "a .npy an utterance": "whole_files",
    }
    contenders = [Contender(name, f"{_WORKERS}:{target}", {"place": str(place)}) for name, target in ways.items()]
    return Comparison(
        "Three features whole into memory",
        f"{count:,} utterances, {size.rounds} rounds",
        "features.load",
        in_turns(contenders, size.rounds, show, alike=1e-6),
        (
            Claim("features.load", "np.load, a .npy a feature", "at most", aim=8, stated=12),
            Claim("a .npy an utterance", "features.load", "at least", aim=4, stated=4),
        ),
        "`features.load` reads the manifest for each feature anew, and gives labels, reasons and its columns, too.",
        also_ours=("Store.choose, Feature.read",),
    )


def _minibatches(size: _Size, place: Path, show: Show) -> Comparison:
    ways = {
        _OURS: "FeatureBatches",
        "FeatureDataset and collate": "DatasetBatches",
        _MEMMAP: "MemmapBatches",
        "safetensors, a slice a row": "SafetensorsBatches",
        "Hugging Face datasets": "DatasetsBatches",
        "Lance": "LanceBatches",
        "a .npy an utterance": "FilesBatches",
    }
    options = {"place": str(place), "batches": size.batches}
    contenders = [Contender(name, f"benchmarks.workers.minibatches:{target}", options) for name, target in ways.items()]
    return Comparison(
        "Random minibatches",
        f"{size.batches} of 32 utterances, three features each, {size.rounds} rounds; opening is not counted",
        _OURS,
        in_turns(contenders, size.rounds, show, alike=1e-6),
        (
            Claim(_OURS, _MEMMAP, "at most", aim=2, stated=4),
            Claim("safetensors, a slice a row", _OURS, "at least", aim=1, stated=1),
            Claim("a .npy an utterance", _OURS, "at least", aim=5, stated=5),
        ),
        "Most rows of a minibatch lie in a shard of their own, each of which is looked up in Python: that is what is"
        " left of the distance to one large map, which is gathered by one call.",
        also_ours=("FeatureDataset and collate",),
    )


def _loaders(size: _Size, place: Path, count: int, show: Show) -> Comparison:
    ways = {
        "FeatureDataset": "epoch_features",
        "TensorDataset in memory": "epoch_tensors",
        "a Dataset over np.memmap": "epoch_memmap",
    }
    contenders = [
        Contender(f"{name}, {_said(workers)}", f"{_WORKERS}:{target}", {"place": str(place), "workers": workers})
        for name, target in ways.items()
        for workers in ((0, 2, 4) if target == "epoch_features" else (0, 2))
    ]
    return Comparison(
        "An epoch of torch's DataLoader",
        f"{count:,} utterances in batches of 64, shuffled, {size.rounds} rounds; workers start with the epoch",
        "FeatureDataset, no workers",
        in_turns(contenders, size.rounds, show, alike=1e-6),
        (
            Claim(
                "FeatureDataset, no workers",
                "a Dataset over np.memmap, no workers",
                "at most",
                aim=2,
                stated=2,
            ),
            Claim("FeatureDataset, 2 workers", "a Dataset over np.memmap, 2 workers", "at most", aim=2, stated=2.5),
        ),
        "Nothing is computed between the batches: workers pay where steps take longer, and share batches in memory.",
        also_ours=("FeatureDataset, 2 workers", "FeatureDataset, 4 workers"),
    )


def _said(workers: int) -> str:
    return f"{workers} workers" if workers else "no workers"
