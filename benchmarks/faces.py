"""RetinaFace and ResNet-50 on a clip's frames: batches against one frame at a time in fp32.

    python benchmarks/faces.py [--clips 4] [--dtype fp32]

Random weights of both architectures; five frames of noise a clip, 426x240 for the detector and 224x224 for ResNet-50.
The reference is the plain networks' forward passes alone; ours decodes boxes and pools, too.
"""

from __future__ import annotations

import click
import numpy as np
import torch
from timing import compare, machine

from features.encoders.build import create
from features.encoders.devices import resolve_dtype
from features.encoders.protocol import Encoder, EncoderRequest
from features.manifest import Utterance
from features.media.clip import Clip
from features.media.needs import Frames

FRAMES = 5


@click.command()
@click.option("--clips", default=4, show_default=True)
@click.option("--dtype", default="auto", show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(clips: int, dtype: str, rounds: int) -> None:
    from retinaface.network import RetinaFace
    from torchvision.models import resnet50

    dtype = resolve_dtype(dtype, "cpu")
    encoders = [create(EncoderRequest(name, weights="random", dtype=dtype)) for name in ("faces", "resnet50")]
    noise = np.random.default_rng(0)
    frames = noise.integers(0, 256, (clips, FRAMES, 240, 426, 3), dtype=np.uint8)
    prepared = [[encoder.prepare(noise_clip(encoder, own)) for own in frames] for encoder in encoders]
    large = noise.normal(0, 1, (clips * FRAMES, 3, 240, 426)).astype(np.float32)
    small = noise.normal(0, 1, (clips * FRAMES, 3, 224, 224)).astype(np.float32)
    stages = {"layer2": 1, "layer3": 2, "layer4": 3}
    detector = RetinaFace("Resnet50", False, 256, stages, 256).eval()
    backbone = resnet50(weights=None).eval()
    click.echo(f"{machine()}\n{clips} clips of {FRAMES} frames, ours in {dtype}")

    def one_by_one() -> None:
        with torch.inference_mode():
            for frame in large:
                detector(torch.from_numpy(frame[None]))
            for frame in small:
                backbone(torch.from_numpy(frame[None]))

    def ours() -> None:
        for encoder, inputs in zip(encoders, prepared, strict=True):
            for first in range(0, clips, encoder.batch_size):
                encoder.encode(inputs[first : first + encoder.batch_size])

    click.echo(f"against one frame at a time in fp32: {compare(one_by_one, ours, rounds)}")


def noise_clip(encoder: Encoder, frames: np.ndarray) -> Clip:
    """A clip, as decoded, of these frames."""
    need = encoder.needs.frames if encoder.needs else None
    utterance = Utterance("noise", "noise", "test", "noise", 0, "", "")
    return Clip(utterance, "", pictures={need: Frames(list(frames), [0.0] * len(frames), 1.0, False)} if need else {})


if __name__ == "__main__":
    main()
