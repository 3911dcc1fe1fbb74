"""Masked pooling: the padding has no say, whatever stands in it, and sums run in fp32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import UsageError
from features.pooling import POOLINGS, check_pooling, masked_max, masked_mean, pool

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def _padded(lengths: list[int], extra: int, seed: int) -> tuple[list[np.ndarray], torch.Tensor, torch.Tensor]:
    """Rows [length, 4], and the same padded with NaN to [b, t, 4] beside their mask."""
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=(length, 4)).astype(np.float32) for length in lengths]
    values = np.full((len(rows), max(lengths) + extra, 4), np.nan, dtype=np.float32)
    mask = np.zeros(values.shape[:2], dtype=bool)
    for index, row in enumerate(rows):
        values[index, : len(row)] = row
        mask[index, : len(row)] = True
    return rows, torch.from_numpy(values), torch.from_numpy(mask)


@settings(max_examples=50, deadline=None)
@given(lengths=LENGTHS, extra=st.integers(0, 6), seed=st.integers(0, 99))
def test_pooling_is_that_of_each_row_alone_whatever_stands_in_the_padding(
    lengths: list[int], extra: int, seed: int
) -> None:
    rows, values, mask = _padded(lengths, extra, seed)
    mean, largest = masked_mean(values, mask).numpy(), masked_max(values, mask).numpy()
    for index, row in enumerate(rows):
        np.testing.assert_allclose(mean[index], row.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(largest[index], row.max(axis=0))


def test_without_the_mask_the_answer_is_another() -> None:
    _, values, mask = _padded([2, 7], 0, 3)
    zeros = torch.nan_to_num(values)
    assert (zeros.mean(dim=1)[0] - masked_mean(values, mask)[0]).abs().max() > 1e-2
    negative = -zeros.abs() - 1.0
    assert (masked_max(negative, mask)[0] < 0).all()


def test_elements_in_the_middle_are_masked_too() -> None:
    values = torch.tensor([[[1.0], [50.0], [3.0]]])
    mask = torch.tensor([[True, False, True]])
    assert masked_mean(values, mask).item() == 2.0
    assert masked_max(values, mask).item() == 3.0


def test_sums_of_bf16_run_in_fp32() -> None:
    values = torch.ones(1, 4001, 1, dtype=torch.bfloat16)
    mask = torch.ones(1, 4001, dtype=torch.bool)
    values[0, 0, 0] = 2.0
    mean = masked_mean(values, mask)
    assert mean.dtype == torch.float32
    assert mean.item() == pytest.approx(4002 / 4001, rel=1e-6)
    assert values.mean(dim=1).item() != pytest.approx(4002 / 4001, rel=1e-6)


def test_mean_and_max_are_joined_in_that_order() -> None:
    _, values, mask = _padded([3, 5], 1, 0)
    joined = pool(values, mask, "mean+max")
    assert joined.shape == (2, 8)
    assert torch.equal(joined[:, :4], masked_mean(values, mask))
    assert torch.equal(joined[:, 4:], masked_max(values, mask))


def test_nothing_to_pool_is_not_finite_rather_than_zero() -> None:
    values, mask = torch.ones(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool)
    for name in POOLINGS:
        assert not torch.isfinite(pool(values, mask, name)).any()


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no pooling 'maen': did you mean 'mean'\? known: max, mean, mean\+max"):
        check_pooling("maen")
