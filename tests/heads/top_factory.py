"""Small encoders of several architectures, their tops, and the states below them, without a store."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from features.top.cut import cut_top
from features.top.elements import FLAGS
from features.top.network import call
from features.top.top import Entrance, Top
from heads.data.data import FeatureRows, FeatureShape, HeadData
from heads.data.normalise import Normaliser
from heads.data.sequences import Sequences
from heads.data.top import StoredTop, Windows, set_begins
from heads.readers.encoder_top import EncoderTop

WIDTH = 16
LAYERS = 3
_BERT = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 24}
_TEXT = _BERT | {"vocab_size": 50, "max_position_embeddings": 40, "initializer_range": 0.3}
_GPT2 = {
    **{"vocab_size": 50, "n_positions": 64, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2},
    **{"initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 0},
}
_SPEECH = _BERT | {
    **{"conv_dim": (8, 8), "conv_kernel": (10, 5), "conv_stride": (8, 5), "num_feat_extract_layers": 2},
    **{"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "initializer_range": 0.3, "layerdrop": 0.5},
}
_DEBERTA = _TEXT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
# name -> (class of transformers' network, settings of its config, entrance, whether windows may be padded)
ARCHITECTURES: dict[str, tuple[str, dict[str, Any], Entrance, bool]] = {
    "bert": ("Bert", _TEXT, "tokens", True),
    "mpnet": ("MPNet", _TEXT, "tokens", True),
    "roberta": ("Roberta", _TEXT | {"pad_token_id": 1}, "tokens", True),
    "gpt2": ("GPT2", _GPT2, "tokens", True),
    "deberta": ("Deberta", _DEBERTA, "tokens", True),
    "wav2vec2": ("Wav2Vec2", _SPEECH, "frames", False),
    "conformer": ("Wav2Vec2Conformer", _SPEECH | {"position_embeddings_type": "rotary"}, "frames", False),
}


@dataclass(frozen=True)
class Held(StoredTop):
    """A top whose weights are in memory and in no store."""

    held: dict[str, Tensor] = field(default_factory=dict, compare=False)

    def tensors(self) -> dict[str, Tensor] | None:
        return self.held


@dataclass(frozen=True)
class Small:
    """network: the whole one, in evaluation mode; called as `features.top.network.call` does."""

    network: nn.Module
    top: Top

    @property
    def entrance(self) -> Entrance:
        return self.top.description.entrance

    def inputs(self, size: int, seed: int) -> Tensor:
        """A window of token ids, int64 [1, size], or of frames, [1, size, w]."""
        generator = torch.Generator().manual_seed(seed)
        if self.entrance == "tokens":
            return torch.randint(3, 50, (1, size), generator=generator)
        return torch.randn(1, size, WIDTH, generator=generator)

    def states(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(what the first layer of the top is given, [t, w], the last state, [t, w_out]) of a window."""
        description, given = self.top.description, []
        layer = self.network.get_submodule(f"{description.layers}.{description.first}")
        handle = layer.register_forward_pre_hook(
            lambda _, args, kwargs: given.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
        with torch.no_grad():
            last = call(self.network, self.entrance, inputs, None)
        handle.remove()
        return given[0][0].clone(), last[0]

    def stored(self, windows: Windows = "utterance") -> StoredTop:
        return Held(self.top.description.to_json(), windows, held=self.top.tensors)


@cache
def small(name: str = "bert", from_top: int = 2) -> Small:
    """With weights that tell tokens apart, the norms' among them."""
    class_name, sizes, entrance, padded = ARCHITECTURES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = getattr(transformers, f"{class_name}Config")(**sizes)
        whole = getattr(transformers, f"{class_name}Model")(config).eval()
        for key, parameter in whole.named_parameters():
            if "norm" in key.lower() or "ln_" in key:
                nn.init.normal_(parameter, mean=float(key.endswith("weight")), std=0.2)
    network = whole.encoder if entrance == "frames" else whole
    if hasattr(network, "pooler"):
        network.pooler = None
    inputs = torch.randint(3, 50, (2, 7)) if entrance == "tokens" else torch.randn(2, 7, WIDTH)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    top = cut_top(network, entrance, from_top, inputs, mask if padded else None, model=name, tolerance=1e-4)
    return Small(network, top)


@cache
def minilm(from_top: int = 3) -> Small:
    """In the sizes of MiniLM-L6, but for its words."""
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    config = transformers.BertConfig(**sizes, vocab_size=50, max_position_embeddings=40)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = transformers.BertModel(config).eval()
        network.pooler = None
    inputs = torch.randint(3, 50, (2, 7))
    top = cut_top(network, "tokens", from_top, inputs, torch.ones(2, 7).bool(), model="minilm", tolerance=1e-4)
    return Small(network, top)


def elements(lengths: tuple[int, ...], pooled_from: int = 1, seed: int = 0) -> Sequences:
    """Drawn states, one window an utterance; its first elements are not its own."""
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    values = torch.zeros(sum(lengths), WIDTH + FLAGS)
    values[:, :WIDTH] = torch.randn(sum(lengths), WIDTH, generator=generator)
    for start, size in zip(offsets.tolist(), lengths, strict=False):
        values[start + pooled_from : start + size, WIDTH] = 1
        values[start : start + min(size, 1), WIDTH + 1] = 1
    return Sequences(values, offsets)


def reader_of(model: Small, windows: Windows = "utterance", **settings: Any) -> EncoderTop:
    """With the encoder's own weights, in evaluation mode."""
    return EncoderTop(model.stored(windows), **settings).eval()


def with_top(data: HeadData, model: Small, windows: Windows = "utterance") -> HeadData:
    """The same utterances with states below a top as their only input, which show the label; some have none."""
    labels, count = data.utterances.labels, len(data.utterances)
    lengths = [0 if row % 11 == 5 else 2 + row % 7 for row in range(count)]
    drawn = elements(tuple(lengths))
    values, offsets = drawn.values.to(torch.float16).numpy(), drawn.offsets.numpy()
    values[:, 0] += np.repeat(labels, lengths)
    set_begins(values, offsets, data.utterances.dialogues, windows)
    present = np.array(lengths) > 0
    shape = FeatureShape("sequence", (WIDTH + FLAGS,), model.stored(windows))
    rows = FeatureRows("text", "text/top", Normaliser("none"), values, present, shape, offsets)
    return HeadData(data.utterances, {"text": (rows,)})
