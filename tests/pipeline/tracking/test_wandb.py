"""W&B's offline folders, read back record by record; and when it is offline."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tracking_factory import expected_numbers, fake_suite, read_json, track
from wandb.proto.wandb_internal_pb2 import Record

from features.errors import UsageError
from pipeline.tracking.wandb import WandbTracker

pytestmark = pytest.mark.usefixtures("without_plots", "nobody_logged_in")

BLOCK = 32768


@pytest.fixture
def nobody_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings, keys and folders of whoever runs the tests do not count."""
    for name in ("API_KEY", "MODE", "BASE_URL", "PROJECT", "ENTITY", "DIR", "IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home/netrc"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)


def records(file: Path) -> Iterator[Record]:
    """A .wandb file: a header of 7 bytes, then LevelDB's log format, of which a record may go over several blocks."""
    data, place, parts = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def kept(runs: Path) -> dict[str, dict[str, Any]]:
    """Name of each offline run -> its rows, summary, configuration, group and kind."""
    found = {}
    for file in runs.glob("tracking/wandb/wandb/offline-run-*/run-*.wandb"):
        run: dict[str, Any] = {"rows": [], "summary": {}, "config": {}, "files": file.parent / "files"}
        for record in records(file):
            if record.HasField("run"):
                run |= {"name": record.run.display_name, "group": record.run.run_group, "kind": record.run.job_type}
                run |= {"project": record.run.project, "id": record.run.run_id}
                run["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            if record.HasField("history"):
                run["rows"].append({_key(item): json.loads(item.value_json) for item in record.history.item})
            if record.HasField("summary"):
                run["summary"] |= {_key(item): json.loads(item.value_json) for item in record.summary.update}
        assert run["name"] not in found
        found[run["name"]] = run
    return found


def _key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def test_the_offline_folders_hold_the_numbers_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    linear, wide = fake_suite(runs)
    assert track(runs, "wandb") == 0
    assert capsys.readouterr().err == ""
    found = kept(runs)
    assert len(found) == 7
    assert {(run["project"], run["group"]) for run in found.values()} == {("erc", "fake")}
    for run in (linear, wide):
        one = found[f"{run.path.name}/seed-1"]
        assert one["kind"] == "seed"
        history = pl.read_parquet(run.seed_folder(1) / "history.parquet")
        wanted = history.select("epoch", "train_loss", "dev_loss", "dev_weighted_f1", "learning_rate")
        names = ("_step", "train/loss", "dev/loss", "dev/weighted_f1", "train/learning_rate")
        assert [tuple(row[name] for name in names) for row in one["rows"]] == list(wanted.iter_rows())
        assert (
            one["summary"]["best/dev/weighted_f1"] == read_json(run.seed_folder(1) / "result.json")["dev_weighted_f1"]
        )
        assert one["config"]["optim.lr"] == 1e-3
        assert one["config"]["environment"]["version/torch"] == "2.14.1"
        summary = found[f"{run.path.name}/summary"]
        assert summary["kind"] == "experiment"
        assert summary["summary"].items() >= expected_numbers(run).items()
    report = found["suite"]["files"] / "report.html"
    assert report.read_bytes() == (runs / "tracking/report/report.html").read_bytes()
    assert "contrasts/wide - linear/p_holm" in found["suite"]["summary"]

    assert track(runs, "wandb") == 0
    assert "0 runs sent, 7 there already" in capsys.readouterr().out
    assert {name: run["files"] for name, run in kept(runs).items()} == {
        name: run["files"] for name, run in found.items()
    }

    file = linear.path / "metrics-dev.json"
    scores = read_json(file)
    file.write_text(json.dumps(scores | {"calibration_error": scores["calibration_error"] | {"mean": 0.5}}))
    assert track(runs, "wandb") == 0
    after = kept(runs)  # which asserts that no name is there twice
    assert len(after) == 7
    assert after["linear-1a2b3c4d/summary"]["summary"]["dev/calibration_error/mean"] == 0.5
    assert after["linear-1a2b3c4d/summary"]["id"] == found["linear-1a2b3c4d/summary"]["id"]
    assert after["linear-1a2b3c4d/summary"]["files"] != found["linear-1a2b3c4d/summary"]["files"]


def test_it_is_offline_unless_somebody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WandbTracker(tmp_path / "w").destination == tmp_path / "w"
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(UsageError, match="WANDB_MODE=online, and you are not logged in: set WANDB_API_KEY"):
        WandbTracker(tmp_path / "w")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert not WandbTracker(tmp_path / "w").offline
    monkeypatch.delenv("WANDB_MODE")
    online = WandbTracker(tmp_path / "w")
    assert str(online.destination).endswith("/erc")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert WandbTracker(tmp_path / "w").offline
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(UsageError, match="W&B is switched off"):
        WandbTracker(tmp_path / "w")


def test_a_login_is_found_in_the_netrc_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home/netrc").write_text("machine api.wandb.ai\n  login user\n  password " + "0" * 40 + "\n")
    assert not WandbTracker(tmp_path / "w").offline
    (tmp_path / "home/netrc").write_text("machine elsewhere.example\n  login user\n  password x\n")
    assert WandbTracker(tmp_path / "w").offline
