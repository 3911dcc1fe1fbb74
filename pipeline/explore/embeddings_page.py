"""embeddings.html: the looks at features as one interactive page, with plotly.js inside, and their plots as files."""

from __future__ import annotations

import html
import importlib.util
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import polars as pl

from features.errors import UsageError
from features.extras import install_extra
from features.manifest import Manifest
from heads.data.utterances import Utterances
from pipeline.explore.colours import GREY, Group, colour_groups
from pipeline.explore.embeddings import FeatureLook, Settings
from pipeline.explore.probe import MOST_ITERATIONS, STRENGTH
from pipeline.explore.projection import UMAP_DISTANCE, UMAP_NEIGHBOURS, Projection
from pipeline.explore.scatter import LAYERS, axis_names, scatter
from pipeline.explore.vectors import missing_text
from pipeline.pages.drawing import Drawing
from pipeline.pages.html import render, script_json
from pipeline.pages.words import count, listed, plural

_LINE = 64  # characters of a hovered text


@dataclass(frozen=True)
class Plot:
    """One projection of one feature. key: the name of its files."""

    key: str
    title: str
    caption: str
    look: int
    projection: Projection


def check_plotly() -> None:
    """Raises UsageError that names the extra where plotly is not installed."""
    if importlib.util.find_spec("plotly") is None:
        raise UsageError(f"the interactive page needs plotly, which is not installed: {install_extra('explore')}")


def plots_of(looks: Sequence[FeatureLook], settings: Settings) -> list[Plot]:
    """Every plot of the page, in its order."""
    found = []
    for number, look in enumerate(looks):
        for projection in look.projections:
            key = f"{look.feature.folder.replace('/', '-')}-{projection.method}-{projection.dims}d"
            caption = _caption(projection, settings)
            found.append(Plot(key, f"{name_of(look)}, {caption}, by {settings.colour_by}", caption, number, projection))
    return found


def groups_of(
    looks: Sequence[FeatureLook], utterances: Utterances, settings: Settings, neutral: str | None
) -> list[list[Group]]:
    """For each look the groups of its sample, grey ones first."""
    groups = [colour_groups(utterances, look.sample, settings.colour_by, neutral) for look in looks]
    return [sorted(items, key=lambda group: group.colour != GREY) for items in groups]


def drawings_of(plots: Sequence[Plot], groups: Sequence[Sequence[Group]]) -> dict[str, Drawing]:
    """key -> the plot as a figure."""
    return {plot.key: scatter(plot.key, plot.title, plot.projection, groups[plot.look]) for plot in plots}


def embeddings_page(
    looks: Sequence[FeatureLook],
    plots: Sequence[Plot],
    groups: Sequence[Sequence[Group]],
    manifest: Manifest,
    utterances: Utterances,
    settings: Settings,
    notes: Sequence[str] = (),
) -> str:
    """The page. Raises UsageError where plotly is not installed."""
    check_plotly()
    from plotly.offline import get_plotlyjs

    source = resources.files("pipeline.explore").joinpath("plots.js").read_text(encoding="utf-8")
    title = manifest.card.title or manifest.card.dataset
    random = [name_of(look) for look in looks if look.feature.spec.weights == "random"]
    return render(
        "pipeline.explore",
        "embeddings.html.jinja",
        styles=["explore.css.jinja"],
        scripts=[get_plotlyjs(), source],
        allow=["img-src data: blob:"],  # plotly.js draws on such pictures
        title=title,
        headline=_headline(looks, settings),
        badges=_badges(utterances, settings),
        notes=[*notes, *_fewer_notes(looks, settings)],
        how_read=_HOW_READ,
        synthetic=manifest.card.synthetic,
        random=f"{listed(random)} {'come' if len(random) > 1 else 'comes'} from random weights" if random else "",
        looks=[
            {
                "name": name_of(look),
                "width": look.width,
                "random": look.feature.spec.weights == "random",
                "foreign": look.feature.spec.is_foreign,
                "scores": look.scores,
                "facts": _facts(look),
                "plots": [
                    {"number": number, "title": plot.title, "caption": plot.caption}
                    for number, plot in enumerate(plots)
                    if plot.look == position
                ],
            }
            for position, look in enumerate(looks)
        ],
        data=script_json(_data(looks, plots, groups, manifest, utterances)),
    )


def name_of(look: FeatureLook) -> str:
    """`text/sentence@5b698f53`"""
    return f"{look.feature.spec.modality}/{look.feature.name}@{look.feature.fingerprint[:8]}"


def hover_text(row: Mapping[str, Any]) -> str:
    """What is shown of an utterance under the pointer, in plotly's markup, with all that comes from data escaped."""
    text = "<br>".join(_escaped(line) for line in textwrap.wrap(row["text"], _LINE)[:8]) or "(no text)"
    gold = row["label"] if row["label"] is not None else "no label"
    return (
        f"<b>{_escaped(row['speaker'] or 'nobody named')}</b><br>{text}<br>gold: {_escaped(gold)}<br>"
        f"{_escaped(row['utterance_id'])} ({_escaped(row['split'])})"
    )


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _data(
    looks: Sequence[FeatureLook],
    plots: Sequence[Plot],
    groups: Sequence[Sequence[Group]],
    manifest: Manifest,
    utterances: Utterances,
) -> dict[str, Any]:
    """What the page's script reads. Names are in plotly's markup."""
    frame = manifest.frame.select("utterance_id", "split", "speaker", "text", "label")
    by_id = pl.DataFrame({"utterance_id": utterances.ids}).join(
        frame, on="utterance_id", how="left", maintain_order="left"
    )
    return {
        "layers": LAYERS,
        "looks": [
            {
                "hover": [hover_text(row) for row in by_id[look.sample].iter_rows(named=True)],
                "groups": [
                    {
                        "name": _escaped(group.name),
                        "colour": group.colour,
                        "shape": group.shape,
                        "behind": group.colour == GREY,
                        "rows": group.rows.tolist(),
                    }
                    for group in items
                ],
            }
            for look, items in zip(looks, groups, strict=True)
        ],
        "plots": [
            {
                "look": plot.look,
                "axes": axis_names(plot.projection),
                "points": [[_rounded(value) for value in column] for column in plot.projection.points.T],
            }
            for plot in plots
        ],
    }


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def _headline(looks: Sequence[FeatureLook], settings: Settings) -> str:
    shown = plural(len(np.unique(np.concatenate([look.sample for look in looks]))), "utterance")
    what = name_of(looks[0]) if len(looks) == 1 else plural(len(looks), "feature")
    return f"{shown} as {what} {'sees' if len(looks) == 1 else 'see'} them, by {settings.colour_by}"


def _badges(utterances: Utterances, settings: Settings) -> list[tuple[str, str]]:
    return [
        ("Sample", f"up to {count(settings.per_class)} a class, seed {settings.seed}"),
        ("Splits", f"{listed(list(dict.fromkeys(map(str, utterances.splits))))}; test is not read"),
        ("Standardised", "by train"),
    ]


_HOW_READ = (
    "Each point is an utterance: hover for it, drag to turn or move, click a name in the legend to hide it,"
    " double-click to see it alone. A plot keeps a small part of what is in an embedding: classes that overlap in it"
    " may still be told apart. The scores use all of it. The linear probe is scikit-learn's LogisticRegression"
    f" (C = {STRENGTH:g} over the train rows, at most {MOST_ITERATIONS} iterations). Neighbours are Euclidean, and on"
    " train no utterance is its own. Both learn from train alone. Heads that train longer or see the dialogue can do"
    " better."
)


def _fewer_notes(looks: Sequence[FeatureLook], settings: Settings) -> list[str]:
    """Which classes have fewer utterances than asked for, once for all features that agree."""
    by_text: dict[str, list[str]] = {}
    for look in looks:
        if look.fewer:
            text = ", ".join(f"{label} {count(number)}" for label, number in look.fewer.items())
            by_text.setdefault(text, []).append(name_of(look))
    return [
        f"Fewer than {count(settings.per_class)} utterances"
        f"{'' if len(names) == len(looks) else f' of {listed(names)}'}: {text}."
        for text, names in by_text.items()
    ]


def _facts(look: FeatureLook) -> list[tuple[str, str]]:
    spec = look.feature.spec
    total = sum(look.missing.values())
    probed = count(look.probe_rows) + (
        f" of {count(look.train_rows)}, drawn at random to bound the time" if look.probe_rows < look.train_rows else ""
    )
    return [
        ("Shown", plural(len(look.sample), "utterance")),
        ("Embedding", f"{count(look.width)} values{f', {look.form}' if look.form else ''}"),
        ("Encoder", f"{spec.encoder}{f', {spec.model}' if spec.model else ''}"),
        ("Probes learn from", f"{probed} train utterances"),
        ("Scored on dev", plural(look.dev_rows, "utterance") if look.dev_rows else "nothing: dev has no labelled row"),
        ("Without an embedding", f"{count(total)} ({missing_text(look.missing)})" if total else "none"),
    ]


def _caption(projection: Projection, settings: Settings) -> str:
    if projection.method == "umap":
        return (
            f"UMAP, {projection.dims}-D ({UMAP_NEIGHBOURS} neighbours, distance {UMAP_DISTANCE}, seed {settings.seed})"
        )
    if not any(projection.explained):
        return f"PCA, {projection.dims}-D (nothing varies: all embeddings that are shown are equal)"
    kept = f"{100 * sum(projection.explained):.0f}% of the variance"
    shape = ", on the unit " + ("circle" if projection.dims == 2 else "sphere") if settings.sphere else ""
    return f"PCA, {projection.dims}-D{shape} ({kept})"
