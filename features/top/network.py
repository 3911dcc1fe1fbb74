"""TopNetwork: the last layers of an encoder as a module, built from a description alone.

It is transformers' own network, whose lower layers pass on what they are given and whose embeddings give zeros; the
stored states are put in where the first layer that is kept would be given those from below. So masks, positions and the
norm behind the last layer are the network's own, whatever its architecture.

Legend: b windows, t tokens or frames, w width.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Mapping
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from features.errors import StoreError
from features.hardware import is_out_of_memory
from features.top.stand_ins import KEPT, Blank, Passed
from features.top.top import TopDescription

# But not token_dropout, by which ESM and NLLB-MoE scale in evaluation, too.
_DROPOUT = re.compile(r"(?!.*token_dropout)(.*_)?(dropout|pdrop|dropout_prob|dropout_rate|dropout_p)")
_PROBED = 8  # tokens or frames of a probe
_LAYER_DROP = re.compile(r"(.*_)?layerdrop")


def _in_float32(forward: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """A convolution in float32 whatever is around it: torch's CPU kernels are wrong in bfloat16 for some shapes
    (docs/LOG.md)."""
    with torch.autocast(values.device.type, enabled=False):
        return forward(values.float())


class TopNetwork(nn.Module):
    """The layers, with empty tensors until `load` or `load_state_dict`.

    dropout: in the layers while they are trained; None: as the model's config says
    Whole layers are never dropped (a config's layerdrop counts as 0). Within autocast the layers run in its dtype, as
    far as they can: those that raise in it (DeBERTa's first version, XMOD) run without.
    """

    def __init__(self, description: TopDescription, *, dropout: float | None = None) -> None:
        """Raises StoreError where transformers does not build what the description says."""
        super().__init__()
        self.description = description
        network = empty_network(description.entrance, description.config, description.attention, dropout)
        for name in description.absent:
            setattr(network, name, None)
        layers: nn.ModuleList = network.get_submodule(description.layers)
        for place, further in enumerate(description.passed):
            if further != KEPT:
                layers[place] = Passed(layers[place], further)
        for name, width in description.blank.items():
            _replace(network, name, Blank(network.get_submodule(name), width))
        self._remembered = frozenset(name for name in description.buffers if _is_remembered(network, name))
        _materialise(network, description, self._remembered)
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                module.forward = partial(_in_float32, module.forward)  # type: ignore[method-assign]
        layers[description.first].register_forward_pre_hook(self._put_in, with_kwargs=True)
        self.network = network
        self._states: Tensor | None = None
        self._runs_rounded: bool | None = None
        self._keeps: tuple[tuple[str, str], ...] | None = None

    def train(self, mode: bool = True) -> TopNetwork:
        """Norms over a batch keep the statistics that they were made with: a window's states are its own."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the tensors of `Top.tensors`. Those of before may hold what a run left, too."""
        held = {name: value for name, value in tensors.items() if name not in self._remembered}
        self.network.load_state_dict(held)

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
            several = isinstance(output, (tuple, list))
            leaf = (output[0] if several else output).detach().requires_grad_()
            return (leaf, *output[1:]) if several else leaf

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
        kind = states.device.type
        is_on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        if not is_on or self._can_run_rounded(states.device):
            return self._run(states, mask)
        with torch.autocast(kind, enabled=False):
            return self._run(states.float(), mask)

    def _can_run_rounded(self, device: torch.device) -> bool:
        """Whether the layers run in the dtype of the autocast that is on: tried once, on a few states."""
        if self._runs_rounded is None:
            training = self.training
            states = torch.zeros(2, _PROBED, self.description.width, device=device)
            real = torch.ones(states.shape[:2], dtype=torch.bool, device=device)
            real[1, _PROBED // 2 :] = False
            dtype = torch.get_autocast_dtype(device.type)
            try:
                with torch.no_grad(), torch.autocast(device.type, dtype, cache_enabled=False):
                    self.eval()._run(states, real if self.description.padded else None)
                self._runs_rounded = True
            except (RuntimeError, TypeError, ValueError) as error:
                if is_out_of_memory(error):
                    raise
                with torch.no_grad(), torch.autocast(device.type, enabled=False):  # it is the rounding that it minds
                    self._run(states, real if self.description.padded else None)
                self._runs_rounded = False
            finally:
                self.train(training)
        return self._runs_rounded

    def _run(self, states: Tensor, mask: Tensor | None) -> Tensor:
        if self.description.entrance == "tokens":  # any but the id of padding, about which transformers would warn
            pad_id = self.description.config.get("pad_token_id")
            nothing = states.new_full(states.shape[:2], 1 if pad_id == 0 else 0, dtype=torch.int64)
        else:
            nothing = torch.zeros_like(states)
        self._states, ended = states, False
        try:
            output = call(self.network, self.description.entrance, nothing, mask)
            ended = True
        finally:
            untouched, self._states = self._states is not None, None
            self._forget(ended)
        if untouched:
            raise StoreError("the layers of the top did not run: install the version of transformers that cut it")
        return output

    def _forget(self, ended: bool) -> None:
        """Drop what a run left beside the buffers: a conformer's rotations of the last length, a recurrent layer's last
        state. They are of another device or batch than the next run, and hold on to its gradients. The first run that
        ended shows which they are."""
        keeps = self._keeps
        if keeps is None:
            named = self.network.named_modules()
            keeps = tuple((name, key) for name, module in named for key in _plain_tensors(module))
        for name, key in keeps:
            setattr(self.network.get_submodule(name), key, None)
        self._keeps = keeps if ended else self._keeps

    def _put_in(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        states, self._states = self._states, None
        return with_hidden(states, args, kwargs)


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


def empty_network(entrance: str, config: Mapping[str, Any], attention: str, dropout: float | None = None) -> Any:
    """transformers' network of that config, whole and on torch's `meta` device. See `TopDescription`."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return _whole(_config(entrance, config, attention, dropout), entrance)


def _config(entrance: str, config: Mapping[str, Any], attention: str, dropout: float | None) -> Any:
    from transformers import AutoConfig

    values = dict(config)
    for name, value in values.items():
        if _LAYER_DROP.fullmatch(name):
            values[name] = 0.0
        elif dropout is not None and _DROPOUT.fullmatch(name) and isinstance(value, (int, float)):
            values[name] = dropout
    made = AutoConfig.for_model(values.pop("model_type"), **values)
    made._attn_implementation = attention
    if entrance == "tokens":
        made.use_cache = False
    return made


def _whole(config: Any, entrance: str) -> Any:
    """transformers' network of that config, on the device in force."""
    from transformers import AutoModel

    network = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    return network.encoder if entrance == "frames" else network


def _plain_tensors(module: nn.Module) -> list[str]:
    """What a module holds that is neither a parameter nor a buffer."""
    return [key for key, value in vars(module).items() if isinstance(value, Tensor)]


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


def _is_remembered(network: nn.Module, name: str) -> bool:
    """Whether a tensor is what a run left: where a new network has nothing, not even an empty buffer."""
    owner, own = _owner(network, name)
    return own in vars(owner) and vars(owner)[own] is None


def _materialise(network: nn.Module, description: TopDescription, remembered: Collection[str]) -> None:
    """Give every tensor that is described memory of its own, as a parameter or a kept buffer, in place of those without
    any; what then still has none is not needed and goes. Where all is built on torch's `meta` device, these are, too.
    """
    made = {id(module.zero) for module in network.modules() if isinstance(module, Blank)}
    for name, (dtype, shape) in description.parameters.items():
        owner, own = _owner(network, name)
        parameter = nn.Parameter(torch.zeros(shape, dtype=getattr(torch, dtype)))
        owner._parameters[own] = parameter
        made.add(id(parameter))
    for name, (dtype, shape) in description.buffers.items():
        if name in remembered:
            continue
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
