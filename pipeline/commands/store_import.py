"""`erc store import`: vectors or sequences that others made, as a feature of a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal import completion
from pipeline.terminal.options import MODEL_OR_PATH, LocalPath, PathOrName, json_option, manifest_option, store_option
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from features.imports.store_import import Imported, Prepared

# As features.spec and features.imports.formats name them: importing these takes longer than --help may.
_MODALITIES = ["text", "audio", "visual"]
_FORMATS = ["auto", "npy", "npz", "parquet", "hdf5", "mmsa", "conv-emotion", "mertools", "dict"]
_KINDS = ["vector", "sequence", "stack"]
_SHOWN = 3
_EPILOG = """\b
Examples:
  erc store import features/hubert-UTT --modality audio --as hubert-mer --id "{val}_{key}"
  erc store import meld_features_roberta.pkl --modality text --as cosmic-roberta1 --field roberta1
  erc store import unaligned_50.pkl --modality visual --as openface --dry-run
  erc store import vectors.npy --ids ids.json --modality text --as e5 --model intfloat/e5-large

The format is recognised by the file's content. docs/import.md describes each format. A pickle is read by a
parser of this project. It reads arrays and plain containers, refuses everything else, and runs no code.

Rows are joined to utterances by id only. --id says how the ids in SOURCE are made: it is a template of the
manifest's columns and of the parts of its utterance_id. Without --id, several usual rules are tried. The one
that fits most ids is used and printed. If the file has texts, labels or splits, they are compared with the
manifest, so that a shifted list of ids is refused.
"""


@click.command("import", epilog=_EPILOG)
@click.argument("source", type=LocalPath())
@click.option("--modality", type=click.Choice(_MODALITIES), required=True, help="What the vectors were made of.")
@click.option("--as", "name", required=True, metavar="NAME", help="Name of the feature in the store.")
@click.option("--format", "file_format", type=click.Choice(_FORMATS), default="auto", help="Format of SOURCE.")
@click.option(
    "--field",
    metavar="NAME",
    help="Which part of SOURCE, if it has several: text, audio, vision, roberta1, a column, ...",
)
@click.option(
    "--ids",
    type=PathOrName("the name of a column"),
    metavar="FILE|COLUMN",
    help="Where the ids are: a column of SOURCE, or, for a single .npy, a file (.json, .txt, .csv).",
)
@click.option(
    "--id",
    "template",
    metavar="TEMPLATE",
    shell_complete=completion.id_rules,
    help="How an id in SOURCE is made from an utterance.",
)
@click.option("--kind", type=click.Choice(_KINDS), help="What each array is, if its shape does not tell.")
@click.option(
    "--model", type=MODEL_OR_PATH, metavar="HUB_ID_OR_PATH", help="The model that made the vectors, as reports show it."
)
@click.option("--note", metavar="WORDS", help="How the vectors were made; kept in the spec.")
@click.option("--dry-run", is_flag=True, help="Read, join and check. Write nothing.")
@manifest_option
@store_option
@json_option
def command(
    source: Path,
    modality: Any,
    name: str,
    file_format: str,
    field: str | None,
    ids: str | None,
    template: str | None,
    kind: Any,
    model: str | None,
    note: str | None,
    dry_run: bool,
    manifest: Path,
    store: Path,
    as_json: bool,
) -> int:
    """Import vectors or sequences from other projects into a store, joined to the manifest by id.

    Exit status: 0; 3 if some utterances are `failed` because their vectors hold NaN or infinity.
    """
    from features.encoders.table import known_encoders
    from features.imports.store_import import ImportRequest, check_name, prepare_import, write_import
    from features.manifest import read_manifest
    from features.spec import check_alias
    from pipeline.terminal.progress import progress_bar

    check_name(check_alias(name), known_encoders())
    table = read_manifest(manifest)
    request = ImportRequest(modality, name, file_format, field, ids, template, kind, note, model)
    with progress_bar(0, "array", "read") as bar:
        prepared = prepare_import(source, request, table, bar.update)
    done = None
    if not dry_run:
        with progress_bar(len(table), "utt", "import") as bar:
            done = write_import(prepared, store, bar.update)
    if as_json:
        print_json(_document(prepared, store, done), indent=1)
    else:
        for line in _lines(prepared, store, done):
            click.echo(line)
    return 3 if done and done.written.get("non-finite") else 0


def _lines(prepared: Prepared, store: Path, done: Imported | None) -> list[str]:
    foreign, joined, form = prepared.foreign, prepared.joined, prepared.form
    shape = "x".join(map(str, ("n", *form.shape) if form.kind == "sequence" else form.shape))
    field = f", field {foreign.field}" if foreign.field else ""
    rounded = form.stored == "float32" and any(item != "float32" for item in form.dtypes)
    cast = f" ({'+'.join(form.dtypes)} as float32)" if rounded else f" ({form.stored})"
    lines = [
        f"{prepared.source}: {foreign.file_format}{field}: {len(foreign):,} rows, {form.kind} {shape}{cast}",
        f"joined by {joined.rule}: {len(joined.places):,} rows fit an utterance; {_checked(prepared)}",
    ]
    if joined.unfit:
        lines.append(f"{len(joined.unfit):,} ids fit no utterance: {_some(joined.unfit)}{_nearest(prepared)}")
    if prepared.without:
        missing = prepared.without
        lines.append(f"{len(missing):,} utterances have no vector (missing: not-in-import): {_some(missing)}")
    feature = store / prepared.spec.folder
    if done is None:
        return [*lines, f"nothing was written (--dry-run): it would be {feature}"]
    if not done.written:
        return [*lines, f"{feature}: the same file is there already: nothing to do"]
    told = ", ".join(
        f"{count:,} {name}" for name, count in sorted(done.written.items(), key=lambda item: (item[0] != "ok", item[0]))
    )
    kept = f"; {done.kept:,} were there" if done.kept else ""
    return [*lines, f"wrote {feature}, FOREIGN: {told}{kept}"]


def _some(names: Any) -> str:
    more = f", and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _nearest(prepared: Prepared) -> str:
    told = [f"{name} to {found}" for name, found in prepared.joined.nearest.items()]
    return f"; of those without a vector the nearest are {', '.join(told)}" if told else ""


def _checked(prepared: Prepared) -> str:
    checks = prepared.joined.checks
    if not checks:
        return "the file says nothing but its ids, so that a shifted list could not be seen"
    return "; ".join(
        f"{check.what} agrees in {check.compared - len(check.wrong):,} of {check.compared:,}"
        f"{f' (first: {check.first})' if check.wrong else ''}"
        for check in checks
    )


def _document(prepared: Prepared, store: Path, done: Imported | None) -> dict[str, Any]:
    return {
        "source": str(prepared.source),
        "format": prepared.foreign.file_format,
        "field": prepared.foreign.field,
        "store": str(store),
        "feature": prepared.spec.folder,
        "fingerprint": prepared.spec.fingerprint,
        "weights": prepared.spec.weights,
        "settings": prepared.spec.settings,
        "kind": prepared.form.kind,
        "shape": list(prepared.form.shape),
        "stored_dtype": prepared.form.stored,
        "rule": prepared.joined.rule,
        "rows": len(prepared.foreign),
        "joined": len(prepared.joined.places),
        "nearest": dict(prepared.joined.nearest),
        "ids_that_fit_nothing": list(prepared.joined.unfit),
        "utterances_without": prepared.without,
        "checks": [
            {"what": check.what, "compared": check.compared, "differ": len(check.wrong), "first": check.first or None}
            for check in prepared.joined.checks
        ],
        "written": dict(done.written) if done else None,
        "kept": done.kept if done else None,
    }
