"""What an ingest found: counts of a manifest, and everything about the corpus that was not as its card says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from features.manifest import Manifest

_SHOWN_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """Something noticed, how often, and what was done about it.

    name:     stable, for machines: `missing-clips`
    count:    rows or files
    meaning:  what it is and what became of it, one sentence
    examples: the first few, for people
    """

    name: str
    count: int
    meaning: str
    examples: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "count": self.count, "meaning": self.meaning, "examples": list(self.examples)}


def finding(name: str, items: Sequence[object], meaning: str) -> Finding:
    """A Finding that counts `items` and shows the first few."""
    return Finding(name, len(items), meaning, tuple(str(item) for item in items[:_SHOWN_EXAMPLES]))


@dataclass(frozen=True)
class SplitCounts:
    """Rows of one split: all, dialogues, those with a label, those with a clip; and the card's count, if it has one."""

    utterances: int
    dialogues: int
    labelled: int
    with_media: int
    published: int | None


@dataclass(frozen=True)
class IngestSummary:
    """Counts per split, findings in the order they should be read, and where the card's published counts differ."""

    dataset: str
    title: str
    synthetic: bool
    labels: tuple[str, ...]
    splits: dict[str, SplitCounts]
    findings: tuple[Finding, ...]
    differences: tuple[str, ...]
    media_root: Path | None

    def count(self, name: str) -> int:
        """The count of a finding by its name; 0 where the ingest did not look for it."""
        return sum(item.count for item in self.findings if item.name == name)

    def to_dict(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "title": self.title,
            "synthetic": self.synthetic,
            "labels": list(self.labels),
            "utterances": sum(split.utterances for split in self.splits.values()),
            "dialogues": sum(split.dialogues for split in self.splits.values()),
            "splits": {name: vars(split) for name, split in self.splits.items()},
            "findings": [item.to_dict() for item in self.findings],
            "differences": list(self.differences),
            "media_root": str(self.media_root) if self.media_root else None,
        }

    def lines(self) -> list[str]:
        """The summary for people."""
        lines = [f"{self.title or self.dataset}{' (SYNTHETIC: it tests plumbing only)' if self.synthetic else ''}"]
        for name, split in self.splits.items():
            lines.append(
                f"  {name}: {split.utterances:,} utterances in {split.dialogues:,} dialogues;"
                f" {split.labelled:,} with a label, {split.with_media:,} with a clip"
            )
        lines += [f"  differs from the published count: {line}" for line in self.differences]
        for item in self.findings:
            if item.count:
                more = ", ..." if item.count > len(item.examples) else ""
                examples = f" ({', '.join(item.examples)}{more})" if item.examples else ""
                lines.append(f"  {item.name}: {item.count:,}. {item.meaning}{examples}")
        absent = [item.name for item in self.findings if not item.count]
        if absent:
            lines.append(f"  none: {', '.join(absent)}")
        return lines


def summarise(manifest: Manifest, findings: Sequence[Finding]) -> IngestSummary:
    """Count a manifest, and compare it with the published counts of its card."""
    counts = manifest.card.counts
    table = manifest.frame.group_by("split", maintain_order=True).agg(
        pl.struct(
            pl.len().alias("utterances"),
            pl.col("dialogue_id").n_unique().alias("dialogues"),
            pl.col("label").count().alias("labelled"),
            pl.col("media").count().alias("with_media"),
        ).alias("numbers")
    )
    splits = {
        row["split"]: SplitCounts(**row["numbers"], published=counts.get(row["split"])) for row in table.to_dicts()
    }
    pairs = [(name, split.utterances, split.published) for name, split in splits.items()]
    if "all" in counts:
        pairs.append(("all", len(manifest), counts["all"]))
    differences = [
        f"{name} has {found:,} utterances, published {published:,} ({abs(found - published):,}"
        f" {'more' if found > published else 'fewer'})"
        for name, found, published in pairs
        if published is not None and found != published
    ]
    card = manifest.card
    return IngestSummary(
        card.dataset,
        card.title,
        card.synthetic,
        card.labels,
        splits,
        tuple(findings),
        tuple(differences),
        manifest.media_root,
    )
