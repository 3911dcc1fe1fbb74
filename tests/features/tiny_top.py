"""The last layers of a BERT of a few thousand weights, and a feature that stores states below them, made up."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from store_factory import make_spec
from tiny_models import tiny_config

from features.manifest import Manifest
from features.spec import EncoderSpec
from features.top.top import Top


def network_of(config: Any, seed: int = 0, std: float = 0.2) -> Any:
    """A random network in evaluation mode; every weight is drawn, so that none hides what it does."""
    import torch
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = AutoModel.from_config(config, dtype=torch.float32).eval()
        for parameter in network.parameters():
            parameter.normal_(mean=1.0 if parameter.dim() == 1 else 0.0, std=std)
    return network


@cache
def tiny_top(from_top: int = 1, seed: int = 0) -> Top:
    import torch

    from features.top.cut import cut_top

    ids = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7]])
    network = network_of(tiny_config("bert", max_position_embeddings=16), seed)
    return cut_top(network, "tokens", from_top, ids, ids > 0, model="tiny", tolerance=1e-5)


def top_spec(top: Top, **changes: Any) -> EncoderSpec:
    settings = {"from_top": top.description.from_top, "top": top.digest, "windows": "utterance"}
    shape = (top.description.width + 2,)
    spec = make_spec(encoder="sentence-tokens", kind="sequence", shape=shape, stored_dtype="float16", settings=settings)
    return replace(spec, **changes)


def sequences(manifest: Manifest, spec: EncoderSpec) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        key: generator.standard_normal((1 + number % 3, *spec.shape)).astype(np.float32)
        for number, key in enumerate(manifest.ids)
    }
