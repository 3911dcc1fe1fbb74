"""`faces`: boxes and landmarks of the faces in sampled frames, as a sequence [n, 15] in units of frames.

The detector is RetinaFace, or with `--model packaged:mtcnn` MTCNN, whose weights come in a package.

What a stored face is, `face_boxes` says. Faces are ordered by frame, then by score. Every box with a score above 0.02
(MTCNN: 0.7) is kept, at most ten a frame, so that what derives from this feature chooses its own threshold. A clip
without any is a sequence of length 0: that is a finding, not a failure.

As published, the detector runs on the whole mosaic of `published_mosaic`, which is the one frame (x and y in units of
the mosaic), as large as it is. `published_faces` says which boxes are left. Consequence: faces at the left edge and at
the top of the first frame are lost, and a face that many boxes find keeps out others.

Deviation: the report's network is biubug6's (Pytorch_Retinaface) with weights of its own, retinaface_resnet50.pth, and
reads BGR minus (104, 117, 123). Here it is ternaus's of 2020, which reads normalised RGB, as without --as-published.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from features.encoders.devices import for_device
from features.encoders.packaged_states import MTCNN, check_packaged, is_packaged
from features.encoders.protocol import EncoderRequest, Input, Reads
from features.encoders.specs import network_spec
from features.encoders.table import ENCODERS
from features.encoders.visual.face_boxes import (
    CONFIDENCE,
    MOST_FACES,
    NUM_VALUES,
    OVERLAP,
    Faces,
    Keep,
    keep_visible,
    pack,
)
from features.encoders.visual.mtcnn_detector import SETTINGS as MTCNN_SETTINGS
from features.encoders.visual.mtcnn_detector import MtcnnDetector
from features.encoders.visual.mtcnn_network import load_mtcnn
from features.encoders.visual.pictures import AtMost, FramesPreparer, Pictures, whole
from features.encoders.visual.published_faces import keep_published
from features.encoders.visual.published_mosaic import MOSAIC_SIZE, NUM_FRAMES, PUBLISHED_NEED, MosaicPreparer
from features.encoders.visual.retinaface_network import MEAN, STD, FaceDetector, load_retinaface
from features.errors import UsageError
from features.media.needs import ClipNeeds, FramesNeed

VERSION = 1
PUBLISHED_VERSION = 2

_BATCH_SIZE = {"cpu": 4, "cuda": 64}


class FacesEncoder:
    """See the module."""

    reads: Reads = "clip"

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings or a model that do not fit, WeightsError where weights are not to be had."""
        self.prepare: FramesPreparer | MosaicPreparer
        self._keep: Keep
        resolved: dict[str, Any]
        if request.as_published:
            need, self.prepare, self._keep = PUBLISHED_NEED, MosaicPreparer(whole), keep_published
            resolved = {"as_published": True, "frames": NUM_FRAMES, "frames_at": "ends", "mosaic": list(MOSAIC_SIZE)}
        else:
            need = FramesNeed(int(settings["frames"]), float(settings["max_seconds"]))
            size = int(settings["size"])
            self.prepare, self._keep = FramesPreparer(need, AtMost(size)), keep_visible
            resolved = {"frames": need.count, "max_seconds": need.max_seconds, "size": size}
        self.needs = ClipNeeds(frames=need)
        model = request.model or ENCODERS["faces"].default_model or ""
        self._detector, digest, own = _load_detector(model, request)
        resolved |= {"most_faces": MOST_FACES, "interpolation": "bilinear"} | own
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        self.spec = network_spec(
            request,
            modality="visual",
            encoder="faces",
            version=PUBLISHED_VERSION if request.as_published else VERSION,
            depends="media",
            kind="sequence",
            shape=(NUM_VALUES,),
            settings=resolved,
            weights_digest=digest,
            model=model,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """float32 [n, 15] per input, n from 0 on; each input's `num_faces` count is set to n.

        Where the network gives NaN or infinity for a frame, a row of NaN says so: it is not a frame without faces.
        Frames of one size run together, those of other sizes on their own.
        """
        clips: list[Pictures] = [item.value for item in inputs]
        sizes: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for clip, pictures in enumerate(clips):
            for place, picture in enumerate(pictures.distinct):
                sizes.setdefault(picture.shape, []).append((clip, place))
        found: dict[tuple[int, int], Faces | None] = {}
        for places in sizes.values():
            pictures_of_size = [clips[clip].distinct[place] for clip, place in places]
            found |= zip(places, self._detector.faces(pictures_of_size, self._keep), strict=True)
        results = []
        for clip, item in enumerate(inputs):
            rows = [_rows(found[clip, place], frame) for frame, place in enumerate(clips[clip].order)]
            results.append(np.concatenate(rows))
            item.counts[0]["num_faces"] = len(results[-1])
        return results


class _Detector(Protocol):
    """Finds the faces of pictures, uint8 RGB [h, w, 3] of one size; None where a network gave NaN or infinity."""

    def faces(self, pictures: Sequence[np.ndarray], keep: Keep) -> list[Faces | None]: ...


def _load_detector(model: str, request: EncoderRequest) -> tuple[_Detector, str, dict[str, Any]]:
    """The detector on its device, the digest of its weights, and what of it changes the numbers."""
    if not is_packaged(model):
        network, digest = load_retinaface(model, request.weights)
        settings = {"confidence": CONFIDENCE, "overlap": OVERLAP, "mean": list(MEAN), "std": list(STD)}
        suppress = not request.as_published
        return FaceDetector(network, request.device, request.dtype, suppress=suppress), digest, settings
    check_packaged(model, (MTCNN,))
    if request.as_published:
        raise UsageError(f"--as-published is for RetinaFace, not {model!r}: leave --model out")
    if request.weights == "random":
        raise UsageError(f"--weights random takes no packaged weights: leave {model!r} out")
    stages, digest = load_mtcnn()
    return MtcnnDetector(stages, request.device, request.dtype), digest, MTCNN_SETTINGS


def _rows(faces: Faces | None, frame: int) -> np.ndarray:
    """The stored rows [n, 15] of one frame's faces."""
    if faces is None:
        return np.full((1, NUM_VALUES), np.nan, np.float32)
    return pack(Faces(np.full(len(faces), frame), faces.boxes, faces.scores, faces.landmarks))
