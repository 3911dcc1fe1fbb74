"""A published table beside ours, and its objectives' answers, in words that the terminal, report.md and LaTeX share."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.pages import words
from pipeline.pages.words import NOTHING, capital, interval, p_value, percent, plural, point_interval, points
from pipeline.report.corpus import Corpus
from pipeline.report.findings import Answer, spans_zero
from pipeline.report.paper import PaperResult, PaperRow, Reply


@dataclass(frozen=True)
class PaperLine:
    """A row of the table as text. notes: of its cells by column, what a mark there stands for."""

    cells: tuple[str, ...]
    notes: dict[int, str]


def paper_header(result: PaperResult) -> list[str]:
    return ["Exp", "Experiment", *result.corpus.labels, "Weighted F1", "95% interval", "Seeds", "Reported"]


def paper_line(result: PaperResult, row: PaperRow) -> PaperLine:
    """A row; a dash, and a note that says why, where a number is not known."""
    dev = row.run.dev if row.run else None
    labels = len(result.corpus.labels)
    score, bounds, seeds, reported = (labels + 2 + place for place in range(4))
    notes: dict[int, str] = {}
    if row.run is None:
        notes[score] = "Not among the runs."
    elif dev is None:
        notes[score] = "No scores on dev: it failed, or is not finished."
    elif row.interval is None:
        notes[bounds] = "No interval: the predictions are not at hand, or do not give the scores."
    if dev and len(dev.seeds) < result.corpus.asked:
        notes[seeds] = f"Fewer than the {result.corpus.asked} seeds that are asked for."
    if row.equal_to:
        notes[1] = f"Equal to {row.equal_to}, which was trained once for both."
    if row.number in result.paper.remarks:
        notes[reported] = result.paper.remarks[row.number]
    cells = [str(row.number), row.experiment]
    cells += [percent(dev.per_class_f1[label].mean if dev else None) for label in result.corpus.labels]
    cells += [words.score(dev.weighted_f1 if dev else None), interval(row.interval)]
    cells += [str(len(dev.seeds)) if dev else NOTHING, NOTHING if row.reported is None else f"{row.reported:g}"]
    return PaperLine(tuple(cells), notes)


def paper_caption(result: PaperResult) -> str:
    """What the table shows: of which corpus, split and seeds, and what stands beside it."""
    corpus, paper = result.corpus, result.paper
    seeds = sorted({len(row.run.dev.seeds) for row in result.rows if row.run and row.run.dev})
    over = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else plural(seeds[0], "seed") if seeds else "no seed"
    text = (
        f"{paper.title} in its order, suite {paper.suite}: F1 of each label and weighted F1 on {corpus.title}'s dev, "
        f"in percent, mean ± deviation over {over}, with 95% intervals over dialogues and seeds. Reported: the "
        f"published weighted F1 on {paper.dataset.upper()}'s {paper.split}, of encoders that were fine-tuned, one "
        "training each: context, not a target."
    )
    if corpus.dataset != paper.dataset:
        text += f" Ours are of another corpus, {corpus.title}: the two cannot be compared."
    if result.missing:
        text += f" {plural(result.missing, 'experiment')} of {len(result.rows)} without scores."
    return text


def reply_sentences(corpus: Corpus, reply: Reply) -> list[str]:
    """The verdict, what each contrast says, and what the report says."""
    lines = [f"{capital(reply.verdict)}."]
    for contrast, answer in zip(reply.objective.contrasts, reply.answers, strict=True):
        lines.append(_contrast_sentence(corpus, contrast, answer))
    return [*lines, f"The published report: {reply.objective.reported}"]


def reply_title(reply: Reply) -> str:
    return f"Objective {reply.objective.number}. {reply.objective.question}"


def terminal_lines(result: PaperResult) -> list[str]:
    """The answers as the command prints them."""
    lines = [f"{result.paper.title}, suite {result.paper.suite}, on {result.corpus.title}'s dev:"]
    for reply in result.replies:
        lines.append(f"{reply_title(reply)} {' '.join(reply_sentences(result.corpus, reply))}")
    return lines


def _contrast_sentence(corpus: Corpus, contrast: tuple[str, str], answer: Answer | None) -> str:
    a, b = contrast
    if answer is None:
        return f"{a} and {b} were not compared: the suite among the runs does not ask it of them."
    found, one, two = answer.comparison, answer.a, answer.b
    if found is None or not (one and two and one.dev and two.dev):
        return f"{a} and {b} were not compared: {answer.trouble}."
    said = (
        f"On dev {a} has {words.score(one.dev.headline_score)} and {b} {words.score(two.dev.headline_score)}, a "
        f"difference of {points(found.headline.value)} points (95% interval {point_interval(found.headline.interval)},"
        f" Holm's p {p_value(answer.adjusted)})"
    )
    if not answer.higher:
        reach = found.reach.smallest
        least = f"; one of {percent(reach)} points would be, in 4 of 5 cases" if reach is not None else ""
        return f"{said}: no difference is shown{least}."
    average = " on average" if spans_zero(found.headline.interval) else ""
    return f"{said}: {a if answer.higher == 'A' else b} is higher{average}."
