"""An export in another order than the store's opens few files at once, however many shards a block's rows lie in."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from store_factory import make_manifest, make_spec

from features.manifest import build_manifest, write_manifest
from features.store import write_feature

SHARDS = 200
LIMIT = 128
SPECS = {
    "sequence": make_spec(encoder="waveform", kind="sequence", shape=()),
    "vector": make_spec(encoder="waveform", shape=(2,), alias="vectors"),
}

EXPORT = f"""
import resource, sys
from pathlib import Path
from features.manifest import read_manifest
from features.store import Store
from features.store.export import export_feature
from features.store.export_verify import verify_export
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))
feature = Store(sys.argv[1]).choose("text", sys.argv[2])
out = Path(sys.argv[3])
done = export_feature(feature, out, sys.argv[4], manifest=read_manifest(Path(sys.argv[5])))
report = verify_export(out)
print(len(feature.names), done.ok, report.ok, [str(fault) for fault in report.faults])
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 200 shards of 64 utterances, and their manifest with its dialogues shuffled."""
    root = tmp_path_factory.mktemp("many")
    manifest = make_manifest(64 * SHARDS, turns=1)
    for spec in SPECS.values():
        made = {key: np.array([row, -row], np.float32) for row, key in enumerate(manifest.ids)}
        write_feature(root / "store", spec, manifest, made)
    order = list(range(len(manifest)))
    random.Random(0).shuffle(order)
    write_manifest(build_manifest(manifest.frame[order], manifest.card), root / "shuffled.parquet")
    return root


@pytest.mark.parametrize("kind", list(SPECS))
@pytest.mark.parametrize("file_format", ["parquet", "hdf5", "npy"])
def test_in_another_order(made: Path, tmp_path: Path, kind: str, file_format: str) -> None:
    out = tmp_path / "out"
    given = [str(made / "store"), SPECS[kind].name, str(out), file_format, str(made / "shuffled.parquet")]
    done = subprocess.run([sys.executable, "-c", EXPORT, *given], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(SHARDS), str(64 * SHARDS), str(64 * SHARDS), "[]"]
    if file_format == "parquet":
        frame = pl.read_parquet(out)
        number = {key: row for row, key in enumerate(make_manifest(64 * SHARDS, turns=1).ids)}
        first = frame["embedding"].list.first() if kind == "sequence" else frame["embedding"].arr.first()
        assert first.to_list() == [number[key] for key in frame["utterance_id"]]
        assert frame["utterance_id"].to_list() != list(number)
