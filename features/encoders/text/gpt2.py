"""`gpt2`: the dialogue so far as a prompt; a turn's embedding is the hidden state of its last token.

The prompt is the HLM12ERC report's (see `prompts`): every turn up to and including this one, with its speaker. A causal
model's state at a token does not depend on later tokens, so one forward pass over a dialogue gives every turn's
embedding; the report ran one pass an utterance. Turns whose prompt is longer than the window have passes of their own
over its last ids (see `prompt_windows`); the report cut such prompts on the right, and lost what the turn says.

Any causal model of Hugging Face does. Padding is on the right: causal attention does not reach it, and positions count
from 0 without being told.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.encoders.devices import for_device
from features.encoders.layers import parse_single_layer
from features.encoders.loading import load_model, quiet_transformers, random_model
from features.encoders.memory_batches import MemoryBatches, like_lengths
from features.encoders.protocol import EncoderRequest, Input
from features.encoders.specs import network_spec
from features.encoders.text.prompt_windows import PromptPreparer, Prompts, PromptWindow
from features.encoders.text.text_network import TextNetwork, load_tokenizer, model_name
from features.encoders.weights import find_model, first_line, has_config
from features.errors import UsageError, WeightsError

if TYPE_CHECKING:
    import torch

VERSION = 1

PUBLISHED_WINDOW = 1024
"""The report's window: all that GPT-2 has."""

_BATCH_SIZE = {"cpu": 4, "cuda": 32}
_TOGETHER = {"cpu": (512, 0.05), "cuda": (1 << 20, 1.0)}
"""Tokens of the windows in one pass, and the share of padding among them (see `like_lengths`)."""

_CAUSAL_TOLERANCE = 1e-3
_PROBE = 'The speaker "Ross" said:\n###\nHi.\n###'


class Gpt2Encoder:
    """See the module. b: windows of a batch, t: tokens, w: width, k: turns of a window."""

    reads = "dialogue"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit or a model that is not causal, WeightsError where the model is
        not to be had."""
        tokenizer, network, digest = _load(request)
        self._text = TextNetwork(network, tokenizer, request)
        window = self._text.window(settings.get("max_tokens", PUBLISHED_WINDOW), request)
        self.prepare = PromptPreparer(self._text.tokenizer, window, request.as_published)
        self._layer = parse_single_layer(settings["layer"], self._text.num_states)
        _check_causal(self._text)
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        self._batches = MemoryBatches(self.batch_size)
        self._together = for_device(_TOGETHER, request.device)
        resolved: dict[str, Any] = {
            "layer": str(self._layer),
            "max_tokens": window,
            **self._text.settings,
        }
        if request.as_published:
            resolved["as_published"] = True
        self.spec = network_spec(
            request,
            modality="text",
            encoder="gpt2",
            version=VERSION,
            depends="dialogue",
            kind="vector",
            shape=(self._text.width([self._layer]),),
            settings=resolved,
            weights_digest=digest,
            model=self._text.model,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 [turns, w] per dialogue. The row of a turn without an embedding is NaN."""
        prompts: list[Prompts] = [item.value for item in inputs]
        embeddings = [np.full((prompt.num_turns, *self.spec.shape), np.nan, dtype=np.float32) for prompt in prompts]
        windows = [(owner, window) for owner, prompt in enumerate(prompts) for window in prompt.windows]
        windows.sort(key=lambda pair: len(pair[1].ids))
        for group in like_lengths(windows, lambda pair: len(pair[1].ids), *self._together):
            states = self._batches.run([window for _, window in group], self._states)
            for (owner, window), state in zip(group, states, strict=True):
                embeddings[owner][window.turns] = state
        return embeddings

    def _states(self, windows: Sequence[PromptWindow]) -> list[np.ndarray]:
        """float32 [k, w] per window: the states at its turns' last tokens."""
        (states,) = self._text.hidden_states([window.ids for window in windows], [self._layer])
        counts = [len(window.turns) for window in windows]
        rows = np.repeat(np.arange(len(windows)), counts)
        places = np.concatenate([window.places for window in windows])
        taken = states[rows, places].float().cpu().numpy()
        return np.split(taken, np.cumsum(counts)[:-1])


def _load(request: EncoderRequest) -> tuple[Any, torch.nn.Module, str]:
    """Tokenizer, network, and the digest of its weights. With random weights, a folder without a config.json is GPT-2's
    own architecture in full size, with the tokenizer that lies there."""
    model = model_name(request)
    folder = find_model(model, request.weights, config_needed=False)
    if has_config(folder):
        return load_tokenizer(folder, model), *load_model(folder, request.weights, model, request.dtype)
    from transformers import GPT2Config

    tokenizer = gpt2_tokenizer(folder, model)
    return tokenizer, *random_model(GPT2Config(), request.dtype)


def gpt2_tokenizer(folder: Path, model: str) -> Any:
    """GPT-2's tokenizer from its files alone. Raises WeightsError where they are not there or another one's."""
    from transformers import GPT2TokenizerFast

    whole = (folder / "tokenizer.json").is_file()
    if not whole and not all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
        raise WeightsError(
            f"model {model!r}: no tokenizer in {folder}: add its tokenizer.json, or vocab.json and merges.txt"
        )
    try:
        with quiet_transformers():
            return GPT2TokenizerFast.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"the tokenizer of model {model!r} cannot be loaded ({first_line(error)}): it is not GPT-2's"
        ) from error


def _check_causal(text: TextNetwork) -> None:
    """Change the last token of a text: the states before it must stay. Raises UsageError where they do not."""
    ids = np.array(text.tokenizer.encode(_PROBE).ids, dtype=np.int32)
    changed = ids.copy()
    changed[-1] = next(token for token in ids[::-1] if token != ids[-1])
    before, after = (text.hidden_states([window], [-1])[0][0, :-1].float() for window in (ids, changed))
    if not (after - before).norm() <= _CAUSAL_TOLERANCE * before.norm():
        raise UsageError(
            f"model {text.model!r} is not causal, its states depend on later tokens: gpt2 needs a model such as GPT-2,"
            " OPT or Llama; for this one give --encoder sentence"
        )
