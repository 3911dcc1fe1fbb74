"""The house rules that code can check: imports point one way, light packages stay light, no assert, no pickle."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("features", "heads", "pipeline")
HEAVY = ("torch", "transformers", "torchvision", "cv2", "librosa", "av", "sklearn", "matplotlib")
HEAVY += ("tensorboard", "wandb", "mlflow")
NOT_TO_DECODE = ("polars", "pyarrow", "h5py", "torch", "transformers", "torchvision", "sklearn")

# What each top-level package may import of the others; heads may use only these parts of features.
ALLOWED = {"features": {"features"}, "heads": {"features", "heads"}, "pipeline": {"features", "heads", "pipeline"}}
HEADS_MAY_USE = {"cards", "digests", "errors", "files", "hardware", "manifest", "spec", "store", "top"}
# Within features lower rooms do not know higher ones; within pipeline a room knows only lower ones, none of its own
# height, such as another kind of page.
LAYERS = {
    "features": [
        {"defaults", "errors", "digests", "extras", "files", "hardware", "locks", "network", "remembered", "units"},
        {"card_downloads", "cards", "schema", "sources", "utterances", "manifest", "spec"},
        {"store", "media", "pooling", "prompts", "top"},
        {"encoders", "torch", "loaded", "exports", "imports", "packs"},
        {"encoding", "extract", "engines"},
    ],
    "pipeline": [
        {"terminal"},
        {"runs"},
        {"pages", "suites", "scoring", "ingest", "sample"},
        {"comparison", "search", "explore", "doctor", "download", "predict"},
        {"report", "share", "app"},
        {"tracking"},
        {"commands"},
        {"cli"},
        {"__main__"},
    ],
}

# MMSA, MERTools and conv-emotion read nothing but pickles: one file writes them. It reads none.
MAY_IMPORT_PICKLE = {"features.exports.pickled"}


def modules(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages or PACKAGES:
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
        upwards = (
            package == other and package in LAYERS and room and other_room and is_upwards(package, room, other_room)
        )
        if backwards or beyond or upwards:
            found.append(f"{name} imports {target}")
    return found


def is_upwards(package: str, room: str, other: str) -> bool:
    here, there = layer(package, room), layer(package, other)
    return there > here or (package == "pipeline" and there == here and room != other)


def layer(package: str, room: str) -> int:
    for number, rooms in enumerate(LAYERS[package]):
        if room in rooms:
            return number
    raise AssertionError(f"{package}/{room} stands in no layer: give it one in LAYERS")


def command_files() -> set[str]:
    """The modules that expose a `command`."""
    return {
        name
        for name, tree in modules("pipeline")
        if name.startswith("pipeline.commands.")
        and any(isinstance(node, ast.FunctionDef) and node.name == "command" for node in tree.body)
    }


def imported_commands(name: str, tree: ast.Module, commands: set[str]) -> list[str]:
    """The commands that a module imports. They are loaded by name alone; what two of them need stands elsewhere."""
    targets = set(imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "pipeline.commands":
            targets |= {f"pipeline.commands.{alias.name}" for alias in node.names}
    return [f"{name} imports {target}" for target in sorted(targets & commands)]


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
        ("pipeline.pages.words", "from pipeline.report.facts import badges"),
        ("pipeline.explore.clip_page", "def f():\n    from pipeline.report import facts"),
        ("pipeline.terminal.progress", "import pipeline.pages.words"),
        ("pipeline.suites.run", "from pipeline.commands.printing import print_outcome"),
        ("pipeline.commands.train", "from pipeline.cli import erc"),
        ("pipeline.pages.words", "from pipeline.report.facts import Badge"),
        ("pipeline.runs.folder", "def f():\n    from pipeline.suites.plan import Source"),
        ("pipeline.explore.clip_page", "import pipeline.report.facts"),
        ("pipeline.comparison.read", "from pipeline.explore.corpus import Spread"),
    ],
)
def test_an_arrow_that_runs_back_is_found(name: str, source: str) -> None:
    assert violations(name, ast.parse(source)) != []


def imported_files(name: str, tree: ast.Module, known: frozenset[str]) -> set[str]:
    """The files of the packages that a file imports, wherever in it: `from heads import model` is heads.model."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found |= {full} if full in known else {node.module} & known
    return found - {name}


def circles(arrows: Mapping[str, set[str]]) -> list[set[str]]:
    """Groups of files each of which is reached from all others of it."""
    reached = {name: _reached(name, arrows) for name in arrows}
    found: list[set[str]] = []
    for name in arrows:
        group = {other for other in reached[name] if name in reached.get(other, set())}
        if len(group) > 1 and group not in found:
            found.append(group)
    return found


def _reached(name: str, arrows: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for other in arrows.get(waiting.pop(), set()) - seen:
            seen.add(other)
            waiting.append(other)
    return seen


@cache
def all_arrows() -> dict[str, set[str]]:
    trees = dict(modules())
    known = frozenset(trees)
    return {name: imported_files(name, tree, known) for name, tree in trees.items()}


def room_of(name: str) -> str:
    """The folder that a file stands in: `pipeline.runs` of pipeline.runs.folder, `pipeline` of pipeline.cli."""
    package, _, rest = name.partition(".")
    room, _, inside = rest.partition(".")
    return f"{package}.{room}" if inside or (ROOT / package / room).is_dir() else package


def test_no_circle_among_files() -> None:
    arrows = all_arrows()
    assert len(arrows) > 250
    assert sum(map(len, arrows.values())) > 800
    assert circles(arrows) == []


@pytest.mark.parametrize("package", ["heads", "pipeline"])
def test_no_circle_among_rooms(package: str) -> None:
    """Files that stand in no room (heads/model.py, pipeline/cli.py) are rooms of their own."""

    def place(name: str) -> str:
        return name if room_of(name) == package else room_of(name)

    rooms: dict[str, set[str]] = {}
    for name, others in all_arrows().items():
        if name.startswith(f"{package}."):
            rooms.setdefault(place(name), set()).update(place(other) for other in others)
    assert len(rooms) >= 10
    assert circles({room: others - {room} for room, others in rooms.items()}) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [{"b", "c"}]
    known = frozenset({"heads.model", "heads.predict", "heads"})
    lazily = ast.parse("def f():\n    from heads import model\n    import heads.predict")
    assert imported_files("heads.x", lazily, known) == {"heads.model", "heads.predict"}


def test_no_command_is_imported() -> None:
    commands = command_files()
    assert len(commands) >= 15
    assert [found for name, tree in modules() for found in imported_commands(name, tree, commands)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pipeline.commands.train",
        "from pipeline.commands import train",
        "from pipeline.commands.train import command",
    ],
)
def test_a_command_that_is_imported_is_found(source: str) -> None:
    assert imported_commands("pipeline.commands.ablate", ast.parse(source), command_files()) != []


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
        if name not in MAY_IMPORT_PICKLE:
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
        "from pipeline.cli import erc, run; run(erc, ['store', 'import', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['explore', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['explore', 'clip', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['extract', '--list'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['ablate', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['compare', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['report', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['train', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['track', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['explore', 'embeddings', '--help'], 'erc')",
        "from pipeline.cli import erc, run; run(erc, ['explore', 'data', '--help'], 'erc')",
    ],
)
def test_light_packages_stay_light(code: str) -> None:
    check = f"{code}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr.strip() == "[]"


def test_decoding_processes_load_no_tables_and_no_networks() -> None:
    """Each of them, one a core, would load them anew: half a second of polars, HDF5 and the store."""
    assert len(set(preparing())) > 8
    code = "\n".join(f"import features.{name}" for name in ("engines.decode_pool", *preparing()))
    check = f"{code}\nimport sys\nprint([name for name in {NOT_TO_DECODE!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr.strip() == "[]"


def preparing() -> Iterator[str]:
    """The modules whose classes make an encoder's input of a decoded clip."""
    for name, tree in modules("features"):
        for found in ast.walk(tree):
            takes = found.args.posonlyargs if isinstance(found, ast.FunctionDef) and found.name == "__call__" else []
            if any(one.annotation is not None and ast.unparse(one.annotation) == "Clip" for one in takes):
                yield name.removeprefix("features.")


def test_every_command_has_help_with_an_example() -> None:
    from pipeline.cli import COMMANDS, erc, run

    assert len(COMMANDS) >= 8
    for name in COMMANDS:
        code = f"from pipeline.cli import erc, run; run(erc, [{name!r}, '--help'], 'erc')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
        assert f"erc {name}" in done.stdout.split("Usage:")[1].partition("\n")[2], f"erc {name} --help has no example"
    assert run(erc, ["no-such-command"], "erc") == 2


def test_every_package_and_its_files_are_installed() -> None:
    import tomllib

    from setuptools import find_packages

    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in (*PACKAGES, "data_manifests")
        for path in (ROOT / package).rglob("*.py")
    }
    assert there == set(find_packages(str(ROOT), include=told["packages"]["find"]["include"]))
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.suffix in {".jinja", ".js", ".yaml", ".json"}:
                matches = [
                    path.relative_to(ROOT / name.replace(".", "/")).match(pattern)
                    for name, patterns in told["package-data"].items()
                    if path.is_relative_to(ROOT / name.replace(".", "/"))
                    for pattern in patterns
                ]
                assert any(matches), f"{path} is in no package-data of pyproject.toml"
