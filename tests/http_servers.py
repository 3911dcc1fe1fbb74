"""Servers on this machine that behave as servers do: well, or in one of the ways that break downloads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Site:
    """What a server serves, and how; a test changes it between two tries.

    files:   path -> bytes
    ranges:  whether it knows Range; heeds: whether it heeds If-Range
    etags:   whether it sends an ETag (of the bytes)
    drop_at: bytes of a body after which it ends the connection, None for never; once: only the first time
    length:  what it says a file's length is, instead of the truth
    status:  answers this to everything instead; no_head: answers it to HEAD alone
    asked:   (path, Range) of each request
    """

    files: dict[str, bytes]
    ranges: bool = True
    heeds: bool = True
    etags: bool = True
    drop_at: int | None = None
    once: bool = False
    length: int | None = None
    status: int | None = None
    no_head: int | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def etag(self, body: bytes) -> str:
        return f'"{hash(body) & 0xFFFFFFFF:x}"'


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            _answer(self, site)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who was given up has closed the connection
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, site: Site) -> None:
    asked = handler.headers.get("Range")
    path = handler.path.partition("?")[0]
    site.asked.append((path, asked))
    body = site.files.get(path)
    status = site.no_head if site.no_head and handler.command == "HEAD" else site.status
    if status is not None or body is None:
        handler.send_response(status or 404)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    start = 0
    told = len(body) if site.length is None else site.length
    condition = handler.headers.get("If-Range")
    fits = condition is None or not site.heeds or condition == site.etag(body)
    if asked and site.ranges and fits:
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(body)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{told - 1}/{told}")
    else:
        handler.send_response(200)
    handler.send_header("Content-Length", str(told - start))
    if site.etags:
        handler.send_header("ETag", site.etag(body))
    handler.end_headers()
    if handler.command == "HEAD":
        return
    rest = body[start:]
    if site.drop_at is not None and site.drop_at < len(rest):
        rest = rest[: site.drop_at]
        if site.once:
            site.drop_at = None
    handler.wfile.write(rest)
    handler.wfile.flush()
    if len(rest) < told - start:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def raw_server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A socket that accepts, and then does what is said with each connection, in a thread; yields HOST:PORT."""
    listening = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            kept.append(connection)
            threading.Thread(target=behave, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()
        for connection in kept:
            connection.close()


def connections_from_here(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Where this process connects to from now on: whoever is tried again stands there again.

    So a test can tell that nothing is waited for twice without a clock, by which a busy machine would fail it.
    """
    tried: list[object] = []
    connect = socket.create_connection

    def counted(address: object, *arguments: object, **options: object) -> socket.socket:
        tried.append(address)
        return connect(address, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_connection", counted)
    return tried


def silent(connection: socket.socket) -> None:
    """Never answers."""


def drops(connection: socket.socket) -> None:
    """Ends the connection once it was asked."""
    connection.recv(4096)
    connection.close()


def refuses(connection: socket.socket) -> None:
    """A proxy that lets nothing through."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    connection.close()


def trickles(connection: socket.socket) -> None:
    """Sends a byte of a header now and then, so that no single wait is long."""
    import time

    connection.recv(4096)
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            time.sleep(0.1)
            connection.sendall(b"x")
    except OSError:
        pass


def closed_port() -> str:
    """HOST:PORT where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"
