"""What a ledger must say for its shard to hold: nothing that contradicts itself, its tensors or its commit record."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

import polars as pl

from features.errors import Reason, StoreError, status_of
from features.spec import EncoderSpec
from features.store.faults import FaultKind, kind_of
from features.store.ledger import COLUMNS, SPEC

Problem = tuple[FaultKind, str]

_STATUS = {str(reason): status_of(reason) for reason in Reason}
_SHA256 = r"^[0-9a-f]{64}$"


def parse_ledger(content: bytes) -> tuple[pl.DataFrame, dict[str, str]]:
    """A ledger's frame and its metadata. Raises one of NOT_A_LEDGER for what is not Parquet."""
    return pl.read_parquet(io.BytesIO(content)), pl.read_parquet_metadata(io.BytesIO(content))


def ledger_problems(
    frame: pl.DataFrame, metadata: Mapping[str, str], fingerprint: str, stem: str
) -> Iterator[tuple[FaultKind, str]]:
    """What is wrong with a ledger by itself; where its columns are wrong, nothing else is looked at."""
    if metadata.get("erc.fingerprint") != fingerprint:
        yield FaultKind.LEDGER, f"is that of another feature (fingerprint {metadata.get('erc.fingerprint', '')[:8]!r})"
    if metadata.get("erc.shard") != stem:
        yield FaultKind.LEDGER, f"is that of shard {metadata.get('erc.shard')!r}: the file was renamed"
    yield from _spec_problems(metadata.get(SPEC), fingerprint)
    columns = list(_column_problems(frame))
    yield from columns
    if not columns:
        yield from _row_problems(frame)


def _spec_problems(text: str | None, fingerprint: str) -> Iterator[Problem]:
    """Ledgers keep the text of spec.json, those of older versions do not."""
    if text is None:
        return
    try:
        spec = EncoderSpec.from_json(text, SPEC)
    except StoreError as error:
        yield kind_of(error, FaultKind.LEDGER), str(error)
        return
    if spec.fingerprint != fingerprint:
        yield FaultKind.LEDGER, f"{SPEC} is that of another feature (fingerprint {spec.fingerprint[:8]})"


def _column_problems(frame: pl.DataFrame) -> Iterator[Problem]:
    known = dict(list(frame.schema.items())[: len(COLUMNS)])
    if list(known) != list(COLUMNS):
        yield FaultKind.LEDGER, f"has columns {', '.join(known)}; expected {', '.join(COLUMNS)}"
        return
    for name, dtype in frame.schema.items():
        expected = COLUMNS.get(name, pl.Int64())
        if dtype != expected:
            yield FaultKind.LEDGER, f"column {name} is {dtype}, expected {expected}"


def _row_problems(frame: pl.DataFrame) -> Iterator[Problem]:
    is_ok = pl.col("status") == "ok"
    expected = pl.col("reason").replace_strict(_STATUS, default=None, return_dtype=pl.String())
    expected = pl.when(pl.col("reason").is_null()).then(pl.lit("ok")).otherwise(expected)
    times = [pl.col(name) for name in ("seconds_decode", "seconds_encode")]
    checks = {
        "has no utterance_id": pl.col("utterance_id").is_null(),
        "has a status that does not go with its reason": ~pl.col("status").eq_missing(expected) | expected.is_null(),
        "must have a row of tensors and its crc32 if it is ok, and neither if not": (
            (pl.col("row").is_not_null() != is_ok) | (pl.col("crc32").is_not_null() != is_ok)
        ),
        "has a source_digest that is not a sha256": ~pl.col("source_digest").str.contains(_SHA256).fill_null(False),
        "has a time or size below zero": pl.any_horizontal(*(time < 0 for time in times), pl.col("media_size") < 0),
    }
    wrong = {text: check.fill_null(False) for text, check in checks.items()}
    found = {str(number): check.any() for number, check in enumerate(wrong.values())}
    for text, is_wrong in zip(wrong, frame.select(**found).row(0), strict=True):
        if is_wrong:
            yield FaultKind.LEDGER, f"{_shown(frame.filter(wrong[text])['utterance_id'])} {text}"
    if frame["utterance_id"].n_unique() < frame.height:
        duplicated = frame.filter(pl.col("utterance_id").is_duplicated())["utterance_id"].unique(maintain_order=True)
        yield FaultKind.DUPLICATE, f"{_shown(duplicated)} stands in it more than once"


def row_problems(frame: pl.DataFrame, num_rows: int) -> Iterator[Problem]:
    """Where the ledger's rows (of those that are ok: the others have none) are not 0 to num_rows - 1, each once."""
    rows = frame["row"].drop_nulls().sort()
    if rows.to_list() != list(range(num_rows)):
        beyond = rows.filter((rows < 0) | (rows >= num_rows))
        what = f"row {beyond[0]} is beyond them" if len(beyond) else f"{len(rows)} of them are used, or one twice"
        yield FaultKind.LEDGER, f"its ok rows are not the {num_rows} of its tensors, each once: {what}"


def _shown(ids: pl.Series) -> str:
    """`a`, or `a and 3 more`."""
    return f"{ids[0]}" + (f" and {len(ids) - 1} more" if len(ids) > 1 else "")
