"""Changing a store's files for tests: as a damaged disk does, and as if they had been committed so."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.digests import digest_of
from features.store import Feature
from features.store.commit import CommitRecord, ShardName, read_record
from features.store.ledger import SPEC, ledger_bytes


def flip(path: Path, position: int | None = None) -> None:
    """Change one bit: in the middle, or of the byte at `position`."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if position is None else position] ^= 4
    path.write_bytes(content)


@contextmanager
def failing_reads(*paths: Path, number: int = errno.EIO) -> Iterator[None]:
    """Opening these files, or listing these folders, fails. (What polars opens by itself does not.)"""
    opened, listed = io.open, os.scandir

    def refuse(path: Any) -> None:
        if isinstance(path, str | Path) and Path(path) in paths:
            raise OSError(number, os.strerror(number), str(path))

    def failing_open(path: Any, *given: Any, **named: Any) -> Any:
        refuse(path)
        return opened(path, *given, **named)

    def failing_scandir(path: Any = ".") -> Any:
        refuse(path)
        return listed(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", failing_open)
        patch.setattr(os, "scandir", failing_scandir)
        yield


def files_of(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, but for locks."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock")
    }


def metadata_of(ledger: Path) -> dict[str, str]:
    found = pl.read_parquet_metadata(ledger)
    return {key: value for key, value in found.items() if key != "ARROW:schema"}


def rewritten(
    feature: Feature,
    stem: str,
    frame: pl.DataFrame | None = None,
    metadata: dict[str, str] | None = None,
    **record: Any,
) -> None:
    """Replace a shard's ledger, or its tensors as they lie there, and commit them as if they were right."""
    ledger = feature.path / f"{stem}.parquet"
    if frame is not None:
        given = {"erc.fingerprint": feature.fingerprint, "erc.shard": stem} | (metadata or {})
        ledger.write_bytes(ledger_bytes(frame, given))
    old = read_record(feature.path / f"{stem}.json")
    _commit(feature, old.name, old, record)


def recommitted(feature: Feature, stem: str, change: Callable[[dict[str, str]], object]) -> None:
    """Change a ledger's metadata, and commit it as if it had been written so."""
    ledger = feature.path / f"{stem}.parquet"
    metadata = metadata_of(ledger)
    change(metadata)
    rewritten(feature, stem, pl.read_parquet(ledger), metadata)


def without_specs(feature: Feature) -> None:
    """The ledgers as older versions wrote them."""
    for name in feature.names:
        recommitted(feature, name.stem, lambda metadata: metadata.pop(SPEC))


def committed_again(feature: Feature, stem: str, generation: int, **columns: pl.Expr) -> str:
    """A later shard with the same rows, of which `columns` are changed; its stem."""
    name = ShardName(generation, int(stem.partition(".")[0]))
    for kind in ("h5", "parquet"):
        shutil.copy(feature.path / f"{stem}.{kind}", feature.path / f"{name.stem}.{kind}")
    ledger = feature.path / f"{name.stem}.parquet"
    metadata = metadata_of(ledger) | {"erc.shard": name.stem}
    ledger.write_bytes(ledger_bytes(pl.read_parquet(ledger).with_columns(**columns), metadata))
    _commit(feature, name, read_record(feature.path / f"{stem}.json"), {})
    return name.stem


def _commit(feature: Feature, name: ShardName, old: CommitRecord, changes: dict[str, Any]) -> None:
    contents = {kind: (feature.path / f"{name.stem}.{kind}").read_bytes() for kind in ("h5", "parquet")}
    new = CommitRecord(
        name,
        feature.fingerprint,
        {kind: len(content) for kind, content in contents.items()},
        {kind: sha256(content).hexdigest() for kind, content in contents.items()},
        old.utterances,
        old.ok,
    )
    (feature.path / f"{name.stem}.json").write_text(replace(new, **changes).to_json())


def of_later_format(path: Path) -> None:
    """A record or a spec as a later version may write it, with its digest."""
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["digest"]
    values["format"] = 3 if path.name == "spec.json" else 2
    digest = digest_of("spec" if path.name == "spec.json" else "commit", values)
    path.write_text(json.dumps(values | {"digest": digest}, indent=1) + "\n", encoding="utf-8")
