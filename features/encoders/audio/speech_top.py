"""The last layers of a speech encoder's transformer, cut on frames that its front end made (see `features.top`).

Legend: b sounds, t frames, w width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from features.top.top import Top


def cut_transformer(
    network: Any, fronts: Sequence[torch.Tensor], masked: bool, from_top: int, model: str | None, tolerance: float
) -> tuple[Top, torch.Tensor, torch.Tensor]:
    """The top, and the states below and above it of all frames, [t of all, w] each.

    network: a whole model, whose `encoder` is the transformer; fronts: [t, w] of each sound; one where not `masked`
    Raises UsageError as `cut_top` does.
    """
    import torch

    from features.top.cut import cut_top
    from features.top.network import call
    from features.top.stand_ins import hidden_of

    encoder = network.encoder
    if getattr(encoder, "config", None) is None:
        encoder.config = network.config
    frames = torch.nn.utils.rnn.pad_sequence(list(fronts), batch_first=True)  # [b, t, w]
    lengths = torch.tensor([len(front) for front in fronts], device=frames.device)
    real = torch.arange(frames.shape[1], device=frames.device) < lengths.unsqueeze(1)
    mask = real if masked else None
    top = cut_top(encoder, "frames", from_top, frames, mask, model=model, tolerance=tolerance)
    given: list[torch.Tensor] = []
    first = encoder.get_submodule(f"{top.description.layers}.{top.description.first}")
    handle = first.register_forward_pre_hook(
        lambda module, args, kwargs: given.append(hidden_of(args, kwargs)), with_kwargs=True
    )
    try:
        with torch.no_grad():
            last = call(encoder, "frames", frames, mask)
    finally:
        handle.remove()
    return top, given[0][real], last[real]
