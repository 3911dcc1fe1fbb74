"""docs/differences.md: what it says one may ask for can be asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pages import ROOT, parse

from features.encoders.table import ENCODERS
from heads.config.suite import read_suite, shipped_suites

TEXT = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
SPANS = re.findall(r"`([^`\n]+)`", TEXT)
SETTINGS = [span for span in SPANS if re.fullmatch(r"\w+: [\[{].*", span)]
COMMANDS = [span for span in SPANS if span.startswith("erc ")]


def test_there_is_something_to_test() -> None:
    assert len(SETTINGS) > 12
    assert len(COMMANDS) > 5


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_is_read(setting: str, tmp_path: Path) -> None:
    experiment = {"inputs": {"text": ["sentence"], "audio": ["waveform"]}} | yaml.safe_load(setting)
    if "bclstm" in setting:
        experiment["batch"] = {"unit": "dialogues"}
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(experiment), encoding="utf-8")
    assert len(read_suite(str(path)).experiments) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command: str) -> None:
    parse(command.replace("SUITE", "table4").replace("NAME", "focal").split()[1:])


def test_every_encoder_that_has_a_published_way_is_told_of() -> None:
    """`faces` as published is what `retinaface-resnet50` as published derives from."""
    told = {name for name in ENCODERS if f"`{name}`" in TEXT or f"--encoder {name}" in TEXT}
    assert {name for name, entry in ENCODERS.items() if entry.published is not None} - {"faces"} <= told


def test_the_suites_of_the_report_are_named() -> None:
    assert {name for name in shipped_suites() if name.startswith(("table4", "slips"))} <= set(SPANS)


def test_what_is_said_of_confidence_is_so() -> None:
    settings = ENCODERS["retinaface-resnet50"].options
    assert settings["confidence"][0] == 0.5
