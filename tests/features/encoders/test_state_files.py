"""State files: whole ones, broken ones, unsafe ones, published ones without a network."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from features.encoders.state_files import digest_of_network, load_state, random_network, read_state
from features.errors import WeightsError


def small_network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))


@pytest.fixture
def network() -> torch.nn.Module:
    return random_network(small_network)


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def write(path: Path, state: Any) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.name == "archive.zip":  # as RetinaFace's weights are published: an archive with one .pth in it
        data = io.BytesIO()
        torch.save(state, data)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("weights.pth", data.getvalue())
    elif path.name == "old.pth":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "old.pth", "torch.zip", "archive.zip", "w.safetensors"])
def test_every_form_gives_the_same_tensors_and_digest(tmp_path: Path, network: torch.nn.Module, name: str) -> None:
    state = read_state(write(tmp_path / name, dict(network.state_dict())))
    assert same(state, network.state_dict())
    other = small_network()
    assert load_state(other, state, name, "toy") == digest_of_network(network) == digest_of_network(other)
    assert same(other.state_dict(), network.state_dict())


class Trap:
    """Pickled, it would touch a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    path = tmp_path / "trap.pth"
    torch.save({"weight": torch.ones(1), "trap": Trap(touched)}, path)
    with pytest.raises(WeightsError, match=r"trap\.pth' cannot be read as tensors \(UnpicklingError\): fetch it again"):
        read_state(path)
    assert not touched.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.zip", "w.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, network: torch.nn.Module, name: str, damage: str) -> None:
    path = write(tmp_path / name, dict(network.state_dict()))
    data = path.read_bytes()
    path.write_bytes({"truncated": data[: len(data) // 2], "text": b"no weights at all", "empty": b""}[damage])
    with pytest.raises(WeightsError, match=rf"^state file '.*{name}' cannot be read as tensors \(\w+\): [^\n]*$"):
        read_state(path)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "holds no tensors by name"),
        ([torch.ones(1)], "holds no tensors by name"),
        ({"state_dict": {"weight": torch.ones(1)}}, "holds dict 'state_dict' among its tensors"),
        ({"weight": torch.ones(1), "epoch": 3}, "holds int 'epoch' among its tensors"),
    ],
)
def test_what_is_no_bare_state_is_refused(tmp_path: Path, state: Any, message: str) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=rf"{message}: save network\.state_dict\(\) alone"):
        read_state(tmp_path / "w.pth")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"state file '.*none\.pth' is not there: give --model one of \.pth, "):
        read_state(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": None}, r"1 missing \(0\.weight\)"),
        ({"0.weight": None, "0.bias": None}, r"2 missing \(0\.bias, \.\.\.\)"),
        ({"3.weight": torch.ones(1)}, r"1 unexpected \(3\.weight\)"),
        ({"2.weight": torch.ones(9, 4)}, r"1 of another shape \(2\.weight is \[9, 4\], not \[2, 4\]\)"),
        ({"2.weight": None, "9.x": torch.ones(1)}, r"1 missing \(2\.weight\); 1 unexpected \(9\.x\)"),
    ],
)
def test_another_architecture_is_told_by_its_names(
    network: torch.nn.Module, change: dict[str, torch.Tensor | None], message: str
) -> None:
    changed = dict(network.state_dict()) | change
    state = {key: value for key, value in changed.items() if value is not None}
    with pytest.raises(WeightsError, match=rf"^file 'w' holds no toy: {message}$"):
        load_state(network, state, "file 'w'", "toy")


def test_counters_and_a_spare_head_are_not_part_of_the_weights(network: torch.nn.Module) -> None:
    digest = digest_of_network(network)
    state = dict(network.state_dict())
    del state["1.num_batches_tracked"]
    assert load_state(small_network(), state, "w", "toy") == digest
    assert load_state(small_network(), state | {"fc.weight": torch.ones(3)}, "w", "toy", spare=("fc.",)) == digest
    assert load_state(small_network(), state | {"0.bias": torch.ones(4)}, "w", "toy") != digest


def test_the_digest_is_of_the_files_own_dtype(network: torch.nn.Module) -> None:
    half = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    target = small_network()
    assert load_state(target, half, "w", "toy") != digest_of_network(network)
    assert {value.dtype for value in target.parameters()} == {torch.float32}


def test_random_weights_leave_torchs_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = random_network(small_network), random_network(small_network)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(first.state_dict(), second.state_dict())
    assert not first.training
