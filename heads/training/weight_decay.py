"""Which weights decay: those that multiply what they are given, and nothing else; and at which rate an encoder's learn.

Free are biases, the weights of norms, embeddings, and learned vectors and numbers (what stands in for a missing input,
which modality a token is of, how much a layer counts). An embedding's row would shrink at every step, also at those
that do not show it. A parameter's role is told by its module and its name, never by its number of dimensions:

  a module that says `decayed`        the names of its own parameters that decay; its others are free
  a norm, `nn.Embedding`, `nn.PReLU`  free
  any other                           `weight` and the like, as torch names them (`weight_ih_l0`, `in_proj_weight`)
"""

from __future__ import annotations

from collections.abc import Callable

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


def parameter_groups(
    model: nn.Module, weight_decay: float, top_rate: Callable[[int], float] | None = None
) -> list[dict[str, object]]:
    """All parameters of `model`, each once: those that decay, then those that are free. Fit for torch's optimisers.

    top_rate: the learning rate of an encoder's layer that stands so many below its last one. With it, the parameters
              of a module that says `depths` (heads/readers/encoder_top.py) follow in two such groups for each depth
    """
    depths: dict[nn.Parameter, int] = {}
    for module in model.modules():
        said: Callable[[], dict[nn.Parameter, int]] | None = getattr(module, "depths", None)
        if said is not None and top_rate is not None:
            depths |= said()
    members: dict[int | None, tuple[list[nn.Parameter], list[nn.Parameter]]] = {None: ([], [])}
    members |= {depth: ([], []) for depth in sorted(set(depths.values()))}
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter not in seen:
                seen.add(parameter)
                members[depths.get(parameter)][0 if decays(module, name) else 1].append(parameter)
    return [
        {"params": own, "weight_decay": decay} | ({} if depth is None or top_rate is None else {"lr": top_rate(depth)})
        for depth, both in members.items()
        for own, decay in zip(both, (weight_decay, 0.0), strict=True)
    ]
