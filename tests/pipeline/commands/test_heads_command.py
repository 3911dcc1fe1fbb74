"""`erc heads` and `erc schema`: what is printed, and that unknown parts are refused."""

from __future__ import annotations

import json

import pytest

from pipeline.cli import erc, run


def test_a_line_each_and_with_list_their_settings_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(erc, ["heads"], "erc") == 0
    short = capsys.readouterr().out
    assert "focal" in short
    assert "gamma" not in short
    assert run(erc, ["heads", "--list"], "erc") == 0
    whole = capsys.readouterr().out
    assert "gamma: number from 0 to 10 [2.0]" in whole
    assert "source: Kim 2014" in whole
    assert max(map(len, whole.splitlines())) <= 100


def test_one_part_with_all_that_is_known_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(erc, ["heads", "focal"], "erc") == 0
    told = capsys.readouterr().out
    assert "Lin et al. 2017" in told
    assert "alpha: none | inverse | balanced [none]" in told
    assert run(erc, ["heads", "fokal"], "erc") == 2
    assert "focal" in capsys.readouterr().err


def test_json_of_the_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(erc, ["heads", "--json"], "erc") == 0
    parts = json.loads(capsys.readouterr().out)
    assert {part["kind"] for part in parts} >= {"reader", "fusion", "context", "loss", "sampler", "section"}
    dice = next(part for part in parts if part["name"] == "dice")
    assert {setting["name"] for setting in dice["settings"]} == {"absent", "denominator", "weight"}


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(erc, ["schema"], "erc") == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("http://json-schema.org/")


def test_the_package_runs_as_a_module() -> None:
    import runpy
    import sys
    from unittest import mock

    with mock.patch.object(sys, "argv", ["erc", "--version"]), pytest.raises(SystemExit) as ended:
        runpy.run_module("pipeline", run_name="__main__")
    assert ended.value.code == 0
