"""A corpus's leaderboard, questions and labels as LaTeX tables. Numbers are written as report.md writes them."""

from __future__ import annotations

from features.cards import HEADLINES
from pipeline.pages import words
from pipeline.report import facts, tables
from pipeline.report.columns import whole_columns
from pipeline.report.corpus import Corpus
from pipeline.report.findings import Answer, spans_zero
from pipeline.report.latex_table import Cell, Row, Rule, Table
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.metrics_file import Metrics, Score, scores_shown
from pipeline.runs.splits import SELECTION_SPLIT


def corpus_tables(corpus: Corpus, number: int) -> list[Table]:
    """number: of the corpus in the report, from 1, with which the names begin."""
    found = [leaderboard(corpus, f"{number}-leaderboard")]
    if corpus.findings.answers:
        found.append(questions(corpus, f"{number}-questions"))
    if corpus.selected:
        for line in corpus.headlines:
            split = line.split if line.split.isascii() and line.split.isalnum() else f"split{len(found)}"
            found.append(per_class(corpus, line.split, f"{number}-labels-{split}"))
    return found


def leaderboard(corpus: Corpus, name: str) -> Table:
    """Every run, ranked by dev, best first; the best of a column in bold, as the page marks it."""
    judged, splits = corpus.criterion, [split for split in corpus.splits if split != SELECTION_SPLIT]
    wholes, reported = whole_columns(judged.name), corpus.shows_reported
    header = [
        "Experiment",
        "Seeds",
        *(f"{words.capital(judged.words)}, {split}" for split in (SELECTION_SPLIT, *splits)),
    ]
    header += ["Places"] * bool(corpus.findings.ranks) + [f"{column.title}, dev" for column in wholes]
    header += ["Reported"] * reported
    rows: list[Row | Rule] = []
    for run in corpus.runs:
        dev = run.dev
        row: list[str | Cell] = [_named(corpus, run), _seeds(run)]
        row.append(
            Cell(words.score(dev.headline_score if dev else None), run is corpus.selected and len(corpus.ranked) > 1)
        )
        row += [words.score(_score(run.metrics.get(split))) for split in splits]
        row += [facts.place_text(corpus.findings.ranks.get(run.folder))] * bool(corpus.findings.ranks)
        for column in wholes:
            best = run.folder in corpus.best.get(column.key, ())
            row.append(Cell(words.column_text(column.of(dev) if dev else None, column.percent), best))
        row += [words.NOTHING if run.reported is None else f"{run.reported:g}"] * reported
        rows.append(row)
    if corpus.fewer:
        rows.insert(len(corpus.ranked), Rule(f"Fewer than {corpus.asked} seeds, not ranked:"))
    rows += _baseline_rows(corpus, splits, len(header))
    notes = {
        "a": "Predicts one label for every utterance in at least one of its seeds (collapsed).",
        "b": "No scores: failed or not finished.",
    }
    return Table(name, _leaderboard_caption(corpus), header, rows, notes=notes)


def questions(corpus: Corpus, name: str) -> Table:
    """The suites' contrasts, on dev."""
    rows: list[Row | Rule] = []
    notes: dict[str, str] = {}
    for answer in corpus.findings.answers:
        found = answer.comparison
        mark = "" if found else _mark(notes, answer.trouble)
        row: list[str | Cell] = [answer.contrast.question, _verdict(answer, mark), answer.contrast.a]
        row += [answer.contrast.b, words.points(found.headline.value if found else None)]
        row += [words.point_interval(found.headline.interval if found else None), words.p_value(answer.adjusted)]
        rows.append([*row, facts.reach_cells(answer)[0]])
    header = ["Question", "Answer", "A", "B", "A − B", "95% interval", "Holm's p", "Smallest shown"]
    caption = f"{corpus.title}: the suite's questions. {facts.questions_note(corpus)}{warnings(corpus)}"
    return Table(name, caption, header, rows, text_columns=4, wrapped=True, notes=notes)


def per_class(corpus: Corpus, split: str, name: str) -> Table:
    """Precision, recall and F1 of each label, the selected run's, and beside it the suite's baseline where the report
    compares the two on this split."""
    run = corpus.runs[0]
    metrics, against = run.metrics[split], tables.against_baseline(corpus)
    compared = against if against and against.split == split else None
    labels = {row.name: row for row in compared.labels} if compared else None
    together = {row.name: row for row in compared.together} if compared else None
    rows: list[Row | Rule] = []
    for label in metrics.labels:
        parts = metrics.per_class.get(label)
        scores = [parts.precision if parts else None, parts.recall if parts else None, metrics.per_class_f1[label]]
        rows.append([label, words.count(metrics.support[label]), *map(words.score, scores), *_beside(labels, label)])
    rows.append(Rule())
    total = words.count(sum(metrics.support.values()))
    for column_name, score in _together(metrics).items():
        rows.append([column_name, total, "", "", words.score(score), *_beside(together, column_name)])
    header = ["Label", "Utterances", "Precision", "Recall", "F1"]
    header += ["Baseline's", "Difference", "95% interval"] if compared else []
    caption = (
        f"{corpus.title}: labels of {corpus.names[run.folder]} on {split}, in percent, {_over(metrics)}"
        f"{_bounds(corpus, split)}."
    )
    if compared:
        caption += (
            f" Baseline: {corpus.names[compared.baseline.folder]}; differences in points, with 95% intervals over "
            "dialogues that are not adjusted for the number of rows."
        )
    return Table(name, caption + warnings(corpus), header, rows, notes={})


def warnings(corpus: Corpus) -> str:
    """What makes the scores unfit as results, behind a caption; empty where nothing does."""
    found = []
    if corpus.synthetic:
        found.append("Synthetic data: no score says anything about real conversations.")
    if corpus.random_weights:
        found.append(facts.random_warning(corpus))
    if corpus.foreign:
        found.append(words.foreign_warning(corpus.foreign))
    return "".join(f" {one}" for one in found)


def _leaderboard_caption(corpus: Corpus) -> str:
    counts = sorted({run.seeds for run in corpus.ranked})
    seeds = (
        f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else words.plural(counts[0], "seed") if counts else ""
    )
    over = f" over {seeds}" if seeds and counts[-1] > 1 else " of one seed" if seeds else ""
    parts = [
        f"{corpus.title}: scores in percent, mean ± deviation{over}, ranked by {corpus.criterion.words} on dev"
        f"{_utterances(corpus.dev)}, by which alone the best is chosen."
    ]
    if corpus.findings.ranks:
        parts.append("Places: 95% interval of the place among the ranked runs, over dialogues and seeds.")
    parts.append(facts.headline_text(corpus))
    if corpus.shows_reported:
        parts.append("Reported: published scores of fine-tuned encoders under another protocol, for context.")
    return " ".join(parts) + warnings(corpus)


def _baseline_rows(corpus: Corpus, splits: list[str], width: int) -> list[Row | Rule]:
    """Rules that look at no input, as the leaderboard ends."""
    if not (corpus.dev and corpus.selected):
        return []
    rows: list[Row | Rule] = [Rule()]
    for name, scores in corpus.dev.baselines.items():
        row = [f"{name}: {facts.baseline_note(name, corpus)}", ""]
        row.append(words.percent(scores.score(corpus.criterion.name)))
        for split in splits:
            metrics = corpus.selected.metrics.get(split)
            other = metrics.baselines.get(name) if metrics else None
            row.append(words.percent(other.score(corpus.criterion.name) if other else None))
        row += [""] * bool(corpus.findings.ranks)
        row += [words.percent(column.of_baseline(scores)) for column in whole_columns(corpus.criterion.name)]
        rows.append(row + [""] * (width - len(row)))
    return rows if len(rows) > 1 else []


def _named(corpus: Corpus, run: RunSnapshot) -> Cell:
    mark = "a" if run.dev and run.dev.collapsed_seeds() else "" if run.dev else "b"
    return Cell(corpus.names[run.folder], mark=mark)


def _seeds(run: RunSnapshot) -> str:
    return str(run.seeds) if run.dev else words.NOTHING


def _score(metrics: Metrics | None) -> Score | None:
    return metrics.headline_score if metrics else None


def _verdict(answer: Answer, mark: str) -> Cell:
    """In few words, as A and B stand beside it."""
    found = answer.comparison
    if found is None:
        return Cell("not answered", mark=mark)
    if not answer.higher:
        return Cell("no difference shown")
    average = " on average" if spans_zero(found.headline.interval) else ""
    return Cell(f"{answer.higher} is higher{average}", bold=True)


def _mark(notes: dict[str, str], text: str) -> str:
    """The mark of a note with this text; the same text has the same mark."""
    known = next((mark for mark, said in notes.items() if said == text), None)
    mark = known or str(len(notes) + 1)
    notes[mark] = text
    return mark


def _beside(rows: dict[str, tables.ScoreRow] | None, name: str) -> list[str]:
    """The baseline's cells; none where it is not compared."""
    if rows is None:
        return []
    row = rows.get(name)
    if row is None:
        return [words.NOTHING] * 3
    return [words.score(row.baseline), words.points(row.difference), words.point_interval(row.interval)]


def _together(metrics: Metrics) -> dict[str, Score | None]:
    """The scores of all labels by what the report calls them."""
    return {words.capital(HEADLINES[name]): metrics.score(name) for name in scores_shown(metrics.headline)}


def _over(metrics: Metrics) -> str:
    seeds = len(metrics.seeds)
    return f"mean ± deviation over {words.plural(seeds, 'seed')}" if seeds > 1 else "of one seed"


def _utterances(metrics: Metrics | None) -> str:
    return f" ({words.plural(sum(metrics.support.values()), 'labelled utterance')})" if metrics else ""


def _bounds(corpus: Corpus, split: str) -> str:
    """The interval of the selected run's score, where there is one."""
    found = corpus.findings.intervals.get(split)
    return f"; {corpus.criterion.words}: 95% interval over dialogues {words.interval(found)}" if found else ""
