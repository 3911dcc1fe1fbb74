"""`erc store export`: one feature as a file for other tools, or several in the format of a tool that exists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from features.errors import UsageError
from pipeline.terminal import completion
from pipeline.terminal.options import LocalPath, json_option, read_store, read_store_argument
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from features.manifest import Manifest
    from features.store import Feature

# As features.spec, features.store.export and features.exports.request name them: importing these takes longer than
# --help may.
_MODALITIES = ["text", "audio", "visual"]
_FORMATS = ["parquet", "hdf5", "npy"]
_TOOL_FORMATS = ["mmsa", "mertools", "conv-emotion", "hf"]
_EPILOG = """\b
Examples:
  erc store export store --modality text --feature sentence --to sentence.parquet
  erc store export store --feature audio/logmel --manifest data/manifest.parquet --to logmel.parquet
  erc store export store --modality visual --feature faces@1f3a --format npy --to faces
  erc store export store --format mmsa --feature text/sentence --feature audio/logmel \\
      --manifest data/manifest.parquet --to mmsa.pkl
  erc store export store --format hf --feature text/sentence --feature audio/logmel \\
      --manifest data/manifest.parquet --to dataset

These formats hold one feature:

\b
- parquet: a row for every utterance. If there is no embedding, `embedding` is null, and `status` and
  `reason` say why.
- hdf5 and npy: only the rows that are ok, and a table of the others.

An utterance of the manifest that was never extracted has the status `absent`.

These formats hold several features, and need --manifest:

\b
- mmsa: a pickle with train, valid and test
- mertools: a folder with one .npy per clip, and label.npz
- conv-emotion: DialogueRNN's pickle of MELD
- hf: a folder that datasets.load_dataset reads, with one Parquet file per split

mmsa, mertools and conv-emotion cannot mark a vector as missing. Zeros stand in its place. They are counted at
the end, and named in a side file (mmsa.pkl.json; in a folder, export.json).

In parquet, hdf5 and npy each row has the crc32 of its bytes. The sha256 lies beside a file
(sentence.parquet.sha256) or within a folder (SHA256SUMS). `sha256sum -c` and `erc store verify sentence.parquet`
read it. If a feature was extracted with from_top, the layers of its encoder are written, too
(sentence.parquet.top.safetensors).
"""


@click.command("export", epilog=_EPILOG)
@read_store_argument
@click.option(
    "--to", "out", type=LocalPath(), required=True, help="The file to write; for npy, mertools and hf, the folder."
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(_FORMATS + _TOOL_FORMATS),
    default="parquet",
    help="Format of the export; see below.",
)
@click.option(
    "--modality", type=click.Choice(_MODALITIES), help="Modality of the features, if --feature does not name it."
)
@click.option(
    "--feature",
    "selectors",
    required=True,
    multiple=True,
    metavar="[MODALITY/]NAME[@FINGERPRINT]",
    shell_complete=completion.features_or_paths,
    help="Which feature. Repeatable for the formats that hold several features.",
)
@click.option(
    "--manifest",
    type=LocalPath(),
    help="Export the utterances of this manifest, in its order, with split, dialogue_id, turn, speaker, label, text,"
    " sentiment, duration and group.  [default: all stored utterances]",
)
@click.option(
    "--length",
    type=click.IntRange(1),
    help="For mmsa: number of steps of every modality. A longer sequence is averaged in equal parts. Zeros follow a"
    " shorter sequence or a vector.  [default: 50 for sequences, 1 for vectors]",
)
@click.option("--overwrite", is_flag=True, help="Replace what is at --to.")
@click.option(
    "--allow-stale",
    is_flag=True,
    help="Export rows even if the manifest's text or clip has changed since they were made.",
)
@json_option
def command(
    store: Path | str,
    out: Path,
    file_format: str,
    modality: str | None,
    selectors: tuple[str, ...],
    manifest: Path | None,
    length: int | None,
    overwrite: bool,
    allow_stale: bool,
    as_json: bool,
) -> None:
    """Write one feature as Parquet, HDF5 or .npy, or several for MMSA, MERTools, conv-emotion or Hugging Face datasets.

    The file or folder appears only when it is complete.
    """
    from features.manifest import read_manifest
    from features.packs.mounted import open_store

    if length is not None and file_format != "mmsa":
        raise UsageError(f"--length works only with --format mmsa: {file_format} keeps sequences as they are")
    chosen = [_modality_and_name(selector, modality) for selector in selectors]
    if file_format in _FORMATS and len(chosen) > 1:
        raise UsageError(f"{file_format} holds one feature: give one --feature, or --format {', '.join(_TOOL_FORMATS)}")
    if file_format in _TOOL_FORMATS and manifest is None:
        raise UsageError(f"{file_format} needs splits, texts and labels: give --manifest")
    _check_place(out, file_format, overwrite)
    table = read_manifest(manifest) if manifest else None
    opened = open_store(read_store(store), table)
    features = [opened.choose(*names) for names in chosen]
    if table is not None and file_format in _TOOL_FORMATS:
        _export_for_tool(features, table, out, file_format, length, overwrite, allow_stale, as_json)
    else:
        _export_one(features[0], table, out, file_format, overwrite, allow_stale, as_json)


def _check_place(out: Path, file_format: str, overwrite: bool) -> None:
    if file_format in _FORMATS:
        from features.store.export import check_target

        check_target(out, file_format, overwrite)
    else:
        from features.exports.export import check_place

        check_place(out, file_format, overwrite)


def _modality_and_name(selector: str, modality: str | None) -> tuple[str, str]:
    """(modality, NAME or NAME@FINGERPRINT) of what --feature was given."""
    told, slash, name = selector.partition("/")
    if not slash:
        if modality is None:
            raise UsageError(f"--feature {selector} has no modality: write text/{selector}, or give --modality text")
        return modality, selector
    if told not in _MODALITIES:
        raise UsageError(f"--feature {selector}: {told!r} is not a modality: choose one of {', '.join(_MODALITIES)}")
    if modality not in (None, told):
        raise UsageError(f"--feature {selector} is not of --modality {modality}: leave --modality out")
    return told, name


def _export_one(
    feature: Feature,
    manifest: Manifest | None,
    out: Path,
    file_format: str,
    overwrite: bool,
    allow_stale: bool,
    as_json: bool,
) -> None:
    from features.store.export import export_feature
    from pipeline.terminal.progress import progress_bar
    from pipeline.terminal.tables import bytes_text

    count = len(manifest) if manifest else feature.ledger(["status"]).height
    with progress_bar(count, "utt", "export") as bar:
        done = export_feature(
            feature,
            out,
            file_format,
            manifest=manifest,
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
    without = done.utterances - done.ok
    click.echo(
        f"wrote {out}: {feature.folder}{_badge(feature)}, {done.ok:,} embeddings"
        f"{f', {without:,} utterances without one' if without else ''}, {bytes_text(done.num_bytes)}"
    )


def _export_for_tool(
    features: list[Feature],
    manifest: Manifest,
    out: Path,
    file_format: str,
    length: int | None,
    overwrite: bool,
    allow_stale: bool,
    as_json: bool,
) -> None:
    from collections import Counter

    from features.exports.export import export_for_tool, side_path
    from features.exports.request import Request, feature_name
    from pipeline.terminal.progress import progress_bar
    from pipeline.terminal.tables import bytes_text

    with progress_bar(len(manifest) * len(features), "row", "export") as bar:
        request = Request(tuple(features), manifest, length, bar.update)
        done = export_for_tool(request, out, file_format, overwrite=overwrite, allow_stale=allow_stale)
    written = done.written
    without = Counter(item.feature for item in written.missing)
    if as_json:
        document = {
            "path": str(out),
            "format": file_format,
            "features": [feature.folder for feature in features],
            "fingerprints": [feature.fingerprint for feature in features],
            "weights": [feature.spec.weights for feature in features],
            "splits": written.splits,
            "missing": {feature_name(feature): without[feature_name(feature)] for feature in features},
            "left_out": len(written.left_out),
            "notes": written.notes,
            "bytes": done.num_bytes,
        }
        print_json(document, indent=1)
        return
    splits = ", ".join(f"{name} {count:,}" for name, count in written.splits.items())
    names = ", ".join(f"{feature.folder}{_badge(feature)}" for feature in features)
    click.echo(f"wrote {out}: {file_format}: {names}; {splits}; {bytes_text(done.num_bytes)}")
    filled = "null" if file_format == "hf" else "zeros"
    for name, count in without.items():
        click.echo(f"{name}: {count:,} utterances without an embedding are {filled}: see {side_path(out)}")
    for reason, count in Counter(written.left_out.values()).items():
        click.echo(f"{count:,} utterances left out ({reason}): see {side_path(out)}")
    for note in written.notes:
        click.echo(f"note: {note}")


def _badge(feature: Feature) -> str:
    return {"random": ", RANDOM WEIGHTS", "foreign": ", FOREIGN"}.get(feature.spec.weights, "")
