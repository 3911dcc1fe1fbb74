"""`gpt2`: the dialogue so far as a prompt; a turn's embedding is the hidden state of its last token.

The prompt is the HLM12ERC report's (see `prompts`): every turn up to and including this one, with its speaker. A causal
model's state at a token does not depend on later tokens, so one forward pass over a dialogue gives every turn's
embedding; the report ran one pass an utterance. Turns whose prompt is longer than the window have passes of their own
over its last ids (see `prompt_windows`); the report cut such prompts on the right, and lost what the turn says.

Any causal model of Hugging Face does. Padding is on the right: causal attention does not reach it, and positions count
from 0 without being told.

With `from_top=k` the states below the last k layers are kept of every token, in float16, with two flags each (see
`features.top.elements`): each utterance has the tokens that are new since the one stored before it, so that a dialogue
is one window that goes on over its turns. A turn whose prompt is longer than the window has the whole of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.encoders.devices import for_device
from features.encoders.layers import parse_single_layer
from features.encoders.loading import load_model, quiet_transformers, random_model
from features.encoders.memory_batches import MemoryBatches, like_lengths
from features.encoders.protocol import EncoderRequest, Input
from features.encoders.specs import network_spec, top_settings
from features.encoders.text.prompt_windows import PromptPreparer, Prompts, PromptWindow
from features.encoders.text.text_network import TextNetwork, load_tokenizer, model_name
from features.encoders.weights import find_model, has_config
from features.errors import UsageError, WeightsError, first_line
from features.top.elements import FLAGS, with_flags

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
    """See the module. b: windows of a batch, t: tokens, w: width, k: turns of a window.

    top: the layers above the states, with `from_top`
    """

    reads = "dialogue"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit or a model that is not causal, WeightsError where the model is
        not to be had."""
        from_top = settings.get("from_top", 0)
        if from_top and "layer" in request.settings:
            raise UsageError(f"from_top={from_top} says which layer is kept: leave layer={settings['layer']} out")
        tokenizer, network, digest = _load(request)
        self._text = TextNetwork(network, tokenizer, request)
        window = self._text.window(settings.get("max_tokens", PUBLISHED_WINDOW), request)
        self.prepare = PromptPreparer(self._text.tokenizer, window, request.as_published, whole=from_top > 0)
        _check_causal(self._text)
        self.top = self._text.cut_top(from_top, request.dtype) if from_top else None
        self._layer = -(from_top + 1) if from_top else parse_single_layer(settings["layer"], self._text.num_states)
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        self._batches = MemoryBatches(self.batch_size)
        self._together = for_device(_TOGETHER, request.device)
        resolved: dict[str, Any] = {
            **(top_settings(self.top, "dialogue") if self.top else {"layer": str(self._layer)}),
            "max_tokens": window,
            **self._text.settings,
        }
        if request.as_published:
            resolved["as_published"] = True
        width = self._text.width([self._layer])
        self.spec = network_spec(
            request,
            modality="text",
            encoder="gpt2",
            version=VERSION,
            depends="dialogue",
            kind="sequence" if self.top else "vector",
            shape=(width + FLAGS if self.top else width,),
            stored_dtype="float16" if self.top else "float32",
            settings=resolved,
            weights_digest=digest,
            model=self._text.model,
        )

    def encode(self, inputs: Sequence[Input]) -> list[Any]:
        """One float32 [turns, w] per dialogue; the row of a turn without an embedding is NaN. With `from_top` a list of
        float32 [t, w + 2], one a turn; that of a turn without an embedding is empty."""
        prompts: list[Prompts] = [item.value for item in inputs]
        embeddings = [self._nothing(prompt.num_turns) for prompt in prompts]
        run: Callable[[Sequence[PromptWindow]], list[Any]] = self._elements if self.top else self._states
        windows = [(owner, window) for owner, prompt in enumerate(prompts) for window in prompt.windows]
        windows.sort(key=lambda pair: len(pair[1].ids))
        for group in like_lengths(windows, lambda pair: len(pair[1].ids), *self._together):
            states: list[Any] = self._batches.run([window for _, window in group], run)
            for (owner, window), state in zip(group, states, strict=True):
                for turn, own in zip(window.turns.tolist(), state, strict=True):
                    embeddings[owner][turn] = own
        return embeddings

    def _nothing(self, num_turns: int) -> Any:
        if self.top:
            return [np.zeros((0, *self.spec.shape), dtype=np.float32) for _ in range(num_turns)]
        return np.full((num_turns, *self.spec.shape), np.nan, dtype=np.float32)

    def _elements(self, windows: Sequence[PromptWindow]) -> list[list[np.ndarray]]:
        """Per window, of each of its turns the elements that are new in it: float32 [t, w + 2].

        Where one does not fit float16, those of its turn and of the later ones are NaN: they would stand in a window
        with a gap.
        """
        (states,) = self._text.hidden_states([window.ids for window in windows], [self._layer])
        vectors = states.float().cpu().numpy()
        return [_turns_of(window, vectors[row, : len(window.ids)]) for row, window in enumerate(windows)]

    def _states(self, windows: Sequence[PromptWindow]) -> list[np.ndarray]:
        """float32 [k, w] per window: the states at its turns' last tokens."""
        (states,) = self._text.hidden_states([window.ids for window in windows], [self._layer])
        counts = [len(window.turns) for window in windows]
        rows = np.repeat(np.arange(len(windows)), counts)
        places = np.concatenate([window.places for window in windows])
        taken = states[rows, places].float().cpu().numpy()
        return np.split(taken, np.cumsum(counts)[:-1])


def _turns_of(window: PromptWindow, states: np.ndarray) -> list[np.ndarray]:
    """[t, w] of a window -> per turn [t of it, w + 2]."""
    pooled, begins = np.zeros((2, len(states)), dtype=bool)
    begins[0] = True
    for _, piece, stop in window.spans:
        pooled[piece:stop] = True
    elements = with_flags(states, pooled, begins)
    unfit = np.flatnonzero(~(np.abs(states) <= np.finfo(np.float16).max).all(axis=1))
    if len(unfit):
        elements[unfit[0] :] = np.nan
    return [elements[start:stop] for start, _, stop in window.spans]


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
