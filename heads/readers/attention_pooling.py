"""`attention-pooling`: a mean of a sequence's elements, weighted by how they match learned queries."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from heads.attention import check_heads, masked_softmax
from heads.data.sequences import Sequences
from heads.readers.shapes import vector_width


class AttentionPooling(nn.Module):
    """Self multi-head attention pooling (India et al. 2019, "Self Multi-Head Attention for Speaker Recognition"): an
    element's values are cut into `heads` parts. Each part has a learned query u. Its weights are the softmax over the
    elements of u . h / sqrt(values of a part), and give a weighted mean of the part. With one head, one learned query
    weights whole elements.

    heads: number of learned queries. It must divide the width of an element

    Checked against miquelindia90/DoubleAttentionSpeakerVerification, whose queries start at random values (Xavier).
    Ours start at zero, so that the reader starts as the mean. Padding has no weight. An utterance without elements
    gives zeros.
    """

    kinds = frozenset({"sequence"})
    over_batch = False
    decayed: ClassVar[tuple[str, ...]] = ("query",)  # see heads/training/weight_decay.py

    def __init__(self, shape: tuple[int, ...], *, heads: Annotated[int, Field(ge=1, le=1 << 10)] = 1) -> None:
        super().__init__()
        self.width = vector_width(shape, "attention-pooling")
        check_heads(heads, self.width, "reader.heads")
        self.query = nn.Parameter(torch.zeros(heads, self.width // heads))

    def forward(self, values: Sequences) -> Tensor:
        padded, mask = values.padded()
        parts = padded.unflatten(2, self.query.shape)  # [n, t, heads, part]
        scores = torch.einsum("nthp,hp->nht", parts, self.query) / math.sqrt(self.query.shape[1])
        return torch.einsum("nht,nthp->nhp", masked_softmax(scores, mask.unsqueeze(1)), parts).flatten(1)
