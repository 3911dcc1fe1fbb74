"""What is said of the stage that limited a run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from store_factory import make_manifest

from features.engines.activity import Activity, joined
from features.manifest import write_manifest
from pipeline.cli import erc
from pipeline.commands.limits import activity_summary, limit_line


def clips(**changes: Any) -> Activity:
    values: dict[str, Any] = {"kind": "clips", "seconds": 40.0, "workers": 2}
    return Activity(**(values | changes))


@pytest.mark.parametrize(
    ("activity", "device", "cores", "expected"),
    [
        (
            clips(decoding=77.6, encoding=8.0, writing=1.0),
            "cuda",
            8,
            "clips: limited by decoding: 2 workers busy 97% of 40.0 s; encoding waited 80% of the time; "
            "more --workers would help",
        ),
        (
            clips(decoding=77.6, encoding=8.0),
            "cpu",
            2,
            "clips: limited by decoding: 2 workers busy 97% of 40.0 s; encoding waited 80% of the time; "
            "all cores decode already: more machines would help (--shard I/N, or --engine ray)",
        ),
        (
            clips(decoding=30.0, encoding=9.0, workers=0),
            "cpu",
            2,
            "clips: limited by decoding: one process busy 75% of 40.0 s; encoding waited 78% of the time; "
            "--workers 1 or more would decode beside encoding",
        ),
        (
            clips(decoding=32.0, encoding=38.0),
            "cpu",
            8,
            "clips: limited by encoding: the device busy 95% of 40.0 s; decoding waited 60% of the time; "
            "a GPU would help",
        ),
        (
            clips(decoding=32.0, encoding=78.0, seconds=80.0, places=2),
            "cuda",
            32,
            "clips: limited by encoding: 2 devices busy 98% of 40.0 s; decoding waited 80% of the time; "
            "a larger --batch-size or --dtype bf16 may help",
        ),
        (
            clips(decoding=300.0, encoding=8.0, seconds=80.0, places=2),
            "cuda",
            8,
            "clips: limited by decoding: 4 workers busy 100% of 40.0 s; encoding waited 90% of the time; "
            "more --workers would help",
        ),
        (
            clips(decoding=8.0, encoding=2.0, writing=36.0),
            "cpu",
            2,
            "clips: limited by writing: one process busy 90% of 40.0 s; encoding waited 95% of the time; "
            "decoding waited 90% of the time; a faster disk for the store would help",
        ),
        (
            clips(decoding=16.0, encoding=2.0),
            "cpu",
            2,
            "clips: start-up and waiting took most of 40.0 s (decoding 20%, encoding 5%)",
        ),
        (
            Activity("texts", 2.0, preparing=1.6, encoding=0.2),
            "cpu",
            2,
            "texts: limited by preparing: one process busy 80% of 2.0 s; encoding waited 90% of the time",
        ),
        (Activity("texts", 0.0), "cpu", 2, "texts: start-up and waiting took most of 0.0 s (nothing was busy)"),
    ],
)
def test_the_line(activity: Activity, device: str, cores: int, expected: str) -> None:
    assert limit_line(activity, device, cores) == expected


def test_the_share_is_of_all_workers_and_never_above_one() -> None:
    assert clips(decoding=40.0).busy("decoding") == 0.5
    assert clips(decoding=40.0, workers=0).busy("decoding") == 1.0
    assert clips(decoding=100.0).busy("decoding") == 1.0


def test_chunks_and_places_add_up() -> None:
    """Two actors: each 20 s at its texts; one 30 s, the other 10 s at its clips."""
    text = Activity("texts", 20.0, encoding=10.0, preparing=1.0)
    activities = [clips(seconds=30.0, decoding=50.0, writing=1.0), text, clips(seconds=10.0, decoding=5.0), text]
    texts, both = joined(activities, places=2)
    assert (texts.kind, texts.seconds, texts.elapsed, texts.busy("encoding")) == ("texts", 40.0, 20.0, 0.5)
    assert (both.kind, both.seconds, both.elapsed, both.workers, both.places) == ("clips", 40.0, 20.0, 2, 2)
    assert both.busy("decoding") == 55 / 80
    assert both.writing == 1.0
    assert texts.preparing == 2.0


def test_the_summary_is_plain_json_and_names_no_limit_where_none_was() -> None:
    summary = json.loads(json.dumps(activity_summary(clips(decoding=77.6))))
    assert summary["limit"] == "decoding"
    assert summary["busy"] == {"preparing": 0.0, "decoding": 0.97, "encoding": 0.0, "writing": 0.0}
    assert activity_summary(clips(decoding=1.0))["limit"] is None


def test_extract_ends_with_what_limits_it(tmp_path: Any) -> None:
    path = write_manifest(make_manifest(70), tmp_path / "manifest.parquet")
    flags = ["extract", "--encoder", "surface", "--manifest", str(path)]
    said = CliRunner().invoke(erc, [*flags, "--store", str(tmp_path / "one")])
    assert said.exit_code == 0, said.output
    assert said.output.splitlines()[-1].startswith("texts: ")
    assert "prepare 0." in said.output
    document = json.loads(CliRunner().invoke(erc, [*flags, "--store", str(tmp_path / "two"), "--json"]).stdout)
    (activity,) = document["activity"]
    assert activity["kind"] == "texts"
    assert document["features"][0]["seconds"].keys() == {"prepare", "decode", "encode", "write"}
    nothing = json.loads(CliRunner().invoke(erc, [*flags, "--store", str(tmp_path / "two"), "--json"]).stdout)
    assert nothing["activity"] == []


def test_flags_of_ray_without_ray_are_refused(tmp_path: Any) -> None:
    from features.errors import UsageError

    done = CliRunner().invoke(erc, ["extract", "--encoder", "surface", "--ray-actors", "2"])
    assert isinstance(done.exception, UsageError)
    assert "--ray-address and --ray-actors are for --engine ray" in str(done.exception)
