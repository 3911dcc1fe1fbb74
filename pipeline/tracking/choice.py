"""Which trackers there are, what each needs, and the option that names them. Nothing of theirs is imported here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from features.errors import UsageError
from features.extras import install_extra
from pipeline.tracking.item import Content, Item
from pipeline.tracking.ledger import Destination

Command = TypeVar("Command", bound=Callable[..., Any])


class Tracker(Protocol):
    """One of them, for one command.

    destination: where it keeps runs: a folder, or the address of a server, without secrets
    """

    destination: Destination

    def is_there(self, name: str) -> bool:
        """Whether what `send` called so is still there, as far as can be told without asking a server."""
        ...

    def open(self, item: Item, parent: str | None) -> str | None:
        """Begin a run, so that its parts can name it, and give its name; None where parts name no parent."""
        ...

    def send(self, item: Item, content: Content, parent: str | None, earlier: str | None, opened: bool) -> str:
        """Keep it whole, and give its name.

        parent:  name of what it is a part of
        earlier: name of the one that it replaces; opened: whether that was only opened
        """
        ...


@dataclass(frozen=True)
class Choice:
    """title: as people call it; packages: what has to be importable; make: folder for local runs -> the tracker.
    Raises UsageError for settings that cannot work."""

    title: str
    packages: tuple[str, ...]
    make: Callable[[Path], Tracker]


def _tensorboard(folder: Path) -> Tracker:
    from pipeline.tracking.tensorboard import TensorBoardTracker

    return TensorBoardTracker(folder)


def _wandb(folder: Path) -> Tracker:
    from pipeline.tracking.wandb import WandbTracker

    return WandbTracker(folder)


def _mlflow(folder: Path) -> Tracker:
    from pipeline.tracking.mlflow import MlflowTracker

    return MlflowTracker(folder)


TRACKERS = {
    "tensorboard": Choice("TensorBoard", ("tensorboard",), _tensorboard),
    "wandb": Choice("W&B", ("wandb",), _wandb),
    "mlflow": Choice("MLflow", ("mlflow", "sqlalchemy", "alembic"), _mlflow),
}
"""Name, which is also that of the extra -> the tracker."""


def open_trackers(names: Sequence[str], home: Path) -> dict[str, Tracker]:
    """Each once. home: folder of local runs, each tracker's in its own.

    Raises UsageError where one is not installed, or its settings cannot work.
    """
    for name in dict.fromkeys(names):
        choice = TRACKERS[name]
        if not all(map(_installed, choice.packages)):
            raise UsageError(f"{choice.title} is not installed: {install_extra(name)}")
    return {name: TRACKERS[name].make(home / name) for name in dict.fromkeys(names)}


def _installed(package: str) -> bool:
    """A folder of that name, such as the `wandb` that W&B leaves behind, is no package."""
    found = find_spec(package)
    return found is not None and found.origin is not None


def track_option(command: Command) -> Command:
    """--track NAME, any number of times."""
    return click.option(
        "--track",
        multiple=True,
        type=click.Choice(list(TRACKERS)),
        help="Also send curves, scores and the report to this tracker; repeatable.",
    )(command)
