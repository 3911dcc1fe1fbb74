"""A transformer cast to a dtype as its own loading casts it: what `from_pretrained(dtype=...)` keeps in fp32 stays so.

A plain `network.to(dtype)` rounds buffers, too: the frequencies of rotary positions in bf16 are up to 0.4 % off, and a
model whose attention is peaked then looks at other tokens. transformers leaves such buffers in fp32, and the parameters
that a model names in `_keep_in_fp32_modules` (for fp16) and `_keep_in_fp32_modules_strict` (for bf16, too).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FIELD = "casting"
"""What is set on a config, and so recorded in the spec, where this casting gives other numbers than a plain one."""

_WHOLLY_CAST = ("xlnet",)
"""Model types whose parameters transformers leaves in fp32 by accident: its own half-precision model cannot run."""


def loading_dtypes(network: Any, dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The dtype of each parameter and buffer by name, were the network's checkpoint loaded in `dtype`.

    network: a whole model of transformers. A twin of it without weights is built in `dtype`; what its code makes in
             fp32 by itself is in fp32 there.
    """
    import torch

    twin = _twin(network.config, dtype)
    made = {} if network.config.model_type in _WHOLLY_CAST else dict(twin.named_parameters(remove_duplicate=False))
    made |= dict(twin.named_buffers(remove_duplicate=False))
    kept = set(getattr(twin, "_keep_in_fp32_modules_strict", None) or ())
    if dtype == torch.float16:
        kept |= set(getattr(twin, "_keep_in_fp32_modules", None) or ())
    patterns = [re.compile(name.replace("*", ".*")) for name in kept]
    loaded = twin.state_dict().keys()  # buffers that no checkpoint holds are left as they are made

    def dtype_of(name: str) -> torch.dtype:
        keeps = name in loaded and any(pattern.search(name) for pattern in patterns)
        return torch.float32 if keeps else made[name].dtype

    return {name: dtype_of(name) for name in made}


def _twin(config: Any, dtype: torch.dtype) -> Any:
    """A model of the config, made in `dtype`: without memory for its weights, where its code can be run so."""
    import torch
    from transformers import AutoModel

    def make() -> Any:
        return AutoModel.from_config(copy.deepcopy(config), dtype=dtype, trust_remote_code=False)

    try:
        with torch.device("meta"):
            return make()
    except (RuntimeError, NotImplementedError):  # some read a value of what has none
        with torch.random.fork_rng(devices=[]):
            return make()


def cast(network: torch.nn.Module, dtype: torch.dtype, others: Mapping[str, torch.dtype]) -> bool:
    """Cast the floating-point tensors of a network in place: to what `others` says of a name, else to `dtype`.

    Returns whether any is left in another one than `dtype`.
    """
    differs = False
    for path, module in network.named_modules():
        at = f"{path}." if path else ""
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if not tensor.is_floating_point():
                continue
            wanted = others.get(at + name, dtype)
            differs |= wanted != dtype
            if name in module._buffers:
                setattr(module, name, tensor.to(wanted))
            else:
                tensor.data = tensor.data.to(wanted)
    return differs


def has_rounded_buffers(network: torch.nn.Module) -> bool:
    """Whether a network loaded in half precision made buffers in it that no checkpoint holds, such as tables of
    sinusoids: another dtype cannot be had from them, only from loading anew."""
    import torch

    held = network.state_dict().keys()
    return any(
        buffer.is_floating_point() and buffer.dtype != torch.float32 and name not in held
        for name, buffer in network.named_buffers()
    )


def remove_weight_norms(network: torch.nn.Module) -> None:
    """Work out parametrised weights once, in fp32 and before any cast, such as those of speech models' positions."""
    from torch.nn.utils import parametrize

    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            module.float()
            parametrize.remove_parametrizations(module, "weight")


def record(config: Any) -> None:
    """Set FIELD on a config and the configs within it, whichever part of the model will be used."""
    setattr(config, FIELD, "as its own loading")
    for name in getattr(config, "sub_configs", ()):
        if (inner := getattr(config, name, None)) is not None:
            record(inner)
