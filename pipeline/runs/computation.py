"""What made a seed's numbers, beside its configuration and its features: versions, device, precision and source code.

Seeds that differ in it are not averaged, unless someone asks for it. Those of before it was recorded are of an unknown
computation: alike among themselves as far as they tell, and like no known one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from features.digests import digest_of
from features.errors import RunError, RunFileError
from pipeline.runs.folder import Run
from pipeline.runs.seed_files import SeedResult

_DECIDING = ("torch", "numpy", "transformers")  # the versions that decide numbers; others are recorded beside them
_NAMED = 3  # changed files that a sentence names


class Computation(BaseModel, frozen=True):
    """versions: library -> version; device: its kind, cpu or cuda; precision: fp32 or bf16; sources: module -> digest
    of its code (`heads.source_code`), empty where it is unknown."""

    versions: dict[str, str] = {}
    device: str | None = None
    precision: str | None = None
    sources: dict[str, str] = {}

    @classmethod
    def of(cls, result: SeedResult) -> Computation:
        device = result.device.partition(":")[0] if result.device else None
        return cls(versions=result.versions, device=device, precision=result.precision, sources=result.sources)

    @property
    def known(self) -> bool:
        return bool(self.sources)

    @property
    def code(self) -> str | None:
        """One digest of all the code; None where it is unknown."""
        return digest_of("code", self.sources) if self.known else None

    @property
    def identity(self) -> tuple[str | None, ...]:
        """Equal where seeds may be averaged."""
        return (self.code, self.device, self.precision, *(self.versions.get(name) for name in _DECIDING))

    def contradicts(self, other: Computation) -> bool:
        """Whether the two differ in something that both of them record."""
        if self.known and other.known:
            return self.identity != other.identity
        pairs = [(self.device, other.device), (self.precision, other.precision)]
        return any(one != two for one, two in pairs if one is not None and two is not None)

    def differs(self, today: Computation) -> str:
        """What is another today, in words; empty where nothing is."""
        found = []
        if not self.known and today.known:
            found.append("code and versions were not recorded")
        elif self.code != today.code:
            found.append(f"the code of {named_changes(self.sources, today.sources)}")
        if self.known:
            pairs = [(name, self.versions.get(name), today.versions.get(name)) for name in _DECIDING]
            found += [f"{name} {one}, now {two}" for name, one, two in pairs if one != two]
        for name, one, two in (
            ("device", self.device, today.device),
            ("precision", self.precision, today.precision),
        ):
            if one != two and (self.known or one is not None):
                found.append(f"{name} {one}, now {two}")
        return "; ".join(found)

    def words(self) -> str:
        """In one line, for a page."""
        if not self.known:
            return "unknown code and versions"
        versions = [f"{name} {self.versions[name]}" for name in _DECIDING if name in self.versions]
        return ", ".join([*versions, str(self.device), str(self.precision), f"code {(self.code or '')[:8]}"])


def named_changes(before: Mapping[str, str | None], now: Mapping[str, str]) -> str:
    """The modules whose digests differ, the first of them by name."""
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def result_of(run: Run, seed: int) -> SeedResult:
    """A finished seed's result.json. One that cannot be read tells nothing; whoever needs it says so."""
    try:
        return run.result(seed)
    except RunFileError:
        return SeedResult(seed=seed)


def groups_of(results: Sequence[SeedResult]) -> list[tuple[Computation, list[int]]]:
    """Each computation with its seeds, in their order."""
    found: dict[tuple[str | None, ...], tuple[Computation, list[int]]] = {}
    for result in results:
        computation = Computation.of(result)
        found.setdefault(computation.identity, (computation, []))[1].append(result.seed)
    return list(found.values())


def mixed_lines(results: Sequence[SeedResult]) -> list[str]:
    """What seeds are averaged although they differ, a line a computation; empty where they are of one."""
    groups = groups_of(results)
    if len(groups) < 2:
        return []
    return [f"seed {', '.join(map(str, sorted(set(seeds))))}: {one.words()}" for one, seeds in groups]


def check_alike(run: Run, seeds: Sequence[int]) -> None:
    """Raises RunError where the seeds of a run are of different computations and nobody asked to mix them."""
    if run.features.mixed:
        return
    lines = mixed_lines([result_of(run, seed) for seed in seeds])
    if lines:
        raise RunError(
            f"{run.path}: its seeds were not made alike ({'; '.join(lines)}): the `erc train` or `erc ablate` that"
            " made it trains them again, or averages them with --mix-seeds"
        )
