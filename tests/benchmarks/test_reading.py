"""The contenders of reading read the same numbers, in the same order."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.inputs.meld_features import FEATURES, make_others, make_store, random_values
from benchmarks.workers import minibatches, reading

SPLITS = {"train": 50, "dev": 10, "test": 10}
WHOLE = [
    "whole_load",
    "whole_feature",
    "whole_npy",
    "whole_safetensors",
    "whole_datasets",
    "whole_lance",
    "whole_files",
]
BATCHES = [
    "FeatureBatches",
    "DatasetBatches",
    "MemmapBatches",
    "SafetensorsBatches",
    "DatasetsBatches",
    "LanceBatches",
    "FilesBatches",
]
OPTIONAL = {"datasets": "datasets", "lance": "lance"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("reading")
    make_others(folder, make_store(folder, SPLITS).ids)
    return str(folder)


def need_package(name: str) -> None:
    for word, package in OPTIONAL.items():
        if word in name.lower() and not name.startswith("Dataset"):
            pytest.importorskip(package)
    if name == "DatasetsBatches":
        pytest.importorskip("datasets")


@pytest.mark.parametrize("name", WHOLE)
def test_all_of_them_read_the_very_numbers(place: str, name: str) -> None:
    need_package(name)
    work = getattr(reading, name)(place)
    work()  # checks dtypes and widths
    wanted = random_values(sum(SPLITS.values()))
    np.testing.assert_array_equal(work.rows(), reading.shown([wanted[feature] for feature, _ in FEATURES.values()]))


@pytest.mark.parametrize("name", BATCHES)
def test_minibatches_are_the_same_rows(place: str, name: str) -> None:
    need_package(name)
    work = getattr(minibatches, name)(place, batches=3)
    wanted = random_values(sum(SPLITS.values()))
    assert len(work.drawn) == 3
    for rows in work.drawn:
        got = work.batch(rows)
        for part, (feature, _) in zip(got, FEATURES.values(), strict=True):
            assert part.dtype == np.float32
            np.testing.assert_array_equal(part, wanted[feature][rows])


@pytest.mark.parametrize("name", ["epoch_features", "epoch_tensors", "epoch_memmap"])
def test_an_epoch_has_every_row_once_in_one_order(place: str, name: str) -> None:
    wanted = random_values(sum(SPLITS.values()))
    order = np.random.default_rng(0).permutation(sum(SPLITS.values()))
    shown = reading.shown([wanted[feature][order] for feature, _ in FEATURES.values()])
    np.testing.assert_allclose(getattr(reading, name)(place, workers=0).rows(), shown, rtol=1e-12)


def test_what_is_shown_tells_another_order_and_another_number(place: str) -> None:
    rows = random_values(20)["gpt2"]
    changed = rows.copy()
    changed[3, 5] += 1  # not among the columns that are shown as they are
    assert not np.array_equal(reading.shown([rows]), reading.shown([rows[::-1]]))
    assert not np.array_equal(reading.shown([rows]), reading.shown([changed]))
