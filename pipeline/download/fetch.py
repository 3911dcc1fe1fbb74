"""Each source fetched by its own library, checked against the card or the record, and noted."""

from __future__ import annotations

from pathlib import Path

from features.card_downloads import AddressSource, HubSource, Source
from features.errors import DownloadError
from features.network.client import naming
from features.network.fetch import Wanted, fetch_file, file_digest
from features.network.hub import hub_files, hub_session
from features.network.telling import byte_bar, say_download
from pipeline.download.hub_faults import hub_faults
from pipeline.download.kaggle import fetch_kaggle
from pipeline.download.members import folder_name
from pipeline.download.record import FileRecord, Record, SourceRecord, write_record
from pipeline.download.unpack import is_unpacked


def fetch(source: Source, folder: Path, record: Record) -> list[Path]:
    """Have a source's files in the folder, and return those that are there; the record is written with them.

    A file that is there is not fetched again: it is held against the card's checksum, or the record's. Raises
    DownloadError where it is another, or as the libraries' rooms say.
    """
    if isinstance(source, AddressSource):
        return _fetch_address(source, folder, record)
    known = record.sources.get(source.place)
    if known is not None and all(_is_here(folder / name) for name in known.files):
        return [_checked(folder, name, None, record) for name in known.files if (folder / name).is_file()]
    revision = None
    if isinstance(source, HubSource):
        files, revision = _fetch_hub(source, folder)
    else:
        files = fetch_kaggle(source, folder)
    names = [path.relative_to(folder).as_posix() for path in files]
    for name, path in zip(names, files, strict=True):
        record.files[name] = FileRecord(source=source.place, bytes=path.stat().st_size, sha256=_digest(path))
    record.sources[source.place] = SourceRecord(revision=revision, files=tuple(names))
    write_record(folder, record)
    return files


def _is_here(path: Path) -> bool:
    return path.is_file() or is_unpacked(path)


def _fetch_address(source: AddressSource, folder: Path, record: Record) -> list[Path]:
    path = folder / source.name
    if not path.is_file():
        if source.unpack and folder_name(path.name) and is_unpacked(path):
            return []  # the archive was removed after it was unpacked
        wanted = Wanted(source.address, source.bytes, source.digest)
        with naming(source.address):
            fetched = fetch_file(wanted, path, source.name)
        record.files[source.name] = FileRecord(
            source=source.place, bytes=fetched.size, sha256=fetched.sha256, etag=fetched.etag
        )
        write_record(folder, record)
        return [path]
    checked = _checked(folder, source.name, source.digest, record)
    if source.name not in record.files:  # somebody brought it
        size = path.stat().st_size
        if source.bytes is not None and size != source.bytes:
            raise DownloadError(f"{path} has {size:,} bytes, not {source.bytes:,}: remove it, and it is fetched again")
        record.files[source.name] = FileRecord(source=source.place, bytes=size, sha256=_digest(path))
        write_record(folder, record)
    return [checked]


def _checked(folder: Path, name: str, digest: tuple[str, str] | None, record: Record) -> Path:
    """A file that is there, held against the record and the card's digest."""
    path = folder / name
    known = record.files.get(name)
    expected = [("sha256", known.sha256)] if known is not None else []
    for kind, value in [*expected, *([digest] if digest else [])]:
        found = _digest(path, kind)
        if found != value:
            whose = "was downloaded" if (kind, value) in expected else "its card names"
            raise DownloadError(f"{path} is not what {whose} ({kind} {found}): remove it, and it is fetched again")
    return path


def _digest(path: Path, kind: str = "sha256") -> str:
    with byte_bar(path.stat().st_size, f"check {path.name}") as bar:
        return file_digest(path, kind, bar)


def _fetch_hub(source: HubSource, folder: Path) -> tuple[list[Path], str]:
    """The dataset's files below the folder, and its commit."""
    from huggingface_hub import snapshot_download

    with hub_faults(source):
        files = hub_files(source.hub, source.allow or None, repo_type="dataset", revision=source.revision)
        say_download(source.hub, sum(size or 0 for size in files.sizes.values()), folder)
        with hub_session():
            snapshot_download(
                source.hub,
                repo_type="dataset",
                revision=files.commit,
                allow_patterns=source.allow or None,
                local_dir=folder,
            )
    return [folder / name for name in files.sizes], files.commit
