"""An encoder that another package brings, as the rest of this package knows encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.digests import digest_of
from features.encoders.audio.waveform import WaveformPreparer
from features.encoders.own import OwnClip, OwnEncoder
from features.encoders.plugins import distribution_of, own_encoder
from features.encoders.promises import check_promises
from features.encoders.protocol import EncoderRequest, Input, Preparer, Reads, Turn
from features.encoders.state_files import digest_of_network
from features.encoders.views import FramesView, TextView, Token, whole_frame
from features.errors import Reason, UnavailableError, UsageError, WeightsError, first_line
from features.media.clip import Clip
from features.media.needs import AudioNeed, ClipNeeds, FramesNeed
from features.spec import EncoderSpec

if TYPE_CHECKING:
    import torch

VERSION = 1  # of what is done here: raised where another input would reach `encode`


class BuiltOwnEncoder:
    """See the module. It is tried when it is built: twice the same, and a short input beside a long one."""

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError where the encoder cannot load, fails, or gives something else than it should, and
        WeightsError where it breaks a promise (see `check_promises`)."""
        own = own_encoder(request.encoder)
        if request.weights == "random":
            raise UsageError(f"encoder {request.encoder!r} is another package's: it has no random weights")
        self._own, self._settings, self._name = own, settings, request.encoder
        self.prepare, self.needs = _preparer(own)
        self.reads: Reads = "turn" if own.reads == "text" else "clip"
        self.batch_size = request.batch_size or own.batch_size
        self._loaded = self._load(request) if own.load else None
        dtype = request.dtype if own.load else "fp32"
        short, long = _probes(own)
        check_promises(self._tensors, short, long, request.encoder, dtype)
        shape = self.encode([Input(short, 1, ("",), ({},))])[0].shape
        self.spec = EncoderSpec(
            modality=own.modality,
            encoder=request.encoder,
            version=VERSION,
            depends="text" if own.reads == "text" else "media",
            kind=own.kind,
            shape=shape[1:] if own.kind == "sequence" else shape,
            settings=settings
            | _what_it_reads(own)
            | {"own_version": own.version, "package": distribution_of(request.encoder)},
            weights="pretrained" if own.load else "none",
            weights_digest=_weights_digest(self._loaded),
            compute_dtype=dtype,
            stored_dtype="float16" if own.kind == "sequence" else "float32",
            alias=request.alias,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 array per input. Raises UsageError where the package's function gives something else."""
        own = self._own
        batch = [item.value for item in inputs]
        given = (batch,) if own.load is None else (batch, self._loaded)
        made = own.encode(*given, **self._settings)
        if not hasattr(made, "__len__") or len(made) != len(batch):
            told = f"{len(made)} arrays" if hasattr(made, "__len__") else type(made).__name__
            raise UsageError(f"encoder {self._name!r} gave {told} for a batch of {len(batch)}: one each, in order")
        return [self._array(item) for item in made]

    def _array(self, made: Any) -> np.ndarray:
        values = np.asarray(made.detach().float().cpu() if hasattr(made, "detach") else made)
        if values.dtype.kind not in "fiub" or values.ndim != _AXES[self._own.kind] or not values.size:
            raise UsageError(
                f"encoder {self._name!r} gave {values.dtype} {list(values.shape)} for an utterance: a"
                f" {self._own.kind} is numbers of {_AXES[self._own.kind]} axes, none of them empty"
            )
        return values.astype(np.float32)

    def _tensors(self, values: Sequence[Any]) -> list[torch.Tensor]:
        import torch

        return [torch.from_numpy(array) for array in self.encode([Input(value, 1, ("",), ({},)) for value in values])]

    def _load(self, request: EncoderRequest) -> Any:
        import torch

        try:
            loaded = self._own.load(request.device, request.dtype) if self._own.load else None
        except Exception as error:
            raise WeightsError(f"encoder {self._name!r} cannot load: {first_line(error)}") from error
        if isinstance(loaded, torch.nn.Module):
            loaded.requires_grad_(False).eval()
        return loaded


_AXES = {"vector": 1, "stack": 2, "sequence": 2}


@dataclass(frozen=True, slots=True)
class OwnTextPreparer:
    """The text as it is in the manifest."""

    def __call__(self, turn: Turn, /) -> Input:
        """Raises UnavailableError(no-text) for a blank text."""
        text = turn.utterance.text
        if not text.strip():
            raise UnavailableError(Reason.NO_TEXT, "the text is blank")
        return Input(text, len(text), (digest_of("own-text", text),), ({},))

    def view(self, item: Turn, made: Input, turn: int = 0) -> TextView:
        """The text as one token."""
        return TextView((Token(made.value),), note="The text goes whole to another package's encoder.")


@dataclass(frozen=True, slots=True)
class OwnFramesPreparer:
    """Clip -> its sampled frames, and with `sound` an OwnClip of both."""

    need: FramesNeed
    sound: AudioNeed | None = None

    def __call__(self, clip: Clip, /) -> Input:
        """Raises UnavailableError: what `Clip.frames` and `Clip.sound` raise."""
        frames = clip.frames(self.need)
        counts = {"num_frames": len(frames.pixels), "cut": int(frames.cut)}
        if self.sound is None:
            return Input(list(frames.pixels), len(frames.pixels), (clip.digest,), (counts,))
        heard = clip.sound(self.sound)
        counts = {**counts, "num_samples": len(heard.samples), "cut": int(frames.cut or heard.cut)}
        value = OwnClip(heard.samples, list(frames.pixels))
        return Input(value, len(heard.samples), (clip.digest,), (counts,))

    def view(self, item: Clip, made: Input, turn: int = 0) -> FramesView:
        """The frames."""
        frames = item.frames(self.need)
        return FramesView(frames, tuple(map(whole_frame, frames.pixels)), (), "Frames go to another package's encoder.")


def _preparer(own: OwnEncoder) -> tuple[Preparer, ClipNeeds | None]:
    audio, frames = AudioNeed(own.rate_hz, own.max_seconds), FramesNeed(own.frames, own.max_seconds)
    if own.reads == "text":
        return OwnTextPreparer(), None
    if own.reads == "audio":
        return WaveformPreparer(audio), ClipNeeds(audio=audio)
    if own.reads == "frames":
        return OwnFramesPreparer(frames), ClipNeeds(frames=frames)
    return OwnFramesPreparer(frames, audio), ClipNeeds(audio=audio, frames=frames)


def _what_it_reads(own: OwnEncoder) -> dict[str, Any]:
    """For the fingerprint: what reaches `encode` and does not stand in its settings."""
    heard = {"rate_hz": own.rate_hz} if own.reads in ("audio", "clip") else {}
    seen = {"frames": own.frames} if own.reads in ("frames", "clip") else {}
    cut = {} if own.reads == "text" else {"max_seconds": own.max_seconds}
    return {"reads": own.reads, **heard, **seen, **cut}


def _probes(own: OwnEncoder) -> tuple[Any, Any]:
    """A short and a long value of what the encoder reads."""
    generator = np.random.default_rng(0)
    seconds = min(2.0, own.max_seconds)
    sounds = [
        (0.1 * generator.standard_normal(max(1, int(share * seconds * own.rate_hz)))).astype(np.float32)
        for share in (0.5, 1.0)
    ]
    pictures = [
        [generator.integers(0, 256, (side, side + 16, 3), np.uint8) for _ in range(own.frames)] for side in (48, 64)
    ]
    if own.reads == "text":
        return "Oh, hi.", "I never thought that you would really come all the way here, on such a day!"
    if own.reads == "audio":
        return sounds[0], sounds[1]
    if own.reads == "frames":
        return pictures[0], pictures[1]
    return OwnClip(sounds[0], pictures[0]), OwnClip(sounds[1], pictures[1])


def _weights_digest(loaded: Any) -> str | None:
    if loaded is None:
        return None
    import torch

    return digest_of_network(loaded) if isinstance(loaded, torch.nn.Module) else None
