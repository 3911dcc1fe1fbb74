"""`--format conv-emotion`: what DialogueRNN of conv-emotion reads for MELD (checked against its MELDDataset).

A pickle of nine, the first six and the last of them dicts by dialogue_id:

1 ids                list of utterance_id           6 sentences   list of str
2 speakers           list of one-hot lists          7 train ids   list of dialogue_id: dev first, then train
3 emotions           list of int, in EMOTIONS       8 test ids    list of dialogue_id
4 text, 5 audio      float32 [turns, d]             9 sentiments  list of int, in SENTIMENTS

Speakers are numbered within each dialogue by their first turn, in 9 places or as many as a dialogue needs. Its script
cuts validation from the front of the train ids: with `valid=` the side file's `valid` it is our dev, to a dialogue.
An utterance without an embedding has zeros; without a sentiment -100, which torch's losses pass over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from features.errors import UsageError
from features.exports.corpus import tool_splits
from features.exports.pickled import write_pickle
from features.exports.request import Request, Written, feature_name, width
from features.manifest import NOBODY
from features.utterances import Dialogue

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
SENTIMENTS = ("neutral", "positive", "negative")
SPLITS = {"train": "train", "dev": "dev", "test": "test"}
NO_SENTIMENT = -100
_PLACES = 9


def write(request: Request, path: Path) -> Written:
    """The pickle. Its arrays, and once more their bytes, are in memory at once."""
    manifest, written = request.manifest, Written()
    splits = tool_splits(manifest, SPLITS, "conv-emotion")
    _check(request)
    dialogues, bounds = list(manifest.dialogues()), manifest.dialogue_bounds()
    keys = [dialogue.dialogue_id for dialogue in dialogues]
    by_split = {
        name: [key for key, (start, _) in zip(keys, bounds, strict=True) if splits[start] == name] for name in SPLITS
    }
    arrays = []
    for modality in ("text", "audio"):
        values = _values(request, modality, written)
        arrays.append({key: values[start:stop] for key, (start, stop) in zip(keys, bounds, strict=True)})
    sentiments = manifest.frame["sentiment"].to_list()
    without = sum(sentiment not in SENTIMENTS for sentiment in sentiments)
    train = by_split["dev"] + by_split["train"]
    document = (
        {
            key: [turn.utterance_id for turn in dialogue.utterances]
            for key, dialogue in zip(keys, dialogues, strict=True)
        },
        _speakers(dialogues, written),
        _numbers(dialogues, "label", EMOTIONS),
        *arrays,
        {key: [turn.text for turn in dialogue.utterances] for key, dialogue in zip(keys, dialogues, strict=True)},
        train,
        by_split["test"],
        _numbers(dialogues, "sentiment", SENTIMENTS),
    )
    if without:
        written.notes.append(f"{without:,} utterances have no sentiment ({NO_SENTIMENT}): train with n_classes = 7")
    written.splits = {name: splits.count(name) for name in SPLITS}
    # Half a dialogue more, so that int(valid * size) is exact whatever the division rounds to.
    written.facts |= {"emotions": list(EMOTIONS), "sentiments": list(SENTIMENTS)}
    written.facts["valid"] = round((len(by_split["dev"]) + 0.5) / len(train), 6)
    with path.open("wb") as file:
        write_pickle(document, file)
    return written


def _check(request: Request) -> None:
    """Raises UsageError for what the tuple has no place for."""
    manifest = request.manifest
    for feature in request.features:
        if feature.spec.modality == "visual":
            raise UsageError(
                f"{feature_name(feature)}: DialogueRNN's pickle of MELD has text and audio alone: leave it out"
            )
        if feature.spec.kind == "sequence":
            raise UsageError(
                f"{feature_name(feature)} is a sequence: conv-emotion has one vector an utterance: give a pooled"
                " feature"
            )
    labels = manifest.frame["label"]
    if foreign := sorted(set(labels.drop_nulls()) - set(EMOTIONS)):
        raise UsageError(f"conv-emotion's labels of MELD are {', '.join(EMOTIONS)}: the manifest has {foreign[0]!r}")
    if labels.null_count():
        first = manifest.ids[labels.is_null().arg_true()[0]]
        raise UsageError(
            f"conv-emotion needs a label for every turn, and {labels.null_count():,} have none, first {first}: leave"
            " their dialogues out of the manifest, or label them"
        )


def _values(request: Request, modality: str, written: Written) -> np.ndarray:
    """float32 [n, d], of every row of the manifest; [n, 1] zeros where no feature was given."""
    feature, count = request.one_of(modality), len(request.manifest)
    places = written.facts.setdefault("features", {})
    places[modality] = feature_name(feature) if feature else None
    if feature is None:
        written.notes.append(f"no {modality} feature was given: its place holds zeros")
        return np.zeros((count, 1), np.float32)
    values = np.zeros((count, width(feature.spec)), np.float32)
    for row, frames in request.frames(feature, written):
        values[row] = frames[0]
    return values


def _speakers(dialogues: list[Dialogue], written: Written) -> dict[str, list[list[int]]]:
    """One-hot by the first turn of each; a turn of nobody known is a speaker of its own."""
    numbers: dict[str, list[int]] = {}
    for dialogue in dialogues:
        known: dict[Any, int] = {}
        numbers[dialogue.dialogue_id] = [
            known.setdefault(turn.turn if turn.speaker.strip() in NOBODY else turn.speaker, len(known))
            for turn in dialogue.utterances
        ]
    places = max(_PLACES, 1 + max(max(found) for found in numbers.values()))
    if places > _PLACES:
        written.notes.append(f"a dialogue has {places} speakers: one-hot of {places}, where MELD's has {_PLACES}")
    written.facts["speaker_places"] = places
    return {key: [[int(n == place) for place in range(places)] for n in found] for key, found in numbers.items()}


def _numbers(dialogues: list[Dialogue], column: str, order: tuple[str, ...]) -> dict[str, list[int]]:
    numbers = {name: number for number, name in enumerate(order)}
    return {
        dialogue.dialogue_id: [numbers.get(getattr(turn, column), NO_SENTIMENT) for turn in dialogue.utterances]
        for dialogue in dialogues
    }
