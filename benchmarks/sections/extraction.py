"""One encoder after the other: `erc extract` against a user's loops and tools, and against its floor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.contender import Contender
from benchmarks.harness.machine import has_bf16_units
from benchmarks.harness.results import Claim, Comparison
from benchmarks.harness.rounds import in_turns
from benchmarks.inputs.encoders import model_for, part_and_whole

TITLE = "Extraction, an encoder at a time"
TEXT = """\
Dialogues of the generated sample corpus, weights drawn by chance (MiniLM's are real). *sentence* encodes the first
utterances of a corpus of MELD's size, whose chunks hold 214; for the others the dialogues are the whole corpus, in
chunks of 32. *one at a time*: plain Hugging Face or torchvision in fp32, an utterance after the other, a file each, as
a first script does. *careful*: inference mode, the dtype that `erc extract` chooses, texts in batches of like length,
clips decoded by two workers of a DataLoader while others are encoded. *Ray Data*: `map_batches` with the careful user's
model and batches in one actor, which reads and encodes in turn. `erc extract` writes shards, ledgers and records as
always. *floor*: bare decoding of the same clips, plus the networks' bare forward passes on the very tensors that our
encoders give them, one after the other; ours does both at once. Models are loaded before the clock starts; the start of
decoding processes is in ours, in careful's and in the floor. *transformers.pipeline* is `feature-extraction`, which is
there for text alone. All contenders' embeddings are compared with ours, but those of faces. Where ours takes as long as
its floor, what an aim still lacks is the time of the network itself, on these cores, in this dtype and with our
batches."""

OURS, FLOOR, ALONE, CAREFUL, RAY = "erc extract", "floor", "one at a time", "careful", "Ray Data"
ONE_PASS, PIPELINE, TRANSFORMER = "careful, one pass a dialogue", "transformers.pipeline", "SentenceTransformer"

# encoder -> utterances; of gpt2 at the least
SIZES = {
    "tiny": {"gpt2": 3, "sentence": 6, "wav2vec2": 3, "resnet50": 3, "retinaface-resnet50": 2},
    "small": {"gpt2": 10, "sentence": 480, "wav2vec2": 20, "resnet50": 10, "retinaface-resnet50": 5},
    "full": {"gpt2": 80, "sentence": 3_000, "wav2vec2": 120, "resnet50": 80, "retinaface-resnet50": 24},
}
ROUNDS = {"tiny": 1, "small": 3, "full": 3}
_WITH_RAY = ("sentence",)  # at small sizes: Ray takes longer to start than all others to work
_PLAIN = "benchmarks.workers.plain_loops"
_ALIKE = 0.05  # bf16 against fp32

# encoder -> aim of "one at a time / erc extract", and what is stated with units for bf16 and without
_TIMES: dict[str, tuple[float, float, float]] = {
    "gpt2": (30.0, 7.0, 5.0),
    "sentence": (4.0, 4.0, 2.0),
    "wav2vec2": (5.0, 1.5, 1.0),
    "resnet50": (2.0, 1.6, 1.0),
    "retinaface-resnet50": (4.0, 1.8, 1.0),
}


def measure(size: str, place: Path, show: Callable[[str], object]) -> list[Comparison]:
    return [compare(name, size, place, show) for name in SIZES[size]]


def compare(name: str, size: str, place: Path, show: Callable[[str], object]) -> Comparison:
    from features.manifest import read_manifest

    show(f" {name}")
    manifest, whole = part_and_whole(name, place, SIZES[size][name])
    utterances = len(read_manifest(manifest))
    model, request = model_for(name, manifest, place)
    dtype = "bf16" if has_bf16_units() else "fp32"
    plain = {"encoder": name, "manifest": str(manifest), "model": model}
    ours = {"requests": [request], "manifest": str(whole), "dtype": dtype, "limit": utterances}
    compared = "ExtractionCompared" if name == "retinaface-resnet50" else "Extraction"
    contenders = [
        Contender(OURS, f"benchmarks.workers.ours:{compared}", ours),
        Contender(FLOOR, "benchmarks.workers.ours:Floor", ours),
        Contender(ALONE, f"{_PLAIN}:Alone", plain | {"dtype": "fp32"}),
        Contender(CAREFUL, f"{_PLAIN}:Careful", plain | {"dtype": dtype}),
    ]
    others = {
        "gpt2": {ONE_PASS: "OnePass", PIPELINE: "Pipeline"},
        "sentence": {PIPELINE: "Pipeline", TRANSFORMER: "SentenceTransformers"},
    }
    contenders += [
        Contender(one, f"{_PLAIN}:{target}", plain | {"dtype": dtype}) for one, target in others.get(name, {}).items()
    ]
    if size == "full" or name in _WITH_RAY:
        contenders.append(Contender(RAY, f"{_PLAIN}:RayData", plain | {"dtype": dtype}, {"RAY_worker_niceness": "0"}))
    measured = in_turns(contenders, ROUNDS[size], show, _ALIKE)
    return Comparison(name, f"{utterances:,} utterances, ours in {dtype}", OURS, measured, _claims(name, dtype))


def _claims(name: str, dtype: str) -> tuple[Claim, ...]:
    aim, with_units, without = _TIMES[name]
    stated = with_units if dtype == "bf16" else without
    careful = ONE_PASS if name == "gpt2" else CAREFUL
    return (
        Claim(ALONE, OURS, "at least", aim, stated),
        Claim(careful, OURS, "at least", 1.0, 0.85),
        Claim(OURS, FLOOR, "at most", 1.10, 1.4),
    )
