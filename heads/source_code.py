"""The source code that makes a head's numbers, a digest a file: of what every training runs through, and of the parts
that an experiment names.

Imports are followed within `heads`, within `features.top`, whose layers a head trains, and within packages of the
user's own, which are not installed but lie where Python finds them, as the syntax trees have them, wherever in a file
they stand, so that no file has to be listed. A table of parts, which is a dict of names to classes or functions such as
LOSSES, leads on to the parts that are named and to no others: a loss that an experiment does not use is no part of its
digests, nor is the table's line.
Comments, docstrings and formatting do not count, and a wheel's files have the digests of a clone's.
"""

from __future__ import annotations

import ast
import site
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from features.digests import digest_of
from features.errors import UsageError
from heads.config.experiment import Experiment

_FOLLOWED = ("heads", "features.top")
_OURS = frozenset({"features", "heads", "pipeline"})
# Reached by every training, without a part in its numbers: what the system does with freed memory, and what is imported
# before it is needed.
_NO_NUMBERS = frozenset({"heads.training.memory", "heads.training.first_use"})
_LENGTH = 16  # hex digits of a digest, as it is recorded


def parts_of(experiment: Experiment, kinds: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    """Table -> the names of its parts that an experiment uses. kinds: modality -> of the features that it reads, as
    readers see them (`FeatureShape.read_as`)."""
    from heads.readers import DEFAULT_READERS

    readers = {
        experiment.reader_of(modality, kind, own).name
        for modality, own in kinds.items()
        for kind in own
        if kind in DEFAULT_READERS
    }
    return {
        "FUSIONS": frozenset({experiment.fusion.name}),
        "CONTEXTS": frozenset({experiment.modality_context.name, experiment.context.name}),
        "READERS": frozenset(readers),
        "LOSSES": frozenset(term.name for term in experiment.loss),
        "SAMPLERS": frozenset({experiment.batch.sampler}),
    }


def source_digests(roots: Iterable[str], parts: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """Module -> digest (16 hex digits) of each root and of all that it leads to and that is followed, by name. Of one
    that holds a table, what is of a part alone has a digest of its own, as `heads.losses:dice`; so has a part that is
    not chosen, and that another module takes from the table's (`heads.fusion:Gated`).

    roots: dotted names; parts: of `parts_of`. A table that it does not name counts whole. Raises UsageError for a
    module whose source is not there.
    """
    return dict(_digests(tuple(roots), frozenset(parts.items())))


@cache
def _digests(roots: tuple[str, ...], parts: frozenset[tuple[str, frozenset[str]]]) -> Mapping[str, str]:
    chosen, asked = dict(parts), frozenset[tuple[str, str]]()
    while True:  # until what modules take from each other is known
        found, taken = dict[str, str](), set[tuple[str, str]]()
        waiting, seen = list(roots), set[str]()
        while waiting:
            name = waiting.pop()
            if name not in seen and name not in _NO_NUMBERS:
                seen.add(name)
                tables = {table: chosen[table] for table in _tables(name) if table in chosen}
                names = frozenset(wanted for module, wanted in asked if module == name) if tables else frozenset[str]()
                digests, imported, takes = _module(name, frozenset(tables.items()), names)
                found |= digests
                waiting += imported
                taken |= takes
        if taken <= asked:
            return {name: found[name] for name in sorted(found)}
        asked |= taken


_Module = tuple[Mapping[str, str], tuple[str, ...], frozenset[tuple[str, str]]]


@cache
def _module(name: str, chosen: frozenset[tuple[str, frozenset[str]]], wanted: frozenset[str]) -> _Module:
    """The digests of a module's code, by the names that they are recorded under, the modules that it imports, and which
    names it takes from which modules. chosen: of its own tables, the parts that count; wanted: names that others take
    from it."""
    pieces = split_module(_tree(name), dict(chosen), wanted)
    digests = {
        f"{name}:{part}" if part else name: digest_of("source", plain)[:_LENGTH]
        for part, body in pieces.items()
        if (plain := _plain(body))
    }
    body = [statement for piece in pieces.values() for statement in piece]
    return digests, tuple(_imported(name, body)), frozenset(_taken(name, body))


@cache
def _tables(name: str) -> tuple[str, ...]:
    return tuple(found[0] for node in _tree(name).body if (found := _table_of(node)))


def split_module(
    tree: ast.Module, chosen: Mapping[str, frozenset[str]], wanted: Collection[str] = ()
) -> dict[str, list[ast.stmt]]:
    """What counts of a module's statements: under "" what counts for every experiment, and under the name of each
    chosen part its line in the table with what it alone, or it and other parts, lead to in this file.

    A part that is not chosen does not count, nor does what only such parts lead to and is private by its name, unless
    other modules take it from here (wanted): then it stands under its own name.
    """
    tables: dict[str, ast.Dict] = {}
    statements: list[ast.stmt] = []
    for node in tree.body:
        found = _table_of(node)
        if found and found[0] in chosen:
            tables[found[0]] = found[1]
        else:
            statements += _single(node)
    names = {id(node): _names(node) for node in statements}
    defined: dict[str, list[ast.stmt]] = {}
    for node in statements:
        for name in _defined(node):
            defined.setdefault(name, []).append(node)

    def reached(start: Iterable[str]) -> set[int]:
        """Places of the statements that define these names, and what those name in turn."""
        places: set[int] = set()
        waiting = [node for name in start for node in defined.get(name, ())]
        while waiting:
            node = waiting.pop()
            if id(node) not in places:
                places.add(id(node))
                waiting += [other for name in names[id(node)] for other in defined.get(name, ())]
        return places

    lines = [
        (table, _text(key) or "", key, value)
        for table, content in tables.items()
        for key, value in zip(content.keys, content.values, strict=True)
        if isinstance(value, ast.Name)
    ]
    of_parts = {value.id for *_, value in lines}
    led_to = reached(of_parts)
    public = [node for node in statements if not _is_of_parts(node, of_parts, led_to)]
    everywhere = {id(node) for node in public} | reached(name for node in public for name in names[id(node)])
    pieces = {"": [node for node in statements if id(node) in everywhere]}
    for table, part, key, value in lines:
        if part in chosen[table]:
            own = reached([value.id]) - everywhere
            line = ast.Assign([ast.Name(table)], ast.Dict([key], [value]))
            pieces.setdefault(part, []).extend([line, *(node for node in statements if id(node) in own)])
    for name in sorted(wanted):
        own = reached([name]) - everywhere
        if own:
            pieces.setdefault(name, []).extend(node for node in statements if id(node) in own)
    return pieces


def _single(node: ast.stmt) -> list[ast.stmt]:
    """A statement, or, for each name that `from ... import` brings, one of its own."""
    if not isinstance(node, ast.ImportFrom):
        return [node]
    return [ast.ImportFrom(node.module, [alias], node.level) for alias in node.names]


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement on the top level gives a meaning."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _names(node: ast.stmt) -> set[str]:
    return {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}


def _is_of_parts(node: ast.stmt, of_parts: Collection[str], led_to: Collection[int]) -> bool:
    """Whether a statement is a part, or private and of parts, as far as they alone tell."""
    own = _defined(node)
    private = bool(own) and all(name.startswith("_") and not name.startswith("__") for name in own)
    return any(name in of_parts for name in own) or (private and id(node) in led_to)


def _table_of(node: ast.stmt) -> tuple[str, ast.Dict] | None:
    """Name and dict of `NAME = {"part": Part, ...}`, whose values are all plain names; else None."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if len(targets) != 1 or not isinstance(targets[0], ast.Name) or not isinstance(value, ast.Dict):
        return None
    named = all(_text(key) is not None for key in value.keys) and all(isinstance(v, ast.Name) for v in value.values)
    return (targets[0].id, value) if value.keys and named else None


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _imported(name: str, body: Iterable[ast.stmt]) -> Iterator[str]:
    """The modules of what is followed that statements import, and the packages above them, whose code runs first."""
    for node in (found for item in body for found in ast.walk(item)):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(name, node)
            targets = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for target in targets:
            names = target.split(".")
            above = [".".join(names[:depth]) for depth in range(1, len(names) + 1)]
            if not set(above).isdisjoint(_FOLLOWED) or _is_of_user(names[0]):
                yield from (other for other in above if _file_of(other) is not None)


def _taken(name: str, body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    """(module, name) of all that statements take from other modules by `from ... import`."""
    for node in (found for item in body for found in ast.walk(item)):
        if isinstance(node, ast.ImportFrom):
            yield from ((_absolute(name, node), alias.name) for alias in node.names)


def _absolute(name: str, node: ast.ImportFrom) -> str:
    """The module of `from ... import`, with leading dots resolved."""
    if not node.level:
        return node.module or ""
    package = name if (_file_of(name) or "").endswith("__init__.py") else name.rpartition(".")[0]
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


@cache
def _is_of_user(package: str) -> bool:
    """Whether a top-level package or module is someone's own code: found by Python, written in Python, and neither
    ours, nor Python's, nor installed."""
    if not package or package in _OURS or package in sys.stdlib_module_names:
        return False
    place = _place(package)
    if place is None:
        return False
    paths = sysconfig.get_paths()
    installed = {paths["purelib"], paths["platlib"], site.getusersitepackages(), *site.getsitepackages()}
    beside = any(place.parent.glob("*.dist-info"))  # as `pip install --target` leaves them
    return not beside and not any(place.is_relative_to(Path(folder).resolve()) for folder in installed)


def _place(package: str) -> Path | None:
    """The folder of a top-level package, or the file of a module; None where there is no such, or none on a disk."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    found = folders[0] if folders else spec.origin
    return Path(found).resolve() if found and (folders or found.endswith(".py")) else None


@cache
def _file_of(name: str) -> str | None:
    """The file of a module, from its top package on; None where there is none, as of a class."""
    package, *rest = name.split(".")
    folder = "/".join(rest)
    if package not in _OURS:
        place = _place(package)
        if place is None or (rest and place.is_file()):
            return None
        if place.is_file():
            return place.name
    for file in (f"{folder}.py" if rest else "", f"{folder}/__init__.py".lstrip("/")):
        if file and _root(package).joinpath(file).is_file():
            return file
    return None


def _root(package: str) -> Traversable:
    """Where a package's files lie; of a module that is one file, the folder of it."""
    if package in _OURS:
        return files(package)
    place = _place(package)
    if place is None:
        raise UsageError(f"{package}: is not found any more, though a head's parts import it: install it again")
    return place.parent if place.is_file() else place


@cache
def _tree(name: str) -> ast.Module:
    file, package = _file_of(name), name.partition(".")[0]
    if file is None:
        raise UsageError(f"{name}: its source code is not installed, which tells what trained a head: install it whole")
    path = _root(package).joinpath(file)
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as Python, though a head's parts import it: {error}") from error


def _plain(node: Any) -> Any:
    """JSON-ready, without places, docstrings and empty fields: these differ between versions of Python."""
    if isinstance(node, list):
        return [_plain(item) for item in node if not _is_remark(item)]
    if not isinstance(node, ast.AST):
        return [type(node).__name__, repr(node)]
    fields = {name: _plain(value) for name, value in ast.iter_fields(node) if name not in ("ctx", "kind")}
    kept = [[name, value] for name, value in fields.items() if value not in ([], ["NoneType", "None"])]
    return [type(node).__name__, *kept]


def _is_remark(node: Any) -> bool:
    """Whether a statement is a text that nothing reads."""
    return isinstance(node, ast.Expr) and _text(node.value) is not None
