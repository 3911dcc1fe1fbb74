"""`erc explore embeddings`: stored embeddings in two and three dimensions, with probe scores beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal import completion
from pipeline.terminal.options import LocalPath, json_option, manifest_option, read_places, read_store_option
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from pipeline.explore.embeddings import FeatureLook, Settings
    from pipeline.explore.embeddings_page import Plot

# Of features.spec, and all: to import it takes longer than --help may.
_MODALITIES = ["text", "audio", "visual", "all"]
_METHODS = ["pca", "umap"]
_COLOUR_BY = ["emotion", "speaker", "split"]
_EPILOG = """\b
Examples:
  erc explore embeddings --modality text --out explore
  erc explore embeddings --modality all --method pca --method umap --colour speaker --out explore
  erc explore embeddings --modality visual --feature resnet50 --dims 3 --sphere --out explore

A vector is shown as it is stored. The layers of a stack are laid end to end. A sequence is shown by its mean.
Embeddings are standardised by the train rows, and then projected and probed. The test split is not read. The
command needs the extra `explore`; `erc doctor` says how to install it.
"""


@click.command("embeddings", epilog=_EPILOG)
@click.option(
    "--modality", type=click.Choice(_MODALITIES), default="all", help="Show the features of this modality, or of all."
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="NAME[@FINGERPRINT]",
    shell_complete=completion.features,
    help="Show only this feature; repeatable.  [default: all features of the modality]",
)
@click.option(
    "--method",
    "methods",
    type=click.Choice(_METHODS),
    multiple=True,
    default=["pca"],
    help="How to project; repeatable. UMAP takes up to half a minute more.",
)
@click.option("--dims", type=click.Choice(["2", "3", "both"]), default="both", help="Dimensions of the plots.")
@click.option(
    "--per-class", type=click.IntRange(min=1), default=250, help="Largest number of utterances to show of each class."
)
@click.option("--colour", "colour_by", type=click.Choice(_COLOUR_BY), default="emotion", help="What the colours show.")
@click.option(
    "--sphere", is_flag=True, help="Put the points of PCA on the unit circle or sphere, as in the HLM12ERC report."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the sample, of PCA and of UMAP.")
@read_store_option
@manifest_option
@click.option(
    "--allow-stale",
    is_flag=True,
    help="Show rows even if the manifest's text or clip has changed since they were made.",
)
@click.option(
    "--out",
    type=LocalPath(file_okay=False),
    default="explore",
    help="Folder to write to. It is made if it does not exist.",
)
@json_option
def command(
    modality: str,
    features: tuple[str, ...],
    methods: tuple[str, ...],
    dims: str,
    per_class: int,
    colour_by: str,
    sphere: bool,
    seed: int,
    store: Path | str,
    manifest: Path,
    allow_stale: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Plot stored embeddings in 2-D and 3-D: embeddings.html, which works offline, and figures as PNG and SVG.

    Beside each plot stands the weighted F1, on train and dev, of three simple classifiers: a linear probe, nearest
    neighbours, and one that always predicts neutral (or the most frequent label, if no label is known to be neutral).
    """
    from features.errors import UsageError
    from features.manifest import read_manifest
    from features.packs.mounted import open_store
    from pipeline.explore.embeddings import Settings, look_at, readable_utterances
    from pipeline.explore.embeddings_page import check_plotly, drawings_of, embeddings_page, groups_of, plots_of
    from pipeline.explore.projection import check_umap
    from pipeline.explore.vectors import choose
    from pipeline.pages.drawing import boxes_in_files
    from pipeline.pages.files import figure_files, write_files
    from pipeline.terminal.progress import progress_bar

    methods = tuple(dict.fromkeys(methods))
    if sphere and "pca" not in methods:
        raise UsageError("--sphere works only with PCA: add --method pca, or leave it out")
    check_plotly()
    if "umap" in methods:
        check_umap()
    planes = (2, 3) if dims == "both" else (int(dims),)
    settings = Settings(methods, planes, per_class, colour_by, seed, sphere, allow_stale)
    store, manifest = read_places(store, manifest)
    table = read_manifest(manifest)
    chosen, notes = choose(open_store(store, table), modality, features)
    utterances = readable_utterances(table)
    looks = []
    steps = 2 + ("pca" in methods) + len(planes) * ("umap" in methods)
    with progress_bar(len(chosen) * steps, "step", "explore") as bar:
        for feature in chosen:

            def step(what: str, name: str = feature.name) -> None:
                bar.set_postfix_str(f"{name}: {what}")
                bar.update(1)

            looks.append(look_at(feature, table, utterances, settings, step))
    plots = plots_of(looks, settings)
    groups = groups_of(looks, utterances, settings, table.card.neutral)
    drawings = drawings_of(plots, groups)
    files = figure_files(drawings)
    if boxes := boxes_in_files(drawings.values()):
        notes = [*notes, boxes]
    files["embeddings.html"] = embeddings_page(looks, plots, groups, table, utterances, settings, notes)
    write_files(out, files)
    for note in notes:
        click.echo(f"erc explore embeddings: {note}", err=True)
    if as_json:
        _print_json(looks, plots, settings, notes, out)
    else:
        _print_table(looks, settings, out)


def _print_table(looks: list[FeatureLook], settings: Settings, out: Path) -> None:
    from pipeline.explore.embeddings_page import name_of
    from pipeline.explore.vectors import missing_text
    from pipeline.pages.words import percent, plural
    from pipeline.terminal.tables import text_table

    header = ["feature", "values", "shown", "probe train", "probe dev", "kNN train", "kNN dev"]
    header.append(f"{looks[0].scores[2].name} dev")
    rows = []
    for look in looks:
        linear, neighbours, constant = look.scores
        scores = [linear.train, linear.dev, neighbours.train, neighbours.dev, constant.dev]
        rows.append([name_of(look), f"{look.width:,}", f"{len(look.sample):,}", *map(percent, scores)])
    click.echo(text_table(header, rows))
    click.echo(f"weighted F1 in percent; kNN with k={looks[0].neighbours}")
    for look in looks:
        if look.missing:
            total = plural(sum(look.missing.values()), "utterance")
            click.echo(f"{name_of(look)}: {total} without an embedding ({missing_text(look.missing)})")
        if look.fewer:
            classes = ", ".join(f"{label} {number}" for label, number in look.fewer.items())
            click.echo(f"{name_of(look)}: classes with fewer than {settings.per_class:,} utterances: {classes}")
    click.echo(f"page: {out / 'embeddings.html'}")


def _print_json(looks: list[FeatureLook], plots: list[Plot], settings: Settings, notes: list[str], out: Path) -> None:

    def entry(position: int, look: FeatureLook) -> dict[str, Any]:
        spec = look.feature.spec
        return {
            "feature": look.feature.folder,
            "modality": spec.modality,
            "name": look.feature.name,
            "fingerprint": look.feature.fingerprint,
            "weights": spec.weights,
            "values": look.width,
            "form": look.form or "as stored",
            "shown": len(look.sample),
            "fewer": look.fewer,
            "missing": look.missing,
            "probe_rows": look.probe_rows,
            "train_rows": look.train_rows,
            "dev_rows": look.dev_rows,
            "neighbours": look.neighbours,
            "weighted_f1": {
                key: {"train": score.train, "dev": score.dev}
                for key, score in zip(
                    ("linear_probe", "neighbours", look.scores[2].name.replace("-", "_")), look.scores, strict=True
                )
            },
            "plots": [
                {
                    "method": plot.projection.method,
                    "dims": plot.projection.dims,
                    "explained": list(plot.projection.explained) or None,
                    "png": str(out / "figures" / f"{plot.key}.png"),
                }
                for plot in plots
                if plot.look == position
            ],
        }

    print_json(
        {
            "page": str(out / "embeddings.html"),
            "colour": settings.colour_by,
            "per_class": settings.per_class,
            "seed": settings.seed,
            "notes": notes,
            "features": [entry(position, look) for position, look in enumerate(looks)],
        }
    )
