"""Normalisation: train statistics, guarded variance, rows on their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import StandardScaler, normalize

from features.errors import StoreError
from heads.data.normalise import NORMALISERS, Normaliser

tables = hnp.arrays(np.float32, (7, 5), elements=st.floats(-100, 100, width=32))


@settings(max_examples=50, deadline=None)
@given(tables)
def test_standardise_is_scikit_learns_where_dimensions_vary(rows: np.ndarray) -> None:
    rows = rows + np.arange(7, dtype=np.float32)[:, None] * 50
    expected = StandardScaler().fit_transform(rows.astype(np.float64))
    assert np.allclose(Normaliser.fit("standardise", rows).apply(rows), expected, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(tables, st.sampled_from(sorted(NORMALISERS)))
def test_every_row_is_normalised_on_its_own_and_stays_finite(rows: np.ndarray, name: str) -> None:
    normaliser = Normaliser.fit(name, rows)
    whole = normaliser.apply(rows)
    assert np.isfinite(whole).all()
    assert whole.dtype == np.float32
    for place in (0, 6):
        assert np.array_equal(normaliser.apply(rows[place : place + 1])[0], whole[place])


def test_a_constant_dimension_is_centred_not_divided() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    rows[:, 1] = 0.1
    rows[:50, 1] = np.nextafter(
        np.float32(0.1), np.float32(1)
    )  # rounding, not a signal: divided by it, it would be one
    normaliser = Normaliser.fit("standardise", rows)
    assert normaliser.scale is not None
    assert normaliser.scale[1] == 1.0
    assert np.abs(normaliser.apply(rows)[:, 1]).max() < 1e-6
    assert np.isfinite(normaliser.apply(np.full((1, 3), 5.0, np.float32))).all()


def test_l2_comes_before_standardising_and_zeros_stay() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]], np.float32)
    assert np.allclose(Normaliser.fit("l2", rows).apply(rows), normalize(rows))
    expected = StandardScaler().fit_transform(normalize(rows.astype(np.float64)))
    assert np.allclose(Normaliser.fit("l2+standardise", rows).apply(rows), expected, atol=1e-5)
    assert np.array_equal(Normaliser.fit("none", rows).apply(rows), rows)


def test_more_rows_than_a_block_give_the_statistics_of_all() -> None:
    rows = np.random.default_rng(1).normal(5, 3, size=(9001, 2)).astype(np.float32)
    normaliser = Normaliser.fit("standardise", rows)
    assert np.allclose(normaliser.mean, rows.astype(np.float64).mean(axis=0), rtol=1e-6)
    assert np.allclose(normaliser.scale, rows.astype(np.float64).std(axis=0), rtol=1e-6)


def test_values_that_are_not_finite_and_empty_tables_are_refused() -> None:
    with pytest.raises(StoreError, match="not finite"):
        Normaliser.fit("standardise", np.array([[1.0], [np.nan]], np.float32))
    with pytest.raises(StoreError, match="no train utterance"):
        Normaliser.fit("standardise", np.zeros((0, 3), np.float32))
