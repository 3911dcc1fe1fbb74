"""Supervised prototypical contrastive learning, with predictions from the nearest class centre.

Legend: b examples of a batch, n training examples, h values of the last hidden layer, d of an embedding, c classes,
k known classes: those whose centre is known.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from features.errors import ConfigError, TrainingError
from heads.losses.embeddings import Temperature, Width, cosines, nothing, similarities
from heads.signals import LossTask, Output, Targets

Items = Annotated[int, Field(ge=1, le=1 << 16)]

UNKNOWN = -1e4  # score of a class without training examples; its chance is 0 in float32
_CHUNK = 1 << 16  # examples embedded at a time


class Spcl(nn.Module):
    """Mean over the examples with L_i > threshold of
    L_i = -log(sum_{y in P(i)} exp(f(z_i, y) / t) / sum_{y != z_i} exp(f(z_i, y) / t) / |P(i)|).

    z is a linear projection of hidden, f(x, y) = (1 + cosine) / 2 + 1e-8. y runs over the batch and over one prototype
    for each class. P(i) are those of i's class. A prototype is the mean of `items` random embeddings among the last
    `queue` of the class. While there are fewer, it is the class centre: the mean over all training examples at the last
    `refresh`. Prototypes carry no gradient.

    dim:         d, the number of values of the projection
    temperature: t. The lower it is, the more the nearest examples count
    queue:       number of embeddings that are kept of each class
    items:       number of embeddings from the queue that make a prototype
    threshold:   examples whose term is at most this count as learned. If all are learned, the loss is 0

    Song et al. 2022, "Supervised Prototypical Contrastive Learning for Emotion Recognition in Conversation", checked
    against caskcsg/SPCL. The defaults of t, queue, items and threshold are theirs.

    Deviations. Here z is a trained projection of cached features; there it comes from a fine-tuned language model, with
    a linear layer of the same width on request. Here a queue starts empty and is kept over epochs; there it starts each
    epoch anew, with the centre in it. Here a full queue forgets its oldest embedding; there, a random one. Here the
    learning rate's schedule goes over all epochs; there a cosine starts anew each epoch, with warm-up in the first one
    only. There, a classifier on z has a cross-entropy whose gradient does not reach z. It is left out here, since it
    trains only that classifier, which predicts nothing. A `cross-entropy` term beside this loss is different: its
    gradient reaches hidden.

    In training mode, `forward` draws from torch's default generator and appends to the queues. In evaluation mode,
    prototypes are the centres, and nothing changes. The state holds `centres` but not the queues: a prediction needs
    only the centres and the projection. A class without training examples has a centre of zeros and no prototype, and
    its score is about -1e4.
    """

    decides: ClassVar[bool] = True

    def __init__(
        self,
        task: LossTask,
        *,
        dim: Width = 256,
        temperature: Temperature = 0.08,
        queue: Items = 512,
        items: Items = 64,
        threshold: Annotated[float, Field(ge=0)] = 0.3,
    ) -> None:
        super().__init__()
        if items > queue:
            raise ConfigError(f"loss spcl: items ({items}) must be at most queue ({queue}): try items: {queue}")
        num_classes = len(task.counts)
        self.temperature = temperature
        self.items = items
        self.threshold = threshold
        self.projection = nn.Linear(task.hidden_width, dim)
        self.centres: Tensor
        self.queues: Tensor
        self.pushed: Tensor  # int64 [c], embeddings that each queue was ever given; the next one's place is its rest
        self.register_buffer("centres", torch.zeros(num_classes, dim))
        self.register_buffer("queues", torch.zeros(num_classes, queue, dim), persistent=False)
        self.register_buffer("pushed", torch.zeros(num_classes, dtype=torch.int64), persistent=False)

    def forward(self, output: Output, targets: Targets) -> Tensor:
        embeddings = self.projection(output.hidden)  # [b, d]
        labels = targets.labels
        known = self._known().nonzero().flatten()  # [k]
        prototypes = (self._prototypes() if self.training else self.centres)[known]
        if self.training:
            self._push(embeddings.detach(), labels)
        itself = torch.eye(len(labels), len(labels) + len(known), dtype=torch.bool, device=labels.device)
        positive = (labels.unsqueeze(1) == torch.cat([labels, known])) & ~itself  # [b, b + k]
        anchors = positive.any(dim=1)
        if not anchors.any():
            return nothing(embeddings)
        scores = similarities(embeddings[anchors], torch.cat([embeddings, prototypes])) / self.temperature
        chosen = positive[anchors]
        near = scores.masked_fill(~chosen, -torch.inf).logsumexp(dim=1)
        every = scores.masked_fill(itself[anchors], -torch.inf).logsumexp(dim=1)
        each = every - near + chosen.sum(dim=1).log()
        hard = each > self.threshold
        return each[hard].mean() if hard.any() else nothing(each)

    @torch.no_grad()
    def refresh(self, hidden: Tensor, labels: Tensor) -> None:
        """Recompute the class centres. hidden: float32 [n, h]; labels: int64 [n], of all training examples."""
        members = functional.one_hot(labels, len(self.centres)).to(hidden.dtype)  # [n, c]
        counts = members.sum(dim=0).unsqueeze(1)
        means = members.T @ hidden / counts.clamp(min=1)
        # The projection is affine: of the mean it is the mean of the projections.
        self.centres.copy_(torch.where(counts > 0, self.projection(means), 0.0))

    def scores(self, hidden: Tensor) -> Tensor:
        """log softmax over classes of f(z, centre) / t, float32 [b, c]; the largest is that of the nearest centre.

        hidden: float32 [b, h]. Raises TrainingError before the first `refresh`.
        """
        similarity = similarities(self.projection(hidden), self.centres) / self.temperature
        return similarity.masked_fill(~self._refreshed(), UNKNOWN).log_softmax(dim=1)

    @torch.no_grad()
    def difficulty(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """DIF_i = d(z_i, own centre) / sum_k d(z_i, centre k), d = (1 - cosine) / 2: float32 [n], low where easy.

        hidden: float32 [n, h]; labels: int64 [n]. Raises TrainingError before the first `refresh`.
        """
        known = self._refreshed()
        parts = []
        for some, own in zip(hidden.split(_CHUNK), labels.split(_CHUNK), strict=True):
            distances = (1 - cosines(self.projection(some), self.centres)) / 2
            total = (distances * known).sum(dim=1).clamp(min=1e-12)
            parts.append(distances.gather(1, own.unsqueeze(1)).squeeze(1) / total)
        return torch.cat(parts)

    def _known(self) -> Tensor:
        """bool [c], True where the class has a centre."""
        return (self.centres != 0).any(dim=1)

    def _refreshed(self) -> Tensor:
        known = self._known()
        if not known.any():
            raise TrainingError(
                f"loss spcl: 0 of {len(known)} class centres are known: refresh them with training examples first"
            )
        return known

    def _prototypes(self) -> Tensor:
        """float32 [c, d]; the items are drawn without replacement."""
        num_classes, size, dim = self.queues.shape
        filled = self.pushed.clamp(max=size).unsqueeze(1)
        keys = torch.rand(num_classes, size, device=self.queues.device)
        keys = keys.masked_fill(torch.arange(size, device=keys.device) >= filled, -1.0)
        places = keys.topk(self.items, dim=1).indices.unsqueeze(2).expand(-1, -1, dim)
        return torch.where(filled >= self.items, self.queues.gather(1, places).mean(dim=1), self.centres)

    def _push(self, embeddings: Tensor, labels: Tensor) -> None:
        """Append embeddings (float32 [b, d], without a gradient) to their classes' queues, in the batch's order."""
        num_classes, size, _ = self.queues.shape
        members = functional.one_hot(labels, num_classes)
        counts = members.sum(dim=0)
        rank = (members.cumsum(dim=0) * members).sum(dim=1) - 1  # the how-manieth of its class in the batch
        last = rank >= counts[labels] - size  # so that no place is written twice: a GPU would take either
        places = (self.pushed[labels] + rank) % size
        self.queues[labels[last], places[last]] = embeddings[last]
        self.pushed += counts
