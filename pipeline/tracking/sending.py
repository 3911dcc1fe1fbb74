"""Items to trackers: each once, and anew where its files have changed. A tracker that fails costs a line, no more."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from features.errors import ErcError
from pipeline.runs.folder import Run
from pipeline.runs.json_files import reason_of
from pipeline.runs.locks import folder_lock
from pipeline.tracking.choice import TRACKERS, Tracker, open_trackers
from pipeline.tracking.gather import RunsFolder
from pipeline.tracking.item import Content, Item
from pipeline.tracking.ledger import Sent, find_sent, note_sent

HOME = "tracking"
"""In a folder of runs: what trackers keep locally, and the report that they are given."""
_LONGEST_REASON = 300
_SECRETS = re.compile(r"//[^/\s]*@")  # user and password of an address
Value = TypeVar("Value")
Place = tuple[Path, str]


class Tracking:
    """Trackers on a folder of runs.

    out:  a run folder or a folder of runs; names: of trackers
    sent, kept: tracker -> folder and key of what was sent now, and of what had been sent before
    warn: is told, in one line, of a tracker that fails, which is left alone from then on, and of files that are damaged
    """

    def __init__(self, out: Path, names: Sequence[str], warn: Callable[[str], object]) -> None:
        """Raises UsageError where a tracker is not installed, or its settings cannot work."""
        self.out = out
        self.home = out / HOME
        self.trackers = open_trackers(names, self.home)
        self.sent: dict[str, set[Place]] = {name: set() for name in self.trackers}
        self.kept: dict[str, set[Place]] = {name: set() for name in self.trackers}
        self.failed: dict[str, str] = {}
        self.damaged: list[str] = []
        self._warn = warn

    def seed_ended(self, path: Path, seed: int) -> None:
        """A seed's files are whole: send them. path: its run folder, within `out` or `out` itself"""
        if not self._working():
            return
        try:
            item = RunsFolder(self.out, self.home).seed(Run(path), seed)
        except ErcError as error:
            self._damage(str(error))
            return
        self._send_item(item)

    def send(self, chosen: Sequence[Path] | None = None) -> None:
        """All that is there and was not sent. chosen: of `RunsFolder.items`; raises RunError where nothing is."""
        folder = RunsFolder(self.out, self.home)
        for item in folder.items(chosen):
            self._send_item(item)
        for problem in folder.problems:
            self._damage(problem)

    def lines(self) -> list[str]:
        """What was done, a line a tracker that did not fail."""
        lines = []
        for name, tracker in self._working().items():
            sent, kept = len(self.sent[name]), len(self.kept[name])
            lines.append(f"{TRACKERS[name].title}: {sent} runs sent, {kept} there already: {tracker.destination}")
        return lines

    def document(self) -> dict[str, Any]:
        """JSON-ready: tracker -> what was done, or why it failed; and what could not be read."""
        told = {
            name: {
                "sent": len(self.sent[name]),
                "kept": len(self.kept[name]),
                "destination": str(tracker.destination),
                "problem": self.failed.get(name),
            }
            for name, tracker in self.trackers.items()
        }
        return {"trackers": told, "unreadable": self.damaged}

    def _working(self) -> dict[str, Tracker]:
        return {name: tracker for name, tracker in self.trackers.items() if name not in self.failed}

    def _send_item(self, item: Item) -> None:
        reading = _Reading(item)
        for name, tracker in self._working().items():
            try:
                with folder_lock(self.home):
                    self._send(name, tracker, item, reading)
            except _UnreadableError as error:
                self._damage(str(error))
                return
            except Exception as error:
                self._fail(name, error)

    def _send(self, name: str, tracker: Tracker, item: Item, reading: _Reading) -> None:
        place = (item.folder, item.key)
        sent = find_sent(item, name, tracker.destination)
        if sent and not tracker.is_there(sent.name):
            sent = None
        if sent and sent.digest == reading.digest:
            self.kept[name] |= {place} - self.sent[name]
            return
        content = reading.content
        parent = self._open(name, tracker, item.parent) if item.parent else None
        earlier, opened = (sent.name, not sent.digest) if sent else (None, False)
        now = tracker.send(item, content, parent, earlier, opened)
        note_sent(item, name, tracker.destination, Sent(name=now, digest=reading.digest))
        self.sent[name].add(place)

    def _open(self, name: str, tracker: Tracker, item: Item) -> str | None:
        """What a tracker calls an item that has parts; it is opened where it was not sent yet."""
        sent = find_sent(item, name, tracker.destination)
        if sent and tracker.is_there(sent.name):
            return sent.name
        opened = tracker.open(item, self._open(name, tracker, item.parent) if item.parent else None)
        if opened:
            note_sent(item, name, tracker.destination, Sent(name=opened))
        return opened

    def _fail(self, name: str, error: Exception) -> None:
        reason = _SECRETS.sub("//", f"{type(error).__name__}: {reason_of(error)}")
        self.failed[name] = reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}..."
        self._warn(
            f"{TRACKERS[name].title} failed, and is left alone now ({self.failed[name]}); no head is lost by it:"
            f" `erc track {self.out} --to {name}` sends what is missing"
        )

    def _damage(self, problem: str) -> None:
        self.damaged.append(problem)
        self._warn(f"not tracked: {problem}")


class _UnreadableError(Exception):
    """The files of an item, not a tracker, are at fault."""


class _Reading:
    """An item's digest and content, each read once for all trackers."""

    def __init__(self, item: Item) -> None:
        self._item = item

    @cached_property
    def digest(self) -> str:
        return self._of(self._item.digest)

    @cached_property
    def content(self) -> Content:
        return self._of(self._item.read)

    def _of(self, read: Callable[[], Value]) -> Value:
        try:
            return read()
        except ErcError as error:
            raise _UnreadableError(str(error)) from error
        except Exception as error:
            raise _UnreadableError(f"{self._item.folder}, {self._item.key}: {reason_of(error)}") from error
