"""HDF5 that others wrote: a dataset a id, a group a id with the field in it, or one dataset with a dataset of ids.

Ids may have slashes, of which h5py makes groups.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from features.errors import bare_line
from features.imports.foreign import Foreign, ForeignError, plain_id
from features.imports.numpy_files import ID_NAMES, choose_field, first_of, with_facts

_DEEPEST = 32  # groups in groups
_MOST_FIELDS = 16  # of one group: more are ids
_MOST_PACKED = 1100  # times that deflate makes bytes smaller, at the very most


def read_hdf5(path: Path, field: str | None, ids: str | None) -> Foreign:
    """Only what lies in the file itself is read: links, external and virtual datasets are refused."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            names = list(file)
            listed = ids if ids in names else first_of([name for name in names if _is_list(file, name)], ID_NAMES)
            if listed is not None:
                return _with_ids(file, listed, field, path)
            return _by_name(file, names, field, path)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, ForeignError):
            raise
        raise ForeignError(f"{path}: cannot be read: {bare_line(error)}") from error


def _is_list(file: h5py.File, name: str) -> bool:
    return isinstance(file.get(name, getlink=True), h5py.HardLink) and (
        isinstance(file[name], h5py.Dataset) and file[name].ndim == 1
    )


def _with_ids(file: h5py.File, listed: str, field: str | None, path: Path) -> Foreign:
    ids = [plain_id(item) for item in _read(file, listed, path).tolist()]
    wide = [name for name in file if name != listed and isinstance(file[name], h5py.Dataset) and file[name].ndim > 1]
    chosen = choose_field(wide, field, path)
    rows = _read(file, chosen, path)
    if len(rows) != len(ids):
        raise ForeignError(f"{path}: {chosen} has {len(rows):,} rows, {listed} {len(ids):,} ids")
    columns = {
        name: [plain_id(item) for item in _read(file, name, path).tolist()]
        for name in file
        if name != listed
        and _is_list(file, name)
        and file[name].shape == (len(ids),)
        and file[name].dtype.kind in "OSiu"
    }
    return with_facts(Foreign("hdf5", chosen, ids, list(rows)), columns)


def _by_name(file: h5py.File, names: list[str], field: str | None, path: Path) -> Foreign:
    if len(names) == 1 and isinstance(file[names[0]], h5py.Group):  # such as /data/ID
        inner = file[names[0]]
        if _is_tree(inner, field):
            return _of_tree(file, path)
        if all(isinstance(inner[name], h5py.Group) for name in inner) or not field:
            return _of_group(inner, field, path)
    return _of_tree(file, path) if _is_tree(file, field) else _of_group(file, field, path)


def _is_tree(group: Any, field: str | None) -> bool:
    """Whether ids have slashes, of which h5py makes groups: there are groups in groups, or the groups' datasets are
    too many for fields, or have no name in common."""
    groups = [group[name] for name in group if _is_own(group, name) and isinstance(group[name], h5py.Group)]
    if field or not groups:
        return False
    names = [{name for name in item if isinstance(item.get(name), h5py.Dataset)} for item in groups]
    if all(len(own) == 1 for own in names):  # the one field of each id
        return False
    if any(isinstance(item[name], h5py.Group) for item in groups for name in item if _is_own(item, name)):
        return True
    return max(map(len, names)) > _MOST_FIELDS or not set.intersection(*names)


def _of_tree(file: h5py.File, path: Path) -> Foreign:
    """A dataset an id, by its whole path."""
    ids: list[str] = []

    def walk(group: Any, above: str) -> None:
        if above.count("/") > _DEEPEST:
            raise ForeignError(f"{path}: its groups are nested more than {_DEEPEST} deep: refused")
        for name in group:
            if _is_own(group, name) and isinstance(group[name], h5py.Group):
                walk(group[name], f"{above}{name}/")
            else:
                ids.append(f"{above}{name}")
                rows.append(_read(group, name, path))

    rows: list[np.ndarray] = []
    walk(file, "")
    return Foreign("hdf5", None, ids, rows)


def _is_own(group: Any, name: str) -> bool:
    return isinstance(group.get(name, getlink=True), h5py.HardLink)


def _of_group(group: Any, field: str | None, path: Path) -> Foreign:
    ids, rows = [], []
    chosen = None
    for name in group:
        item = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        if isinstance(item, h5py.Group):
            chosen = choose_field([key for key in item if isinstance(item[key], h5py.Dataset)], field, f"{path}/{name}")
            rows.append(_read(item, chosen, path))
        else:
            rows.append(_read(group, name, path))
        ids.append(name)
    if not ids:
        raise ForeignError(f"{path}: holds nothing")
    return Foreign("hdf5", chosen, ids, rows)


def _read(group: Any, name: str, path: Path) -> np.ndarray:
    dataset = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ForeignError(f"{path}: /{name} is not a plain dataset of this file: refused")
    if dataset.size * dataset.dtype.itemsize > _MOST_PACKED * path.stat().st_size:
        raise ForeignError(f"{path}: /{name} says that it is larger than the file can hold: refused")
    return np.asarray(dataset[()])
