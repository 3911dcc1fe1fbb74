"""What of a corpus is here, and what is to come: asked of the servers before anything is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from features.card_downloads import AddressSource, Downloads, HubSource, Source
from features.errors import DownloadError
from features.network.client import client, naming
from features.network.hub import hub_files
from features.network.ranges import offer_of, refuse_status
from features.network.telling import free_bytes
from features.units import bytes_text
from pipeline.download.hub_faults import hub_faults
from pipeline.download.members import folder_name
from pipeline.download.record import Record
from pipeline.download.unpack import is_unpacked

_UNPACKED = 2  # what an archive grows to, with archives within that are removed after it: about twice its size


@dataclass(frozen=True)
class Step:
    """A source and how it stands.

    state:   `here` where nothing is to be fetched, else `to come`
    size:    bytes to come, None where nobody says; 0 where it is here
    to_unpack: bytes that unpacking will take, by estimate
    """

    source: Source
    state: str
    size: int | None
    to_unpack: int


def plan(downloads: Downloads, folder: Path, record: Record) -> list[Step]:
    """A step a source. Raises NetworkError where a server cannot be asked, DownloadError for a dataset that is none."""
    return [_step(source, folder, record) for source in downloads.sources]


def check_room(steps: list[Step], folder: Path, corpus: str) -> None:
    """Raises DownloadError where the disk is too small for what comes and for what is unpacked of it."""
    to_come = sum(step.size or 0 for step in steps)
    to_unpack = sum(step.to_unpack for step in steps)
    free = free_bytes(folder)
    if to_come + to_unpack > free:
        raise DownloadError(
            f"{corpus} needs about {bytes_text(to_come + to_unpack)} at {folder} ({bytes_text(to_come)} to come,"
            f" {bytes_text(to_unpack)} to unpack), and {bytes_text(free)} are free: make room, or give --to a folder on"
            " another disk"
        )


def _step(source: Source, folder: Path, record: Record) -> Step:
    if isinstance(source, AddressSource):
        path = folder / source.name
        is_archive = source.unpack and folder_name(source.name) is not None
        done = is_archive and is_unpacked(path)
        if path.is_file() or done:
            here = path.stat().st_size if path.is_file() else 0
            return Step(source, "here", 0, 0 if done or not is_archive else _UNPACKED * here)
        size = _asked_size(source)
        part = path.with_name(f"{path.name}.part")
        came = part.stat().st_size if part.is_file() else 0
        to_come = None if size is None else max(size - came, 0)
        return Step(source, "to come", to_come, _UNPACKED * (size or 0) if is_archive else 0)
    known = record.sources.get(source.place)
    if known is not None and all((folder / name).is_file() or is_unpacked(folder / name) for name in known.files):
        return Step(source, "here", 0, 0)
    if isinstance(source, HubSource):
        with hub_faults(source):
            files = hub_files(source.hub, source.allow or None, repo_type="dataset", revision=source.revision)
        if not files.sizes:
            raise DownloadError(f"{source.place} has no such file: correct `allow` in the card")
        archives = [size or 0 for name, size in files.sizes.items() if source.unpack and folder_name(name)]
        there = sum(
            size or 0
            for name, size in files.sizes.items()
            if (folder / name).is_file() and (folder / name).stat().st_size == size
        )
        whole = sum(size or 0 for size in files.sizes.values())
        return Step(source, "to come", whole - there, _UNPACKED * sum(archives))
    return Step(source, "to come", source.size, 0)


def _asked_size(source: AddressSource) -> int | None:
    """What the server says, else the card. Raises NetworkError where it does not answer, or has no such file."""
    with naming(source.address), client() as asked:
        response = asked.request("HEAD", source.address, headers={"Accept-Encoding": "identity"})
    if response.status_code in (403, 405, 501):  # it allows no HEAD; the download will tell
        return source.size
    refuse_status(response, source.address)
    told: int | None = offer_of(response).total
    return told if told is not None else source.size
