"""The source code that makes a head's numbers, a digest a file: of what every training runs through, and of the parts
that an experiment names.

Imports are followed within `heads`, and within `features.top`, whose layers a head trains, as the syntax trees have
them, wherever in a file they stand, so that no file has to be listed. A table of parts, which is a dict of names to
classes or functions such as LOSSES, leads on to the parts that are named and to no others: a loss that an experiment
does not use is no part of its digests, nor is the table's line.
Comments, docstrings and formatting do not count, and a wheel's files have the digests of a clone's.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from features.digests import digest_of
from features.errors import UsageError
from heads.config.experiment import Experiment

_FOLLOWED = ("heads", "features.top")
_LENGTH = 16  # hex digits of a file's digest, as it is recorded


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
    """Module -> digest (16 hex digits) of each root and of all that it leads to and that is followed, by name. One that
    holds a table is named with the parts that count, as in `heads.losses:dice`.

    roots: dotted names; parts: of `parts_of`. A table that it does not name counts whole. Raises UsageError for a
    module whose source is not there.
    """
    return dict(_digests(tuple(roots), frozenset(parts.items())))


@cache
def _digests(roots: tuple[str, ...], parts: frozenset[tuple[str, frozenset[str]]]) -> Mapping[str, str]:
    chosen, found = dict(parts), dict[str, str]()
    waiting, seen = list(roots), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            tables = {table: chosen[table] for table in _tables(name) if table in chosen}
            part = "+".join(sorted(frozenset().union(*tables.values())))
            digest, imported = _module(name, frozenset(tables.items()))
            if digest:
                found[f"{name}:{part}" if part else name] = digest
            waiting += imported
    return {name: found[name] for name in sorted(found)}


@cache
def _module(name: str, chosen: frozenset[tuple[str, frozenset[str]]]) -> tuple[str, tuple[str, ...]]:
    """A module's digest, empty where it holds no code, and what it imports. chosen: of its own tables, the parts that
    count."""
    body = _without_unused(_tree(name), dict(chosen))
    plain = _plain(body)
    return digest_of("source", plain)[:_LENGTH] if plain else "", tuple(_imported(name, body))


@cache
def _tables(name: str) -> tuple[str, ...]:
    return tuple(found[0] for node in _tree(name).body if (found := _table_of(node)))


def _without_unused(tree: ast.Module, chosen: Mapping[str, frozenset[str]]) -> list[ast.stmt]:
    """A module's statements without the parts of its tables that are not chosen: neither their lines in the table, nor
    their imports, nor, where they stand in this file, they themselves."""
    unused: set[str] = set()
    body: list[ast.stmt] = []
    for node in tree.body:
        name, value = _table_of(node) or ("", None)
        if value is None or name not in chosen:
            body.append(node)
            continue
        kept = [place for place, key in enumerate(value.keys) if _text(key) in chosen[name]]
        unused |= {item.id for item in value.values if isinstance(item, ast.Name)}
        keys, values = [value.keys[place] for place in kept], [value.values[place] for place in kept]
        body.append(ast.Assign([ast.Name(name)], ast.Dict(keys, values)))
    others = [node for item in body if not _defines(item, unused) for node in ast.walk(item)]
    unused -= {node.id for node in others if isinstance(node, ast.Name)}
    return [item for node in body if (item := _without(node, unused)) is not None]


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


def _defines(node: ast.stmt, names: set[str]) -> bool:
    return isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name in names


def _without(node: ast.stmt, names: set[str]) -> ast.stmt | None:
    """A statement that defines or imports none of these names; None where nothing is left of it."""
    if _defines(node, names):
        return None
    if not isinstance(node, ast.ImportFrom):
        return node
    left = [alias for alias in node.names if (alias.asname or alias.name) not in names]
    return ast.ImportFrom(node.module, left, node.level) if left else None


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
            if not set(above).isdisjoint(_FOLLOWED):
                yield from (other for other in above if _file_of(other) is not None)


def _absolute(name: str, node: ast.ImportFrom) -> str:
    """The module of `from ... import`, with leading dots resolved."""
    if not node.level:
        return node.module or ""
    package = name if (_file_of(name) or "").endswith("__init__.py") else name.rpartition(".")[0]
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


@cache
def _file_of(name: str) -> str | None:
    """The file of a module, from its top package on; None where there is none, as of a class."""
    package, *rest = name.split(".")
    folder = "/".join(rest)
    for file in (f"{folder}.py" if rest else "", f"{folder}/__init__.py".lstrip("/")):
        if file and files(package).joinpath(file).is_file():
            return file
    return None


@cache
def _tree(name: str) -> ast.Module:
    file, package = _file_of(name), name.partition(".")[0]
    if file is None:
        raise UsageError(f"{name}: its source code is not installed, which tells what trained a head: install it whole")
    return ast.parse(files(package).joinpath(file).read_text(encoding="utf-8"))


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
