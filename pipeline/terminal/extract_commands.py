"""What a store lacks for an experiment, and the command that makes it or brings it up to date."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from features.encoders.table import find_entry
from features.spec import EncoderSpec, Selector
from features.store import Feature, Store

_BELOW_TOP = re.compile(r"(?P<encoder>.+)-top(?P<layers>\d+)(-context(?P<tokens>\d+))?")


def lacking_features(inputs: Mapping[str, Sequence[Selector]], store: Store | None) -> list[tuple[str, str]]:
    """(modality, selector) of the named features that the store has none of; all of them without a store.

    One that is damaged is there: what it lacks is a repair, which choosing it says.
    """
    there: set[tuple[str, str]] = set()
    if store is not None:
        damaged = (folder.rpartition("-")[0].partition("/") for folder, _ in store.damaged)
        there.update((modality, name) for modality, _, name in damaged)
        there.update((feature.spec.modality, feature.name) for feature in store.features())
    return [
        (modality, selector)
        for modality, selectors in inputs.items()
        for selector in selectors
        if isinstance(selector, str) and (modality, selector.partition("@")[0]) not in there
    ]


def making_command(modality: str, selector: str, manifest: Path | None, store: Path) -> str:
    """The `erc extract` that makes a feature of that name; it says ENCODER where the name is no encoder's.

    `sentence-tokens-top3` says that it is of sentence-tokens, below its last three layers, and
    `sentence-tokens-top3-context96` with the turns before in a window of 96 tokens, too.
    """
    name = selector.partition("@")[0]
    known = find_entry(name)
    if known and known.modality == modality:
        return _command(modality, name, manifest, store)
    below = _BELOW_TOP.fullmatch(name)
    entry = find_entry(below["encoder"]) if below else None
    if not below or entry is None or entry.modality != modality or "from_top" not in entry.options:
        return _command(modality, "ENCODER", manifest, store, ["--as", name])
    given = ["--set", f"from_top={below['layers']}"]
    if below["tokens"]:
        given += ["--set", "scope=context", "--set", f"max_tokens={below['tokens']}"]
    return _command(modality, below["encoder"], manifest, store, [*given, "--as", name])


def mending_command(feature: Feature, manifest: Path | None, store: Path) -> str:
    """The `erc extract`, or `erc store import`, that brings a stored feature up to date."""
    spec = feature.spec
    if spec.is_foreign:
        return _import_command(spec, manifest, store)
    given = []
    known = find_entry(spec.encoder)
    if known:
        published = bool(spec.settings.get("as_published"))
        other_model = spec.model if known.model and spec.model != known.default_model else None
        if other_model:  # whose own defaults may be others
            given += ["--model", other_model]
        if spec.weights == "random":
            given += ["--weights", "random"]
        if published:
            given.append("--as-published")
        for key, (default, _) in ((known.published or {}) if published else known.options).items():
            if key in spec.settings and (other_model or str(spec.settings[key]) != str(default)):
                given += ["--set", f"{key}={spec.settings[key]}"]
    if spec.alias:
        given += ["--as", spec.alias]
    return _command(spec.modality, spec.encoder, manifest, store, given)


def _import_command(spec: EncoderSpec, manifest: Path | None, store: Path) -> str:
    """Where the file lay is not recorded, only its name."""
    told = spec.settings
    rule = str(told.get("id_rule", ""))
    given = {
        "--field": told.get("field"),
        "--id": rule if "{" in rule and " " not in rule else None,
        "--model": told.get("made_with"),
        "--note": told.get("note"),
    }
    words = [str(told.get("source", "SOURCE")), "--modality", spec.modality, "--as", spec.name]
    words += [word for option, value in given.items() if value is not None for word in (option, str(value))]
    return shlex.join(["erc", "store", "import", *words, "--manifest", str(manifest), "--store", str(store)])


def _command(modality: str, encoder: str, manifest: Path | None, store: Path, more: Sequence[str] = ()) -> str:
    words = ["erc", "extract", "--modality", modality, "--encoder", encoder]
    return shlex.join([*words, "--manifest", str(manifest), "--store", str(store), *more])
