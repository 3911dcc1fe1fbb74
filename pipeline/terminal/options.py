"""Options that several commands share, with the same names, defaults and environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from features.defaults import DEFAULT_MANIFEST, DEFAULT_STORE, MANIFEST_VARIABLE, STORE_VARIABLE
from features.errors import UsageError

if TYPE_CHECKING:
    from heads.training.folds import Folding

Command = TypeVar("Command", bound=Callable[..., Any])

_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")


def refuse_scheme(name: str, value: str, otherwise: str = "") -> None:
    """Raises UsageError where a value is an address like s3://bucket/x, of which a Path would make the folder `s3:`.

    name: what was given the value, like `--store`; otherwise: what it may be that is no path
    """
    scheme = _SCHEME.match(value)
    if not scheme:
        return
    if scheme[0].strip().lower() == "file://":
        raise UsageError(f"{name} {value!r}: leave {scheme[0].strip()} off, and give the path alone")
    pack = " (a pack of features: `erc store pull`)" if name.startswith("--store") else ""
    raise UsageError(
        f"{name} {value!r}: only local folders work (or mounted file systems): mount or copy it{pack}, and give its"
        f" path{otherwise}"
    )


def _given_as(param: click.Parameter | None, ctx: click.Context | None) -> str:
    """What the user gave the value to: an option, an argument, or an environment variable."""
    if param is None:
        return "path"
    name = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name.strip("[]")
    from_environment = ctx and ctx.get_parameter_source(param.name or "") is click.core.ParameterSource.ENVIRONMENT
    return f"{name} (${param.envvar})" if from_environment else name


class LocalPath(click.Path):
    """A path on this machine. Every path option and argument has this type: others would take s3://bucket/x."""

    def __init__(self, **limits: Any) -> None:
        super().__init__(path_type=Path, **limits)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        refuse_scheme(_given_as(param, ctx), os.fspath(value))
        return super().convert(value, param, ctx)


class StorePlace(LocalPath):
    """A store that is only read: a folder, as a Path; or the address of a pack, which stays text: see `read_places`."""

    def __init__(self) -> None:
        super().__init__(file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        text = os.fspath(value)
        scheme = _SCHEME.match(text)
        if scheme and scheme[0].strip().lower() != "file://":
            return text.strip()
        return super().convert(value, param, ctx)


def read_store(place: Path | str) -> Path:
    """The folder of a store that is read, as `StorePlace` gave it: of an address its local copy, where the features
    arrive that are chosen. Raises StoreError, UsageError and NetworkError, as `features.packs.mounted.mount`."""
    if isinstance(place, Path):
        return place
    from features.packs.mounted import mount

    return mount(place)


def read_places(store: Path | str, manifest: Path) -> tuple[Path, Path]:
    """`read_store`, and the manifest: of a pack its own, where the user named none."""
    local = read_store(store)
    given = click.get_current_context().get_parameter_source("manifest")
    if isinstance(store, Path) or given is not click.core.ParameterSource.DEFAULT:
        return local, manifest
    from features.packs.mounted import mounted_manifest

    return local, mounted_manifest(local)


class PathOrName(click.ParamType):
    """A path on this machine, or the name of something else that the command looks up itself; stays text."""

    name = "text"

    def __init__(self, otherwise: str) -> None:
        """otherwise: what else than a path is allowed, like `the name of a suite that ships`."""
        self.otherwise = otherwise

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        refuse_scheme(_given_as(param, ctx), str(value), f", or {self.otherwise}")
        return str(value)


SUITE_OR_PATH = PathOrName("the name of a suite that ships")
LABELS_MAP_OR_PATH = PathOrName("THEIRS=OURS pairs, or the name of a map that ships")
MODEL_OR_PATH = PathOrName("the hub's name of a model, ORG/NAME")


def manifest_option(command: Command) -> Command:
    """--manifest, or $ERC_MANIFEST, or data/manifest.parquet."""
    return click.option(
        "--manifest",
        type=LocalPath(),
        envvar=MANIFEST_VARIABLE,
        default=DEFAULT_MANIFEST,
        show_default=True,
        show_envvar=True,
        help="The table of utterances (.parquet, .csv or .jsonl).",
    )(command)


def store_option(command: Command) -> Command:
    """--store, or $ERC_STORE, or store."""
    return _store_option(LocalPath(file_okay=False), "Folder of the stored embeddings.")(command)


def read_store_option(command: Command) -> Command:
    """--store of a command that only reads it: an address of a pack, too."""
    told = "Folder of the stored embeddings, or the address of a pack (hf://OWNER/NAME, s3://...)."
    return _store_option(StorePlace(), told, metavar="DIRECTORY|ADDRESS")(command)


def _store_option(kind: click.ParamType, told: str, metavar: str | None = None) -> Callable[[Command], Command]:
    return click.option(
        "--store",
        type=kind,
        envvar=STORE_VARIABLE,
        default=DEFAULT_STORE,
        show_default=True,
        show_envvar=True,
        metavar=metavar,
        help=told,
    )


def allow_options(verb: str) -> Callable[[Command], Command]:
    """--allow-stale and --allow-absent. verb: what is done with the rows, as in `Train on`"""

    def add(command: Command) -> Command:
        stale = f"{verb} rows even if the manifest's text or clip has changed since they were made."
        absent = f"{verb.split()[0]} even if some utterances were never extracted; they count as missing."
        command = click.option("--allow-absent", is_flag=True, help=absent)(command)
        return click.option("--allow-stale", is_flag=True, help=stale)(command)

    return add


def mix_option(command: Command) -> Command:
    """--mix-seeds"""
    told = "Average all finished seeds, even if they come from different code, versions or kinds of device."
    return click.option("--mix-seeds", is_flag=True, help=told)(command)


def store_argument(command: Command) -> Command:
    """[STORE], or $ERC_STORE, or store."""
    return _store_argument(LocalPath(file_okay=False), "[STORE]")(command)


def read_store_argument(command: Command) -> Command:
    """[STORE|ADDRESS], or $ERC_STORE, or store: of a command that only reads it."""
    return _store_argument(StorePlace(), "[STORE|ADDRESS]")(command)


def store_or_export_argument(command: Command) -> Command:
    """[STORE|EXPORT], or $ERC_STORE, or store."""
    return _store_argument(LocalPath(), "[STORE|EXPORT]")(command)


def _store_argument(kind: click.ParamType, metavar: str) -> Callable[[Command], Command]:
    return click.argument(
        "store", type=kind, envvar=STORE_VARIABLE, default=DEFAULT_STORE, required=False, metavar=metavar
    )


def json_option(command: Command) -> Command:
    """--json: one JSON document on stdout and nothing else there."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(command)


def use_option(command: Command) -> Command:
    """--use ROLE=FEATURE, any number of times."""
    return click.option(
        "--use",
        multiple=True,
        metavar="ROLE=FEATURE",
        help="Read the stored feature FEATURE (NAME or NAME@FINGERPRINT) wherever the suite says ROLE; repeatable.",
    )(command)


class FoldsParam(click.ParamType):
    """A number of folds, or `groups`."""

    name = "folds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == "groups":
            return "groups"
        if not str(value).isdecimal() or int(value) < 2:
            self.fail(f"{value!r} is neither a number of folds, of at least 2, nor `groups`", param, ctx)
        return int(value)


def cv_options(command: Command) -> Command:
    """--cv K or groups, --group, --nested and --all-splits."""
    for option in (
        click.option(
            "--all-splits",
            is_flag=True,
            help="With --nested: use the rows of every split, also those of test, instead of only those of train.",
        ),
        click.option(
            "--nested",
            is_flag=True,
            help="With --cv: give scores that may be reported. Each fold's epoch is chosen on a part of the other"
            " folds,"
            " never on the fold that is scored.",
        ),
        click.option(
            "--group",
            type=click.Choice(["dialogue", "group"]),
            help="What --cv keeps in one fold: each dialogue, or each `group` of the manifest.  [default: dialogue]",
        ),
        click.option(
            "--cv",
            type=FoldsParam(),
            metavar="K|groups",
            help="Cross-validate within the train split: K folds, or `groups`, which leaves one `group` out at a time"
            " (sessions, actors, episodes). Dev and test are not read.",
        ),
    ):
        command = option(command)
    return command


def folding_of(cv: int | str | None, group: str | None, nested: bool, all_splits: bool) -> Folding | None:
    """What `cv_options` ask for. Raises UsageError for options that do not go together."""
    from heads.training.folds import GROUPINGS, Folding

    given = {f"--group {group}": group is not None, "--nested": nested, "--all-splits": all_splits}
    for option, is_given in given.items():
        if cv is None and is_given:
            raise UsageError(f"{option} works only with cross-validation: add --cv K")
    if cv is None:
        return None
    if all_splits and not nested:
        raise UsageError(
            "--all-splits works only with --nested: add it; to choose between settings, the folds of train are enough"
        )
    if cv == "groups" and group == "dialogue":
        raise UsageError("--cv groups holds out one `group` at a time: leave --group dialogue out, or give --cv K")
    by = "group" if cv == "groups" else group or "dialogue"
    count = None if cv == "groups" else int(cv)
    return Folding(count, next(item for item in GROUPINGS if item == by), nested, all_splits)


def media_root_option(command: Command) -> Command:
    return click.option(
        "--media-root",
        type=LocalPath(file_okay=False),
        help="Folder that clip paths are relative to.  [default: the one that the manifest names]",
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
                help="Give the encoder the same input as the HLM12ERC code, with its slips: see docs/differences.md.",
            ),
            click.option(
                "--weights",
                type=click.Choice(["pretrained", "random"]),
                default="pretrained",
                show_default=True,
                help=weights_help,
            ),
            click.option(
                "--model",
                type=MODEL_OR_PATH,
                metavar="HUB_ID_OR_PATH",
                help="Use this model, or these weights, instead of the encoder's own.",
            ),
        ):
            command = option(command)
        return command

    return decorate


def parse_settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """What --set KEY=VALUE, any number of times, says. Raises UsageError for anything else."""
    settings = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE")
        refuse_scheme(f"--set {key}", value)  # some are paths
        settings[key] = value
    return settings
