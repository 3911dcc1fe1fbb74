"""`gpt2` against plain Hugging Face, one prompt at a time; its windows, and what a turn must and must not see."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import BF16_ERROR_ENERGY, FP32_TOLERANCE, error_energy, nearest_is_itself, relative_error
from tiny_bert import dialogue, write_tiny_bert
from tiny_gpt2 import LAYERS, POSITIONS, WIDTH, fill, meld_dialogues, report_prompt, write_tiny_gpt2, write_tokenizer

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest
from features.encoders.text import gpt2 as gpt2_encoder
from features.encoders.text.gpt2 import VERSION
from features.errors import Reason, UsageError, WeightsError
from features.utterances import Dialogue

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = dialogue(("Ross", "Hi!"), ("Joey", "oh my god, it's you…"), ("Ross", "why?\nwhy not"), name="short")
LONG = dialogue(
    *((("Monica", "hello" + " no" * turn), ("Ross ", " so sad  and so happy"))[turn % 2] for turn in range(9))
)
ONE = dialogue(("", "alone: no name"), name="one")
DIALOGUES = (LONG, SHORT, ONE)


@pytest.fixture(autouse=True, scope="module")
def padded() -> Iterator[None]:
    """Batches with padding, as a GPU runs them: a CPU runs windows of like length together alone."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(gpt2_encoder._TOGETHER, "cpu", gpt2_encoder._TOGETHER["cuda"])
        yield


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_gpt2(tmp_path_factory.mktemp("gpt2") / "tiny"))


@pytest.fixture(scope="module")
def plain(gpt2: str) -> tuple[Any, Any]:
    """The same folder as Hugging Face's own tokenizer and model."""
    return _plain(gpt2)


@pytest.fixture(scope="module")
def tiny(gpt2: str) -> Encoder:
    return _encoder(gpt2)


def _plain(folder: str | Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()


def _encoder(model: str | Path, dtype: str = "fp32", **values: Any) -> Encoder:
    return create(EncoderRequest("gpt2", values, model=str(model), dtype=dtype))


def _embed(encoder: Encoder, *dialogues: Dialogue) -> np.ndarray:
    """The embeddings of all turns of all dialogues, joined."""
    return np.concatenate(encoder.encode([encoder.prepare(item) for item in dialogues]))


def _states(plain: tuple[Any, Any], prompt: str, window: int = POSITIONS, layer: int = -1) -> np.ndarray:
    """[t, w]: one hidden layer over the last `window` tokens of one prompt alone."""
    tokenizer, model = plain
    ids = tokenizer(prompt, return_tensors="pt").input_ids[:, -window:]
    with torch.no_grad():
        return model(input_ids=ids, output_hidden_states=True).hidden_states[layer][0].numpy()


def _reference(
    plain: tuple[Any, Any], dialogues: tuple[Dialogue, ...], window: int = POSITIONS, layer: int = -1
) -> np.ndarray:
    """The last token's state of every turn's own prompt, one at a time."""
    prompts = [report_prompt(item.utterances[: turn + 1]) for item in dialogues for turn in range(len(item.utterances))]
    return np.stack([_states(plain, prompt, window, layer)[-1] for prompt in prompts])


# Parity


@pytest.mark.parametrize("layer", ["-1", "-2", "0"])
@pytest.mark.parametrize("window", [POSITIONS, 100])
def test_one_pass_a_dialogue_gives_what_plain_hugging_face_gives_prompt_by_prompt(
    gpt2: str, plain: tuple[Any, Any], layer: str, window: int
) -> None:
    encoder = _encoder(gpt2, layer=layer, max_tokens=window)
    reference = _reference(plain, DIALOGUES, window, int(layer))
    assert relative_error(_embed(encoder, *DIALOGUES), reference) < FP32_TOLERANCE


def _lost_context(encoder: Encoder, plain: tuple[Any, Any]) -> np.ndarray:
    return _embed(encoder, *(Dialogue("d", (each,)) for item in DIALOGUES for each in item.utterances))


def _token_before(encoder: Encoder, plain: tuple[Any, Any]) -> np.ndarray:
    inputs = [encoder.prepare(item) for item in DIALOGUES]
    for item in inputs:
        for window in item.value.windows:
            window.places[:] -= 1
    return np.concatenate(encoder.encode(inputs))


def _right_truncated(encoder: Encoder, plain: tuple[Any, Any]) -> np.ndarray:
    model = encoder.spec.model
    return _embed(create(EncoderRequest("gpt2", model=model, as_published=True)), *DIALOGUES)


def _padded_left(mask: bool) -> Callable[[Encoder, tuple[Any, Any]], np.ndarray]:
    """Left padding as batches for generation have it, without position ids; with a mask or without."""

    def embed(encoder: Encoder, plain: tuple[Any, Any]) -> np.ndarray:
        tokenizer, model = plain
        rows = []
        for item in DIALOGUES:
            for turn in range(len(item.utterances)):
                ids = tokenizer(report_prompt(item.utterances[: turn + 1])).input_ids[-POSITIONS + 8 :]
                padded = torch.tensor([[0] * 8 + ids])
                attended = torch.tensor([[0 if mask else 1] * 8 + [1] * len(ids)])
                with torch.no_grad():
                    rows.append(model(input_ids=padded, attention_mask=attended).last_hidden_state[0, -1].numpy())
        return np.stack(rows)

    return embed


MUTANTS: dict[str, Callable[[Encoder, tuple[Any, Any]], np.ndarray]] = {
    "lost context": _lost_context,
    "the token before": _token_before,
    "right truncation": _right_truncated,
    "left padding, masked, without position ids": _padded_left(True),
    "left padding without a mask": _padded_left(False),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_parity_fails_for_mutants(tiny: Encoder, plain: tuple[Any, Any], name: str) -> None:
    reference = _reference(plain, DIALOGUES)
    mutant = MUTANTS[name](tiny, plain)
    assert relative_error(mutant, reference) > 1000 * FP32_TOLERANCE
    assert error_energy(mutant, reference) > BF16_ERROR_ENERGY


def test_bf16_keeps_what_tells_utterances_apart(gpt2: str, plain: tuple[Any, Any]) -> None:
    ours, reference = _embed(_encoder(gpt2, dtype="bf16"), *DIALOGUES), _reference(plain, DIALOGUES)
    assert ours.dtype == np.float32
    assert FP32_TOLERANCE < error_energy(ours, reference) < BF16_ERROR_ENERGY
    assert nearest_is_itself(ours, reference)


@pytest.mark.shared_data
def test_joined_ids_are_gpt2s_own_tokenisation_of_every_meld_prompt(shared_data: Path) -> None:
    from transformers import GPT2TokenizerFast

    from features.encoders.text.prompt_windows import PromptPreparer

    tokenizer = GPT2TokenizerFast.from_pretrained(shared_data / "gpt2_tokenizer")
    dialogues = [*meld_dialogues(shared_data, "train"), *meld_dialogues(shared_data, "dev")]
    assert len(dialogues) == 1038 + 114
    prepare = PromptPreparer(tokenizer.backend_tokenizer, 1024)
    longest = 0
    for number, item in enumerate(dialogues):
        (window,) = prepare(item).value.windows
        longest = max(longest, len(window.ids))
        turns = range(len(item.utterances)) if number % 20 == 0 else [len(item.utterances) - 1]
        for turn in turns:
            prompt = report_prompt(item.utterances[: turn + 1])
            whole = tokenizer(prompt).input_ids
            assert window.ids[: window.places[turn] + 1].tolist() == whole, prompt
    assert longest == 820  # as the report's prompts were measured: so ours are the same


def _real(shared_data: Path, dtype: str = "fp32") -> tuple[Encoder, tuple[Any, Any]]:
    """GPT-2's real architecture and tokenizer with random weights: ours, and Hugging Face's own parts."""
    from transformers import GPT2TokenizerFast

    folder = shared_data / "gpt2_tokenizer"
    encoder = create(EncoderRequest("gpt2", model=str(folder), weights="random", dtype=dtype))
    return encoder, (GPT2TokenizerFast.from_pretrained(folder), encoder._text._network)  # type: ignore[attr-defined]


@pytest.mark.shared_data
@pytest.mark.slow
def test_parity_with_the_real_architecture_on_real_dialogues(shared_data: Path) -> None:
    encoder, plain = _real(shared_data)
    dialogues = meld_dialogues(shared_data, "dev")
    longest = max(dialogues, key=lambda item: len(report_prompt(item.utterances)))
    beyond = Dialogue("beyond", (*longest.utterances, *longest.utterances[:15]))  # longer than GPT-2's window
    chosen = (dialogues[0], dialogues[5], beyond)
    cuts = [[counts["cut"] for counts in encoder.prepare(item).counts] for item in chosen]
    assert sum(map(sum, cuts)) == cuts[-1][-1] == 1
    prompts = [report_prompt(item.utterances[: turn + 1]) for item in chosen for turn in range(len(item.utterances))]
    some = [*range(len(prompts) - len(beyond.utterances)), len(prompts) - 2, len(prompts) - 1]
    reference = np.stack([_states(plain, prompts[turn], 1024)[-1] for turn in some])
    assert relative_error(_embed(encoder, *chosen)[some], reference) < FP32_TOLERANCE


@pytest.mark.shared_data
@pytest.mark.slow
def test_bf16_with_the_real_architecture_on_real_dialogues(shared_data: Path) -> None:
    """Two short dialogues: a CPU without units for bf16 takes 60 times as long as in fp32."""
    dialogues = sorted(meld_dialogues(shared_data, "dev"), key=lambda item: len(report_prompt(item.utterances)))
    chosen = [item for item in dialogues if len(item.utterances) > 1][:2]
    reference = _reference(_real(shared_data)[1], tuple(chosen), 1024)
    ours = _embed(_real(shared_data, "bf16")[0], *chosen)
    assert error_energy(ours, reference) < BF16_ERROR_ENERGY
    assert nearest_is_itself(ours, reference)


# Batches


SENTENCES = st.text("ab #\n\"'é…", min_size=1, max_size=12).filter(str.strip)
LINES = st.lists(st.tuples(st.sampled_from(["Ross", 'Dr. "X"', ""]), SENTENCES), min_size=1, max_size=5)


@settings(max_examples=15, deadline=None)
@given(drawn=st.lists(LINES, min_size=1, max_size=5), batch_size=st.integers(1, 4))
def test_an_embedding_does_not_depend_on_its_batch_mates(
    tiny: Encoder, drawn: list[list[tuple[str, str]]], batch_size: int
) -> None:
    tiny.batch_size = batch_size
    dialogues = [dialogue(*lines) for lines in drawn]
    together = _embed(tiny, *dialogues)
    alone = np.concatenate([_embed(tiny, item) for item in dialogues])
    assert relative_error(together, alone) < FP32_TOLERANCE
    backwards = tiny.encode([tiny.prepare(item) for item in reversed(dialogues)])[::-1]
    assert relative_error(np.concatenate(backwards), alone) < FP32_TOLERANCE


def test_on_a_cpu_windows_of_like_length_run_together_without_a_mask(
    gpt2: str, plain: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gpt2_encoder._TOGETHER, "cpu", (512, 0.05))
    encoder = _encoder(gpt2)
    text = encoder._text  # type: ignore[attr-defined]
    run, batches = text._run, []

    def watched(ids: torch.Tensor, attended: torch.Tensor | None, every: bool) -> Any:
        batches.append((len(ids), attended is None))
        return run(ids, attended, every)

    monkeypatch.setattr(text, "_run", watched)
    twice = (SHORT, ONE, replace(ONE, dialogue_id="two"))
    assert relative_error(_embed(encoder, *twice), _reference(plain, twice)) < FP32_TOLERANCE
    assert batches == [(2, True), (1, True)]


def test_where_memory_runs_out_windows_are_split_and_none_is_lost(
    tiny: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _embed(tiny, *DIALOGUES)
    states = tiny._states  # type: ignore[attr-defined]

    def narrow(windows: Any) -> Any:
        if len(windows) > 1:
            raise torch.OutOfMemoryError("no room")
        return states(windows)

    monkeypatch.setattr(tiny, "batch_size", 8)
    monkeypatch.setattr(tiny, "_states", narrow)
    assert relative_error(_embed(tiny, *DIALOGUES), whole) < FP32_TOLERANCE


def test_an_empty_batch_gives_nothing(tiny: Encoder) -> None:
    assert tiny.encode([]) == []


# What a turn sees


def test_an_edit_changes_its_turn_and_the_later_ones_only(tiny: Encoder) -> None:
    before = tiny.prepare(SHORT)
    for changed in (replace(SHORT.utterances[1], text="no"), replace(SHORT.utterances[1], speaker="Chandler")):
        edited = Dialogue("short", (SHORT.utterances[0], changed, SHORT.utterances[2]))
        after = tiny.prepare(edited)
        same = [first == second for first, second in zip(before.digests, after.digests, strict=True)]
        assert same == [True, False, False]
        first, second = _embed(tiny, SHORT), _embed(tiny, edited)
        assert relative_error(first[:1], second[:1]) < FP32_TOLERANCE
        for turn in (1, 2):
            assert relative_error(first[turn : turn + 1], second[turn : turn + 1]) > 1000 * FP32_TOLERANCE


def test_a_blank_turn_has_no_embedding_but_stands_in_later_prompts(tiny: Encoder, plain: tuple[Any, Any]) -> None:
    item = dialogue(("Ross", "Hi"), ("Joey", " \n"), ("Ross", "well?"))
    made = tiny.prepare(item)
    reasons = [error and error.reason for error in made.unavailable]
    assert reasons == [None, Reason.NO_TEXT, None]
    (embedded,) = tiny.encode([made])
    assert np.isnan(embedded[1]).all()
    reference = _reference(plain, (item,))
    assert relative_error(embedded[[0, 2]], reference[[0, 2]]) < FP32_TOLERANCE


def test_a_dialogue_of_blank_turns_alone_needs_no_pass(tiny: Encoder) -> None:
    made = tiny.prepare(dialogue(("Ross", ""), ("Joey", " ")))
    assert made.length == 0
    (embedded,) = tiny.encode([made])
    assert embedded.shape == (2, WIDTH)
    assert np.isnan(embedded).all()


# Windows


def _window_of(made: Any, turn: int) -> list[int]:
    """The ids that a turn's embedding sees."""
    (found,) = [window for window in made.value.windows if turn in window.turns]
    return found.ids[: found.places[found.turns.tolist().index(turn)] + 1].tolist()


@pytest.mark.parametrize("difference", [-1, 0, 1])
def test_the_window_rule_at_its_edge(gpt2: str, plain: tuple[Any, Any], difference: int) -> None:
    ids = plain[0](report_prompt(SHORT.utterances)).input_ids
    encoder = _encoder(gpt2, max_tokens=len(ids) + difference)
    made = encoder.prepare(SHORT)
    assert _window_of(made, 2) == (ids if difference >= 0 else ids[1:])
    assert made.counts[2] == {"num_tokens": len(ids) + min(difference, 0), "cut": int(difference < 0)}
    assert [count["cut"] for count in made.counts[:2]] == [0, 0]
    assert len(made.value.windows) == (1 if difference >= 0 else 2)


def test_a_turn_longer_than_the_window_is_seen_by_its_end(gpt2: str, plain: tuple[Any, Any]) -> None:
    item = dialogue(("Ross", "Hi"), ("Joey", "so " * 80 + "sad"), ("Ross", "why"))
    encoder = _encoder(gpt2, max_tokens=60)
    made = encoder.prepare(item)
    prompts = [report_prompt(item.utterances[: turn + 1]) for turn in range(3)]
    for turn, prompt in enumerate(prompts):
        assert _window_of(made, turn) == plain[0](prompt).input_ids[-60:]
    assert plain[0].decode(_window_of(made, 1)).endswith("so so sad\n###")
    assert [count["cut"] for count in made.counts] == [0, 1, 1]
    assert relative_error(_embed(encoder, item), _reference(plain, (item,), 60)) < FP32_TOLERANCE


@settings(max_examples=40, deadline=None)
@given(lines=LINES, window=st.integers(1, 120))
def test_every_turn_sees_the_end_of_its_prompt(
    tiny: Encoder, plain: tuple[Any, Any], lines: list[tuple[str, str]], window: int
) -> None:
    from features.encoders.text.prompt_windows import PromptPreparer

    item = dialogue(*lines)
    made = PromptPreparer(tiny.prepare.tokenizer, window)(item)  # type: ignore[attr-defined]
    for turn in range(len(lines)):
        ids = plain[0](report_prompt(item.utterances[: turn + 1])).input_ids
        assert _window_of(made, turn) == ids[-window:]
        assert made.counts[turn] == {"num_tokens": min(len(ids), window), "cut": int(len(ids) > window)}


# As published


def test_as_published_keeps_the_first_tokens_and_loses_the_turn(tmp_path: Path) -> None:
    window = 120
    folder = write_tiny_gpt2(tmp_path / "short", window)
    encoder = create(EncoderRequest("gpt2", model=str(folder), as_published=True))
    assert encoder.spec.settings["as_published"] is True
    assert encoder.spec.settings["max_tokens"] == window
    made = encoder.prepare(LONG)
    ids = _plain(folder)[0](report_prompt(LONG.utterances)).input_ids
    assert [_window_of(made, turn) for turn in (7, 8)] == [ids[:window]] * 2
    assert made.counts[8] == {"num_tokens": window, "cut": 1}
    assert made.digests[7] == made.digests[8]
    plain_states = _states(_plain(folder), report_prompt(LONG.utterances[:3]))
    embedded = _embed(encoder, LONG)
    assert relative_error(embedded[2:3], plain_states[None, -1]) < FP32_TOLERANCE
    assert np.array_equal(embedded[7], embedded[8]), "two turns that said other things"
    meant = _embed(_encoder(folder), LONG)
    assert relative_error(embedded[:2], meant[:2]) < FP32_TOLERANCE
    assert relative_error(embedded[8:], meant[8:]) > 1000 * FP32_TOLERANCE
    assert _encoder(folder).spec.fingerprint != encoder.spec.fingerprint


def test_as_published_takes_no_window(gpt2: str) -> None:
    with pytest.raises(UsageError, match="has no setting 'max_tokens' with --as-published"):
        create(EncoderRequest("gpt2", {"max_tokens": 100}, model=gpt2, as_published=True))


# Models


def _with_bos(folder: Path, model: Any) -> Path:
    """A model whose tokenizer puts <|endoftext|> before every text."""
    from tokenizers.processors import TemplateProcessing
    from transformers import GPT2TokenizerFast

    tokenizer = GPT2TokenizerFast.from_pretrained(write_tokenizer(folder))
    bos = "<|endoftext|>"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.convert_tokens_to_ids(bos))]
    )
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, bos_token=bos).save_pretrained(folder)
    fill(model)
    model.save_pretrained(folder)
    return folder


def _tiny_opt(projected: int = WIDTH) -> Any:
    from transformers import OPTConfig, OPTModel

    return OPTModel(
        OPTConfig(
            vocab_size=300,
            hidden_size=WIDTH,
            word_embed_proj_dim=projected,
            num_hidden_layers=2,
            num_attention_heads=4,
            ffn_dim=48,
            max_position_embeddings=90,
        )
    )


def _tiny_llama() -> Any:
    from transformers import LlamaConfig, LlamaModel

    return LlamaModel(
        LlamaConfig(
            vocab_size=300,
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=48,
            max_position_embeddings=90,
        )
    )


@pytest.mark.parametrize("build", [_tiny_opt, _tiny_llama])
def test_other_causal_models_with_a_first_token(tmp_path: Path, build: Callable[[], Any]) -> None:
    folder = _with_bos(tmp_path / "model", build())
    encoder = _encoder(folder)
    assert encoder.spec.settings["max_tokens"] == 90, "the default of 1024 is lowered to the model's own limit"
    tokenizer, model = _plain(folder)
    rows = []
    made = encoder.prepare(LONG)
    for turn in range(len(LONG.utterances)):
        bos, *ids = tokenizer(report_prompt(LONG.utterances[: turn + 1])).input_ids
        window = [bos, *ids[-89:]]
        assert _window_of(made, turn) == window
        with torch.no_grad():
            rows.append(model(input_ids=torch.tensor([window])).last_hidden_state[0, -1].numpy())
    assert relative_error(_embed(encoder, LONG), np.stack(rows)) < FP32_TOLERANCE


def test_a_model_that_projects_its_output_has_layers_of_two_widths(tmp_path: Path) -> None:
    folder = _with_bos(tmp_path / "model", _tiny_opt(projected=16))
    tokenizer, model = _plain(folder)
    ids = tokenizer(report_prompt(ONE.utterances), return_tensors="pt").input_ids
    with torch.no_grad():
        states = model(input_ids=ids, output_hidden_states=True).hidden_states
    for layer, width in ((-1, 16), (-2, WIDTH)):
        encoder = _encoder(folder, layer=str(layer))
        assert encoder.spec.shape == (width,)
        assert relative_error(_embed(encoder, ONE), states[layer][0, -1:].numpy()) < FP32_TOLERANCE
    with pytest.raises(UsageError, match=r"hidden layers \[-2, -1\] of model .* differ in width: choose one of them"):
        create(EncoderRequest("sentence", {"layers": "-2,-1"}, model=str(folder)))


def test_a_model_that_sees_later_tokens_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    with pytest.raises(
        UsageError, match=r"is not causal, its states depend on later tokens: gpt2 needs a model such as"
    ):
        _encoder(folder)
    with pytest.raises(UsageError, match="is not causal"):
        create(EncoderRequest("gpt2", model=str(folder), weights="random", dtype="bf16"))


def test_random_weights_need_no_more_than_the_two_files_of_a_tokenizer(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path / "bare")
    encoder = create(EncoderRequest("gpt2", model=str(folder), weights="random"))
    spec = encoder.spec
    assert (spec.shape, spec.settings["max_tokens"]) == ((768,), 1024)
    assert encoder._text.num_states == 13  # type: ignore[attr-defined]
    assert (spec.weights, spec.settings["random_seed"]) == ("random", 0)


@pytest.mark.parametrize("absent", ["merges.txt", "vocab.json"])
def test_half_a_tokenizer_is_refused(tmp_path: Path, absent: str) -> None:
    folder = write_tokenizer(tmp_path / "half")
    (folder / absent).unlink()
    with pytest.raises(
        WeightsError, match=r"no tokenizer in .*half: add its tokenizer\.json, or vocab\.json and merges"
    ):
        create(EncoderRequest("gpt2", model=str(folder), weights="random"))


def test_real_weights_need_a_config(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no config\.json in .*bare"):
        _encoder(write_tokenizer(tmp_path / "bare"))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, gpt2: str) -> None:
    from transformers import GPT2Config, GPT2Model

    folder = tmp_path / "mixed"
    write_tiny_gpt2(folder)
    GPT2Model(GPT2Config(vocab_size=100, n_embd=8, n_layer=1, n_head=2)).save_pretrained(folder)
    with pytest.raises(WeightsError, match="its tokenizer has ids up to 265, its network 100 embeddings"):
        _encoder(folder)


def test_an_encoder_is_quiet(tmp_path: Path, gpt2: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = write_tokenizer(tmp_path / "bare")
    capfd.readouterr()
    create(EncoderRequest("gpt2", model=str(folder), weights="random"))
    _embed(_encoder(gpt2), *DIALOGUES)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


# Settings, spec and preparation


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_tokens": POSITIONS + 1}, "gpt2: max_tokens=257 is more than the 256 tokens that the model takes"),
        ({"layer": "-1,-2"}, "layer='-1,-2' is not one hidden layer: give one, such as -1"),
        ({"layer": "all"}, "layer='all' is not one hidden layer"),
        ({"layer": "9"}, r"the model has -4 \(its embeddings\) to -1 \(its last layer\), no 9"),
        ({"layers": "-1"}, "has no setting 'layers': did you mean 'layer'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(gpt2: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _encoder(gpt2, **values)


def test_the_spec_says_what_was_done(gpt2: str) -> None:
    spec = _encoder(gpt2, layer=str(LAYERS)).spec
    assert (spec.modality, spec.encoder, spec.kind, spec.shape) == ("text", "gpt2", "vector", (WIDTH,))
    assert (spec.depends, spec.weights, spec.compute_dtype) == ("dialogue", "pretrained", "fp32")
    assert set(spec.settings) == {"layer", "max_tokens", "tokenizer", "architecture"}
    assert spec.fingerprint == _encoder(gpt2).spec.fingerprint, "layer 3 of 3 is layer -1"
    assert spec.fingerprint != _encoder(gpt2, layer="-2").spec.fingerprint


def test_prepare_pickles_and_loads_no_torch(tiny: Encoder, tmp_path: Path) -> None:
    packed = tmp_path / "prepare.pickle"
    packed.write_bytes(pickle.dumps((tiny.prepare, SHORT)))
    code = (
        "import pickle, sys; prepare, item = pickle.load(open(sys.argv[1], 'rb')); print(*prepare(item).digests);"
        " print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(packed)], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:2] == [" ".join(tiny.prepare(SHORT).digests), "[]"]


def test_golden_embedding(tiny: Encoder) -> None:
    """Fails when the numbers change: raise VERSION with it, since stored features then differ."""
    assert VERSION == 1
    assert tiny.spec.weights_digest == "05540bc04436eb895b7bf4524a5092fe124e3e46935b1cd8f43eadecab033572"
    assert tiny.prepare(SHORT).digests[2] == "4e496ab35b7edd3c193b31e5ccce7d94ca13711f4bbf77d4943f9fdf6991457b"
    np.testing.assert_allclose(_embed(tiny, SHORT)[2][:4], [0.257715, 1.340468, 2.275160, 0.337662], atol=1e-4)
