"""Cutting the top off an encoder: which of its tensors the last k layers use, found by running it, and proven by
building them again and comparing.

Nothing is known of any one architecture. A first run finds the list of layers and what each gives; a backward pass from
the last state finds the parameters that have a say above the cut: those of the layers kept, of a norm behind them, and
tables below that all layers share (relative positions in WavLM, T5 or MPNet).

Legend: b windows, t tokens or frames, w width, n layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from features.errors import StoreError, UsageError
from features.top.network import KEPT, TopNetwork, call, hidden_of, with_hidden
from features.top.top import Entrance, Top, TopDescription, signature

_OF_NO_ACCOUNT = ("_name_or_path", "architectures", "dtype", "id2label", "label2id", "transformers_version")
"""In a config: where it came from and what was built on it, not what it computes."""


def cut_top(
    network: nn.Module,
    entrance: Entrance,
    from_top: int,
    inputs: Tensor,
    mask: Tensor | None,
    *,
    model: str | None,
    tolerance: float,
) -> Top:
    """The last `from_top` layers of a network in evaluation mode, which is left as it was.

    network:   called with token ids, or with the frames behind a speech model's front end (its transformer)
    from_top:  k, from 1 to n
    inputs:    a probe: token ids, int64 [b, t], or frames [b, t, w]
    mask:      bool [b, t] of the probe, True where real (padding is behind); None where the network takes no padding
    tolerance: how far the last states may be off: the norm of the difference, relative to their own
    Raises UsageError where k does not fit, or the network cannot be cut: it has no one list of layers that run once
    each, or the layers built again give something else.
    """
    trace = _Trace(network, tuple(inputs.shape[:2]))
    with torch.no_grad(), trace.watching():
        expected = call(network, entrance, inputs, mask)
    name, calls = trace.layers(model)
    if not 1 <= from_top <= len(calls):
        raise UsageError(f"from_top={from_top}: model {model!r} has {len(calls)} layers: give 1 to {len(calls)}")
    first = len(calls) - from_top
    states = calls[first].hidden.detach().clone()
    layers: Any = network.get_submodule(name)
    used = _used(network, layers[first], states, entrance, inputs, mask)
    below = {f"{name}.{place}": call.passed for place, call in enumerate(calls[:first])}
    kept = {layer for layer in below if any(parameter.startswith(f"{layer}.") for parameter in used)}
    left_out = tuple(f"{layer}." for layer in below if layer not in kept)
    blank = dict(_blank(network, used, left_out))
    gone = (*left_out, *(f"{module}." for module in blank))
    parameters = {key: value for key, value in network.named_parameters() if key in used}
    buffers = {key: value for key, value in _others(network, used) if not key.startswith(gone)}
    tensors = {key: _kept(value) for key, value in (parameters | buffers).items()}
    config: Any = network.config
    description = TopDescription(
        entrance=entrance,
        config={key: value for key, value in config.to_dict().items() if key not in _OF_NO_ACCOUNT},
        attention=config._attn_implementation,
        layers=name,
        first=first,
        from_top=from_top,
        passed=[KEPT if layer in kept else passed for layer, passed in below.items()],
        blank=blank,
        absent=[key for key, module in network._modules.items() if module is None],
        padded=mask is not None,
        width=states.shape[-1],
        width_out=expected.shape[-1],
        parameters={key: signature(tensors[key]) for key in parameters},
        buffers={key: signature(tensors[key]) for key in buffers},
    )
    top = Top(TopDescription.from_json(description.to_json(), "its description"), tensors)
    _prove(top, states, mask, expected, model, tolerance)
    return top


def _prove(
    top: Top, states: Tensor, mask: Tensor | None, expected: Tensor, model: str | None, tolerance: float
) -> None:
    """Raises UsageError where the layers, built again and run on the states, do not give the last states."""
    refused = f"from_top={top.description.from_top}: model {model!r} cannot be cut"
    try:
        built = TopNetwork(top.description).eval().to(states.device)
        built.load(top.tensors)
        with torch.no_grad():
            found = built(states.float(), mask)
    except (StoreError, TypeError, ValueError, AttributeError, RuntimeError, IndexError, KeyError) as error:
        raise UsageError(f"{refused} ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from error
    if found.shape != expected.shape:
        raise UsageError(f"{refused}: its layers change the number of frames")
    real = torch.ones(found.shape[:2], dtype=torch.bool, device=found.device) if mask is None else mask
    difference, norm = (found - expected)[real].cpu().double().norm(), expected[real].cpu().double().norm()
    if not difference <= tolerance * norm:
        off = float(difference / norm)
        raise UsageError(f"{refused}: its last {top.description.from_top} layers alone are off by {off:.1g}")


@dataclass
class _Call:
    """One run of a layer: what it was given, and what it gave beside that (see `TopDescription.passed`)."""

    hidden: Tensor
    passed: list[Any] | None


@dataclass
class _Trace:
    """Who runs in which order. size: b and t of the probe"""

    network: nn.Module
    size: tuple[int, ...]
    seen: dict[str, list[tuple[int, _Call | None]]] = field(default_factory=dict)

    @contextmanager
    def watching(self) -> Iterator[None]:
        handles = []
        for name, module in self.network.named_modules():
            if isinstance(module, nn.ModuleList):
                for place, child in enumerate(module):
                    handles.append(child.register_forward_hook(self._keeper(name, place), with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _keeper(self, name: str, place: int) -> Any:
        def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            self.seen.setdefault(name, []).append((place, self._call(args, kwargs, output)))

        return keep

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> _Call | None:
        hidden = hidden_of(args, kwargs)
        first = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(hidden, Tensor) or not isinstance(first, Tensor):
            return None
        if hidden.dim() != 3 or tuple(hidden.shape[:2]) != self.size or first.shape != hidden.shape:
            return None
        if not isinstance(output, tuple):
            return _Call(hidden, None)
        given: dict[Any, Any] = dict(enumerate(args)) | kwargs
        return _Call(hidden, [_where(value, given) for value in output[1:]])

    def layers(self, model: str | None) -> tuple[str, list[_Call]]:
        """The list through which the hidden states pass, and each layer's run. Of several, the outermost."""
        fit = []
        for name, runs in self.seen.items():
            calls = [run for _, run in runs if run is not None]
            whole = list(range(len(self.network.get_submodule(name))))  # type: ignore[arg-type]
            if len(calls) == len(runs) and [place for place, _ in runs] == whole:
                fit.append((name, calls))
        if not fit:
            raise UsageError(
                f"from_top: model {model!r} has no list of layers that hidden states pass once each (some share one"
                " layer, or change the number of tokens): leave from_top out, or give another model"
            )
        return min(fit, key=lambda item: (item[0].count("."), -len(item[1])))


def _kept(value: Tensor) -> Tensor:
    """On the CPU, in memory of its own; float32 where it was another floating dtype."""
    value = value.detach().to("cpu", copy=True)
    return (value.float() if value.is_floating_point() else value).contiguous()


def _where(value: Any, given: dict[Any, Any]) -> int | str | None:
    """Which argument a value is, if it is one."""
    return None if value is None else next((key for key, item in given.items() if item is value), None)


def _used(
    network: nn.Module, first: nn.Module, states: Tensor, entrance: Entrance, inputs: Tensor, mask: Tensor | None
) -> set[str]:
    """The parameters that have a say in the last states, where `first` is given `states`."""
    parameters = {name: value for name, value in network.named_parameters() if value.is_floating_point()}
    before = {name: value.requires_grad for name, value in parameters.items()}

    def put_in(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return with_hidden(states, args, kwargs)

    handle = first.register_forward_pre_hook(put_in, with_kwargs=True)
    try:
        for value in parameters.values():
            value.requires_grad_(True)
        with torch.enable_grad():
            last = call(network, entrance, inputs, mask)
        gradients = torch.autograd.grad(last.float().square().sum(), list(parameters.values()), allow_unused=True)
    finally:
        handle.remove()
        for name, value in parameters.items():
            value.requires_grad_(before[name])
    return {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}


def _blank(network: nn.Module, used: set[str], left_out: tuple[str, ...]) -> Iterator[tuple[str, int | None]]:
    """Modules that stay below the cut without a weight that counts: name -> width of what they give."""
    for name, module in network.named_modules():
        own = [f"{name}.{key}" for key, _ in module.named_parameters()]
        if not own or used.intersection(own) or f"{name}.".startswith(left_out):
            continue
        if isinstance(module, nn.Embedding):
            yield name, module.embedding_dim
        elif isinstance(module, nn.Linear):
            yield name, module.out_features
        elif isinstance(module, nn.Conv1d):
            yield name, module.out_channels
        elif not list(module.children()) and "Norm" in type(module).__name__:
            yield name, None


def _others(network: nn.Module, used: set[str]) -> Iterator[tuple[str, Tensor]]:
    """What else the modules hold: buffers, also those that no checkpoint has, plain tensors, parameters that are not
    trained here."""
    yield from network.named_buffers()
    for name, value in network.named_parameters():
        if name not in used:
            yield name, value
    for name, module in network.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor):
                yield f"{name}.{key}" if name else key, value
