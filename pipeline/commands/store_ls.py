"""`erc store ls`: what a store holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.terminal.options import json_option, read_store_argument
from pipeline.terminal.output import print_json

if TYPE_CHECKING:
    from features.store.listing import FeatureSummary

_EPILOG = """\b
Example:
  erc store ls store
  erc store ls hf://me/meld-features

`shards` is the number of committed shards. `superseded` is the number of shards whose rows were all replaced
by later shards: `erc store gc` removes them. `took` is the time that decoding and encoding took, for all rows
that were ever made.

Exit status: 0; 1 if a feature or a ledger is damaged or cannot be read. The rest is listed all the same.
"""


@click.command("ls", epilog=_EPILOG)
@read_store_argument
@json_option
def command(store: Path | str, as_json: bool) -> int:
    """List the features of a store, one per line, with the state of their utterances, their size and their weights.

    An utterance counts by its newest row: ok, missing (there is no input) or failed. A feature or ledger that is
    damaged or cannot be read has a line of its own. For the address of a pack, the list shows the pack's features, and
    which of them were fetched.
    """
    if isinstance(store, str):
        _list_pack(store, as_json)
        return 0
    from features.store.listing import list_store

    summaries, troubles = list_store(store)
    if as_json:
        document = {
            "store": str(store),
            "features": [_document(summary) for summary in summaries],
            "damaged": [
                {"feature": trouble.folder, "kind": trouble.kind, "error": str(trouble.error)} for trouble in troubles
            ],
        }
        print_json(document, indent=1)
        return 1 if troubles else 0
    from pipeline.terminal.tables import text_table

    if summaries:
        click.echo(text_table(_HEADER, [_cells(summary) for summary in summaries]))
    for trouble in troubles:
        click.echo(f"{trouble.kind}, not counted: {trouble.error}")
    for summary in summaries:
        for text in summary.versions:
            click.echo(f"{_name(summary)} holds shards of different versions: {text}")
    random = [_name(summary) for summary in summaries if summary.feature.spec.weights == "random"]
    if random:
        click.echo(f"RANDOM WEIGHTS, for tests and benchmarks only: {', '.join(random)}")
    foreign = [_name(summary) for summary in summaries if summary.feature.spec.is_foreign]
    if foreign:
        click.echo(f"FOREIGN, imported and made by others: {', '.join(foreign)}")
    return 1 if troubles else 0


def _list_pack(address: str, as_json: bool) -> None:
    from dataclasses import asdict

    from features.packs.mounted import on_offer
    from pipeline.terminal.tables import text_table

    found = on_offer(address)
    if as_json:
        print_json({"address": address, "features": [asdict(item) for item in found]}, indent=1)
        return
    rows = [
        [
            item.feature.folder,
            ", ".join(f"{count:,} {split}" for split, count in item.feature.splits.items()),
            "in the cache" if item.fetched else "fetched when chosen",
        ]
        for item in found
    ]
    click.echo(text_table(["feature", "embeddings", "rows"], rows))


_HEADER = [
    "feature",
    "encoder",
    "weights",
    "dtype",
    "shape",
    "ok",
    "missing",
    "failed",
    "size",
    "written",
    "took",
    "shards",
    "superseded",
]


def _name(summary: FeatureSummary) -> str:
    """modality/name@fingerprint, as `--feature` and suites choose it."""
    feature = summary.feature
    return f"{feature.spec.modality}/{feature.name}@{feature.fingerprint[:8]}"


def _cells(summary: FeatureSummary) -> list[str]:
    from pipeline.terminal.tables import bytes_text, seconds_text

    spec = summary.feature.spec
    return [
        _name(summary),
        spec.encoder,
        spec.weights.upper() if spec.weights in ("random", "foreign") else spec.weights,
        spec.compute_dtype,
        "x".join(map(str, ("n", *spec.shape) if spec.kind == "sequence" else spec.shape)),
        f"{summary.ok:,}",
        f"{summary.missing:,}",
        f"{summary.failed:,}",
        bytes_text(summary.num_bytes),
        summary.written_at.astimezone().strftime("%Y-%m-%d %H:%M") if summary.written_at else "never",
        seconds_text(summary.seconds),
        f"{summary.shards:,}",
        f"{summary.superseded:,}",
    ]


def _document(summary: FeatureSummary) -> dict[str, Any]:
    spec = summary.feature.spec
    return {
        "feature": summary.feature.folder,
        "modality": spec.modality,
        "name": spec.name,
        "encoder": spec.encoder,
        "alias": spec.alias,
        "model": spec.model,
        "fingerprint": spec.fingerprint,
        "derives_from": spec.derives_from,
        "weights": spec.weights,
        "kind": spec.kind,
        "shape": list(spec.shape),
        "compute_dtype": spec.compute_dtype,
        "stored_dtype": spec.stored_dtype,
        "ok": summary.ok,
        "missing": summary.missing,
        "failed": summary.failed,
        "bytes": summary.num_bytes,
        "written_at": summary.written_at.isoformat() if summary.written_at else None,
        "seconds": summary.seconds,
        "shards": summary.shards,
        "superseded": summary.superseded,
        "generation": summary.generation,
        "mixed_versions": summary.versions,
    }
