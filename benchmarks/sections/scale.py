"""How costs grow with the number of utterances."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.harness.contender import Contender, Process
from benchmarks.harness.results import Comparison, Curve, Growth
from benchmarks.harness.rounds import Show
from benchmarks.inputs.corpus import erc
from benchmarks.inputs.many_utterances import make_corpus, store_clips
from benchmarks.inputs.paper import Measured, bytes_of_store, on_paper, told
from benchmarks.workers.scale import STEPS

TITLE = "Scale"
TEXT = """\
A corpus of short texts, each with a clip: names of one small file, so that planning has to look up each one's size
and time and nothing is decoded. Each step is a process of its own and runs once a size, after a run over 100
utterances that is not counted. Memory is the most that its process ever had, imports included. `extract` counts the
marks and words of texts (`surface`), which costs next to nothing: what is measured is the way of a row from the
manifest to the disk. A line that is straight on these axes, with a slope of one, is a cost that grows as the corpus
does: that is claimed of the two greatest sizes, where starting weighs least."""

_WARM = 100
_STRAIGHT = Growth("", "straight", aim=1.2, stated=1.5)
_FLAT = Growth("", "flat", aim=2.0, stated=5.0)
_IN_FULL_ONLY = ("erc store ls", "erc store verify")


@dataclass(frozen=True)
class _Size:
    utterances: tuple[int, ...]
    steps: tuple[str, ...]
    clips: tuple[int, ...] = ()
    actors: tuple[int, ...] = ()
    ray_utterances: tuple[int, int] = (0, 0)


_FEWER = tuple(name for name in STEPS if name not in _IN_FULL_ONLY)
_SIZES = {
    "tiny": _Size((200, 400), _FEWER),
    "small": _Size((1_000, 10_000, 100_000), _FEWER),
    "full": _Size(
        (1_000, 10_000, 100_000, 1_000_000),
        tuple(STEPS),
        clips=(2_000, 20_000),
        actors=(2, 3, 4),
        ray_utterances=(100_000, 200_000),
    ),
}


def measure(size: str, place: Path, show: Show) -> list[Comparison | Curve]:
    chosen = _SIZES[size]
    warm = _warm(place / "warm")
    seconds: dict[str, list[float]] = {name: [] for name in chosen.steps}
    peaks: dict[str, list[float]] = {name: [] for name in chosen.steps}
    for count in chosen.utterances:
        corpus = _corpus(place / str(count), count)
        for name in chosen.steps:
            done = run_step(name, corpus, warm)
            seconds[name].append(done[0])
            peaks[name].append(done[1])
            show(f"  {count:,} utterances: {name} {done[0]:.2f} s, {done[1]:.0f} MiB")
        if count != chosen.utterances[-1]:
            shutil.rmtree(corpus)
    paper = _paper(place / str(count), chosen.utterances, seconds, peaks)
    lines = "each step once"
    tables: list[Comparison | Curve] = [
        Curve(
            "Seconds", lines, "utterances", "s", chosen.utterances, _lines(seconds), claims=_claims(seconds, _STRAIGHT)
        ),
        Curve(
            "Peak memory",
            lines,
            "utterances",
            "MiB",
            chosen.utterances,
            _lines(peaks),
            told(paper),
            _claims(peaks, _FLAT),
        ),
    ]
    if chosen.clips:
        tables.append(_clip_memory(place / "clips", chosen.clips, show))
    if chosen.actors:
        tables.append(_ray(place, chosen, warm, show))
    return tables


def run_step(name: str, corpus: Path, warm: Path, **options: object) -> tuple[float, float]:
    """Seconds, and MiB at the most."""
    given = {"name": name, "place": str(corpus), "warm": str(warm), **options}
    with Process(Contender(name, "benchmarks.workers.scale:step", given)) as process:
        done = process.run()
    return done.seconds, done.peak_mib


def _corpus(place: Path, count: int) -> Path:
    place.mkdir()
    make_corpus(place, count)
    store_clips(place)
    return place


def _warm(place: Path) -> Path:
    """A small corpus on which everything was done."""
    _corpus(place, _WARM)
    erc("extract", "--encoder", "surface", "--manifest", place / "manifest.parquet", "--store", place / "store")
    return place


def _lines(values: dict[str, list[float]]) -> dict[str, tuple[float | None, ...]]:
    return {name: tuple(found) for name, found in values.items()}


def _claims(lines: dict[str, list[float]], claim: Growth) -> tuple[Growth, ...]:
    return tuple(replace(claim, line=name) for name in lines)


def _paper(corpus: Path, sizes: Sequence[int], seconds: dict[str, list[float]], peaks: dict[str, list[float]]):  # type: ignore[no-untyped-def]
    """From the largest corpus, and what planning clips took more there than on the smallest."""
    (feature,) = (corpus / "store" / "audio").iterdir()
    ledger, record, manifest = bytes_of_store(feature, corpus / "manifest.parquet", sizes[-1])
    name, more = "plan clips: nothing left", sizes[-1] - sizes[0]
    return on_paper(
        Measured(
            ledger,
            record,
            manifest,
            max(0.0, seconds[name][-1] - seconds[name][0]) / more,
            max(0.0, peaks[name][-1] - peaks[name][0]) * 2**20 / more,
        ),
        100_000_000,
        1_000,
    )


def _clip_memory(place: Path, sizes: tuple[int, ...], show: Show) -> Curve:
    from benchmarks.workers.clip_memory import make_clips, peaks

    place.mkdir()
    make_clips(place)
    found = [peaks(place, count) for count in sizes]
    show(f"  memory of {sizes} clips: {found}")
    names = ("the process that encodes and writes", "its largest decoding process")
    return Curve(
        "Memory of extracting clips",
        "`logmel` and `hog-colour` at once, two decoding processes, clips of 0.4 s",
        "clips",
        "MiB",
        sizes,
        {name: tuple(pair[number] for pair in found) for number, name in enumerate(names)},
        claims=tuple(Growth(name, "flat", aim=1.1, stated=1.3) for name in names),
    )


def _ray(place: Path, size: _Size, warm: Path, show: Show) -> Curve:
    """Seconds of a run with --engine ray, and what a chunk costs there more than with --engine local."""
    corpora = [_corpus(place / f"ray-{count}", count) for count in size.ray_utterances]
    names = {"--engine local": 0, **{f"--engine ray, {actors} actors": actors for actors in size.actors}}
    lines: dict[str, tuple[float | None, ...]] = {}
    for name, actors in names.items():
        found = []
        for corpus in corpora:
            for stored in (corpus / "store" / "text").glob("surface-*"):
                shutil.rmtree(stored)
            found.append(run_step("extract", corpus, warm, actors=actors)[0])
        show(f"  {name}: {found}")
        lines[name] = tuple(found)
    chunks = [-(-count // 1_024) for count in size.ray_utterances]
    return Curve(
        "Ray on one machine",
        "`surface`, chunks of 1,024 utterances",
        "utterances",
        "s",
        size.ray_utterances,
        lines,
        "What a chunk takes, from the difference of the two sizes, in which starting cancels: "
        + ", ".join(f"{name} {1000 * per_chunk(found, chunks):,.0f} ms" for name, found in lines.items())
        + ". With local, one process encodes while another thread writes; actors share the same cores.",
    )


def per_chunk(seconds: Sequence[float | None], chunks: Sequence[int]) -> float:
    """Seconds of a chunk, by the slope between two sizes."""
    first, last = (value for value in seconds if value is not None)
    return (last - first) / (chunks[-1] - chunks[0])
