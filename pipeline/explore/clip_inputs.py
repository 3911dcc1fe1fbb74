"""What the encoders make of one utterance: its clip decoded once, and each encoder's own `prepare` and `view`.

Weights are not needed for that, and are not loaded where an encoder can be built without: its network then has random
ones, and is never run. Faces are the exception: what they look like is the detector's finding, so they come from the
store, or from its real weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from features.encoders.build import create, source_request
from features.encoders.protocol import DerivedEncoder, Encoder, EncoderRequest, Input, Turn
from features.encoders.table import entry as encoder_entry
from features.encoders.views import View, Viewed
from features.engines.clip_task import as_unavailable
from features.errors import ErcError, Reason, StoreError, UnavailableError, UsageError, WeightsError
from features.manifest import Manifest
from features.media.clip import Clip, check_inside, decode_clip
from features.utterances import Dialogue, Utterance
from pipeline.explore.clip_wanted import Stored, Wanted

if TYPE_CHECKING:
    import numpy as np

    from features.encoders.visual.face_boxes import Faces


_OF_WEIGHTS = {"random_seed", "top"}
"""Settings that tell of weights, which are not loaded here."""


@dataclass(frozen=True)
class Found:
    """Faces of an utterance and where they come from. confidence: below this a face does not count"""

    faces: Faces
    origin: str
    confidence: float
    random: bool = False


@dataclass(frozen=True)
class Seen:
    """What one encoder gets of the utterance.

    settings:    all that its spec says of how its input is made
    view:        of its input; None where there is none, or no view of it
    unavailable: why there is no input
    not_shown:   why this encoder, or all that it takes, is not to be had here, one line; else ''
    agrees:      whether the input (of media: the clip, byte by byte) is the one that the stored row was made of; None
                 where the store does not say
    differs:     what the encoder makes its input with today, where the stored feature says otherwise
    faces:       for encoders of faces; no_faces: why those of the detector are not to be had
    before:      of an encoder that derives from another: the view of what it cuts faces out of
    """

    wanted: Wanted
    modality: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    view: View | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    unavailable: UnavailableError | None = None
    not_shown: str = ""
    agrees: bool | None = None
    differs: tuple[str, ...] = ()
    faces: Found | None = None
    no_faces: str = ""
    before: View | None = None


@dataclass(frozen=True)
class Look:
    """One utterance and what each encoder gets of it.

    clip:      as decoded for all of them; the reason where it could not be, or was not needed (None)
    known_bad: what the dataset card says is wrong with the clip, or None
    """

    utterance: Utterance
    dialogue: Dialogue
    index: int
    manifest: Manifest
    clip: Clip | UnavailableError | None
    known_bad: str | None
    seen: tuple[Seen, ...]


def look_at(
    manifest: Manifest,
    utterance_id: str,
    wanted: Sequence[Wanted],
    *,
    follow_symlinks: bool = False,
    strict: bool = False,
) -> Look:
    """Build the encoders, decode the clip once for all of them, and prepare each one's input.

    strict: raise what is wrong with an encoder's settings, in place of saying so in the page
    Raises ManifestError where there are clips but no media_root; UsageError with `strict`.
    """
    dialogue, index = _dialogue_of(manifest, utterance_id)
    utterance = dialogue.utterances[index]
    built: dict[int, Encoder] = {}
    refused: dict[int, str] = {}
    for place, item in enumerate(wanted):
        try:
            built[place] = build_to_prepare(item.request)
        except UsageError as error:
            if strict:
                raise
            refused[place] = str(error)
        except ErcError as error:
            refused[place] = str(error)
    clip = _decoded(manifest, utterance, list(built.values()), follow_symlinks)
    turn = Turn(dialogue, index)
    seen = [
        _seen(item, built[place], turn, clip)
        if place in built
        else Seen(item, encoder_entry(item.request.encoder).modality, not_shown=refused[place])
        for place, item in enumerate(wanted)
    ]
    known_bad = manifest.card.known_bad.get(utterance_id)
    return Look(utterance, dialogue, index, manifest, clip, known_bad, tuple(seen))


def build_to_prepare(request: EncoderRequest) -> Encoder:
    """The encoder, without its weights where it can be had so; it is to prepare inputs, not to encode them.

    Raises UsageError for settings or a model that do not fit, WeightsError where it takes files that are not there.
    """
    if encoder_entry(request.encoder).device:
        try:
            return create(replace(request, weights="random"))
        except UsageError:  # what is given as a state file has no architecture of its own to go by
            pass
    return create(request)


def _dialogue_of(manifest: Manifest, utterance_id: str) -> tuple[Dialogue, int]:
    position = manifest.positions[utterance_id]
    start, stop = next(bounds for bounds in manifest.dialogue_bounds() if bounds[0] <= position < bounds[1])
    return next(manifest.dialogues(start, stop)), position - start


def _decoded(
    manifest: Manifest, utterance: Utterance, encoders: Sequence[Encoder], follow_symlinks: bool
) -> Clip | UnavailableError | None:
    needs = [encoder.needs for encoder in encoders if encoder.needs is not None]
    if not needs:
        return None
    if utterance.media is None:
        return UnavailableError(Reason.NO_MEDIA, "the manifest names no clip")
    path = manifest.media_path(utterance.media)
    try:
        if not follow_symlinks:
            check_inside(path, manifest.media_path(""))
        return decode_clip(path, utterance, needs)
    except UnavailableError as error:
        return error
    except MemoryError as error:
        return UnavailableError(Reason.OUT_OF_MEMORY, f"no memory to decode it ({error or 'MemoryError'})")
    except Exception as error:  # as extraction does: what damaged files make libraries raise is not known
        return UnavailableError(Reason.UNDECODABLE, f"{type(error).__name__}: {error}")


def _seen(wanted: Wanted, encoder: Encoder, turn: Turn, clip: Clip | UnavailableError | None) -> Seen:
    spec, stored = encoder.spec, wanted.stored
    seen = Seen(
        wanted,
        spec.modality,
        {key: value for key, value in spec.settings.items() if key not in _OF_WEIGHTS},
        stored.feature.spec.model if stored else wanted.request.model or spec.model,
        differs=_differences(encoder, stored),
    )
    place = turn.index if encoder.reads == "dialogue" else 0
    try:
        item: Any = {"dialogue": turn.dialogue, "turn": turn, "clip": clip}[encoder.reads]
        if isinstance(item, UnavailableError):
            raise item
        made = encoder.prepare(item)
        if made.unavailable and (error := made.unavailable[place]) is not None:
            raise error
    except Exception as error:
        return replace(seen, unavailable=as_unavailable(error))
    if wanted.request.encoder == "faces" or spec.derives_from:
        seen, made = _with_faces(seen, encoder, made, item)
    viewer = encoder if isinstance(encoder, Viewed) else encoder.prepare
    is_whole = seen.unavailable is None and not seen.not_shown
    agrees = None
    if stored is not None and stored.input_digest is not None and is_whole:
        agrees = stored.input_digest == (item.digest if encoder.reads == "clip" else made.digests[place])
    return replace(
        seen,
        view=viewer.view(item, made, place) if is_whole and isinstance(viewer, Viewed) else None,
        counts=made.counts[place],
        agrees=agrees,
    )


def _differences(encoder: Encoder, stored: Stored | None) -> tuple[str, ...]:
    """What the stored feature's input was made with and this encoder's is not."""
    if stored is None:
        return ()
    now, then = encoder.spec, stored.feature.spec
    found = [] if now.version == then.version else [f"version {now.version} (stored: {then.version})"]
    for key in sorted((now.settings.keys() | then.settings.keys()) - _OF_WEIGHTS):
        if now.settings.get(key) != then.settings.get(key):
            found.append(f"{key}={now.settings.get(key)} (stored: {then.settings.get(key)})")
    return tuple(found)


def _with_faces(seen: Seen, encoder: Encoder, made: Input, clip: Clip) -> tuple[Seen, Input]:
    """The faces, and for an encoder that derives from them the input that they complete."""
    from features.encoders.visual.face_boxes import CONFIDENCE, unpack

    confidence = float(encoder.spec.settings["confidence"]) if encoder.spec.derives_from else CONFIDENCE
    before = encoder.prepare.view(clip, made) if isinstance(encoder.prepare, Viewed) else None
    if encoder.spec.derives_from:
        seen = replace(seen, before=before)
    try:
        rows, origin, random = _face_rows(seen.wanted, clip)
    except (WeightsError, UsageError, StoreError) as error:
        if encoder.spec.derives_from:
            return replace(seen, not_shown=str(error)), made
        return replace(seen, no_faces=str(error)), made
    except UnavailableError as error:
        return replace(seen, unavailable=error), made
    seen = replace(seen, faces=Found(unpack(rows), origin, confidence, random))
    if not encoder.spec.derives_from:
        return seen, replace(made, counts=(made.counts[0] | {"num_faces": len(rows)},))
    try:
        return seen, cast(DerivedEncoder, encoder).derive(made, rows)
    except UnavailableError as error:
        return replace(seen, unavailable=error), made


def _face_rows(wanted: Wanted, clip: Clip) -> tuple[np.ndarray, str, bool]:
    """Stored rows of `faces` (see `face_boxes`), where they come from, and whether a random network gave them.

    Raises WeightsError and UsageError where the detector is not to be had, UnavailableError where it fails.
    """
    import numpy as np

    stored = wanted.stored if wanted.request.encoder == "faces" else wanted.source
    if stored is not None and stored.status == "ok" and stored.input_digest == clip.digest:
        (rows,) = stored.feature.read_sequences([clip.utterance.utterance_id])
        if rows is not None:
            return rows, f"the store, {stored.feature.folder}", stored.feature.spec.weights == "random"
    request = wanted.request if wanted.request.encoder == "faces" else source_request(wanted.request)
    if request is None:
        raise UsageError(f"{wanted.name} does not derive from faces")
    detector = create(request)
    if detector.needs is None or detector.needs.frames not in clip.pictures:
        raise UsageError(f"{wanted.name} takes other frames than its detector")
    (rows,) = detector.encode([detector.prepare(clip)])
    if not np.isfinite(rows).all():
        raise UnavailableError(Reason.NON_FINITE, "the detector gave NaN or infinity")
    return rows, "the detector, run now", request.weights == "random"
