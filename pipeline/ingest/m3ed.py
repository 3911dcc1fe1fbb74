"""M3ED: dialogues of Chinese television series, as the nested JSON of its repository. Text, and sound where it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.cards import load_card
from features.errors import ManifestError, nearest
from features.manifest import Manifest, build_manifest, frame_of
from pipeline.ingest.annotations import TextRepairs, raise_problems, read_text
from pipeline.ingest.nested import Entry, read_json
from pipeline.ingest.summary import IngestSummary, finding, summarise

_SPLITS = {"train": "train", "val": "dev", "test": "test"}  # of the lists' names -> of the manifest
_SPEECH = ("modality_speech", "")  # where the clips lie below the media root


def ingest_m3ed(root: str | Path, media_root: str | Path | None = None) -> tuple[Manifest, IngestSummary]:
    """A manifest of M3ED.

    root:       a clone of the repository: annotation.json, and splitInfo/movie_list_train.txt, _val and _test
    media_root: where SPEAKER_UTTERANCE.wav lie, themselves or in modality_speech; by default `root`

    A series lies in one split; it is the `group`. The label is the main emotion. Times are hours:minutes:seconds:frames
    of an unknown frame rate, so there are no durations. Raises ManifestError for what cannot be read.
    """
    root = Path(root)
    card = load_card("m3ed")
    annotation = root / "annotation.json"
    if not annotation.is_file():
        raise ManifestError(f"{root} holds no annotation.json: give a clone of {card.url}")
    repairs = TextRepairs()
    splits = _series_splits(root, repairs)
    clips = _Clips(Path(media_root) if media_root is not None else root)
    file = read_json(annotation, repairs)
    several: list[str] = []
    rows: list[dict[str, Any]] = []
    for series, dialogues in file.members():
        if series not in splits:
            file.problems.append(f"{dialogues.where} is in no list of splitInfo/: {nearest(series, splits)}")
            continue
        for name, dialogue in dialogues.members():
            rows += _dialogue_rows(name, dialogue, series, splits[series], clips, card.labels, several)
    raise_problems(annotation, file.problems)
    manifest = build_manifest(frame_of(rows), card, clips.root if clips.folder is not None else None)
    findings = [
        *repairs.findings(),
        finding("several-emotions", several, "Annotated with more than one emotion: the main one is the label."),
        finding("missing-clips", clips.missing, "Rows without their wav in the folder: media is null, text stays."),
        finding("no-clip-folder", [] if clips.folder is not None else [str(clips.root)], "No wav there: text only."),
    ]
    return manifest, summarise(manifest, findings)


class _Clips:
    """The wav files below a media root, in the first place that has any, and which were looked for in vain."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder: str | None = None
        self.missing: list[str] = []
        self._names: set[str] = set()
        for place in _SPEECH:
            folder = root / place
            names = {path.name for path in folder.glob("[!.]*.wav")} if folder.is_dir() else set()
            if names and self.folder is None:
                self.folder, self._names = place, names

    def media(self, utterance_id: str, name: str) -> dict[str, str | None]:
        """The columns `media` and `note`."""
        if self.folder is None:
            return {}
        path = f"{self.folder}/{name}".lstrip("/")
        if name in self._names:
            return {"media": path}
        self.missing.append(utterance_id)
        return {"note": f"no file {path}"}


def _series_splits(root: Path, repairs: TextRepairs) -> dict[str, str]:
    """Series -> split. Raises ManifestError for a list that is absent, or a series in two."""
    splits: dict[str, str] = {}
    for listed, split in _SPLITS.items():
        path = root / "splitInfo" / f"movie_list_{listed}.txt"
        problems = []
        for number, line in enumerate(read_text(path, repairs).splitlines(), start=1):
            series = line.strip()
            if series and splits.setdefault(series, split) != split:
                problems.append(f"line {number}: {series!r} is in {splits[series]}, too: leave it in one list")
        raise_problems(path, problems)
    return splits


def _dialogue_rows(
    name: str, dialogue: Entry, series: str, split: str, clips: _Clips, labels: Sequence[str], several: list[str]
) -> list[dict[str, Any]]:
    people = dialogue.child("SpeakerInfo").members()
    speakers = {slot: speaker.text("Name", default="").strip() or f"{name}/{slot}" for slot, speaker in people}
    rows = []
    for key, utterance in dialogue.child("Dialog").members():
        slot, label = utterance.text("Speaker"), _label(key, utterance, labels, several)
        number = key.rpartition("_")[2]
        if not number.isdecimal():
            utterance.problems.append(f"{utterance.where}: its key does not end in _NUMBER, which is its turn")
            continue
        if slot and slot not in speakers:
            known = ", ".join(speakers)
            utterance.problems.append(f"{utterance.where}.Speaker: no {slot!r} in SpeakerInfo, which has {known}")
        utterance_id = f"m3ed/{split}/{key}"
        row = {
            "utterance_id": utterance_id,
            "dataset": "m3ed",
            "split": split,
            "dialogue_id": f"m3ed/{split}/{name}",
            "turn": int(number),
            "speaker": f"{series}/{speakers.get(slot, '')}",  # `mother` of one series is not that of another
            "text": utterance.text("Text", default=""),
            "label": label,
            "group": series,
        }
        rows.append(row | clips.media(utterance_id, f"{slot}_{key}.wav"))
    return rows


def _label(key: str, utterance: Entry, labels: Sequence[str], several: list[str]) -> str | None:
    """The main emotion, None where it is empty; `several` takes the keys of those that have more."""
    emotions = utterance.child("EmoAnnotation")
    main = emotions.text("final_main_emo", default="").strip()
    if "," in emotions.text("final_mul_emo", default=""):
        several.append(key)
    label = main.lower()
    if label and label not in labels:
        utterance.problems.append(f"{emotions.where}.final_main_emo {main!r} is unknown: {nearest(label, labels)}")
    return label or None
