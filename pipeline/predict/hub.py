"""The Hugging Face hub, as a place for exported runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

from features.errors import NetworkError, UsageError, WeightsError, first_line
from features.network.hub import hub_session, hub_snapshot


def push_folder(folder: Path, hub_id: str, private: bool) -> str:
    """Send a folder to a model repository, which is made if need be; returns its address.

    Raises UsageError for a name that is none, or where the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi()
    try:
        with hub_session():
            address = api.create_repo(hub_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=hub_id, folder_path=folder, commit_message="erc export")
    except (HFValidationError, ValueError) as error:
        raise UsageError(f"--push-to-hub {hub_id!r}: {first_line(error)}: give OWNER/NAME") from error
    except (LocalTokenNotFoundError, HfHubHTTPError, NetworkError, OSError, RuntimeError) as error:
        raise UsageError(
            f"--push-to-hub {hub_id!r}: the hub refused it or cannot be reached ({first_line(error)}): the folder"
            f" {folder} is whole; log in with `hf auth login`, and give the same command with --replace"
        ) from error
    return str(address)


def pull_folder(hub_id: str) -> Path:
    """The local folder of an exported run on the hub: the cache's, or downloaded. Raises WeightsError."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        try:
            return hub_snapshot(hub_id, None)
        except NetworkError:
            with contextlib.suppress(OSError, ValueError):  # without a network the cache's copy, where it is whole
                return Path(snapshot_download(hub_id, local_files_only=True))
            raise
    except (HFValidationError, NetworkError, OSError, ValueError, RuntimeError) as error:
        cause = str(error) if isinstance(error, NetworkError) else first_line(error)
        raise WeightsError(
            f"model {hub_id!r} is neither a folder here nor on the hub, or the hub cannot be reached"
            f" ({cause}): give the folder that `erc export` wrote"
        ) from error
