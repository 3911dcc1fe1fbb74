"""downloads.json beside a corpus: what each file was when it came, so that the next run sees whether it still is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from features.card_downloads import RECORD
from features.errors import DownloadError
from features.files import write_bytes_whole


class FileRecord(BaseModel, frozen=True, extra="ignore"):
    """source: where it came from, as cards name it; etag: the server's, where it gave one"""

    source: str
    bytes: int
    sha256: str
    etag: str | None = None


class SourceRecord(BaseModel, frozen=True, extra="ignore"):
    """A source of several files. revision: the hub's commit, or None; files: paths relative to the folder"""

    revision: str | None = None
    files: tuple[str, ...]


class Record(BaseModel, extra="ignore"):
    """files: path relative to the folder, with forward slashes -> what it was; sources: as `Source.place` names them"""

    format: Literal[1] = 1
    corpus: str
    files: dict[str, FileRecord] = {}
    sources: dict[str, SourceRecord] = {}


def read_record(folder: Path, corpus: str) -> Record:
    """An empty one where there is none. Raises DownloadError for a damaged file, or another corpus' folder."""
    path = folder / RECORD
    try:
        record = Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Record(corpus=corpus)
    except (OSError, ValidationError) as error:
        raise DownloadError(f"{path}: cannot be read: remove it, and what is there is taken as it is") from error
    if record.corpus != corpus:
        raise DownloadError(f"{folder} holds {record.corpus}: give --to another folder for {corpus}")
    return record


def write_record(folder: Path, record: Record) -> None:
    """Raises DownloadError where the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes_whole(folder / RECORD, record.model_dump_json(indent=1).encode() + b"\n")
    except OSError as error:
        raise DownloadError(
            f"{folder / RECORD}: cannot be written: {error.strerror}: give --to another folder"
        ) from error
