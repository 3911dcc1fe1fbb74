"""What a server says of the file it sends: how long it is, which bytes these are, and how to know the file again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self

from features.errors import NetworkError

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_MENDS = {
    401: "it needs a login",
    403: "it needs leave, or a login",
    404: "there is no such file: check the address",
    410: "it is gone: look for a newer address",
    429: "too many asked: try again later",
}


@dataclass(frozen=True)
class Offer:
    """An answer's headers.

    total:         bytes of the whole file, None where the server does not say
    start:         where in the file the answer's first byte stands
    etag:          as it was sent, or None
    last_modified: as it was sent, or None
    """

    total: int | None
    start: int = 0
    etag: str | None = None
    last_modified: str | None = None

    @property
    def validator(self) -> str | None:
        """What If-Range may hold: a strong ETag, else the time of the last change."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def to_dict(self) -> dict[str, Any]:
        return {"total": self.total, "etag": self.etag, "last_modified": self.last_modified}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises KeyError or TypeError for what `to_dict` did not write."""
        total, etag, changed = values["total"], values["etag"], values["last_modified"]
        if not isinstance(total, int | None) or not isinstance(etag, str | None) or not isinstance(changed, str | None):
            raise TypeError("not an offer")
        return cls(total, 0, etag, changed)


def offer_of(response: Any) -> Offer:
    """What a response of 200, 206 or 416 says. A compressed answer says no length: its bytes are not the file's."""
    headers = response.headers
    etag, changed = headers.get("etag"), headers.get("last-modified")
    if response.status_code in (206, 416):
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
        if found is None:
            return Offer(None, -1, etag, changed)
        total = None if found[3] == "*" else int(found[3])
        return Offer(total, int(found[1]) if found[1] else -1, etag, changed)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise NetworkError(f"{response.url} is sent compressed, though that was not asked for: fetch it by hand")
    length = headers.get("content-length", "")
    return Offer(int(length) if length.isdecimal() else None, 0, etag, changed)


def reads_on(offer: Offer, before: Offer, size: int) -> bool:
    """Whether an answer of 206 holds what follows `size` bytes of the file that was begun.

    A server that ignores If-Range gives itself away by another length, ETag or time.
    """
    same = offer.total == before.total and offer.start == size
    for now, then in ((offer.etag, before.etag), (offer.last_modified, before.last_modified)):
        same = same and (now is None or then is None or now == then)
    return same


def refuse_status(response: Any, url: str) -> None:
    """Raises NetworkError unless the server sends the file, or says that a range begins at or after its end."""
    status = response.status_code
    if status in (200, 206, 416):
        return
    mend = _MENDS.get(status, "try again later" if status >= 500 else "check the address")
    raise NetworkError(f"{url}: the server answers {status} {response.reason_phrase}: {mend}")
