"""Readers: how a feature that is more than one vector becomes one vector an utterance. One file a reader, one line in
READERS.

A reader is made with `shape` and keyword-only settings. There are three kinds of feature, and `kinds` says which it
reads:

  sequence: any number of elements an utterance, as heads.data.sequences.Sequences. `shape` is that of one element:
            (384,) for tokens, (2048,) for frames, () for a waveform of samples. A missing utterance has no elements
  stack:    the layers of a network, float32 [b, layers * d], laid end to end. `shape` is (layers, d)
  top:      a sequence of hidden states below the last layers of an encoder, with two flags each (features/top). In
            place of a shape there are these layers, heads.data.top.StoredTop

It gives float32 [b, reader.width], finite also for utterances without elements. An utterance's vector depends on that
utterance alone, whatever the longest of the batch is, unless `over_batch`.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from heads.readers.attention_pooling import AttentionPooling
from heads.readers.encoder_top import EncoderTop
from heads.readers.flat import Flat
from heads.readers.layer_weights import LayerWeights
from heads.readers.mean import MeanReader
from heads.readers.text_cnn import TextCNN
from heads.readers.waveform_mlp import WaveformMLP


class Reader(Protocol):
    """What a head may rely on; every reader is an nn.Module besides. It is called with Sequences or a stack's rows."""

    kinds: frozenset[str]
    over_batch: bool
    width: int

    def __call__(self, values: Any) -> Tensor: ...


READERS: dict[str, type[Reader]] = {
    "flat": Flat,
    "layer-weights": LayerWeights,
    "mean": MeanReader,
    "attention-pooling": AttentionPooling,
    "text-cnn": TextCNN,
    "waveform-mlp": WaveformMLP,
    "encoder-top": EncoderTop,
}
# What a feature gets where its modality names no reader, or one that reads another of the modality's features.
DEFAULT_READERS = {"stack": "flat", "sequence": "attention-pooling", "top": "encoder-top"}
