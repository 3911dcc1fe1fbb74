"""Which weights decay: those that multiply what they are given, and nothing else.

Free are biases, the weights of norms, embeddings, and learned vectors and numbers (what stands in for a missing input,
which modality a token is of, how much a layer counts). An embedding's row would shrink at every step, also at those
that do not show it. A parameter's role is told by its module and its name, never by its number of dimensions:

  a module that says `decayed`        the names of its own parameters that decay; its others are free
  a norm, `nn.Embedding`, `nn.PReLU`  free
  any other                           `weight` and the like, as torch names them (`weight_ih_l0`, `in_proj_weight`)
"""

from __future__ import annotations

from torch import nn

_FREE = (nn.Embedding, nn.EmbeddingBag, nn.PReLU)


def decays(module: nn.Module, name: str) -> bool:
    """Whether the module's own parameter of that name decays."""
    said: tuple[str, ...] | None = getattr(module, "decayed", None)
    if said is not None:
        return name in said
    if isinstance(module, _FREE) or "Norm" in type(module).__name__:
        return False
    return name == "weight" or name.startswith("weight_") or name.endswith("_weight")


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """All parameters of `model`, each once: those that decay, then those that are free. Fit for torch's optimisers."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter not in seen:
                seen.add(parameter)
                (decayed if decays(module, name) else free).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
