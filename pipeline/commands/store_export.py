"""`erc store export`: one feature as a file for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.terminal import completion
from pipeline.terminal.options import LocalPath, json_option, store_argument
from pipeline.terminal.output import print_json

# As features.spec and features.store.export name them: importing these takes longer than --help may.
_MODALITIES = ["text", "audio", "visual"]
_FORMATS = ["parquet", "hdf5", "npy"]
_EPILOG = """\b
Examples:
  erc store export store --modality text --feature sentence --to sentence.parquet
  erc store export store --modality audio --feature logmel --manifest data/manifest.parquet --to logmel.parquet
  erc store export store --modality visual --feature faces@1f3a --format npy --to faces

parquet keeps every utterance: `embedding` is null where there is none, `status` and `reason` say why.
hdf5 and npy hold the ok rows alone, with a table of those left out. An utterance of the manifest that
was never extracted has the status `absent`.

Each row has the crc32 of its bytes. The sha256 lies beside a file (sentence.parquet.sha256), and within
a folder (SHA256SUMS), for `sha256sum -c` and `erc store verify sentence.parquet`. With a feature that was
extracted with from_top go the layers of its encoder (sentence.parquet.top.safetensors).
"""


@click.command("export", epilog=_EPILOG)
@store_argument
@click.option("--to", "out", type=LocalPath(), required=True, help="The file (npy: folder) to write.")
@click.option("--format", "file_format", type=click.Choice(_FORMATS), default="parquet", help="What to write.")
@click.option("--modality", type=click.Choice(_MODALITIES), required=True, help="The feature's modality.")
@click.option(
    "--feature",
    "selector",
    required=True,
    metavar="NAME[@FINGERPRINT]",
    shell_complete=completion.features,
    help="Which feature.",
)
@click.option(
    "--manifest",
    type=LocalPath(),
    help="Its utterances in its order, with split, dialogue_id, turn, speaker and label.  [default: all stored]",
)
@click.option("--overwrite", is_flag=True, help="Replace what is at --to.")
@click.option("--allow-stale", is_flag=True, help="Export rows that were made from other input than the manifest's.")
@json_option
def command(
    store: Path,
    out: Path,
    file_format: str,
    modality: str,
    selector: str,
    manifest: Path | None,
    overwrite: bool,
    allow_stale: bool,
    as_json: bool,
) -> None:
    """Write one feature as Parquet, one HDF5 file, or .npy. It appears whole or not at all."""
    from features.manifest import read_manifest
    from features.store import Store
    from features.store.export import check_target, export_feature
    from pipeline.terminal.progress import progress_bar
    from pipeline.terminal.tables import bytes_text

    check_target(out, file_format, overwrite)
    table = read_manifest(manifest) if manifest else None
    feature = Store(store, table).choose(modality, selector)
    count = len(table) if table else feature.ledger(["status"]).height
    with progress_bar(count, "utt", "export") as bar:
        done = export_feature(
            feature,
            out,
            file_format,
            manifest=table,
            overwrite=overwrite,
            allow_stale=allow_stale,
            advance=bar.update,
        )
    if as_json:
        document = {
            "path": str(out),
            "format": file_format,
            "feature": feature.folder,
            "fingerprint": feature.fingerprint,
            "weights": feature.spec.weights,
            "utterances": done.utterances,
            "ok": done.ok,
            "bytes": done.num_bytes,
        }
        print_json(document, indent=1)
        return
    marks = {"random": ", RANDOM WEIGHTS", "foreign": ", FOREIGN"}
    mark = marks.get(feature.spec.weights, "")
    without = done.utterances - done.ok
    click.echo(
        f"wrote {out}: {feature.folder}{mark}, {done.ok:,} embeddings"
        f"{f', {without:,} utterances without one' if without else ''}, {bytes_text(done.num_bytes)}"
    )
