"""Word vectors on disk: the packaged GloVe (an .npy matrix and its index), or a file in GloVe's text format.

The packaged matrix is memory-mapped. A text file is streamed, checked and kept as one float32 matrix. Both are read
once a process; a worker that only needs to know which words there are reads the words alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from features.digests import weights_digest
from features.encoders.weights import PACKAGED_PREFIX, packaged_folder
from features.errors import WeightsError, first_line
from features.extras import install_extra

_MATRIX = "*_emb.npy"
_INDEX = "*_index.parquet"
_WORD2VEC_HEADER = re.compile(r"\d+ \d+")
_LINES_AT_ONCE = 16384


@dataclass(frozen=True, slots=True)
class VectorSource:
    """Where vectors lie. changed: size and modification time of the file, so that an edited one is read again."""

    path: Path
    packaged: bool
    changed: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """rows: word -> row; a word that stands twice means its first row. count: rows in all."""

    rows: dict[str, int]
    count: int


@dataclass(frozen=True, slots=True)
class WordVectors:
    """matrix: float32 [words, d], possibly memory-mapped."""

    words: Vocabulary
    matrix: np.ndarray

    def digest(self) -> str:
        """sha256 over the words in the order of their rows, and the vectors."""
        words = "\n".join(self.words.rows).encode("utf-8", "surrogatepass")
        return weights_digest([("vectors", self.matrix), ("words", np.frombuffer(words, dtype=np.uint8))])


def find_vectors(model: str) -> VectorSource:
    """Where the vectors of `packaged:NAME` or of a text file lie. Raises WeightsError where they do not."""
    if model.startswith(PACKAGED_PREFIX):
        folder = packaged_folder(model.removeprefix(PACKAGED_PREFIX))
        return VectorSource(folder, True, _changed(_only(folder, _MATRIX)))
    path = Path(model).expanduser()
    if not path.is_file():
        wrong = "is a folder" if path.is_dir() else "is not there"
        raise WeightsError(f"word vectors {model!r}: the file {wrong}: give a file in GloVe's text format, unpacked")
    return VectorSource(path.resolve(), False, _changed(path))


@lru_cache(maxsize=2)
def read_vocabulary(source: VectorSource) -> Vocabulary:
    """The words of a source. Raises WeightsError for a damaged file."""
    if not source.packaged:
        return _vocabulary(word for word, _ in _lines(source.path))
    import polars as pl

    path = _only(source.path, _INDEX)
    try:
        return _vocabulary(pl.read_parquet(path, glob=False).to_series(0).to_list())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise WeightsError(f"word vectors {path}: cannot be read ({first_line(error)}): {_mend()}") from error


@lru_cache(maxsize=1)
def read_vectors(source: VectorSource) -> WordVectors:
    """Words and matrix. Raises WeightsError where they do not fit each other, or a number is none."""
    matrix = _mapped(_only(source.path, _MATRIX)) if source.packaged else _parse(source.path)
    words = read_vocabulary(source)
    if words.count != len(matrix):
        raise WeightsError(f"word vectors {source.path}: {words.count} words for {len(matrix)} vectors: {_mend()}")
    return WordVectors(words, matrix)


def _mapped(path: Path) -> np.ndarray:
    try:
        matrix: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise WeightsError(f"word vectors {path}: cannot be read ({first_line(error)}): {_mend()}") from error
    if matrix.dtype != np.float32 or matrix.ndim != 2:
        raise WeightsError(f"word vectors {path}: {matrix.dtype} {matrix.shape}, not float32 [words, d]: {_mend()}")
    return matrix


def _vocabulary(words: Iterable[str]) -> Vocabulary:
    rows: dict[str, int] = {}
    count = 0
    for count, word in enumerate(words, start=1):
        rows.setdefault(word, count - 1)
    return Vocabulary(rows, count)


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The word and the numbers, as text, of each line; every line has as many numbers as the first.

    Numbers are counted from the right, since some words of glove.840B hold spaces. The header of word2vec's text
    format, two whole numbers, is skipped. Raises WeightsError with the line's number.
    """
    size = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8").rstrip("\r\n ")
            except UnicodeDecodeError:
                raise WeightsError(
                    f"word vectors {path}, line {number}: not UTF-8 text: unpack the file first"
                ) from None
            if number == 1 and _WORD2VEC_HEADER.fullmatch(line):
                continue
            found = line.count(" ")
            size = size or found
            word, *numbers = line.rsplit(" ", size) if size else [line]
            too_many = " " in word and _is_number(word.rpartition(" ")[2])
            if not numbers or len(numbers) < size or too_many:
                limit = f"the first line has {size}" if size else "a word and its numbers belong there"
                raise WeightsError(f"word vectors {path}, line {number}: {found} numbers, but {limit}")
            yield word, numbers


def _parse(path: Path) -> np.ndarray:
    """float32 [words, d] of a file in GloVe's text format. Raises WeightsError for a value that is no finite number."""
    blocks = []
    lines = _lines(path)
    while block := list(islice(lines, _LINES_AT_ONCE)):
        try:
            values = np.array([numbers for _, numbers in block], dtype=np.float32)
        except ValueError:
            word = next(word for word, numbers in block if not all(map(_is_number, numbers)))
            raise WeightsError(f"word vectors {path}: a value of the word {word!r} is not a number") from None
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise WeightsError(f"word vectors {path}: a value of the word {block[finite.argmin()][0]!r} is not finite")
        blocks.append(values)
    if not blocks:
        raise WeightsError(f"word vectors {path}: the file is empty: give a file in GloVe's text format")
    return np.concatenate(blocks)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise WeightsError(f"word vectors {folder}: {len(found)} files {pattern}, where one belongs: {_mend()}")
    return found[0]


def _changed(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _mend() -> str:
    return f"install it again ({install_extra('embedded')})"
