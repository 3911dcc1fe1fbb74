"""`.npy` and `.npz`: a folder with a file a clip, an array with a list of ids, and archives of either.

The layout of MERTools (MERBench) is a folder `FEATURE-UTT` or `FEATURE-FRA` with NAME.npy, [d] or [T, d], where a name
of MELD is `train_dia0_utt0`. Public loaders of that family were looked at: they join by the file's name, and some also
take a folder of frames for a name, which is not read here.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from features.errors import bare_line
from features.imports.foreign import SPLITS, Foreign, ForeignError, LazyRows, plain_id, plain_text
from features.imports.safe_pickle import load_pickle_bytes

ID_NAMES = ("utterance_id", "utterance_ids", "id", "ids", "name", "names", "key", "keys", "file", "files", "filename")
TEXT_NAMES = ("text", "texts", "raw_text", "sentence", "sentences", "utterance", "transcript")
LABEL_NAMES = ("label", "labels", "emotion", "emotions", "emotion_label")
SENTIMENT_NAMES = ("sentiment", "sentiments", "annotations")
SPLIT_NAMES = ("split", "splits", "mode")
_ALWAYS_READ = 1 << 28  # bytes that an archive may become, however small it is
_MOST_GROWTH = 100
_ID_FILES = (
    "{stem}.ids.json",
    "{stem}.ids.txt",
    "{stem}.json",
    "{stem}.txt",
    "{stem}.csv",
    "ids.json",
    "ids.txt",
    "ids.csv",
)


def load_array(path: Path) -> Any:
    """A .npy file, mapped; one of objects is read without running anything: an array, or what it holds."""
    try:
        with path.open("rb") as file:
            return _array_in(file, path)
    except OSError as error:
        raise ForeignError(f"{path}: cannot be read: {error.strerror or error}") from error


def _array_in(file: BinaryIO, path: Path) -> Any:
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            found = load_pickle_bytes(file.read())
            return found.item() if isinstance(found, np.ndarray) and found.shape == () == shape else found
        return np.load(path, mmap_mode="r" if np.prod(shape, dtype=np.int64) else None, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ForeignError(f"{path}: is no .npy file, or damaged: {bare_line(error)}") from error


def read_npy_folder(folder: Path, file_format: str = "npy") -> Foreign:
    """A file an id: its path within the folder, without `.npy`."""
    files = sorted(path for path in folder.rglob("*.npy") if not path.name.startswith("."))
    if not files:
        raise ForeignError(f"{folder}: holds no .npy files")
    ids = [path.relative_to(folder).with_suffix("").as_posix() for path in files]

    def read(place: int) -> np.ndarray:
        found = load_array(files[place])
        if not isinstance(found, np.ndarray):
            raise ForeignError(f"{files[place]}: holds {type(found).__name__}, not an array")
        return np.array(found)

    return Foreign(file_format, None, ids, LazyRows(len(files), read))


def read_npy(path: Path, ids: str | None) -> Foreign:
    """One array, [n, d] or [n, T, d], with n ids in a file: `--ids`, or one that lies beside it."""
    array = load_array(path)
    if isinstance(array, Mapping):
        return of_mapping(array, "npy")
    if not isinstance(array, np.ndarray) or array.ndim < 2:
        raise ForeignError(f"{path}: holds no array of several vectors, [n, d]")
    listed = _id_file(path, ids)
    told = read_ids(listed)
    count = len(told["ids"])
    if count != len(array):
        raise ForeignError(
            f"{path}: has {len(array):,} rows, and {listed.name} {count:,} ids: which is whose cannot be told"
        )
    return _with_facts(Foreign("npy", None, told["ids"], LazyRows(count, lambda place: np.array(array[place]))), told)


def _id_file(path: Path, ids: str | None) -> Path:
    if ids is not None:
        return Path(ids)
    for name in _ID_FILES:
        beside = path.with_name(name.format(stem=path.stem))
        if beside.is_file():
            return beside
    raise ForeignError(f"{path}: an array has no ids: give the file that lists them with --ids (.json, .txt or .csv)")


def read_ids(path: Path) -> dict[str, Any]:
    """ids, and where the file has them texts, labels, sentiments and splits: from a JSON list (of ids, or of objects),
    a text with an id a line, or a CSV table."""
    try:
        if path.suffix.lower() == ".json":
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            if isinstance(content, list) and content and isinstance(content[0], dict):
                return _of_columns({name: [row.get(name) for row in content] for name in content[0]}, path)
            if not isinstance(content, list):
                raise ForeignError(f"{path}: is no JSON list of ids")
            return {"ids": [plain_id(item) for item in content]}
        if path.suffix.lower() == ".csv":
            return _of_columns(pl.read_csv(path, infer_schema=False).to_dict(as_series=False), path)
        return {"ids": [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]}
    except OSError as error:
        raise ForeignError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise ForeignError(f"{path}: cannot be read: {bare_line(error)}") from error


def first_of(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of the wanted names that there is, whatever its case."""
    known = {name.casefold(): name for name in reversed(names)}
    return next((known[name] for name in wanted if name in known), None)


def _of_columns(columns: Mapping[str, list[Any]], path: Path) -> dict[str, Any]:
    name = first_of(list(columns), ID_NAMES)
    if name is None:
        raise ForeignError(f"{path}: has no column of ids ({', '.join(ID_NAMES[:4])}): it has {', '.join(columns)}")
    return {"ids": [plain_id(item) for item in columns[name]], **facts_of(columns)}


def facts_of(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """texts, labels, sentiments and splits of a table, those that it has."""
    facts: dict[str, Any] = {}
    kinds = (("texts", TEXT_NAMES), ("labels", LABEL_NAMES), ("sentiments", SENTIMENT_NAMES), ("splits", SPLIT_NAMES))
    for kind, names in kinds:
        name = first_of(list(columns), names)
        if name is not None:
            values = list(columns[name])
            if kind == "texts":
                values = [plain_text(value) for value in values]
            elif kind == "splits":
                values = [SPLITS.get(str(value).casefold(), frozenset({str(value)})) for value in values]
            facts[kind] = values
    return facts


def _with_facts(foreign: Foreign, told: Mapping[str, Any]) -> Foreign:
    foreign.texts, foreign.labels = told.get("texts"), told.get("labels")
    foreign.sentiments, foreign.splits = told.get("sentiments"), told.get("splits")
    return foreign


def with_facts(foreign: Foreign, columns: Mapping[str, Sequence[Any]]) -> Foreign:
    """The same with what the columns of a table say of its rows."""
    return _with_facts(foreign, facts_of(columns))


def of_mapping(content: Mapping[Any, Any], file_format: str) -> Foreign:
    """A dict of arrays by id."""
    ids = [plain_id(key) for key in content]
    rows = [value if isinstance(value, np.ndarray) else np.array(value) for value in content.values()]
    return Foreign(file_format, None, ids, rows)


def read_npz(path: Path, field: str | None, ids: str | None) -> Foreign:
    """An archive: arrays [n, ...] with an array of n ids, or an array a name."""
    arrays = _members(path)
    name = ids if ids in arrays else first_of(list(arrays), ID_NAMES)
    if name is None:
        others = [
            key for key, value in arrays.items() if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub"
        ]
        if others:
            raise ForeignError(f"{path}: {others[0]!r} is no array of numbers, and no array is called `ids`")
        return of_mapping(arrays, "npz")
    listed = [plain_id(item) for item in np.asarray(arrays[name]).tolist()]
    facts = (*TEXT_NAMES, *LABEL_NAMES, *SENTIMENT_NAMES, *SPLIT_NAMES)
    fields = [key for key in arrays if key != name and (key.casefold() not in facts or _is_wide(arrays[key]))]
    chosen = choose_field(fields, field, path)
    rows = arrays[chosen]
    if not isinstance(rows, np.ndarray) or len(rows) != len(listed):
        count = len(rows) if hasattr(rows, "__len__") else "no"
        raise ForeignError(f"{path}: {chosen} has {count} rows, {name} {len(listed):,} ids")
    found = Foreign("npz", chosen, listed, [np.asarray(row) for row in rows])
    columns = {
        key: value.tolist() for key, value in arrays.items() if key not in (chosen, name) and _is_column(value, listed)
    }
    return with_facts(found, columns)


def _is_wide(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 1


def _is_column(value: Any, ids: Sequence[str]) -> bool:
    return isinstance(value, np.ndarray) and value.shape == (len(ids),)


def _members(path: Path) -> dict[str, Any]:
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive, path)
            for name in archive.namelist():
                if name.endswith(".npy"):
                    found[name.removesuffix(".npy")] = _member(archive.read(name), name)
    except (OSError, zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
        raise ForeignError(f"{path}: is no .npz file, or damaged: {bare_line(error)}") from error
    if not found:
        raise ForeignError(f"{path}: holds no arrays")
    return found


def _check_sizes(archive: zipfile.ZipFile, path: Path) -> None:
    """Numbers of an encoder shrink to a third at best; what grows a hundredfold was made to fill a memory."""
    packed, whole = path.stat().st_size, sum(item.file_size for item in archive.infolist())
    if whole > max(_ALWAYS_READ, _MOST_GROWTH * packed):
        raise ForeignError(f"{path}: {packed:,} bytes would become {whole:,}: unpack it yourself, if you trust it")


def _member(data: bytes, name: str) -> Any:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    if read(file)[2].hasobject:
        return load_pickle_bytes(file.read())
    return np.load(io.BytesIO(data), allow_pickle=False)


def choose_field(fields: Sequence[str], field: str | None, where: Path | str) -> str:
    """The field that is asked for, or the only one. Raises ForeignError for another, and for several of them."""
    if field is not None:
        if field not in fields:
            raise ForeignError(f"{where}: has no field {field!r}: it has {', '.join(fields)}")
        return field
    if len(fields) != 1:
        raise ForeignError(f"{where}: holds {', '.join(fields) or 'no field'}: choose one with --field")
    return fields[0]
