"""Patterns of file names: what matches, what does not, and patterns that could be read in two ways."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import UsageError
from pipeline.ingest.name_pattern import compile_pattern

SEPARATED = "{a}-{b}/{c}_{a}"


@pytest.mark.parametrize(
    ("pattern", "path", "fields"),
    [
        ("{modality}-{emotion}", "Actor_01/03-05.wav", {"modality": "03", "emotion": "05"}),
        ("{modality}-{emotion}", "03-05-01.wav", None),
        ("{modality}-{emotion}", "03-.wav", None),
        ("{speaker:2}{sentence:3}{emotion:1}{version:1}", "wav/03a01Fa.wav",
         {"speaker": "03", "sentence": "a01", "emotion": "F", "version": "a"}),
        ("{speaker}_{emotion}{take:2}", "DC_sa07.wav", {"speaker": "DC", "emotion": "sa", "take": "07"}),
        ("{speaker}/{emotion}/{split}/{speaker}_{id}.wav", "ESD/0011/Angry/train/0011_000351.wav",
         {"speaker": "0011", "emotion": "Angry", "split": "train", "id": "000351"}),
        ("{speaker}/{emotion}/{split}/{speaker}_{id}.wav", "0011/Angry/train/0012_000351.wav", None),
        ("{speaker}/{emotion}", "happy.wav", None),
        ("spk{speaker}_{emotion}", "spkkim_joy.wav", {"speaker": "kim", "emotion": "joy"}),
        ("{emotion} ({take})", "a/sad (12).mp4", {"emotion": "sad", "take": "12"}),
        ("{a}[x]{b}", "1[x]2.wav", {"a": "1", "b": "2"}),
        ("{a}[x]{b}", "1x2.wav", None),
        ("{a}_b", "é_b.wav", {"a": "é"}),
    ],
)  # fmt: skip
def test_what_matches(pattern: str, path: str, fields: dict[str, str] | None) -> None:
    assert compile_pattern(pattern).match(path) == fields


def test_endings() -> None:
    any_media, wav = compile_pattern("{a}"), compile_pattern("{a}.wav")
    assert [name for name in ("x.wav", "x.WAV", "x.mp4", "x.txt", "x") if any_media.takes(name)] == [
        "x.wav", "x.WAV", "x.mp4",
    ]  # fmt: skip
    assert [name for name in ("x.wav", "x.WAV", "x.mp4") if wav.takes(name)] == ["x.wav", "x.WAV"]
    assert wav.match("x.y.WAV") == {"a": "x.y"}


def test_the_name_of_an_utterance_has_no_split() -> None:
    pattern = compile_pattern("{speaker}/{split}/{id}.wav")
    assert pattern.name("corpus/ann/train/7.wav") == "ann/7"
    assert compile_pattern("{id}").name("corpus/ann/train/7.wav") == "7"
    assert compile_pattern("{split}_{id}").name("train_7.wav") == "train_7"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("emotion", r"it has no field, like \{emotion\}"),
        ("{emotion", "holds a brace that begins no field"),
        ("{emotion:0}", "holds a brace that begins no field"),
        ("{1}", "holds a brace that begins no field"),
        ("{a}{b}", r"\{a\} and \{b\} touch: part them, or give one a width, \{b:2\}"),
        ("{a}{b:2}{c}", r"\{a\} and \{c\} touch"),
        ("/data/{a}", "must be relative to ROOT"),
        ("../{a}", "must be relative to ROOT"),
        (r"{a}\{b}", "must be relative to ROOT"),
    ],
)
def test_patterns_that_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compile_pattern(pattern)


words = st.text(string.ascii_letters + string.digits + "é .", min_size=1, max_size=6)


@given(a=words, b=words, c=words)
def test_what_was_put_in_comes_out(a: str, b: str, c: str) -> None:
    assert compile_pattern(SEPARATED).match(f"{a}-{b}/{c}_{a}.wav") == {"a": a, "b": b, "c": c}
    if a != b:
        assert compile_pattern(SEPARATED).match(f"{a}-{b}/{c}_{b}.wav") is None
