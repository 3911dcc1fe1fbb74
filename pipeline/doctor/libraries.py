"""Python, the packages that this one needs, its extras, and pairs that do not go together."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata

from packaging.requirements import Requirement

from features.extras import PACKAGE, declared_requirements, quoted
from pipeline.doctor.finding import Finding

_LEAST_PYTHON = (3, 11)
# What each extra is for; `dev` is for working on this project itself.
EXTRAS = {
    "embedded": "text models that carry their weights: `--preset embedded`, `erc demo`",
    "egemaps": "the encoder egemaps (openSMILE)",
    "ray": "extraction on a Ray cluster: `--engine ray`",
    "tuning": "search for settings: `erc train --search`",
    "explore": "a look at embeddings: `erc explore embeddings`",
    "kaggle": "corpora on Kaggle: `erc download`",
    "tensorboard": "curves in TensorBoard: `--track tensorboard`",
    "wandb": "curves in W&B: `--track wandb`",
    "mlflow": "curves in MLflow: `--track mlflow`",
    "bench": "what `make bench`, in a clone, compares with",
    "excel": "tables from Excel: `erc ingest table corpus.xlsx`",
    "onnx": "the head as an ONNX graph: `erc export --onnx`",
    "app": "a demo in a browser: `erc app`",
}
# It pins a torch of years ago, so that it is no requirement of an extra.
RETINAFACE = "retinaface-pytorch"
_RETINAFACE_INSTALL = "pip install --no-deps retinaface-pytorch==0.0.8"
_OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def python_and_packages() -> Iterator[Finding]:
    yield _python()
    declared = declared_requirements()
    if declared is None:
        yield Finding("packages", PACKAGE, "failed", "is not installed", "pip install --editable . in its folder")
        return
    for requirement in declared.get("", ()):
        yield _needed(requirement)
    yield from _clashes()
    for extra, purpose in EXTRAS.items():
        yield _extra(extra, purpose, declared.get(extra, []))
    here = installed_version(RETINAFACE) is not None
    text = "RetinaFace's network, for the encoder faces"
    yield Finding("extras", RETINAFACE, "ok" if here else "absent", text, None if here else _RETINAFACE_INSTALL)


def installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _python() -> Finding:
    text = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < _LEAST_PYTHON:
        least = ".".join(map(str, _LEAST_PYTHON))
        return Finding(
            "python", "python", "failed", f"{text} is older than {least}", f"install Python {least} or later"
        )
    return Finding("python", "python", "ok", text)


def _needed(requirement: Requirement) -> Finding:
    version = installed_version(requirement.name)
    install = f"pip install {quoted(requirement)}"
    if version is None:
        return Finding("packages", requirement.name, "failed", "is not installed", install)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding("packages", requirement.name, "failed", f"{version} is not {requirement.specifier}", install)
    return Finding("packages", requirement.name, "ok", version)


def _extra(extra: str, purpose: str, requirements: list[Requirement]) -> Finding:
    lacking = [
        requirement
        for requirement in requirements
        if (version := installed_version(requirement.name)) is None
        or not requirement.specifier.contains(version, prereleases=True)
    ]
    if not lacking:
        return Finding("extras", extra, "ok", purpose)
    return Finding("extras", extra, "absent", purpose, f"pip install {' '.join(map(quoted, lacking))}")


def _clashes(versions: Mapping[str, str | None] | None = None) -> Iterator[Finding]:
    """Pairs of packages that are known to break each other."""
    found = versions if versions is not None else {name: installed_version(name) for name in _OPENCV}
    both = [name for name in _OPENCV if found.get(name)]
    if len(both) > 1:
        yield Finding(
            "packages",
            "opencv",
            "note",
            f"{' and '.join(both)} are installed over each other: the files of the one that came last hold",
            f"pip uninstall {' '.join(both)}, then pip install opencv-python",
        )
