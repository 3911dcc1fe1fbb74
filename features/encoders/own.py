"""An encoder of your own: a function from a batch to arrays, and a description of it.

    import numpy as np

    from features import OwnEncoder


    def loudness(sounds: list[np.ndarray], *, floor: float) -> list[np.ndarray]:
        levels = [20 * np.log10(np.abs(sound).clip(1e-5)) for sound in sounds]
        return [np.array([level.mean(), level.max(), (level > floor).mean()]) for level in levels]


    encoder = OwnEncoder("audio", loudness, version="1", settings={"floor": -40.0}, summary="mean and peak level")

and in the package's pyproject.toml:

    [project.entry-points."erc.encoders"]
    loudness = "my_package:encoder"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from features.errors import UsageError
from features.spec import MODALITIES, Kind, Modality

if TYPE_CHECKING:
    import numpy as np

OwnReads = Literal["text", "audio", "frames", "clip"]
_MODALITY: dict[str, Modality] = {"text": "text", "audio": "audio", "frames": "visual", "clip": "visual"}


@dataclass(frozen=True, slots=True)
class OwnClip:
    """One utterance as the input of an encoder that reads `clip`.

    samples: float32 [n], mono at the encoder's `rate_hz`, in [-1, 1]
    frames:  uint8 RGB [h, w, 3] each, at equal distances in time
    """

    samples: np.ndarray
    frames: list[np.ndarray]


@dataclass(frozen=True)
class OwnEncoder:
    """An encoder of your own: a function from a batch to arrays, and a description of it. docs/own-encoder.md has an
    example.

    reads:       what `encode` gets for each utterance: `text` (str), `audio` (float32 [n], mono at `rate_hz`, in
                 [-1, 1]), `frames` (a list of uint8 RGB [h, w, 3]), or `clip` (an OwnClip, which has both)
    encode:      encode(batch, **settings) returns one array for each utterance: [d], [layers, d] or [length, d], as
                 `kind` says. With `load`, it is called as encode(batch, loaded, **settings). An array must not depend
                 on the others of its batch
    version:     raise it whenever the numbers change. It is part of the fingerprint
    settings:    names and defaults of the settings that `--set` changes: text, numbers, true or false. All are part of
                 the fingerprint
    summary:     one line for `erc extract --list`
    load:        load(device, dtype) returns what is loaded once per process, on `cpu` or `cuda:0`, in fp32, bf16 or
                 fp16. A torch Module is put into evaluation mode, and its weights are part of the fingerprint. For
                 anything else, `version` must change when the weights change
    kind:        vector, stack (layers kept apart) or sequence
    modality:    the modality that the feature is stored as. The default is that of `reads`; for `clip`, visual
    batch_size:  number of utterances that are encoded at once
    rate_hz:     sample rate of the sound
    frames:      number of frames
    max_seconds: sound or clips that are longer are cut there, and counted

    Raises UsageError for an impossible value.
    """

    reads: OwnReads
    encode: Callable[..., Sequence[np.ndarray]]
    version: str
    settings: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    summary: str = ""
    load: Callable[[str, str], Any] | None = None
    kind: Kind = "vector"
    modality: Modality = None  # type: ignore[assignment]  # filled in
    batch_size: int = 32
    rate_hz: int = 16_000
    frames: int = 8
    max_seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.reads not in _MODALITY:
            raise UsageError(f"OwnEncoder: reads={self.reads!r} is none of {', '.join(_MODALITY)}")
        if self.modality is None:
            object.__setattr__(self, "modality", _MODALITY[self.reads])
        if self.modality not in MODALITIES:
            raise UsageError(f"OwnEncoder: modality={self.modality!r} is none of {', '.join(MODALITIES)}")
        if not callable(self.encode) or not (self.load is None or callable(self.load)):
            raise UsageError("OwnEncoder: encode (and load, where it is given) must be functions")
        if not isinstance(self.version, str) or not self.version.strip():
            raise UsageError(f"OwnEncoder: version={self.version!r} must be text, such as '1'")
        for name in ("batch_size", "rate_hz", "frames", "max_seconds"):
            if not getattr(self, name) > 0:
                raise UsageError(f"OwnEncoder: {name}={getattr(self, name)!r} must be above 0")
        wrong = [name for name, value in self.settings.items() if not isinstance(value, bool | int | float | str)]
        if wrong:
            raise UsageError(f"OwnEncoder: the default of {wrong[0]!r} must be text, a number, true or false")
