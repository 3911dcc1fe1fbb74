"""Which encoders are shown of one utterance: those whose features a store holds, or those that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from features.encoders.protocol import EncoderRequest
from features.encoders.table import entry as encoder_entry
from features.encoders.table import options_of
from features.files import known_size_and_mtime
from features.manifest import Manifest
from features.spec import EncoderSpec
from features.store import Feature
from features.store.ledger import OUTSIDE

ABSENT = "absent"


@dataclass(frozen=True)
class Stored:
    """What a store says of one utterance.

    status: ok, missing, failed or absent; reason, detail: why there is no embedding, else None
    counts: the encoder's own (tokens, samples, frames, faces), those that it has
    input_digest: sha256 of the very input, None where there was none
    stale:  what the manifest or the clip holds today is not what the row was made from
    """

    feature: Feature
    status: str
    reason: str | None = None
    detail: str | None = None
    counts: tuple[tuple[str, int], ...] = ()
    input_digest: str | None = None
    stale: bool = False


@dataclass(frozen=True)
class Wanted:
    """One encoder to show: how it is built, and what the store says, None where that has no such feature.

    source: for an encoder that derives from another: what the store says of that one
    """

    name: str
    request: EncoderRequest
    stored: Stored | None = None
    source: Stored | None = None


def wanted_of_store(
    features: Sequence[Feature], manifest: Manifest, utterance_id: str, names: Sequence[str] = ()
) -> list[Wanted]:
    """An entry a feature of the store, in its order, but for imported ones, which no encoder makes.

    names: only those of these encoders or aliases; empty: all.

    Raises StoreError for a damaged store, UsageError for an encoder that this version does not know.
    """
    every = [stored_of(feature, manifest, utterance_id) for feature in features]
    sources = {stored.feature.fingerprint: stored for stored in reversed(every)}  # the first of each
    wanted = []
    for stored in every:
        spec = stored.feature.spec
        if spec.is_foreign:
            continue
        if names and spec.name not in names and spec.encoder not in names:
            continue
        source = sources.get(spec.derives_from or "")
        request = request_of(spec, source.feature.spec if source else None)
        wanted.append(Wanted(spec.name, request, stored, source))
    return wanted


def stored_of(feature: Feature, manifest: Manifest, utterance_id: str) -> Stored:
    """The row that holds for an utterance, and whether it was made from what is there today."""
    ledger = feature.ledger().filter(pl.col("utterance_id") == utterance_id)
    if ledger.is_empty():
        return Stored(feature, ABSENT)
    row: dict[str, Any] = ledger.row(0, named=True)
    position = manifest.positions[utterance_id]
    depends = feature.spec.depends
    stale = row["source_digest"] != manifest.source_digests(depends)[position]
    media = manifest.frame["media"][position]
    if depends == "media" and media is not None and manifest.media_root and row["media_size"] is not None:
        stale |= known_size_and_mtime(manifest.media_path(media)) != (row["media_size"], row["media_mtime_ns"])
    counts = tuple(
        (name, row[name])
        for name in row
        if (name.startswith("num_") or name in ("cut", OUTSIDE)) and isinstance(row[name], int)
    )
    return Stored(feature, row["status"], row["reason"], row["detail"], counts, row["input_digest"], stale)


def request_of(spec: EncoderSpec, source: EncoderSpec | None = None) -> EncoderRequest:
    """What builds the encoder of a stored spec again, on the CPU.

    Raises UsageError for an encoder or a way of preparing that this version does not know.
    """
    as_published = bool(spec.settings.get("as_published"))
    known = options_of(spec.encoder, as_published)
    default = encoder_entry(spec.encoder).default_model
    return EncoderRequest(
        encoder=spec.encoder,
        settings={key: spec.settings[key] for key in known if key in spec.settings},
        model=None if spec.model == default else spec.model,
        weights="random" if spec.weights == "random" else "pretrained",
        alias=spec.alias,
        as_published=as_published,
        source=source,
    )
