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
            dialogue_id = f"m3ed/{splits[series]}/{name}"
            speakers = {key: speaker.text("Name").strip() for key, speaker in dialogue.members("SpeakerInfo")}
            for key, utterance in dialogue.members("Dialog"):
                row = _row(key, utterance, name, speakers, card.labels, several)
                if row is not None:
                    place = {"dataset": "m3ed", "split": splits[series], "dialogue_id": dialogue_id, "group": series}
                    row["utterance_id"] = f"m3ed/{splits[series]}/{key}"
                    row["speaker"] = f"{series}/{row['speaker']}"  # `mother` of one series is not that of another
                    rows.append(row | place | clips.media(row["utterance_id"], f"{row.pop('slot')}_{key}.wav"))
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


def _row(
    key: str, utterance: Entry, dialogue: str, speakers: dict[str, str], labels: Sequence[str], several: list[str]
) -> dict[str, Any] | None:
    """The utterance's own columns, and `slot`, the letter of its speaker; None with problems."""
    number = key.removeprefix(f"{dialogue}_")
    slot, text = utterance.text("Speaker"), utterance.text("Text", default="")
    label = main = None
    for name, emotions in utterance.members():
        if name == "EmoAnnotation":
            main = emotions.text("final_main_emo", default="").strip()
            label = main.lower() or None
            if "," in emotions.text("final_mul_emo", default=""):
                several.append(key)
    known = len(utterance.problems)
    if main is None:
        utterance.problems.append(f"{utterance.where} has no 'EmoAnnotation'")
    if not (number.isdecimal() and key.startswith(dialogue)):
        utterance.problems.append(f"{utterance.where}: its key is not {dialogue}_NUMBER")
    if slot and slot not in speakers:
        utterance.problems.append(f"{utterance.where}.Speaker: no {slot!r} in SpeakerInfo, which has {list(speakers)}")
    if label is not None and label not in labels:
        utterance.problems.append(f"{utterance.where}: final_main_emo {main!r} is unknown: {nearest(label, labels)}")
    if len(utterance.problems) > known or not slot:
        return None
    return {"turn": int(number), "speaker": speakers[slot], "slot": slot, "text": text, "label": label}
