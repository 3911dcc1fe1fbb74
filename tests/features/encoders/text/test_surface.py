"""`surface`: each count on texts whose answer is plain."""

from __future__ import annotations

import pickle
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import turn

from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.encoders.text.surface import COLUMNS, VERSION, measure
from features.errors import Reason, UnavailableError, UsageError


def counted(text: str) -> dict[str, float]:
    return dict(zip(COLUMNS, measure(text).tolist(), strict=True))


CASES = [
    ("exclamation_marks", "Stop! Stop!!", 3),
    ("question_marks", "What?! Who?", 2),
    ("ends_in_exclamation", "Oh! “My God!”", 1),
    ("ends_in_exclamation", "No! Fine.", 0),
    ("ends_in_question", "You did what?'", 1),
    ("repeated_marks", "What?! No!!! Yes!", 2),
    ("ellipses", "Well… I... don't know..", 3),
    ("dashes", "Forward—stop -- wait - I was going to-", 4),
    ("dashes", "well-known", 0),
    ("commas", "Well, no, no", 2),
    ("quotes", '“I do” or "I don\'t"', 4),
    ("all_caps_words", "GIVE ME my puck, I said", 2),
    ("elongations", "Nooo! Sooooo good, too", 2),
    ("repeated_words", "no, no, no! I-I mean it", 2),
    ("repeated_words", "no nose", 0),
    ("interjections", "Oh wow, hey! Ooooh. Ughhh... huh", 6),
    ("interjections", "Ohio, there, heyday", 0),
    ("laughter", "Ha ha ha! Hahaha. Hehe, he left", 3),
    ("negations", "I don’t, can't and won't: no, never, not now", 6),
    ("negations", "I know nobody's note", 1),
    ("first_person", "I'm sure we like my car, mine", 4),
    ("second_person", "You're you, yours", 3),
    ("intensifiers", "So very, very really sorry", 4),
    ("polite_words", "Please, thanks, I am so sorry", 3),
    ("digits", "10, 9 and 8", 4),
    ("words", "It's a well-known fact…", 4),
    ("characters", "  two   words ", 9),
    ("mean_word_length", "ab abcd", 3),
    ("capitals_share", "ABcd!", 0.5),
]


@pytest.mark.parametrize(("column", "text", "expected"), CASES)
def test_counts(column: str, text: str, expected: float) -> None:
    assert counted(text)[column] == expected


def test_every_column_is_covered_by_a_case() -> None:
    assert {column for column, _, _ in CASES} == set(COLUMNS)


def test_curly_and_plain_marks_count_alike() -> None:
    np.testing.assert_array_equal(measure("“Don’t…” he said"), measure('"Don\'t..." he said'))


@given(st.text(max_size=60))
def test_any_text_gives_finite_counts_from_zero_up(text: str) -> None:
    values = measure(text)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert (values >= 0).all()


@given(st.text(alphabet=string.ascii_letters + " .!?,'-", max_size=40))
def test_marks_do_not_depend_on_case(text: str) -> None:
    lower, upper = counted(text.lower()), counted(text.upper())
    cased = {"capitals_share", "all_caps_words"}
    assert {k: v for k, v in lower.items() if k not in cased} == {k: v for k, v in upper.items() if k not in cased}


def test_the_encoder_gives_the_counts_and_names_them_in_its_spec() -> None:
    encoder = create(EncoderRequest("surface", alias="form"))
    prepare = pickle.loads(pickle.dumps(encoder.prepare))
    (vector,) = encoder.encode([prepare(turn("Oh my God!!"))])
    np.testing.assert_array_equal(vector, measure("Oh my God!!"))
    assert encoder.spec.settings["columns"] == list(COLUMNS)
    assert encoder.spec.shape == vector.shape == (len(COLUMNS),)
    assert (encoder.spec.depends, encoder.spec.weights, encoder.spec.weights_digest) == ("text", "none", None)
    assert encoder.spec.folder.startswith("text/form-")


def test_golden_counts() -> None:
    """Fails when a count changes: raise VERSION with it, since stored features then differ."""
    text = "Oh my GOD!! You’re sooo… no, no—I can't, ha ha! “Please?”"
    expected = [59, 12, 37 / 12, 3, 1, 0, 1, 1, 1, 1, 2, 2, 0.2, 1, 1, 2, 2, 1, 3, 2, 1, 0, 1, 0]
    assert VERSION == 1
    np.testing.assert_allclose(measure(text), expected, rtol=1e-5)


def test_a_blank_text_has_no_counts() -> None:
    encoder = create(EncoderRequest("surface"))
    with pytest.raises(UnavailableError, match="no-text") as raised:
        encoder.prepare(turn(" \n"))
    assert raised.value.reason is Reason.NO_TEXT


def test_there_are_no_settings_and_no_model() -> None:
    with pytest.raises(UsageError, match="it takes no settings"):
        create(EncoderRequest("surface", {"pooling": "mean"}))
    with pytest.raises(UsageError, match="leave --model out"):
        create(EncoderRequest("surface", model="x"))
