"""The encoders of a run, built again from what it recorded, and held against its fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest
from features.encoders.table import entry, options_of
from features.errors import ErcError, RunError, StoreError, WeightsError
from features.spec import EncoderSpec
from features.store import Store
from pipeline.runs.features_file import FeatureUse
from pipeline.runs.folder import Run


def build_run_encoders(
    run: Run, device: str, store: Path | None = None, batch_size: int | None = 1
) -> tuple[list[Encoder], frozenset[str]]:
    """One encoder for each feature of a run, before each that derives from another that other; and the folders of those
    others, which no head reads.

    device: as `resolve_device` gives it
    batch_size: inputs at once; 1: each alone, so that its embedding is the same bits whatever it comes with; None: the
            encoder's own, as `erc extract` has it
    store:  where specs of features may lie that a recorded one derives from; None: the store that the run recorded
    Raises RunError where a feature was imported, or an encoder cannot be built here or is not the one that the run was
    trained on: it says which, what differs, and how to get it.
    """
    foreign = [use.name for use in run.features.features if use.weights == "foreign"]
    if foreign:
        raise RunError(
            f"{run.path}: reads {', '.join(foreign)}, imported vectors, which cannot be computed from raw turns:"
            " import theirs by `erc store import`, and score the run with `erc evaluate`"
        )
    recorded = Path(run.features.store) if run.features.store else None
    built: dict[str, Encoder] = {}
    asked = set()
    for use in run.features.features:
        places = [folder for folder in (store, recorded, run.path / "encoders") if folder is not None]
        encoder = _built(run, use, device, batch_size, places, built)
        asked.add(encoder.spec.folder)
        built[encoder.spec.folder] = encoder
    return list(built.values()), frozenset(built) - asked


def request_of(
    use: FeatureUse, device: str, batch_size: int | None = 1, source: EncoderSpec | None = None
) -> EncoderRequest:
    """The request that builds what a run recorded."""
    as_published = bool(use.settings.get("as_published"))
    known = options_of(use.encoder, as_published)
    settings = {key: value for key, value in use.settings.items() if key in known}
    if source is not None:
        settings |= {key: value for key, value in source.settings.items() if key in known and key not in settings}
    return EncoderRequest(
        use.encoder,
        {key: value for key, value in settings.items() if not isinstance(value, (list, dict))},
        model=use.model if entry(use.encoder).model else None,
        weights="random" if use.weights == "random" else "pretrained",
        alias=use.name if use.name != use.encoder else None,
        device=device if entry(use.encoder).device else "cpu",
        dtype=use.compute_dtype or "fp32",
        batch_size=batch_size,
        as_published=as_published,
        source=source,
    )


def _built(
    run: Run,
    use: FeatureUse,
    device: str,
    batch_size: int | None,
    stores: Sequence[Path],
    built: dict[str, Encoder],
) -> Encoder:
    try:
        source = _source(use, device, batch_size, stores, built)
        encoder = create(request_of(use, device, batch_size, source))
    except WeightsError as error:
        raise RunError(f"{run.path}: {use.folder} cannot be computed here: {error}") from error
    except ErcError as error:
        raise RunError(f"{run.path}: {use.folder} cannot be built again: {error}") from error
    if encoder.spec.fingerprint != use.fingerprint:
        raise RunError(
            f"{run.path}: was trained on {use.folder}, and what is built here is {encoder.spec.fingerprint[:8]}"
            f" ({_differences(use, encoder.spec)}): use the model and versions that the run was trained with, or train"
            " again on features extracted here"
        )
    return encoder


def _source(
    use: FeatureUse, device: str, batch_size: int | None, stores: Sequence[Path], built: dict[str, Encoder]
) -> EncoderSpec | None:
    """The spec that a derived feature derives from, whose encoder joins `built`; None for others.

    Its settings stand in the store alone. Without a store that has it, the defaults are tried.
    """
    if entry(use.encoder).derives is None:
        return None
    spec = next((spec for store in stores if (spec := _source_spec(store, use.fingerprint))), None)
    if spec is None:
        return None
    wanted = FeatureUse(
        modality=spec.modality,
        name=spec.name,
        folder=spec.folder,
        fingerprint=spec.fingerprint,
        encoder=spec.encoder,
        model=spec.model,
        weights=spec.weights,
        compute_dtype=spec.compute_dtype,
        settings=spec.settings,
    )
    encoder = create(request_of(wanted, device, batch_size))
    built.setdefault(encoder.spec.folder, encoder)
    return encoder.spec


def _source_spec(store: Path, fingerprint: str) -> EncoderSpec | None:
    try:
        features = Store(store).features()
    except StoreError:
        return None
    derived = next((feature.spec for feature in features if feature.fingerprint == fingerprint), None)
    if derived is None:
        return None
    return next((feature.spec for feature in features if feature.fingerprint == derived.derives_from), None)


def _differences(use: FeatureUse, spec: EncoderSpec) -> str:
    """What of a recorded feature is not what is built here, in words."""
    pairs: dict[str, tuple[Any, Any]] = {
        "shape": (list(use.shape), list(spec.shape)),
        "compute dtype": (use.compute_dtype, spec.compute_dtype),
    }
    pairs |= {key: (use.settings.get(key), spec.settings.get(key)) for key in {*use.settings, *spec.settings}}
    told = [
        f"{key}: {_short(before)} then, {_short(now)} now"
        for key, (before, now) in sorted(pairs.items())
        if before != now
    ]
    return "; ".join(told[:3]) or "other weights, or another version of the encoder"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
