"""`resnet50`, `mobilenet`: sampled frames through a backbone, pooled over frames or kept as a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from features.encoders.devices import for_device
from features.encoders.protocol import EncoderRequest, Input, Reads
from features.encoders.specs import network_spec
from features.encoders.table import ENCODERS
from features.encoders.views import FramesView
from features.encoders.visual.picture_network import PictureEncoder
from features.encoders.visual.pictures import FramesPreparer, Pictures, whole
from features.encoders.visual.published_mosaic import (
    PUBLISHED_NEED,
    MosaicPreparer,
    check_published,
    published_crop,
    published_settings,
)
from features.encoders.visual.vision_models import load_backbone
from features.errors import UsageError, nearest
from features.media.clip import Clip
from features.media.needs import ClipNeeds, FramesNeed
from features.pooling import POOLINGS, pool

VERSION = 1
SEQUENCE = "sequence"

_BATCH_SIZE = {"cpu": 4, "cuda": 64}
_WHOLE_BATCH_SIZE = {"cpu": 1, "cuda": 8}
"""Of clips with whole frames, which wait in memory: five of 1920 x 1080 are 31 MB."""


class ResNet50Encoder:
    """One vector an utterance: [d], [2 d] for `mean+max`, or [frames, d] for `sequence`; d = 2048 for ResNet-50.

    A frame is prepared as torchvision does for the backbone's default weights, or goes whole to the own processor of a
    Hugging Face model. As published there is one picture, see `features.encoders.visual.published_mosaic`.
    """

    reads: Reads = "clip"

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings or a model that do not fit, WeightsError where weights are not to be had."""
        published = request.as_published
        self._pooling = "mean" if published else _check_pooling(request.encoder, settings["pooling"])
        model = request.model or ENCODERS[request.encoder].default_model or ""
        tokens = settings.get("tokens", "")
        backbone = load_backbone(model, request.weights, request.dtype, request.device, tokens, first=published)
        if published:
            check_published(backbone, model)
        self.prepare: FramesPreparer | MosaicPreparer
        if published:
            self.needs = ClipNeeds(frames=PUBLISHED_NEED)
            self.prepare = MosaicPreparer(published_crop)
            resolved = published_settings(backbone)
        else:
            need = FramesNeed(int(settings["frames"]), float(settings["max_seconds"]))
            self.needs = ClipNeeds(frames=need)
            self.prepare = FramesPreparer(need, backbone.crop or whole)
            resolved = {"frames": need.count, "max_seconds": need.max_seconds, "pooling": self._pooling}
            resolved |= backbone.settings
        self._encode = PictureEncoder(backbone, request.device, request.dtype)
        self._pictures = self._encode.pictures if published else self._encode.frames
        own_sizes = _BATCH_SIZE if self._encode.processed is None else _WHOLE_BATCH_SIZE
        self.batch_size = request.batch_size or for_device(own_sizes, request.device)
        sequence = self._pooling == SEQUENCE
        self.spec = network_spec(
            request,
            modality="visual",
            encoder=request.encoder,
            version=VERSION,
            depends="media",
            kind="sequence" if sequence else "vector",
            shape=(backbone.width * (1 if sequence else len(POOLINGS[self._pooling])),),
            settings=resolved,
            weights_digest=backbone.digest,
            model=model,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 array per input: [d], or [frames, d]. Each distinct picture runs through the network once."""
        clips: list[Pictures] = [item.value for item in inputs]
        pictures = [picture for clip in clips for picture in clip.distinct]
        if not pictures:
            return []
        vectors = self._pictures(pictures)
        results, first = [], 0
        for clip in clips:
            frames = vectors[[first + place for place in clip.order]]  # [k, d]
            first += len(clip.distinct)
            results.append(frames if self._pooling == SEQUENCE else pool_frames(frames, self._pooling))
        return [result.cpu().numpy() for result in results]

    def view(self, item: Clip, made: Input, turn: int = 0) -> FramesView:
        """See `views.Viewed`: the preparer's, or what the Hugging Face model's processor makes of its frames."""
        if self._encode.processed is None or isinstance(self.prepare, MosaicPreparer):
            return self.prepare.view(item, made, turn)
        return self._encode.processed.view(item.frames(self.prepare.need), made)


def pool_frames(frames: torch.Tensor, pooling: str) -> torch.Tensor:
    """float32 [k, d] -> [d], or [2 d] for `mean+max`."""
    every = torch.ones(1, len(frames), dtype=torch.bool, device=frames.device)
    return pool(frames[None], every, pooling)[0]


def _check_pooling(encoder: str, name: str) -> str:
    known = (*POOLINGS, SEQUENCE)
    if name not in known:
        raise UsageError(f"{encoder} has no pooling {name!r}: {nearest(name, known)}")
    return name
