"""Five pictures out of a film, with and without groups of pictures that are passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from features.media.clip import decode_clip
from features.media.frame_reader import FrameReader
from features.media.needs import ClipNeeds, FramesNeed
from features.utterances import Utterance

_NEED = FramesNeed(5, 600.0)


class Pictures:
    """The whole of `decode_clip`, the survey of the packets included; the file's digest is remembered.
    all_groups: decode as if no group of pictures might be passed over"""

    def __init__(self, film: str, all_groups: bool) -> None:
        if all_groups:
            FrameReader.jumps_to = frozenset()  # type: ignore[assignment, method-assign]
        self._film = Path(film)
        self._pixels = np.zeros(0)

    def __call__(self) -> None:
        utterance = Utterance("u", "x", "train", "d", 0, "Ann", "Hello.", media=self._film.name)
        self._pixels = np.stack(decode_clip(self._film, utterance, [ClipNeeds(frames=_NEED)]).frames(_NEED).pixels)

    def rows(self) -> np.ndarray:
        return self._pixels


class EveryFrame(Pictures):
    """A plain loop: every frame is decoded and converted, five are kept."""

    def __init__(self, film: str) -> None:
        super().__init__(film, all_groups=False)

    def __call__(self) -> None:
        import av

        with av.open(str(self._film)) as container:
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        places = [round(len(pictures) * (2 * place + 1) / 10) for place in range(5)]
        self._pixels = np.stack([pictures[place] for place in places])

    rows = None  # type: ignore[assignment]
