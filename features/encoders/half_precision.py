"""A check that this machine's kernels compute a network's convolutions rightly in half precision.

On CPUs with AMX, oneDNN (torch 2.14) computes some bf16 convolutions wrongly, by as much as their whole output: of 16
or 24 channels with stride 4, and of 8 channels a group. No common encoder has such ones; one that has must not pass in
silence.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from features.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

MAX_ERROR_ENERGY = 1e-3  # of the output's energy; bf16's rounding alone gives 1e-5
_PLACES = 4  # outputs along each axis of the sound, picture or film that is tried


def check_convolutions(network: nn.Module) -> None:
    """Try each form of convolution once on noise, against fp32. Expects the network in its dtype on its device.

    Raises UsageError that names the first which is wrong.
    """
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(0)
    tried = set()
    with torch.inference_mode():
        for layer in network.modules():
            if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) or layer.weight.dtype == torch.float32:
                continue
            if str(layer) in tried:
                continue
            tried.add(str(layer))
            sizes = [
                (kernel - 1) * dilation + 1 + (_PLACES - 1) * stride
                for kernel, dilation, stride in zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
            ]
            noise = torch.randn(1, layer.in_channels, *sizes, generator=generator)
            inputs = noise.to(layer.weight.device, layer.weight.dtype)
            exact = copy.deepcopy(layer).float()(inputs.float())
            error = (layer(inputs).float() - exact).square().sum() / exact.square().sum()
            if not error <= MAX_ERROR_ENERGY:
                raise UsageError(
                    f"this machine computes {layer} wrongly in {str(layer.weight.dtype).removeprefix('torch.')}"
                    f" (error energy {float(error):.1g}, at most {MAX_ERROR_ENERGY:g}): give --dtype fp32"
                )
