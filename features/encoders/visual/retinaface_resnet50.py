"""`retinaface-resnet50`: only the faces of sampled frames through ResNet-50, or another backbone.

The faces are what `faces` stored; this encoder derives from it and takes the same frames.

mode=blackout: everything but the faces is black. The whole frame is fitted into the backbone's square, with black
               borders: torchvision's centre crop would lose the faces at the left and the right. Frames without a face
               are left out of the mean.
mode=crop:     each face is cut out with a margin and encoded on its own. The mean over the clip's faces counts them
               equally, or by the area of their boxes (weight=area).

As published, it is the whole mosaic (see `published_mosaic`), black but for the faces that the report does not lose,
resized and cropped as the report does: the faces of three of its five frames never arrive. A mosaic without any face is
all black, as in the report's code, and so the utterance is not missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from features.digests import canonical_json
from features.encoders.devices import for_device
from features.encoders.protocol import EncoderRequest, Input, Preparer, Reads
from features.encoders.specs import network_spec
from features.encoders.table import ENCODERS
from features.encoders.views import FramesView, Strip, View, Viewed
from features.encoders.visual.face_boxes import CONFIDENCE, Faces, unpack
from features.encoders.visual.face_pictures import MARGIN, Square, areas, black_out, cut_out, square_around
from features.encoders.visual.picture_network import PictureEncoder
from features.encoders.visual.pictures import AtMost, FramesPreparer, Letterbox, LetterboxPreparer, Pictures, whole
from features.encoders.visual.published_mosaic import (
    PUBLISHED_NEED,
    MosaicPreparer,
    check_published,
    published_crop,
    published_settings,
)
from features.encoders.visual.vision_models import Backbone, load_backbone
from features.errors import Reason, UnavailableError, UsageError, nearest
from features.media.clip import Clip
from features.media.needs import ClipNeeds, FramesNeed

VERSION = 1
PUBLISHED_VERSION = 2
MODES = ("blackout", "crop")
WEIGHTS = ("equal", "area")
CROP_FROM = 720  # pixels of the shorter side of the frames that faces are cut out of, at most

_BATCH_SIZE = {"cpu": 4, "cuda": 64}


@dataclass(frozen=True)
class FacePictures:
    """What is encoded of an utterance.

    pictures: uint8 RGB, each of the backbone's size
    order:    which picture each element of the mean is (a still picture counts as often as it is shown)
    weights:  of each element
    """

    pictures: tuple[np.ndarray, ...]
    order: tuple[int, ...]
    weights: tuple[float, ...]

    def digest(self) -> str:
        """sha256 (hex) over the very pixels, and how they are averaged."""
        digest = hashlib.sha256(canonical_json([self.order, self.weights]).encode())
        for picture in self.pictures:
            digest.update(canonical_json(picture.shape).encode())
            digest.update(picture.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class _Way:
    """need: the frames; prepare: what workers make of them; make: and what of that and the faces; settings: of that"""

    need: FramesNeed
    prepare: Preparer
    make: Callable[[Pictures, Faces], FacePictures]
    settings: dict[str, Any]


class RetinaFaceResNet50Encoder:
    """[d] float32 an utterance, d = 2048 for ResNet-50; see the module."""

    reads: Reads = "clip"

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings or a model that do not fit, WeightsError where weights are not to be had."""
        source = request.source
        if source is None:
            raise UsageError("retinaface-resnet50 derives from `faces`: its spec is needed")
        self._published = published = request.as_published
        self._confidence = CONFIDENCE if published else _check(settings)
        model = request.model or ENCODERS["retinaface-resnet50"].default_model or ""
        backbone = load_backbone(model, request.weights, request.dtype, request.device, first=published)
        if published:
            check_published(backbone, model)
            resolved = published_settings(backbone) | {"mode": "blackout"}
            way = _Way(PUBLISHED_NEED, MosaicPreparer(whole), blacked_out_mosaic, resolved)
        else:
            need = FramesNeed(int(source.settings["frames"]), float(source.settings["max_seconds"]))
            way = _way(settings, need, backbone)
        self._need = way.need
        self.needs = ClipNeeds(frames=way.need)
        self.prepare = way.prepare
        self._make = way.make
        resolved = way.settings | {"confidence": self._confidence}
        self._encoder = PictureEncoder(backbone, request.device, request.dtype)
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        self.spec = network_spec(
            request,
            modality="visual",
            encoder="retinaface-resnet50",
            version=PUBLISHED_VERSION if published else VERSION,
            depends="media",
            kind="vector",
            shape=(backbone.width,),
            settings=resolved,
            weights_digest=backbone.digest,
            derives_from=source.fingerprint,
            model=model,
        )

    def derive(self, item: Input, stored: np.ndarray) -> Input:
        """The input with nothing but its faces. item: of `prepare`; stored: float32 [n, 15] of `faces`.

        Raises UnavailableError: no-face where none has the score asked for (not as published), non-finite where `faces`
        says so.
        """
        if not np.isfinite(stored).all():
            raise UnavailableError(Reason.NON_FINITE, "the face detector gave NaN or infinity")
        faces = unpack(stored)
        faces = faces.where(faces.scores >= self._confidence)
        if not len(faces) and not self._published:
            best = f"the best score is {stored[:, 4].max():.2f}" if len(stored) else "none is found"
            raise UnavailableError(Reason.NO_FACE, f"no face of confidence {self._confidence:g} in any frame: {best}")
        pictures = self._make(item.value, faces)
        counts = item.counts[0] | {"num_faces": len(faces)}
        length = sum(picture.size for picture in pictures.pictures)
        return replace(item, value=pictures, length=length, digests=(pictures.digest(),), counts=(counts,))

    def view(self, item: Clip, made: Input, turn: int = 0) -> View:
        """What `prepare` made, and once `derive` has completed it, the pictures of faces that the network gets."""
        if not isinstance(made.value, FacePictures) and isinstance(self.prepare, Viewed):
            return self.prepare.view(item, made, turn)
        pictures = made.value
        share = [weight / sum(pictures.weights) for weight in pictures.weights]
        labels = tuple(f"{number}: {part:.0%} of the mean" for number, part in enumerate(share, start=1))
        shown = tuple(pictures.pictures[place] for place in pictures.order)
        frames = item.frames(self._need)
        strip = Strip("The network's input, before it is normalised", shown, labels)
        return FramesView(frames, (), (strip,), "Only the faces go into the network.")

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 [d] per input that `derive` made: the weighted mean over its pictures, in fp32."""
        clips: list[FacePictures] = [item.value for item in inputs]
        pictures = [picture for clip in clips for picture in clip.pictures]
        if not pictures:
            return []
        vectors = self._encoder.pictures(pictures)
        results, first = [], 0
        for clip in clips:
            chosen = vectors[[first + place for place in clip.order]]  # [n, d]
            first += len(clip.pictures)
            weights = torch.tensor(clip.weights, dtype=torch.float32, device=vectors.device)
            results.append(((weights[:, None] * chosen).sum(dim=0) / weights.sum()).cpu().numpy())
        return results


def _way(settings: dict[str, Any], need: FramesNeed, backbone: Backbone) -> _Way:
    """blackout or crop."""
    common = {
        "frames": need.count,
        "max_seconds": need.max_seconds,
        "mode": settings["mode"],
        "architecture": backbone.settings["architecture"],
        **{key: value for key, value in backbone.settings.items() if key == "tokens"},
        "side": backbone.side,
        "interpolation": "bilinear",
        "mean": list(backbone.mean),
        "std": list(backbone.std),
    }
    if settings["mode"] == "blackout":
        return _Way(need, LetterboxPreparer(need, Letterbox(backbone.side)), blacked_out, common)
    own = {"weight": settings["weight"], "margin": MARGIN, "crop_from": CROP_FROM}
    cut = CutOut(backbone.side, settings["weight"])
    return _Way(need, FramesPreparer(need, AtMost(CROP_FROM)), cut, common | own)


def blacked_out(frames: Pictures, faces: Faces) -> FacePictures:
    """The letterboxed frames that show a face, all else black."""
    order = [frames.order[frame] for frame in sorted(set(faces.frames.tolist()))]
    distinct = list(dict.fromkeys(order))
    pictures = []
    for place in distinct:
        shown = faces.where(faces.frames == frames.order.index(place))
        pictures.append(black_out(frames.distinct[place], shown, frames.places[place]))
    return FacePictures(tuple(pictures), tuple(distinct.index(place) for place in order), (1.0,) * len(order))


@dataclass(frozen=True)
class CutOut:
    """Each face cut out, once for each frame that shows it."""

    side: int
    weight: str

    def __call__(self, frames: Pictures, faces: Faces) -> FacePictures:
        squares: list[tuple[int, Square]] = []
        for frame, box in zip(faces.frames.tolist(), faces.boxes.tolist(), strict=True):
            height, width = frames.distinct[frames.order[frame]].shape[:2]
            squares.append((frames.order[frame], square_around(box, width, height)))
        distinct = list(dict.fromkeys(squares))
        pictures = tuple(cut_out(frames.distinct[place], square, self.side) for place, square in distinct)
        weights = areas(faces) if self.weight == "area" else [1.0] * len(faces)
        return FacePictures(pictures, tuple(distinct.index(square) for square in squares), tuple(weights))


def blacked_out_mosaic(frames: Pictures, faces: Faces) -> FacePictures:
    """As published: the mosaic, black but for its faces, then resized and cropped."""
    return FacePictures((published_crop(black_out(frames.distinct[0], faces)),), (0,), (1.0,))


def _check(settings: dict[str, Any]) -> float:
    """The confidence, where the settings are known and fit each other. Raises UsageError."""
    mode, weight, confidence = settings["mode"], settings["weight"], float(settings["confidence"])
    if mode not in MODES:
        raise UsageError(f"retinaface-resnet50 has no mode {mode!r}: {nearest(mode, MODES)}")
    if weight not in WEIGHTS:
        raise UsageError(f"retinaface-resnet50 has no weight {weight!r}: {nearest(weight, WEIGHTS)}")
    if mode == "blackout" and weight != "equal":
        raise UsageError(f"weight={weight} is for faces on their own: add --set mode=crop")
    if not CONFIDENCE <= confidence <= 1:
        raise UsageError(f"confidence={confidence:g} must lie between {CONFIDENCE:g}, where `faces` begins, and 1")
    return confidence
