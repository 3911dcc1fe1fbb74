"""The utterances that the selected model finds hardest: to whose gold label it gives the least probability."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import ErcError, RunError
from features.manifest import Manifest
from features.utterances import Utterance
from pipeline.report.corpus import Corpus
from pipeline.report.snapshot import RunSnapshot
from pipeline.report.trained_on import manifest_of
from pipeline.runs.json_files import clean
from pipeline.runs.metrics_file import Metrics
from pipeline.runs.predictions import mean_probabilities, read_prediction_frame
from pipeline.runs.splits import EVALUATION_SPLIT

SHOWN = 100
_TURNS_BEFORE = 2
_LONGEST_TEXT = 400  # characters of a turn that are shown


@dataclass(frozen=True)
class Turn:
    """What was said, by whom."""

    speaker: str
    text: str


@dataclass(frozen=True)
class HardUtterance:
    """One labelled utterance.

    predicted:     the label with the highest mean probability over seeds
    probabilities: label -> mean over seeds, in the order of the labels
    seeds_right:   how many seeds predict gold
    turn, before:  the utterance and the turns just before it, where the texts are there
    """

    utterance_id: str
    gold: str
    predicted: str
    probabilities: dict[str, float]
    seeds_right: int
    missing: tuple[str, ...] = ()
    turn: Turn | None = None
    before: tuple[Turn, ...] = ()

    @property
    def of_gold(self) -> float:
        return self.probabilities[self.gold]


@dataclass(frozen=True)
class Hardest:
    """The hardest utterances of one split, hardest first.

    labelled: of how many; problem: why there are no utterances, no_texts: why they have no texts, each in one line
    """

    split: str
    seeds: int = 0
    labelled: int = 0
    utterances: tuple[HardUtterance, ...] = ()
    problem: str | None = None
    no_texts: str | None = None

    def choices(self, of: str) -> list[str]:
        """The values of `gold`, `predicted` or `speaker` among the utterances, sorted."""
        values = {one.turn and one.turn.speaker if of == "speaker" else getattr(one, of) for one in self.utterances}
        return sorted(value for value in values if value)


def hardest_of(corpus: Corpus, shown: int = SHOWN) -> Hardest | None:
    """Of the selected run: on test where it was scored there, else on dev. None where no run is selected."""
    run = corpus.selected
    if run is None:
        return None
    metrics = run.metrics.get(EVALUATION_SPLIT) or run.dev
    if metrics is None:
        return None
    try:
        found = _ranked(run, metrics, shown)
    except RunError as error:
        return Hardest(metrics.split, problem=clean(str(error)))
    try:
        return _with_texts(found, manifest_of(run.manifest, "the texts are not shown"))
    except ErcError as error:
        return replace(found, no_texts=clean(str(error)))


def _ranked(run: RunSnapshot, metrics: Metrics, shown: int) -> Hardest:
    frames = [_predictions(run, seed, metrics) for seed in metrics.seeds]
    first = frames[0]
    for seed, frame in zip(metrics.seeds[1:], frames[1:], strict=True):
        if not frame["utterance_id"].equals(first["utterance_id"]) or not frame["gold"].equals(first["gold"]):
            raise RunError(f"seed {seed} predicts other utterances than seed {metrics.seeds[0]}: evaluate again")
    labels = metrics.labels
    places = {label: place for place, label in enumerate(labels)}
    means = mean_probabilities(frames, labels)
    gold = np.array([places[label] for label in first["gold"]], dtype=np.int64)
    of_gold = means[np.arange(len(gold)), gold]
    ids = first["utterance_id"].to_list()
    order = sorted(range(len(ids)), key=lambda row: (of_gold[row], ids[row]))[:shown]
    right = sum((frame["predicted"] == frame["gold"]).cast(pl.Int64) for frame in frames)
    missing = first["missing"].to_list() if "missing" in first.columns else [[]] * len(ids)
    utterances = tuple(
        HardUtterance(
            clean(ids[row]),
            labels[gold[row]],
            labels[int(means[row].argmax())],
            {label: float(mean) for label, mean in zip(labels, means[row], strict=True)},
            int(right[row]),  # type: ignore[index]
            tuple(clean(list(missing[row] or []))),
        )
        for row in order
    )
    return Hardest(metrics.split, len(frames), len(ids), utterances)


def _predictions(run: RunSnapshot, seed: int, metrics: Metrics) -> pl.DataFrame:
    """One seed's labelled rows. Raises RunError where they are not there, or are not of these labels."""
    path, split = run.path or Path(run.folder), metrics.split
    frame = read_prediction_frame(path, seed, split, metrics.labels).filter(pl.col("gold").is_not_null())
    columns = pl.col([f"p_{label}" for label in metrics.labels])
    sound = frame.select((columns.is_finite() & columns.is_between(0, 1.001)).fill_null(False).all())
    if not frame.height or not all(sound.row(0)):
        raise RunError(
            f"{path}/seed-{seed}/predictions-{split}.parquet: does not hold a probability of each label: run"
            f" `erc evaluate {path} --split {split}`"
        )
    return frame


def _with_texts(found: Hardest, manifest: Manifest) -> Hardest:
    missing = [one.utterance_id for one in found.utterances if one.utterance_id not in manifest.positions]
    if missing:
        raise RunError(f"The manifest does not have {missing[0]}, so the texts are not shown.")
    return replace(found, utterances=tuple(_texted(found, manifest)))


def _texted(found: Hardest, manifest: Manifest) -> Iterator[HardUtterance]:
    for one in found.utterances:
        row = manifest.positions[one.utterance_id]
        *before, turn = manifest.utterances(max(0, row - _TURNS_BEFORE), row + 1)
        same = [other for other in before if other.dialogue_id == turn.dialogue_id]
        yield replace(one, turn=_turn(turn), before=tuple(map(_turn, same)))


def _turn(utterance: Utterance) -> Turn:
    text = " ".join(clean(utterance.text).split())
    return Turn(clean(utterance.speaker), text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…")
