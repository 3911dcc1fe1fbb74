"""Options that several commands share, with the same names, defaults and environment variables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from heads.training.folds import Folding

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_MANIFEST = "data/manifest.parquet"
DEFAULT_STORE = "store"


def manifest_option(command: Command) -> Command:
    """--manifest, or $ERC_MANIFEST, or data/manifest.parquet."""
    return click.option(
        "--manifest",
        type=click.Path(path_type=Path),
        envvar="ERC_MANIFEST",
        default=DEFAULT_MANIFEST,
        show_default=True,
        show_envvar=True,
        help="The utterance table (.parquet, .csv or .jsonl).",
    )(command)


def store_option(command: Command) -> Command:
    """--store, or $ERC_STORE, or store."""
    return click.option(
        "--store",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="ERC_STORE",
        default=DEFAULT_STORE,
        show_default=True,
        show_envvar=True,
        help="Folder of the stored embeddings.",
    )(command)


def store_argument(command: Command) -> Command:
    """[STORE], or $ERC_STORE, or store."""
    return click.argument(
        "store",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="ERC_STORE",
        default=DEFAULT_STORE,
        required=False,
        metavar="[STORE]",
    )(command)


def json_option(command: Command) -> Command:
    """--json: one JSON document on stdout and nothing else there."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(command)


def use_option(command: Command) -> Command:
    """--use ROLE=FEATURE, any number of times."""
    return click.option(
        "--use",
        multiple=True,
        metavar="ROLE=FEATURE",
        help="Let another stored feature (NAME or NAME@FINGERPRINT) play this one's role in every experiment.",
    )(command)


def cv_options(command: Command) -> Command:
    """--cv K and --group."""
    for option in (
        click.option(
            "--group",
            type=click.Choice(["dialogue", "group"]),
            help="What --cv never splits: a dialogue, or the manifest's `group`.  [default: dialogue]",
        ),
        click.option(
            "--cv",
            type=click.IntRange(min=2),
            metavar="K",
            help="Cross-validate with K folds of the train split; dev and test are not read.",
        ),
    ):
        command = option(command)
    return command


def folding_of(cv: int | None, group: str | None) -> Folding | None:
    """What `cv_options` ask for. Raises UsageError for --group without --cv."""
    from features.errors import UsageError
    from heads.training.folds import GROUPINGS, Folding

    if cv is None:
        if group is not None:
            raise UsageError(f"--group {group} is of cross-validation: give --cv K, too")
        return None
    return Folding(cv, next(item for item in GROUPINGS if item == (group or "dialogue")))


def media_root_option(command: Command) -> Command:
    return click.option(
        "--media-root",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder that the manifest's clip paths are relative to, instead of the one it names.",
    )(command)


def encoder_options(weights_help: str) -> Callable[[Command], Command]:
    """--model, --weights, --as-published and --set. weights_help: whose weights, and what random ones are for."""

    def decorate(command: Command) -> Command:
        for option in (
            click.option(
                "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the encoder; repeatable."
            ),
            click.option(
                "--as-published",
                is_flag=True,
                help="Feed the encoder what the HLM12ERC code really fed it; see docs/encoders.md.",
            ),
            click.option(
                "--weights",
                type=click.Choice(["pretrained", "random"]),
                default="pretrained",
                show_default=True,
                help=weights_help,
            ),
            click.option(
                "--model", metavar="HUB_ID_OR_PATH", help="Model or weights, instead of the encoder's own choice."
            ),
        ):
            command = option(command)
        return command

    return decorate


def parse_settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """What --set KEY=VALUE, any number of times, says. Raises UsageError for anything else."""
    from features.errors import UsageError

    settings = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE")
        settings[key] = value
    return settings
