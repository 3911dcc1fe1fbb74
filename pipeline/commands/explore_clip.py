"""`erc explore clip`: what each encoder really saw of one utterance, as one page."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from features.encoders.build import resolve_settings
from features.encoders.protocol import EncoderRequest
from features.encoders.table import DEFAULT_PRESET, PRESETS, entry
from features.errors import UsageError, status_of
from pipeline.terminal import completion
from pipeline.terminal.command_line import given_command
from pipeline.terminal.options import (
    LocalPath,
    encoder_options,
    json_option,
    manifest_option,
    media_root_option,
    parse_settings,
    store_option,
)
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from features.manifest import Manifest
    from features.store import Store
    from pipeline.explore.clip_inputs import Seen
    from pipeline.explore.clip_wanted import Wanted

_EPILOG = """\b
Examples:
  erc explore clip meld/test/dia38_utt4
  erc explore clip meld/dev/dia0_utt1 --encoder resnet50 --as-published --out seen
  erc explore clip meld/dev/dia0_utt1 --encoder sentence --set scope=context
"""


@click.command("clip", epilog=_EPILOG)
@click.argument("utterance_id", metavar="ID")
@manifest_option
@store_option
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.encoders,
    help="Show this encoder or stored feature; repeatable.  [default: the features of the store, else the encoders"
    " of the"
    " preset]",
)
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    help=f"Show the encoders of this preset instead of the store's features.  [default without a store:"
    f" {DEFAULT_PRESET}]",
)
@encoder_options("Weights of the face detector. No other weights are needed here. random: for tests.")
@media_root_option
@click.option(
    "--follow-symlinks", is_flag=True, help="Read the clip even if symbolic links place it outside the media root."
)
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    default="explore",
    help="Folder to write the page to. It is made if it does not exist.",
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    utterance_id: str,
    manifest: Path,
    store: Path,
    encoders: tuple[str, ...],
    preset: str | None,
    model: str | None,
    weights: str,
    as_published: bool,
    settings: tuple[str, ...],
    media_root: Path | None,
    follow_symlinks: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Show what each encoder really saw of one utterance.

    The command writes one page that works offline. It shows the prompt as tokens and what was cut from it, the sound
    after resampling, the frames after preprocessing, the faces, what is missing and why, and each encoder's settings.
    The inputs are made by the encoders' own code. No network is run, with one exception: the face detector, if the
    faces are not in the store.
    """
    changes = bool(model or settings or as_published or weights != "pretrained")
    if encoders and preset:
        raise UsageError(f"--preset {preset} and --encoder {encoders[0]}: give one of them")
    if (model or settings) and len(encoders) != 1:
        raise UsageError("--model and --set are for one encoder: name it with --encoder")
    given = parse_settings(settings)

    from features.manifest import read_manifest
    from features.store import Store
    from pipeline.explore.clip_inputs import look_at
    from pipeline.explore.clip_page import clip_page
    from pipeline.pages.files import write_files

    table = read_manifest(manifest, media_root)
    _check_id(utterance_id, table)
    explicit = context.get_parameter_source("store") is not click.core.ParameterSource.DEFAULT
    opened = Store(store, table) if explicit or store.is_dir() else None
    wanted = _of_store(opened, table, utterance_id, encoders) if opened and not preset and not changes else []
    found = {name for item in wanted for name in (item.name, item.request.encoder)}
    foreign = [feature.name for feature in opened.features() if feature.spec.is_foreign] if opened else []
    for name in dict.fromkeys(foreign):
        click.echo(f"{name}: not shown: it was imported, and no encoder here makes it", err=True)
    names = [name for name in encoders if name not in found and name not in foreign]
    if not encoders and not wanted:
        names = list(PRESETS[preset or DEFAULT_PRESET])
    for name in names:
        resolve_settings(name, given, as_published)
    wanted += [
        _asked_for(EncoderRequest(name, given, model, _weights_of(name, weights), as_published=as_published))
        for name in names
    ]
    look = look_at(table, utterance_id, wanted, follow_symlinks=follow_symlinks, strict=bool(names) and changes)
    page = clip_page(look, given_command(), store.name or str(store) if opened else None)
    path = out / page_name(utterance_id)
    write_files(out, {path.name: page})
    if as_json:
        print_json({"page": str(path), "encoders": [_outcome(seen) for seen in look.seen]})
        return
    for seen in look.seen:
        state = f"not shown: {seen.not_shown}" if seen.not_shown else str(seen.unavailable or "ok")
        click.echo(f"{seen.wanted.name}: {state}")
    click.echo(f"page: {path}")


def page_name(utterance_id: str) -> str:
    """A file name of an utterance; ids that differ in odd characters alone have the same."""
    return f"clip-{re.sub(r'[^A-Za-z0-9._-]+', '-', utterance_id)[:120]}.html"


def _outcome(seen: Seen) -> dict[str, object]:
    error = seen.unavailable
    return {
        "encoder": seen.wanted.name,
        "status": None if seen.not_shown else status_of(error.reason if error else None),
        "reason": str(error.reason) if error else None,
        "detail": seen.not_shown or (error.detail if error else None),
        "counts": dict(seen.counts),
    }


def _check_id(utterance_id: str, manifest: Manifest) -> None:
    """Raises UsageError that names the nearest id."""
    if utterance_id in manifest.positions:
        return
    close = difflib.get_close_matches(utterance_id, manifest.ids, n=1, cutoff=0.5)
    ending = [known for known in manifest.ids if known.endswith(f"/{utterance_id}")]
    guess = (close or ending or [manifest.ids[0]])[0]
    what = "did you mean" if close or ending else "they look like"
    raise UsageError(f"no utterance {utterance_id!r} in {manifest.path}: {what} {guess!r}?")


def _of_store(store: Store, manifest: Manifest, utterance_id: str, names: tuple[str, ...]) -> list[Wanted]:
    from pipeline.explore.clip_wanted import wanted_of_store

    return wanted_of_store(store.features(), manifest, utterance_id, names)


def _asked_for(request: EncoderRequest) -> Wanted:
    from pipeline.explore.clip_wanted import Wanted

    return Wanted(request.encoder, request)


def _weights_of(name: str, weights: str) -> Literal["pretrained", "random"]:
    return "random" if weights == "random" and entry(name).device else "pretrained"
