"""Cutting the top off an encoder: which of its tensors the last k layers use, found by running it, and proven by
building them again and comparing.

Nothing is known of any one architecture. A first run finds the list of layers and what each gives; a backward pass from
the last state finds the parameters that have a say above the cut: those of the layers kept, of a norm behind them, and
tables below that all layers share (relative positions in WavLM, T5 or MPNet).

Legend: b windows, t tokens or frames, w width, n layers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from features.errors import StoreError, UsageError, first_line
from features.hardware import is_out_of_memory
from features.top.network import call, empty_network, with_hidden
from features.top.proof import prove, prove_in_float32
from features.top.stand_ins import KEPT, hidden_of
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
    refused = f"from_top={from_top}: model {model!r} cannot be cut"
    _leave_inference(network)
    with _plainly(refused, network):
        trace = _Trace(network, tuple(inputs.shape[:2]))
        with torch.no_grad(), trace.watching():
            expected = call(network, entrance, inputs, mask)
        name, calls = trace.layers(model)
        if not 1 <= from_top <= len(calls):
            raise UsageError(f"from_top={from_top}: model {model!r} has {len(calls)} layers: give 1 to {len(calls)}")
        first = len(calls) - from_top
        states = calls[first].hidden.detach().clone()
        layers: Any = network.get_submodule(name)
        config, attention, empty = _new(network, entrance)
        used = _used(network, layers[first], states, entrance, inputs, mask)
        used |= _chosen_among(network, used, tuple(f"{name}.{place}." for place in range(first, len(calls))))
        below = {f"{name}.{place}": call.passed for place, call in enumerate(calls[:first])}
        kept = {layer for layer in below if any(parameter.startswith(f"{layer}.") for parameter in used)}
        left_out = tuple(f"{layer}." for layer in below if layer not in kept)
        blank = dict(_blank(network, used, left_out))
        gone = (*left_out, *(f"{module}." for module in blank))
        parameters = {key: value for key, value in network.named_parameters() if key in used}
        buffers = {key: value for key, value in _others(network, empty, used) if not key.startswith(gone)}
        tensors = {key: _kept(value) for key, value in (parameters | buffers).items()}
        description = TopDescription(
            entrance=entrance,
            config=config,
            attention=attention,
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
        prove(top, states, mask, expected, tolerance, refused)
        if any(value.is_floating_point() and value.dtype != torch.float32 for value in network.parameters()):
            prove_in_float32(top, network, inputs, mask, refused)
        return top


@contextmanager
def _plainly(refused: str, network: Any) -> Iterator[None]:
    """Within, what transformers raises is a UsageError that a user can act on."""
    try:
        yield
    except UsageError:
        raise
    except (StoreError, TypeError, ValueError, AttributeError, RuntimeError, IndexError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        raise UsageError(
            f"{refused}: the layers of model type {network.config.model_type!r} do not run alone ({first_line(error)}),"
            " so a head cannot train them from the store: leave from_top out"
        ) from error


def _leave_inference(network: nn.Module) -> None:
    """Put ordinary tensors in the place of those that a run under torch's inference mode has made, through which no
    gradient goes: a router's recast weights, a conformer's rotations of the last length."""
    for module in network.modules():
        tables: list[dict[str, Any]] = [module._parameters, module._buffers, vars(module)]
        for held in tables:
            for name, value in held.items():
                if isinstance(value, Tensor) and value.is_inference():
                    other = value.clone()
                    held[name] = nn.Parameter(other, value.requires_grad) if isinstance(value, nn.Parameter) else other


def _new(network: nn.Module, entrance: Entrance) -> tuple[dict[str, Any], str, nn.Module]:
    """The config as JSON values, the implementation of attention, and an empty network of those. Where the network has
    left its config for good (BigBird, whose first short window ends its sparse attention), the config says what the
    network does by now."""
    config: Any = network.config
    attention = config._attn_implementation
    values = {key: value for key, value in config.to_dict().items() if key not in _OF_NO_ACCOUNT}
    for key in [key for key, value in values.items() if "Infinity" in json.dumps(value)]:  # which a file cannot hold
        if values.pop(key) != type(config)().to_dict()[key]:
            raise ValueError(f"the config's {key} is infinite")
    empty = empty_network(entrance, values, attention)
    for key, value in values.items():
        if isinstance(value, (str, bool)) and vars(empty).get(key) == value:
            found = vars(network).get(key)
            values[key] = found if isinstance(found, type(value)) else value
    return values, attention, empty


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
        several = isinstance(output, (tuple, list))
        first = output[0] if several and output else output
        if not isinstance(hidden, Tensor) or not isinstance(first, Tensor):
            return None
        if hidden.dim() != 3 or tuple(hidden.shape[:2]) != self.size or first.shape != hidden.shape:
            return None
        if not several:
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
        for module in network.modules():  # what some keep of a run would keep the whole of it
            for left in [item for item in vars(module).values() if isinstance(item, Tensor)]:
                left.detach_()
    return {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}


def _chosen_among(network: nn.Module, used: set[str], above: tuple[str, ...]) -> set[str]:
    """Parameters of modules that stand in one list or dict with a used one, within the layers that are kept: experts
    among which other tokens than the probe's choose."""
    found = set[str]()
    for name, module in network.named_modules():
        if name.startswith(above) and isinstance(module, (nn.ModuleList, nn.ModuleDict)):
            own = {f"{name}.{key}" for key, value in module.named_parameters() if value.is_floating_point()}
            found |= own if used & own else set()
    return found


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


def _others(network: nn.Module, empty: nn.Module, used: set[str]) -> Iterator[tuple[str, Tensor]]:
    """What else the modules hold: buffers, also those that no checkpoint has, parameters that are not trained here, and
    plain tensors that a new network (`empty`) has, too. Those that it has not are what the last run left."""
    yield from network.named_buffers()
    for name, value in network.named_parameters():
        if name not in used:
            yield name, value
    new = dict(empty.named_modules())
    for name, module in network.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor) and name in new and isinstance(vars(new[name]).get(key), Tensor):
                yield f"{name}.{key}" if name else key, value
