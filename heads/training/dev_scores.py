"""What dev says after an epoch: its loss, and the score that chooses the epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch.nn import functional

from features.cards import WEIGHTED_F1
from features.errors import ManifestError
from heads.criterion import headline, weighted_f1
from heads.data.utterances import UNLABELLED, Utterances
from heads.predict import Predictor
from heads.training.examples import Examples


@dataclass(frozen=True)
class DevScores:
    """Of dev's labelled utterances. loss: cross-entropy; headline: the score that the corpus is judged by."""

    loss: float
    weighted_f1: float
    headline: float


def told_scores(utterances: Utterances, rows: np.ndarray, probabilities: np.ndarray) -> tuple[float, float | None]:
    """(weighted F1, headline) of what was predicted. rows: int64 [m]; probabilities: float32 [m, c] of these rows, of
    which some may have no label."""
    labels = utterances.labels[rows]
    known = labels != UNLABELLED
    shown = probabilities[known]
    return _judged(utterances, labels[known], shown.argmax(axis=1), shown)


def _judged(
    utterances: Utterances, gold: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray
) -> tuple[float, float | None]:
    f1 = weighted_f1(gold, predicted, len(utterances.label_names))
    if utterances.criterion.name == WEIGHTED_F1:
        return f1, f1
    return f1, headline(gold, predicted, probabilities, utterances.label_names, utterances.criterion)


def score_dev(predictor: Predictor, examples: Examples, utterances: Utterances) -> DevScores:
    """utterances: say what labels are called and which score counts.

    Raises ManifestError where that score is of two classes and no utterance has a label of either. Scores that are no
    numbers give a loss that is none.
    """
    labels = examples.targets.labels[examples.dev]
    known = labels != UNLABELLED
    scores = predictor.scores(examples.table, examples.dev, final=False)
    labels, finite = labels[known], bool(scores.isfinite().all())
    scores = scores[known]
    loss = float(functional.cross_entropy(scores, labels)) if finite else math.nan
    gold, predicted = labels.cpu().numpy(), scores.argmax(dim=1).cpu().numpy()
    f1, value = _judged(utterances, gold, predicted, scores.softmax(dim=1).cpu().numpy())
    if value is None:
        raise ManifestError(
            f"split 'dev' has no label that the dataset card's polarity names, so no epoch can be chosen by"
            f" {utterances.criterion.words}: put such utterances into dev, or give the card another `headline`"
        )
    return DevScores(loss, f1, value)
