"""Embeddings as their authors say: poolings, prefixes, and the modules of sentence-transformers' folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity import FP32_TOLERANCE, relative_error
from safetensors.torch import save_file
from tiny_bert import WIDTH, dialogue, turn, write_tiny_bert
from tiny_models import tiny_config, write_model

from features.encoders.build import create
from features.encoders.protocol import Encoder, EncoderRequest, Turn
from features.errors import Reason, UnavailableError, UsageError, WeightsError
from pipeline.explore.clip_wanted import request_of

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ("Oh my God!!", "no", "why are you so sad, Ross? It is fine, and I am happy: hello there…", "Joey - what")
PREFIX = "hello there: "


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bert(tmp_path_factory.mktemp("modules") / "bert")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> Path:
    """A causal model whose tokenizer ends every text with a mark, as embedding models of its kind do."""
    folder = write_model(tmp_path_factory.mktemp("modules") / "llama", tiny_config("llama", vocab_size=200))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bert / name, folder)
    return folder


@pytest.fixture
def own(bert: Path, tmp_path: Path) -> Path:
    return write_modules(Path(shutil.copytree(bert, tmp_path / "own")))


def write_modules(
    folder: Path, pooling: dict[str, Any] | None = None, activation: str = "Tanh", prompt: str | None = None
) -> Path:
    """The files that sentence-transformers writes beside a transformer: mean, a dense layer, a norm of 1."""
    kinds = {"0": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Normalize": "Normalize"}
    write(
        folder / "modules.json",
        [
            {
                "idx": number,
                "name": str(number),
                "path": path if number else "",
                "type": f"sentence_transformers.models.{kind}",
            }
            for number, (path, kind) in enumerate(kinds.items())
        ],
    )
    modes = {f"pooling_mode_{name}": name == "mean_tokens" for name in ("cls_token", "mean_tokens", "max_tokens")}
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": WIDTH} | modes | (pooling or {}))
    sizes = {"in_features": WIDTH, "out_features": 12, "bias": True}
    kind = "linear" if activation == "Identity" else "activation"
    write(folder / "2_Dense" / "config.json", sizes | {"activation_function": f"torch.nn.modules.{kind}.{activation}"})
    generator = torch.Generator().manual_seed(2)
    weight, bias = torch.randn(12, WIDTH, generator=generator) / 4, torch.randn(12, generator=generator)
    save_file({"linear.weight": weight, "linear.bias": bias}, folder / "2_Dense" / "model.safetensors")
    write(folder / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})
    prompts = {"prompts": {"query": prompt}, "default_prompt_name": "query"} if prompt else {"prompts": {}}
    write(folder / "config_sentence_transformers.json", prompts)
    return folder


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def encoder_of(model: Path, **values: Any) -> Encoder:
    return create(EncoderRequest("sentence", values, model=str(model)))


def embed(encoder: Encoder, texts: tuple[str, ...] = TEXTS) -> np.ndarray:
    return np.stack(encoder.encode([encoder.prepare(turn(text)) for text in texts]))


def hidden(model: Path, text: str, max_tokens: int = 64) -> tuple[np.ndarray, list[int]]:
    """The last hidden state [t, w] of one text alone, and its ids, by plain calls of Hugging Face."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_tokens)
    kept = {key: encoded[key] for key in ("input_ids", "attention_mask")}
    with torch.no_grad():
        state = AutoModel.from_pretrained(model).eval()(**kept).last_hidden_state[0]
    return state.numpy(), encoded["input_ids"][0].tolist()


def pooled(state: np.ndarray, pooling: str) -> np.ndarray:
    weights = np.arange(1, len(state) + 1)[:, None]
    return {
        "cls": state[0],
        "last": state[-1],
        "mean": state.mean(axis=0),
        "max": state.max(axis=0),
        "weightedmean": (state * weights).sum(axis=0) / weights.sum(),
    }[pooling]


# Poolings and prefixes


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("pooling", ["cls", "last", "weightedmean"])
@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_a_padded_batch_gives_what_plain_hugging_face_gives(
    request: pytest.FixtureRequest, kind: str, pooling: str, prefix: str
) -> None:
    model: Path = request.getfixturevalue(kind)
    ours = embed(encoder_of(model, pooling=pooling, layers="-1", prefix=prefix))
    theirs = np.stack([pooled(hidden(model, prefix + text)[0], pooling) for text in TEXTS])
    assert relative_error(ours, theirs) < FP32_TOLERANCE
    if prefix and (kind, pooling) != ("llama", "cls"):  # a causal model's first state sees nothing else
        without = np.stack([pooled(hidden(model, text)[0], pooling) for text in TEXTS])
        assert relative_error(ours, without) > 100 * FP32_TOLERANCE


def test_a_prefix_is_in_the_fingerprint_and_none_is_not(bert: Path) -> None:
    plain, said = encoder_of(bert), encoder_of(bert, prefix=PREFIX)
    assert "prefix" not in plain.spec.settings
    assert said.spec.settings["prefix"] == PREFIX
    assert said.spec.fingerprint != plain.spec.fingerprint
    assert encoder_of(bert, prefix="").spec.fingerprint == plain.spec.fingerprint


def test_a_stored_spec_builds_the_same_encoder_again(own: Path, bert: Path) -> None:
    write_modules(own, prompt=PREFIX)
    for model, values in [(own, {}), (own, {"prefix": ""}), (own, {"pooling": "cls"}), (bert, {"prefix": PREFIX})]:
        spec = encoder_of(model, **values).spec
        assert create(request_of(spec)).spec.fingerprint == spec.fingerprint, values


def test_the_default_is_what_it_was_for_a_model_without_modules(bert: Path) -> None:
    default = encoder_of(bert).spec
    assert (default.settings["pooling"], default.settings["layers"]) == ("mean+max", "-3,-2,-1")
    assert default.fingerprint == encoder_of(bert, pooling="mean+max", layers="-3,-2,-1").spec.fingerprint


def test_a_prefix_stands_before_the_past_and_never_makes_a_text(bert: Path) -> None:
    encoder = encoder_of(bert, scope="context", over="all", prefix="hello", max_tokens=9)
    item = Turn(dialogue(("Ross", "no no no no no no"), ("Monica", "why not")), 1)
    ids = encoder.prepare(item).value.ids.tolist()
    decoded = encoder.prepare.tokenizer.decode(ids, skip_special_tokens=False)  # type: ignore[attr-defined]
    assert decoded == "[CLS] hello monica : why not [SEP]"
    with pytest.raises(UnavailableError, match="no-text") as raised:
        encoder_of(bert, prefix="hello").prepare(turn("\u00ad"))
    assert raised.value.reason is Reason.NO_TEXT
    message = "max_tokens=4 leaves no room for text beside the special tokens and the prefix: at least 6"
    with pytest.raises(UsageError, match=message):
        encoder_of(bert, prefix="hello there: ", max_tokens=4).prepare(turn("no"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pooling": "cls", "scope": "context"}, "pooling=cls takes one state of the whole window: add --set over=all"),
        ({"pooling": "mask", "prefix": "so"}, "pooling=mask asks by its template: write the prefix into that"),
        ({"pooling": "own"}, r"pooling=own: model '.*' has no modules\.json: give the pooling that its authors tell"),
        ({"pooling": "mix"}, "no pooling 'mix'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(bert: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        encoder_of(bert, **values)


# Chat templates

TEMPLATE = (
    "[CLS]{% for message in messages %} {{ message['role'] }} is {{ message['content'] | trim }} [SEP]{% endfor %}"
    "{% if add_generation_prompt %} monica:{% endif %}"
)


def test_a_chat_template_is_written_around_the_text(llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    model = Path(shutil.copytree(llama, tmp_path / "chat"))
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(model)
    encoder = encoder_of(model, chat="true", pooling="last", layers="-1", prefix=PREFIX)
    network = AutoModel.from_pretrained(model).eval()
    theirs = []
    for text in TEXTS:
        talk = [{"role": "user", "content": PREFIX + text}]
        encoded = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            theirs.append(network(encoded["input_ids"]).last_hidden_state[0, -1].numpy())
    assert relative_error(embed(encoder), np.stack(theirs)) < FP32_TOLERANCE
    assert encoder.spec.settings["chat_around"] == ["[CLS] user is ", " [SEP] monica:"]
    assert "chat" not in encoder_of(model).spec.settings


def test_chat_that_cannot_be_is_refused(bert: Path) -> None:
    with pytest.raises(UsageError, match=r"chat=true: the tokenizer of model '.*' has no chat template: leave chat"):
        encoder_of(bert, chat="true")
    with pytest.raises(UsageError, match="chat=true is for the utterance alone"):
        encoder_of(bert, chat="true", scope="context")


# Folders of sentence-transformers

KINDS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "mean", "Tanh"),
    ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls", "Identity"),
    ({"pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True}, "last", "GELU"),
    ({"pooling_mode": "weightedmean"}, "weightedmean", "Identity"),
    ({"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}, "max", "Identity"),
]


@pytest.mark.parametrize(("pooling", "name", "activation"), KINDS)
def test_a_folder_gives_its_own_embedding_by_default(
    own: Path, pooling: dict[str, Any], name: str, activation: str
) -> None:
    write_modules(own, pooling, activation)
    encoder = encoder_of(own)
    state = np.stack([pooled(hidden(own, text, 20)[0], name) for text in TEXTS]).astype(np.float32)
    from safetensors.torch import load_file

    dense = load_file(own / "2_Dense" / "model.safetensors")
    through = torch.from_numpy(state) @ dense["linear.weight"].T + dense["linear.bias"]
    theirs = torch.nn.functional.normalize(getattr(torch.nn, activation)()(through), dim=1).numpy()
    ours = embed(encoder)
    assert ours.shape == (len(TEXTS), 12)
    assert relative_error(ours, theirs) < FP32_TOLERANCE
    settings = encoder.spec.settings
    assert (settings["pooling"], settings["layers"], settings["max_tokens"]) == ("own", "-1", 20)
    assert (settings["own"]["pooling"], settings["own"]["normalise"]) == (name, True)
    assert settings["own"]["dense"][0]["activation"] == activation


@pytest.mark.parametrize("prompt", [None, PREFIX])
@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize(("pooling", "name", "activation"), KINDS[:3])
def test_sentence_transformers_gives_the_same(
    own: Path, pooling: dict[str, Any], name: str, activation: str, prompt: str | None, include: bool
) -> None:
    package = pytest.importorskip("sentence_transformers")
    write_modules(own, pooling | {"include_prompt": include}, activation, prompt)
    theirs = package.SentenceTransformer(str(own), device="cpu").encode(list(TEXTS))
    encoder = encoder_of(own)
    assert relative_error(embed(encoder), theirs) < FP32_TOLERANCE
    assert encoder.spec.settings["prefix"] == (prompt or "")
    assert encoder.spec.settings["own"]["pools_prompt"] == include
    if prompt:
        assert relative_error(embed(encoder_of(own, prefix="")), theirs) > 100 * FP32_TOLERANCE


def test_what_is_asked_for_goes_before_the_folders_own(own: Path, bert: Path) -> None:
    for values in ({"pooling": "mean", "layers": "-1"}, {"layers": "-2,-1"}, {"pooling": "mean+max"}):
        assert encoder_of(own, **values).spec.fingerprint == encoder_of(bert, **values).spec.fingerprint
    assert encoder_of(own, max_tokens=30).spec.settings["max_tokens"] == 30
    assert encoder_of(own, pooling="own", layers="-1").spec.fingerprint == encoder_of(own).spec.fingerprint
    with pytest.raises(UsageError, match="pooling=own is of the last layer: leave layers=-2 out"):
        encoder_of(own, pooling="own", layers="-2")


def test_other_weights_of_the_dense_layer_are_another_feature(own: Path) -> None:
    before = encoder_of(own).spec.fingerprint
    save_file({"linear.weight": torch.ones(12, WIDTH)}, own / "2_Dense" / "model.safetensors")
    assert encoder_of(own).spec.fingerprint != before


def test_random_weights_draw_the_dense_layer_too(own: Path) -> None:
    (own / "2_Dense" / "model.safetensors").unlink()
    request = EncoderRequest("sentence", {}, model=str(own), weights="random")
    first, second = create(request), create(request)
    assert first.spec.fingerprint == second.spec.fingerprint
    np.testing.assert_array_equal(embed(first), embed(second))
    with pytest.raises(WeightsError, match=r"no model\.safetensors in .*2_Dense, which modules\.json names"):
        encoder_of(own)


def test_modules_that_are_not_known_are_refused_with_the_mend(own: Path) -> None:
    write(own / "1_Pooling" / "config.json", {"pooling_mode": "mean_sqrt_len_tokens"})
    with pytest.raises(UsageError, match=r"pooling is mean_sqrt_len_tokens, not known here: give --set pooling=mean"):
        encoder_of(own)
    encoder_of(own, pooling="mean")
    write_modules(own, activation="Softplus")
    with pytest.raises(UsageError, match=r"its module 2_Dense \(Softplus\) is not known here: give --set pooling"):
        encoder_of(own)
    modules = json.loads((own / "modules.json").read_text())
    write(own / "modules.json", [*modules[:2], modules[2] | {"type": "other.code.Router"}])
    with pytest.raises(UsageError, match="its module Router is not known here"):
        encoder_of(own)
    write(own / "modules.json", [modules[1], modules[0]])
    with pytest.raises(UsageError, match="its modules are Pooling, Transformer: give --set pooling"):
        encoder_of(own)
