"""An id may look like a path, but no file is ever named after one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from store_factory import make_manifest, make_spec

from features.manifest import build_manifest
from features.store import write_feature

IDS = (
    "../../outside",
    "/etc/absolute",
    "C:\\drive",
    "~",
    "..",
    ".",
    "a/b/c.h5",
    "00000.json",
    "*",
    "nul",
    "-rf",
    "%d",
    "file:x",
    "é" * 200,
)


def test_ids_that_look_like_paths_leave_no_file_of_that_name(tmp_path: Path) -> None:
    plain = make_manifest(len(IDS))
    frame = plain.frame.with_columns(pl.Series("utterance_id", IDS), pl.Series("dialogue_id", IDS))
    manifest = build_manifest(frame, plain.card)
    values = {utterance_id: np.full(3, index, np.float32) for index, utterance_id in enumerate(IDS)}
    store = tmp_path / "deep" / "down" / "store"
    feature = write_feature(store, make_spec(), manifest, values)
    assert feature.read(IDS).values[:, 0].tolist() == list(range(len(IDS)))
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    folder = f"deep/down/store/{feature.folder}"
    assert all(path.startswith(folder) for path in files)
    names = {Path(path).name.lstrip(".").split(".")[0] for path in files}
    assert names <= {"00000", "spec", "lock"}, names
