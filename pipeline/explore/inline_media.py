"""Pictures and sound as `data:` addresses of a page, within what a page may weigh."""

from __future__ import annotations

import base64
import hashlib
import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_JPEG_QUALITY = 88
_THUMBNAIL_QUALITY = 82
FULL_SCALE = 32767


@dataclass(frozen=True)
class Image:
    """uri: PNG or JPEG; width, height: its size in pixels"""

    uri: str
    width: int
    height: int


@dataclass
class Budget:
    """What is left for a page's media, in characters of their addresses; and what stands there already."""

    pictures: int = 2_300_000
    sounds: int = 1_700_000
    _shown: dict[str, str] = field(default_factory=dict, init=False)

    def first_shown(self, arrays: Sequence[np.ndarray], name: str, more: str = "") -> str:
        """The name under which these very arrays were first shown: this one where they are new.

        more: tells apart what is equal and still not the same, such as the rate of a sound
        """
        digest = hashlib.sha256(more.encode())
        for array in arrays:
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return self._shown.setdefault(digest.hexdigest(), name)

    def exact(self, pictures: Sequence[np.ndarray]) -> tuple[list[Image], bool]:
        """The pictures pixel by pixel (PNG) where half of what is left suffices, else as JPEG; and whether they are.

        pictures: uint8 RGB [h, w, 3] or grey [h, w]
        """
        images = [png(picture) for picture in pictures]
        is_exact = sum(len(image.uri) for image in images) <= self.pictures / 2
        if not is_exact:
            images = [jpeg(picture) for picture in pictures]
        self.pictures -= sum(len(image.uri) for image in images)
        return images, is_exact

    def wav(self, samples: np.ndarray, rate_hz: int) -> tuple[str, int]:
        """A WAV of as many of the samples as there is room for, and their number. samples: float [n] in [-1, 1]"""
        room = max(0, (self.sounds - 100) // 4 * 3 // 2)
        uri = wav(samples[:room], rate_hz) if room else ""
        self.sounds -= len(uri)
        return uri, min(len(samples), room)


def png(picture: np.ndarray) -> Image:
    """Every pixel as it is."""
    return _image(picture, "PNG", optimize=True)


def jpeg(picture: np.ndarray) -> Image:
    return _image(picture, "JPEG", quality=_JPEG_QUALITY)


def thumbnail(picture: np.ndarray, width: int) -> Image:
    """A small JPEG, at most `width` pixels wide."""
    from PIL import Image as Pillow

    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    if picture.shape[1] > width:
        picture = np.asarray(Pillow.fromarray(picture).resize((width, height)))
    return _image(picture, "JPEG", quality=_THUMBNAIL_QUALITY)


def wav(samples: np.ndarray, rate_hz: int) -> str:
    """A `data:` address of 16-bit mono sound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate_hz)
        scaled = np.rint(np.clip(samples, -1.0, 1.0).astype(np.float64) * FULL_SCALE)
        sound.writeframes(scaled.astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()


def _image(picture: np.ndarray, form: str, **options: int) -> Image:
    from PIL import Image as Pillow

    file = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(picture)).save(file, form, **options)
    uri = f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
    return Image(uri, picture.shape[1], picture.shape[0])
