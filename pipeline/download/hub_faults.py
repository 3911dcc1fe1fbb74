"""Errors of the hub's library on a dataset, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from features.card_downloads import HubSource
from features.errors import DownloadError
from features.network.words import told


@contextmanager
def hub_faults(source: HubSource) -> Iterator[None]:
    """Raises DownloadError for what the hub refuses; a NetworkError passes."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    page = f"https://huggingface.co/datasets/{source.hub}"
    try:
        yield
    except GatedRepoError as error:
        raise DownloadError(f"{source.place} is gated: ask for access at {page}, then run `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise DownloadError(
            f"{source.place} is not there, or private: check the card, or log in (`hf auth login`)"
        ) from error
    except RevisionNotFoundError as error:
        raise DownloadError(f"{source.place}: there is no such revision: correct it in the card") from error
    except (HfHubHTTPError, OSError, ValueError, RuntimeError) as error:  # the last of its transfer library
        raise DownloadError(f"{source.place} cannot be fetched ({told(error)}): try again later") from error
