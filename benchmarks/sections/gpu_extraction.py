"""On a machine with a GPU: how fast each encoder is there, and what bounds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.harness.contender import Contender
from benchmarks.harness.gpu import Utilisation, check_device
from benchmarks.harness.results import Claim, Comparison, Measured
from benchmarks.harness.rounds import in_turns
from benchmarks.inputs.encoders import READ_TEXT, manifest_for, model_for
from features.hardware import cores
from features.manifest import read_manifest

TITLE = "Extraction on a GPU"
DOLLARS_AN_HOUR = 2.0
TEXT = f"""\
The sample corpus again, weights drawn by chance, `--dtype auto`. *floor* is bare decoding plus the networks' forward
passes, one after the other; *decoding alone* is its first part: where it takes longer than half of the floor, more
cores help and a faster GPU does not. *batches of N* are other values of `--batch-size` than the encoder's own. How
busy the GPU is, is the mean that nvidia-smi tells over the runs. Dollars are for 10,000 utterances at
{DOLLARS_AN_HOUR:.2f} dollars an hour of the machine."""

ROUNDS = 3
OURS, FLOOR, DECODING = "erc extract", "floor", "decoding alone"
# encoder -> utterances at the least, other batch sizes
ENCODERS: dict[str, tuple[int, tuple[int, ...]]] = {
    "gpt2": (400, (4, 64)),
    "sentence": (400, (64, 1024)),
    "wav2vec2": (200, (4, 64)),
    "resnet50": (200, (16, 256)),
    "retinaface-resnet50": (100, ()),
}
_PRICED = 10_000


def measure(size: str, place: Path, show: Callable[[str], object], device: str = "cuda") -> list[Comparison]:
    """Raises BenchmarkError where there is no such device."""
    check_device(device)
    return [encoder(name, *ENCODERS[name], place, show, device) for name in ENCODERS]


def encoder(
    name: str, count: int, sizes: tuple[int, ...], place: Path, show: Callable[[str], object], device: str
) -> Comparison:
    show(f" {name}")
    manifest = manifest_for(name, place, count)
    _, request = model_for(name, manifest, place)
    request = request | {"device": device}
    options = {"manifest": str(manifest), "dtype": "auto"}
    ours = "benchmarks.workers.ours:ExtractionCompared"
    contenders = [
        Contender(OURS, ours, options | {"requests": [request]}),
        Contender(FLOOR, "benchmarks.workers.ours:Floor", options | {"requests": [request]}),
    ]
    reads_clips = name not in READ_TEXT
    if reads_clips:
        contenders.append(
            Contender(DECODING, "benchmarks.workers.ours:DecodingAlone", options | {"requests": [request]})
        )
    contenders += [
        Contender(f"batches of {size}", ours, options | {"requests": [request | {"batch_size": size}]})
        for size in sizes
    ]
    used = Utilisation(device)
    measured = in_turns(contenders, ROUNDS, show, watch=used.of)
    utterances = len(read_manifest(manifest))
    told = tuple(_busy(one, used.percent(one.name)) for one in measured)
    claims = (Claim(OURS, FLOOR, "at most", 1.10, 1.5),)
    seconds = {one.name: one.median for one in measured}
    text = _said(utterances, seconds[OURS], seconds[FLOOR], seconds.get(DECODING))
    return Comparison(name, f"{utterances} utterances", OURS, told, claims, text)


def _busy(one: Measured, percent: float | None) -> Measured:
    return one if percent is None else replace(one, note=f"GPU busy {percent:.0f} %")


def _said(utterances: int, ours: float, floor: float, decoding: float | None) -> str:
    """What a reader wants of it, in words."""
    hours = _PRICED * ours / utterances / 3600
    said = (
        f"{utterances / ours:.0f} utterances a second: {_PRICED:,} take {60 * hours:.1f} minutes,"
        f" {hours * DOLLARS_AN_HOUR:.2f} dollars."
    )
    if decoding is not None:
        needed = cores() * decoding / max(floor - decoding, 1e-9)
        share = f"{decoding / floor:.0%} of the floor on {cores()} cores"
        said += f" Decoding is {share}: {needed:.1f} of them decode as fast as this GPU encodes."
    return said
