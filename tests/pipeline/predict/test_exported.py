"""A run as a folder for others: it predicts the same without the run, tells what was measured, and nothing of here."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from predict_world import rows_of, run_of, talks_of

from features.errors import RunFileError, UsageError, WeightsError
from features.network.hub import HubFiles
from features.spec import EncoderSpec
from pipeline.cli import erc, run
from pipeline.predict import Predictor, hub
from pipeline.predict.turns import Talk, Turn
from pipeline.runs.folder import Run
from pipeline.share.model_card import plain
from pipeline.share.model_folder import export_run
from pipeline.share.published import published_names

TALK = Talk("a", (Turn("Ross", "Hi."), Turn("Rachel", "Go away!")))


@pytest.fixture(scope="module")
def exported(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    assert run(erc, ["export", str(run_of(world, "causal").path), "--to", str(folder)], "erc") == 0
    return folder


def test_a_new_process_without_the_run_gives_the_same(world: Path, exported: Path, tmp_path: Path) -> None:
    talk = talks_of(rows_of(world, "test"))[0]
    turns = [
        {"speaker": turn.speaker, "text": turn.text, "clip": str(turn.clip) if turn.clip else None}
        for turn in talk.turns
    ]
    (tmp_path / "talk.json").write_text(json.dumps(turns))
    moved = tmp_path / "moved"
    shutil.copytree(exported, moved)
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.predict import Predictor\n"
        "from pipeline.predict.turns import read_talks\n"
        "with Predictor.from_pretrained(sys.argv[1], 'cpu') as predictor:\n"
        "    predictor.predict(read_talks(Path(sys.argv[2]))).frame.write_parquet(sys.argv[3])\n"
    )
    arguments = [str(moved), str(tmp_path / "talk.json"), str(tmp_path / "theirs.parquet")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, cwd=tmp_path, env=_environment())
    import polars as pl

    theirs = pl.read_parquet(tmp_path / "theirs.parquet")
    with Predictor(run_of(world, "causal"), "cpu") as predictor:
        ours = predictor.predict([talk]).frame
    numbers = [name for name in ours.columns if name.startswith(("p_", "calibrated_"))]
    assert len(numbers) == 2 * len(run_of(world, "causal").labels)
    assert np.array_equal(ours.select(numbers).to_numpy(), theirs.select(numbers).to_numpy())


def _environment() -> dict[str, str]:
    import os

    root = str(Path(__file__).resolve().parents[3])
    return os.environ | {"PYTHONPATH": root, "HF_HUB_OFFLINE": "1"}


def test_nothing_of_this_machine_is_in_it(world: Path, exported: Path) -> None:
    for path in exported.rglob("*"):
        if path.is_file():
            assert str(world).encode() not in path.read_bytes(), path
    names = {path.name for path in exported.rglob("*") if path.is_file()}
    assert not any(name.startswith("predictions-") for name in names)
    assert {"README.md", "config.json", "temperature.json", "head.safetensors", "spec.json"} <= names


def test_the_card_and_config_say_what_was_measured(world: Path, exported: Path) -> None:
    found = run_of(world, "causal")
    card = (exported / "README.md").read_text()
    metrics = found.metrics("test")
    assert f"| weighted F1 | {100 * metrics.weighted_f1.mean:.1f} ± {100 * metrics.weighted_f1.std:.1f} |" in card
    assert "synthetic corpus" in card
    assert "an ensemble of 2 seeds" in card
    assert "the turns before it" in card
    config = json.loads((exported / "config.json").read_text())
    assert list(config["id2label"].values()) == list(found.labels)
    assert [spec["encoder"] for spec in config["encoders"]] == ["surface", "logmel", "hog-colour"]
    head = card.split("---")[1]
    assert "model-index" in head


def test_only_an_earlier_export_is_replaced(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = run_of(world, "alone")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(UsageError, match="something else"):
        export_run(source, tmp_path / "mine", replace=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"
    export_run(source, tmp_path / "model")
    with pytest.raises(UsageError, match="--replace"):
        export_run(source, tmp_path / "model")
    (tmp_path / "model" / "seed-9").mkdir()
    export_run(source, tmp_path / "model", replace=True)
    assert not (tmp_path / "model" / "seed-9").exists()
    assert run(erc, ["export", str(world / "runs"), "--to", str(tmp_path / "x")], "erc") == 2
    assert "holds 3 runs" in capsys.readouterr().err


def test_an_exported_run_can_be_exported_again(exported: Path, tmp_path: Path) -> None:
    export_run(Run(exported), tmp_path / "again")
    with Predictor(tmp_path / "again", "cpu") as one, Predictor(exported, "cpu") as other:
        assert one.temperature == other.temperature
        assert np.array_equal(one.predict([TALK]).probabilities, other.predict([TALK]).probabilities)


def test_a_damaged_temperature_is_told(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "model")
    (tmp_path / "model" / "temperature.json").write_text("{}")
    with pytest.raises(RunFileError, match=r"temperature\.json is damaged"):
        Predictor(tmp_path / "model", "cpu")


def test_the_hub_gets_the_folder_and_gives_it_back(
    world: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: dict[str, Any] = {}

    class Api:
        def create_repo(self, repo_id: str, private: bool, exist_ok: bool) -> str:
            sent["repo"] = (repo_id, private)
            return f"https://hub/{repo_id}"

        def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
            shutil.copytree(folder_path, tmp_path / "hub")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("features.network.hub.hub_files", lambda *_: HubFiles("0" * 40, {}))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(tmp_path / "hub"))
    given = ["export", str(run_of(world, "causal").path), "--to", str(tmp_path / "model")]
    assert run(erc, [*given, "--push-to-hub", "me/erc", "--private"], "erc") == 0
    assert sent["repo"] == ("me/erc", True)
    assert "https://hub/me/erc" in capsys.readouterr().out
    with Predictor.from_pretrained("me/erc", "cpu") as theirs, Predictor(exported, "cpu") as ours:
        assert np.array_equal(theirs.predict([TALK]).probabilities, ours.predict([TALK]).probabilities)


def test_a_hub_that_refuses_leaves_the_folder_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Api:
        def create_repo(self, *_: object, **__: object) -> None:
            raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    with pytest.raises(UsageError, match=r"no route to host.*hf auth login"):
        hub.push_folder(tmp_path, "me/erc", private=False)

    def refuse(*_: object, **__: object) -> None:
        raise OSError("offline")

    monkeypatch.setattr("features.network.hub.hub_files", lambda *_: HubFiles("0" * 40, {}))
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(WeightsError, match=r"neither a folder here nor on the hub.*offline"):
        Predictor.from_pretrained("me/none", "cpu")


def test_texts_of_the_card_are_no_markup() -> None:
    assert plain("a|b\n# <c> `d`") == "a\\|b \\# \\<c\\> \\`d\\`"


def test_an_encoder_s_model_is_exported_without_its_path(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shutil.copytree(run_of(world, "alone").path, tmp_path / "run")
    features = json.loads((source / "features.json").read_text())
    own = tmp_path / "secret project" / "bert"
    features["features"][0]["model"] = str(own)
    store = shutil.copytree(world / "store", tmp_path / "store")
    features["store"] = str(store)
    (source / "features.json").write_text(json.dumps(features))
    path = store / features["features"][0]["folder"] / "spec.json"
    path.write_text(dataclasses.replace(EncoderSpec.from_json(path.read_text()), model=str(own)).to_json())
    config = yaml.safe_load((source / "config.yaml").read_text())
    config["inputs"]["text"] = [{"encoder": "surface", "model": str(own)}]
    (source / "config.yaml").write_text(yaml.safe_dump(config))
    capsys.readouterr()
    export_run(Run(source), tmp_path / "model")
    (line,) = capsys.readouterr().err.splitlines()
    assert f"model {own} is a path of this machine: the export calls it 'bert', which `erc predict` looks for" in line
    for file in (tmp_path / "model").rglob("*"):
        assert not file.is_file() or b"secret project" not in file.read_bytes(), file
    made = Run(tmp_path / "model")
    assert made.features.features[0].model == "bert"
    assert made.experiment.inputs["text"] == ({"encoder": "surface", "model": "bert"},)


@pytest.mark.parametrize(
    "model", [None, "openai-community/gpt2", "packaged:all-MiniLM-L6-v2", "models/bert", "glove.txt"]
)
def test_models_that_tell_nothing_of_a_machine_keep_their_names(model: str | None) -> None:
    assert published_names([model]) == {}


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("/home/alice/models/bert", "bert"),
        ("/home/alice/models/bert/", "bert"),
        ("~/bert", "bert"),
        ("~alice/bert", "bert"),
        ("../models/glove.txt", "glove.txt"),
        ("models/mine/bert", "bert"),
        ("models\\bert", "bert"),
        ("C:\\Users\\alice\\bert", "bert"),
        ("\\\\server\\share\\models\\bert", "bert"),
    ],
)
def test_a_path_is_called_by_its_last_name(model: str, shown: str) -> None:
    assert published_names([model]) == {model: shown}


def test_paths_of_one_last_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert published_names(["/m/text/best", "/m/audio/best", "/m/audio/best", "/n/other"]) == {
        "/m/text/best": "text-best",
        "/m/audio/best": "audio-best",
        "/n/other": "other",
    }
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert published_names([".", ".."]) == {".": "here", "..": tmp_path.name}


def test_what_lies_beside_an_export_is_not_removed(world: Path, exported: Path, tmp_path: Path) -> None:
    """As the history of a clone from the hub does."""
    clone = shutil.copytree(exported, tmp_path / "clone")
    (clone / ".git").mkdir()
    (clone / ".git" / "HEAD").write_text("ref: refs/heads/main")
    with pytest.raises(UsageError, match=r"clone: holds '\.git' beside an export, and would lose it"):
        export_run(run_of(world, "causal"), clone, replace=True)
    assert (clone / ".git" / "HEAD").is_file()
