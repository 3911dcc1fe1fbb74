"""Sending packs to a dataset repository of the Hugging Face hub, or to any address that fsspec knows, and fetching
them.

An address is `hf://OWNER/NAME`, or a URL such as `s3://bucket/pack`, `gs://...` or `https://...`. SHA256SUMS is sent
last and fetched first. Without it there is no pack. Files that it does not name are not fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from features.digests import sha256_file
from features.errors import NetworkError, StoreError, UsageError, bare_line, first_line
from features.files import write_whole
from features.packs.check import check_pack, pack_sums
from features.store.checksums import FOLDER_SUMS

Advance = Callable[[int], object]
_HUB = re.compile(r"hf://(?:datasets/)?(?P<name>[\w.-]+/[\w.-]+)/?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+")


def is_remote(address: str) -> bool:
    return bool(_URL.fullmatch(address))


def push_pack(folder: Path, address: str, *, private: bool = False, advance: Advance = lambda number: None) -> None:
    """Check a pack and send it. advance: called with numbers of files

    Raises StoreError if the pack is damaged, UsageError for an address that cannot be written, and NetworkError.
    """
    check_pack(folder)
    hub = _HUB.fullmatch(address)
    if hub:
        _push_to_hub(folder, hub["name"], private)
        return
    system, root = _file_system(address)
    names = [*pack_sums(folder / FOLDER_SUMS), FOLDER_SUMS]
    try:
        for name in names:
            target = f"{root}/{name}"
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(folder / name), target)
            advance(1)
    except Exception as error:
        raise UsageError(f"{address}: cannot be written ({first_line(error)})") from error


def fetch_pack(address: str, folder: Path, *, advance: Advance = lambda number: None) -> Path:
    """Fetch a pack into `folder`. Files that are there already, with the same bytes, are not fetched again. The files
    that arrive are not checked here: `install_pack` and `check_pack` do that.

    Raises StoreError if there is no pack, UsageError for an address that cannot be read, and NetworkError.
    """
    fetch_files(address, folder, fetch_sums(address, folder), advance)
    return folder


def fetch_sums(address: str, folder: Path) -> dict[str, str]:
    """Fetch the newest SHA256SUMS of a pack into `folder`. Returns file -> sha256. Raises the errors of
    `fetch_pack`."""
    fetch = _fetcher(address)
    folder.mkdir(parents=True, exist_ok=True)
    fetch({FOLDER_SUMS: None}, folder, lambda number: None)
    if not (folder / FOLDER_SUMS).is_file():
        raise StoreError(f"no pack at {address}: it has no {FOLDER_SUMS}")
    return pack_sums(folder / FOLDER_SUMS)


def fetch_files(address: str, folder: Path, sums: Mapping[str, str], advance: Advance = lambda number: None) -> None:
    """Fetch files of a pack, given as name -> sha256. Files that are there with these bytes are not fetched again.

    advance: called with numbers of files. Raises the errors of `fetch_pack`.
    """
    wanted = {name: digest for name, digest in sums.items() if not _is_there(folder / name, digest)}
    advance(len(sums) - len(wanted))
    if wanted:
        _fetcher(address)(wanted, folder, advance)


def _is_there(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_file(path) == digest


Fetch = Callable[[Mapping[str, str | None], Path, Advance], None]


def _fetcher(address: str) -> Fetch:
    """A function that fetches files of the pack, by name -> sha256 where that is known, into a folder."""
    hub = _HUB.fullmatch(address)
    if hub:
        return _hub_fetcher(hub["name"])
    return _web_fetcher(address) if address.startswith(("http://", "https://")) else _system_fetcher(address)


def _web_fetcher(address: str) -> Fetch:
    from features.network.fetch import Wanted, fetch_file

    def fetch(wanted: Mapping[str, str | None], folder: Path, advance: Advance) -> None:
        for name, digest in wanted.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if digest is None:
                path.unlink(missing_ok=True)
            url = f"{address.rstrip('/')}/{quote(name)}"
            fetch_file(Wanted(url, digest=("sha256", digest) if digest else None), path, name)
            advance(1)

    return fetch


def _system_fetcher(address: str) -> Fetch:
    system, root = _file_system(address)

    def fetch(wanted: Mapping[str, str | None], folder: Path, advance: Advance) -> None:
        for name in wanted:
            source = f"{root}/{name}"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)

            def get(temporary: Path, source: str = source) -> None:
                system.get_file(source, str(temporary))

            try:
                write_whole(folder / name, get)
            except FileNotFoundError:
                raise StoreError(f"no pack at {address}: it has no {name}") from None
            except Exception as error:
                raise NetworkError(f"{address}: cannot be read ({first_line(error)})") from error
            advance(1)

    return fetch


def _file_system(address: str) -> tuple[Any, str]:
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(address)
    except ImportError as error:
        needed = f"pip install 'fsspec[{address.partition('://')[0]}]'"
        raise UsageError(f"{address}: {bare_line(error)}: {needed}") from error
    except ValueError as error:
        raise UsageError(f"{address}: {bare_line(error)}") from error
    return system, root.rstrip("/")


def _push_to_hub(folder: Path, name: str, private: bool) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    from features.network.hub import hub_session

    api = HfApi()
    try:
        with hub_session():
            api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
            api.upload_folder(repo_id=name, repo_type="dataset", folder_path=folder, commit_message="erc store push")
    except (HFValidationError, ValueError) as error:
        raise UsageError(f"hf://{name}: {bare_line(error)}: give hf://OWNER/NAME") from error
    except (LocalTokenNotFoundError, HfHubHTTPError, OSError, RuntimeError) as error:
        raise UsageError(
            f"hf://{name}: the hub refused it or cannot be reached ({bare_line(error)}): log in with `hf auth login`,"
            " and give the same command again"
        ) from error


def _hub_fetcher(name: str) -> Fetch:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    from features.network.hub import hub_session

    def fetch(wanted: Mapping[str, str | None], folder: Path, advance: Advance) -> None:
        try:
            with hub_session():
                snapshot_download(name, repo_type="dataset", local_dir=folder, allow_patterns=list(wanted))
        except (HFValidationError, HfHubHTTPError, OSError, ValueError) as error:
            raise StoreError(f"no pack at hf://{name}, or the hub cannot be reached ({bare_line(error)})") from error
        advance(len(wanted))

    return fetch
