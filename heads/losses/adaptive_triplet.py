"""M2FNet's triplet loss, whose margin adapts to the distances, with VICReg's two regularisers.

Legend: b examples, d values of an embedding, p examples of one class, q of the others.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from heads.losses.embeddings import Width, nothing, projection_of, unit
from heads.signals import LossTask, Output, Targets

Weight = Annotated[float, Field(ge=0)]

_EPSILON = 1e-8
_BOUNDED_SCALE, _BOUNDED_CAP = 0.1, 1.0
_FIXED = 0.2
_VARIANCE_EPSILON = 1e-4  # VICReg's


class AdaptiveTriplet(nn.Module):
    """triplet_weight * T + covariance_weight * C + variance_weight * V, on a linear projection of hidden.

    T = mean over triples (a, p, n) of the batch of max(0, d_ap - (d_an + d_pn) / 2 + margin), with Euclidean distances
    between unit vectors. C and V are those of VICReg, on the projection before it is scaled to length 1.

    margin: as-printed: m = 1 + 2 / (exp(4 d_ap) + e) + 1 + 2 / (exp(4 - 4 d_an) + e), with the gradient through m;
            bounded: 0.1 * (m - 2), at most 1, without its gradient (ours); fixed: 0.2
    projection: d, the number of values of the projection
    triplet_weight: weight of T in the sum
    covariance_weight: weight of C, which keeps the projection's values from repeating each other
    variance_weight: weight of V, which keeps the embeddings from becoming all alike

    Chudasama et al. 2022, "M2FNet", train feature extractors with this loss. Here it shapes a projection of cached
    features. It was not checked against code: none is public. As printed, the gradient through m pulls negatives closer
    once d_an > 0.31. The sum is at least 2.24 for unit vectors, so that the hinge never binds, and m without its
    gradient would be a constant. `bounded` is our correction, and `fixed` is there for comparison.

    Every triple counts, where p is another example of a's class and n an example of another class. So the loss is the
    expectation over triples drawn at random. It depends on the batch only, not on its order. It takes p * p * q numbers
    for each class. Unit vectors cannot reach V's goal, a deviation of 1 in each value. So C and V see the projection
    before it is scaled (the paper does not say which). A batch of one has neither C nor V. Without triples, T is 0.
    """

    decides: ClassVar[bool] = False

    def __init__(
        self,
        task: LossTask,
        *,
        margin: Literal["as-printed", "bounded", "fixed"] = "bounded",
        projection: Width = 128,
        triplet_weight: Weight = 20.0,
        covariance_weight: Weight = 5.0,
        variance_weight: Weight = 1.0,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.projection = projection_of(task.hidden_width, projection)
        self.triplet_weight = triplet_weight
        self.covariance_weight = covariance_weight
        self.variance_weight = variance_weight

    def forward(self, output: Output, targets: Targets) -> Tensor:
        embeddings = self.projection(output.hidden)
        total = self.triplet_weight * self.triplets(embeddings, targets.labels)
        if len(embeddings) > 1:
            total = total + self.covariance_weight * covariance(embeddings)
            total = total + self.variance_weight * variance(embeddings)
        return total

    def triplets(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """T, a scalar. embeddings: float32 [b, d]; labels: int64 [b]."""
        hinges = [self.hinges(embeddings, labels == label).clamp(min=0).flatten() for label in labels.unique()]
        each = torch.cat(hinges)
        return each.mean() if len(each) else nothing(embeddings)

    def hinges(self, embeddings: Tensor, own: Tensor) -> Tensor:
        """d_ap - (d_an + d_pn) / 2 + margin of each triple of one class, before it is cut at 0: float32 [pairs, q].

        embeddings: float32 [b, d]; own: bool [b], True for the examples of the class.
        """
        vectors = unit(embeddings)
        members = vectors[own]
        near = _distances(members, members)  # [p, p]
        far = _distances(members, vectors[~own])  # [p, q]
        anchor, positive = (~torch.eye(len(members), dtype=torch.bool, device=own.device)).nonzero(as_tuple=True)
        to_positive = near[anchor, positive].unsqueeze(1)  # [pairs, 1]
        to_negative, between = far[anchor], far[positive]  # [pairs, q]
        gap = to_positive - (to_negative + between) / 2
        return gap + self._margins(to_positive, to_negative)

    def _margins(self, to_positive: Tensor, to_negative: Tensor) -> Tensor | float:
        if self.margin == "fixed":
            return _FIXED
        printed = 2 + 2 / ((4 * to_positive).exp() + _EPSILON) + 2 / ((4 - 4 * to_negative).exp() + _EPSILON)
        if self.margin == "as-printed":
            return printed
        return (_BOUNDED_SCALE * (printed.detach() - 2)).clamp(max=_BOUNDED_CAP)


def covariance(embeddings: Tensor) -> Tensor:
    """Squared covariances between different values, summed, over d. float32 [b, d], b > 1.

    Bardes et al. 2022, "VICReg", eq. 4, as in facebookresearch/vicreg."""
    centred = embeddings - embeddings.mean(dim=0)
    matrix = centred.T @ centred / (len(embeddings) - 1)  # [d, d]
    return (matrix.square().sum() - matrix.diagonal().square().sum()) / embeddings.shape[1]


def variance(embeddings: Tensor) -> Tensor:
    """Mean over values of max(0, 1 - sqrt(variance + 1e-4)). float32 [b, d], b > 1. "VICReg", eq. 1 and 2, as in
    its code for each of its two views."""
    return (1 - (embeddings.var(dim=0) + _VARIANCE_EPSILON).sqrt()).clamp(min=0).mean()


def _distances(some: Tensor, others: Tensor) -> Tensor:
    """Euclidean, float32 [p, d] and [q, d] -> [p, q]; two equal vectors have the distance 0 and a gradient of 0."""
    return torch.cdist(some, others, compute_mode="donot_use_mm_for_euclid_dist")
