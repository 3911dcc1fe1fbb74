"""Calibrated probabilities: one number that the log probabilities are divided by, fitted on dev.

Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2 (temperature scaling), of the mean over seeds:
what is scaled are log probabilities of the mean, where theirs are one network's logits. It changes no prediction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from features.errors import RunError, RunFileError
from pipeline.runs.folder import Run

TEMPERATURE_FILE = "temperature.json"
"""In a run that was exported, which holds no predictions to fit one on."""

_LEAST, _MOST = 0.05, 20.0
_TINY = 1e-12


@dataclass(frozen=True)
class Temperature:
    """value: what log probabilities are divided by; rows: labelled rows of dev it was fitted on; nll_before, nll_after:
    mean negative log-likelihood there, in nats"""

    value: float
    rows: int
    nll_before: float
    nll_after: float


def fit_temperature(run: Run, seeds: list[int]) -> Temperature | None:
    """Of the mean probabilities of these seeds on dev; None where the run has no predictions on dev with labels.

    The recorded one, where the run is an exported one. Raises RunFileError where that is damaged.
    """
    recorded = run.path / TEMPERATURE_FILE
    if recorded.is_file():
        try:
            return Temperature(**json.loads(recorded.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RunFileError(run.path, f"{TEMPERATURE_FILE} is damaged ({error})", "export the run again") from error
    try:
        frames = [run.predictions(seed, "dev") for seed in seeds]
    except RunError:
        return None
    columns = [f"p_{label}" for label in run.labels]
    gold = frames[0]["gold"]
    known = gold.is_not_null().to_numpy()
    if not known.any():
        return None
    places = {label: place for place, label in enumerate(run.labels)}
    labels = np.array([places[label] for label in gold.drop_nulls()])
    mean = np.mean([frame.select(columns).to_numpy() for frame in frames], axis=0)[known]
    return fitted(mean, labels)


def fitted(probabilities: np.ndarray, labels: np.ndarray) -> Temperature:
    """The temperature with the least negative log-likelihood. probabilities: float [n, c]; labels: int [n]"""
    from scipy.optimize import minimize_scalar

    def nll(log_temperature: float) -> float:
        scaled = with_temperature(probabilities, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(scaled[np.arange(len(labels)), labels], _TINY)).mean())

    found = minimize_scalar(nll, bounds=(np.log(_LEAST), np.log(_MOST)), method="bounded")
    return Temperature(float(np.exp(found.x)), len(labels), nll(0.0), float(found.fun))


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """float64 [n, c]: softmax(log p / temperature)."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), _TINY)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    scaled: np.ndarray = np.exp(logits)
    return scaled / scaled.sum(axis=1, keepdims=True)
