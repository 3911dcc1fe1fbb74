"""report.html: one file that needs nothing else.

Every value from data passes through autoescape, and the page's policy lets no script but its own run and nothing load.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence

import jinja2
from markupsafe import Markup

from pipeline.pages import words
from pipeline.pages.drawing import Drawing
from pipeline.report import configuration, facts, provenance, tables
from pipeline.report.corpus import Corpus
from pipeline.report.curves import with_other_loss
from pipeline.report.figures import architecture_problem, key_of
from pipeline.report.findings import spans_zero
from pipeline.report.hardest import Hardest
from pipeline.report.scale import standing
from pipeline.runs.metrics_file import Score

_SCRIPTS = ("sort.js.jinja", "filter.js.jinja")
_STYLES = ("style.css.jinja", "figures.css.jinja")
_FILTERS = (
    *("percent", "score", "points", "interval", "point_interval", "p_value"),
    *("count", "magnitude", "size", "seconds", "rate", "reasons", "share"),
)


def html_report(
    corpora: Sequence[Corpus],
    drawings: Mapping[str, Drawing],
    folder_notes: Sequence[str] = (),
    hardest: Sequence[Hardest | None] | None = None,
) -> str:
    """The page. `folder_notes` concern the folder of runs: what was skipped and why; `hardest` are of each corpus."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("pipeline.report", ""), jinja2.PackageLoader("pipeline.pages", "")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(words, name) for name in _FILTERS}
    script, style = (
        "".join(environment.get_template(name).render() for name in names) for names in (_SCRIPTS, _STYLES)
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.html.jinja").render(
        corpora=corpora,
        folder_notes=list(folder_notes),
        title=facts.page_title(corpora),
        script=script,
        script_hash=f"sha256-{digest}",
        style=style,
        headline=headline_markup,
        others=other_markup,
        baseline_status=facts.baseline_status,
        questions_note=facts.questions_note,
        cost_note=facts.COST_NOTE,
        training_text=facts.training_text,
        against_baseline=tables.against_baseline,
        slice_tables=tables.slice_tables,
        spans_zero=spans_zero,
        badges=facts.badges,
        baseline_note=facts.baseline_note,
        random_warning=facts.random_warning,
        synthetic_warning=words.SYNTHETIC_WARNING,
        breakable=breakable,
        cell=score_cell,
        column_text=words.column_text,
        deviation_text=words.deviation_text,
        drawings=drawings,
        hardest=[None] * len(corpora) if hardest is None else list(hardest),
        architecture_problem=architecture_problem,
        with_other_loss=with_other_loss,
        key_of=key_of,
        standing=standing,
        plural=words.plural,
        **{
            name: getattr(provenance, name)
            for name in (
                "commands_of",
                "coverage_rows",
                "manifests_of",
                "notes_on",
                "settings_of",
                "stored_features",
                "versions_of",
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
