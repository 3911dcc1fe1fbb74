"""The `layers` setting."""

from __future__ import annotations

import pytest
import torch

from features.encoders.layers import parse_layers, parse_single_layer
from features.errors import UsageError


def test_forms_and_shapes() -> None:
    one, several, stack = (parse_layers(setting, 7) for setting in ("-1", "-3,-2,-1", "stack:-3,-2,-1"))
    assert (one.indices, one.kind, one.shape(10)) == ((-1,), "vector", (10,))
    assert (several.indices, several.kind, several.shape(10)) == ((-3, -2, -1), "vector", (30,))
    assert (stack.indices, stack.kind, stack.shape(10)) == ((-3, -2, -1), "stack", (3, 10))


def test_two_ways_to_name_a_layer_are_one_setting() -> None:
    assert parse_layers("6, 0", 7).setting == parse_layers("-1,-7", 7).setting == "-1,-7"
    assert parse_layers("stack:6", 7).setting == "stack:-1"


def test_the_order_given_is_the_order_joined() -> None:
    low, high = torch.zeros(2, 3), torch.ones(2, 3)
    layers = parse_layers("-1,-2", 3)
    assert torch.equal(layers.combine([high, low]), torch.cat([high, low], dim=1))
    assert parse_layers("stack:-1,-2", 3).combine([high, low]).shape == (2, 2, 3)


def test_short_forms_of_a_stack() -> None:
    assert parse_layers("last:3", 7) == parse_layers("stack:-3,-2,-1", 7)
    assert parse_layers("all", 3) == parse_layers("stack:-3,-2,-1", 3) == parse_layers("last:3", 3)
    assert parse_layers("all", 3).shape(10) == (3, 10)
    assert parse_layers("last:1", 7).setting == "stack:-1"


def test_a_single_layer_is_counted_from_the_end() -> None:
    assert parse_single_layer("6", 7) == parse_single_layer("-1", 7) == -1
    for several in ("-2,-1", "stack:-1", "all", "last:1"):
        with pytest.raises(UsageError, match=rf"layer='{several}' is not one hidden layer: give one, such as -1"):
            parse_single_layer(several, 7)
    with pytest.raises(UsageError, match="no 7"):
        parse_single_layer("7", 7)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("last", r"layers='last' is not of the form -1, -3,-2,-1, stack:-3,-2,-1, last:3 or all"),
        ("last:0", r"layers='last:0': the model has 7 hidden states, its embeddings among them"),
        ("last:8", r"layers='last:8': the model has 7 hidden states"),
        ("last:-1", r"is not of the form"),
        ("stack:all", r"is not of the form"),
        ("", r"layers='' is not of the form"),
        ("stack:", r"is not of the form"),
        ("-1,,-2", r"is not of the form"),
        ("7", r"the model has -7 \(its embeddings\) to -1 \(its last layer\), no 7"),
        ("-8", r"no -8"),
        ("-1,6", r"names a layer twice"),
    ],
)
def test_what_does_not_fit_is_refused(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_layers(setting, 7)
