"""A store of a million utterances: open it, plan, look, check and read, each in a process of its own.

    python benchmarks/large_store.py [--utterances 1000000] [--folder DIR] [STEP ...]

The store is generated: a text feature [128], whose rows depend on the dialogue so far, and an audio feature [16] with a
clip an utterance. The clips exist as empty names of one small file (hard links), so that planning finds their state.
Each step prints its seconds, and the peak memory of its process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import polars as pl

from features.cards import DatasetCard
from features.manifest import Manifest, build_manifest, read_manifest, write_manifest
from features.spec import EncoderSpec
from features.store import Store, open_writer
from features.store.chunks import chunk_size, cut_chunks
from features.store.ledger import LedgerRow
from features.store.plan import make_plan

_TURNS = 10
_LINKS = 10_000  # hard links to one file that every file system allows
_SPECS = [
    EncoderSpec("text", "large", 1, "dialogue", "vector", (128,)),
    EncoderSpec("audio", "large", 1, "media", "vector", (16,)),
]


def generate(folder: Path, count: int) -> None:
    """The manifest, its clips and the store."""
    write_manifest(make_table(folder, count), folder / "manifest.parquet")
    manifest = read_manifest(folder / "manifest.parquet")
    rng = np.random.default_rng(0)
    for spec in _SPECS:
        with open_writer(folder / "store", spec) as writer:
            plan = make_plan(manifest, spec, folder / "store", bounds_of(manifest))
            for chunk in plan.chunks:
                ids = [manifest.ids[position] for position in chunk.positions]
                vectors = rng.standard_normal((len(ids), *spec.shape), dtype=np.float32)
                rows = list(ledger_rows(manifest, spec, plan.digests, chunk.positions))
                writer.commit(chunk.number, rows, dict(zip(ids, vectors, strict=True)))


def make_table(folder: Path, count: int) -> Manifest:
    clips = folder / "clips"
    clips.mkdir(parents=True)
    (clips / "0").mkdir()
    names = []
    for number in range(count):
        if number % _LINKS == 0:
            group = clips / str(number // _LINKS)
            group.mkdir(exist_ok=True)
            original = group / "original"
            original.write_bytes(b"clip")
        os.link(original, group / f"{number}.mp4")
        names.append(f"{number // _LINKS}/{number}.mp4")
    row = pl.int_range(count, eager=True)
    frame = pl.DataFrame({"row": row, "media": names}).with_columns(
        utterance_id=pl.format("large/train/dia{}_utt{}", pl.col("row") // _TURNS, pl.col("row") % _TURNS),
        dataset=pl.lit("large"),
        split=pl.when(pl.col("row") % (20 * _TURNS) < _TURNS).then(pl.lit("dev")).otherwise(pl.lit("train")),
        dialogue_id=pl.format("large/train/dia{}", pl.col("row") // _TURNS),
        turn=pl.col("row") % _TURNS,
        speaker=pl.format("speaker {}", pl.col("row") % 3),
        text=pl.format("This is what was said in row {}, and a little more of it.", pl.col("row")),
        label=pl.when(pl.col("row") % 3 == 0).then(pl.lit("joy")).otherwise(pl.lit("neutral")),
    )
    card = DatasetCard("large", labels=("neutral", "joy"), neutral="neutral")
    return build_manifest(frame.drop("row"), card, clips)


def bounds_of(manifest: Manifest) -> list[tuple[int, int]]:
    return cut_chunks(manifest.dialogue_bounds(), chunk_size(len(manifest)))


def ledger_rows(
    manifest: Manifest, spec: EncoderSpec, digests: list[str], positions: tuple[int, ...]
) -> Iterator[LedgerRow]:
    media = manifest.frame["media"]
    for position in positions:
        row = LedgerRow(manifest.ids[position], digests[position], input_digest="0" * 64, seconds_encode=0.01)
        if spec.depends == "media":
            status = manifest.media_path(media[position]).stat()
            row = LedgerRow(
                row.utterance_id,
                row.source_digest,
                input_digest=row.input_digest,
                media_size=status.st_size,
                media_mtime_ns=status.st_mtime_ns,
                seconds_decode=0.01,
                seconds_encode=0.01,
            )
        yield row


def step_open(folder: Path) -> str:
    features = Store(folder / "store").features()
    return f"{len(features)} features"


def step_manifest(folder: Path) -> str:
    return f"{len(read_manifest(folder / 'manifest.parquet'))} utterances"


def step_plan_text(folder: Path) -> str:
    return plan(folder, _SPECS[0])


def step_plan_audio(folder: Path) -> str:
    return plan(folder, _SPECS[1])


def plan(folder: Path, spec: EncoderSpec) -> str:
    manifest = read_manifest(folder / "manifest.parquet")
    started = time.perf_counter()
    made = make_plan(manifest, spec, folder / "store", bounds_of(manifest))
    return f"{made.left} left; {time.perf_counter() - started:.1f} s of it after reading the manifest"


def step_ls(folder: Path) -> str:
    return erc("store", "ls", str(folder / "store"))


def step_verify(folder: Path) -> str:
    return erc("store", "verify", str(folder / "store"))


def step_extract_nothing(folder: Path) -> str:
    flags = ["--encoder", "surface", "--limit", "1", "--dry-run"]
    return erc("extract", *flags, "--manifest", str(folder / "manifest.parquet"), "--store", str(folder / "store"))


def step_train_inputs(folder: Path) -> str:
    """What a head trains on: both features, normalised, in mapped files."""
    from heads.data.utterances import read_utterances
    from pipeline.suites.training import SharedFeature

    manifest = read_manifest(folder / "manifest.parquet")
    store = Store(folder / "store")
    utterances = read_utterances(manifest, ["train", "dev"])
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for number, feature in enumerate(store.features()):
            SharedFeature.make(feature, utterances, "standardise", Path(place) / f"{number}.npy")
    return f"{len(utterances)} utterances, {len(store.features())} features"


def erc(*arguments: str) -> str:
    from pipeline.cli import erc as group
    from pipeline.cli import run

    status = run(group, list(arguments), "erc")
    return f"exit status {status}"


STEPS: dict[str, Callable[[Path], str]] = {
    name.removeprefix("step_"): work for name, work in sorted(globals().items()) if name.startswith("step_")
}


@click.command()
@click.argument("steps", nargs=-1, type=click.Choice(list(STEPS)))
@click.option("--utterances", default=1_000_000, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where the store is kept for another time.")
def main(steps: tuple[str, ...], utterances: int, folder: Path | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        if not (place / "manifest.parquet").is_file():
            started = time.perf_counter()
            generate(place, utterances)
            click.echo(f"generated {utterances} utterances in {time.perf_counter() - started:.0f} s")
        for step in steps or STEPS:
            subprocess.run([sys.executable, __file__, "--measure", step, str(place)], check=True)


def measure(step: str, folder: Path) -> None:
    before = peak_gib()
    started = time.perf_counter()
    outcome = STEPS[step](folder)
    seconds = time.perf_counter() - started
    click.echo(f"{step}: {seconds:.2f} s, peak {peak_gib():.2f} GiB ({before:.2f} at its start): {outcome}")


def peak_gib() -> float:
    """Of this process alone: getrusage would count the parent's from before the program was started."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
