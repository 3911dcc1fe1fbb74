"""On a machine with a GPU, within ten minutes: how fast each encoder is there, and what bounds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.harness.contender import BenchmarkError, Contender
from benchmarks.harness.gpu import Utilisation
from benchmarks.harness.results import Claim, Comparison
from benchmarks.harness.rounds import in_turns
from benchmarks.inputs.encoders import READ_TEXT, manifest_for, model_for
from features.manifest import read_manifest

TITLE = "Extraction and heads on a GPU"
DOLLARS_AN_HOUR = 2.0
TEXT = f"""\
The sample corpus again, weights drawn by chance, `--dtype auto`. *floor* is bare decoding plus bare encoding, one
after the other; *decoding alone* is its first part: where it takes longer than half of the floor, more cores help and
a faster GPU does not. *batches of N* are other values of `--batch-size` than the encoder's own. Dollars are for
10,000 clips at {DOLLARS_AN_HOUR:.2f} dollars an hour of the machine."""

ROUNDS = 2
OURS, FLOOR, DECODING = "erc extract", "floor", "decoding alone"
# encoder -> utterances at the least, other batch sizes
ENCODERS: dict[str, tuple[int, tuple[int, ...]]] = {
    "gpt2": (400, (4, 64)),
    "sentence": (400, (64, 1024)),
    "wav2vec2": (200, (4, 64)),
    "resnet50": (200, (16, 256)),
    "retinaface-resnet50": (100, ()),
}
HEAD_ROWS, HEAD_STEPS = ("5, text", "14, concat", "24, attention"), (64, 200)
_CLIPS_PRICED = 10_000


def measure(size: str, place: Path, show: Callable[[str], object], device: str = "cuda") -> list[Comparison]:
    """Raises BenchmarkError where there is no such device."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BenchmarkError(
            "no GPU that torch can use: run this where `python -c 'import torch; torch.zeros(1).cuda()'` does"
        )
    tables = [encoder(name, *ENCODERS[name], place, show, device) for name in ENCODERS]
    return [*tables, pictures(show, device), *heads(show, device), stacked(show, device)]


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
    with Utilisation() as used:
        in_turns(contenders[:1], 1, show)
    measured = in_turns(contenders, ROUNDS, show)
    utterances = len(read_manifest(manifest))
    own = measured[0]
    a_second = utterances / own.median
    dollars = _CLIPS_PRICED / a_second / 3600 * DOLLARS_AN_HOUR
    note = f"{a_second:.0f} utterances a second" + (
        "" if used.percent is None else f", GPU busy {used.percent:.0f} % of a run"
    )
    text = f"10,000 utterances: {_CLIPS_PRICED / a_second / 60:.1f} minutes, {dollars:.2f} dollars."
    if reads_clips:
        decoding, floor = measured[2].median, measured[1].median
        text += f" Decoding is {decoding / floor:.0%} of the floor on the cores of this machine."
    claims = (Claim(OURS, FLOOR, "at most", 1.10, 2.0),)
    return Comparison(name, f"{utterances} utterances", OURS, (replace(own, note=note), *measured[1:]), claims, text)


def pictures(show: Callable[[str], object], device: str) -> Comparison:
    names = {"cpu": "resized on a core, copied", "gpu": "copied, resized on the GPU"}
    target, count = "benchmarks.workers.on_gpu:Pictures", 500
    measured = in_turns(
        [Contender(said, target, {"where": where, "count": count, "device": device}) for where, said in names.items()],
        ROUNDS,
        show,
    )
    return Comparison("Pictures", f"{count} frames of 426 by 240 to 224, normalised", names["cpu"], measured)


def heads(show: Callable[[str], object], device: str) -> list[Comparison]:
    """Rows of table 4 on vectors. Two processes train each on the GPU and must give equal bits."""
    tables = []
    target, (size, steps) = "benchmarks.workers.on_gpu:TrainRow", HEAD_STEPS
    for row in HEAD_ROWS:
        options = {"row": row, "size": size, "steps": steps}
        on_device = [
            Contender(name, target, options | {"device": device}) for name in ("on the GPU", "on the GPU, again")
        ]
        measured = in_turns(on_device, ROUNDS, show, alike=0.0)
        on_cpu = in_turns([Contender("on one core", target, options | {"device": "cpu"})], ROUNDS, show)
        work = f"{steps} steps of {size}"
        tables.append(Comparison(f"Row {row}", work, "on the GPU", (*measured, *on_cpu)))
    return tables


def stacked(show: Callable[[str], object], device: str) -> Comparison:
    options = {"heads": 30, "steps": 200, "width": 768, "device": device}
    target = "benchmarks.workers.on_gpu:ManyHeads"
    after, together = "one after the other", "as one stacked batch"
    measured = in_turns(
        [
            Contender(after, target, options | {"stacked": False}),
            Contender(together, target, options | {"stacked": True}),
        ],
        ROUNDS,
        show,
    )
    text = "`erc ablate` trains one head after the other: this is what stacking would give at most."
    return Comparison("Thirty heads", "30 heads of row 5, 200 steps of 16", after, measured, text=text)
