"""docs/suites.md: its reference is that of the code, its suite has every key, and its space can be searched."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from pages import ROOT, blocks

from heads.config.parts import all_parts, all_sections
from heads.config.resolve import _KEYS
from heads.config.suite import _SUITE_KEYS, read_suite
from pipeline.search.space import Choices, check_space, read_space
from pipeline.suites.choice import read_experiment

sys.path.insert(0, str(ROOT / "docs" / "site_parts"))

PAGE = "docs/suites.md"
SUITE, SPACE = (block.text for block in blocks(PAGE) if block.tag == "yaml")


def test_the_reference_is_that_of_the_code() -> None:
    from suite_reference import PAGE as WRITTEN
    from suite_reference import whole_page

    assert WRITTEN.read_text(encoding="utf-8") == whole_page(), (
        f"{PAGE} is not what the parts say now: write it anew with python docs/site_parts/suite_reference.py"
    )


def test_every_part_and_every_setting_is_on_the_page() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    told = [part for part in [*all_parts(), *all_sections()] if f"### `{part.name}`\n" in page]
    assert len(told) > 30
    assert told == [*all_parts(), *all_sections()]
    for part in told:
        for setting in part.settings:
            assert f"| `{setting.name}` | " in page, f"{part.name}.{setting.name}"


@pytest.mark.parametrize("key", [*_SUITE_KEYS, *_KEYS])
def test_the_suite_shows_and_explains_every_key(key: str) -> None:
    explained = rf"^ *# [\w, ]*\b{key}\b[\w, ]*: .+"  # a line of its own above the key, or one to be uncommented
    assert re.search(rf"^ *(# )?{key}:", SUITE, re.MULTILINE), f"{key} is not in the suite"
    assert re.search(explained, SUITE, re.MULTILINE), f"{key} has no comment"


def test_the_suite_is_read_as_it_stands_and_with_its_keys_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE, encoding="utf-8")
    suite = read_suite(str(path))
    assert len(suite.experiments) == 5
    assert len(suite.contrasts) == 3
    path.write_text(re.sub(r"^( +)# (paper|tuned): ", r"\1\2: ", SUITE, flags=re.MULTILINE), encoding="utf-8")
    text = next(item for item in read_suite(str(path)).experiments if item.name == "text")
    assert text.paper is not None
    assert text.tuned is not None


def test_the_space_fits_the_suite(tmp_path: Path) -> None:
    suite, space = tmp_path / "mine.yaml", tmp_path / "space.yaml"
    suite.write_text(SUITE, encoding="utf-8")
    space.write_text(SPACE, encoding="utf-8")
    dimensions, _ = read_space(space)
    assert len(dimensions) == 5
    assert any(isinstance(item, Choices) for item in dimensions)
    check_space(dimensions, str(space), lambda overrides: read_experiment(str(suite), overrides, "text", ()))
