"""What one run of a tracker is: a seed, an experiment over its seeds, or the whole of a suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["seed", "experiment", "suite"]
Plain = str | int | float | bool
Numbers = Mapping[str, float | None]


@dataclass(frozen=True)
class Point:
    """The numbers of one epoch. time_s: when it ended (Unix time)"""

    epoch: int
    time_s: float
    values: dict[str, float]


@dataclass(frozen=True)
class Content:
    """What a tracker keeps of an item.

    parameters:  the experiment, flattened: `optim.lr`, `loss.0.name`
    environment: versions, device, corpus, features
    numbers:     those of the result files, by names with slashes, such as `dev/weighted_f1/mean`
    files:       name -> file to attach
    began_s, ended_s: Unix time
    """

    parameters: dict[str, Plain]
    environment: dict[str, str]
    numbers: dict[str, float]
    files: dict[str, Path]
    began_s: float
    ended_s: float
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Item:
    """Something to track, read only when it is sent.

    key:    its name in tracked.json of `folder`, which remembers what was sent
    group:  the suite, which trackers show together
    place:  where it stands in its group, as in ("linear-1a2b3c4d", "seed-0")
    parent: what it is a part of
    digest: of all that `read` reads; read: raises RunError where the files are damaged
    """

    kind: Kind
    key: str
    folder: Path
    group: str
    place: tuple[str, ...]
    digest: Callable[[], str]
    read: Callable[[], Content]
    parent: Item | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return "/".join(self.place)


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Plain]]:
    """(dotted key, value) of nested mappings and lists; what is None or empty is left out."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from flatten(one, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from flatten(one, f"{prefix}.{place}")
    elif isinstance(value, str | int | float | bool):
        yield prefix, value


def known(numbers: Numbers) -> dict[str, float]:
    """Those that have a value."""
    return {name: float(value) for name, value in numbers.items() if value is not None}
