"""Digests of the code behind a head: of what it uses, of nothing else, and not of how it is written down."""

from __future__ import annotations

import ast
import inspect
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features.errors import UsageError
from heads import source_code
from heads.config.experiment import Component, Experiment
from heads.config.resolve import experiment_from_dict
from heads.context import CONTEXTS
from heads.fusion import FUSIONS
from heads.losses import LOSSES
from heads.readers import DEFAULT_READERS, READERS
from heads.source_code import parts_of, source_digests, split_module

ROOTS = ("heads.training.trainer",)
HOUSE = Path(source_code.__file__).parent
_FILES = source_code.files


def experiment(unit: str = "utterances", **parts: Any) -> Experiment:
    batch = {"unit": unit} | parts.pop("batch", {})
    return experiment_from_dict({"name": "x", "inputs": {"text": ["sentence"]}, "batch": batch, **parts}, "test")


def digests(chosen: Experiment, kinds: tuple[str, ...] = ("vector",)) -> dict[str, str]:
    if source_code.files is not _FILES:  # of a copy that is edited
        forget_all()
    return source_digests(ROOTS, parts_of(chosen, {"text": kinds}))


def forget_all() -> None:
    for name in ("_digests", "_module", "_tables", "_is_of_user", "_file_of", "_tree"):
        getattr(source_code, name).cache_clear()


def modules_of(found: dict[str, str]) -> set[str]:
    return {name.partition(":")[0] for name in found}


NAMED: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    *((f"fusion {name}", part, {"fusion": {"name": name}}) for name, part in FUSIONS.items()),
    *((f"context {name}", part, {"context": {"name": name}}) for name, part in CONTEXTS.items()),
    *((f"modality {name}", part, {"modality_context": {"name": name}}) for name, part in CONTEXTS.items()),
    *((f"loss {name}", part, {"loss": [{"name": name}]}) for name, part in LOSSES.items()),
    *((f"reader {name}", part, {"readers": {"text": {"name": name}}}) for name, part in READERS.items()),
]


def test_every_registered_part_is_looked_at() -> None:
    assert len(NAMED) == len(FUSIONS) + 2 * len(CONTEXTS) + len(LOSSES) + len(READERS) >= 30


@pytest.mark.parametrize(("part", "parts"), [item[1:] for item in NAMED], ids=[item[0] for item in NAMED])
def test_a_part_counts_where_it_is_named_and_nowhere_else(part: Callable[..., Any], parts: dict[str, Any]) -> None:
    module = inspect.getmodule(part)
    assert module
    kinds = tuple(sorted(getattr(part, "kinds", ()))) or ("vector",)  # a reader counts where it reads something
    assert module.__name__ in modules_of(digests(experiment("dialogues", **parts), kinds))
    plain = experiment()
    own = {FUSIONS[plain.fusion.name], CONTEXTS["none"], LOSSES["cross-entropy"]}
    if module not in {inspect.getmodule(item) for item in own}:
        assert module.__name__ not in modules_of(digests(plain))


def test_what_every_training_runs_through_counts() -> None:
    everywhere = {"model", "predict", "criterion", "signals", "training.trainer", "training.examples", "data.normalise"}
    assert {f"heads.{name}" for name in everywhere} <= modules_of(digests(experiment()))
    assert not {name for name in digests(experiment()) if not name.startswith("heads")}


@pytest.mark.parametrize("kind", DEFAULT_READERS)
def test_the_reader_that_a_kind_of_feature_gets_by_default_counts(kind: str) -> None:
    module = READERS[DEFAULT_READERS[kind]].__module__
    assert module in modules_of(digests(experiment(), (kind,)))
    assert module not in modules_of(digests(experiment()))


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of heads/, which digests are taken of."""
    shutil.copytree(HOUSE, tmp_path / "heads", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_code, "files", lambda package: tmp_path / package)
    yield tmp_path / "heads"
    forget_all()


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_an_edit_counts_for_what_uses_the_file(copy: Path) -> None:
    dice, plain = experiment(loss=[{"name": "dice"}]), experiment()
    before = digests(dice), digests(plain)
    edit(copy / "losses" / "dice.py", "return 1 - dice\n", "return 0.0 * dice\n")
    after = digests(dice), digests(plain)
    assert {name for name in after[0] if after[0][name] != before[0][name]} == {"heads.losses.dice"}
    assert after[1] == before[1]


def test_an_edit_of_one_sampler_counts_for_it_and_for_those_that_use_it(copy: Path) -> None:
    chosen = {name: experiment(batch={"sampler": name}) for name in ("class-balanced", "bucketed", "shuffle")}
    before = {name: digests(made) for name, made in chosen.items()}

    def changed() -> set[str]:
        return {name for name, made in chosen.items() if digests(made) != before[name]}

    samplers = copy / "data" / "samplers"
    edit(samplers / "class_balanced.py", "batches = math.ceil(len(draw.labels) / draw.size)", "batches = 1")
    edit(samplers / "spcl_curriculum.py", "min(1.0, epoch / epochs)", "1.0")
    assert changed() == {"class-balanced"}
    edit(samplers / "shuffle.py", "HELD_BLOCKS = 64", "HELD_BLOCKS = 63")
    assert changed() == set(chosen)  # the bucketed one shuffles first


@pytest.mark.parametrize("edited", ["metrics.py", "training/folds.py", "training/memory.py", "training/first_use.py"])
def test_what_makes_no_number_of_a_training_does_not_count(copy: Path, edited: str) -> None:
    before = digests(experiment())
    (copy / edited).write_text(f"{(copy / edited).read_text()}\n_MORE = 1\n")
    assert digests(experiment()) == before


IN_ONE_FILE = """
from heads.extra import scale, unused
STEPS = 3
_MOST = 4
_HIDDEN = 5
def plain(draw): return scale(draw)
def twice(draw): return _pair(plain(draw))
def other(draw): return _pair(draw) + _lonely(draw)
def _pair(x): return x * _MOST
def _lonely(x): return x
TABLE: dict = {"plain": plain, "twice": twice, "other": other, "unused": unused}
def everyone(): return STEPS
"""


def split(text: str, *names: str) -> dict[str, str]:
    pieces = split_module(ast.parse(text), {"TABLE": frozenset(names)})
    return {
        part: "\n".join(ast.unparse(ast.fix_missing_locations(node)) for node in body) for part, body in pieces.items()
    }


def test_parts_in_one_file_are_told_apart() -> None:
    found = split(IN_ONE_FILE, "twice", "plain")
    assert set(found) == {"", "plain", "twice"}
    assert "everyone" in found[""]
    assert "STEPS" in found[""]
    assert "_HIDDEN" in found[""]
    assert not {"plain", "_pair", "_lonely", "unused", "_MOST", "TABLE"} & set(found[""].replace("(", " ").split())
    assert "def plain" in found["plain"]
    assert "import scale" in found[""]
    assert "twice" not in found["plain"]
    assert all(name in found["twice"] for name in ("def twice", "def plain", "def _pair", "_MOST = 4"))
    assert "other" not in found["twice"]
    assert "unused" not in str(found)
    assert "_lonely" in split(IN_ONE_FILE, "other")["other"]


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("return scale(draw)", "return draw", {"plain", "twice"}),  # a part that another part calls
        ("_MOST = 4", "_MOST = 5", {"twice", "other"}),
        ("def _lonely(x): return x", "def _lonely(x): return 0", {"other"}),
        ("STEPS = 3", "STEPS = 4", {"plain", "twice", "other"}),  # other modules may import it
        ("_HIDDEN = 5", "_HIDDEN = 6", {"plain", "twice", "other"}),  # nobody here uses it: someone else may
        ('"twice": twice, "other": other', '"twice": other, "other": twice', {"twice", "other"}),
        ('"unused": unused', '"idle": unused', set()),
        ("def everyone(): return STEPS", "def everyone(): return _lonely(STEPS)", {"plain", "twice", "other"}),
    ],
)
def test_what_an_edit_counts_for(old: str, new: str, counts: set[str]) -> None:
    assert old in IN_ONE_FILE
    edited = IN_ONE_FILE.replace(old, new)
    parts = ("plain", "twice", "other")
    assert {part for part in parts if split(IN_ONE_FILE, part) != split(edited, part)} == counts


def test_a_part_and_what_all_share_have_digests_of_their_own(copy: Path) -> None:
    """So that runs of two losses can be held against each other."""
    dice, focal = experiment(loss=[{"name": "dice"}]), experiment(loss=[{"name": "focal"}])
    before = digests(dice)
    assert {"heads.losses", "heads.losses:dice"} <= set(before)
    assert {"heads.losses", "heads.losses:focal"} <= set(digests(focal))
    assert before["heads.losses"] == digests(focal)["heads.losses"]
    edit(copy / "losses" / "__init__.py", "if weight == 1 else weight *", "if weight == 1 else -weight *")
    after = digests(focal)
    assert {name for name in before.keys() & after.keys() if before[name] != after[name]} == {"heads.losses"}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of someone's own code, where Python finds it."""
    folder = tmp_path / "lab"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.mark.parametrize("kind", ["package", "module"])
def test_a_part_of_the_users_own_package_counts(copy: Path, lab: Path, kind: str) -> None:
    name = f"mylab_{kind}"
    if kind == "package":
        (lab / name).mkdir()
        (lab / name / "__init__.py").write_text("")
        (lab / name / "layers.py").write_text("SCALE = 1\n")
        (lab / name / "fusions.py").write_text("from .layers import SCALE\nclass Product:\n    scale = SCALE\n")
        module, deepest = f"{name}.fusions", lab / name / "layers.py"
    else:
        (lab / f"{name}.py").write_text("SCALE = 1\nclass Product:\n    scale = SCALE\n")
        module, deepest = name, lab / f"{name}.py"
    table = copy / "fusion" / "__init__.py"
    edit(table, "from heads.fusion.concat", f"from {module} import Product\nfrom heads.fusion.concat")
    edit(table, "FUSIONS: dict[str, type[Fusion]] = {", 'FUSIONS: dict[str, type[Fusion]] = {"product": Product,')
    own = replace(experiment(), fusion=Component("product"))
    before, plain = digests(own), digests(experiment())
    assert {module, *([f"{name}.layers"] if kind == "package" else [])} <= set(before)
    assert module not in plain
    edit(deepest, "SCALE = 1", "SCALE = 2")
    after = digests(own)
    assert {found for found in before if before[found] != after[found]} == {
        f"{name}.layers" if kind == "package" else name
    }
    assert digests(experiment()) == plain


@pytest.mark.parametrize("where", ["its own file", "the table's file"])
def test_a_part_that_someone_takes_from_its_table_counts(copy: Path, lab: Path, where: str) -> None:
    """Though no experiment names it."""
    (lab / "mylab_taken.py").write_text("from heads.fusion import Gated\nclass Product(Gated):\n    pass\n")
    table = copy / "fusion" / "__init__.py"
    if where == "the table's file":
        edit(table, "from heads.fusion.gated import Gated\n", "")
        edit(table, "FUSIONS: dict", "class Gated:\n    factor = 1\n\nFUSIONS: dict")
    file, old, new = (
        (copy / "fusion" / "gated.py", "self.width = ", "self.width = 0 * ")
        if where == "its own file"
        else (table, "factor = 1", "factor = 2")
    )
    chosen = {"FUSIONS": frozenset({"concat"})}
    forget_all()
    before, plain = source_digests(("mylab_taken",), chosen), source_digests(ROOTS, chosen)
    counted = {"heads.fusion:Gated", *({"heads.fusion.gated"} if where == "its own file" else set())}
    assert counted <= set(before)
    assert not counted & set(plain)
    edit(file, old, new)
    forget_all()
    after = source_digests(("mylab_taken",), chosen)
    assert len({name for name in before if before[name] != after[name]} & counted) == 1
    assert source_digests(ROOTS, chosen) == plain


@pytest.mark.parametrize(
    ("content", "readable"),
    [
        (b"\xef\xbb\xbfSCALE = 1\n", True),
        ("# -*- coding: latin-1 -*-\nNAME = 'é'\n".encode("latin-1"), True),
        (b"print 'old'\n", False),
        (b"SCALE = 1\0\n", False),
    ],
    ids=["byte order mark", "latin-1", "Python 2", "zero byte"],
)
def test_files_of_ones_own_are_read_as_python_reads_them(lab: Path, content: bytes, readable: bool) -> None:
    (lab / "mylab_bytes.py").write_bytes(content)
    forget_all()
    if readable:
        assert set(source_digests(("mylab_bytes",), {})) == {"mylab_bytes"}
    else:
        with pytest.raises(UsageError, match=r"mylab_bytes\.py: cannot be read as Python, though a head's parts"):
            source_digests(("mylab_bytes",), {})
    forget_all()


def test_installed_packages_are_not_followed(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those of this Python, nor a folder of them (`pip install --target`) on the path."""
    target = tmp_path / "target"
    (target / "placed").mkdir(parents=True)
    (target / "placed" / "__init__.py").write_text("")
    (target / "placed-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(target)
    edit(copy / "model.py", "import torch\n", "import json\nimport placed\nimport pytest\nimport torch\n")
    assert all(name.startswith("heads") for name in digests(experiment()))


def test_a_new_part_in_a_table_changes_nothing_for_the_others(copy: Path) -> None:
    before = digests(experiment())
    (copy / "losses" / "hinge.py").write_text("class Hinge:\n    pass\n")
    table = copy / "losses" / "__init__.py"
    edit(table, "from heads.losses.sentiment", "from heads.losses.hinge import Hinge\nfrom heads.losses.sentiment")
    edit(table, '    "dice": Dice,\n', '    "dice": Dice,\n    "hinge": Hinge,\n')
    assert digests(experiment()) == before
    edit(table, "if weight == 1 else weight *", "if weight == 1 else -weight *")
    assert digests(experiment()) != before


def test_remarks_and_layout_do_not_count(copy: Path) -> None:
    before = digests(experiment())
    for file in copy.rglob("*.py"):
        text = file.read_text().replace("\n\n\n", "\n\n# A remark.\n\n\n").replace('"""\n', ' More words."""\n')
        file.write_bytes(text.replace("\n", "\r\n").encode())
    assert digests(experiment()) == before
    assert "More words." in (copy / "model.py").read_text()


def test_a_packed_copy_has_the_digests_of_a_clone(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = digests(experiment())
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", copy.parent, "heads"))
    monkeypatch.setattr(source_code, "files", lambda package: zipfile.Path(packed, f"{package}/"))
    assert digests(experiment()) == before


def test_imports_of_every_form_are_followed(copy: Path) -> None:
    (copy / "extra.py").write_text("x = 1\n")
    (copy / "data" / "inner.py").write_text("x = 1\n")
    for form, module in (
        ("def f():\n    import heads.extra", "heads.extra"),
        ("from heads import extra as other", "heads.extra"),
        ("from heads.extra import x", "heads.extra"),
        ("from .. import extra", "heads.extra"),
        ("from . import inner", "heads.data.inner"),
        ("from .inner import x", "heads.data.inner"),
    ):
        file = copy / "data" / "batch.py"
        text = file.read_text()
        file.write_text(f"{text}\n{form}\n")
        assert module in digests(experiment()), form
        file.write_text(text)


def test_code_that_is_not_installed_is_named(copy: Path) -> None:
    with pytest.raises(UsageError, match=r"heads\.nowhere: its source code is not installed"):
        source_digests(("heads.nowhere",), {})


def test_no_module_is_loaded_by_a_computed_name() -> None:
    """Such an import could not be followed."""
    found = [
        file for file in HOUSE.rglob("*.py") if "import_module" in file.read_text() or "__import__" in file.read_text()
    ]
    assert found == []
