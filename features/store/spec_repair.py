"""spec.json from the ledgers: each keeps the text of its feature's spec, so that the file can be written again."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from features.errors import StoreError
from features.spec import EncoderSpec
from features.store.commit import committed_names, read_record
from features.store.ledger import NOT_A_LEDGER, SPEC
from features.store.ledger_checks import parse_ledger
from features.store.reading import read_bytes


def spec_in_ledgers(path: Path, folder: str) -> tuple[str, str] | None:
    """(text of spec.json, stem of the shard whose ledger holds it), of the latest shard that has it; else None.

    The ledger is the one that was committed, and the spec is that of the shard and of the folder. Ledgers of older
    versions hold none.
    """
    try:
        names = committed_names(path)
    except StoreError:
        return None
    for name in reversed(names):
        try:
            record = read_record(path / f"{name.stem}.json")
            content = read_bytes(path / f"{name.stem}.parquet")
            if sha256(content).hexdigest() != record.sha256["parquet"]:
                continue
            text = parse_ledger(content)[1].get(SPEC)
            spec = EncoderSpec.from_json(text) if text is not None else None
        except (StoreError, *NOT_A_LEDGER):
            continue
        if text and spec and spec.folder == folder and spec.fingerprint == record.fingerprint:
            return text, name.stem
    return None
