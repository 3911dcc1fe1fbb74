"""DailyDialog: three text files a split, a dialogue a line, its utterances parted by `__eou__`. Text only."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.cards import load_card
from features.errors import ManifestError
from features.manifest import Manifest, build_manifest, frame_of, repair_cp1252
from pipeline.ingest.annotations import TextRepairs, raise_problems, read_text
from pipeline.ingest.summary import IngestSummary, finding, summarise

_SPLITS = {"train": ("train",), "dev": ("validation", "valid", "val", "dev"), "test": ("test",)}
_PARENTS = ("", "ijcnlp_dailydialog", "dailydialog")
_PARTING = "__eou__"


@dataclass
class _Noticed:
    repairs: TextRepairs = field(default_factory=TextRepairs)
    unfitting: list[str] = field(default_factory=list)  # file:line
    still_packed: list[str] = field(default_factory=list)  # commands


def ingest_dailydialog(root: str | Path) -> tuple[Manifest, IngestSummary]:
    """A manifest of DailyDialog.

    root: holds train/, validation/ and test/, each with dialogues_SPLIT.txt (or dialogues_text.txt) and
          dialogues_emotion_SPLIT.txt (or dialogues_emotion.txt); or the files themselves, where their names tell the
          split. Acts and topics are not read

    A dialogue is named by its split and line, counted from 1; two speakers, A and B, take turns. A line whose numbers
    of utterances and of labels differ stays, unlabelled, since nobody knows which label is whose. Raises ManifestError
    for what cannot be read.
    """
    root = Path(root)
    card = load_card("dailydialog")
    noticed = _Noticed()
    rows: list[dict[str, Any]] = []
    for split, names in _SPLITS.items():
        files = _find(root, names)
        if files is not None:
            rows += _split_rows(*files, split, card.labels, noticed)
        else:
            noticed.still_packed += _packed(root, names)
    if not rows:
        mend = f"unpack it: {'; '.join(noticed.still_packed)}" if noticed.still_packed else f"get it from {card.url}"
        whole = any((root / parent / "dialogues_text.txt").is_file() for parent in _PARENTS)
        also = ", only the whole corpus without its splits" if whole else ""
        raise ManifestError(f"{root} holds no folder train, validation or test with dialogues_SPLIT.txt{also}: {mend}")
    manifest = build_manifest(frame_of(rows), card)
    across, within = _repeated(rows)
    findings = [
        *noticed.repairs.findings(),
        finding("still-packed", noticed.still_packed, "Splits that are left out, and what unpacks them."),
        finding(
            "labels-do-not-fit",
            noticed.unfitting,
            "Other numbers of labels than of utterances: unlabelled, with a note.",
        ),
        finding("repeated-across-splits", across, "Dialogues that an earlier split holds word for word, too: kept."),
        finding("repeated-within-splits", within, "Dialogues that their own split holds word for word before: kept."),
    ]
    return manifest, summarise(manifest, findings)


def _find(root: Path, names: tuple[str, ...]) -> tuple[Path, Path] | None:
    """The texts and the emotions of a split, at the first place that has the texts.

    Raises ManifestError where the emotions are not beside them.
    """
    for parent in _PARENTS:
        for name in names:
            for folder in (root / parent / name, root / parent / name / name, root / parent):
                own = () if folder == root / parent else ("dialogues_text.txt",)
                for text in (f"dialogues_{name}.txt", f"dialogues_text_{name}.txt", *own):
                    if (folder / text).is_file():
                        emotions = [f"dialogues_emotion_{name}.txt", *(["dialogues_emotion.txt"] if own else [])]
                        for emotion in emotions:
                            if (folder / emotion).is_file():
                                return folder / text, folder / emotion
                        raise ManifestError(f"{folder / text} has no labels: put {emotions[0]} beside it")
    return None


def _packed(root: Path, names: tuple[str, ...]) -> list[str]:
    """The commands that unpack archives of this split, or of all, where there are any."""
    archives = [root / parent / f"{name}.zip" for parent in _PARENTS for name in names]
    archives.append(root / "ijcnlp_dailydialog.zip")
    found = [path for path in archives if path.is_file()]
    return [f"unzip {shlex.quote(str(path))} -d {shlex.quote(str(path.parent))}" for path in found[:1]]


def _split_rows(
    texts: Path, emotions: Path, split: str, labels: tuple[str, ...], noticed: _Noticed
) -> list[dict[str, Any]]:
    dialogues, codes = (read_text(path, noticed.repairs).rstrip().split("\n") for path in (texts, emotions))
    if len(dialogues) != len(codes):
        raise ManifestError(
            f"{texts} has {len(dialogues):,} lines, {emotions.name} {len(codes):,}: they do not belong together"
        )
    problems: list[str] = []
    rows: list[dict[str, Any]] = []
    for number, (line, numbers) in enumerate(zip(dialogues, codes, strict=True), start=1):
        repaired = repair_cp1252(line)
        if repaired != line:
            noticed.repairs.repaired_rows.append(f"{texts.name}:{number}")
        utterances = [text for part in repaired.split(_PARTING) if (text := part.strip())]
        given = numbers.split()
        unknown = sorted({code for code in given if not (code.isdecimal() and int(code) < len(labels))})
        if unknown:
            problems.append(f"line {number}: {', '.join(map(repr, unknown))}: emotions are 0 to {len(labels) - 1}")
            continue
        note = None
        if len(given) != len(utterances):
            noticed.unfitting.append(f"{emotions.name}:{number}")
            note = f"{emotions.name}:{number} has {len(given)} labels for {len(utterances)} utterances"
        dialogue_id = f"dailydialog/{split}/dia{number}"
        for turn, text in enumerate(utterances):
            rows.append(
                {
                    "utterance_id": f"{dialogue_id}_utt{turn}",
                    "dataset": "dailydialog",
                    "split": split,
                    "dialogue_id": dialogue_id,
                    "turn": turn,
                    "speaker": "AB"[turn % 2],
                    "text": text,
                    "label": labels[int(given[turn])] if note is None else None,
                    "note": note,
                }
            )
    raise_problems(emotions, problems)
    return rows


def _repeated(rows: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Dialogues whose texts another holds before them, in an earlier split and in their own: `this = that`."""
    texts: dict[str, list[str]] = {}
    splits: dict[str, str] = {}
    for row in rows:
        texts.setdefault(row["dialogue_id"], []).append(" ".join(row["text"].split()))
        splits[row["dialogue_id"]] = row["split"]
    first: dict[tuple[str, ...], str] = {}
    across: list[str] = []
    within: list[str] = []
    for dialogue_id, spoken in texts.items():
        twin = first.setdefault(tuple(spoken), dialogue_id)
        if twin != dialogue_id:
            (within if splits[twin] == splits[dialogue_id] else across).append(f"{dialogue_id} = {twin}")
    return across, within
