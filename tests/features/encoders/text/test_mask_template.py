"""`sentence` with pooling=mask: the state at a template's mask, which nothing in a text can move or cut."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import BF16_ERROR_ENERGY, FP32_TOLERANCE, error_energy, relative_error
from tiny_bert import WIDTH, WORDS, dialogue, turn, write_tiny_bert
from tiny_gpt2 import fill, write_tiny_gpt2

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest, Turn
from features.encoders.text.mask_template import TemplatePreparer, split_template
from features.encoders.text.token_windows import Window
from features.errors import Reason, UnavailableError, UsageError

LINES = (("Ross", "Oh my God!!"), ("Joey", "why, are you so sad"), ("Monica", "no"), ("", "it is fine"))
TEXTS = st.lists(st.sampled_from([*WORDS, "[MASK]", "{mask}", "<mask>", "{text}"]), min_size=1, max_size=12).map(
    " ".join
)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bert(tmp_path_factory.mktemp("mask") / "bert"))


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A RoBERTa with GPT-2's kind of tokenizer, whose mask swallows the space before it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    merges = [("Ġ", "f"), ("e", "e"), ("Ġf", "ee")]
    entries = [*special, *letters, *(first + second for first, second in merges), "<mask>"]
    tokenizer = Tokenizer(models.BPE({entry: number for number, entry in enumerate(entries)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.add_special_tokens([*special, AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    folder = tmp_path_factory.mktemp("mask") / "roberta"
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    mask = AddedToken("<mask>", lstrip=True, special=True, normalized=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token=mask, **names).save_pretrained(folder)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    model = RobertaModel(RobertaConfig(vocab_size=len(entries), max_position_embeddings=130, pad_token_id=1, **sizes))
    fill(model)
    model.save_pretrained(folder)
    return str(folder)


def _encoder(model: str, dtype: str = "fp32", **values: Any) -> Encoder:
    values = {"pooling": "mask", "layers": "-1"} | values
    return create(EncoderRequest("sentence", values, model=model, dtype=dtype))


def _embed(encoder: Encoder, *turns: Turn) -> np.ndarray:
    return np.stack(encoder.encode([encoder.prepare(item) for item in turns]))


def _plain(folder: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def _at_mask(plain: tuple[Any, Any], prompt: str) -> tuple[list[int], np.ndarray]:
    """Plain Hugging Face: the ids of a prompt, and the last hidden state [w] at its only mask."""
    tokenizer, model = plain
    tokens = tokenizer(prompt, return_tensors="pt")
    (place,) = (tokens.input_ids[0] == tokenizer.mask_token_id).nonzero()[:, 0].tolist()
    with torch.no_grad():
        return tokens.input_ids[0].tolist(), model(**tokens).last_hidden_state[0, place].numpy()


def _turns() -> list[Turn]:
    item = dialogue(*LINES)
    return [Turn(item, index) for index in range(3)]


# Parity


@pytest.mark.parametrize("model", ["bert", "roberta"])
@pytest.mark.parametrize("scope", ["utterance", "context"])
def test_a_batch_gives_plain_hugging_faces_state_at_the_mask(
    request: pytest.FixtureRequest, model: str, scope: str
) -> None:
    folder = request.getfixturevalue(model)
    plain = _plain(folder)
    encoder = _encoder(folder, scope=scope)
    mask = plain[0].mask_token
    reference = []
    for item in _turns():
        past = "".join(f"{each.speaker}: {each.text}\n" for each in item.past) if scope == "context" else ""
        spoken = item.utterance
        prompt = f"{past}For utterance: {spoken.text} {spoken.speaker} feels {mask}"
        ids, state = _at_mask(plain, prompt)
        assert encoder.prepare(item).value.ids.tolist() == ids
        reference.append(state)
    ours = _embed(encoder, *_turns())
    assert relative_error(ours, np.stack(reference)) < FP32_TOLERANCE


def test_bf16_keeps_what_tells_utterances_apart(bert: str) -> None:
    encoder = _encoder(bert, dtype="bf16", scope="context")
    reference = _embed(_encoder(bert, scope="context"), *_turns())
    assert error_energy(_embed(encoder, *_turns()), reference) < BF16_ERROR_ENERGY
    inputs = [encoder.prepare(item) for item in _turns()]  # the mutant: the token before the mask
    for made in inputs:
        window: Window = made.value
        object.__setattr__(made, "value", Window(window.ids, window.start - 1, window.stop - 1))
    assert error_energy(np.stack(encoder.encode(inputs)), reference) > BF16_ERROR_ENERGY


def test_a_context_moves_the_state_and_the_future_does_not(bert: str) -> None:
    encoder = _encoder(bert, scope="context")
    item = Turn(dialogue(*LINES), 1)
    other = Turn(dialogue(("Ross", "hello"), *LINES[1:]), 1)
    later = Turn(dialogue(*LINES[:2], ("Ross", "hello")), 1)
    assert relative_error(_embed(encoder, item), _embed(encoder, later)) < FP32_TOLERANCE
    assert relative_error(_embed(encoder, item), _embed(encoder, other)) > 1000 * FP32_TOLERANCE


def test_an_embedding_does_not_depend_on_its_batch_mates(bert: str) -> None:
    encoder = _encoder(bert)
    turns = [turn(text) for text in ("no", "oh my god you are so sad and i am happy", "why not")]
    alone = np.concatenate([_embed(encoder, item) for item in turns])
    assert relative_error(_embed(encoder, *turns), alone) < FP32_TOLERANCE


# Windows


def _read(encoder: Encoder, item: Turn) -> str:
    """The window with its span in angle brackets."""
    window: Window = encoder.prepare(item).value
    assert window.stop == window.start + 1
    tokenizer = encoder._text.tokenizer  # type: ignore[attr-defined]
    tokens = [tokenizer.id_to_token(token) for token in window.ids.tolist()]
    tokens[window.start] = f"<{tokens[window.start]}>"
    return " ".join(tokens)


TEMPLATE = "why {text} : {speaker} is {mask} , no"


def test_a_text_too_long_loses_its_end_and_the_template_nothing(bert: str) -> None:
    item = turn("oh my god you are so sad", "Joey")
    whole = _encoder(bert, template=TEMPLATE)
    assert _read(whole, item) == "[CLS] why oh my god you are so sad : joey is <[MASK]> , no [SEP]"
    assert whole.prepare(item).counts == ({"num_tokens": 16, "cut": 0},)
    short = _encoder(bert, template=TEMPLATE, max_tokens=13)
    assert _read(short, item) == "[CLS] why oh my god you : joey is <[MASK]> , no [SEP]"
    assert short.prepare(item).counts == ({"num_tokens": 13, "cut": 1},)
    least = _encoder(bert, template=TEMPLATE, max_tokens=9)
    assert _read(least, item) == "[CLS] why oh : is <[MASK]> , no [SEP]", "a name goes before the text's last token"
    with pytest.raises(UsageError, match=r"max_tokens=8 leaves no room for text within template='why .*': at least 9"):
        _encoder(bert, template=TEMPLATE, max_tokens=8)


def test_past_turns_go_from_the_left_before_anything_of_the_template(bert: str) -> None:
    item = Turn(dialogue(("Ross", "no"), ("Monica", "why not"), ("Joey", "fine")), 2)
    target = "why fine : joey is <[MASK]> , no [SEP]"
    window = _encoder(bert, template=TEMPLATE, scope="context")
    assert _read(window, item) == f"[CLS] ross : no monica : why not {target}"
    for room, past in ((17, "ross : no monica : why not "), (16, "monica : why not "), (14, "monica : why not ")):
        assert (
            _read(_encoder(bert, template=TEMPLATE, scope="context", max_tokens=room), item) == f"[CLS] {past}{target}"
        )
    assert _read(_encoder(bert, template=TEMPLATE, scope="context", max_tokens=13), item) == f"[CLS] {target}"


@pytest.mark.parametrize("trick", ["[MASK]", "{mask}", "[MASK] feels [MASK]", "{text} {speaker}", "[SEP] [CLS]", "{0}"])
def test_what_looks_like_a_mask_is_text(bert: str, trick: str) -> None:
    encoder = _encoder(bert, template=TEMPLATE, scope="context")
    item = Turn(dialogue((trick, trick), (trick, f"oh {trick} my")), 1)
    ids = encoder.prepare(item).value.ids.tolist()
    tokenizer = encoder._text.tokenizer  # type: ignore[attr-defined]
    special = [tokenizer.token_to_id(name) for name in ("[MASK]", "[SEP]", "[CLS]")]
    assert [ids.count(token) for token in special] == [1, 1, 1]
    assert _read(encoder, item).endswith("is <[MASK]> , no [SEP]")
    again = pickle.loads(pickle.dumps(encoder.prepare))
    assert again(item).digests == encoder.prepare(item).digests, "workers read it so, too"


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, speaker=st.sampled_from(["Ross", "", "[MASK]", "Joey Joey Joey"]), max_tokens=st.integers(9, 40))
def test_every_window_holds_the_template_and_one_mask(bert: str, text: str, speaker: str, max_tokens: int) -> None:
    prepare = _PREPARERS.get(max_tokens) or _PREPARERS.setdefault(max_tokens, _preparer(bert, max_tokens))
    made = prepare(turn(text, speaker))
    window: Window = made.value
    tokens = [_TOKENIZER[bert].id_to_token(token) for token in window.ids.tolist()]
    assert len(tokens) == made.length <= max_tokens
    assert tokens[:2] == ["[CLS]", "why"]
    assert tokens[window.start - 1 :] == ["is", "[MASK]", ",", "no", "[SEP]"]
    assert tokens.count("[MASK]") == 1
    assert made.counts[0]["cut"] == 0 or len(tokens) == max_tokens


_PREPARERS: dict[int, TemplatePreparer] = {}
_TOKENIZER: dict[str, Any] = {}


def _preparer(folder: str, max_tokens: int) -> TemplatePreparer:
    from tokenizers import AddedToken, Tokenizer

    tokenizer = _TOKENIZER.setdefault(folder, Tokenizer.from_file(str(Path(folder) / "tokenizer.json")))
    return TemplatePreparer(tokenizer, AddedToken("[MASK]"), max_tokens, TEMPLATE)


def test_a_turn_of_nobody_leaves_no_gap(roberta: str) -> None:
    encoder = _encoder(roberta)
    tokenizer = encoder._text.tokenizer  # type: ignore[attr-defined]
    ids = encoder.prepare(turn("no", "  ")).value.ids.tolist()
    assert tokenizer.decode(ids, skip_special_tokens=False) == "<s>For utterance: no feels<mask></s>"


@pytest.mark.parametrize("text", ["", " \n\t", "\x00\x01", "\u00ad"])
def test_a_text_without_a_token_is_missing(bert: str, text: str) -> None:
    with pytest.raises(UnavailableError, match="no-text") as raised:
        _encoder(bert, scope="context").prepare(Turn(dialogue(("Ross", "hello"), ("Monica", text)), 1))
    assert raised.value.reason is Reason.NO_TEXT


# Templates


def test_pieces_carry_the_space_before_them() -> None:
    template = " For utterance:  {text} {speaker} feels {mask} . "
    words = [("", "For utterance:"), ("{text}", " "), ("{speaker}", " "), ("", " feels")]
    assert split_template(template, False, False) == [*words, ("", " "), ("{mask}", ""), ("", " .")]
    assert split_template(template, True, False) == [*words, ("{mask}", ""), ("", " .")]
    assert split_template(template, True, True) == [*words, ("{mask}", ""), ("", ".")]
    assert split_template("{mask}{text}", False, False) == [("{mask}", ""), ("{text}", "")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"template": "{text} is"}, r"template='\{text\} is' lacks \{mask\}: write it once"),
        ({"template": "feels {mask}"}, r"lacks \{text\}: write it once"),
        ({"template": "{text} {mask} {mask}"}, r"holds more than one \{mask\}"),
        ({"template": "{text} {text} {mask}"}, r"holds more than one \{text\}"),
        ({"template": "{text} {name} {mask}"}, r"has no place \{name\}: .*known: \{mask\}, \{speaker\}, \{text\}"),
        ({"over": "all", "scope": "context"}, "pooling=mask takes one state: leave over out"),
        ({"pooling": "mean", "template": "{text} {mask}"}, "template is how pooling=mask asks: add --set pooling=mask"),
        ({"pooling": "maks"}, "no pooling 'maks': did you mean 'mask'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(bert: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _encoder(bert, **values)


def test_a_model_without_a_mask_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_gpt2(tmp_path / "gpt2")
    with pytest.raises(UsageError, match=r"the tokenizer of '.*gpt2' has no mask token: give --model one that has"):
        _encoder(str(folder))


def test_the_spec_says_what_was_asked(bert: str) -> None:
    spec = _encoder(bert, layers="-2,-1").spec
    assert (spec.kind, spec.shape, spec.depends) == ("vector", (2 * WIDTH,), "dialogue")
    assert spec.settings["template"] == "For utterance: {text} {speaker} feels {mask}"
    assert _encoder(bert, template="{text} {mask}").spec.depends == "text", "nobody is named"
    assert _encoder(bert, template="{text} {mask}", scope="context").spec.depends == "dialogue"
    assert "template" not in create(EncoderRequest("sentence", model=bert)).spec.settings


def test_golden_window(bert: str) -> None:
    """Fails when the ids change: raise sentence's VERSION with it, since stored features then differ."""
    made = _encoder(bert, scope="context").prepare(Turn(dialogue(*LINES), 1))
    assert made.digests == ("2f52bbab244830dff391398ecff9e5e81e3c35384060ddea1e322bdeb2da1515",)
