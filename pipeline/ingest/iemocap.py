"""IEMOCAP: five sessions of two actors each, as the corpus is unpacked (Session1 to Session5)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from features.cards import DatasetCard, load_card
from features.errors import ManifestError, UsageError
from features.manifest import Manifest, build_manifest, frame_of, repair_cp1252
from pipeline.ingest.annotations import TextRepairs, read_text
from pipeline.ingest.cuts import note_cuts_outside
from pipeline.ingest.summary import Finding, IngestSummary, finding, summarise

Media = Literal["auto", "avi", "wav", "none"]

SESSIONS = (1, 2, 3, 4, 5)
RANDOM_DEV_SHARE = 0.1

# The corpus' codes -> labels. A code that is not in the chosen table gives a null label.
LABELS: dict[int, dict[str, str]] = {
    4: {"ang": "angry", "hap": "happy", "exc": "happy", "neu": "neutral", "sad": "sad"},
    6: {"ang": "angry", "exc": "excited", "fru": "frustrated", "hap": "happy", "neu": "neutral", "sad": "sad"},
}

# [6.2901 - 8.2357]<tab>Ses01F_impro01_F000<tab>neu<tab>[2.5000, 2.5000, 2.5000]
_EVALUATION = re.compile(r"\[\s*([\d.]+)\s*-\s*([\d.]+)\s*\]\s+(\S+)\s+(\S+)(?:\s+\[.*\])?")
# Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
_TRANSCRIPT = re.compile(r"(\S+)\s+\[\s*[\d.]+\s*-\s*[\d.]+\s*\]\s*:?\s*(.*)")
_UTTERANCE = re.compile(r"(Ses(\d\d)[FM]_\w+)_([FM])\w*\d")


@dataclass(frozen=True)
class _Annotated:
    """One line of an evaluation file. Times are seconds within the dialogue's recording."""

    name: str
    dialogue: str
    session: int
    speaker: str
    start: float
    end: float
    code: str


@dataclass
class _Noticed:
    repairs: TextRepairs = field(default_factory=TextRepairs)
    unreadable_lines: list[str] = field(default_factory=list)
    no_text: list[str] = field(default_factory=list)
    unlabelled: dict[str, int] = field(default_factory=dict)
    times: list[str] = field(default_factory=list)
    missing_clips: list[str] = field(default_factory=list)


def ingest_iemocap(
    root: str | Path,
    labels: int = 6,
    test_session: int = 5,
    dev: str = "session4",
    seed: int = 0,
    media: Media = "auto",
    probe: bool = True,
) -> tuple[Manifest, IngestSummary]:
    """A manifest of IEMOCAP as it lies under `root`, which holds Session1 to Session5 (or some of them).

    labels:       4 (angry, happy with excited, neutral, sad) or 6 (with excited and frustrated apart); utterances with
                  any other label stay in their dialogue, unlabelled, as context
    test_session: 1 to 5
    dev:          `session1` to `session5`, but not the test session; or `random-dialogues`, a tenth of the other
                  dialogues, drawn with `seed`
    media:        avi: the dialogue's film with start and end, both modalities (both actors are seen and heard);
                  wav: the sentence's own file, sound only; auto: avi where there are any, else wav; none
    probe:        note utterances that end after their film, whose length its header tells

    Raises ManifestError for what cannot be read, UsageError for choices that do not fit.
    """
    root = Path(root)
    _check_choices(labels, test_session, dev)
    sessions = [number for number in SESSIONS if (root / f"Session{number}" / "dialog" / "EmoEvaluation").is_dir()]
    if not sessions:
        raise ManifestError(
            f"{root} holds no SessionN/dialog/EmoEvaluation: give the folder that holds Session1 to Session5"
        )
    dev_session = None if dev == "random-dialogues" else int(dev.removeprefix("session"))
    for needed, role in ((test_session, "--test-session"), (dev_session, "--dev")):
        if needed is not None and needed not in sessions:
            there = ", ".join(map(str, sessions))
            raise ManifestError(f"{root} has no Session{needed}, which {role} names: it has sessions {there}")
    noticed = _Noticed()
    annotated = [item for number in sessions for item in _evaluations(root, number, noticed)]
    texts = {name: text for number in sessions for name, text in _transcripts(root, number, noticed).items()}
    chosen = _chosen_media(root, sessions, media)
    splits = _splits(annotated, test_session, dev_session, seed)
    rows = _rows(root, annotated, texts, splits, LABELS[labels], chosen, noticed)
    card = _card(labels, test_session, dev, seed)
    manifest = build_manifest(frame_of(rows), card, root if chosen != "none" else None)
    findings = _findings(noticed, chosen)
    if probe:
        manifest, outside = note_cuts_outside(manifest)
        findings += outside
    return manifest, summarise(manifest, findings)


def _check_choices(labels: int, test_session: int, dev: str) -> None:
    if labels not in LABELS:
        raise UsageError(f"labels ({labels}) must be {' or '.join(map(str, LABELS))}")
    if test_session not in SESSIONS:
        raise UsageError(f"test session ({test_session}) must be 1 to 5")
    if dev != "random-dialogues":
        match = re.fullmatch(r"session([1-5])", dev)
        if match is None:
            raise UsageError(f"dev ({dev!r}) must be session1 to session5 or random-dialogues")
        if int(match[1]) == test_session:
            raise UsageError(f"dev ({dev}) is the test session: name another, or random-dialogues")


def _lines(folder: Path, noticed: _Noticed) -> list[tuple[str, str]]:
    """(file:line, line) of every text file of a folder, but of none named `._*`, which macOS leaves in archives."""
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.glob("*.txt") if not path.name.startswith("._"))
    return [
        (f"{path.name}:{number}", line.strip())
        for path in files
        for number, line in enumerate(read_text(path, noticed.repairs).split("\n"), start=1)
    ]


def _evaluations(root: Path, session: int, noticed: _Noticed) -> list[_Annotated]:
    found = []
    for where, line in _lines(root / f"Session{session}" / "dialog" / "EmoEvaluation", noticed):
        if not line.startswith("["):  # the header, and each annotator's own vote
            continue
        match = _EVALUATION.fullmatch(line)
        name = _UTTERANCE.fullmatch(match[3]) if match else None
        if match is None or name is None or not (_is_number(match[1]) and _is_number(match[2])):
            noticed.unreadable_lines.append(where)
            continue
        speaker = f"Ses{name[2]}_{name[3]}"
        start, end = float(match[1]), float(match[2])
        found.append(_Annotated(match[3], name[1], session, speaker, start, end, match[4].lower()))
    return found


def _is_number(text: str) -> bool:
    return text.count(".") <= 1 and text != "."


def _transcripts(root: Path, session: int, noticed: _Noticed) -> dict[str, str]:
    """Utterance name -> text. Lines without a name (asides of the other actor) belong to no utterance."""
    texts = {}
    for where, line in _lines(root / f"Session{session}" / "dialog" / "transcriptions", noticed):
        repaired = repair_cp1252(line)
        if repaired != line:
            noticed.repairs.repaired_rows.append(where)
        match = _TRANSCRIPT.fullmatch(repaired)
        if match:
            texts[match[1]] = match[2].strip()
    return texts


def _chosen_media(root: Path, sessions: list[int], media: Media) -> Media:
    if media != "auto":
        return media
    for kind, pattern in (("avi", "dialog/avi/DivX/*.avi"), ("wav", "sentences/wav/*/*.wav")):
        if any(next((root / f"Session{number}").glob(pattern), None) for number in sessions):
            return "avi" if kind == "avi" else "wav"
    return "none"


def _splits(annotated: list[_Annotated], test_session: int, dev_session: int | None, seed: int) -> dict[str, str]:
    """Dialogue -> split."""
    sessions = {item.dialogue: item.session for item in annotated}
    rest = sorted(dialogue for dialogue, session in sessions.items() if session != test_session)
    if dev_session is None:
        count = max(1, round(RANDOM_DEV_SHARE * len(rest)))
        drawn = np.random.default_rng(seed).permutation(len(rest))[:count]
        dev = {rest[index] for index in drawn}
    else:
        dev = {dialogue for dialogue in rest if sessions[dialogue] == dev_session}
    return {
        dialogue: "test" if session == test_session else "dev" if dialogue in dev else "train"
        for dialogue, session in sessions.items()
    }


def _rows(
    root: Path,
    annotated: list[_Annotated],
    texts: dict[str, str],
    splits: dict[str, str],
    labels: dict[str, str],
    media: Media,
    noticed: _Noticed,
) -> list[dict[str, Any]]:
    """One row an utterance, a dialogue's turns counted from 0 in the order in which they begin."""
    rows = []
    turns: dict[str, int] = {}
    files = _media_files(root, annotated, media)
    for item in sorted(annotated, key=lambda item: (item.session, item.dialogue, item.start, item.end, item.name)):
        turn = turns[item.dialogue] = turns.get(item.dialogue, -1) + 1
        # The split is this manifest's choice, so it is no part of the ids: another fold finds the same embeddings.
        utterance_id = f"iemocap/session{item.session}/{item.name}"
        notes = []
        text = texts.get(item.name)
        if text is None:
            noticed.no_text.append(utterance_id)
            notes.append("no transcription")
        if item.code not in labels:
            noticed.unlabelled[item.code] = noticed.unlabelled.get(item.code, 0) + 1
            notes.append(f"annotated {item.code}: context only")
        path = _media_name(item, media)
        if path is not None and path not in files:
            noticed.missing_clips.append(utterance_id)
            notes.append(f"no file {path}")
            path = None
        usable = item.end > item.start
        if not usable:
            noticed.times.append(utterance_id)
            notes.append(f"annotated end {item.end:g} s is not after start {item.start:g} s")
        cut = path is not None and media == "avi"
        rows.append(
            {
                "utterance_id": utterance_id,
                "dataset": "iemocap",
                "split": splits[item.dialogue],
                "dialogue_id": f"iemocap/session{item.session}/{item.dialogue}",
                "turn": turn,
                "speaker": item.speaker,
                "text": text or "",
                "label": labels.get(item.code),
                "media": path if usable or not cut else None,
                "start": item.start if cut and usable else None,
                "end": item.end if cut and usable else None,
                "duration": round(item.end - item.start, 4) if usable else None,
                "group": f"session{item.session}",
                "note": "; ".join(notes) or None,
            }
        )
    return rows


def _media_name(item: _Annotated, media: Media) -> str | None:
    if media == "avi":
        return f"Session{item.session}/dialog/avi/DivX/{item.dialogue}.avi"
    if media == "wav":
        return f"Session{item.session}/sentences/wav/{item.dialogue}/{item.name}.wav"
    return None


def _media_files(root: Path, annotated: list[_Annotated], media: Media) -> set[str]:
    """Those of the files that the utterances name which exist; each is looked for once."""
    names = {name for item in annotated if (name := _media_name(item, media))}
    return {name for name in names if (root / name).is_file()}


def _card(labels: int, test_session: int, dev: str, seed: int) -> DatasetCard:
    card = load_card("iemocap")
    drawn = f", drawn with seed {seed}" if dev == "random-dialogues" else ""
    choice = f"This manifest: {labels} labels, test is session {test_session}, dev is {dev}{drawn}."
    return replace(card, labels=tuple(sorted(set(LABELS[labels].values()))), notes=(*card.notes, choice))


def _findings(noticed: _Noticed, media: Media) -> list[Finding]:
    codes = sorted(noticed.unlabelled.items(), key=lambda item: (-item[1], item[0]))
    findings = [
        Finding(
            "context-only",
            sum(noticed.unlabelled.values()),
            "Labels that were not asked for: the utterances stay, unlabelled, as context.",
            tuple(f"{code} {count}" for code, count in codes),
        ),
        finding("no-text", noticed.no_text, "Utterances without a transcription: their text is empty."),
        *noticed.repairs.findings(),
        finding("unreadable-lines", noticed.unreadable_lines, "Evaluation lines of another form: passed over."),
        finding("unusable-times", noticed.times, "The end is not after the start: no duration and no cut."),
    ]
    if media != "none":
        findings.append(
            finding(
                "missing-clips", noticed.missing_clips, f"Utterances whose {media} file is not there: media is null."
            )
        )
    return findings
