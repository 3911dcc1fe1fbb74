"""HTTP clients that give up in time, and say in one line why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from features.errors import NetworkError
from features.network.waiting import BETWEEN_BYTES_S, first_byte_limit, in_time
from features.network.words import reason


class UnreachableError(NetworkError):
    """No answer, or a connection that broke: the same may work later."""


def client() -> Any:
    """An httpx2.Client that follows redirections and heeds HTTPS_PROXY; no answer in time is an UnreachableError."""
    import httpx2

    return with_limits(httpx2.Client(follow_redirects=True))


def with_limits(made: Any) -> Any:
    """A client of httpx2 with the limits of `features.network.waiting` on whatever it sends; the same object.

    Raises UnreachableError from `send` where no answer begins in time or the connection fails, so that a library that
    tries again on httpx2's own errors, as the hub's does six times with pauses, does not.
    """
    made.send = _in_time(made.send)
    return made


def _in_time(send: Callable[..., Any]) -> Callable[..., Any]:
    import httpx2

    def limited(request: Any, *, stream: bool = False, **options: Any) -> Any:
        limit = first_byte_limit()
        asks = request.method in ("GET", "HEAD")
        known = request.extensions.get("timeout") or {}
        between = known.get("read") or BETWEEN_BYTES_S
        timeout = {"connect": limit, "pool": limit, "write": known.get("write"), "read": between if asks else None}
        request.extensions = {**request.extensions, "timeout": timeout}
        try:
            if not asks:  # an upload lasts as long as it lasts
                return send(request, stream=stream, **options)
            response = in_time(lambda: send(request, stream=True, **options), limit)
            if not stream:
                response.read()
            return response
        except (httpx2.TransportError, httpx2.DecodingError, TimeoutError) as error:
            raise UnreachableError(reason(error, request.url.host)) from error
        except httpx2.TooManyRedirects as error:
            raise NetworkError(f"{request.url.host} leads in circles: check the address {request.url}") from error

    return limited
