"""A top runs on another device than the CPU, whatever it was cut on."""

from __future__ import annotations

import pytest
import torch
from apple_gpu import apple_gpu
from whole_models import KINDS, TOLERANCE, built, off, whole

from features.top.network import TopNetwork


@pytest.mark.parametrize("from_top", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_the_same_on_a_gpu(kind: str, from_top: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = whole(kind)
    top = model.cut(from_top)
    inputs, mask = model.other_batch()
    states, expected = model.run(inputs, mask, top)
    network = built(top)
    with apple_gpu(monkeypatch) as there, torch.no_grad():
        found = network.to("mps")(states.to("mps"), None if mask is None else mask.to("mps"))
        assert found in there
        found = found.to("cpu")
    assert off(found, expected, mask) < TOLERANCE


def test_what_stands_in_for_a_weight_is_where_the_network_is_and_in_no_state() -> None:
    """WavLM's first layer has the table of positions for all, and its projections are read past their calls."""
    top = whole("wavlm").cut(1)
    network = TopNetwork(top.description).to("meta")
    blank = network.get_submodule("network.layers.0.attention.q_proj")
    assert blank.weight.is_meta
    assert network(torch.zeros(2, 9, 32, device="meta")).is_meta
    assert {*network.network.state_dict()} == {*top.tensors}
