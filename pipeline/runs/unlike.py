"""What tells runs apart beside what they are compared for: the code, the libraries and the kind of device that made
them.

Code differs where both have a file and it is not the same. Files that only one of them has belong to its
configuration: another loss, another reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.runs.computation import Computation, result_of
from pipeline.runs.folder import Run, told_apart

_LIBRARIES = ("torch", "numpy", "transformers")
_NAMED = 3  # files, or runs, that a sentence names


@dataclass(frozen=True)
class Unlike:
    """values: what -> its values, of each that has several, sorted; changed: modules whose code is not one, by name."""

    values: dict[str, list[str]]
    changed: list[str]


def unlike(made: Sequence[Computation]) -> Unlike:
    """Of computations that are known."""
    found: dict[str, set[str]] = {name: _versions(name, made) for name in _LIBRARIES}
    found["the kind of device"] = {str(one.device) for one in made}
    digests: dict[str, set[str]] = {}
    for one in made:
        for module, digest in one.sources.items():
            digests.setdefault(module, set()).add(digest)
    changed = [module for module, values in sorted(digests.items()) if len(values) > 1]
    return Unlike({what: sorted(values) for what, values in found.items() if len(values) > 1}, changed)


def unlike_text(runs: Iterable[Run]) -> str:
    """What runs differ in beside their configurations, in words; empty where nothing is known to.

    Runs that did not record it are alike among themselves, as far as they tell, and like none that did.
    """
    made = [(run, [Computation.of(result_of(run, seed)) for seed in run.finished_seeds()]) for run in runs]
    everything = [one for _, each in made for one in each]
    known = [one for one in everything if one.known]
    found = unlike(known)
    parts = [f"{what} {' and '.join(values)}" for what, values in found.values.items()]
    if found.changed:
        parts.append(f"the code of {_first(found.changed)}")
    names = told_apart([run for run, _ in made])
    unknown = [name for name, (_, each) in zip(names, made, strict=True) if not all(one.known for one in each)]
    if known and unknown:
        parts.append(f"unknown code of {_first(unknown)}")
    devices = sorted({one.device for one in everything if one.device})
    if not known and len(devices) > 1:
        parts.append(f"the kind of device {' and '.join(devices)}")
    return "; ".join(parts)


def _versions(name: str, made: Sequence[Computation]) -> set[str]:
    """transformers is recorded where it has a part, so only those that name it are asked."""
    if name == "transformers":
        return {one.versions[name] for one in made if name in one.versions}
    return {one.versions.get(name, "an unknown version") for one in made}


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
