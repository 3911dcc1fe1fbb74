"""`encoder-top`: the last layers of the encoder itself, which start from the encoder's weights and are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from features.errors import ConfigError
from features.top.elements import FLAGS
from features.top.network import TopNetwork
from features.top.top import TopDescription
from heads.data.sequences import Sequences
from heads.data.top import StoredTop
from heads.readers.by_length import groups_of
from heads.readers.checkpointing import checkpoint_layers

Pooling = Literal["mean", "max", "mean+max", "first", "last"]


class EncoderTop(nn.Module):
    """The encoder's layers above the stored states (features/top), pooled to one vector for each utterance.

    pooling: how the last layer's outputs become one vector. mean, max, mean+max: of the utterance's own tokens or
             frames. first: the first element of its window (BERT's [CLS]). last: its own last element, the only one at
             which GPT-2 has read the whole utterance
    over:    whether a window may extend over several turns. utterance: no. dialogue: yes, over turns of a dialogue;
             this needs batches of whole dialogues
    dropout: dropout in the layers while they are trained; null: the model's own
    checkpointing: save memory: keep only the input of each layer, and compute the layer again for the gradient. The
                   numbers are the same, for a third more work and a fraction of the memory

    Elements of the same window see each other. Elements of different windows do not. Windows of similar length are
    padded to one batch, so an utterance's vector depends on the rest of its batch only by rounding. An utterance
    without elements gives zeros. The weights come from the store, if it has them, and otherwise from a checkpoint.
    """

    kinds = frozenset({"top"})
    over_batch = False

    def __init__(
        self,
        top: StoredTop,
        *,
        pooling: Pooling = "mean",
        over: Literal["utterance", "dialogue"] = "utterance",
        dropout: Annotated[float, Field(ge=0, lt=1)] | None = None,
        checkpointing: bool = False,
    ) -> None:
        """Raises ConfigError where windows go on over the turns of a dialogue and `over` is utterance."""
        super().__init__()
        if top.windows == "dialogue" and over != "dialogue":
            raise ConfigError(
                "the windows of this feature go on over the turns of a dialogue: write {name: encoder-top, over:"
                " dialogue}, and batch: {unit: dialogues, size: 8}"
            )
        description = TopDescription.from_json(top.description, "the description of an encoder's top")
        self.layers = TopNetwork(description, dropout=dropout)
        if checkpointing:
            checkpoint_layers(self.layers)
        self.pooling = pooling
        self.state_width = description.width
        self.padded = description.padded
        self.width = description.width_out * (2 if pooling == "mean+max" else 1)
        if not any(parameter.is_meta for parameter in self.parameters()):
            tensors = top.tensors()
            if tensors is not None:
                self.layers.load(tensors)

    def forward(self, values: Sequences) -> Tensor:
        """Elements of shape [w + 2] (features/top/elements.py) -> float32 [n, width]."""
        windows = Windows.of(values, self.state_width)
        wanted, counts = windows.wanted(self.pooling)
        if not len(wanted):
            return torch.zeros((len(values), self.width), device=values.values.device)
        rows = self._outputs(windows, wanted)
        return torch.cat([_pooled(rows, counts, how) for how in self.pooling.split("+")], dim=1)

    def depths(self) -> dict[nn.Parameter, int]:
        """How many layers below the last one each parameter of the encoder stands; 0 also behind it."""
        return {parameter: max(0, self.layers.depth(name) - 1) for name, parameter in self.layers.named_parameters()}

    def _outputs(self, windows: Windows, wanted: Tensor) -> Tensor:
        """float32 [m, w]: what leaves the last layer at the elements `wanted`, int64 [m]."""
        places = torch.zeros_like(windows.owners)
        given, base = [], 0
        for members in groups_of(windows.sizes, self.padded, places.device.type):
            elements, real = windows.padded(members.to(places.device))
            states = (windows.states[elements].float() * windows.scale).masked_fill_(~real.unsqueeze(2), 0.0)
            output = self.layers(states, None if bool((windows.sizes[members] == real.shape[1]).all()) else real)
            given.append(output.flatten(0, 1))
            places[elements[real]] = base + torch.arange(real.numel(), device=real.device)[real.flatten()]
            base += real.numel()
        return torch.cat(given).index_select(0, places[wanted]).float()


@dataclass(frozen=True)
class Windows:
    """The elements of a batch as windows. Legend: e elements, n utterances, v windows, w width of the states.

    states: [e, w], as stored, to be multiplied by `scale`
    pooled: bool [e], whether an element is its utterance's own
    owners: int64 [e], the utterance of each
    firsts: int64 [m], where each utterance's elements begin, of those that have any
    starts: int64 [v], where each window begins
    sizes:  int64 [v], on the CPU
    count:  n
    """

    states: Tensor
    pooled: Tensor
    owners: Tensor
    firsts: Tensor
    starts: Tensor
    sizes: Tensor
    count: int
    scale: float

    @classmethod
    def of(cls, values: Sequences, width: int) -> Windows:
        """A window begins with the first element of all, whatever its flag says."""
        elements = values.values
        if elements.shape[1] != width + FLAGS:
            raise ConfigError(
                f"elements have {elements.shape[1]} values, and the encoder's top takes {width} + {FLAGS}"
            )
        begins = elements[:, width + 1] > 0.5
        begins[:1] = True
        starts = begins.nonzero().squeeze(1)
        ends = torch.cat([starts[1:].cpu(), torch.tensor([len(elements)])])
        lengths = values.lengths
        return cls(
            states=elements[:, :width],
            pooled=elements[:, width] > 0.5,
            owners=torch.arange(len(lengths)).repeat_interleave(lengths).to(elements.device),
            firsts=values.offsets[:-1][lengths > 0].to(elements.device),
            starts=starts,
            sizes=ends[: len(starts)] - starts.cpu(),
            count=len(lengths),
            scale=values.scale,
        )

    def padded(self, members: Tensor) -> tuple[Tensor, Tensor]:
        """Of the windows `members`, int64 [g]: (elements, int64 [g, t], real, bool [g, t]). Padding is behind, and
        names some element."""
        sizes = self.sizes.to(members.device)[members].unsqueeze(1)
        steps = torch.arange(int(self.sizes[members.cpu()].max()), device=members.device)
        elements = self.starts[members].unsqueeze(1) + steps
        return elements.clamp_(max=len(self.states) - 1), steps < sizes

    def wanted(self, pooling: str) -> tuple[Tensor, Tensor]:
        """(elements that a pooling reads, int64 [m], in the order of their utterances; how many of each, int64 [n])"""
        chosen = self.pooled.nonzero().squeeze(1)
        if pooling == "last":
            owners = self.owners[chosen]
            chosen = chosen[torch.cat([owners[1:] != owners[:-1], owners.new_ones(len(owners[:1])).bool()])]
        elif pooling == "first":
            has_own = self.owners.new_zeros(self.count).index_fill_(0, self.owners[chosen], 1)
            firsts = self.firsts[has_own[self.owners[self.firsts]] > 0]
            return self._start_of(firsts), has_own
        return chosen, torch.bincount(self.owners[chosen], minlength=self.count)

    def _start_of(self, elements: Tensor) -> Tensor:
        """Where the windows of these elements begin."""
        return self.starts[torch.searchsorted(self.starts, elements, right=True) - 1]


def _pooled(rows: Tensor, counts: Tensor, how: str) -> Tensor:
    """rows: float32 [m, w], those of one utterance together; counts: int64 [n]. Gives [n, w]: the mean or the largest
    of each, or the only one; zeros where there is none."""
    if how == "max":
        largest = torch.segment_reduce(rows, "max", lengths=counts, axis=0)
        return torch.where(counts.unsqueeze(1) > 0, largest, 0.0)
    total = torch.segment_reduce(rows, "sum", lengths=counts, axis=0)
    return total / counts.clamp(min=1).unsqueeze(1)
