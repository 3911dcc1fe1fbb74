"""The cast: every speaker has a voice and a face of their own, the same in every sample corpus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]
HairStyle = Literal["short", "long", "bob", "bun", "curly", "bald"]


@dataclass(frozen=True, slots=True)
class Speaker:
    """One character.

    pitch_hz:  fundamental frequency of a neutral sentence
    tract:     factor on the formant frequencies; above 1 for a shorter vocal tract
    breath:    share of noise in the voice, 0 to 1
    skin, hair, shirt, iris, wall: RGB; `wall` is the background behind this speaker
    """

    name: str
    pitch_hz: float
    tract: float
    breath: float
    skin: Colour
    hair: Colour
    hair_style: HairStyle
    shirt: Colour
    iris: Colour
    wall: Colour
    glasses: bool = False
    beard: bool = False


CAST: tuple[Speaker, ...] = (
    Speaker(
        "Amara", 205, 1.13, 0.06, (141, 92, 66), (38, 28, 30), "curly", (240, 176, 64), (62, 38, 24), (196, 220, 214)
    ),
    Speaker(
        "Bruno",
        112,
        0.98,
        0.05,
        (240, 203, 172),
        (94, 62, 42),
        "short",
        (66, 110, 152),
        (70, 106, 138),
        (232, 220, 200),
    ),
    Speaker(
        "Celia",
        222,
        1.16,
        0.10,
        (250, 217, 190),
        (198, 112, 58),
        "long",
        (92, 142, 108),
        (84, 128, 84),
        (214, 220, 236),
    ),
    Speaker(
        "Dario",
        128,
        1.02,
        0.05,
        (206, 156, 116),
        (42, 34, 34),
        "short",
        (178, 72, 68),
        (84, 54, 34),
        (222, 230, 212),
        beard=True,
    ),
    Speaker(
        "Edith",
        188,
        1.08,
        0.14,
        (246, 212, 192),
        (204, 204, 210),
        "bun",
        (132, 104, 160),
        (92, 116, 140),
        (238, 222, 216),
        glasses=True,
    ),
    Speaker(
        "Femi",
        104,
        0.94,
        0.04,
        (104, 68, 50),
        (30, 24, 24),
        "bald",
        (84, 160, 172),
        (50, 32, 22),
        (236, 228, 196),
        beard=True,
    ),
    Speaker(
        "Greta",
        214,
        1.12,
        0.08,
        (252, 222, 196),
        (232, 200, 120),
        "bob",
        (216, 116, 132),
        (90, 140, 170),
        (206, 226, 230),
    ),
    Speaker(
        "Hiro",
        136,
        1.03,
        0.07,
        (238, 198, 158),
        (34, 32, 38),
        "short",
        (104, 110, 124),
        (56, 40, 30),
        (226, 216, 232),
        glasses=True,
    ),
)
SPEAKERS: dict[str, Speaker] = {speaker.name: speaker for speaker in CAST}
