"""Packs sent to and fetched from a dataset repository of the Hugging Face hub, or what fsspec knows.

An address is `hf://OWNER/NAME`, or a URL such as `s3://bucket/pack`, `gs://...` or `https://...`. SHA256SUMS is sent
last and fetched first: without it there is no pack, and what it does not name is not fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from features.digests import sha256_file
from features.errors import NetworkError, StoreError, UsageError, bare_line
from features.files import write_bytes_whole
from features.packs.check import check_pack, pack_sums
from features.store.checksums import FOLDER_SUMS

Advance = Callable[[int], object]
_HUB = re.compile(r"hf://(?:datasets/)?(?P<name>[\w.-]+/[\w.-]+)/?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+")


def is_remote(address: str) -> bool:
    return bool(_URL.fullmatch(address))


def push_pack(folder: Path, address: str, *, private: bool = False, advance: Advance = lambda number: None) -> None:
    """Check a pack and send it. advance: is called with numbers of files

    Raises StoreError where the pack is damaged, UsageError for an address that cannot be written, NetworkError.
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
        raise UsageError(f"{address}: cannot be written ({type(error).__name__}: {bare_line(error)})") from error


def fetch_pack(address: str, folder: Path, *, advance: Advance = lambda number: None) -> Path:
    """Fetch a pack into `folder`, and check it whole. What is there already, with the same bytes, is not fetched again.

    Raises StoreError where there is no pack or it is damaged, UsageError for an address that cannot be read,
    NetworkError.
    """
    hub = _HUB.fullmatch(address)
    if hub:
        _fetch_from_hub(hub["name"], folder)
    else:
        fetch = _fetcher(address)
        folder.mkdir(parents=True, exist_ok=True)
        fetch(FOLDER_SUMS, folder / FOLDER_SUMS, None)
        for name, digest in pack_sums(folder / FOLDER_SUMS).items():
            target = folder / name
            if not (target.is_file() and sha256_file(target) == digest):
                target.parent.mkdir(parents=True, exist_ok=True)
                fetch(name, target, digest)
            advance(1)
    check_pack(folder)
    return folder


def _fetcher(address: str) -> Callable[[str, Path, str | None], object]:
    """A function that fetches a file of the pack, by its name, to a path; with a sha256, where that is known."""
    if address.startswith(("http://", "https://")):
        from features.network.fetch import Wanted, fetch_file

        def from_web(name: str, path: Path, digest: str | None) -> object:
            url = f"{address.rstrip('/')}/{quote(name)}"
            if digest is None:
                path.unlink(missing_ok=True)
            return fetch_file(Wanted(url, digest=("sha256", digest) if digest else None), path, name)

        return from_web
    system, root = _file_system(address)

    def from_system(name: str, path: Path, digest: str | None) -> None:
        try:
            content: bytes = system.cat_file(f"{root}/{name}")
        except FileNotFoundError:
            raise StoreError(f"no pack at {address}: it has no {name}") from None
        except Exception as error:
            raise NetworkError(f"{address}: cannot be read ({type(error).__name__}: {bare_line(error)})") from error
        write_bytes_whole(path, content)

    return from_system


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


def _fetch_from_hub(name: str, folder: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    from features.network.hub import hub_session

    try:
        with hub_session():
            snapshot_download(name, repo_type="dataset", local_dir=folder)
    except (HFValidationError, HfHubHTTPError, OSError, ValueError) as error:
        raise StoreError(f"no pack at hf://{name}, or the hub cannot be reached ({bare_line(error)})") from error
