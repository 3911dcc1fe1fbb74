"""features.json of a run folder as checked values: the corpus, the store and the features that it was trained on.

Fields that a file has beyond these are ignored, so that a newer run folder still reads.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from features.cards import HEADLINES, WEIGHTED_F1
from features.errors import nearest
from heads.criterion import Criterion
from pipeline.runs.metrics_file import Count, Coverage


def _known(name: str) -> str:
    if name not in HEADLINES:
        raise ValueError(f"{name!r} is no score: {nearest(name, HEADLINES)}")
    return name


class FeatureUse(BaseModel, frozen=True, extra="ignore"):
    """One stored feature that a run was trained on, as features.json records it.

    top: how the encoder's layers above its states are built (`features.top.top.TopDescription`), where it has them
    """

    modality: str
    name: str
    folder: str
    fingerprint: str
    encoder: str
    model: str | None = None
    weights: str = "none"
    kind: str = "vector"
    shape: tuple[int, ...] = ()
    compute_dtype: str = ""
    settings: dict[str, Any] = {}
    rows_digest: str | None = None
    coverage: dict[str, Coverage] = {}
    top: Annotated[dict[str, Any] | None, Field(exclude_if=lambda top: top is None)] = None

    @property
    def read_as(self) -> str:
        """What readers see it as: its kind, or `top`."""
        return "top" if self.top else self.kind


class ManifestFacts(BaseModel, frozen=True, extra="ignore"):
    """The corpus that a run was trained on.

    sha256: of the manifest's file
    splits: split -> digest of its rows (`pipeline.runs.identity`); empty in older runs
    headline, polarity: of its dataset card, as it was then
    """

    path: str | None = None
    sha256: str | None = None
    dataset: str
    title: str = ""
    synthetic: bool = False
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    neutral: str | None = None
    train_label_counts: dict[str, Count] = {}
    splits: dict[str, str] = {}
    headline: Annotated[str, AfterValidator(_known)] = WEIGHTED_F1
    polarity: dict[str, tuple[str, ...]] = {}

    @property
    def criterion(self) -> Criterion:
        """The score that the run is judged by."""
        return Criterion.of(self.headline, self.neutral, self.polarity)


class LooksAt(BaseModel, frozen=True, extra="ignore"):
    """What a prediction may depend on beside its utterance. batch: whatever else is scored with it, a slip."""

    dialogue: bool
    later_turns: bool
    batch: bool = False
    speaker_names: bool = False


class Fold(BaseModel, frozen=True, extra="ignore"):
    """Which fold of a cross-validation a run is: `number` of `of`. group: what is never divided between folds.

    nested: whether its `dev` is a part of the fold's train rows, and what the fold holds out is the split `held-out`
    """

    number: int
    of: int
    group: str
    nested: Annotated[bool, Field(exclude_if=lambda nested: not nested)] = False


class FeaturesFile(BaseModel, frozen=True, extra="ignore"):
    """features.json.

    run:  sha256 over resolved config and features
    fold: of a run of a cross-validation, whose `dev` is a part of train
    mixed: whether seeds that were not made alike are averaged, by request (`pipeline.runs.computation`)
    """

    run: str | None = None
    manifest: ManifestFacts
    looks_at: LooksAt | None = None
    store: str | None = None
    features: tuple[FeatureUse, ...]
    versions: dict[str, str | None] = {}
    command: str | list[str] | None = None
    fold: Annotated[Fold | None, Field(exclude_if=lambda fold: fold is None)] = None
    mixed: Annotated[bool, Field(exclude_if=lambda mixed: not mixed)] = False
