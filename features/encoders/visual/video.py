"""`video`: the frames of a clip together through VideoMAE, TimeSformer or V-JEPA 2, pooled over patches.

The frames are equidistant over the whole clip, so that a long clip is seen more coarsely; the models were trained on
two to four seconds. A class token is not among what is pooled; pooling=cls takes it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from features.encoders.devices import for_device
from features.encoders.protocol import EncoderRequest, Input, Reads
from features.encoders.specs import network_spec
from features.encoders.views import View
from features.encoders.visual.pictures import FramesPreparer, Pictures, whole
from features.encoders.visual.resnet50 import pool_frames
from features.encoders.visual.video_models import VideoModel
from features.errors import UsageError
from features.media.clip import Clip
from features.media.needs import ClipNeeds, FramesNeed
from features.pooling import POOLINGS, check_pooling

VERSION = 1
CLASS_TOKEN = "cls"  # noqa: S105

_BATCH_SIZE = {"cpu": 2, "cuda": 16}


class VideoEncoder:
    """[w] float32 an utterance, or [2 w] for `mean+max`; see the module."""

    reads: Reads = "clip"

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit, WeightsError where the model is not to be had."""
        self._pooling = check_pooling(settings["pooling"], (CLASS_TOKEN,))
        self._model = model = VideoModel(request)
        if self._pooling == CLASS_TOKEN and not model.has_class:
            raise UsageError(f"video: {model.name!r} has no class token: give pooling=mean")
        need = FramesNeed(model.num_frames(str(settings["frames"])), float(settings["max_seconds"]))
        self.needs = ClipNeeds(frames=need)
        self.prepare = FramesPreparer(need, whole)
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        parts = 1 if self._pooling == CLASS_TOKEN else len(POOLINGS[self._pooling])
        resolved = {"frames": need.count, "max_seconds": need.max_seconds, "pooling": self._pooling}
        self.spec = network_spec(
            request,
            modality="visual",
            encoder="video",
            version=VERSION,
            depends="media",
            kind="vector",
            shape=(model.width * parts,),
            settings=resolved | model.settings,
            weights_digest=model.digest,
            model=model.name,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 array of spec.shape per input."""
        clips: list[Pictures] = [item.value for item in inputs]
        made = [self._model.processed(clip.distinct) for clip in clips]
        ordered = [[frames[place] for place in clip.order] for frames, clip in zip(made, clips, strict=True)]
        states = self._model.states([np.stack(frames) for frames in ordered])
        return [self._pooled(state.float()).cpu().numpy() for state in states]

    def view(self, item: Clip, made: Input, turn: int = 0) -> View:
        """Each frame as the model's processor makes it."""
        return self._model.processed.view(item.frames(self.prepare.need), made)

    def _pooled(self, states: torch.Tensor) -> torch.Tensor:
        """float32 [t, w] -> what is kept"""
        if self._pooling == CLASS_TOKEN:
            return states[0]
        return pool_frames(states[1:] if self._model.has_class else states, self._pooling)
