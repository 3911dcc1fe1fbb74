"""The section of a report on what its runs scored on other corpora, or on other rows than they were trained beside."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.pages.words import count, plural
from pipeline.report.corpus import Corpus, baseline_of
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.metrics_file import Metrics, ScoredOn
from pipeline.runs.splits import ordered_splits

NOTE = (
    "Scores in percent, mean ± deviation over seeds, of the utterances whose label the run knows, by name or through "
    "the map. Macro F1 is over the labels that the map reaches. Utterances of labels that the map leaves out are "
    "predicted, and in no score. Nothing here ranks or chooses."
)


@dataclass(frozen=True)
class OtherRow:
    """One run on one split of another corpus. corpus: what to call it; digest: of the manifest's file, if known"""

    run: RunSnapshot
    scores: Metrics
    scored: ScoredOn
    corpus: str

    @property
    def digest(self) -> str:
        return self.scored.sha256 or ""

    @property
    def mapped(self) -> str:
        """`joyful → joy, mad → anger`."""
        pairs = ", ".join(f"{theirs} → {ours}" for theirs, ours in self.scored.labels_map.items())
        return pairs or "the same names"

    @property
    def num_scored(self) -> int:
        return sum(self.scores.support.values())

    @property
    def left_out(self) -> str:
        """`173: peaceful 80, powerful 93`, and how many have no label at all."""
        left = self.scored.left_out
        parts = [f"{count(sum(left.values()))}: " + ", ".join(f"{name} {count(n)}" for name, n in left.items())]
        bare = self.scores.unlabelled - sum(left.values())
        return "; ".join([*(parts if left else []), *([f"{count(bare)} unlabelled"] if bare else [])]) or "none"

    @property
    def baseline(self) -> str | None:
        return baseline_of(self.scores)


def other_rows(corpus: Corpus) -> list[OtherRow]:
    """By corpus, manifest, map and split; within one, runs as they are ranked on their own dev split."""
    rows = [
        OtherRow(run, scores, scores.scored, _called(run, scores.scored))
        for run in corpus.runs
        for scores in run.elsewhere
        if scores.scored
    ]
    order = {split: place for place, split in enumerate(ordered_splits(row.scores.split for row in rows))}
    return sorted(rows, key=lambda row: (row.corpus, row.scored.rows or "", row.mapped, order[row.scores.split]))


def reads_text(corpus: Corpus) -> str:
    """How often test splits of other corpora were read; empty where they were not."""
    reads = len(corpus.other_reads)
    return f"Test splits of other corpora were read {plural(reads, 'time')}." if reads else ""


def _called(run: RunSnapshot, scored: ScoredOn) -> str:
    name = scored.title or scored.dataset
    if scored.dataset != run.manifest.dataset:
        return name
    return f"{name}, other labels" if scored.labels_map else f"{name}, other rows"
