"""Encoders built to continue what a store holds: in the dtype and under the name that a feature was begun with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from features.encoders.build import create, source_request
from features.encoders.protocol import Encoder, EncoderRequest
from features.encoders.table import entry
from features.errors import StoreError
from features.spec import DTYPES, EncoderSpec
from features.store import Feature


def build_encoders(requests: Sequence[EncoderRequest], store: Path, dtype: str) -> tuple[list[Encoder], frozenset[str]]:
    """Build the encoders of some requests, and before each one that derives from another, that other.

    Returns them all, and the folders of those that were not asked for by name.
    """
    built, implied = build_all(requests, store, dtype)
    return [encoder for encoder, _ in built], implied


def build_all(
    requests: Sequence[EncoderRequest], store: Path, dtype: str, preferred: str | None = None
) -> tuple[list[tuple[Encoder, EncoderRequest]], frozenset[str]]:
    """`build_encoders`, with each encoder the request that builds the same one elsewhere.

    preferred: what `auto` takes for a new folder, where encoders will compute on another machine
    """
    built: dict[str, tuple[Encoder, EncoderRequest]] = {}
    asked: set[str] = set()

    def add(request: EncoderRequest, is_source: bool) -> Encoder:
        encoder = build_encoder(request, store, dtype, preferred)
        request = replace(request, dtype=encoder.spec.compute_dtype)
        if is_source:
            take_stored_name(encoder, store)
        return built.setdefault(encoder.spec.folder, (encoder, request))[0]

    for request in requests:
        source = source_request(request)
        if source is not None:
            request = replace(request, source=add(source, is_source=True).spec)
        asked.add(add(request, is_source=False).spec.folder)
    return list(built.values()), frozenset(built) - asked


def take_stored_name(encoder: Encoder, store: Path) -> None:
    """Let an encoder continue the folder of its own feature where that has another name: an alias is not hashed."""
    spec = encoder.spec
    if (store / spec.folder).is_dir():
        return
    for path in sorted((store / spec.modality).glob(f"*-{spec.fingerprint[:8]}/spec.json")):
        feature = Feature(store, f"{spec.modality}/{path.parent.name}")
        if feature.fingerprint == spec.fingerprint:
            encoder.spec = feature.spec


def build_encoder(request: EncoderRequest, store: Path, dtype: str, preferred: str | None = None) -> Encoder:
    """Build an encoder that computes in `dtype`, or for `auto` in the dtype that the store was begun with.

    `auto` continues the one folder that differs in compute dtype alone, if there is one; else it takes `preferred`, or
    what the hardware is made for.
    """
    from features.encoders.devices import resolve_dtype

    if not entry(request.encoder).device:
        return create(request)
    encoder = create(replace(request, dtype=preferred or resolve_dtype(dtype, request.device)))
    if dtype != "auto":
        return encoder
    begun = _begun(encoder.spec, store)
    if len(begun) == 1 and begun[0] != encoder.spec.compute_dtype:
        del encoder  # two large models may not fit the device at once
        return create(replace(request, dtype=begun[0]))
    return encoder


def _begun(spec: EncoderSpec, store: Path) -> list[str]:
    """The compute dtypes in which the store has a feature that differs in these alone."""
    if not spec.from_top:
        folders = {other: store / replace(spec, compute_dtype=other).folder for other in DTYPES}
        return [other for other, folder in folders.items() if (folder / "spec.json").is_file()]
    found = set()
    for path in (store / spec.modality).glob(f"{spec.name}-*/spec.json"):
        with suppress(StoreError):
            stored = Feature(store, f"{spec.modality}/{path.parent.name}").spec
            if _in_no_dtype(stored) == _in_no_dtype(spec):
                found.add(stored.compute_dtype)
    return [other for other in DTYPES if other in found]


def _in_no_dtype(spec: EncoderSpec) -> str:
    """A fingerprint without the compute dtype, in which the layers on top are rounded, too."""
    settings = {key: value for key, value in spec.settings.items() if key != "top"}
    return replace(spec, compute_dtype="", settings=settings).fingerprint
