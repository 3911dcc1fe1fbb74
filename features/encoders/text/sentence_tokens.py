"""`sentence-tokens`: the sequence of token vectors of any Hugging Face text encoder, one hidden layer.

The model sees its special tokens, but the vectors kept are those of the utterance's own tokens: a head that convolves
over words or pools them would otherwise take [CLS] and [SEP] for words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.encoders.devices import for_device
from features.encoders.layers import parse_single_layer
from features.encoders.protocol import EncoderRequest, Input
from features.encoders.specs import network_spec
from features.encoders.text.text_network import load_text_network
from features.encoders.text.token_windows import Window, WindowPreparer

VERSION = 1

_BATCH_SIZE = {"cpu": 32, "cuda": 256}


class SentenceTokensEncoder:
    """See the module. t: tokens of an utterance, w: width of the model."""

    reads = "turn"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit, WeightsError where the model is not to be had."""
        self._text, digest = load_text_network(request)
        max_tokens = self._text.window(settings["max_tokens"], request)
        self.prepare = WindowPreparer(self._text.tokenizer, max_tokens)
        self._layer = parse_single_layer(settings["layer"], self._text.num_states)
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        resolved: dict[str, Any] = {
            "layer": str(self._layer),
            "max_tokens": max_tokens,
            **self._text.settings,
        }
        self.spec = network_spec(
            request,
            modality="text",
            encoder="sentence-tokens",
            version=VERSION,
            depends="text",
            kind="sequence",
            shape=(self._text.width([self._layer]),),
            settings=resolved,
            weights_digest=digest,
            model=self._text.model,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 [t, w] per input: the vectors of the utterance's tokens, special ones left out."""
        if not inputs:
            return []
        windows: list[Window] = [item.value for item in inputs]
        (states,) = self._text.hidden_states([window.ids for window in windows], [self._layer])
        vectors = states.float().cpu().numpy()
        first, behind = len(self.prepare.prefix), len(self.prepare.suffix)
        return [vectors[row, first : len(window.ids) - behind].copy() for row, window in enumerate(windows)]
