"""The table of encoders: what a name, a setting and --as-published mean before anything is imported."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from features.encoders.build import create, resolve_settings, source_request
from features.encoders.protocol import EncoderRequest
from features.encoders.table import DEFAULT_PRESET, ENCODERS, PRESETS, entry, options_of
from features.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", list(ENCODERS))
def test_every_entry_leads_to_its_class(name: str) -> None:
    module, _, attribute = ENCODERS[name].target.partition(":")
    path = ROOT / Path(*module.split(".")).with_suffix(".py")
    classes = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}
    assert attribute in classes
    assert path.parent.name == ENCODERS[name].modality


def test_presets_name_one_encoder_a_modality() -> None:
    assert DEFAULT_PRESET == "report"
    for names in PRESETS.values():
        assert [entry(name).modality for name in names] == ["text", "audio", "visual"]


@pytest.mark.parametrize("name", list(ENCODERS))
def test_defaults_and_published_settings_resolve_to_themselves(name: str) -> None:
    for as_published in (False, True):
        if as_published and ENCODERS[name].published is None:
            continue
        defaults = {key: default for key, (default, _) in options_of(name, as_published).items()}
        texts = {key: str(default) for key, default in defaults.items()}  # as --set gives them
        assert resolve_settings(name, texts, as_published) == defaults


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'wav2vec2' has no setting 'max_second': did you mean 'max_seconds'\?"):
        resolve_settings("wav2vec2", {"max_second": 3})
    with pytest.raises(UsageError, match=r"no setting 'max_seconds' with --as-published: .*known: samples"):
        resolve_settings("wav2vec2", {"max_seconds": 3}, as_published=True)
    with pytest.raises(UsageError, match="no setting 'frames' with --as-published: it takes no settings"):
        resolve_settings("resnet50", {"frames": 3}, as_published=True)


def test_what_the_report_does_not_have_cannot_be_as_published() -> None:
    with pytest.raises(UsageError, match="the report has no encoder 'sentence': --as-published is for gpt2, glove, "):
        create(EncoderRequest("sentence", as_published=True))


def test_settings_of_the_source_reach_it_and_no_others() -> None:
    given = {"frames": "3", "size": "480", "mode": "crop", "detector": "faces.pth"}
    request = EncoderRequest("retinaface-resnet50", given, model="resnet18", alias="mine", dtype="bf16", batch_size=2)
    source = source_request(request)
    assert source is not None
    assert (source.encoder, source.model, source.alias, source.dtype) == ("faces", "faces.pth", None, "bf16")
    assert source.settings == {"frames": 3, "size": 480, "max_seconds": 30.0}
    assert source.batch_size is None
    assert source_request(EncoderRequest("faces")) is None


def test_the_source_is_as_published_where_the_encoder_is() -> None:
    source = source_request(EncoderRequest("retinaface-resnet50", as_published=True))
    assert source is not None
    assert (source.as_published, source.settings, source.model) == (True, {}, None)
