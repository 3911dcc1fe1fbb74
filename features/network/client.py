"""HTTP clients that give up in time, and say in one line why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from features.errors import NetworkError
from features.network.waiting import BETWEEN_BYTES_S, first_byte_limit, in_time
from features.network.words import reason

_AFTER_UPLOAD_S = 120.0  # a server may work on what it was sent


class UnreachableError(NetworkError):
    """No answer, or a connection that broke: the same may work later."""


def client() -> Any:
    """An httpx2.Client that follows redirections and heeds HTTPS_PROXY; no answer in time is an UnreachableError."""
    import httpx2

    return with_limits(httpx2.Client(follow_redirects=True))


@contextmanager
def naming(what: str) -> Iterator[None]:
    """An UnreachableError says what could not be had."""
    try:
        yield
    except UnreachableError as error:
        raise NetworkError(f"{what} cannot be fetched: {error}") from error


def with_limits(made: Any) -> Any:
    """A client of httpx2 with the limits of `features.network.waiting` on whatever it sends; the same object.

    Raises UnreachableError from `send` where no answer begins in time or the connection fails, so that a library that
    tries again on httpx2's own errors, as the hub's does six times with pauses, does not.
    """
    made.send = _in_time(made.send)
    return made


def _in_time(send: Callable[..., Any]) -> Callable[..., Any]:
    import httpx2

    answered = False

    def limited(request: Any, *, stream: bool = False, **options: Any) -> Any:
        nonlocal answered
        limit = first_byte_limit()
        asks = request.method in ("GET", "HEAD") or not answered
        known = request.extensions.get("timeout") or {}
        read = (known.get("read") or BETWEEN_BYTES_S) if asks else _AFTER_UPLOAD_S
        timeout = {"connect": limit, "pool": limit, "write": known.get("write"), "read": read}
        request.extensions = {**request.extensions, "timeout": timeout}
        try:
            if asks:
                response = in_time(lambda: send(request, stream=True, **options), limit)
            else:  # an upload lasts as long as it lasts
                response = send(request, stream=True, **options)
            answered = True
            if not stream:
                response.read()
            return response
        except (httpx2.TransportError, httpx2.DecodingError, TimeoutError) as error:
            raise UnreachableError(reason(error, str(request.url))) from error
        except httpx2.TooManyRedirects as error:
            raise NetworkError(f"{request.url.host} leads in circles: check the address {request.url}") from error

    return limited
