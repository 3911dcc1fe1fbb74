"""Steps over a corpus of many utterances, each run once in a process of its own; imports are not timed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_ENGINE: list[object] = []
Step = Callable[[Path], object]
STEPS: dict[str, Step] = {}  # in the order in which they are run: later ones need what earlier ones wrote


def step(name: str, place: str, warm: str, actors: int = 0) -> Callable[[], None]:
    """The factory of all of them. warm: a finished small corpus, on a copy of which the step is run beforehand;
    actors: of `extract` alone, so many of Ray instead of this process."""
    chosen, folder = STEPS[name], Path(place)
    if actors:
        _ENGINE.extend(["--engine", "ray", "--ray-actors", actors])
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary)
        shutil.copy(Path(warm) / "manifest.parquet", copy)
        (copy / "clips").symlink_to(Path(warm) / "clips")
        if chosen is not extract:
            shutil.copytree(Path(warm) / "store", copy / "store")
        chosen(copy)

    def work() -> None:
        chosen(folder)

    return work


def _named(name: str) -> Callable[[Step], Step]:
    def add(work: Step) -> Step:
        STEPS[name] = work
        return work

    return add


def _erc(*arguments: object) -> None:
    from pipeline.cli import erc, run

    status = run(erc, list(map(str, arguments)), "erc")
    if status != 0:
        raise RuntimeError(f"erc {' '.join(map(str, arguments))}: exit status {status}")


def _of(place: Path) -> list[object]:
    return ["--manifest", place / "manifest.parquet", "--store", place / "store"]


@_named("plan a new feature")
def plan_new(place: Path) -> None:
    """The manifest is read and everything is left."""
    _erc("extract", "--encoder", "surface", "--dry-run", "--quiet", *_of(place))


@_named("extract")
def extract(place: Path) -> None:
    """`surface`, which counts marks and words of a text: nearly all is a row's way from the manifest to the disk."""
    _erc("extract", "--encoder", "surface", "--quiet", *_of(place), *_ENGINE)


@_named("extract again: nothing left")
def extract_again(place: Path) -> None:
    _erc("extract", "--encoder", "surface", "--quiet", *_of(place))


@_named("plan clips: nothing left")
def plan_clips(place: Path) -> None:
    """As `erc extract` plans a finished feature of clips: size and time of each are looked up."""
    from benchmarks.inputs.many_utterances import CLIPS, bounds_of
    from features.manifest import read_manifest
    from features.store.plan import make_plan

    manifest = read_manifest(place / "manifest.parquet")
    plan = make_plan(manifest, CLIPS, place / "store", bounds_of(manifest))
    if plan.left:
        raise RuntimeError(f"{plan.left} clips are left")


@_named("open, read one row")
def open_store(place: Path) -> None:
    """Without a manifest: what holds for each utterance is read from the ledgers of one feature."""
    from features.store import Store

    feature = Store(place / "store").find("surface")
    if not feature.read(["large/train/dia0_utt0"]).present.all():
        raise RuntimeError("the row is not there")


@_named("erc store ls")
def ls(place: Path) -> None:
    _erc("store", "ls", place / "store")


@_named("erc store verify")
def verify(place: Path) -> None:
    _erc("store", "verify", place / "store")


@_named("train an epoch")
def train(place: Path) -> None:
    """A linear head on `surface`, from the store: manifest, rows, statistics, steps of 64, and scores of dev."""
    from features.manifest import read_manifest
    from features.store import Store
    from heads.config.resolve import experiment_from_dict
    from heads.data.data import HeadData, fit_feature
    from heads.data.utterances import read_utterances
    from heads.training.trainer import train_head

    manifest = read_manifest(place / "manifest.parquet")
    utterances = read_utterances(manifest, ("train", "dev"))
    feature = Store(place / "store", manifest).choose("text", "surface")
    body = {
        "name": "scale",
        "inputs": {"text": ["surface"]},
        "feedforward": {"sizes": []},
        "batch": {"size": 64},
        "stop": {"epochs": 1, "patience": 1},
    }
    data = HeadData(utterances, {"text": (fit_feature(feature, utterances, "standardise"),)})
    train_head(experiment_from_dict(body, __file__), data, seed=0)
