"""Whether a manifest holds the very rows that a run was trained on and is to be judged by, wherever its file lies."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from features.digests import digest_of
from features.manifest import Manifest, file_digest
from pipeline.runs.features_file import FeaturesFile
from pipeline.runs.metrics_file import Metrics
from pipeline.runs.splits import SELECTION_SPLIT

_NOT_SCORED = ("media", "note")  # where clips lie, and remarks: neither decides what is scored


def split_digests(manifest: Manifest) -> dict[str, str]:
    """Split -> sha256 over its rows, in whatever order its dialogues stand, apart from `media` and `note`.

    A column without any value does not count, so that one that a later version adds changes no digest.
    """
    digests = {}
    for split in sorted(manifest.frame["split"].unique()):
        rows = manifest.frame.filter(pl.col("split") == split).sort("dialogue_id", "turn")
        columns = {
            name: rows[name].to_list()
            for name in rows.columns
            if name not in _NOT_SCORED and rows[name].null_count() < rows.height
        }
        digests[split] = digest_of("split", columns)
    return digests


@dataclass(frozen=True)
class ManifestIdentity:
    """What tells one manifest from another.

    sha256: of its file; splits: `split_digests`; sizes: split -> utterances
    labels: split -> label -> utterances, of those that occur
    """

    dataset: str
    sha256: str | None
    splits: dict[str, str]
    sizes: dict[str, int]
    labels: dict[str, dict[str, int]]

    @classmethod
    def of(cls, manifest: Manifest) -> ManifestIdentity:
        frame = manifest.frame
        labels: dict[str, dict[str, int]] = {split: {} for split in frame["split"].unique()}
        for split, label, number in frame.drop_nulls("label").group_by("split", "label").len().iter_rows():
            labels[split][label] = number
        return cls(
            manifest.card.dataset,
            file_digest(manifest),
            split_digests(manifest),
            dict(frame["split"].value_counts().iter_rows()),
            labels,
        )

    @property
    def rows(self) -> str:
        """Digest over the rows of all splits: equal for a copy of the manifest elsewhere, or in another format."""
        return digest_of("manifest", self.dataset, self.splits)


def is_own(record: FeaturesFile, given: ManifestIdentity, split: str, earlier: Metrics | None) -> bool:
    """Whether a split of a manifest is the one of the corpus that a run was trained on.

    So it is where the file is the same; where the split's rows are the same; or, of a split that the manifest got
    since, where the other splits that it had are the same. Runs of an older version recorded no rows: dataset, counts
    of the train labels and number of dev utterances decide, and that the run's `earlier` scores on the split, if it has
    any, are of the same rows, as far as they tell.
    """
    facts = record.manifest
    if facts.sha256 is not None and facts.sha256 == given.sha256:
        return True
    if facts.dataset != given.dataset:
        return False
    if split in facts.splits:
        return facts.splits[split] == given.splits.get(split)
    if facts.splits:
        shared = facts.splits.keys() & given.splits.keys()
        return bool(shared) and all(facts.splits[name] == given.splits[name] for name in shared)
    trained = {label: count for label, count in facts.train_label_counts.items() if count}
    dev = recorded_size(record, SELECTION_SPLIT)
    same = bool(trained) and trained == given.labels.get("train") and dev in (None, given.sizes.get(SELECTION_SPLIT))
    return same and (earlier is None or _of_rows(earlier, given, split))


def _of_rows(scores: Metrics, given: ManifestIdentity, split: str) -> bool:
    if scores.scored and scores.scored.rows:
        return scores.scored.rows == given.splits.get(split)
    support = {label: count for label, count in scores.support.items() if count}
    return scores.utterances == given.sizes.get(split) and support == given.labels.get(split)


def recorded_size(record: FeaturesFile, split: str) -> int | None:
    """How many utterances a split had when the run was trained; None where features.json does not say."""
    totals = {feature.coverage[split].total for feature in record.features if split in feature.coverage}
    return totals.pop() if len(totals) == 1 else None


def foreign_scores(record: FeaturesFile, scores: Metrics) -> str | None:
    """Why metrics-SPLIT.json is of other rows than the run's own, as far as it tells; None where it does not.

    Older versions wrote the scores of any manifest into that file.
    """
    facts, scored = record.manifest, scores.scored
    own = facts.splits.get(scores.split)
    if scored and (scored.dataset != facts.dataset or scored.labels_map):
        return f"holds scores on {scored.dataset}, not on {facts.dataset}"
    if scored and scored.rows and own and scored.rows != own:
        return f"holds scores on other {scores.split} rows than the run's manifest had"
    size, covered = recorded_size(record, scores.split), {item.total for item in scores.coverage.values()}
    if size is not None and covered and covered != {size}:
        return f"holds scores on {scores.utterances} utterances, but the run's {scores.split} split had {size}"
    return None
