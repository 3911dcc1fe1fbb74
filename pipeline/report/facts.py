"""What the first screen says, in words that the page, the Markdown and the command line share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.leaderboard import Corpus, Headline
from pipeline.report.model import EVALUATION_SPLIT
from pipeline.report.provenance import context_of, modality_coverage
from pipeline.report.words import count, listed, percent, plural, score, share

SYNTHETIC_WARNING = (
    "These utterances were generated to test the plumbing. No score on this page says anything about emotion "
    "recognition in real conversations."
)


@dataclass(frozen=True)
class Badge:
    """One fact that frames the result. warn: it makes the scores unfit as results."""

    key: str
    text: str
    warn: bool = False


def page_title(corpora: Sequence[Corpus]) -> str:
    return f"{listed([corpus.title for corpus in corpora])}: emotion recognition in conversation"


def random_warning(corpus: Corpus) -> str:
    names = listed(corpus.random_weights)
    several = len(corpus.random_weights) > 1
    return (
        f"{names} {'come' if several else 'comes'} from {'encoders' if several else 'an encoder'} whose weights are "
        "random: scores built on it test the plumbing and are not results."
    )


def headline_parts(corpus: Corpus) -> list[tuple[str, bool]]:
    """The first sentence as (text, whether it is a number or name to set apart)."""
    run = corpus.selected
    if run is None:
        started = plural(len(corpus.runs), "configuration")
        return [(f"No model is selected: no run has dev scores yet ({started} started).", False)]
    tried = len(corpus.runs)
    place = f", best of {count(tried)} configurations on dev," if tried > 1 else ", the only configuration,"
    parts = [(corpus.names[run.folder], True), (f"{place} reaches a weighted F1 of ", False)]
    for position, line in enumerate(corpus.headlines):
        parts += [("; " if position else "", False), *_on_split(line)]
    return [*(part for part in parts if part[0]), (".", False)]


def headline_text(corpus: Corpus) -> str:
    """The first sentence as plain text."""
    return "".join(text for text, _ in headline_parts(corpus))


def badges(corpus: Corpus) -> list[Badge]:
    """The facts under the first sentence; warnings first."""
    found = []
    if corpus.synthetic:
        found.append(Badge("", "Synthetic data", True))
    if corpus.random_weights:
        found.append(Badge("", "Random weights", True))
    found.append(Badge("Encoders", "frozen"))
    run = corpus.selected
    if run is not None:
        found.append(Badge("Context", context_of(run)))
        if run.record.looks_at and run.record.looks_at.speaker_names:
            found.append(Badge("", "uses speaker names"))
    found.append(Badge("Tried", plural(len(corpus.runs), "configuration")))
    found.append(Badge("Selected by", "dev weighted F1"))
    reads = len(corpus.test_reads)
    if reads:
        found.append(Badge("Test split", f"read {'once' if reads == 1 else f'{count(reads)} times'}"))
    else:
        scored = EVALUATION_SPLIT in corpus.splits
        found.append(Badge("Test split", "scored, reads not recorded" if scored else "not read"))
    if run is not None:
        covered = [f"{modality} {share(coverage)} %" for modality, coverage in modality_coverage(run)]
        if covered:
            found.append(Badge("Coverage of dev", ", ".join(covered)))
    return found


def baseline_note(name: str, corpus: Corpus) -> str:
    """What a baseline row is, in a few words."""
    constant = corpus.runs[0].manifest.neutral or "the most frequent train label"
    known = {
        "always-neutral": f"predicts {constant} for every utterance",
        "class-prior": "draws a label by its share of train",
    }
    return known.get(name, "looks at no input")


def _on_split(line: Headline) -> list[tuple[str, bool]]:
    seeds = f" over {plural(line.seeds, 'seed')}" if line.seeds > 1 else " (one seed)"
    parts = [(score(line.score), True), (f"{seeds} on {line.split}", False)]
    if line.baseline is not None and line.margin is not None:
        side = "above" if line.margin >= 0 else "below"
        parts += [(", ", False), (percent(abs(line.margin)), True), (f" points {side} {line.baseline}", False)]
    return parts
