"""MMSA from the package index, unpatched but for what it cannot do on this machine, trains on our export."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import torch

from pipeline.cli import erc, run

pytestmark = pytest.mark.slow

# MMSA 2.2.1 selects a CUDA device on machines that have none, and MulT's scheduler is given an argument that torch
# dropped. Nothing else of it is changed. `early_stop` 0 is one epoch.
_TRAIN = """
import sys
import torch
from torch.optim import lr_scheduler

if not torch.cuda.is_available():
    torch.cuda.set_device = lambda device: None

class Scheduler(lr_scheduler.ReduceLROnPlateau):
    def __init__(self, *given, verbose=None, **named):
        super().__init__(*given, **named)

lr_scheduler.ReduceLROnPlateau = Scheduler
from MMSA import MMSA_run

model, features, out = sys.argv[1:]
MMSA_run(
    model, "mosei", seeds=[1], gpu_ids=[], custom_feature=features, config={"early_stop": 0}, num_workers=0,
    model_save_dir=out, res_save_dir=out, log_dir=out,
)
"""


@pytest.fixture(scope="module")
def mmsa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has MMSA beside the packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    wanted = ["MMSA==2.2.1", "easydict", "nvidia-ml-py3"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, *wanted]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"the package index does not give MMSA: {done.stderr.strip().splitlines()[-1]}")
    (Path(site) / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in (
            "sample sample --dialogues 6",
            "ingest meld sample --out manifest.parquet",
            "extract --manifest manifest.parquet --workers 0 --encoder surface --encoder logmel --encoder hog-colour",
            "extract --manifest manifest.parquet --workers 0 --encoder waveform",
        ):
            assert run(erc, line.split(), "erc") == 0, line
    return folder


@pytest.mark.parametrize(("model", "audio", "length"), [("lf_dnn", "logmel", None), ("mult", "waveform", 12)])
def test_it_trains(mmsa: Path, sample: Path, tmp_path: Path, model: str, audio: str, length: int | None) -> None:
    features = [
        word for name in ("text/surface", f"audio/{audio}", "visual/hog-colour") for word in ("--feature", name)
    ]
    where = ["--manifest", str(sample / "manifest.parquet"), "--to", str(tmp_path / "mmsa.pkl")]
    steps = [] if length is None else ["--length", str(length)]
    assert (
        run(erc, ["store", "export", str(sample / "store"), "--format", "mmsa", *features, *where, *steps], "erc") == 0
    )
    script = tmp_path / "train.py"
    script.write_text(_TRAIN)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HOME": str(tmp_path), "OMP_NUM_THREADS": str(min(4, torch.get_num_threads()))}
    given = [str(mmsa), str(script), model, str(tmp_path / "mmsa.pkl"), str(tmp_path / "out")]
    done = subprocess.run(given, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    with (tmp_path / "out" / "normal" / "mosei.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["Model"] == model
    splits = json.loads((tmp_path / "mmsa.pkl.json").read_text())["splits"]
    log = (tmp_path / "out" / f"{model}-mosei.log").read_text()
    for split, count in splits.items():
        assert f"{split} samples: ({count},)" in log
