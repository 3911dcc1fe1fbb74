"""The Hugging Face hub, as a place for exported runs."""

from __future__ import annotations

from pathlib import Path

from features.encoders.weights import first_line
from features.errors import UsageError, WeightsError


def push_folder(folder: Path, hub_id: str, private: bool) -> str:
    """Send a folder to a model repository, which is made if need be; returns its address.

    Raises UsageError for a name that is none, or where the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi()
    try:
        address = api.create_repo(hub_id, private=private, exist_ok=True)
        api.upload_folder(repo_id=hub_id, folder_path=folder, commit_message="erc export")
    except (HFValidationError, ValueError) as error:
        raise UsageError(f"--push-to-hub {hub_id!r}: {first_line(error)}: give OWNER/NAME") from error
    except (LocalTokenNotFoundError, HfHubHTTPError, OSError) as error:
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
        return Path(snapshot_download(hub_id, etag_timeout=10.0))
    except (HFValidationError, OSError, ValueError) as error:
        raise WeightsError(
            f"model {hub_id!r} is neither a folder here nor on the hub, or the hub cannot be reached"
            f" ({first_line(error)}): give the folder that `erc export` wrote"
        ) from error
