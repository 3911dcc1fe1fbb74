"""Pickles for tools that read nothing else. The one place of the packages that may import pickle, and it only writes.

What is written needs builtins and numpy alone, in the names that numpy 1 and 2 both know, and any Python from 3.4 on.
Equal content gives equal bytes: no hash order, no sharing that depends on what else is in memory.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_PROTOCOL = 4
_RECONSTRUCT = np.empty(0).__reduce__()[0]  # numpy's maker of empty arrays, whose module numpy 2 renamed
_OLD_NAME = b"numpy.core.multiarray\n_reconstruct\n"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_PythonPickler: Any = vars(pickle)["_Pickler"]  # it asks `save_global` for a function's name; the one in C does not


class _Pickler(_PythonPickler):
    def save_global(self, obj: Any, name: str | None = None) -> None:
        if obj is _RECONSTRUCT:
            self.write(pickle.GLOBAL + _OLD_NAME)
            self.memoize(obj)
        else:
            super().save_global(obj, name)


def write_pickle(value: Any, file: BinaryIO) -> None:
    """Pickle dicts, lists, tuples, texts, numbers, None and arrays of numbers or of such objects."""
    _Pickler(file, _PROTOCOL).dump(value)


def write_object_npz(path: Path, objects: Mapping[str, Any]) -> None:
    """An .npz of arrays without dimension, each of one object: what `np.savez` makes of dicts."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in objects.items():
            array = np.empty((), object)
            array[()] = value
            buffer = io.BytesIO()
            header = {"descr": "|O", "fortran_order": False, "shape": ()}
            np.lib.format.write_array_header_1_0(buffer, header)
            write_pickle(array, buffer)
            entry = zipfile.ZipInfo(f"{name}.npy", _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue())
