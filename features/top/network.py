"""TopNetwork: the last layers of an encoder as a module, built from a description alone.

It is transformers' own network, whose lower layers pass on what they are given and whose embeddings give zeros; the
stored states are put in where the first layer that is kept would be given those from below. So masks, positions and the
norm behind the last layer are the network's own, whatever its architecture.

Legend: b windows, t tokens or frames, w width.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from features.errors import StoreError
from features.top.top import TopDescription

_DROPOUT = re.compile(r"(.*_)?(dropout|pdrop|dropout_prob|dropout_rate|dropout_p)")
_PROBED = 8  # tokens or frames of a probe
_LAYER_DROP = re.compile(r"(.*_)?layerdrop")


KEPT = ["kept"]
"""In `TopDescription.passed`, of a layer below of which the layers above use a weight: it stays."""


class Passed(nn.Module):
    """Stands for a layer that is left out: gives the hidden states as they came, and passes on what it passed on. What
    it says of itself in plain values (which kind of attention it has) it still says.

    further: see `TopDescription.passed`
    """

    def __init__(self, layer: nn.Module, further: list[Any] | None) -> None:
        super().__init__()
        said = {name: value for name, value in vars(layer).items() if isinstance(value, (str, int, float))}
        self.__dict__.update({name: value for name, value in said.items() if name not in self.__dict__})
        self.further = further

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        hidden = hidden_of(args, kwargs)
        if self.further is None:
            return hidden
        return (hidden, *(_argument(where, args, kwargs) for where in self.further))


def _in_float32(forward: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """A convolution in float32 whatever is around it: torch's CPU kernels are wrong in bfloat16 for some shapes
    (docs/LOG.md)."""
    with torch.autocast(values.device.type, enabled=False):
        return forward(values.float())


def _argument(where: int | str | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if where is None:
        return None
    return args[where] if isinstance(where, int) else kwargs[where]


class Blank(nn.Module):
    """Stands for a module whose result nobody reads: zeros of that width, or what it is given.

    weight, bias: zeros that take no memory, for code that reads them past the module's call
    """

    def __init__(self, module: nn.Module, width: int | None) -> None:
        super().__init__()
        self.width: int | None = width
        self.is_table = isinstance(module, nn.Embedding)
        self.padding_idx = getattr(module, "padding_idx", None)
        self.geometry: tuple[int, int, int] | None = None
        if isinstance(module, nn.Conv1d):
            self.geometry = (module.kernel_size[0], module.stride[0], int(module.padding[0]))
        self.shapes = {name: tuple(value.shape) for name, value in module.named_parameters()}

    def __getattr__(self, name: str) -> Any:
        if name in ("weight", "bias") and "shapes" in self.__dict__:
            shape = self.shapes.get(name)
            return None if shape is None else torch.zeros(()).expand(shape)
        return super().__getattr__(name)

    def forward(self, values: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.width is None:
            return values
        if self.is_table:
            return torch.zeros(*values.shape, self.width, device=values.device)
        if self.geometry is not None:
            kernel, stride, padding = self.geometry
            length = (values.shape[2] + 2 * padding - kernel) // stride + 1
            return values.new_zeros((values.shape[0], self.width, length))
        return values.new_zeros((*values.shape[:-1], self.width))


class TopNetwork(nn.Module):
    """The layers, with empty tensors until `load` or `load_state_dict`.

    dropout: in the layers while they are trained; None: as the model's config says
    Whole layers are never dropped (a config's layerdrop counts as 0).
    """

    def __init__(self, description: TopDescription, *, dropout: float | None = None) -> None:
        """Raises StoreError where transformers does not build what the description says."""
        super().__init__()
        self.description = description
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            network = _whole(_config(description, dropout), description.entrance)
        for name in description.absent:
            setattr(network, name, None)
        layers: nn.ModuleList = network.get_submodule(description.layers)
        for place, further in enumerate(description.passed):
            if further != KEPT:
                layers[place] = Passed(layers[place], further)
        for name, width in description.blank.items():
            _replace(network, name, Blank(network.get_submodule(name), width))
        _materialise(network, description)
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                module.forward = partial(_in_float32, module.forward)  # type: ignore[method-assign]
        layers[description.first].register_forward_pre_hook(self._put_in, with_kwargs=True)
        self.network = network
        self._states: Tensor | None = None

    def train(self, mode: bool = True) -> TopNetwork:
        """Norms over a batch keep the statistics that they were made with: a window's states are its own."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the tensors of `Top.tensors`."""
        self.network.load_state_dict(dict(tensors))

    def depth(self, parameter: str) -> int:
        """Of a parameter, as `named_parameters` of this module calls it: 0 behind the last layer, 1 in it, up to
        from_top in the first that is kept; what stands before that, or serves several, counts as in it."""
        name = parameter.removeprefix("network.")
        inside = re.match(rf"{re.escape(self.description.layers)}\.(\d+)\.", name)
        if inside:
            first, count = self.description.first, self.description.from_top
            return min(count, first + count - int(inside[1]))
        return 0 if name in self._behind else self.description.from_top

    @cached_property
    def _behind(self) -> frozenset[str]:
        """Parameters of the network that have a say in what it makes of the last layer's states. A name does not tell:
        DeBERTa has a norm before its layers, OPT-350m a projection behind them."""
        description, training = self.description, self.training
        parameters = dict(self.network.named_parameters())
        states = torch.zeros(1, _PROBED, description.width, device=next(iter(parameters.values())).device)

        def cut(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            leaf = hidden.detach().requires_grad_()
            return (leaf, *output[1:]) if isinstance(output, tuple) else leaf

        layers: Any = self.network.get_submodule(description.layers)
        handle = layers[description.first + description.from_top - 1].register_forward_hook(cut)
        try:
            with torch.enable_grad():
                last = self.eval()(states)
            gradients = torch.autograd.grad(last.float().sum(), list(parameters.values()), allow_unused=True)
        finally:
            handle.remove()
            self.train(training)
        return frozenset(name for name, value in zip(parameters, gradients, strict=True) if value is not None)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """float [b, t, w], bool [b, t] (True where real; padding is behind; None: all are) -> [b, t, width_out].

        What stands in the padding is meaningless."""
        tokens = self.description.entrance == "tokens"
        nothing = states.new_zeros(states.shape[:2], dtype=torch.int64) if tokens else torch.zeros_like(states)
        self._states = states
        try:
            output = call(self.network, self.description.entrance, nothing, mask)
        finally:
            untouched, self._states = self._states is not None, None
        if untouched:
            raise StoreError("the layers of the top did not run: install the version of transformers that cut it")
        return output

    def _put_in(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        states, self._states = self._states, None
        return with_hidden(states, args, kwargs)


def hidden_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The hidden states among a layer's arguments, or None."""
    return args[0] if args else kwargs.get("hidden_states")


def with_hidden(states: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A layer's arguments, with those states as its hidden states."""
    return ((states, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": states})


def call(network: nn.Module, entrance: str, inputs: Tensor, mask: Tensor | None) -> Tensor:
    """A network's last hidden state, [b, t, w].

    inputs: token ids, int64 [b, t], or frames [b, t, w]; mask: bool [b, t], True where real, or None where all are
    """
    if entrance == "tokens":
        output = network(input_ids=inputs, attention_mask=None if mask is None else mask.to(torch.int64))
    else:
        with warnings.catch_warnings():  # of torch, about the masks that WavLM gives it
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask", UserWarning)
            output = network(inputs.clone(), attention_mask=mask)  # which some write zeros into
    states: Tensor = output.last_hidden_state
    return states


def _config(description: TopDescription, dropout: float | None) -> Any:
    from transformers import AutoConfig

    values = dict(description.config)
    for name, value in values.items():
        if _LAYER_DROP.fullmatch(name):
            values[name] = 0.0
        elif dropout is not None and _DROPOUT.fullmatch(name) and isinstance(value, (int, float)):
            values[name] = dropout
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    config._attn_implementation = description.attention
    if description.entrance == "tokens":
        config.use_cache = False
    return config


def _whole(config: Any, entrance: str) -> Any:
    """transformers' network of that config, on the device in force."""
    from transformers import AutoModel

    network = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    return network.encoder if entrance == "frames" else network


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def _materialise(network: nn.Module, description: TopDescription) -> None:
    """Give every tensor that is described memory of its own, as a parameter or a kept buffer, in place of those without
    any; what then still has none is not needed and goes. Where all is built on torch's `meta` device, these are, too.
    """
    made = set()
    for name, (dtype, shape) in description.parameters.items():
        owner, own = _owner(network, name)
        parameter = nn.Parameter(torch.zeros(shape, dtype=getattr(torch, dtype)))
        owner._parameters[own] = parameter
        made.add(id(parameter))
    for name, (dtype, shape) in description.buffers.items():
        owner, own = _owner(network, name)
        owner._parameters.pop(own, None)
        owner.__dict__.pop(own, None)
        buffer = torch.zeros(shape, dtype=getattr(torch, dtype))
        owner.register_buffer(own, buffer)
        made.add(id(buffer))
    for module in network.modules():
        for held in (module._parameters, module._buffers):
            for name in [key for key, value in held.items() if value is not None and value.is_meta]:
                if id(held[name]) not in made:
                    held[name] = None


def _owner(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    parent, _, own = name.rpartition(".")
    try:
        return network.get_submodule(parent), own
    except AttributeError as error:
        raise StoreError(f"this version of transformers builds no {name}: install the one that cut the top") from error
