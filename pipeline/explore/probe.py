"""How much of the labels can be read off embeddings: a linear probe and nearest neighbours, beside a constant.

Both see the standardised train rows alone and predict train and dev. The linear probe is scikit-learn's
LogisticRegression; its train score is that of the rows it was fitted on. Neighbours are scikit-learn's
KNeighborsClassifier by Euclidean distance; on train, an utterance is not its own neighbour.

Legend: n utterances, d values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heads.criterion import weighted_f1
from heads.metrics import baselines, constant_baseline

NEIGHBOURS = 15
STRENGTH = 10.0
"""C of LogisticRegression is this over the train rows, so that what is minimised, the mean loss and a twentieth of the
squared weights, does not depend on how large a corpus is. With the default C of 1 a probe on MELD's thousands of
standardised values learns train by heart."""
MOST_ITERATIONS = 200
MOST_VALUES = 24_000_000
"""Train rows times d that the probes are given, at most: MELD's 9,989 rows of 2,304 values fit whole. Of wider features
fewer rows are taken, but LEAST_ROWS at least."""
LEAST_ROWS = 1000


@dataclass(frozen=True)
class ProbeScore:
    """Weighted F1, fractions. dev: None where dev has no labelled utterance with an embedding."""

    name: str
    train: float
    dev: float | None


def most_rows(width: int) -> int:
    """How many train rows of `width` values the probes are given at most."""
    return max(LEAST_ROWS, MOST_VALUES // width)


def neighbours_for(num_train: int) -> int:
    """k: NEIGHBOURS, or fewer where train is as small."""
    return max(1, min(NEIGHBOURS, num_train - 1))


def probe_scores(
    train: np.ndarray,
    train_labels: np.ndarray,
    dev: np.ndarray,
    dev_labels: np.ndarray,
    labels: Sequence[str],
    neutral: str | None,
) -> list[ProbeScore]:
    """The linear probe, nearest neighbours and a constant (always-neutral, or majority), in that order.

    train, dev: float32 [n, d], standardised by train; train_labels, dev_labels: int64 [n], places in `labels`
    neutral: what the constant is; where it is None, the most frequent train label
    """
    counts = dict(zip(labels, np.bincount(train_labels, minlength=len(labels)).tolist(), strict=True))
    scores = [
        ProbeScore(
            name,
            weighted_f1(train_labels, on_train, len(labels)),
            weighted_f1(dev_labels, on_dev, len(labels)) if len(dev_labels) else None,
        )
        for name, on_train, on_dev in (
            ("linear probe", *_linear(train, train_labels, dev)),
            (f"nearest neighbours, k={neighbours_for(len(train))}", *_neighbours(train, train_labels, dev)),
        )
    ]
    name = constant_baseline(neutral, labels)
    constant = [
        baselines(gold, labels, neutral, counts)[name]["weighted_f1"] if len(gold) else None
        for gold in (train_labels, dev_labels)
    ]
    return [*scores, ProbeScore(name, constant[0] or 0.0, constant[1])]


def _linear(train: np.ndarray, gold: np.ndarray, dev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions on train and dev. Where train has one class alone, that one."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(gold)) == 1:
        return gold, np.full(len(dev), gold[0])
    model = LogisticRegression(C=STRENGTH / len(train), max_iter=MOST_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of the optimum change no prediction
        model.fit(train, gold)
    return model.predict(train), _predicted(model, dev)


def _neighbours(train: np.ndarray, gold: np.ndarray, dev: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions on train, without the utterance itself, and on dev."""
    from sklearn.neighbors import KNeighborsClassifier

    if len(train) == 1:
        return gold, np.full(len(dev), gold[0])
    model = KNeighborsClassifier(neighbours_for(len(train)), algorithm="brute").fit(train, gold)
    return model.predict(None), _predicted(model, dev)


def _predicted(model: object, rows: np.ndarray) -> np.ndarray:
    return model.predict(rows) if len(rows) else np.zeros(0, np.int64)  # type: ignore[attr-defined]
