"""What went wrong on the network, in one clause that names the server and the mend, whichever library it came from."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from features.network.waiting import VARIABLE, first_byte_limit

_ENDED = {
    "ReadError", "WriteError", "RemoteProtocolError", "ConnectionResetError", "BrokenPipeError", "IncompleteRead",
    "ChunkedEncodingError", "RemoteDisconnected", "ProtocolError", "ContentDecodingError", "DecodingError",
}  # fmt: skip
_NO_NETWORK = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}


def told(error: BaseException) -> str:
    """An error's kind and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def reason(error: BaseException, url: str) -> str:
    """A clause without a full stop, such as `huggingface.co gave no answer within 4 s (...)`.

    url:   what was asked, whose host is named, and its proxy where it has one
    error: of httpx, requests, urllib3, the hub's library or the standard one; its causes are looked at, too
    """
    parts = urlsplit(url)
    host = parts.hostname or url
    proxy = _proxy(parts.scheme, host)
    by_proxy = f" (through the proxy {proxy})" if proxy else ""
    chain = list(_causes(error))
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    numbers = {link.errno for link in chain if isinstance(link, OSError)}
    text = " ".join(map(str, chain))
    if "OfflineModeIsEnabled" in names:
        return "HF_HUB_OFFLINE is set: unset it"
    if "SSLError" in names or "CERTIFICATE_VERIFY_FAILED" in text:
        return f"the certificate of {host} cannot be checked: name your authorities' file in SSL_CERT_FILE"
    if "ProxyError" in names:
        return f"the proxy {proxy or 'between'} does not let {host} through ({told(chain[-1])}): see HTTPS_PROXY"
    if any(isinstance(link, socket.gaierror) for link in chain) or "name resolution" in text or "not known" in text:
        return f"the name {proxy or host} cannot be looked up: check the network" + by_proxy
    if names & {"TimeoutException", "TimeoutError", "Timeout"}:
        wait = f"{VARIABLE}=30 waits longer"
        return f"{host} gave no answer within {first_byte_limit():g} s{by_proxy}: try again later ({wait})"
    if numbers & _NO_NETWORK or "unreachable" in text:
        return f"there is no way to {host}: check the network" + by_proxy
    if "Connection refused" in text or errno.ECONNREFUSED in numbers:
        return f"{host} refuses connections{by_proxy}: check the network and HTTPS_PROXY"
    if names & _ENDED:
        return f"{host} ended the connection before its answer was whole{by_proxy}: try again"
    return f"{host}: {told(error)}{by_proxy}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _proxy(scheme: str, host: str) -> str | None:
    """The proxy that a request to a host goes through, without a user's name and password."""
    proxies = getproxies()
    found = proxies.get(scheme) or proxies.get("all")
    if not found or proxy_bypass(host):
        return None
    return found.rpartition("@")[2].rpartition("//")[2].rstrip("/")
