"""Small models of every kind that can be cut, whole, with a batch for each and what they give."""

from __future__ import annotations

from typing import Any

import torch
from tiny_models import tiny_config as tiny_text
from tiny_speech import tiny_config as tiny_speech
from tiny_top import network_of

from features.top.cut import cut_top
from features.top.network import TopNetwork
from features.top.top import Top

TOLERANCE = 1e-5
LAYERS = 4
DEBERTA = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {}),
    "roberta": ("roberta", {}),
    "electra": ("electra", {"embedding_size": 16}),
    "mpnet": ("mpnet", {}),
    "distilbert": ("distilbert", {}),
    "deberta-v2": ("deberta-v2", DEBERTA),
    "modernbert": ("modernbert", {"global_attn_every_n_layers": 2, "local_attention": 4}),
    "t5": ("t5", {}),
    "bart": ("bart", {}),
    "gpt2": ("gpt2", {}),
    "opt": ("opt", {}),
    "gpt-neox": ("gpt-neox", {}),
    "bloom": ("bloom", {}),
    "llama": ("llama", {}),
    "mistral": ("mistral", {"sliding_window": 4}),
    "qwen2": ("qwen2", {}),
    "gemma2": ("gemma2", {"sliding_window": 4}),
}
FRAMES = ("wav2vec2", "wav2vec2-large", "hubert", "wavlm", "wavlm-large", "data2vec-audio", "wav2vec2-conformer")
UNPADDED = ("data2vec-audio", "wav2vec2-conformer")
KINDS = (*TEXTS, *FRAMES)


class Whole:
    """A small model of a kind, a batch for it with padding, and what it gives."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.entrance: Any = "frames" if kind in FRAMES else "tokens"
        if kind in FRAMES:
            config = tiny_speech(kind, num_hidden_layers=LAYERS)
            whole = network_of(config)
            self.network = whole.encoder
            if getattr(self.network, "config", None) is None:
                self.network.config = config
        else:
            name, changes = TEXTS[kind]
            deep = {"t5": "num_layers", "bart": "encoder_layers", "gpt2": "n_layer", "bloom": "n_layer"}
            deep |= {"distilbert": "n_layers"}
            config = tiny_text(name, **{deep.get(kind, "num_hidden_layers"): LAYERS} | changes)
            self.network = network_of(config)
            if config.is_encoder_decoder:
                self.network = self.network.get_encoder()
            if getattr(self.network, "pooler", None) is not None:
                self.network.pooler = None
            self.network.config.use_cache = False
        generator = torch.Generator().manual_seed(5)
        size = (3, 11)
        self.mask: torch.Tensor | None = torch.arange(11) < torch.tensor([[6], [11], [9]])
        if self.entrance == "tokens":
            self.inputs = torch.randint(5, 60, size, generator=generator).masked_fill(~self.mask, 0)
        else:
            self.inputs = torch.randn(*size, 32, generator=generator)
        if kind in UNPADDED:
            self.inputs, self.mask = self.inputs[:1], None

    def cut(self, from_top: int, tolerance: float = TOLERANCE) -> Top:
        return cut_top(
            self.network, self.entrance, from_top, self.inputs, self.mask, model=self.kind, tolerance=tolerance
        )

    def run(self, inputs: torch.Tensor, mask: torch.Tensor | None, top: Top) -> tuple[torch.Tensor, torch.Tensor]:
        """What the first layer of the top is given, and the model's last state."""
        given: list[torch.Tensor] = []

        def keep(module: Any, args: Any, kwargs: Any) -> None:
            given.append(args[0] if args else kwargs["hidden_states"])

        first = self.network.get_submodule(f"{top.description.layers}.{top.description.first}")
        handle = first.register_forward_pre_hook(keep, with_kwargs=True)
        with torch.no_grad():
            if self.entrance == "tokens":  # by transformers alone, not by `call`: that is on trial, too
                last = self.network(
                    input_ids=inputs, attention_mask=None if mask is None else mask.long()
                ).last_hidden_state
            else:
                last = self.network(inputs.clone(), attention_mask=mask).last_hidden_state
        handle.remove()
        return given[0], last

    def other_batch(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Not the probe: longer windows, of other lengths."""
        generator = torch.Generator().manual_seed(6)
        mask = torch.arange(15) < torch.tensor([[15], [2]])
        if self.entrance == "tokens":
            return torch.randint(5, 60, (2, 15), generator=generator).masked_fill(~mask, 0), mask
        frames = torch.randn(2, 15, 32, generator=generator)
        return (frames[:1], None) if self.kind in UNPADDED else (frames, mask)


_made: dict[str, Whole] = {}


def whole(kind: str) -> Whole:
    if kind not in _made:
        _made[kind] = Whole(kind)
    return _made[kind]


def built(top: Top, **settings: Any) -> TopNetwork:
    network = TopNetwork(top.description, **settings).eval()
    network.load(top.tensors)
    return network


def off(found: torch.Tensor, expected: torch.Tensor, mask: torch.Tensor | None) -> float:
    real = torch.ones(found.shape[:2], dtype=torch.bool) if mask is None else mask
    return float((found - expected)[real].double().norm() / expected[real].double().norm())
