"""The files of one call: which split each is, and what the corpus is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from features.errors import UsageError
from pipeline.ingest.splits import SPLIT_WORDS, meant_split, split_of_file

# Names that many corpora's files and folders have: ids built on them would be two corpora's.
_GENERIC = SPLIT_WORDS | {
    "all", "annotation", "annotations", "batch", "clean", "corpora", "corpus", "csv", "data", "dataset", "datasets",
    "dialog", "dialogs", "dialogue", "dialogues", "download", "downloads", "emo", "emotion", "emotions", "excel",
    "export", "file", "files", "final", "full", "home", "input", "json", "label", "labels", "labelled", "list",
    "manifest", "meta", "metadata", "new", "out", "output", "part", "processed", "raw", "sent", "set", "sheet",
    "split", "splits", "table", "text", "texts", "tmp", "transcript", "transcripts", "tsv", "utterance", "utterances",
    "xlsx",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A file and, where SPLIT=FILE says so, its split."""

    path: Path
    split: str | None = None


def parse_source(text: str) -> Source:
    """`train=FILE`, or a file alone."""
    name, equals, rest = text.partition("=")
    if equals and rest and re.fullmatch(r"[\w.-]+", name) and not Path(text).exists():
        return Source(Path(rest), name)
    return Source(Path(text))


def file_splits(sources: Sequence[Source]) -> list[str | None]:
    """Each file's split: as given, else by its name, else, where all folders differ, by its folder's name."""
    folders = [source.path.resolve().parent.name for source in sources]
    by_folder = len(set(folders)) == len(folders) > 1
    return [
        source.split or split_of_file(source.path) or (meant_split(folder) if by_folder else None)
        for source, folder in zip(sources, folders, strict=True)
    ]


def dataset_name(sources: Sequence[Source], by_file: bool) -> tuple[str, str | None]:
    """What the corpus is called where nobody says it, and a sentence where that is not just the file's name.

    by_file: the splits are told by the files' names, so that these are no part of the corpus' name
    Raises UsageError where files and folder have names that any corpus' could have, or where the files' names differ.
    """
    names = {_without_splits(source.path.stem) if by_file else source.path.stem for source in sources}
    names = {name for name in names if not is_generic(name)}
    if len(names) == 1:
        name = names.pop()
        told = None if name == sources[0].path.stem else f"The corpus is called {name!r} after its files."
        return name, told
    files = ", ".join(source.path.name for source in sources[:4])
    if names:
        raise UsageError(f"{files}: which corpus is this? Their names differ: give --dataset NAME")
    folders = {source.path.resolve().parent.name for source in sources}
    if len(folders) > 1:  # train/data.csv and dev/data.csv
        folders = {source.path.resolve().parent.parent.name for source in sources}
    if len(folders) == 1 and not is_generic(folder := folders.pop()):
        return folder, f"The corpus is called {folder!r} after its folder: {files} could be any corpus'."
    raise UsageError(
        f"{files}: any corpus could be called so, and ids are built on the corpus' name: give --dataset NAME"
    )


def is_generic(name: str) -> bool:
    """Whether a name consists of nothing but words and numbers that any corpus' file could have."""
    return all(word.casefold() in _GENERIC for word in re.split(r"[\W\d_]+", name) if word)


def _without_splits(stem: str) -> str:
    """`emorynlp_train_final` -> `emorynlp`"""
    words = [word for word in re.split(r"[\W_]+", stem) if word and word.casefold() not in SPLIT_WORDS]
    while words and is_generic(words[-1]):
        words.pop()
    while words and is_generic(words[0]):
        words.pop(0)
    return "_".join(words)
