"""What the readers of foreign files give: arrays with the file's own ids, and what it says of each row besides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import UsageError
from features.spec import Kind

_EXACT_WHOLE = 1 << 24  # every whole number up to here is a float32

SPLITS: dict[str, frozenset[str]] = {
    "train": frozenset({"train"}),
    "valid": frozenset({"dev"}),
    "val": frozenset({"dev"}),
    "validation": frozenset({"dev"}),
    "dev": frozenset({"dev"}),
    "test": frozenset({"test"}),
}
"""A file's name of a split -> ours."""


class ForeignError(UsageError):
    """A foreign file that cannot be read, or that does not fit the manifest."""


class BelowTopError(ForeignError):
    """An export with `from_top`."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} holds states below an encoder's last layers, which lie in a file of their own, and an import takes"
            " arrays alone: bring the feature here with `erc store pack` and `erc store pull`"
        )


@dataclass(frozen=True)
class Form:
    """kind and shape: as in `EncoderSpec`; stored: float32 or float16; dtypes: of the file"""

    kind: Kind
    shape: tuple[int, ...]
    stored: str
    dtypes: tuple[str, ...]


@dataclass
class Foreign:
    """The rows of one field of a foreign file.

    file_format: the reader's name
    field:       which of several fields of the file it is, or None
    ids:         the file's own name of each row; unique within a split
    rows:        one array an id; None: the file itself says that there is none
    splits:      per row the manifest's splits that it may be of, or None where the file does not say
    texts:       per row what was said, or None; labels and sentiments the same, as the file writes them
    turns:       of a file that holds lists by dialogue: (key of the dialogue, place in its list), else None
    named:       whether `ids` are the file's own names of utterances; else they are made of `turns`
    absent:      id -> why the file has no array of it
    kind:        where the file says what its arrays are (an export of ours), else None
    of:          fingerprint of the feature that an export of ours was made of
    """

    file_format: str
    field: str | None
    ids: list[str]
    rows: Sequence[np.ndarray | None]
    splits: list[frozenset[str] | None] | None = None
    texts: list[str | None] | None = None
    labels: list[Any] | None = None
    sentiments: list[Any] | None = None
    turns: list[tuple[str, int]] | None = None
    named: bool = True
    absent: dict[str, str] = dataclasses.field(default_factory=dict)
    kind: Kind | None = None
    of: str | None = None

    def __len__(self) -> int:
        return len(self.ids)


class LazyRows(Sequence[np.ndarray | None]):
    """Rows that are read when they are asked for."""

    def __init__(self, count: int, read: Callable[[int], np.ndarray | None]) -> None:
        self._count = count
        self._read = read

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, int):
            raise TypeError("one row at a time")
        if not 0 <= place < self._count:
            raise IndexError(place)
        return self._read(place)


def form_of(foreign: Foreign, kind: Kind | None = None, advance: Callable[[int], object] = lambda count: None) -> Form:
    """What the arrays are, looked at one by one.

    Of one dimension and equal lengths: vectors; so are [1, d], pooled ones of tools that want a time. Of two dimensions
    [length, d]: sequences of vectors. kind: says so instead; it is needed for a stack [layers, d].
    float16 and float32 are kept bit by bit; float64 is rounded to float32, as whole numbers are where that is exact.
    Raises ForeignError for arrays of no numbers, of several forms, or of more dimensions.
    """
    dtypes: set[str] = set()
    shapes: dict[tuple[int, ...], str] = {}
    for name, row in zip(foreign.ids, _shown(foreign.rows, advance), strict=True):
        if row is None:
            continue
        if row.dtype.kind not in "fiub":
            raise ForeignError(f"{name}: holds {row.dtype}, not numbers")
        if row.dtype.kind in "iu" and row.size and max(abs(int(row.max())), abs(int(row.min()))) > _EXACT_WHOLE:
            raise ForeignError(f"{name}: holds whole numbers above 2**24, which float32 does not hold")
        dtypes.add(row.dtype.newbyteorder("=").name)
        shapes.setdefault(row.shape, name)
    if not shapes:
        raise ForeignError("holds no arrays")
    found, shape = _kind_and_shape(shapes, kind or foreign.kind)
    stored = "float16" if dtypes == {"float16"} else "float32"
    return Form(found, shape, stored, tuple(sorted(dtypes)))


def fitted(row: np.ndarray, form: Form) -> np.ndarray:
    """A row as `form` says: [1, d] as [d] where the form is a vector."""
    return row.reshape(form.shape) if form.kind != "sequence" and row.shape != form.shape else row


def _shown(rows: Sequence[np.ndarray | None], advance: Callable[[int], object]) -> Iterator[np.ndarray | None]:
    for place in range(len(rows)):
        yield rows[place]
        advance(1)


def _kind_and_shape(shapes: dict[tuple[int, ...], str], kind: Kind | None) -> tuple[Kind, tuple[int, ...]]:
    dimensions = {len(shape): name for shape, name in shapes.items()}
    if len(dimensions) > 1:
        told = " and ".join(f"[{', '.join(map(str, shape))}] ({name})" for shape, name in list(shapes.items())[:2])
        raise ForeignError(f"its arrays have different numbers of dimensions: {told}")
    (count,) = dimensions
    one = next(iter(shapes))
    if kind == "sequence" and count >= 1:
        return "sequence", _same(shapes, one[1:], 1)
    if kind == "stack" or (kind is not None and count > 2):
        return kind, _same(shapes, one, 0)
    if count == 1:
        return "vector", _same(shapes, one, 0)
    if count == 2 and (kind == "vector" or (kind is None and all(shape[0] == 1 for shape in shapes))):
        if any(shape[0] != 1 for shape in shapes):
            raise ForeignError(f"its arrays are [length, d], such as {list(one)}: leave --kind vector out")
        return "vector", _same(shapes, one, 1)[-1:]
    if count == 2:
        return "sequence", _same(shapes, one[1:], 1)
    raise ForeignError(f"its arrays have {count} dimensions, such as {list(one)}: vectors have 1, sequences 2")


def _same(shapes: dict[tuple[int, ...], str], wanted: tuple[int, ...], skipped: int) -> tuple[int, ...]:
    """`wanted`. Raises ForeignError where another shape, without its first `skipped` sizes, is another."""
    for shape, name in shapes.items():
        if shape[skipped:] != wanted[-len(shape[skipped:]) :] or len(shape[skipped:]) > len(wanted):
            first = next(iter(shapes.values()))
            raise ForeignError(
                f"its arrays have different widths: {list(wanted)} ({first}) and {list(shape[skipped:])} ({name})"
            )
    return wanted


def as_array(value: Any) -> np.ndarray | None:
    """A list of numbers, or an array, as an array; None for what is neither."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.kind in "fiub" else None
    if isinstance(value, list | tuple) and value:
        try:
            made = np.array(value)
        except ValueError:
            return None
        return made if made.dtype.kind in "fiub" else None
    return None


def plain_text(value: Any) -> str | None:
    """A text of a file, from str, bytes or a list of one; None for anything else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | np.ndarray) and getattr(value, "ndim", 1) == 1 and len(value) == 1:
        return plain_text(value[0]) if isinstance(value[0], str | bytes) else None
    return None


def plain_id(value: Any) -> str:
    """An id of a file as text. A list or tuple of parts is joined by `_`. Raises ForeignError for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuUSO":
        value = value.tolist()
    if isinstance(value, list | tuple) and value:
        if any(isinstance(part, list | tuple) for part in value):
            raise ForeignError("an id is a list within a list: ids are texts or whole numbers")
        return "_".join(plain_id(part) for part in value)
    if isinstance(value, bool) or value is None:
        raise ForeignError(f"an id is {value!r}: ids are texts or whole numbers")
    if isinstance(value, int):
        return str(value)
    text = plain_text(value)
    if text is None:
        raise ForeignError(f"an id is {type(value).__name__}: ids are texts or whole numbers")
    return text
