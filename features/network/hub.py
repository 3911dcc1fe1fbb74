"""The Hugging Face hub, asked with limits: what is wanted is announced, and fetched by the hub's own library."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from features.errors import NetworkError
from features.network.client import with_limits
from features.network.telling import check_space, say_download
from features.network.waiting import BETWEEN_BYTES_S
from features.network.words import reason, told

# The hub's transfer library in Rust waits and tries again by itself; a user's own settings hold.
_OF_XET = {
    "HF_XET_CLIENT_CONNECT_TIMEOUT": "5s",
    "HF_XET_CLIENT_READ_TIMEOUT": "5s",
    "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1",
    "HF_XET_CLIENT_RETRY_BASE_DELAY": "500ms",
}


@dataclass(frozen=True)
class HubFiles:
    """The files of a repository that are wanted.

    commit: the revision's full name
    sizes:  file -> bytes, None where the hub does not say
    here:   files that are in the hub's cache already
    """

    commit: str
    sizes: dict[str, int | None]
    here: frozenset[str] = frozenset()

    @property
    def to_come(self) -> int:
        """Bytes that are not here yet."""
        return sum(size or 0 for name, size in self.sizes.items() if name not in self.here)


@contextmanager
def hub_session() -> Iterator[None]:
    """Whatever the hub's library asks within gives up in time; its failures are NetworkErrors of one line.

    It asks what it is called for, and nothing else: to tell the hub of this machine it would ask first for a list of
    the programs that it may run under, and wait for that by itself.
    """
    import httpx2
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.errors import OfflineModeIsEnabled
    from huggingface_hub.utils import _http

    before = _http._GLOBAL_CLIENT_FACTORY  # a user's own, or the library's
    for variable, value in _OF_XET.items():
        os.environ.setdefault(variable, value)
    set_client_factory(lambda: with_limits(before()))
    told_nothing = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        yield
    except (httpx2.TransportError, OfflineModeIsEnabled) as error:
        raise NetworkError(reason(error, constants.ENDPOINT)) from error
    except RuntimeError as error:  # of its transfer library
        way = "try again later, or with HF_HUB_DISABLE_XET=1, which takes another way"
        raise NetworkError(f"the hub's storage gave up ({told(error)}): {way}") from error
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = told_nothing
        set_client_factory(before)


def hub_files(
    repo_id: str,
    patterns: Sequence[str] | None,
    *,
    repo_type: Literal["model", "dataset"] = "model",
    revision: str | None = None,
) -> HubFiles:
    """What the hub has of a repository under these patterns. Raises NetworkError, or an error of the hub's library."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.utils._paths import filter_repo_objects

    with hub_session():
        asked = HfApi().dataset_info if repo_type == "dataset" else HfApi().model_info
        info: Any = asked(repo_id, revision=revision, files_metadata=True)
    listed = {file.rfilename: file.size for file in info.siblings or ()}
    wanted = list(filter_repo_objects(listed, allow_patterns=None if patterns is None else list(patterns)))
    here = {
        name
        for name in wanted
        if isinstance(try_to_load_from_cache(repo_id, name, revision=info.sha, repo_type=repo_type), str)
    }
    return HubFiles(info.sha, {name: listed[name] for name in wanted}, frozenset(here))


def hub_snapshot(repo_id: str, patterns: Sequence[str] | None) -> Path:
    """The local folder of a model of the hub with the files under these patterns, downloaded into the hub's cache.

    Says what it downloads, and how much. Raises NetworkError, or an error of the hub's library where there is no such
    model or it is gated.
    """
    from huggingface_hub import constants, snapshot_download

    files = hub_files(repo_id, patterns)
    folder = Path(constants.HF_HUB_CACHE)
    if files.to_come:
        check_space(folder, files.to_come, f"model {repo_id!r}")
        say_download(repo_id, files.to_come, folder)
    with hub_session():
        wanted = None if patterns is None else list(patterns)
        return Path(snapshot_download(repo_id, allow_patterns=wanted, etag_timeout=BETWEEN_BYTES_S))
