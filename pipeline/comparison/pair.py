"""Two runs compared on a split, as a document and as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from features.cards import HEADLINES, WEIGHTED_F1
from features.errors import RunError
from heads.metrics import over_seeds
from pipeline.comparison.compare import Comparison, Difference, Reach, compare
from pipeline.comparison.counts import Frames, Scores, read_arm
from pipeline.comparison.flips import ONLY_A, ONLY_B, McNemar, average_predictions, flipped, mcnemar
from pipeline.comparison.power import MOST_SEEDS
from pipeline.comparison.read import check_comparable, read_predictions
from pipeline.pages.words import NOTHING, p_value, percent, points
from pipeline.runs.folder import Run, told_apart
from pipeline.runs.metrics_file import Score
from pipeline.runs.ranking import asked_beside, corpus_of, fewer_text
from pipeline.runs.unlike import unlike_text
from pipeline.terminal.tables import mean_and_deviation, text_table


@dataclass(frozen=True)
class Pair:
    """Runs A and B on one split.

    seeds:   of each
    scores:  of each seed of each
    support: label -> gold utterances
    flipped: as `flips.flipped`; mcnemar: None where it was not asked for
    few: which of the two has fewer seeds than are asked for to be ranked, in a line
    unlike: what of code, libraries and device tells the two apart, in words
    """

    runs: tuple[Run, Run]
    split: str
    seeds: tuple[list[int], list[int]]
    scores: tuple[Scores, Scores]
    support: dict[str, int]
    comparison: Comparison
    flipped: pl.DataFrame
    mcnemar: McNemar | None
    few: str = ""
    unlike: str = ""


REACH_LINES = (
    "smallest: the smallest true difference, in points, that would be shown here in 4 of 5 cases, by Holm's p.",
    "seeds a point: how many seeds of each would show one of 1 point; – where 100 do not, since the dialogues are too"
    " few, or where one seed each says nothing of other trainings.",
)


def compare_runs(a: Run, b: Run, split: str, replicates: int, with_mcnemar: bool, margin: float | None = None) -> Pair:
    """Raises RunError where the runs are one and the same, or of other corpora, labels or utterances, or unscored."""
    if a.path.resolve() == b.path.resolve():
        raise RunError(f"{a.path} is both A and B: choose two runs")
    check_comparable(a, b)
    frames: tuple[Frames, Frames] = (read_predictions(a, split), read_predictions(b, split))
    criterion = a.features.manifest.criterion
    comparison = compare(*frames, a.labels, criterion=criterion, replicates=replicates, margin=margin)
    averages = average_predictions(*frames, a.labels)
    arms = [read_arm(one, a.labels, criterion) for one in frames]
    support = arms[0].gold.sum(axis=0)
    return Pair(
        runs=(a, b),
        split=split,
        seeds=(sorted(frames[0]), sorted(frames[1])),
        scores=(arms[0].seed_scores(), arms[1].seed_scores()),
        support={label: int(count) for label, count in zip(a.labels, support, strict=True)},
        comparison=comparison,
        flipped=flipped(averages),
        mcnemar=mcnemar(averages) if with_mcnemar else None,
        few=few_seeds([(a, len(frames[0])), (b, len(frames[1]))]),
        unlike=unlike_text([a, b]),
    )


def unlike_line(unlike: str) -> str:
    """unlike: of `pipeline.runs.unlike`"""
    return (
        f"A and B were not made alike ({unlike}), which the difference holds, too: the same `erc ablate` or `erc train`"
        " trains again what was not made as today."
    )


def few_seeds(compared: Sequence[tuple[Run, int]]) -> str:
    """Which of these runs of one corpus have fewer seeds than `pipeline.runs.ranking` asks for; empty for none."""
    asked = asked_beside([run for run, _ in compared])
    names = told_apart([run for run, _ in compared])
    few = dict.fromkeys((name, seeds) for name, (_, seeds) in zip(names, compared, strict=True) if seeds < asked)
    return fewer_text(list(few), asked) if few else ""


def few_seeds_by_corpus(compared: Sequence[tuple[Run, int]]) -> list[str]:
    """`few_seeds` of each corpus; those that have none are left out."""
    corpora: dict[tuple[str | None, ...], list[tuple[Run, int]]] = {}
    for run, seeds in compared:
        corpora.setdefault(corpus_of(run), []).append((run, seeds))
    return [line for runs in corpora.values() if (line := few_seeds(runs))]


def pair_document(pair: Pair, shown: list[dict[str, Any]]) -> dict[str, Any]:
    """What `--json` prints. Scores and differences are fractions. shown: flipped utterances."""
    comparison = pair.comparison
    return {
        "split": pair.split,
        **{
            arm: {
                "run": str(run.path),
                "experiment": run.name,
                "seeds": seeds,
                "headline": over_seeds(scores.headline.tolist()),
                "weighted_f1": over_seeds(scores.weighted_f1.tolist()),
                "accuracy": over_seeds(scores.accuracy.tolist()),
                "per_class_f1": {
                    label: over_seeds(scores.class_f1[:, place].tolist()) for place, label in enumerate(pair.support)
                },
            }
            for arm, run, seeds, scores in zip("ab", pair.runs, pair.seeds, pair.scores, strict=True)
        },
        "utterances": comparison.utterances,
        "dialogues": comparison.dialogues,
        "replicates": comparison.replicates,
        "support": pair.support,
        "score": comparison.score,
        "headline": asdict(comparison.headline),
        "weighted_f1": asdict(comparison.weighted_f1),
        "p_value": comparison.p_value,
        "p_below": comparison.p_below,
        "reach": asdict(comparison.reach),
        "macro_f1": asdict(comparison.macro_f1),
        "accuracy": asdict(comparison.accuracy),
        "per_class_f1": {label: asdict(value) for label, value in comparison.per_class_f1.items()},
        "flipped": {"only_a": _count(pair, ONLY_A), "only_b": _count(pair, ONLY_B), "utterances": shown},
        "mcnemar": asdict(pair.mcnemar) | {"assumes": "independent utterances"} if pair.mcnemar else None,
        "unlike": pair.unlike or None,
    }


def pair_text(pair: Pair, shown: list[dict[str, Any]]) -> str:
    """A short account for a terminal."""
    comparison = pair.comparison
    lines = []
    folders = told_apart(pair.runs)
    for arm, run, folder, seeds, scores in zip("AB", pair.runs, folders, pair.seeds, pair.scores, strict=True):
        value = mean_and_deviation(Score.of(scores.headline.tolist()))
        lines.append(
            f"{arm}  {run.name}: {pair.split} {HEADLINES[comparison.score]} {value} %"
            f" ({len(seeds)} seed{'s' if len(seeds) > 1 else ''}; {folder})"
        )
    lines += [
        f"A - B  {difference_text(comparison.headline)} points, p = {p_value(comparison.p_value)}",
        reach_text(comparison.reach),
        *([pair.few] if pair.few else []),
        *([unlike_line(pair.unlike)] if pair.unlike else []),
        *method_lines([comparison], max(map(len, pair.seeds)) > 1),
        "",
        _class_table(pair),
        "",
        f"Flipped, by the mean of the seeds' probabilities: {_count(pair, ONLY_A):,} utterances that only A gets right,"
        f" {_count(pair, ONLY_B):,} that only B does.",
    ]
    if pair.mcnemar:
        lines.append(
            f"McNemar, exact: p = {p_value(pair.mcnemar.p_value)}. It assumes independent utterances, which those of"
            " one dialogue are not."
        )
    for row in shown:
        said = f"  {row['speaker']}: {row['text']}" if row.get("text") is not None else ""
        lines.append(
            f"  {row['utterance_id']}  {row['gold']}  A {row['predicted_a']} ({row['p_gold_a']:.2f})"
            f"  B {row['predicted_b']} ({row['p_gold_b']:.2f}){said}"
        )
    if shown:
        lines.append("  (id, gold, each arm's prediction and its probability of gold; the largest changes first)")
    return "\n".join(lines)


def method_lines(comparisons: Sequence[Comparison], several_seeds: bool) -> list[str]:
    """How intervals and p-values came about and what they are of, as lines for a terminal."""
    sizes = dict.fromkeys(
        f"{one.utterances:,} labelled utterances of {one.dialogues:,} dialogues" for one in comparisons
    )
    lines, replicates = [f"{' and '.join(sizes)}."], comparisons[0].replicates
    if several_seeds:
        return [
            *lines,
            f"95% interval: one training of each, on dialogues like these ({replicates:,} resamples of"
            " dialogues and one seed an arm).",
            "p: the means over seeds (whole dialogues swapped between the arms, and the seeds' spread). It can be small"
            " where the",
            "interval holds 0.",
        ]
    return [
        *lines,
        f"95% interval: {replicates:,} resamples of dialogues. p: whole dialogues swapped between the arms.",
        "Both describe only these two heads: with one seed each, nothing is known of other trainings.",
    ]


def reach_cells(reach: Reach) -> list[str]:
    """The smallest difference, in points, and how many seeds one point takes."""
    seeds = NOTHING if reach.point_takes is None else str(reach.point_takes)
    return [percent(reach.smallest), seeds]


def reach_text(reach: Reach) -> str:
    """What two runs could have shown, in a sentence or two."""
    smallest = "no difference at all" if reach.smallest is None else f"{100 * reach.smallest:.1f} points"
    said = f"The smallest true difference that this split and these seeds show in 4 of 5 cases: {smallest}."
    if reach.point_takes is not None:
        return f"{said} One point takes {reach.point_takes} seeds each."
    if not reach.spread.freedom:
        return f"{said} This describes only these two heads: with one seed each, nothing is known of other trainings."
    return f"{said} One point is out of reach with {MOST_SEEDS} seeds each: the split has too few dialogues."


def difference_text(difference: Difference) -> str:
    """`+0.5 [−0.8, +1.9]`, in points."""
    interval = difference.interval
    return f"{points(difference.value)} [{points(interval.low)}, {points(interval.high)}]"


def _count(pair: Pair, flip: str) -> int:
    return int((pair.flipped["flip"] == flip).sum())


def _class_table(pair: Pair) -> str:
    comparison = pair.comparison
    means = [scores.mean() for scores in pair.scores]
    rows = [
        [
            f"F1 of {label}",
            f"{pair.support[label]:,}",
            *(f"{100 * mean.class_f1[0, place]:.1f}" for mean in means),
            *_cells(comparison.per_class_f1[label]),
        ]
        for place, label in enumerate(pair.support)
    ]
    total = f"{comparison.utterances:,}"
    together = [
        ("accuracy", comparison.accuracy, [mean.accuracy[0] for mean in means]),
        ("weighted F1", comparison.weighted_f1, [mean.weighted_f1[0] for mean in means]),
        ("macro F1", comparison.macro_f1, [mean.macro_f1[0] for mean in means]),
    ]
    if comparison.score not in ("accuracy", WEIGHTED_F1, "macro_f1"):
        together.append((HEADLINES[comparison.score], comparison.headline, [mean.headline[0] for mean in means]))
    for name, difference, values in together:
        rows.append([name, total, *(f"{100 * value:.1f}" for value in values), *_cells(difference)])
    return text_table(["percent", "support", "A", "B", "A - B", "95% interval"], rows)


def _cells(difference: Difference) -> list[str]:
    interval = difference.interval
    return [points(difference.value), f"{points(interval.low)} to {points(interval.high)}"]
