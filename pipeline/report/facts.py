"""What the first screen says, in words that the page, the Markdown and the command line share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heads.metrics import ALWAYS_NEUTRAL, MAJORITY
from pipeline.comparison.power import MOST_SEEDS
from pipeline.pages.words import (
    NOTHING,
    article,
    count,
    interval,
    listed,
    percent,
    plural,
    point_interval,
    score,
    share,
)
from pipeline.report.corpus import Corpus, Headline
from pipeline.report.findings import LEVEL, Answer, spans_zero
from pipeline.report.provenance import context_of, modality_coverage
from pipeline.runs.splits import EVALUATION_SPLIT, SELECTION_SPLIT
from pipeline.terminal.tables import seconds_text

if TYPE_CHECKING:
    from pipeline.comparison.compare import Interval
    from pipeline.comparison.places import Places

COST_NOTE = (
    "All splits in the store. Decode: seconds of all decoding processes together, preparing included; what a clip took "
    "is told to each feature that it was decoded for. Encode: seconds of the encoding device. Utterances/s: embedded "
    "ones by that time, where it is at least a twentieth of a second."
)


@dataclass(frozen=True)
class Badge:
    """One fact that frames the result. warn: it makes the scores unfit as results, or hangs on what nobody checked."""

    key: str
    text: str
    warn: bool = False


def page_title(titles: Sequence[str]) -> str:
    """titles: of the corpora."""
    return f"{listed(titles)}: emotion recognition in conversation"


def random_warning(corpus: Corpus) -> str:
    names = listed(corpus.random_weights)
    several = len(corpus.random_weights) > 1
    return (
        f"{names} {'come' if several else 'comes'} from {'encoders' if several else 'an encoder'} whose weights are "
        "random: scores built on it test the plumbing and are not results."
    )


def headline_parts(corpus: Corpus) -> list[tuple[str, bool]]:
    """The first sentence as (text, whether it is a number or name to set apart): on test where it was read."""
    run, line = corpus.selected, corpus.main
    if run is None or line is None:
        started = plural(len(corpus.runs), "configuration")
        return [(f"No model is selected: no run has dev scores yet ({started} started).", False)]
    tried, searched, words = corpus.tried.scored, run.searched, corpus.criterion.words
    place = f", best of {count(tried)} configurations on dev" if tried > 1 else ", the only configuration"
    place += " with scores" if tried == 1 and corpus.tried.failed else ""
    if searched:
        place = f"{place if tried > 1 else ''}, chosen by search among {plural(searched, 'configuration')}"
    parts = [
        (corpus.names[run.folder], True),
        (f"{place}, reaches {article(words)} {words} of ", False),
        *_on_split(corpus, line),
    ]
    return [*parts, (".", False)]


def other_parts(corpus: Corpus) -> list[list[tuple[str, bool]]]:
    """The same of each other split that the selected run was scored on, a sentence each."""
    others = [line for line in corpus.headlines if line is not corpus.main]
    return [[(_opening(line.split), False), *_on_split(corpus, line, named=False), (".", False)] for line in others]


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
    if corpus.foreign:
        found.append(Badge("", "Imported features", True))
    if any(feature.weights != "foreign" for run in corpus.runs for feature in run.features) or not corpus.foreign:
        found.append(Badge("Encoders", "frozen"))
    run = corpus.selected
    if run is not None:
        found.append(Badge("Context", context_of(run)))
        looks_at = run.record.looks_at
        names = "not recorded" if looks_at is None else "used" if looks_at.speaker_names else "not used"
        found.append(Badge("Speaker names", names))
    found.append(Badge("Tried", tried_text(corpus)))
    found.append(Badge("Selected by", f"dev {corpus.criterion.words}"))
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
    known = {
        ALWAYS_NEUTRAL: f"predicts {corpus.constant} for every utterance",
        MAJORITY: f"predicts {corpus.constant}, the most frequent label of train, for every utterance",
        "class-prior": "draws a label by its share of train",
    }
    return known.get(name, "looks at no input")


def _opening(split: str) -> str:
    return f"On {split}, which chose it: " if split == SELECTION_SPLIT else f"On {split}: "


def tried_text(corpus: Corpus) -> str:
    """`14 configurations`, how many a search tried before it chose one of them, and how many more have no scores."""
    searched = [run.searched for run in corpus.runs if run.searched and run.dev]
    text = plural(corpus.tried.scored, "configuration")
    if searched:
        which = "one" if len(searched) == 1 else count(len(searched))
        text += f", {which} chosen by search among {listed([count(number) for number in searched])}"
    failed = corpus.tried.failed
    return f"{text}, {count(failed)} more failed or not finished" if failed else text


def baseline_status(corpus: Corpus) -> str:
    """Why no baseline run stands beside the selected one; empty where one does, or nothing is selected."""
    if corpus.selected is None:
        return ""
    if corpus.baseline is None:
        return "No suite of the selected model names a baseline experiment that was trained."
    if corpus.baseline is corpus.selected:
        return f"The selected model is the suite's baseline itself: {corpus.names[corpus.selected.folder]}."
    if not {EVALUATION_SPLIT, SELECTION_SPLIT} & corpus.selected.metrics.keys() & corpus.baseline.metrics.keys():
        return f"The suite's baseline, {corpus.names[corpus.baseline.folder]}, has no scores on dev or test."
    return ""


def training_text(corpus: Corpus) -> str:
    """`70 heads trained in 34.9 s`: all seeds of all configurations."""
    heads = plural(sum(len(run.results) for run in corpus.runs), "head")
    total = corpus.train_seconds
    return f"{heads} trained" + (f" in {seconds_text(total)}, summed" if total is not None else "; seconds not known")


def questions_note(corpus: Corpus) -> str:
    """What the answers rest on, in a few sentences."""
    answers = corpus.findings.answers
    compared = next((answer.comparison for answer in answers if answer.comparison), None)
    if compared is None:
        return "No contrast could be tested: each row says why."
    parts = [
        f"A − B: difference of the means over seeds of {corpus.criterion.words} on dev, in points. Interval: 95%, of "
        f"{count(compared.replicates)} resamples of the {plural(compared.dialogues, 'dialogue')}, with one seed of "
        "either arm: what one training of each may differ by. p: of the means, by swapping whole dialogues between "
        "the arms; Holm's adjusts it for the suite's answered contrasts. A is called higher, or B, where Holm's p is "
        "below 0.05, and higher on average where the interval holds zero all the same. “No difference shown” is not "
        "“no difference”: whatever lies in the interval remains possible. Smallest shown: the smallest true "
        "difference, in points, that the first of Holm's steps shows in 4 of 5 cases with this split and these seeds. "
        f"Seeds a point: how many seeds of each arm would show one of 1 point; – where {MOST_SEEDS} do not, as dev has "
        "too few dialogues, or where one seed each says nothing of other trainings."
    ]
    if any(len(run.dev.seeds) == 1 for answer in answers for run in (answer.a, answer.b) if run and run.dev):
        parts.append("Where an arm has one seed, the interval knows nothing of how much another seed would change.")
    return " ".join(parts)


def place_text(places: Places | None) -> str:
    """`1 to 4`, or `2` where both ends are one."""
    if places is None:
        return NOTHING
    return str(places.low) if places.low == places.high else f"{places.low} to {places.high}"


def reach_cells(answer: Answer) -> list[str]:
    """The smallest difference, in points, that a contrast can show, and how many seeds one point takes."""
    if answer.comparison is None:
        return [NOTHING, NOTHING]
    reach = answer.comparison.reach
    return [percent(reach.smallest), NOTHING if reach.point_takes is None else str(reach.point_takes)]


def _on_split(corpus: Corpus, line: Headline, named: bool = True) -> list[tuple[str, bool]]:
    """named: the baseline run is told by its name."""
    findings, split = corpus.findings, line.split
    seeds = f" over {plural(line.seeds, 'seed')}" if line.seeds > 1 else " (one seed)"
    parts = [(score(line.score), True), (f"{seeds}{f' on {split}' if named else ''}", False)]
    if split in findings.intervals:
        parts.append((f" (95% interval over dialogues {interval(findings.intervals[split])})", False))
    if line.baseline is not None and line.margin is not None:
        margin = findings.margins.get(split)
        parts += [(", ", False), *_points_from(line.margin, line.baseline, margin.interval if margin else None, None)]
    run, other = corpus.selected, corpus.baseline
    if run is None or other is None or other is run or split not in other.metrics:
        return parts
    found = findings.over_baseline.get(split)
    bounds, p = (found.headline.interval, found.p_value) if found else (None, None)
    over = line.score.mean - other.metrics[split].headline_score.mean
    called = f"the baseline {corpus.names[other.folder]}" if named else "the baseline"
    return [*parts, (" and ", False), *_points_from(over, called, bounds, p)]


def _points_from(value: float, what: str, bounds: Interval | None, p: float | None) -> list[tuple[str, bool]]:
    side = "above" if value >= 0 else "below"
    parts = [(percent(abs(value)), True), (f" points {side} {what}", False)]
    if bounds is None:
        return parts
    doubt = spans_zero(bounds) and (p is None or p >= LEVEL)
    return [*parts, (f" ({point_interval(bounds)}{', so no difference is shown' if doubt else ''})", False)]
