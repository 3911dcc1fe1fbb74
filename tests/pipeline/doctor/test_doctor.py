"""`erc doctor`: what is broken, absent or surprising is found, with its mend; what is not, is not."""

from __future__ import annotations

import json
import shlex
import socket
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline.cli import erc, run
from pipeline.doctor import libraries, machine, media, weights


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_SECONDS", 0.0)

    def refuse(*_: object) -> None:
        raise AssertionError("the doctor asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def states(findings: object) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}  # type: ignore[attr-defined]


def versions(monkeypatch: pytest.MonkeyPatch, other: dict[str, str | None]) -> None:
    """Some packages as if they were of another version, or not there."""
    known = metadata.version

    def version(name: str) -> str:
        found = other.get(name, "")
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found or known(name)

    monkeypatch.setattr(metadata, "version", version)


def test_a_sound_machine_is_ok_and_json_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(erc, ["doctor", "--store", str(tmp_path / "store"), "--json"], "erc") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    findings = document["findings"]
    assert {item["group"] for item in findings} >= {"packages", "extras", "devices", "media", "weights"}
    assert all(item["mend"] for item in findings if item["group"] == "weights" and item["state"] == "absent")
    assert not (tmp_path / "store").exists()


def test_a_package_that_is_too_old_or_gone_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions(monkeypatch, {"polars": "0.20.1", "h5py": None})
    assert run(erc, ["doctor"], "erc") == 1
    said = capsys.readouterr().out
    assert "0.20.1 is not" in said
    assert "pip install 'h5py" in said
    assert "The rest was not looked at" in said


def test_an_extra_is_absent_with_the_command_for_what_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, {"umap-learn": None, "retinaface-pytorch": None})
    found = {finding.name: finding for finding in libraries.python_and_packages() if finding.group == "extras"}
    assert found["explore"].state == "absent"
    assert found["explore"].mend is not None
    assert "umap-learn" in found["explore"].mend
    assert "plotly" not in found["explore"].mend
    assert found["retinaface-pytorch"].state == "absent"


def test_a_command_to_copy_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"package-number-{number}" for number in range(9)]
    lines = [f"{name}<{number + 2},>={number}.5; extra == 'app'" for number, name in enumerate(names)]
    monkeypatch.setattr(metadata, "requires", lambda package: [*lines, "no-such-package>=1"])
    assert run(erc, ["doctor"], "erc") == 1
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    (command,) = [line for line in said if "package-number-0" in line]
    assert [Requirement(word).name for word in shlex.split(command)[3:]] == names
    assert "-> pip install 'no-such-package>=1'" in said


def test_every_extra_of_the_project_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import tomllib

    text = (Path(__file__).resolve().parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert set(libraries.EXTRAS) == set(extras) - {"dev"}
    lines = [f"{line}; extra == '{extra}'" for extra, names in extras.items() for line in names] + ["click>=8"]
    monkeypatch.setattr(metadata, "requires", lambda package: lines)
    declared = libraries.declared_requirements()
    assert declared is not None
    assert declared[""] == [Requirement("click>=8")]
    assert {requirement.name for requirement in declared["explore"]} == {"plotly", "umap-learn"}


def test_two_opencvs_are_noted() -> None:
    (finding,) = libraries._clashes({"opencv-python": "5.0", "opencv-python-headless": "4.9"})
    assert finding.state == "note"
    assert list(libraries._clashes({"opencv-python": "5.0"})) == []


def test_a_store_that_cannot_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    finding = machine._disk(tmp_path / "deep" / "store")
    assert finding.state == "failed"
    assert "Permission denied" in finding.text


def test_little_space_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: namedtuple("usage", "free")(10 << 20))
    assert machine._disk(tmp_path).state == "note"
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_cannot_multiply_fails_and_one_without_a_dtype_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    known = machine.products_per_second

    def broken(device: str, dtype: str) -> float:
        if dtype in without:
            raise RuntimeError("no kernel\nmore")
        return known(device, dtype)

    monkeypatch.setattr(machine, "products_per_second", broken)
    without = {"float16"}
    finding = machine._speeds("cpu", "cpu", "a CPU")
    assert finding.state == "ok"
    assert "not in fp16: no kernel" in finding.text
    without = {"float32"}
    assert machine._speeds("cpu", "cpu", "a CPU").state == "failed"


def test_a_driver_without_a_gpu_in_torch_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for here, state in ((True, "note"), (False, "absent")):
        monkeypatch.setattr(machine, "_has_nvidia_driver", lambda here=here: here)
        assert states(machine._devices())["cuda"] == state


def test_a_codec_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from av import codec

    def only(name: str, mode: str) -> None:
        if name in ("h264", "opus", "libx264"):
            raise ValueError(name)

    monkeypatch.setattr(codec, "Codec", only)
    found = [(finding.name, finding.state) for finding in media.media()]
    assert ("h264", "failed") in found
    assert ("libx264", "note") in found
    assert any("opus" in finding.text for finding in media.media() if finding.state == "absent")


def test_scripts_without_a_font_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.pages import fonts

    monkeypatch.setattr(fonts, "families_for", lambda letters: ((), letters if "\u3042" in letters else frozenset()))
    assert "Japanese" in media.fonts().text
    monkeypatch.setattr(fonts, "families_for", lambda letters: (("Noto",), frozenset()))
    assert media.fonts().state == "ok"


def test_weights_that_are_here_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights, "cached_hub_model", lambda model: tmp_path if model.endswith("gpt2") else None)
    before = states(weights.weights())
    assert before["resnet50"] == "absent"
    assert before["openai-community/gpt2"] == "ok"
    assert before["facebook/wav2vec2-base"] == "absent"
    from torchvision.models import get_model_weights

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / get_model_weights("resnet50").DEFAULT.url.rpartition("/")[2]).write_bytes(b"")
    assert states(weights.weights())["resnet50"] == "ok"


def test_every_default_model_is_told_with_its_size() -> None:
    from features.encoders.table import ENCODERS

    models = {entry.default_model for entry in ENCODERS.values() if entry.default_model}
    assert {model for model in models if not model.startswith("packaged:")} == set(weights._DOWNLOADS)
    assert set(states(weights.weights())) == models
