"""`erc extract`: run frozen encoders once over a manifest and keep one embedding per utterance."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from features.encoders.build import resolve_settings
from features.encoders.protocol import EncoderRequest
from features.encoders.table import DEFAULT_PRESET, PRESETS, entry, known_encoders
from features.errors import UsageError, WeightsError
from features.spec import MODALITIES
from pipeline.terminal import completion
from pipeline.terminal.grouped import GroupedCommand
from pipeline.terminal.loudness import quiet_option
from pipeline.terminal.machines import check_engine, engine_options, parse_shard, shard_option
from pipeline.terminal.options import (
    encoder_options,
    json_option,
    manifest_option,
    media_root_option,
    parse_settings,
    store_option,
)
from pipeline.terminal.output import print_warning

if TYPE_CHECKING:
    from features.extract import Engine

_EPILOG = """\b
Examples:
  erc extract --modality text --encoder sentence
  erc extract --modality audio --device cuda
  erc extract --modality all --preset embedded --store store
  erc extract --encoder wav2vec2 --set layers=all --as wav2vec2-layers
  erc extract --encoder retinaface-resnet50 --set mode=crop --model resnet50.pth
  erc extract --modality all --engine ray --ray-address auto
  erc extract --encoder wav2vec2 --as-published --set samples=200000 --as wav2vec2-200k

Exit status: 0 done, 1 failed, 2 wrong usage, 3 finished but some utterances are `failed`.
"""


_GROUPS = {
    "What is extracted": [
        "--manifest",
        "--modality",
        "--encoder",
        "--preset",
        "--limit",
        "--retry-failed",
        "--known-bad",
        "--media-root",
        "--follow-symlinks",
    ],
    "The encoder": ["--model", "--weights", "--set", "--as-published", "--as"],
    "Where and how fast": [
        "--store",
        "--device",
        "--dtype",
        "--batch-size",
        "--workers",
        "--clip-timeout",
        "--shard",
        "--engine",
        "--ray-address",
        "--ray-actors",
    ],
    "Clips that changed": ["--rehash", "--clips-gone"],
}


@click.command(cls=GroupedCommand, groups=_GROUPS, epilog=_EPILOG)
@manifest_option
@store_option
@click.option(
    "--modality",
    type=click.Choice([*MODALITIES, "all"]),
    help="Run the encoders of the preset for this modality, or for all.",
)
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.encoders,
    help="Run this encoder instead of those of the preset; repeatable.",
)
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    default=DEFAULT_PRESET,
    show_default=True,
    help="A named set of encoders, for --modality.",
)
@click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N|mps", help="Where encoders compute."
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Precision. auto: that of the store's feature if there is one, else bf16 if the hardware supports it well,"
    " else fp32.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    help="Number of inputs encoded at once.  [default: the encoder's]",
)
@click.option(
    "--workers",
    default="auto",
    show_default=True,
    metavar="auto|N",
    help="Number of processes that decode clips. auto: one per core. 0: this one, which cannot limit a clip's time"
    " or memory.",
)
@click.option(
    "--clip-timeout",
    "clip_timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Time limit for decoding a clip. A clip that exceeds it twice is `failed`; the others go on.  [default: 300]",
)
@click.option(
    "--follow-symlinks", is_flag=True, help="Also read clips that symbolic links place outside the media root."
)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Do only the first N utterances that are not done yet."
)
@shard_option("the work, for several machines on one store")
@engine_options(
    "the actors of a Ray cluster",
    "Number of actors that encode.  [default: one per GPU; without GPUs, the CPUs divided by an encoder's threads]",
)
@click.option("--retry-failed", is_flag=True, help="Try utterances again that failed before.")
@click.option(
    "--rehash",
    is_flag=True,
    help="Read all clips to find those that changed, instead of trusting size and modification time.",
)
@click.option(
    "--known-bad",
    type=click.Choice(["mask", "use"]),
    default="mask",
    show_default=True,
    help="What to do with clips that the dataset card calls bad. mask: record them as missing. use: read them.",
)
@click.option(
    "--clips-gone",
    is_flag=True,
    help="Go on even if most of the clips that have embeddings are gone. The embeddings are kept.",
)
@encoder_options("Weights of the encoder. random: from a seed, for tests and benchmarks; every report says so.")
@click.option(
    "--as",
    "alias",
    metavar="ALIAS",
    help="Another name for the feature. It tells two settings of one encoder apart.",
)
@media_root_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only show what is not done yet. Nothing is downloaded: encoders whose weights are not here are named.",
)
@click.option("--list", "list_encoders", is_flag=True, help="Only list the encoders and their settings.")
@quiet_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    manifest: Path,
    store: Path,
    modality: str | None,
    encoders: tuple[str, ...],
    preset: str,
    device: str,
    dtype: str,
    batch_size: int | None,
    workers: str,
    clip_timeout_s: float | None,
    follow_symlinks: bool,
    limit: int | None,
    shard: str | None,
    engine_name: str,
    ray_address: str | None,
    ray_actors: int | None,
    retry_failed: bool,
    rehash: bool,
    known_bad: str,
    clips_gone: bool,
    model: str | None,
    weights: str,
    as_published: bool,
    settings: tuple[str, ...],
    alias: str | None,
    media_root: Path | None,
    dry_run: bool,
    list_encoders: bool,
    as_json: bool,
) -> None:
    """Run frozen encoders once and keep one embedding per utterance.

    To resume after an interruption, or when the manifest has grown or changed, run the same command again. It does only
    what is left. Each clip is decoded once, for all encoders that you ask for.
    """
    if list_encoders:
        _list_encoders()
        return
    names = choose_encoders(modality, encoders, preset)
    if len(names) > 1 and (model or alias or settings):
        raise UsageError(
            f"--model, --as and --set are for one encoder, not for {', '.join(names)}: name it with --encoder"
        )
    request_settings = parse_settings(settings)
    for name in names:
        resolve_settings(name, request_settings, as_published)
    slice_of_work = parse_shard(shard)
    num_workers = _parse_workers(workers)
    if num_workers == 0 and clip_timeout_s is not None:
        raise UsageError("--workers 0 decodes in this process, which cannot limit time: drop it, or --clip-timeout")
    check_engine(engine_name, ray_address, ray_actors)

    from features.encoders.early_weights import fetch_weights
    from features.engines.decode_pool import DecodeOptions
    from features.manifest import read_manifest
    from features.store.plan import PlanOptions
    from pipeline.commands.extraction import extract, without_weights_line

    table = read_manifest(manifest, media_root)
    computes = any(entry(name).device for name in names)
    named = [
        EncoderRequest(
            encoder=name,
            settings=request_settings,
            model=model,
            weights="random" if weights == "random" else "pretrained",
            alias=alias,
            batch_size=batch_size,
            as_published=as_published,
        )
        for name in names
    ]
    for request in list(named):
        try:
            fetch_weights(request, download=not dry_run)
        except WeightsError as error:
            if not dry_run:
                raise
            named.remove(request)
            print_warning(without_weights_line(request.encoder, error, table, store))
    if not named:
        context.exit(0)
    with _engine(engine_name, ray_address, ray_actors) as engine:
        place = engine.resolve_device(device, computes)
        if engine_name == "local" and slice_of_work is None and not dry_run:
            _tell_of_other_gpus(place)
        requests = [replace(request, device=place) for request in named]
        status = extract(
            table,
            store,
            requests,
            dtype,
            PlanOptions(retry_failed, rehash, known_bad, limit, slice_of_work, clips_gone),
            engine=engine,
            decoding=DecodeOptions(num_workers, clip_timeout_s, follow_symlinks),
            dry_run=dry_run,
            as_json=as_json,
        )
    context.exit(status)


def _tell_of_other_gpus(device: str) -> None:
    from features.encoders.devices import several_gpus

    if count := several_gpus(device):
        print_warning(
            f"one of {count} GPUs is used: for all of them give --engine ray, or start a run for each,"
            f" --device cuda:0 --shard 1/{count} to --device cuda:{count - 1} --shard {count}/{count}"
        )


@contextmanager
def _engine(name: str, ray_address: str | None, ray_actors: int | None) -> Iterator[Engine]:
    if name == "ray":
        from features.engines.ray import open_ray

        with open_ray(ray_address, ray_actors, lambda line: click.echo(line, err=True)) as engine:
            yield engine
        return
    from features.extract import LocalEngine

    yield LocalEngine()


def choose_encoders(modality: str | None, encoders: tuple[str, ...], preset: str) -> list[str]:
    """The encoders that the flags mean. Raises UsageError where they contradict each other."""
    if encoders:
        for name in encoders:
            line = entry(name)
            if modality not in (None, "all", line.modality):
                raise UsageError(f"encoder {name!r} is for {line.modality}, not for --modality {modality}")
        return list(dict.fromkeys(encoders))
    if modality is None:
        raise UsageError("nothing to extract: give --modality text|audio|visual|all, or --encoder NAME")
    chosen = [name for name in PRESETS[preset] if modality in ("all", entry(name).modality)]
    if not chosen:
        raise UsageError(f"preset {preset!r} has no {modality} encoder: give --encoder NAME")
    return chosen


def _parse_workers(text: str) -> int | None:
    if text == "auto":
        return None
    if not (text.isdecimal() and text.isascii()):
        raise UsageError(f"--workers {text!r} is not a number of processes: give auto, 0 or more")
    return int(text)


def _list_encoders() -> None:
    for name in known_encoders():
        try:
            line = entry(name)
        except UsageError as error:  # a package's, which the others have nothing to do with
            click.echo(f"{name:<20} {'':<7} {error}")
            continue
        click.echo(f"{name:<20} {line.modality:<7} {line.summary}")
        for key, (default, text) in line.options.items():
            click.echo(f"{'':<20} --set {key}={shlex.quote(str(default))}  {text}")
        if line.published is not None:
            click.echo(f"{'':<20} --as-published")
            for key, (default, text) in line.published.items():
                click.echo(f"{'':<20}   --set {key}={shlex.quote(str(default))}  {text}")
