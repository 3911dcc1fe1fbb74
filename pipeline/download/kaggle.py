"""Datasets of Kaggle, by its own library."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.card_downloads import KaggleSource
from features.errors import DownloadError, NetworkError
from features.extras import install_extra
from features.network.client import client, naming
from features.network.words import reason, told

_SITE = "https://www.kaggle.com"
_LOGIN = "make a token at https://www.kaggle.com/settings, and give it as KAGGLE_API_TOKEN, or run kagglehub.login()"
_CACHE = "KAGGLEHUB_CACHE"


def fetch_kaggle(source: KaggleSource, folder: Path) -> list[Path]:
    """The dataset's files, moved to `folder`/NAME; a download that was interrupted goes on where it stopped.

    Raises DownloadError where the library is not installed, Kaggle wants a login, or there is no such dataset;
    NetworkError where it cannot be reached.
    """
    try:
        import kagglehub
    except ImportError as error:
        raise DownloadError(f"{source.place} needs the extra `kaggle`: {install_extra('kaggle')}") from error
    import requests
    from kagglehub.exceptions import CredentialError, KaggleApiHTTPError, UnauthenticatedError

    with naming(source.place), client() as asked:  # the library waits 15 s for each of its questions, and tells nobody
        asked.request("HEAD", os.environ.get("KAGGLE_API_ENDPOINT", _SITE))
    logging.getLogger("kagglehub").setLevel(logging.WARNING)
    try:
        with _cache_at(folder / ".kaggle"):
            found = Path(kagglehub.dataset_download(source.handle, path=source.path))
    except (CredentialError, UnauthenticatedError) as error:
        raise DownloadError(f"{source.place} needs a login: {_LOGIN}") from error
    except KaggleApiHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise DownloadError(f"{source.place} needs a login, or your leave on its page: {_LOGIN}") from error
        if status == 404:
            raise DownloadError(f"{source.place} is not there: check the card") from error
        raise DownloadError(f"{source.place} cannot be fetched ({told(error)}): try again later") from error
    except requests.RequestException as error:
        raise NetworkError(f"{source.place}: {reason(error, _SITE)}") from error
    except Exception as error:  # of its own kinds, such as damaged data
        raise DownloadError(f"{source.place} cannot be fetched ({told(error)}): give the same command again") from error
    return _moved(found, folder, source)


@contextmanager
def _cache_at(folder: Path) -> Iterator[None]:
    before = os.environ.get(_CACHE)
    os.environ[_CACHE] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CACHE]
        else:
            os.environ[_CACHE] = before


def _moved(found: Path, folder: Path, source: KaggleSource) -> list[Path]:
    """What the library brought, in the corpus' folder. Raises DownloadError where something else lies there."""
    target = folder / (found.name if found.is_file() else source.kaggle.rpartition("/")[2])
    if target.exists():
        raise DownloadError(f"{target} is there already: move it, or give --to another folder")
    found.rename(target)
    return [target] if target.is_file() else sorted(path for path in target.rglob("*") if path.is_file())
