"""`erc export --onnx`: head.onnx in the folder, told in its card and config, or nothing at all."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from predict_world import rows_of, run_of

from features.errors import RunError
from features.extras import install_extra
from pipeline.cli import erc, run
from pipeline.predict import Predictor
from pipeline.share import model_folder, onnx_head
from pipeline.share.model_folder import export_run


@pytest.fixture(scope="module")
def exported(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("exported") / "model"
    assert run(erc, ["export", str(run_of(world, "causal").path), "--to", str(folder), "--onnx"], "erc") == 0
    return folder


def test_stored_embeddings_alone_give_what_the_run_says(world: Path, exported: Path) -> None:
    """Fed by hand from the store, as a user without this package would: the ensemble's probabilities, raw and
    calibrated."""
    from features.store import Store

    manifest, source = rows_of(world, "test"), run_of(world, "causal")
    with Predictor(source, "cpu") as predictor:
        expected = predictor.predict_manifest(manifest, world / "store").frame
    frame = manifest.frame
    talks = frame["dialogue_id"].unique(maintain_order=True).to_list()
    places = [np.flatnonzero((frame["dialogue_id"] == talk).to_numpy()) for talk in talks]
    turns = max(map(len, places))
    feed = {"turn_mask": np.array([np.arange(turns) < len(rows) for rows in places])}
    for use in source.features.features:
        feature = next(item for item in Store(world / "store").features() if item.fingerprint == use.fingerprint)
        values = np.zeros((len(frame), *feature.spec.shape), np.float32)
        present = feature.read(manifest.ids, values).present
        feed[use.name] = np.stack([values[np.resize(rows, turns)] for rows in places])
        feed[f"{use.name}_present"] = np.stack([present[np.resize(rows, turns)] for rows in places])
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported / "head.onnx"))
    assert {item.name for item in session.get_inputs()} == set(feed)
    logits = session.run(["logits"], feed)[0][feed["turn_mask"]]
    told = session.get_modelmeta().custom_metadata_map
    labels = json.loads(told["labels"])
    for prefix, temperature in (("p", 1.0), ("calibrated", json.loads(told["temperature"]))):
        scaled = np.exp(logits / temperature)
        found = scaled / scaled.sum(axis=1, keepdims=True)
        theirs = expected.select(f"{prefix}_{label}" for label in labels).to_numpy()
        np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-5)


def test_config_and_card_tell_of_it(world: Path, exported: Path) -> None:
    told = json.loads((exported / "config.json").read_text())["onnx"]
    assert told["file"] == "head.onnx"
    assert {item["name"]: item["axes"] for item in told["inputs"]}["turn_mask"] == ["dialogues", "turns"]
    parity = told["parity"]
    assert parity["real"] > 5  # of the run's own store
    assert parity["drawn"] == 33
    assert parity["largest"] < parity["tolerance"] == 1e-5
    assert str(world).encode() not in (exported / "head.onnx").read_bytes()


def test_the_cards_lines_run(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (exported / "README.md").read_text()
    block = next(block for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "onnxruntime" in block)
    monkeypatch.chdir(exported)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(block, {})
    labels = list(json.loads((exported / "config.json").read_text())["id2label"].values())
    assert all(f"'{label}':" in said.getvalue() for label in labels)


def test_a_graph_that_says_something_else_leaves_no_folder(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph of seeds whose order of labels was lost, as an exporter might lose it."""
    pytest.importorskip("onnxruntime")
    plain = onnx_head.run_session
    monkeypatch.setattr(onnx_head, "run_session", lambda session, feed: plain(session, feed)[..., ::-1])
    with pytest.raises(RunError, match=r"off torch on .* real utterances"):
        export_run(run_of(world, "alone"), tmp_path / "model", onnx=True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused_is_refused_before_anything_is_written(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["export", str(run_of(world, "alone").path), "--to", str(tmp_path / "model"), "--onnx"]
    monkeypatch.setattr(onnx_head, "find_spec", lambda name: None if name == "onnxscript" else object())
    assert run(erc, given, "erc") == 2
    assert capsys.readouterr().err == f"erc: --onnx needs onnxscript: {install_extra('onnx')}\n"
    monkeypatch.undo()
    written: list[Path] = []
    monkeypatch.setattr(model_folder, "write_folder_whole", lambda folder, write: written.append(folder))
    source = run_of(world, "alone")
    made = replace(source.experiment, evaluation=source.experiment.evaluation.model_copy(update={"dropout": True}))
    monkeypatch.setitem(source.__dict__, "experiment", made)
    with pytest.raises(RunError, match=r"evaluation\.dropout"):
        export_run(source, tmp_path / "model", onnx=True)
    assert written == []
    assert list(tmp_path.iterdir()) == []
