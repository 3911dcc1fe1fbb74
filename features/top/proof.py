"""The proof that a top is what its encoder's last layers are: built again from its description and run on the states
below it, it gives what the whole network gives.

Legend: b windows, t tokens or frames, w width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from features.errors import UsageError
from features.top.network import TopNetwork, call
from features.top.stand_ins import hidden_of
from features.top.top import Top, TopDescription, signature

_EXACT = 1e-5
"""How far two ways to compute the same in float32 may be apart, relative to the norm."""


def prove(top: Top, states: Tensor, mask: Tensor | None, expected: Tensor, tolerance: float, refused: str) -> None:
    """states, expected: what the whole network's first layer of the top was given, and what it made of that.

    Raises UsageError, which begins with `refused`, where the layers give something else, or a run changes them: an
    earlier window must not have a say in a later one.
    """
    built = TopNetwork(top.description).eval().to(states.device)
    built.load(top.tensors)
    before = dict(_words(built))
    half = max(1, states.shape[1] // 2)
    with torch.no_grad():
        built(states[:, :half].float().contiguous(), None if mask is None else mask[:, :half])
        found = built(states.float(), mask)
    changed = {name.rpartition(".")[2] for name, word in _words(built) if before.get(name, word) != word}
    kept = {name: signature(tensor) for name, tensor in built.network.state_dict().items()}
    described = top.description.parameters | top.description.buffers
    changed |= {name for name, kind in kept.items() if kind != described.get(name)}
    if changed:
        raise UsageError(f"{refused}: a run changes its {', '.join(sorted(changed))}: leave from_top out")
    if found.shape != expected.shape:
        raise UsageError(f"{refused}: its layers change the number of frames: leave from_top out")
    real = torch.ones(found.shape[:2], dtype=torch.bool, device=found.device) if mask is None else mask
    difference, norm = (found - expected)[real].cpu().double().norm(), expected[real].cpu().double().norm()
    if not difference <= tolerance * norm:
        count, off = top.description.from_top, float(difference / norm)
        raise UsageError(
            f"{refused}: its last {count} layers alone are off by {off:.2g} (at most {tolerance:g}):"
            f" {'give fewer, or ' if count > 1 else ''}leave from_top out"
        )


def prove_in_float32(top: Top, network: nn.Module, inputs: Tensor, mask: Tensor | None, refused: str) -> None:
    """The same for a network in half precision, whose rounding hides mistakes of some percent. network, inputs, mask:
    as `cut_top` has them."""
    description = top.description
    given: list[Tensor] = []
    twin = _float32_twin(network, description)
    layers: Any = twin.get_submodule(description.layers)
    layers[description.first].register_forward_pre_hook(
        lambda module, args, kwargs: given.append(hidden_of(args, kwargs).clone()), with_kwargs=True
    )
    with torch.no_grad():
        inputs = inputs.float() if inputs.is_floating_point() else inputs
        expected = call(twin, description.entrance, inputs, mask)
    del twin, layers
    prove(top, given[0], mask, expected, _EXACT, refused)


def _float32_twin(network: nn.Module, description: TopDescription) -> nn.Module:
    """A copy that computes in float32, without what earlier runs left. It shares the layers' tensors with the network:
    a layer is cast as it runs, so that one at a time takes memory."""
    tensors = [*network.parameters(), *network.buffers()]
    twin = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    for name, module in twin.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor):
                vars(module)[key] = value.float() if f"{name}.{key}" in description.buffers else None
    listed: Any = twin.get_submodule(description.layers)
    inside = {module for layer in listed for module in layer.modules()}
    for module in twin.modules():
        if module not in inside:
            _cast(module)
    for layer in listed:
        layer.register_forward_pre_hook(_cast_layer, prepend=True)
        held = [(module, dict(module._parameters), dict(module._buffers)) for module in layer.modules()]
        layer.register_forward_hook(partial(_put_back, held))
    return twin


def _cast_layer(layer: nn.Module, _: Any) -> None:
    for module in layer.modules():
        _cast(module)


def _cast(module: nn.Module) -> None:
    for name, value in module._parameters.items():
        if value is not None and value.is_floating_point():
            module._parameters[name] = nn.Parameter(value.detach().float(), requires_grad=False)
    for name, tensor in module._buffers.items():
        if tensor is not None and tensor.is_floating_point():
            module._buffers[name] = tensor.float()


def _put_back(held: list[tuple[nn.Module, dict[str, Any], dict[str, Any]]], *_: Any) -> None:
    for module, parameters, buffers in held:
        module._parameters.update(parameters)
        module._buffers.update(buffers)


def _words(network: nn.Module) -> Iterator[tuple[str, str | bool]]:
    """What modules say of themselves in words, and by yes and no: which of several ways they compute."""
    for name, module in network.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, (str, bool)) and key != "training":
                yield f"{name}.{key}", value
