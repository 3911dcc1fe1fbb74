"""Temperature scaling: it finds the temperature that was put in, and changes no prediction."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.predict.temperature import fitted, with_temperature


def drawn(temperature: float, rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are too sure by a temperature, and labels that were drawn from the true ones."""
    rng = np.random.default_rng(0)
    true = rng.dirichlet(np.ones(4), rows)
    labels = np.array([rng.choice(4, p=row) for row in true])
    return with_temperature(true, 1 / temperature), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_it_finds_the_temperature_that_was_put_in(temperature: float) -> None:
    probabilities, labels = drawn(temperature)
    found = fitted(probabilities, labels)
    assert found.value == pytest.approx(temperature, rel=0.05)
    assert found.nll_after <= found.nll_before + 1e-9
    assert found.rows == len(labels)


def test_it_changes_no_prediction_and_keeps_sums() -> None:
    probabilities, _ = drawn(1.0, 100)
    for temperature in (0.2, 5.0):
        scaled = with_temperature(probabilities, temperature)
        assert np.array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))
        assert np.allclose(scaled.sum(axis=1), 1)


def test_probabilities_of_zero_stay_finite() -> None:
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = fitted(certain, np.array([0, 0]))
    assert np.isfinite(with_temperature(certain, found.value)).all()
    assert found.value > 1
