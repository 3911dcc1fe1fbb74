"""What the specs of all encoders with a network have in common."""

from __future__ import annotations

from typing import Any

from features.encoders.loading import RANDOM_SEED
from features.encoders.protocol import EncoderRequest
from features.spec import EncoderSpec


def network_spec(request: EncoderRequest, *, settings: dict[str, Any], **fields: Any) -> EncoderSpec:
    """An EncoderSpec of these fields, with what the request says: weights, their seed where they are random, compute
    dtype and alias."""
    if request.weights == "random":
        settings = settings | {"random_seed": RANDOM_SEED}
    return EncoderSpec(
        settings=settings, weights=request.weights, compute_dtype=request.dtype, alias=request.alias, **fields
    )
