"""Random damage to every kind of file: `verify` finds it, repair loses nothing, and no command ends in a traceback."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from store_damage import committed_again, files_of
from store_factory import make_manifest, make_spec

from features.errors import ErcError, Reason, UnavailableError
from features.store import Feature, Store, write_feature
from features.store.export import FORMATS
from features.store.repair import repair_store
from features.store.verify import verify_store
from pipeline.cli import erc, run

SPECS = (
    make_spec(shape=(4,)),
    make_spec(modality="audio", encoder="layers", kind="stack", shape=(2, 3), stored_dtype="float16"),
    make_spec(modality="visual", encoder="faces", kind="sequence", shape=(5,), settings={"frames": 5}),
)
MANIFEST = make_manifest(70)
ENDINGS = ("h5", "parquet", "json", "spec.json")
CHANGES = ("flip", "flips", "zeros", "cut", "insert", "empty", "swap", "copy", "delete")
Values = dict[str, dict[str, list[float]]]


def embeddings(number: int) -> dict[str, np.ndarray]:
    spec, chance = SPECS[number], np.random.default_rng(number)
    shapes = [(row % 3, *spec.shape) if spec.kind == "sequence" else spec.shape for row in range(70)]
    return {
        key: chance.standard_normal(shape).astype(np.float16) for key, shape in zip(MANIFEST.ids, shapes, strict=True)
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vector, a stack and a sequence feature, of two shards and a later one that replaces the first."""
    root = tmp_path_factory.mktemp("whole")
    for number, spec in enumerate(SPECS):
        lost = {MANIFEST.ids[1]: UnavailableError(Reason.NO_TEXT)}
        committed_again(write_feature(root, spec, MANIFEST, embeddings(number), lost), "00000", 1)
    return root


def committed(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*/*/*") if not path.name.startswith(".lock"))


def of_kind(path: Path, ending: str) -> bool:
    return path.name == "spec.json" if ending == "spec.json" else path.suffix == f".{ending}" and path.name[0] == "0"


def change(root: Path, ending: str, how: str, chance: random.Random) -> None:
    """Damage one file of a kind, or for a swap two."""
    files = [path for path in committed(root) if of_kind(path, ending)]
    path = chance.choice(files)
    content = bytearray(path.read_bytes())
    other = chance.choice([item for item in files if item != path])
    place = chance.randrange(len(content))
    match how:
        case "flip" | "flips":
            for _ in range(1 if how == "flip" else chance.randrange(2, 40)):
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        case "zeros":
            stop = min(len(content), place + chance.randrange(1, 600))
            content[place:stop] = bytes(stop - place)
        case "cut":
            del content[place:]
        case "insert":
            content[place:place] = chance.randbytes(chance.randrange(1, 60))
        case "empty":
            content = bytearray()
        case "swap":
            kept, content = content, bytearray(other.read_bytes())
            other.write_bytes(kept)
        case "copy":
            content = bytearray(other.read_bytes())
    path.write_bytes(content)
    if how == "delete":
        path.unlink()


def read_all(root: Path) -> Values:
    """Every embedding of every feature that can be read."""
    found: Values = {}
    for feature in Store(root).features():
        try:
            if feature.spec.kind == "sequence":
                rows = feature.read_sequences(MANIFEST.ids)
                values = {
                    key: row.ravel().tolist() for key, row in zip(MANIFEST.ids, rows, strict=True) if row is not None
                }
            else:
                read = feature.read(MANIFEST.ids)
                values = {
                    key: read.values[row].ravel().tolist() for row, key in enumerate(MANIFEST.ids) if read.present[row]
                }
        except ErcError:
            continue
        found[feature.folder] = values
    return found


def commands(root: Path, out: Path, file_format: str) -> Iterator[list[str]]:
    yield ["ls", str(root)]
    yield ["gc", str(root), "--dry-run"]
    yield ["verify", str(root)]
    for spec in SPECS:
        name = ["--modality", spec.modality, "--feature", spec.name]
        yield ["export", str(root), "--to", str(out / spec.name), "--format", file_format, *name]


def ask(arguments: list[str]) -> int:
    """The exit status of `erc store ARGUMENTS`; what is no ErcError of one line is raised."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return run(erc, ["store", *arguments, "--debug"], "erc")
        except ErcError as error:
            return 1 if "\n" not in str(error) else -1


def try_once(whole: Path, place: Path, ending: str, how: str, seed: int) -> bool:
    """One case; whether it changed anything."""
    case = f"{ending} {how} {seed}"
    chance = random.Random(case)
    root = Path(shutil.copytree(whole, place / "store"))
    sound, expected = files_of(whole), read_all(whole)
    change(root, ending, how, chance)
    damaged = files_of(root)
    is_changed = damaged != sound

    statuses = [ask(arguments) for arguments in commands(root, place, chance.choice(FORMATS))]
    assert set(statuses) <= {0, 1}, case
    read_all(root)
    assert bool(verify_store(root).faults) == is_changed, case
    assert files_of(root).keys() - damaged.keys() == set(), case

    left, _ = repair_store(root)
    assert set(damaged.values()) <= set(files_of(root).values()), f"{case}: repair lost something"
    assert {str(fault) for fault in verify_store(root).faults} == {str(fault) for fault in left.faults}, case
    assert repair_store(root)[1] == [], f"{case}: a second repair is not needed"
    for folder, values in read_all(root).items():
        assert values.items() <= expected[folder].items(), f"{case}: other numbers after the repair"
    if ending != "spec.json":
        assert left.is_sound, case
    shutil.rmtree(place)
    return is_changed


def try_all(whole: Path, place: Path, seeds: range) -> Counter[str]:
    """How many cases of each kind of file changed something."""
    counts: Counter[str] = Counter()
    for seed, ending, how in product(seeds, ENDINGS, CHANGES):
        counts[ending] += try_once(whole, place / f"{seed}-{ending}-{how}", ending, how, seed)
        counts["cases"] += 1
    return counts


def test_the_fuzzed_store_is_sound(whole: Path) -> None:
    assert verify_store(whole, MANIFEST).is_sound
    assert len(committed(whole)) == 3 * (1 + 3 * 3)
    assert {folder: len(values) for folder, values in read_all(whole).items()} == {spec.folder: 69 for spec in SPECS}
    assert ask(["gc", str(whole), "--dry-run"]) == 0
    assert len(Feature(whole, SPECS[0].folder).names) == 3


def test_each_damage_to_each_kind_of_file(whole: Path, tmp_path: Path) -> None:
    counts = try_all(whole, tmp_path, range(1))
    assert counts["cases"] == 36
    assert all(counts[ending] >= 7 for ending in ENDINGS), counts


@pytest.mark.slow
def test_thousands_of_damages(whole: Path, tmp_path: Path) -> None:
    counts = try_all(whole, tmp_path, range(1, 61))
    assert counts["cases"] == 2160
    assert all(counts[ending] >= 450 for ending in ENDINGS), counts
