"""tracked.json of a run folder or of a folder of runs: what was sent where, so that nothing is sent twice.

It goes wherever the folder goes. Addresses within the folder are relative.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from features.files import seen_from
from pipeline.runs.json_files import read_checked, write_model
from pipeline.tracking.item import Item

LEDGER = "tracked.json"
Destination = str | Path


class Sent(BaseModel, frozen=True, extra="ignore"):
    """name: what the tracker calls it; digest: of what was sent; empty where it was only opened, for its parts."""

    name: str
    digest: str = ""


class Ledger(BaseModel, extra="ignore"):
    """sent: tracker -> destination -> key -> what was sent."""

    sent: dict[str, dict[str, dict[str, Sent]]] = {}


def find_sent(item: Item, tracker: str, destination: Destination) -> Sent | None:
    """Raises RunFileError where the folder's ledger is damaged."""
    return _read(item.folder).sent.get(tracker, {}).get(_address(item, destination), {}).get(item.key)


def note_sent(item: Item, tracker: str, destination: Destination, sent: Sent) -> None:
    ledger = _read(item.folder)
    ledger.sent.setdefault(tracker, {}).setdefault(_address(item, destination), {})[item.key] = sent
    write_model(item.folder / LEDGER, ledger)


def _read(folder: Path) -> Ledger:
    path = folder / LEDGER
    if not path.is_file():
        return Ledger()
    return read_checked(Ledger, path, "remove it, and all is sent again", printable=False)


def _address(item: Item, destination: Destination) -> str:
    if isinstance(destination, Path):
        return seen_from(item.folder, destination)
    return destination
