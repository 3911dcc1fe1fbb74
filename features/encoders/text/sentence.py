"""`sentence`: any Hugging Face text encoder, its hidden states pooled over tokens.

An embedding is, for each chosen layer in the order given, the pooled hidden state: mean, maximum, or mean then maximum.
Layers are joined to one vector or stacked. `layers=-1, pooling=mean` is sentence-transformers' embedding before its
normalisation, and is stored so: unnormalised.

`pooling=mask` asks a masked language model about the utterance in the words of `template` and takes the state at the
mask: SPCL's embedding with `scope=context`, `layers=-1` and the default template (see `mask_template`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.encoders.devices import for_device, to_device
from features.encoders.layers import parse_layers
from features.encoders.protocol import EncoderRequest, Input, Preparer
from features.encoders.specs import network_spec
from features.encoders.text.mask_template import SPEAKER, TemplatePreparer
from features.encoders.text.text_network import TextNetwork, load_text_network
from features.encoders.text.token_windows import Window, WindowPreparer, check_scope
from features.errors import UsageError, nearest
from features.pooling import POOLINGS, pool

VERSION = 1

_MASK_POOLING = "mask"
_BATCH_SIZE = {"cpu": 32, "cuda": 256}
"""On two cores, MELD's texts take as long with 16, 24 or 32, a fifth longer with 64: more of a batch is padding."""


class SentenceEncoder:
    """See the module. b: batch, t: tokens, w: width of the model."""

    reads = "turn"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit, WeightsError where the model is not to be had."""
        pooling = settings["pooling"]
        if pooling not in (*POOLINGS, _MASK_POOLING):
            raise UsageError(f"no pooling {pooling!r}: {nearest(pooling, (*POOLINGS, _MASK_POOLING))}")
        check_scope(settings["scope"], settings["over"])
        asks = pooling == _MASK_POOLING
        resolved = dict(settings)
        if not asks:
            if "template" in request.settings:
                raise UsageError("template is how pooling=mask asks: add --set pooling=mask, or leave it out")
            del resolved["template"]
        elif settings["over"] != "target":
            raise UsageError("pooling=mask takes one state: leave over out")
        self._text, digest = load_text_network(request)
        max_tokens = self._text.window(settings["max_tokens"], request)
        self.prepare = _preparer(self._text, max_tokens, settings)
        self._pooling = "mean" if asks else pooling  # a mask's span is one token, which is its own mean
        self._layers = parse_layers(settings["layers"], self._text.num_states)
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
            shape=self._layers.shape(self._text.width(self._layers.indices) * len(POOLINGS[self._pooling])),
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
            return list(self._layers.combine([pool(state, mask, self._pooling) for state in states]).cpu().numpy())


def _preparer(text: TextNetwork, max_tokens: int, settings: dict[str, Any]) -> Preparer:
    if settings["pooling"] != _MASK_POOLING:
        return WindowPreparer(text.tokenizer, max_tokens, settings["scope"], settings["over"])
    if text.mask_token is None:
        raise UsageError(
            f"pooling=mask needs a masked language model, and the tokenizer of {text.model!r} has no mask token:"
            " give --model one that has, such as roberta-base"
        )
    return TemplatePreparer(text.tokenizer, text.mask_token, max_tokens, settings["template"], settings["scope"])
