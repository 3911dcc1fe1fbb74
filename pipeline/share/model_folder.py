"""The folder that `erc export` writes: a run without what ties it to a machine, with what others need.

README.md      the model card
config.json    labels, features with their encoders and settings, the experiment, seeds, scores, temperature
config.yaml, features.json, seed-N/head.safetensors, seed-N/result.json, metrics-SPLIT.json
               the run's own, without paths, commands and predictions
temperature.json   of the calibrated probabilities
head.onnx          where it is asked for: the heads of all seeds as one graph (pipeline/share/onnx_head.py)
app.py, requirements.txt   where they are asked for: a demo (pipeline/share/space.py)
encoders/      the spec of every encoder, also of those that another one derives from
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from features.errors import UsageError
from features.files import write_folder_whole
from features.spec import EncoderSpec
from features.store import Store
from pipeline.predict.run_encoders import build_run_encoders
from pipeline.predict.temperature import TEMPERATURE_FILE, fit_temperature
from pipeline.runs.folder import Run
from pipeline.runs.json_files import write_json, write_text
from pipeline.runs.other_code import since_training
from pipeline.scoring.evaluation import seeds_to_predict_with
from pipeline.share import onnx_head, space
from pipeline.share.model_card import model_card
from pipeline.share.published import published_config, published_names, renamed
from pipeline.terminal.output import print_warning

CONFIG = "config.json"
ENCODERS = "encoders"
FORMAT = 1
_OWN = ("head.safetensors", "result.json")
_WRITTEN = (
    *("README.md", CONFIG, "config.yaml", "features.json", "seed-*", "metrics-*.json", TEMPERATURE_FILE),
    *(onnx_head.FILE, space.APP_FILE, "requirements.txt", ENCODERS),
)


def export_run(run: Run, folder: Path, replace: bool = False, *, onnx: bool = False, app: bool = False) -> None:
    """Write the folder; it appears whole or not at all.

    replace: an earlier export there; onnx: with head.onnx; app: with a demo
    On stderr, a line says if the code that makes the heads' output has changed since they were trained, and if an
    encoder's model is a path of this machine.
    Raises RunError where no seed is finished, seeds were not made alike or have no head, or no ONNX graph can hold the
    head or says what it says, UsageError for a folder that holds something else, or without what `onnx` needs.
    """
    seeds = seeds_to_predict_with(run)
    check_free(folder, replace)
    since = since_training(run, seeds)
    if warning := since.warning(run):
        print_warning(warning)
    if onnx:
        onnx_head.check_onnx()
    heads = onnx_head.heads_of(run, seeds) if onnx else []
    specs = _specs(run)
    names = published_names([*(spec.model for spec in specs), *_models(run)])
    for model, name in names.items():
        print_warning(
            f"model {model} is a path of this machine: the export calls it {name!r}, which `erc predict` looks for in"
            " the folder where it is called, then on the hub"
        )
    for spec in specs:
        if spec.model and spec.model not in names and "/" in spec.model and Path(spec.model).exists():
            print_warning(f"model {spec.model} is a folder here: to others the name is that of a model on the hub")
    specs = [dataclasses.replace(spec, model=renamed(spec.model, names)) for spec in specs]
    folder.parent.mkdir(parents=True, exist_ok=True)

    def write(target: Path) -> None:
        _write_config(run, target / "config.yaml", names)
        write_json(target / "features.json", _features(run, names))
        for seed in seeds:
            own = target / f"seed-{seed}"
            own.mkdir()
            for name in _OWN:
                shutil.copyfile(run.seed_folder(seed) / name, own / name)
        for split in run.scored_splits():
            write_json(target / f"metrics-{split}.json", _metrics(run, split))
        for spec in specs:
            place = target / ENCODERS / spec.folder
            place.mkdir(parents=True)
            write_text(place / "spec.json", spec.to_json())
        temperature = fit_temperature(run, seeds)
        if temperature is not None:
            write_json(target / TEMPERATURE_FILE, asdict(temperature))
        graph = onnx_head.write_onnx(target / onnx_head.FILE, run, heads, temperature) if onnx else None
        write_json(target / CONFIG, _config(run, seeds, specs, graph, names))
        if app:
            write_text(target / space.APP_FILE, space.APP)
            write_text(target / "requirements.txt", space.requirements(specs))
        write_text(target / "README.md", model_card(run, seeds, specs, temperature, graph, since.changed, app=app))

    write_folder_whole(folder, write)


def check_free(folder: Path, replace: bool) -> None:
    """Raises UsageError where something is in the way that is not of an earlier export, or that is not to be replaced,
    be it the .git of a clone."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not is_exported(folder):
        raise UsageError(f"--to {folder}: holds something else than an export: give a new folder")
    if not replace:
        raise UsageError(f"--to {folder}: holds an export: give another folder, or --replace")
    others = sorted(entry.name for entry in folder.iterdir() if not any(map(entry.match, _WRITTEN)))
    if others:
        raise UsageError(
            f"--to {folder}: holds {others[0]!r} beside an export, and would lose it: give another folder, or move it"
        )


def is_exported(folder: Path) -> bool:
    """Whether a folder is one that `export_run` wrote."""
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("model_type") == "erc-head"


def _specs(run: Run) -> list[EncoderSpec]:
    """Of every encoder, those that others derive from first. From the run's store where it is there, else of encoders
    that are built."""
    fingerprints = [use.fingerprint for use in run.features.features]
    recorded = Path(run.features.store or "")
    places = [place for place in (recorded, run.path / ENCODERS) if place.is_dir()]
    known = {feature.fingerprint: feature.spec for place in places for feature in Store(place).features()}
    found: list[EncoderSpec] = []
    for fingerprint in fingerprints:
        if fingerprint not in known:
            encoders, _ = build_run_encoders(run, "cpu")
            return [encoder.spec for encoder in encoders]
        spec = known[fingerprint]
        source = known.get(spec.derives_from or "")
        found += [item for item in (source, spec) if item is not None and item not in found]
    return found


def _models(run: Run) -> list[str]:
    """That its config and features.json name."""
    selectors = [item for items in run.experiment.inputs.values() for item in items if isinstance(item, dict)]
    found = [*(item.get("model") for item in selectors), *(use.model for use in run.features.features)]
    return [model for model in found if model]


def _write_config(run: Run, path: Path, names: Mapping[str, str]) -> None:
    whole = run.experiment.to_dict()
    published = published_config(whole, names)
    if published == whole:
        shutil.copyfile(run.path / "config.yaml", path)
    else:
        write_text(path, yaml.safe_dump(published, sort_keys=False, allow_unicode=True))


def _features(run: Run, names: Mapping[str, str]) -> dict[str, Any]:
    """features.json without paths of the maker's machine and what was typed there."""
    content: dict[str, Any] = json.loads((run.path / "features.json").read_text(encoding="utf-8"))
    content["manifest"] = content["manifest"] | {"path": None}
    content["features"] = [use | {"model": renamed(use.get("model"), names)} for use in content["features"]]
    return content | {"store": None, "command": None}


def _metrics(run: Run, split: str) -> dict[str, Any]:
    content = run.metrics(split).model_dump(mode="json")
    if content.get("scored"):
        content["scored"] = content["scored"] | {"path": None}
    return content


def _config(
    run: Run, seeds: list[int], specs: list[EncoderSpec], graph: onnx_head.Graph | None, names: Mapping[str, str]
) -> dict[str, Any]:
    """config.json: what a hub and a reader of the folder look for."""
    onnx = {"onnx": onnx_head.as_json(graph)} if graph else {}
    return onnx | {
        "model_type": "erc-head",
        "library_name": "erc-feature-store",
        "format": FORMAT,
        "id2label": {str(place): label for place, label in enumerate(run.labels)},
        "label2id": {label: place for place, label in enumerate(run.labels)},
        "seeds": seeds,
        "experiment": published_config(run.experiment.to_dict(), names),
        "encoders": [json.loads(spec.to_json()) for spec in specs],
    }
