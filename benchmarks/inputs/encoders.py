"""What an encoder is measured on: its part of the sample corpus, and the model that all contenders load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.inputs import random_meld
from benchmarks.inputs.corpus import first_rows, sample_manifest, text_manifest
from benchmarks.inputs.models import save_gpt2, save_wav2vec2
from features.manifest import read_manifest

READ_TEXT = ("gpt2", "sentence")
OF_MELDS_SIZE = ("sentence",)
OF_DIALOGUES = ("gpt2",)
_MINILM = "packaged:all-MiniLM-L6-v2"


def manifest_for(name: str, place: Path, utterances: int) -> Path:
    """Of at least so many utterances; as text alone for an encoder that reads no clips."""
    return (text_manifest if name in READ_TEXT else sample_manifest)(place, utterances)


def part_and_whole(name: str, place: Path, utterances: int) -> tuple[Path, Path]:
    """Paths of the manifest of what is measured, and of the corpus whose first utterances these are, which alone
    decides the size of a chunk: texts are cut out of a corpus of MELD's size, since a thousand of them are encoded in
    two seconds. gpt2 reads whole dialogues: it has as many as hold so many utterances."""
    if name in OF_MELDS_SIZE:
        whole = text_manifest(place, random_meld.SIZE)
        return first_rows(whole, utterances), whole
    manifest = manifest_for(name, place, utterances)
    if name not in OF_DIALOGUES:
        manifest = first_rows(manifest, utterances)
    return manifest, manifest


def model_for(name: str, manifest: Path, place: Path) -> tuple[str, dict[str, Any]]:
    """What plain code loads ('' for the random weights that it draws itself), and our request for the same."""
    from features.encoders.weights import find_model

    folder = place / name
    if name == "sentence":
        return str(find_model(_MINILM, "pretrained")), {"encoder": name, "settings": {"pooling": "own"}}
    if name not in ("gpt2", "wav2vec2"):
        return "", {"encoder": name, "weights": "random"}
    if not folder.is_dir() and name == "gpt2":
        save_gpt2(folder, read_manifest(manifest).frame["text"].to_list())
    elif not folder.is_dir():
        save_wav2vec2(folder)
    return str(folder), {"encoder": name, "model": str(folder)}
