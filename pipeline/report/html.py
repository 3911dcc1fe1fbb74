"""report.html: one file that needs nothing else.

Its markup that is made here takes values from data as `Markup.format` escapes them; see `pages.html` for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from features.cards import HEADLINES
from pipeline.pages import words
from pipeline.pages.drawing import Drawing, boxes_in_files
from pipeline.pages.html import render, source
from pipeline.report import configuration, facts, folds, other_corpora, paper_words, provenance, tables
from pipeline.report.columns import whole_columns
from pipeline.report.computations import made_by
from pipeline.report.corpus import Corpus
from pipeline.report.curves import with_other_loss
from pipeline.report.figures import architecture_problem, key_of
from pipeline.report.findings import spans_zero
from pipeline.report.folds import FoldedResult
from pipeline.report.hardest import Hardest
from pipeline.report.paper import PaperResult
from pipeline.report.scale import scale_text, standing
from pipeline.runs.metrics_file import Score

_PACKAGE = "pipeline.report"
_SCRIPTS = ("sort.js.jinja", "filter.js.jinja")


def html_report(
    corpora: Sequence[Corpus],
    drawings: Mapping[str, Drawing],
    folder_notes: Sequence[str] = (),
    hardest: Sequence[Hardest | None] | None = None,
    folded: Sequence[FoldedResult] = (),
    papers: Sequence[PaperResult] = (),
) -> str:
    """The page. `folder_notes` concern the folder of runs: what was skipped and why; `hardest` are of each corpus;
    `folded` are the nested cross-validations, behind the corpora; `papers` are published tables beside ours."""
    titles = [corpus.title for corpus in corpora]
    titles += [title for title in dict.fromkeys(result.title for result in folded) if title not in titles]
    return render(
        _PACKAGE,
        "report.html.jinja",
        styles=["figures.css.jinja"],
        scripts=[source(_PACKAGE, *_SCRIPTS)],
        allow=["img-src data:"],
        corpora=corpora,
        folder_notes=list(folder_notes),
        folded=list(folded),
        papers=list(papers),
        paper_words=paper_words,
        folds=folds,
        folds_headline=lambda result: _sentence(folds.headline_parts(result)),
        title=facts.page_title(titles),
        score_names=HEADLINES,
        headline=headline_markup,
        others=other_markup,
        baseline_status=facts.baseline_status,
        questions_note=facts.questions_note,
        reach_cells=facts.reach_cells,
        place_text=facts.place_text,
        cost_note=facts.COST_NOTE,
        training_text=facts.training_text,
        against_baseline=tables.against_baseline,
        slice_tables=tables.slice_tables,
        too_few=tables.TOO_FEW,
        other_rows=other_corpora.other_rows,
        other_reads=other_corpora.reads_text,
        other_note=other_corpora.NOTE,
        spans_zero=spans_zero,
        badges=facts.badges,
        baseline_note=facts.baseline_note,
        random_warning=facts.random_warning,
        foreign_warning=words.foreign_warning,
        synthetic_warning=words.SYNTHETIC_WARNING,
        breakable=breakable,
        capital=words.capital,
        whole_columns=whole_columns,
        cell=score_cell,
        column_text=words.column_text,
        deviation_text=words.deviation_text,
        drawings=drawings,
        boxes=boxes_in_files(drawings.values()),
        hardest=[None] * len(corpora) if hardest is None else list(hardest),
        architecture_problem=architecture_problem,
        with_other_loss=with_other_loss,
        key_of=key_of,
        made_by=made_by,
        scale_text=scale_text,
        standing=standing,
        **{
            name: getattr(provenance, name)
            for name in (
                "commands_of",
                "coverage_rows",
                "manifests_of",
                "notes_on",
                "settings_of",
                "stored_features",
            )
        },
        **{name: getattr(configuration, name) for name in ("features_of", "loss_name", "part_name")},
    )


def headline_markup(corpus: Corpus) -> Markup:
    """The first sentence, its numbers set apart."""
    return _sentence(facts.headline_parts(corpus))


def other_markup(corpus: Corpus) -> list[Markup]:
    """A sentence for each other split."""
    return [_sentence(parts) for parts in facts.other_parts(corpus)]


def _sentence(parts: Sequence[tuple[str, bool]]) -> Markup:
    return Markup("").join(
        Markup("<b>{}</b>").format(text) if strong else Markup("<span>{}</span>").format(text) for text, strong in parts
    )


def breakable(name: str) -> Markup:
    """A name that may break after the marks inside it, so that narrow columns do not break it within a word."""
    parts = re.split(r"(?<=[-+_./:])(?=\w)", name)
    return Markup("<wbr>").join(parts)


def score_cell(value: Score | None) -> Markup:
    """A mean with its deviation in small type."""
    if value is None or value.std is None:
        return Markup("{}").format(words.percent(value.mean if value else None))
    return Markup("{} <small>± {}</small>").format(words.percent(value.mean), words.percent(value.std))
