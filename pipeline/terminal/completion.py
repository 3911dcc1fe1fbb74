"""What a shell offers at Tab beside commands and options: suites, experiments, encoders, stored features, parts.

Click asks these functions, in a process of its own at each Tab, so they import little and read no more than names. What
goes wrong offers nothing: a shell is no place for an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from features.defaults import DEFAULT_STORE

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offering(names: Callable[[click.Context], Iterable[str]]) -> Completer:
    """A completer of those names that begin with what is typed."""

    @wraps(names)
    def complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        try:
            return [CompletionItem(name) for name in names(context) if name.startswith(typed)]
        except Exception:
            return []

    return complete


def _argument(context: click.Context) -> str | None:
    """The first argument, where click gave up at an option whose value is still being typed."""
    return next(iter(context.args), None)


@_offering
def suites(context: click.Context) -> Iterable[str]:
    """The suites that ship."""
    from heads.config.suite import shipped_suites

    return shipped_suites()


def suites_or_files(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The suites that ship, and files; these come first, since bash forgets there what came before."""
    return [CompletionItem("", type="file"), *suites(context, parameter, typed)]


@_offering
def experiments(context: click.Context) -> Iterable[str]:
    """The experiments of the suite that stands on the command line."""
    from heads.config.suite import read_suite

    source = _argument(context) or context.params.get("suite_source") or context.params.get("config")
    return [experiment.name for experiment in read_suite(source).experiments] if source else []


@_offering
def encoders(context: click.Context) -> Iterable[str]:
    """The encoders, of one modality where that is given."""
    from features.encoders.table import ENCODERS, known_encoders

    wanted = context.params.get("modality")
    if wanted in (None, "all"):
        return known_encoders()
    return [name for name in known_encoders() if name not in ENCODERS or ENCODERS[name].modality == wanted]


@_offering
def features_or_paths(context: click.Context) -> Iterable[str]:
    """As `features` where a modality is given; else with it: MODALITY/NAME."""
    store = Path(_argument(context) or context.params.get("store") or DEFAULT_STORE)
    wanted = context.params.get("modality")
    found = store.glob(f"{wanted or '*'}/*/spec.json")
    names = {(path.parent.parent.name, path.parent.name.rpartition("-")[0]) for path in found}
    return sorted(name if wanted else f"{modality}/{name}" for modality, name in names)


@_offering
def features(context: click.Context) -> Iterable[str]:
    """Names of what is stored, of one modality where that is given: the folders without their fingerprints."""
    store = Path(_argument(context) or context.params.get("store") or DEFAULT_STORE)
    wanted = context.params.get("modality")
    found = store.glob(f"{'*' if wanted in (None, 'all') else wanted}/*/spec.json")
    return sorted({path.parent.name.rpartition("-")[0] for path in found})


@_offering
def id_rules(context: click.Context) -> Iterable[str]:
    """The usual rules by which the ids of foreign files are those of utterances."""
    from features.imports.rule import UTTERANCE_RULES

    return UTTERANCE_RULES


@_offering
def parts(context: click.Context) -> Iterable[str]:
    """What `erc heads` knows."""
    from heads.config.parts import all_parts, all_sections

    return dict.fromkeys(part.name for part in [*all_parts(), *all_sections()])
