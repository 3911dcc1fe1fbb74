"""What docs/store.md tells a stranger is true: its reader reads, its digests are ours, its list of reasons is whole."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_factory import make_manifest, make_spec

from features.errors import MISSING_REASONS, Reason, UnavailableError
from features.store import Feature, open_writer, write_feature
from features.store.ledger import LedgerRow

DOC = (Path(__file__).resolve().parents[3] / "docs" / "store.md").read_text(encoding="utf-8")


def reader() -> Any:
    code = re.search(r"## A reader of twenty lines\n\n```python\n(.*?)```", DOC, re.DOTALL)
    assert code is not None
    assert len(code[1].split("def newest_embeddings")[1].splitlines()) <= 20
    scope: dict[str, Any] = {}
    exec(code[1], scope)
    return scope["newest_embeddings"]


@pytest.mark.parametrize("kind", ["vector", "sequence"])
def test_its_reader_reads_what_the_package_reads(tmp_path: Path, kind: str) -> None:
    manifest, spec = make_manifest(100), make_spec(kind=kind)
    generator = np.random.default_rng(0)
    shape = (lambda row: (row % 4, 3)) if kind == "sequence" else (lambda row: (3,))
    made = {key: generator.standard_normal(shape(row)).astype("f4") for row, key in enumerate(manifest.ids)}
    feature = write_feature(tmp_path, spec, manifest, made, {manifest.ids[3]: UnavailableError(Reason.NO_TEXT)})
    digests = manifest.source_digests("text")
    with open_writer(tmp_path, spec) as writer:  # a later generation
        again = {manifest.ids[row]: generator.standard_normal(shape(row)).astype("f4") for row in (40, 41)}
        rows = [LedgerRow(manifest.ids[row], digests[row]) for row in (40, 41)]
        writer.commit(1, rows, again, 1)
        writer.commit(0, [LedgerRow(manifest.ids[40], digests[40])], {manifest.ids[40]: made[manifest.ids[40]]}, 2)
    (feature.path / "00009.h5").write_bytes(b"an orphan")
    found = reader()(feature.path)
    expected = made | {manifest.ids[41]: again[manifest.ids[41]], manifest.ids[3]: None}
    ours = Feature(tmp_path, spec.folder)
    read = ours.read_sequences(manifest.ids) if kind == "sequence" else list(ours.read(manifest.ids).values)
    assert found.keys() == expected.keys()
    for key, theirs in zip(manifest.ids, read, strict=True):
        if expected[key] is None:
            assert found[key] is None
            continue
        np.testing.assert_array_equal(found[key], expected[key])
        np.testing.assert_array_equal(found[key], theirs)


def sha(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def test_its_digests_are_taken_over_what_it_says(tmp_path: Path) -> None:
    manifest, spec = make_manifest(40, media="a/b.mp4", start=1.5), make_spec()
    made = {key: np.arange(3, dtype="f4") + row for row, key in enumerate(manifest.ids)}
    feature = write_feature(tmp_path, spec, manifest, made)
    for name, kind in (("spec.json", "spec"), ("00000.json", "commit")):
        values = json.loads((feature.path / name).read_text())
        digest = values.pop("digest")
        assert digest == sha(kind, values)
        if kind == "spec":
            recorded = ("model", "alias", "format", "fingerprint")
            hashed = {key: value for key, value in values.items() if key not in recorded}
            assert values["fingerprint"] == sha("encoder-spec", hashed)
        else:
            for member in values["files"].values():
                content = (feature.path / member["name"]).read_bytes()
                assert (member["size"], member["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    ledger = feature.ledger(["source_digest", "crc32"])
    texts, speakers = manifest.frame["text"].to_list(), manifest.frame["speaker"].to_list()
    expected = [hashlib.sha256(b"erc.source.text.1\0" + text.encode()).hexdigest() for text in texts]
    assert ledger["source_digest"].to_list() == expected
    assert ledger["crc32"].to_list() == [zlib.crc32(made[key].astype("<f4").tobytes()) for key in manifest.ids]
    chain = b""
    for row in range(3):
        speaker = speakers[row].encode()
        lengths = (struct.pack("<q", len(chain)), struct.pack("<q", len(speaker)))
        content = b"erc.source.turn.1\0" + lengths[0] + chain + lengths[1] + speaker + texts[row].encode()
        chain = hashlib.sha256(content).digest()
        assert manifest.source_digests("dialogue")[row] == chain.hex()
    cut = b"\x01" + struct.pack("<d", 1.5) + b"\x00" + struct.pack("<d", 0.0)
    media = hashlib.sha256(b"erc.source.media.1\0" + cut + b"/a/b.mp4").hexdigest()
    assert manifest.source_digests("media")[0] == media


def test_its_list_of_reasons_is_whole() -> None:
    section = DOC.split("## Reasons")[1].split("## ")[0]
    rows = {
        line.split("|")[1].split("`")[1]: line.split("|")[2] for line in section.splitlines() if line.startswith("| `")
    }
    named = {status: set(re.findall(r"`([a-z-]+)`", text)) for status, text in rows.items()}
    assert named["missing"] == {str(reason) for reason in MISSING_REASONS}
    assert named["failed"] == {str(reason) for reason in Reason} - named["missing"]
