"""The house rules that code can check: imports point one way, light packages stay light, no assert, no pickle."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("features", "heads", "pipeline")
HEAVY = ("torch", "transformers", "torchvision", "cv2", "librosa", "av", "sklearn", "matplotlib")

# What each top-level package may import of the others; heads may use only these parts of features.
ALLOWED = {"features": {"features"}, "heads": {"features", "heads"}, "pipeline": {"features", "heads", "pipeline"}}
HEADS_MAY_USE = {"cards", "digests", "errors", "files", "hardware", "manifest", "spec", "store"}
# Within features, lower rooms do not know higher ones.
LAYERS = [
    {"errors", "digests", "files", "hardware"},
    {"cards", "schema", "sources", "manifest", "spec"},
    {"store", "media", "pooling", "prompts"},
    {"encoders"},
    {"extract", "engines"},
]
# Within pipeline, a room knows only lower ones: none of its own height, such as another kind of page.
PIPELINE_LAYERS = [
    {"terminal"},
    {"runs"},
    {"pages", "suites", "scoring", "ingest", "sample"},
    {"comparison", "search", "explore"},
    {"report"},
    {"commands", "cli"},
]


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def violations(name: str, tree: ast.Module) -> list[str]:
    """The imports of a module that point the wrong way."""
    package, _, rest = name.partition(".")
    room = rest.partition(".")[0]
    found = []
    for target in imports(tree):
        other, _, other_rest = target.partition(".")
        if other not in PACKAGES:
            continue
        other_room = other_rest.partition(".")[0]
        backwards = other not in ALLOWED[package]
        beyond = package == "heads" and other == "features" and other_room not in {"", *HEADS_MAY_USE}
        upwards = package == other == "features" and room and other_room and layer(other_room) > layer(room)
        if package == other == "pipeline" and room and other_room and other_room != room:
            upwards = layer(other_room, PIPELINE_LAYERS) >= layer(room, PIPELINE_LAYERS)
        if backwards or beyond or upwards:
            found.append(f"{name} imports {target}")
    return found


def layer(room: str, layers: list[set[str]] = LAYERS) -> int:
    for number, rooms in enumerate(layers):
        if room in rooms:
            return number
    raise AssertionError(f"{room} stands in no layer: give it one in LAYERS or PIPELINE_LAYERS")


def test_imports_point_one_way() -> None:
    found = [violation for name, tree in modules() for violation in violations(name, tree)]
    assert found == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("features.store.store", "from heads import model"),
        ("features.manifest", "import features.encoders.table"),
        ("features.store.plan", "def f():\n    from features.extract import extract"),
        ("heads.data.data", "import pipeline.suites.run"),
        ("heads.data.data", "from features.encoders.table import create"),
        ("pipeline.pages.words", "from pipeline.report.facts import Badge"),
        ("pipeline.runs.folder", "def f():\n    from pipeline.suites.plan import Source"),
        ("pipeline.explore.clip_page", "import pipeline.report.facts"),
        ("pipeline.comparison.read", "from pipeline.explore.corpus import Spread"),
    ],
)
def test_an_arrow_that_runs_back_is_found(name: str, source: str) -> None:
    assert violations(name, ast.parse(source)) != []


def test_no_assert_no_pickle_and_no_unsafe_loading_in_the_packages() -> None:
    found = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert):
                found.append(f"{name}:{node.lineno} assert")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"torch.load", "yaml.load", "np.load"}:
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if keywords.get("weights_only") != "True" and keywords.get("allow_pickle") != "False":
                    found.append(f"{name}:{node.lineno} {ast.unparse(node.func)}")
        found += [f"{name} imports {target}" for target in imports(tree) if target in {"pickle", "dill", "joblib"}]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import features, heads",
        "import features.store, features.manifest",
        "from pipeline.cli import erc, run; run(erc, ['--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['extract', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['store', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['explore', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['explore', 'clip', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['extract', '--list'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['ablate', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['compare', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['report', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['explore', 'embeddings', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['explore', 'data', '--help'], 'erc')",
    ],
)
def test_light_packages_stay_light(code: str) -> None:
    check = f"{code}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr.strip() == "[]"


def test_every_command_has_help_with_an_example() -> None:
    from pipeline.cli import COMMANDS, erc, run

    assert len(COMMANDS) >= 8
    for name in COMMANDS:
        code = f"from pipeline.cli import erc, run; run(erc, [{name!r}, '--help'], 'erc')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
        assert f"erc {name}" in done.stdout.split("Usage:")[1].partition("\n")[2], f"erc {name} --help has no example"
    assert run(erc, ["no-such-command"], "erc") == 2
