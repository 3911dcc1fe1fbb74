"""What an ingest found: counts of a manifest, and everything about the corpus that was not as its card says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from features.manifest import Manifest

_SHOWN_EXAMPLES = 5
_MANY_LABELS = 40
_FEW_ROWS, _ROWS_PER_LABEL = 12, 3  # with so many rows, a label should have so many


@dataclass(frozen=True)
class Finding:
    """Something noticed, how often, and what was done about it.

    name:     stable, for machines: `missing-clips`
    count:    rows or files
    meaning:  what it is and what became of it, one sentence
    examples: the first few, for people
    complete: the examples are all that there is, however large the count, since each has a count of its own
    """

    name: str
    count: int
    meaning: str
    examples: tuple[str, ...] = ()
    complete: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "count": self.count, "meaning": self.meaning, "examples": list(self.examples)}

    @property
    def words(self) -> str:
        return self.name.replace("-", " ")

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.examples) and not self.complete else ""
        examples = f" ({', '.join(self.examples)}{more})" if self.examples else ""
        return f"{self.words}: {self.count:,}. {self.meaning}{examples}"


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
    """Counts per split, findings in the order they should be read, and where the card's published counts differ.

    label_counts: label, in the card's order, then an empty text for rows without one -> split -> rows
    neutral:      the label that always-neutral says, or None
    warnings:     see `label_warnings`
    hints:        what could be done next, a sentence each
    """

    dataset: str
    title: str
    synthetic: bool
    labels: tuple[str, ...]
    splits: dict[str, SplitCounts]
    findings: tuple[Finding, ...]
    differences: tuple[str, ...]
    media_root: Path | None
    label_counts: dict[str, dict[str, int]]
    neutral: str | None
    warnings: tuple[Finding, ...]
    hints: tuple[str, ...]

    def count(self, name: str) -> int:
        """The count of a finding by its name; 0 where the ingest did not look for it."""
        return sum(item.count for item in (*self.findings, *self.warnings) if item.name == name)

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
            "label_counts": self.label_counts,
            "neutral": self.neutral,
            "warnings": [item.to_dict() for item in self.warnings],
            "hints": list(self.hints),
        }

    def lines(self) -> list[str]:
        """The summary for people."""
        lines = [f"{self.title or self.dataset}{' (SYNTHETIC: it tests plumbing only)' if self.synthetic else ''}"]
        for name, split in self.splits.items():
            lines.append(
                f"  {name}: {split.utterances:,} utterances in {split.dialogues:,} dialogues;"
                f" {split.labelled:,} with a label, {split.with_media:,} with a clip"
            )
        lines += self._label_lines()
        lines += [f"  differs from the published count: {line}" for line in self.differences]
        for item in self.findings:
            if item.count:
                lines.append(f"  {item}")
        absent = [item.words for item in self.findings if not item.count]
        if absent:
            lines.append(f"  looked for, and not found: {', '.join(absent)}")
        lines += [f"  warning: {item}" for item in self.warnings]
        lines += [f"  hint: {hint}" for hint in self.hints]
        return lines

    def _label_lines(self) -> list[str]:
        """A table of labels by split, and which of them is neutral."""
        if not self.labels:
            return ["  labels: none"]
        names = {label: label or "(no label)" for label in self.label_counts}
        width = max(map(len, names.values()))
        cells = {split: [f"{counts[split]:,}" for counts in self.label_counts.values()] for split in self.splits}
        widths = {split: max(len(split), *map(len, column)) for split, column in cells.items()}
        lines = [f"  {'label':<{width}}" + "".join(f"  {split:>{widths[split]}}" for split in self.splits)]
        for row, name in enumerate(names.values()):
            numbers = "".join(f"  {cells[split][row]:>{widths[split]}}" for split in self.splits)
            lines.append(f"  {name:<{width}}{numbers}")
        if self.neutral is None:
            return [
                *lines,
                "  no label is known to be neutral, so the baseline is the majority: --neutral LABEL names it",
            ]
        return lines if self.neutral == "neutral" else [*lines, f"  neutral: {self.neutral}"]


def count_labels(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Label, in the card's order, then '' where a row has none -> split -> rows, zeros among them."""
    splits = manifest.frame["split"].unique(maintain_order=True).to_list()
    counted = manifest.frame.group_by(pl.col("label").fill_null(""), "split").len().iter_rows()
    numbers = {(label, split): count for label, split, count in counted}
    labels = [*manifest.card.labels, *([""] if any(label == "" for label, _ in numbers) else [])]
    return {label: {split: numbers.get((label, split), 0) for split in splits} for label in labels}


def label_warnings(counts: Mapping[str, Mapping[str, int]]) -> list[Finding]:
    """More labels than emotions are, labels that no row has, and those that train never shows; only what there is.

    counts: as `count_labels` gives them
    """
    unused = [label for label, splits in counts.items() if label and not any(splits.values())]
    unlearnt = {
        label: ", ".join(f"{split} {count}" for split, count in splits.items() if count)
        for label, splits in counts.items()
        if label and any(splits.values()) and splits.get("train") == 0
    }
    present = {label: sum(splits.values()) for label, splits in counts.items() if label and any(splits.values())}
    rows = sum(present.values())
    too_many = len(present) > _MANY_LABELS or (rows >= _FEW_ROWS and len(present) * _ROWS_PER_LABEL > rows)
    found = [
        finding(
            "many-labels",
            list(present) if too_many else [],
            f"So many labels in {rows:,} labelled rows: is this the column of the emotion?",
        ),
        finding("labels-without-rows", unused, "Labels of the card or --labels that no row has."),
        finding(
            "labels-not-in-train",
            [f"{label}: {rows}" for label, rows in unlearnt.items()],
            "Labels that train never shows: no head can learn them.",
        ),
    ]
    return [item for item in found if item.count]


def summarise(manifest: Manifest, findings: Sequence[Finding], hints: Sequence[str] = ()) -> IngestSummary:
    """Count a manifest and its labels, and compare it with the published counts of its card. Every ingest ends here.

    hints: what an ingest itself would say; one on a missing dev split is added where there is none among them
    """
    label_counts = count_labels(manifest)
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
        label_counts,
        card.neutral,
        tuple(label_warnings(label_counts)),
        tuple(hints) or tuple(_split_hints(splits)),
    )


def _split_hints(splits: Iterable[str]) -> list[str]:
    """What to do about a train split without dev."""
    if "train" in splits and "dev" not in splits:
        return ["there is no dev split: select within train by cross-validation, `erc ablate SUITE --cv 5`"]
    return []
