"""What a very large corpus on very many machines would cost the shared folder: arithmetic from measured figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from features.store.chunks import chunk_size

FILES_A_SHARD = 3  # tensors, ledger, commit record


@dataclass(frozen=True)
class Measured:
    """Of a store on this machine: bytes of ledgers and of the manifest an utterance, of a commit record; seconds and
    bytes of memory that planning takes an utterance."""

    ledger_bytes: float
    record_bytes: float
    manifest_bytes: float
    plan_seconds: float
    plan_bytes: float


@dataclass(frozen=True)
class OnPaper:
    """One feature of so many utterances, extracted by `machines` with --shard I/N. GB are 10**9 bytes."""

    utterances: int
    machines: int
    chunk: int
    chunks: int
    chunks_a_machine: float
    files: int
    ledgers_gb: float
    records_gb: float
    manifest_gb: float
    plan_hours: float
    plan_memory_gb: float
    read_by_all_gb: float


def on_paper(measured: Measured, utterances: int, machines: int) -> OnPaper:
    """Ledgers and the manifest grow with utterances, records with chunks; each machine plans for itself, and reads the
    whole manifest and all ledgers that are there: at the worst those of a finished feature."""
    chunk = chunk_size(utterances)
    chunks = -(-utterances // chunk)
    ledgers = measured.ledger_bytes * utterances / 1e9
    records = measured.record_bytes * chunks / 1e9
    manifest = measured.manifest_bytes * utterances / 1e9
    return OnPaper(
        utterances,
        machines,
        chunk,
        chunks,
        chunks / machines,
        FILES_A_SHARD * chunks,
        ledgers,
        records,
        manifest,
        measured.plan_seconds * utterances / 3600,
        measured.plan_bytes * utterances / 1e9,
        machines * (ledgers + records + manifest),
    )


def bytes_of_store(feature: Path, manifest: Path, utterances: int) -> tuple[float, float, float]:
    """Bytes of ledgers an utterance, of a commit record, and of the manifest an utterance."""
    ledgers = sum(path.stat().st_size for path in feature.glob("*.parquet"))
    records = [path.stat().st_size for path in feature.glob("[0-9]*.json")]
    return ledgers / utterances, sum(records) / len(records), manifest.stat().st_size / utterances


def told(paper: OnPaper) -> str:
    """The arithmetic in words."""
    return (
        f"**On paper: {paper.machines:,} machines with a GPU each and {paper.utterances:,} utterances.** A chunk holds"
        f" {paper.chunk:,} utterances, which makes {paper.chunks:,} chunks a feature, {paper.chunks_a_machine:,.0f} a"
        f" machine with `--shard I/{paper.machines}`: a machine that dies costs one of them, and slices differ by one"
        f" at most. Each chunk is a shard of {FILES_A_SHARD} files: {paper.files:,} names in one folder. Ledgers hold"
        f" {paper.ledgers_gb:,.1f} GB a feature, commit records {paper.records_gb:,.2f} GB, the manifest"
        f" {paper.manifest_gb:,.1f} GB. Every machine plans for itself from all of that: {paper.read_by_all_gb:,.0f} GB"
        f" that the shared folder hands out when all resume a feature that is nearly done,"
        f" {paper.plan_hours:,.1f} hours and {paper.plan_memory_gb:,.0f} GB of memory on each, before the first"
        f" clip is decoded. That is where it breaks: tensors and commits of different machines never meet, but the"
        f" plan is made whole on each. What works today is a manifest, and a store, for each part of such a corpus, of"
        f" a million utterances or so: {-(-paper.utterances // 1_000_000):,} of them, ten machines each, each planned"
        f" in {3600 * paper.plan_hours * 1e6 / paper.utterances:,.0f} s with"
        f" {paper.plan_memory_gb * 1e6 / paper.utterances:,.1f} GB."
    )
