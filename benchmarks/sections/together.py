"""Work that is shared: the decoding of all modalities, and a recording that is never cut into files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.contender import Contender
from benchmarks.harness.results import Claim, Comparison
from benchmarks.harness.rounds import in_turns
from benchmarks.inputs.corpus import sample_manifest
from benchmarks.inputs.film import write_film
from benchmarks.inputs.recording import cuts_of, write_cuts, write_recording

TITLE = "Decoding that is shared or saved"
TEXT = """\
Several encoders over the sample corpus in one command, which decodes each clip once, against a run an encoder, which
decodes it anew: the preset `embedded` (MiniLM, log-mel statistics, MobileNetV2), in which no two read the same stream,
and five encoders of which two hear the sound and two see the pictures. And cuts of one recording (320 by 240, 10
frames a second, AAC), which `erc extract` reads where they lie, against ffmpeg that writes a file a cut first; both
then take log-mel, HOG and colour statistics. Models are loaded before the clock starts. And five pictures of a film of
60 frames a second with a key frame a second: groups of pictures in which none is wanted are not decoded; the pixels are
the same."""

AT_ONCE, SEPARATELY = "erc extract, all at once", "a run an encoder"
IN_PLACE, CUT_FIRST = "erc extract, cuts in place", "ffmpeg cuts first"

JUMPING, IN_A_ROW, PLAIN = "erc extract", "without passing groups over", "a plain loop"

# utterances; seconds of the recording, cuts; seconds of the film, its height; rounds
SIZES = {
    "tiny": (3, 20, 4, 2, 240, 1),
    "small": (30, 180, 60, 10, 720, 3),
    "full": (200, 600, 200, 20, 1080, 3),
}
_CUT_SECONDS = 2.5
_MODELS = {
    "sentence": {"encoder": "sentence"},
    "logmel": {"encoder": "logmel"},
    "waveform": {"encoder": "waveform"},
    "hog-colour": {"encoder": "hog-colour"},
    "mobilenet": {"encoder": "mobilenet", "model": "packaged:mobilenet-v2"},
}
# encoders; aim and what is stated
_TOGETHER = {
    "Three modalities": (("sentence", "logmel", "mobilenet"), 1.0, 0.9),
    "Two encoders a stream": (("sentence", "logmel", "waveform", "hog-colour", "mobilenet"), 1.2, 1.0),
}


def measure(size: str, place: Path, show: Callable[[str], object]) -> list[Comparison]:
    utterances, seconds, cuts, film_seconds, height, rounds = SIZES[size]
    return [
        *together(utterances, rounds, place, show),
        in_place(seconds, cuts, rounds, place, show),
        pictures(film_seconds, height, rounds, place, show),
    ]


def together(utterances: int, rounds: int, place: Path, show: Callable[[str], object]) -> list[Comparison]:
    from features.manifest import read_manifest

    manifest = sample_manifest(place, utterances)
    count = len(read_manifest(manifest))
    tables = []
    for title, (encoders, aim, stated) in _TOGETHER.items():
        options = {"requests": [_MODELS[name] for name in encoders], "manifest": str(manifest), "dtype": "auto"}
        measured = in_turns(
            [
                Contender(AT_ONCE, "benchmarks.workers.ours:ExtractionCompared", options),
                Contender(SEPARATELY, "benchmarks.workers.cutting:OneAfterTheOther", options),
            ],
            rounds,
            show,
        )
        claims = (Claim(SEPARATELY, AT_ONCE, "at least", aim, stated),)
        work = f"{count} utterances, {', '.join(encoders)}"
        tables.append(Comparison(title, work, AT_ONCE, measured, claims))
    return tables


def in_place(seconds: int, cuts: int, rounds: int, place: Path, show: Callable[[str], object]) -> Comparison:
    recording = place / "recording.mp4"
    write_recording(recording, seconds)
    length = min(_CUT_SECONDS, seconds / cuts)
    manifest = write_cuts(place / "cuts.parquet", place, [recording.name] * cuts, cuts_of(seconds, cuts, length))
    requests = [{"encoder": "logmel"}, {"encoder": "hog-colour"}]
    options = {"requests": requests, "manifest": str(manifest), "dtype": "auto"}
    measured = in_turns(
        [
            Contender(IN_PLACE, "benchmarks.workers.ours:ExtractionCompared", options),
            Contender(CUT_FIRST, "benchmarks.workers.cutting:CutFirst", options),
        ],
        rounds,
        show,
    )
    claims = (Claim(CUT_FIRST, IN_PLACE, "at least", 1.5, 1.5),)
    work = f"{cuts} cuts of {length:.1f} s in {seconds} s"
    return Comparison("Cuts of one recording", work, IN_PLACE, measured, claims)


def pictures(seconds: int, height: int, rounds: int, place: Path, show: Callable[[str], object]) -> Comparison:
    film, rate = place / "film.mp4", 60
    write_film(film, seconds, height, rate, group=rate, b_frames=0)
    target = "benchmarks.workers.film:"
    measured = in_turns(
        [
            Contender(JUMPING, f"{target}Pictures", {"film": str(film), "all_groups": False}),
            Contender(IN_A_ROW, f"{target}Pictures", {"film": str(film), "all_groups": True}),
            Contender(PLAIN, f"{target}EveryFrame", {"film": str(film)}),
        ],
        rounds,
        show,
        alike=0.0,
    )
    claims = (Claim(IN_A_ROW, JUMPING, "at least", 3.0, 3.0),)
    return Comparison("Five pictures of a film", f"{seconds} s of {height}p{rate}", JUMPING, measured, claims)
