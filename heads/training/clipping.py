"""Gradients whose norm is above a limit are scaled down to it; others are left as they are."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

# Devices whose numbers the host reads without waiting. Elsewhere gradients are multiplied whatever their norm is, by 1
# where it is below the limit, so that nobody waits for it.
READ_AT_ONCE = frozenset({"cpu"})


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """As `torch.nn.utils.clip_grad_norm_`, without its pass over all gradients where there is nothing to scale.

    A norm that is no number makes all gradients no numbers, as there.
    """
    learnt = [parameter for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in learnt if parameter.grad is not None])
    if norm.device.type in READ_AT_ONCE and float(norm) <= limit:
        return
    nn.utils.clip_grads_with_norm_(learnt, limit, norm)
