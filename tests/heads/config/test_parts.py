"""The list of parts: all of them, with a sentence, their settings and their sources."""

from __future__ import annotations

import pytest

from heads.config.parts import all_parts, all_sections, limits, part_tables, setting_texts
from heads.config.registry import settings_of

PARTS = [*all_parts(), *all_sections()]


def test_every_part_of_every_table_is_listed_once() -> None:
    from heads.data.samplers import SAMPLERS

    listed = [(part.kind, part.name) for part in PARTS]
    assert len(set(listed)) == len(listed)
    for kind, (table, _) in part_tables().items():
        assert [name for of, name in listed if of == kind] == list(table)
    assert [name for of, name in listed if of == "sampler"] == list(SAMPLERS)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.kind}-{part.name}")
def test_a_part_has_a_short_sentence_and_a_docstring(part) -> None:
    assert part.text
    assert 5 < len(part.summary) < 180
    assert "\n" not in part.summary
    assert not part.summary.startswith("`") or part.name == "concat+norm"


def test_settings_are_those_of_the_signature_and_what_all_parts_take() -> None:
    for kind, (table, common) in part_tables().items():
        for name, part in table.items():
            listed = next(item for item in PARTS if (item.kind, item.name) == (kind, name))
            own = settings_of(part).model_fields
            assert {setting.name for setting in listed.settings} == {*own, *common.model_fields}
            for setting in listed.settings:
                if setting.name in own:
                    assert setting.required == own[setting.name].is_required()
                    assert setting.required or setting.default == own[setting.name].default


def test_sources_are_read_from_the_docstring() -> None:
    sources = {part.name: part.sources for part in PARTS}
    assert sources["text-cnn"] == ["Kim 2014"]
    assert sources["layer-weights"] == ["Peters et al. 2018", "Yang et al. 2021"]
    assert "HLM12ERC report" in sources["attention-over-batch"]
    assert sources["shuffle"] == []


def test_what_a_docstring_says_of_a_setting() -> None:
    docstring = """Words.

    one: the first,
         which goes on
    two, three: of both
    four: of nobody's

    A sentence about it: with a colon.
    """
    assert setting_texts(docstring, {"one", "two", "three"}) == {
        "one": "the first, which goes on",
        "two": "of both",
        "three": "of both",
    }


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.kind}-{part.name}")
def test_every_setting_is_explained(part) -> None:
    assert [setting.name for setting in part.settings if len(setting.text) < 6] == []


def test_limits_and_defaults_are_said_in_full() -> None:
    settings = {f"{part.name}.{setting.name}": setting for part in PARTS for setting in part.settings}
    assert limits(settings["batch.size"].schema) == "whole number from 1 to 1048576"
    assert limits(settings["optim.clip"].schema) == "number above 0 or null"
    assert limits(settings["encoder-top.dropout"].schema) == "number from 0 below 1 or null"
    assert settings["feedforward.sizes"].default_text == "[512]"
    assert settings["optim.ema"].default_text == "null"
    assert settings["evaluation.dropout"].default_text == "false"
