"""What a user sees of a server that never answers, with nothing set: one line, after one wait."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from http_servers import closed_port, raw_server

from features.network.waiting import FIRST_BYTE_S

ROOT = Path(__file__).resolve().parents[3]


def run(tmp_path: Path, host: str, *arguments: str, **variables: str) -> tuple[float, str]:
    """Seconds, and what was said on stderr by a command that fails.

    The seconds are told from below only. That the command ends after one wait is told by what it connects to and by
    what it loads.
    """
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower() and not key.startswith("HF_")}
    kept.pop("ERC_NETWORK_TIMEOUT", None)
    here = {"HF_ENDPOINT": f"http://{host}", "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env=kept | here | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert ran.stdout == ""
    return time.monotonic() - began, ran.stderr


@pytest.mark.parametrize("encoder", ["gpt2"])
def test_extraction_without_weights_ends_in_one_line(tmp_path: Path, encoder: str) -> None:
    """Beside the wait there is what the command needs to start, and torch, which takes seconds, is not among it."""
    row = {"utterance_id": "a/train/0", "dataset": "a", "split": "train", "dialogue_id": "a/train/d", "turn": 0}
    pl.DataFrame([{**row, "speaker": "A", "text": "Hi.", "label": "joy"}]).write_csv(tmp_path / "m.csv")
    command = ["extract", "--manifest", "m.csv", "--store", "store", "--encoder", encoder]
    _, refused = run(tmp_path, closed_port(), *command, PYTHONPROFILEIMPORTTIME="1")
    assert re.search(r"\| +polars\n", refused)
    assert not re.search(r"\| +torch\n", refused)
    assert "(127.0.0.1 refuses connections: check the network and HTTPS_PROXY)" in refused
    asked: list[socket.socket] = []
    with raw_server(asked.append) as host:
        seconds, said = run(tmp_path, host, *command)
    assert len(asked) == 1
    assert said.count("\n") == 1
    assert "is neither a folder here nor in the hub's cache" in said
    assert f"gave no answer within {FIRST_BYTE_S:g} s" in said
    assert seconds >= FIRST_BYTE_S
    assert FIRST_BYTE_S <= 4


def test_a_download_from_who_never_answers_ends_in_one_line(tmp_path: Path) -> None:
    asked: list[socket.socket] = []
    with raw_server(asked.append) as host:
        (tmp_path / "card.yaml").write_text(
            f"dataset: mine\ndownloads:\n  ingest: meld {{folder}}\n  sources:\n    - address: http://{host}/a.csv\n"
        )
        seconds, said = run(tmp_path, host, "download", "card.yaml")
    assert said == (
        f"erc: http://{host}/a.csv cannot be fetched: 127.0.0.1 gave no answer within 4 s: try again later"
        " (ERC_NETWORK_TIMEOUT=30 waits longer)\n"
    )
    assert len(asked) == 1
    assert seconds >= FIRST_BYTE_S
