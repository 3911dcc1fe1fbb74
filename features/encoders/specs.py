"""What the specs of all encoders with a network have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from features.encoders.loading import RANDOM_SEED
from features.encoders.protocol import EncoderRequest
from features.spec import EncoderSpec

if TYPE_CHECKING:
    from features.top.top import Top


def network_spec(request: EncoderRequest, *, settings: dict[str, Any], **fields: Any) -> EncoderSpec:
    """An EncoderSpec of these fields, with what the request says: weights, their seed where they are random, compute
    dtype and alias."""
    if request.weights == "random":
        settings = settings | {"random_seed": RANDOM_SEED}
    return EncoderSpec(
        settings=settings, weights=request.weights, compute_dtype=request.dtype, alias=request.alias, **fields
    )


def top_settings(top: Top, windows: Literal["utterance", "dialogue"]) -> dict[str, Any]:
    """What a spec says of the layers above the states that are stored.

    windows: `utterance`: each utterance's elements are whole windows; `dialogue`: a window goes on over the turns of a
             dialogue, and each utterance holds the elements that are new in it
    """
    return {"from_top": top.description.from_top, "top": top.digest, "windows": windows}
