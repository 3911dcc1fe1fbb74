"""The generated corpus: dialogues with text, sound and picture, as `erc sample` writes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.inputs.dialogues import whole_dialogues
from features.manifest import read_manifest, write_manifest

_UTTERANCES_A_DIALOGUE = 6  # at the least; `erc sample` makes more


def sample_manifest(place: Path, utterances: int) -> Path:
    """The path of a manifest of the first whole dialogues with at least so many utterances; made once in a folder."""
    path = place / f"sample-{utterances}.parquet"
    if not path.is_file():
        corpus = place / "corpus"
        erc("sample", corpus, "--dialogues", max(3, -(-utterances // _UTTERANCES_A_DIALOGUE)))
        erc("ingest", "meld", corpus, "--out", place / "sample.parquet")
        manifest = read_manifest(place / "sample.parquet")
        write_manifest(whole_dialogues(manifest, utterances), path)
    return path


def erc(*arguments: object) -> None:
    """A command in a process of its own, quietly. Raises CalledProcessError."""
    code = "from pipeline.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True)
