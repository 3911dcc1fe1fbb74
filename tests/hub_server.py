"""A stand-in for the Hugging Face hub: lists repositories, sends their files and takes commits, or falls silent."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """repos: `ORG/NAME` of a model, or `datasets/ORG/NAME` -> file -> bytes; silent_at: a part of a path that is never
    answered; asked: `METHOD path` of each request; private: repositories that were made so"""

    repos: dict[str, dict[str, bytes]]
    silent_at: str | None = None
    asked: list[str] = field(default_factory=list)
    private: set[str] = field(default_factory=set)
    url: str = ""


@contextmanager
def hub_serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            if hub.silent_at is not None and hub.silent_at in self.path:
                while hub.silent_at is not None:
                    time.sleep(0.05)
            path = self.path.partition("?")[0]
            for name, files in hub.repos.items():
                api = f"/api/{name}" if name.startswith("datasets/") else f"/api/models/{name}"
                if path in (api, *(f"{api}/revision/{revision}" for revision in ("main", COMMIT))):
                    return self._json(_info(name.removeprefix("datasets/"), files))
                if path.startswith(f"{api}/tree/"):
                    return self._json([_entry(file, body) for file, body in files.items()])
                for revision in ("main", COMMIT):
                    prefix = f"/{name}/resolve/{revision}/"
                    if path.startswith(prefix) and path.removeprefix(prefix) in files:
                        return self._file(files[path.removeprefix(prefix)])
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def do_POST(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            repo = "/".join(self.path.split("/")[2:5]).removeprefix("models/")  # of /api/datasets/ORG/NAME/...
            if self.path == "/api/repos/create":
                made = json.loads(body)
                repo = f"{made['type']}s/{made['organization']}/{made['name']}".removeprefix("models/")
                hub.repos.setdefault(repo, {})
                hub.private.update({repo} if made.get("visibility") == "private" else set())
                return self._json({"url": f"{hub.url}/{repo}"})
            if "/preupload/" in self.path:
                files = json.loads(body)["files"]
                return self._json(
                    {
                        "files": [
                            {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files
                        ]
                    }
                )
            if "/commit/" not in self.path:  # what the hub says of a card's front matter
                return self._json({"errors": [], "warnings": []})
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    hub.repos[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._json({"commitUrl": f"{hub.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT, "pullRequestUrl": None})

        def _json(self, document: object) -> None:
            self._send(json.dumps(document).encode(), {"Content-Type": "application/json"})

        def _file(self, body: bytes) -> None:
            self._send(body, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'})

        def _send(self, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(200)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who was given up has closed the connection
    threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.silent_at = None
        server.shutdown()
        server.server_close()


def _entry(file: str, body: bytes) -> dict[str, object]:
    return {"type": "file", "path": file, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}


def _info(name: str, files: dict[str, bytes]) -> dict[str, object]:
    siblings = [
        {"rfilename": file, "size": len(body), "blobId": hashlib.sha1(body).hexdigest()} for file, body in files.items()
    ]
    return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}


def use_hub(monkeypatch: pytest.MonkeyPatch, url: str, cache: object) -> None:
    """This process asks `url` for the hub, and keeps what it gets in a folder of the test's own."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
