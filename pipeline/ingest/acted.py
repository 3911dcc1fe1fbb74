"""Corpora of acted sentences, read from their file names: RAVDESS, CREMA-D and ESD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from features.cards import load_card
from features.manifest import Manifest
from pipeline.ingest.annotations import TextRepairs, read_text
from pipeline.ingest.file_names import FileNames, ingest_files
from pipeline.ingest.media_files import find_media
from pipeline.ingest.name_pattern import compile_pattern
from pipeline.ingest.speaker_splits import SplitChoice
from pipeline.ingest.summary import IngestSummary, finding

RAVDESS = FileNames(
    pattern="{modality}-{vocal}-{emotion}-{intensity}-{statement}-{repetition}-{actor}",
    values={
        "modality": {"01": "audio-video", "02": "video", "03": "audio"},
        "vocal": {"01": "speech", "02": "song"},
        "emotion": {
            "01": "neutral", "02": "calm", "03": "happy", "04": "sad",
            "05": "angry", "06": "fearful", "07": "disgust", "08": "surprised",
        },
        "statement": {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."},
    },
    columns={"text": "statement"},
)  # fmt: skip

CREMA_D = FileNames(
    pattern="{actor:4}_{sentence:3}_{emotion:3}_{level}",
    values={
        "emotion": {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"},
        "sentence": {
            "IEO": "It's eleven o'clock.",
            "TIE": "That is exactly what happened.",
            "IOM": "I'm on my way to the meeting.",
            "IWW": "I wonder what this is about.",
            "TAI": "The airplane is almost full.",
            "MTI": "Maybe tomorrow it will be cold.",
            "IWL": "I would like a new alarm clock.",
            "ITH": "I think I have a doctor's appointment.",
            "DFA": "Don't forget a jacket.",
            "ITS": "I think I've seen this before.",
            "TSI": "The surface is slick.",
            "WSI": "We'll stop in a couple of minutes.",
        },
    },
    columns={"text": "sentence"},
)
# The repository's README names these as wrong in the films and the mp3, and not in the wav.
_CREMA_D_NOT_WAV = {
    "1076_MTI_NEU_XX": "very short, without sound",
    "1064_TIE_SAD_XX": "the file has no duration",
    "1064_IEO_DIS_MD": "one minute long, with all emotions of the sentence",
}

ESD = FileNames(
    pattern="{speaker}/{emotion}/{split}/{speaker}_{number}.wav",
    values={
        "emotion": {
            "Angry": "angry", "Happy": "happy", "Neutral": "neutral", "Sad": "sad", "Surprise": "surprise",
        }
    },
)  # fmt: skip
_ESD_FLAT = "{speaker}/{emotion}/{speaker}_{number}.wav"
_ESD_SPLITS_UNUSED = "{speaker}/{emotion}/{folder}/{speaker}_{number}.wav"
ESD_LANGUAGES = {"mandarin": range(1, 11), "english": range(11, 21)}


def ingest_ravdess(
    root: str | Path, modality: str = "audio", vocal: Sequence[str] = ("speech",), choice: SplitChoice | None = None
) -> tuple[Manifest, IngestSummary]:
    """A manifest of RAVDESS: Actor_01 to Actor_24, or any folders above files like 03-01-06-01-02-01-12.wav.

    modality: audio (wav), audio-video or video (mp4): the same performances, of which one kind is taken
    vocal:    of speech and song
    """
    card = load_card("ravdess")
    names = replace(RAVDESS, keep={"modality": [modality], "vocal": list(vocal)})
    if modality != "audio" or list(vocal) != ["speech"]:
        card = replace(card, counts={})
    return ingest_files(root, names, card, choice)


def ingest_crema_d(
    root: str | Path, media: str = "wav", choice: SplitChoice | None = None
) -> tuple[Manifest, IngestSummary]:
    """A manifest of CREMA-D: AudioWAV, AudioMP3 and VideoFlash hold the same performances, of which one kind is taken.

    media: wav, mp3 or flv. The label is what the actor was to show, not what raters saw or heard.
    """
    card = load_card("crema-d")
    if media != "wav":
        more = {f"crema-d/{name}": reason for name, reason in _CREMA_D_NOT_WAV.items()}
        card = replace(card, known_bad=card.known_bad | more)
    return ingest_files(root, replace(CREMA_D, pattern=f"{CREMA_D.pattern}.{media}"), card, choice)


def ingest_esd(
    root: str | Path, language: str | None = None, choice: SplitChoice | None = None
) -> tuple[Manifest, IngestSummary]:
    """A manifest of ESD: SPEAKER/EMOTION/SPLIT/SPEAKER_NUMBER.wav, or the later edition without folders of splits.

    language: mandarin (speakers 0001 to 0010), english (0011 to 0020), or both. The texts are those of SPEAKER.txt.
    With `choice`, whole speakers are tested on, and the corpus' own splits, which share all speakers, are not used.
    """
    root = Path(root)
    card = load_card("esd")
    names = ESD if choice is None else replace(ESD, pattern=_ESD_SPLITS_UNUSED)
    with_splits = compile_pattern(ESD.pattern)
    if not any(with_splits.match(path) for path in find_media(root, with_splits.takes).files):
        names = replace(ESD, pattern=_ESD_FLAT)
    if language is not None:
        names = replace(names, keep={"speaker": [f"{number:04d}" for number in ESD_LANGUAGES[language]]})
        card = replace(card, counts={}, notes=(*card.notes, f"This manifest: speakers of {language}."))
    texts, other_encoding = _esd_texts(root)
    manifest, summary = ingest_files(root, names, card, choice, texts)
    unread = finding("texts-not-utf8", other_encoding, "Not UTF-8: not read, since a guess would be another language.")
    return manifest, replace(summary, findings=(*summary.findings, unread))


def _esd_texts(root: Path) -> tuple[dict[str, str], list[str]]:
    """A file's name -> its text, of the lines `0011_000001<tab>text<tab>emotion` of every SPEAKER.txt; and the files
    that are in another encoding than UTF-8.
    """
    texts: dict[str, str] = {}
    other_encoding = []
    for path in sorted(root.rglob("[0-9][0-9][0-9][0-9].txt")):
        repairs = TextRepairs()
        lines = read_text(path, repairs).splitlines()
        if repairs.cp1252_lines:
            other_encoding.append(path.name)
            continue
        for line in lines:
            cells = [cell.strip() for cell in line.split("\t")]
            if len(cells) >= 2 and cells[0].startswith(f"{path.stem}_"):
                texts[cells[0]] = cells[1]
    return texts, other_encoding
