"""report.md: the page's facts as GitHub tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from features.cards import HEADLINES
from pipeline.pages import words
from pipeline.pages.paths import Verbatim, shareable
from pipeline.report import facts, other_corpora, provenance, tables
from pipeline.report.columns import whole_columns
from pipeline.report.computations import made_by
from pipeline.report.corpus import Corpus
from pipeline.report.hardest import Hardest
from pipeline.runs.metrics_file import Metrics

_HARDEST = 10  # utterances that are listed
_SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def markdown_report(
    corpora: Sequence[Corpus],
    folder_notes: Sequence[str] = (),
    images: Mapping[str, str] | None = None,
    hardest: Sequence[Hardest | None] = (),
) -> str:
    """The report of the runs. `images` are paths of figures relative to it, of all corpora in order, with their titles;
    `hardest` are of each corpus."""
    blocks = [f"# {text_of(facts.page_title([corpus.title for corpus in corpora]))}"]
    for position, corpus in enumerate(corpora):
        blocks += _corpus(corpus, list(folder_notes) if position == 0 else [])
        blocks += [
            f"![{text_of(title)}]({image})"
            for image, title in (images or {}).items()
            if image.startswith(f"figures/{position + 1}-")
        ]
        if position < len(hardest):
            blocks += _hardest(hardest[position])
        blocks += _provenance(corpus)
    return "\n\n".join(blocks) + "\n"


def text_of(value: object) -> str:
    """Any value as Markdown text on one line: no markup, no HTML, no cell border, no path of this machine."""
    line = " ".join((shareable(value) if isinstance(value, str) else str(value)).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\g<0>", line)


def table(header: Sequence[str], rows: Iterable[Sequence[object]], text_columns: int = 1) -> str:
    """A GitHub table; columns after the first `text_columns` are aligned right. Every cell is escaped."""
    lines = [_row(header), _row_raw(["---"] * text_columns + ["---:"] * (len(header) - text_columns))]
    return "\n".join([*lines, *(_row(row) for row in rows)])


def _row(cells: Sequence[object]) -> str:
    return _row_raw([text_of(cell) for cell in cells])


def _row_raw(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _corpus(corpus: Corpus, folder_notes: list[str]) -> list[str]:
    blocks = []
    if corpus.synthetic:
        blocks.append(f"> **Synthetic corpus.** {words.SYNTHETIC_WARNING}")
    if corpus.random_weights:
        blocks.append(f"> **Random weights.** {text_of(facts.random_warning(corpus))}")
    if corpus.foreign:
        blocks.append(f"> **Imported features.** {text_of(words.foreign_warning(corpus.foreign))}")
    blocks += [sentence(parts) for parts in (facts.headline_parts(corpus), *facts.other_parts(corpus))]
    blocks.append(
        " · ".join(text_of(f"{badge.key}: {badge.text}" if badge.key else badge.text) for badge in facts.badges(corpus))
    )
    notes = provenance.notes_on(corpus) + folder_notes
    if notes:
        blocks.append("\n".join(f"- {text_of(note)}" for note in notes))
    if corpus.findings.answers:
        blocks += ["## The suite's questions", *_answers(corpus), text_of(facts.questions_note(corpus))]
    wholes = ", ".join(HEADLINES[column.key] for column in whole_columns(corpus.criterion.name))
    blocks += [f"## Leaderboard: {text_of(corpus.title)}", _leaderboard(corpus)]
    blocks.append(
        f"Scores in percent, mean ± deviation over seeds; ranked by dev. Labels' F1, {wholes}, negative"
        " log-likelihood (NLL, nats) and expected calibration error (ECE) are on dev."
    )
    blocks += _against(corpus)
    if corpus.selected:
        blocks.append(f"## Selected model: {text_of(corpus.names[corpus.selected.folder])}")
        blocks += [block for line in corpus.headlines for block in _selected(corpus.selected.metrics[line.split])]
        blocks += _slices(corpus)
    return [*blocks, *_elsewhere(corpus), *_cost(corpus)]


def sentence(parts: Sequence[tuple[str, bool]]) -> str:
    """(text, whether to set it apart) as Markdown."""
    return "".join(f"**{text_of(text)}**" if strong else _inline(text) for text, strong in parts)


def _inline(text: str) -> str:
    """Escaped text that keeps the spaces at its ends."""
    left, right = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{left}{text_of(text)}{right}"


def _leaderboard(corpus: Corpus) -> str:
    tested = [split for split in corpus.splits if split != "dev"]
    parts, reported, judged = corpus.parts, corpus.shows_reported, corpus.criterion
    wholes = len(whole_columns(judged.name))
    header = ["Experiment", *(part.title for part in parts), f"dev {judged.words}"]
    header += [f"{split} {judged.words}" for split in tested] + ["Places"] * bool(corpus.findings.ranks)
    header += ["Reported, fine-tuned"] if reported else []
    header += [column.title for column in corpus.columns] + ["Parameters", "Seconds a seed"]
    rows = [_leaderboard_row(corpus, position, tested) for position in range(len(corpus.runs))]
    if corpus.fewer:
        above = len(corpus.ranked)
        rows.insert(above, [f"Fewer than {corpus.asked} seeds, not ranked:", *[""] * (len(header) - 1)])
    if corpus.dev and corpus.selected:
        others = [corpus.selected.metrics.get(split) for split in tested]
        gap, end = [""] * (reported + bool(corpus.findings.ranks)), ["", ""]
        rest = [""] * (len(corpus.columns) - wholes - len(corpus.labels))
        for name, scores in corpus.dev.baselines.items():
            elsewhere = [other.baselines.get(name) if other else None for other in others]
            row = [name, facts.baseline_note(name, corpus), *[""] * (len(parts) - 1)]
            row.append(words.percent(scores.score(judged.name)))
            row += [words.percent(other.score(judged.name) if other else None) for other in elsewhere] + gap
            rows.append(row + [words.percent(column.of_baseline(scores)) for column in corpus.columns] + end)
        row = [
            "Support",
            "labelled utterances",
            *[""] * (len(parts) - 1),
            words.count(sum(corpus.dev.support.values())),
        ]
        row += [words.count(sum(other.support.values()) if other else None) for other in others] + gap
        row += [""] * wholes + [words.count(corpus.dev.support[label]) for label in corpus.labels]
        rows.append(row + rest + end)
    return table(header, rows, text_columns=len(parts))


def _leaderboard_row(corpus: Corpus, position: int, tested: Sequence[str]) -> list[str]:
    run = corpus.runs[position]
    dev = run.dev
    collapsed = dev.collapsed_seeds() if dev else 0
    mark = f" (collapsed, {collapsed} of {words.plural(len(dev.seeds), 'seed')})" if dev and collapsed else ""
    row = [f"{corpus.names[run.folder]}{mark}", *(part.values[position] for part in corpus.parts)]
    row += [words.score(dev.headline_score if dev else None)]
    row += [words.score(run.metrics[split].headline_score if split in run.metrics else None) for split in tested]
    row += [facts.place_text(corpus.findings.ranks.get(run.folder))] * bool(corpus.findings.ranks)
    if corpus.shows_reported:
        row.append(words.NOTHING if run.reported is None else f"{run.reported:g}")
    row += [words.column_text(column.of(dev) if dev else None, column.percent) for column in corpus.columns]
    return [*row, words.count(run.parameters), words.seconds(run.seconds_per_seed)]


def _selected(metrics: Metrics) -> list[str]:
    rows: list[list[object]] = []
    for label in metrics.labels:
        parts = metrics.per_class.get(label)
        scores = [parts.precision if parts else None, parts.recall if parts else None, metrics.per_class_f1[label]]
        rows.append([label, words.count(metrics.support[label]), *(words.score(value) for value in scores)])
    shares: list[list[object]] = []
    for label, counts in zip(metrics.labels, metrics.confusion, strict=True):
        total = sum(counts)
        shares.append([label, *(f"{100 * number / total:.0f}" if total else words.NOTHING for number in counts)])
    return [
        f"### Labels on {text_of(metrics.split)}",
        table(["Label", "Utterances", "Precision", "Recall", "F1"], rows),
        f"### Confusion on {text_of(metrics.split)}, percent of each gold label (row)",
        table(["gold, predicted", *metrics.labels], shares),
    ]


def _answers(corpus: Corpus) -> list[str]:
    """Those with an answer as a table; behind it the others, folded away."""
    rows, unanswered = [], []
    for answer in corpus.findings.answers:
        found = answer.comparison
        if found is None:
            unanswered.append([answer.contrast.question, answer.verdict, answer.contrast.a, answer.contrast.b])
            continue
        one, two = (run.dev.headline_score if run and run.dev else None for run in (answer.a, answer.b))
        row = [answer.contrast.question, answer.verdict, answer.contrast.a, words.score(one), answer.contrast.b]
        row += [words.score(two), words.points(found.headline.value), words.point_interval(found.headline.interval)]
        row += [words.p_value(found.p_value), words.p_value(answer.adjusted)]
        rows.append([*row, *facts.reach_cells(answer)])
    header = ["Question", "Answer", "A", "A on dev", "B", "B on dev", "A − B", "95% interval", "p", "Holm's p"]
    header += ["Smallest shown", "Seeds a point"]
    blocks = [table(header, rows, text_columns=6)] if rows else []
    if unanswered:
        blocks.append(
            f"<details><summary>{words.plural(len(unanswered), 'question')} without an answer</summary>\n\n"
            + table(["Question", "Why there is none", "A", "B"], unanswered, text_columns=4)
            + "\n\n</details>"
        )
    return blocks


def _against(corpus: Corpus) -> list[str]:
    found, status = tables.against_baseline(corpus), facts.baseline_status(corpus)
    if found is None:
        return ["## Baseline and selected model", text_of(status)] if status else []
    rows = []
    for row in (*found.labels, *found.together):
        utterances = "" if row.utterances is None else words.count(row.utterances)
        cells = [row.name, utterances, words.score(row.baseline), words.score(row.selected)]
        rows.append([*cells, words.points(row.difference), words.point_interval(row.interval)])
    names = [text_of(corpus.names[run.folder]) for run in (found.baseline, found.selected)]
    return [
        "## Baseline and selected model",
        f"{names[0]} beside {names[1]} on {text_of(found.split)}; F1 in percent, differences in points.",
        table(["Label", "Utterances", "Baseline", "Selected", "Difference", "95% interval"], rows),
    ]


def _slices(corpus: Corpus) -> list[str]:
    blocks = ["## Slices of the selected model"]
    found, judged = tables.slice_tables(corpus), corpus.criterion
    if not found:
        return [*blocks, "The metrics files hold no slices: `erc evaluate` writes them."]
    for item in found:
        rows = []
        for group, members in item.groups:
            for row in members:
                cells = [group, row.name, words.count(row.utterances), words.score(row.score)]
                cells[-1] += f" ({tables.TOO_FEW})" if row.few else ""
                between = row.intervals
                cells += [words.interval(between.score if between else None)] if item.intervals else []
                cells += [] if judged.name == "accuracy" else [words.score(row.accuracy)]
                beside = [words.score(row.baseline), words.points(row.difference)] if item.baseline else []
                if item.baseline and item.intervals:
                    beside.append(words.point_interval(between.difference if between and row.baseline else None))
                rows.append(cells + beside)
        header = ["Group", "Slice", "Utterances", words.capital(judged.words)]
        header += ["95% interval"] * item.intervals
        header += [] if judged.name == "accuracy" else ["Accuracy"]
        header += [f"Baseline's {judged.words}", "Difference"] if item.baseline else []
        header += ["95% interval"] if item.baseline and item.intervals else []
        blocks += [f"### On {text_of(item.split)}", table(header, rows, text_columns=2)]
    return blocks


def _elsewhere(corpus: Corpus) -> list[str]:
    rows = []
    for row in other_corpora.other_rows(corpus):
        scores = row.scores
        constant = scores.baselines[row.baseline].weighted_f1 if row.baseline else None
        cells = [corpus.names[row.run.folder], f"{row.corpus} {row.digest[:8]}", scores.split, row.mapped, row.left_out]
        cells += [words.score(one) for one in (scores.weighted_f1, scores.macro_f1, scores.accuracy)]
        rows.append([*cells, str(len(scores.seeds)), words.percent(constant), words.count(row.num_scored)])
    if not rows:
        return []
    header = ["Experiment", "Corpus", "Split", "Labels, theirs → the run's", "Left out", "Weighted F1", "Macro F1"]
    header += ["Accuracy", "Seeds", "Weighted F1 of a constant", "Scored"]
    note = f"{other_corpora.NOTE} {other_corpora.reads_text(corpus)}"
    return ["## Other corpora", table(header, rows, text_columns=5), text_of(note)]


def _cost(corpus: Corpus) -> list[str]:
    rows = []
    for cost in corpus.findings.costs:
        row = [cost.feature.folder, words.count(cost.embedded), words.seconds(cost.seconds_decode)]
        row += [words.rate(cost.decode_rate), words.seconds(cost.seconds_encode), words.rate(cost.encode_rate)]
        rows.append([*row, words.size(cost.num_bytes)])
    header = ["Feature", "Embedded", "Decode, s", "Utterances/s", "Encode, s", "Utterances/s", "Stored"]
    blocks = ["## Cost", *(text_of(note) for note in corpus.findings.cost_notes), table(header, rows)]
    return [*blocks, text_of(facts.COST_NOTE), f"{text_of(facts.training_text(corpus))}; each in the leaderboard."]


def _hardest(found: Hardest | None) -> list[str]:
    if found is None:
        return []
    title = f"## Hardest utterances of {text_of(found.split)}"
    if found.problem:
        return [title, text_of(f"Not shown: {found.problem}")]
    header = ["Speaker", "Utterance", "Gold", "Predicted", "Probability of gold", "of predicted"]
    rows = []
    for one in found.utterances[:_HARDEST]:
        said = [one.turn.speaker, Verbatim(one.turn.text)] if one.turn else [words.NOTHING, one.utterance_id]
        chances = [words.percent(one.of_gold), words.percent(one.probabilities[one.predicted])]
        rows.append([*said, one.gold, one.predicted, *chances])
    over = f", mean over {words.plural(found.seeds, 'seed')}" if found.seeds > 1 else ""
    note = f"Of {words.plural(found.labelled, 'labelled utterance')}; probabilities in percent{over}."
    return [title, table(header, rows, text_columns=4), text_of(f"{note} {found.no_texts or ''}")]


def _provenance(corpus: Corpus) -> list[str]:
    coverage = [
        [
            feature.folder,
            split,
            words.reasons(counts.missing) or "none",
            words.reasons(counts.failed) or "none",
            words.count(counts.total),
            words.count(counts.ok),
            words.count(counts.absent),
        ]
        for feature, splits in provenance.coverage_rows(corpus)
        for split, counts in splits
    ]
    features = [
        [
            item.folder,
            item.encoder,
            item.model or "none",
            item.weights,
            f"{item.kind} {' × '.join(map(str, item.shape))}",
            item.compute_dtype,
            ", ".join(f"{key}={value}" for key, value in item.settings.items()) or "none",
            item.fingerprint,
            runs,
        ]
        for item, runs in provenance.stored_features(corpus)
    ]
    settings = [[setting.key, setting.values[0]] for setting in provenance.settings_of(corpus) if setting.shared]
    facts_rows = [["manifest", f"{name} sha256 {digest}"] for name, digest in provenance.manifests_of(corpus)]
    facts_rows += [["test reads", str(len(corpus.test_reads))]]
    facts_rows += [[name, version] for name, version in made_by(corpus)]
    facts_rows += [["command", command] for command in provenance.commands_of(corpus)]
    header = ["Feature", "Split", "Missing", "Failed", "Utterances", "Embedded", "Not extracted"]
    head = ["Feature", "Encoder", "Model", "Weights", "Form", "Precision", "Settings", "Fingerprint", "Runs"]
    return [
        "## Coverage",
        table(header, coverage, text_columns=4),
        "## Provenance",
        table(head, features, text_columns=8),
        table(["", ""], facts_rows, text_columns=2),
        "Settings that all configurations share:",
        table(["Setting", "Value"], settings, text_columns=2),
    ]
