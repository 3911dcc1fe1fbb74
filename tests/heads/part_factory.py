"""Parts of heads made as an experiment makes them, layouts to try them on, and plain references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from heads.attention import Attention
from heads.config.registry import look_up, settings_of
from heads.data.layout import Layout

LENGTHS = (4, 1, 7, 3, 5)  # turns of each dialogue
Case = tuple[str, dict[str, Any]]


def case_id(case: Case) -> str:
    name, settings = case
    return "-".join([name, *(f"{key}={value}" for key, value in settings.items())])


def make(table: Mapping[str, Any], case: Case, *args: Any) -> Any:
    """The part with its settings checked and filled in as those of a YAML file are; no dropout."""
    name, settings = case
    part = look_up(table, name, "part")
    torch.manual_seed(0)
    return part(*args, **settings_of(part).model_validate(settings).model_dump(mode="json")).eval()


def layout_of(lengths: tuple[int, ...] = LENGTHS, *, speakers: int = 3, seed: int = 0) -> Layout:
    """Speakers are drawn, then numbered by when they first speak."""
    generator = torch.Generator().manual_seed(seed)
    slots = []
    for length in lengths:
        drawn = torch.randint(speakers, (length,), generator=generator).tolist()
        order = list(dict.fromkeys(drawn))
        slots += [order.index(speaker) for speaker in drawn]
    return Layout.of(torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)), torch.tensor(slots))


def rows_of(place: int, lengths: tuple[int, ...] = LENGTHS) -> slice:
    """The rows of one dialogue."""
    start = sum(lengths[:place])
    return slice(start, start + lengths[place])


def alone(layout: Layout, place: int) -> Layout:
    """The layout of one dialogue in a batch of its own."""
    slots = layout.slots[place][layout.mask[place]]
    return Layout.of(torch.zeros(len(slots), dtype=torch.int64), slots)


def torch_attention(ours: Attention) -> nn.MultiheadAttention:
    """torch's own attention with the weights of ours, and zeros for the biases that ours has not."""
    dim = ours.query.out_features
    theirs = nn.MultiheadAttention(dim, ours.heads, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.zeros(dim), ours.value.bias]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.zero_()
    return theirs


def attend_one(theirs: nn.MultiheadAttention, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One query [w] over keys and values [k, w]; zeros where there are no keys."""
    if not len(keys):
        return torch.zeros_like(query)
    return theirs(query[None, None], keys[None], values[None], need_weights=False)[0][0, 0]  # type: ignore[no-any-return]


def assert_gradients(module: nn.Module) -> None:
    """Every parameter has a gradient that is finite and not zero."""
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 1e-7, name
