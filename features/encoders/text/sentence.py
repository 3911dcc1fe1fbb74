"""`sentence`: any Hugging Face text encoder, its hidden states pooled over tokens.

An embedding is, for each chosen layer in the order given, the pooled hidden state: mean, maximum, mean then maximum, a
mean whose weights grow, or the state of the window's first (`cls`) or `last` token. Layers are joined to one vector, or
stacked. What is pooled is stored as it is: unnormalised.

`pooling=own` is the embedding that the model's authors publish: a folder of sentence-transformers says which pooling of
the last layer, what dense layers follow it, whether it is normalised, and the window and prompt it was made for (see
`sentence_modules`). It is the default for such a folder, but for the packaged MiniLM, whose layers together were better
for emotions.

`pooling=mask` asks a masked language model about the utterance in the words of `template` and takes the state at the
mask: SPCL's embedding with `scope=context`, `layers=-1` and the default template (see `mask_template`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.encoders.devices import for_device, to_device
from features.encoders.layers import parse_layers
from features.encoders.protocol import EncoderRequest, Input, Preparer
from features.encoders.specs import network_spec
from features.encoders.text.chat_template import chat_around
from features.encoders.text.mask_template import SPEAKER, TemplatePreparer
from features.encoders.text.sentence_modules import MODULES, SentenceModules, has_modules, read_modules
from features.encoders.text.text_network import TextNetwork, load_text_network, model_name
from features.encoders.text.text_pooling import ONE_STATE, TEXT_POOLINGS, pool_tokens
from features.encoders.text.token_windows import Window, WindowPreparer, check_scope
from features.encoders.weights import PACKAGED_PREFIX, find_model
from features.errors import UsageError, nearest

VERSION = 1

_OWN, _MASK = "own", "mask"
_BATCH_SIZE = {"cpu": 32, "cuda": 256}
"""On two cores, MELD's texts take as long with 16, 24 or 32, a fifth longer with 64: more of a batch is padding."""


class SentenceEncoder:
    """See the module. b: batch, t: tokens, w: width of the model."""

    reads = "turn"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit, WeightsError where the model is not to be had."""
        folder = find_model(model_name(request), request.weights)
        settings, self._own = _with_own(request, settings, folder)
        _check_together(request, settings, self._own)
        asks = settings["pooling"] == _MASK
        unused = {"prefix", "chat"} if self._own is None else {"chat"}
        resolved = {key: value for key, value in settings.items() if value or key not in unused}
        if not asks:
            del resolved["template"]
        self._text, digest = load_text_network(request)
        if self._own and "max_tokens" not in request.settings:
            settings["max_tokens"] = min(self._own.max_tokens or self._text.token_limit, self._text.token_limit)
        max_tokens = self._text.window(settings["max_tokens"], request)
        around = chat_around(self._text.whole_tokenizer, self._text.model) if settings["chat"] else None
        if around is not None:
            resolved["chat_around"] = list(around)
        self.prepare = _preparer(self._text, max_tokens, settings, self._own, around)
        self._pooling = self._own.pooling if self._own else settings["pooling"]
        if asks:
            self._pooling = "mean"  # a mask's span is one token, which is its own mean
        self._layers = parse_layers(settings["layers"], self._text.num_states)
        width = self._text.width(self._layers.indices) * len(TEXT_POOLINGS[self._pooling])
        if self._own:
            width = self._own.width(width)
            resolved["own"] = self._own.settings
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        resolved |= {
            "layers": self._layers.setting,
            "max_tokens": max_tokens,
            **self._text.settings,
        }
        reads_more = settings["scope"] == "context" or (asks and SPEAKER in settings["template"])
        self.spec = network_spec(
            request,
            modality="text",
            encoder="sentence",
            version=VERSION,
            depends="dialogue" if reads_more else "text",
            kind=self._layers.kind,
            shape=self._layers.shape(width),
            settings=resolved,
            weights_digest=digest,
            model=self._text.model,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 array of spec.shape per input. The batch is padded to its longest window and masked."""
        import torch

        if not inputs:
            return []
        windows: list[Window] = [item.value for item in inputs]
        states = self._text.hidden_states([window.ids for window in windows], self._layers.indices)
        pooled = np.zeros(states[0].shape[:2], dtype=bool)
        for row, window in enumerate(windows):
            pooled[row, window.start : window.stop] = True
        with torch.inference_mode():
            mask = to_device(pooled, self._text.device)
            vectors = self._layers.combine([pool_tokens(state, mask, self._pooling) for state in states])
            return list((self._own.finish(vectors) if self._own else vectors).cpu().numpy())


def _check_together(request: EncoderRequest, settings: dict[str, Any], own: SentenceModules | None) -> None:
    """Raises UsageError for settings that do not go together. settings: all of them, the defaults too"""
    check_scope(settings["scope"], settings["over"])
    pooling = own.pooling if own else settings["pooling"]
    if pooling in ONE_STATE and settings["scope"] == "context" and settings["over"] != "all":
        raise UsageError(f"pooling={pooling} takes one state of the whole window: add --set over=all")
    if settings["chat"] and (pooling == _MASK or settings["scope"] == "context"):
        raise UsageError("chat=true is for the utterance alone: leave pooling=mask and scope=context out")
    if pooling != _MASK:
        if "template" in request.settings:
            raise UsageError("template is how pooling=mask asks: add --set pooling=mask, or leave it out")
    elif settings["over"] != "target":
        raise UsageError("pooling=mask takes one state: leave over out")
    elif settings["prefix"]:
        raise UsageError("pooling=mask asks by its template: write the prefix into that")


def _with_own(
    request: EncoderRequest, settings: dict[str, Any], folder: Path
) -> tuple[dict[str, Any], SentenceModules | None]:
    """The settings, and where the folder's own modules are used, those and the settings with what they say."""
    pooling, model = settings["pooling"], model_name(request)
    if pooling not in (known := (_OWN, _MASK, *TEXT_POOLINGS)):
        raise UsageError(f"no pooling {pooling!r}: {nearest(pooling, known)}")
    layers = request.settings.get("layers", "-1")
    if "pooling" not in request.settings and layers == "-1" and not model.startswith(PACKAGED_PREFIX):
        pooling = _OWN if has_modules(folder) else pooling
    if pooling != _OWN:
        return settings, None
    if not has_modules(folder):
        raise UsageError(f"pooling=own: model {model!r} has no {MODULES}: give the pooling that its authors tell")
    if layers != "-1":
        raise UsageError(f"pooling=own is of the last layer: leave layers={layers} out")
    own = read_modules(folder, model, request.weights)
    prefix = settings["prefix"] if "prefix" in request.settings else own.prompt
    return settings | {"pooling": _OWN, "layers": "-1", "prefix": prefix}, own


def _preparer(
    text: TextNetwork,
    max_tokens: int,
    settings: dict[str, Any],
    own: SentenceModules | None,
    around: tuple[str, str] | None,
) -> Preparer:
    if settings["pooling"] != _MASK:
        pools_prompt = own is None or own.pools_prompt
        scope, over = settings["scope"], settings["over"]
        return WindowPreparer(text.tokenizer, max_tokens, scope, over, settings["prefix"], pools_prompt, around)
    if text.mask_token is None:
        raise UsageError(
            f"pooling=mask needs a masked language model, and the tokenizer of {text.model!r} has no mask token:"
            " give --model one that has, such as roberta-base"
        )
    return TemplatePreparer(text.tokenizer, text.mask_token, max_tokens, settings["template"], settings["scope"])
