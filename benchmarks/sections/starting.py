"""What a user waits for before anything is there: help, a run with nothing to do, the first embedding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.contender import Contender
from benchmarks.harness.results import Claim, Comparison
from benchmarks.harness.rounds import in_turns
from benchmarks.inputs.random_meld import SPLITS, make_manifest
from features.manifest import write_manifest

TITLE = "Starting and starting again"
TEXT = """\
Whole commands as a user waits for them, imports and all. The corpus has MELD's size (13,708 utterances of random
text). A finished extraction (`surface`) is asked for again: it plans all of it. The first embedding (`sentence`):
from the command to the first committed chunk on the disk; beside it, the import of torch and transformers."""

# share of MELD's size, rounds
SIZES = {"tiny": (0.01, 1), "small": (1.0, 3), "full": (1.0, 9)}
_COMMANDS = "benchmarks.workers.commands"
PYTHON, HELP = "python -c pass", "erc --help"
LEFT, FIRST = "erc extract, nothing left", "erc extract, first embedding"
IMPORTS = "import torch, transformers"


def measure(size: str, place: Path, show: Callable[[str], object]) -> list[Comparison]:
    share, rounds = SIZES[size]
    splits = {split: max(10, round(count * share)) for split, count in SPLITS.items()}
    manifest = write_manifest(make_manifest(splits), place / "manifest.parquet")
    asked = ["extract", "--modality", "text", "--manifest", str(manifest), "--encoder"]
    helping = in_turns(
        [
            Contender(HELP, f"{_COMMANDS}:Erc", {"arguments": ["--help"]}),
            Contender(PYTHON, f"{_COMMANDS}:Command", {"arguments": ["-c", "pass"]}),
        ],
        rounds,
        show,
    )
    left, first, imports = in_turns(
        [
            Contender(LEFT, f"{_COMMANDS}:AgainWithNothingLeft", {"arguments": [*asked, "surface"]}),
            Contender(FIRST, f"{_COMMANDS}:FirstEmbedding", {"arguments": [*asked, "sentence"]}),
            Contender(IMPORTS, f"{_COMMANDS}:Command", {"arguments": ["-c", "import torch, transformers.models.bert"]}),
        ],
        rounds,
        show,
    )
    corpus = f"{sum(splits.values()):,} utterances"
    return [
        Comparison(
            "Help",
            "a command",
            HELP,
            helping,
            (Claim(HELP, None, "at most", 0.25, None), Claim(HELP, PYTHON, "at most", 3.0, 5.0)),
        ),
        Comparison(
            "Again, with nothing left",
            corpus,
            LEFT,
            (left, imports),
            (Claim(LEFT, None, "at most", 3.0, None), Claim(LEFT, IMPORTS, "at most", 0.5, 1.0)),
        ),
        Comparison(
            "The first embedding", corpus, FIRST, (first, imports), (Claim(FIRST, IMPORTS, "at most", 3.0, 3.0),)
        ),
    ]
