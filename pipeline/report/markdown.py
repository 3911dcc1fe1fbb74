"""report.md: the page's facts as GitHub tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from pipeline.report import facts, provenance, words
from pipeline.report.hardest import Hardest
from pipeline.report.leaderboard import Corpus, features_of, loss_name, part_name
from pipeline.report.model import Metrics, Run

_HARDEST = 10  # utterances that are listed
_SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def markdown_report(
    corpora: Sequence[Corpus],
    folder_notes: Sequence[str] = (),
    images: Mapping[str, str] | None = None,
    hardest: Sequence[Hardest | None] = (),
) -> str:
    """The report. `images` are paths of figures relative to it, of all corpora in order, with their titles; `hardest`
    are of each corpus."""
    blocks = [f"# {text_of(facts.page_title(corpora))}"]
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
    """Any value as Markdown text on one line: no markup, no HTML, no cell border."""
    line = " ".join(str(value).split())
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
        blocks.append(f"> **Synthetic corpus.** {facts.SYNTHETIC_WARNING}")
    if corpus.random_weights:
        blocks.append(f"> **Random weights.** {text_of(facts.random_warning(corpus))}")
    blocks.append(
        "".join(f"**{text_of(text)}**" if strong else _inline(text) for text, strong in facts.headline_parts(corpus))
    )
    blocks.append(
        " · ".join(text_of(f"{badge.key}: {badge.text}" if badge.key else badge.text) for badge in facts.badges(corpus))
    )
    notes = provenance.notes_on(corpus) + folder_notes
    if notes:
        blocks.append("\n".join(f"- {text_of(note)}" for note in notes))
    blocks += [f"## Leaderboard: {text_of(corpus.title)}", _leaderboard(corpus)]
    blocks.append(
        "Scores in percent, mean ± deviation over seeds; ranked by dev. Labels' F1, macro F1 and accuracy are on dev."
    )
    if corpus.selected:
        blocks.append(f"## Selected model: {text_of(corpus.names[corpus.selected.folder])}")
        blocks += [block for line in corpus.headlines for block in _selected(corpus.selected.metrics[line.split])]
    contrasts = corpus.differences()
    if contrasts:
        blocks += ["## The suite's questions", _contrasts(contrasts_rows(corpus))]
    return blocks


def _inline(text: str) -> str:
    """Escaped text that keeps the spaces at its ends."""
    left, right = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{left}{text_of(text)}{right}"


def _leaderboard(corpus: Corpus) -> str:
    tested = [split for split in corpus.splits if split != "dev"]
    header = ["Experiment", "Inputs", "Fusion", "Loss", "Seeds", "dev weighted F1"]
    header += [f"{split} weighted F1" for split in tested] + [column.title for column in corpus.columns]
    header += ["Parameters", "Seconds a seed"] + (["Reported"] if corpus.shows_reported else [])
    rows = [_leaderboard_row(corpus, run, tested) for run in corpus.runs]
    if corpus.dev and corpus.selected:
        others = [corpus.selected.metrics.get(split) for split in tested]
        blank = [""] * (len(header) - 6 - len(tested) - len(corpus.columns))
        for name, scores in corpus.dev.baselines.items():
            elsewhere = [other.baselines.get(name) if other else None for other in others]
            row = [name, facts.baseline_note(name, corpus), "", "", "", words.percent(scores.weighted_f1)]
            row += [words.percent(other.weighted_f1 if other else None) for other in elsewhere]
            rows.append(row + [words.percent(column.of_baseline(scores)) for column in corpus.columns] + blank)
        row = ["Support", "labelled utterances", "", "", "", words.count(sum(corpus.dev.support.values()))]
        row += [words.count(sum(other.support.values()) if other else None) for other in others]
        rows.append(row + ["", ""] + [words.count(corpus.dev.support[label]) for label in corpus.labels] + blank)
    return table(header, rows, text_columns=4)


def _leaderboard_row(corpus: Corpus, run: Run, tested: Sequence[str]) -> list[str]:
    dev = run.dev
    collapsed = dev.collapsed_seeds() if dev else 0
    mark = f" (collapsed, {collapsed} of {words.plural(len(dev.seeds), 'seed')})" if dev and collapsed else ""
    started = len(run.results) + len(run.unfinished)
    seeds = f"{len(dev.seeds) if dev else len(run.results)}{f'/{started}' if run.unfinished else ''}"
    inputs = "; ".join(f"{modality}: {', '.join(names)}" for modality, names in features_of(run))
    row = [
        f"{corpus.names[run.folder]}{mark}",
        inputs,
        part_name(run.config.get("fusion")),
        loss_name(run.config.get("loss")),
    ]
    row += [seeds, words.score(dev.weighted_f1 if dev else None)]
    row += [words.score(run.metrics[split].weighted_f1 if split in run.metrics else None) for split in tested]
    row += [words.percent(column.of(dev).mean if dev else None) for column in corpus.columns]
    row += [words.count(run.parameters), words.seconds(run.seconds_per_seed)]
    return row + ([words.NOTHING if run.reported is None else f"{run.reported:g}"] if corpus.shows_reported else [])


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


def contrasts_rows(corpus: Corpus) -> list[list[object]]:
    """Question, A, A on dev, B, B on dev, A - B in points."""
    rows: list[list[object]] = []
    for contrast, a, b in corpus.differences():
        one, two = (run.dev.weighted_f1 if run and run.dev else None for run in (a, b))
        difference = one.mean - two.mean if one and two else None
        row = [contrast.question, contrast.a, words.score(one), contrast.b, words.score(two), words.points(difference)]
        rows.append(list(row))
    return rows


def _contrasts(rows: list[list[object]]) -> str:
    header = ["Question", "A", "A on dev", "B", "B on dev", "A − B"]
    note = "Plain differences of dev means; no test of significance has been made."
    return f"{table(header, rows, text_columns=6)}\n\n{note}"


def _hardest(found: Hardest | None) -> list[str]:
    if found is None:
        return []
    title = f"## Hardest utterances of {text_of(found.split)}"
    if found.problem:
        return [title, text_of(f"Not shown: {found.problem}")]
    header = ["Speaker", "Utterance", "Gold", "Predicted", "Probability of gold", "of predicted"]
    rows = []
    for one in found.utterances[:_HARDEST]:
        said = [one.turn.speaker, one.turn.text] if one.turn else [words.NOTHING, one.utterance_id]
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
    facts_rows += [[name, version] for name, version in provenance.versions_of(corpus)]
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
