"""A network in half precision is cut as exactly as one in float32: its rounding hides no mistake."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tiny_top import network_of
from torch import Tensor, nn
from whole_models import KINDS, TOLERANCE, Whole

from features.errors import UsageError
from features.top.cut import cut_top

TOLERATED = 0.1  # of a network in half precision, as encoders have it
_SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
_XL = {"conv_kernel_size": 3, "conv_act": "gelu", "norm_rel_ebd": "layer_norm", "share_att_key": True}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_cut_and_left_as_it_was(kind: str) -> None:
    model = Whole(kind)
    model.network.to(torch.bfloat16)
    if model.inputs.is_floating_point():
        model.inputs = model.inputs.bfloat16()
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    assert model.cut(2, tolerance=TOLERATED).description.from_top == 2
    after = model.network.state_dict()
    assert {name: value.dtype for name, value in after.items()} == {name: value.dtype for name, value in before.items()}
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert [item for item in model.network.modules() if item._forward_hooks or item._forward_pre_hooks] == []


def deberta_xl() -> nn.Module:
    """DeBERTa-v2-xlarge's kind: what a convolution makes of the embeddings is added behind the first layer."""
    from transformers import DebertaV2Config

    positions = {"relative_attention": True, "position_buckets": 16, "pos_att_type": ["p2c", "c2p"]}
    config = DebertaV2Config(**_SIZES, **_XL, **positions, intermediate_size=48)
    network: nn.Module = network_of(config, std=0.1)
    with torch.no_grad():
        network.get_parameter("encoder.conv.conv.weight").mul_(0.3)
        network.get_parameter("encoder.conv.conv.bias").zero_()
    return network


def xlm() -> nn.Module:
    """Layers in several lists, of which only the first half of each stands in one."""
    from transformers import XLMConfig

    network: nn.Module = network_of(XLMConfig(emb_dim=32, n_layers=3, n_heads=4, n_words=60, vocab_size=60), std=0.15)
    return network


@pytest.mark.parametrize(("make", "from_top"), [(deberta_xl, 3), (xlm, 1)])
def test_a_mistake_of_some_percent_is_refused_as_in_float32(make: Any, from_top: int) -> None:
    ids = torch.randint(5, 60, (2, 24), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(24) < torch.tensor([[24], [9]])
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        tolerance = TOLERANCE if dtype == torch.float32 else TOLERATED
        network = make().to(dtype)
        network.config.use_cache = False
        with pytest.raises(UsageError, match=rf"last {from_top} layers alone are off by 0\.0\d+ \(at most 1e-05\)"):
            cut_top(network, "tokens", from_top, ids, mask, model="m", tolerance=tolerance)


def test_whatever_is_cast_is_one_layer_at_a_time() -> None:
    """Of the network that the proof runs in float32, beside which the network itself takes memory."""
    from features.top.proof import _float32_twin

    model = Whole("bert")
    network = model.network.to(torch.bfloat16)
    top = model.cut(1, tolerance=TOLERATED)
    twin = _float32_twin(network, top.description)
    layers: Any = twin.get_submodule("encoder.layer")
    wide: list[list[int]] = []

    def watch(module: nn.Module, given: Any, output: Any) -> None:
        found = [
            place
            for place, layer in enumerate(layers)
            if {item.dtype for item in layer.parameters()} == {torch.float32}
        ]
        wide.append(found)

    for layer in layers:
        layer.get_submodule("attention").register_forward_hook(watch)
    given: list[Tensor] = []
    layers[3].register_forward_hook(lambda module, args, output: given.append(output))
    with torch.no_grad():
        twin(input_ids=model.inputs, attention_mask=model.mask.long() if model.mask is not None else None)
        expected = copy.deepcopy(network).float()(
            input_ids=model.inputs, attention_mask=model.mask.long() if model.mask is not None else None
        )
    assert wide == [[0], [1], [2], [3]]
    assert torch.allclose(given[0], expected.last_hidden_state, atol=TOLERANCE)
    shared = {id(value) for value in network.parameters()}
    assert all(id(value) in shared for value in layers.parameters())
