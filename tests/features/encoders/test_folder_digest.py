"""The digest of a folder's weights: taken once as long as nothing changes, and anew for whatever does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tiny_bert import write_tiny_bert

from features.digests import weights_digest
from features.encoders import folder_digest
from features.encoders.loading import load_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose files are taken to be settled."""
    monkeypatch.setenv("ERC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(folder_digest, "_SETTLED_NS", 0)
    return write_tiny_bert(tmp_path / "model")


def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Filled with what is hashed from now on."""
    seen: list[Any] = []

    def watched(state: Any) -> str:
        seen.append(state)
        return weights_digest(state)

    monkeypatch.setattr(folder_digest, "weights_digest", watched)
    return seen


def test_a_folder_that_stays_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = hashed(monkeypatch)
    network, digest = load_model(folder)
    assert digest == weights_digest(network.state_dict())
    assert load_model(folder)[1] == digest
    assert len(seen) == 1


def test_changed_weights_are_hashed_though_size_and_time_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = load_model(folder)[1]
    seen = hashed(monkeypatch)
    path = folder / "model.safetensors"
    before = path.stat()
    state = load_file(path)
    name = next(iter(state))
    state[name] = state[name] + 1
    save_file(state, path, {"format": "pt"})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    network, changed = load_model(folder)
    assert changed == weights_digest(network.state_dict()) != digest
    assert len(seen) == 1


def test_files_that_changed_just_now_are_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_digest, "_SETTLED_NS", 3600 * 10**9)
    seen = hashed(monkeypatch)
    for _ in range(2):
        load_model(folder)
    assert len(seen) == 2
