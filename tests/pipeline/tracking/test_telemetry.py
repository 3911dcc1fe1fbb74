"""The makers of trackers hear nothing of who uses them, unless the user's environment asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MLFLOW = """
from pathlib import Path
from pipeline.tracking.item import Item
from pipeline.tracking.mlflow import MlflowTracker
suite = Item("suite", "suite", Path("runs"), "fake", ("suite",), digest=str, read=None)
MlflowTracker(Path("here")).open(suite, None)
from mlflow.telemetry.utils import is_telemetry_disabled
print(not is_telemetry_disabled())
"""
WANDB = """
from pathlib import Path
from pipeline.tracking.wandb import WandbTracker
WandbTracker(Path("here"))
from wandb.env import error_reporting_enabled
print(error_reporting_enabled())
"""


@pytest.mark.parametrize("program", [MLFLOW, WANDB])
def test_nothing_is_told(tmp_path: Path, program: str) -> None:
    """In an environment of a user's: under a test, or where CI is set, MLflow tells nothing anyway."""
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "WANDB_MODE": "offline"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr
