"""The generated corpus: dialogues with text, sound and picture, as `erc sample` writes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl

from benchmarks.harness.contender import BenchmarkError
from benchmarks.inputs.dialogues import whole_dialogues
from features.cards import load_card
from features.manifest import Manifest, build_manifest, read_manifest, write_manifest

_UTTERANCES_A_DIALOGUE = 6  # at the least; `erc sample` makes more
_FEWEST_DIALOGUES = 3


def sample_manifest(place: Path, utterances: int) -> Path:
    """The path of a manifest of the first whole dialogues with at least so many utterances, with their clips. What is
    in the folder already is not rendered again."""
    path = place / f"sample-{utterances}.parquet"
    if not path.is_file():
        wanted = max(_FEWEST_DIALOGUES, -(-utterances // _UTTERANCES_A_DIALOGUE))
        made = sorted(int(folder.name.partition("-")[2]) for folder in place.glob("corpus-*"))
        dialogues = next((count for count in made if count >= wanted), wanted)
        corpus, whole = place / f"corpus-{dialogues}", place / f"whole-{dialogues}.parquet"
        if not whole.is_file():
            erc("sample", corpus, "--dialogues", dialogues)
            erc("ingest", "meld", corpus, "--out", whole)
        write_manifest(whole_dialogues(_complete(read_manifest(whole)), utterances), path)
    return path


def _complete(manifest: Manifest) -> Manifest:
    """Without the clips that the sample has damaged on purpose: a plain loop ends at the first of them."""
    import av

    kept = []
    for media in manifest.frame["media"]:
        try:
            with av.open(str(manifest.media_path(media))) as container:
                kept.append(bool(container.streams.audio and container.streams.video))
        except (OSError, TypeError):
            kept.append(False)
    return build_manifest(manifest.frame.filter(kept), manifest.card, manifest.media_root)


def text_manifest(place: Path, utterances: int) -> Path:
    """The same dialogues as text alone: no clip is rendered."""
    from pipeline.sample.script import write_script

    dialogues = max(_FEWEST_DIALOGUES, -(-utterances // _UTTERANCES_A_DIALOGUE))
    frame = pl.DataFrame(
        {
            "utterance_id": f"sample/{line.split}/dia{line.dialogue}_utt{line.turn}",
            "dataset": "meld",
            "split": line.split,
            "dialogue_id": f"sample/{line.split}/dia{line.dialogue}",
            "turn": line.turn,
            "speaker": line.speaker,
            "text": line.text,
            "label": line.emotion,
        }
        for line in write_script(dialogues, 0)
    )
    return write_manifest(
        whole_dialogues(build_manifest(frame, load_card("meld")), utterances), place / f"text-{utterances}.parquet"
    )


def first_rows(manifest: Path, rows: int) -> Path:
    """The path of a manifest of another's first rows."""
    whole = read_manifest(manifest)
    part = build_manifest(whole.frame.head(rows), whole.card, whole.media_root)
    return write_manifest(part, manifest.with_stem(f"{manifest.stem}-first-{rows}"))


def erc(*arguments: object) -> None:
    """A command in a process of its own, quietly. Raises BenchmarkError with what it said."""
    code = "from pipeline.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"erc {arguments[0]} failed: {done.stderr[-1000:].strip()}")
