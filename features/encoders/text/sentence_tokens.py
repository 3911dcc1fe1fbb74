"""`sentence-tokens`: the sequence of token vectors of any Hugging Face text encoder, one hidden layer.

The model sees its special tokens, but the vectors kept are those of the utterance's own tokens: a head that convolves
over words or pools them would otherwise take [CLS] and [SEP] for words. With `scope=context` it sees the past turns,
too, and `over` says whether the vectors are those of what the target says, or of the whole window.

With `from_top=k` the states below the last k layers are kept in float16, of *all* tokens of the window, with two flags
each (see `features.top.elements`): the same tokens that would be kept without are marked as pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.encoders.devices import for_device
from features.encoders.layers import parse_single_layer
from features.encoders.protocol import EncoderRequest, Input
from features.encoders.specs import network_spec, top_settings
from features.encoders.text.text_network import load_text_network
from features.encoders.text.token_windows import Window, WindowPreparer, check_scope
from features.errors import UsageError
from features.top.elements import FLAGS, with_flags

VERSION = 1

_BATCH_SIZE = {"cpu": 32, "cuda": 256}
_UTTERANCE = {"scope": "utterance", "over": "target"}


class SentenceTokensEncoder:
    """See the module. t: tokens kept of a window, w: width of the model.

    top: the layers above the states, with `from_top`
    """

    reads = "turn"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit, WeightsError where the model is not to be had."""
        scope, over, from_top = settings["scope"], settings["over"], settings["from_top"]
        check_scope(scope, over)
        if from_top and "layer" in request.settings:
            raise UsageError(f"from_top={from_top} says which layer is kept: leave layer={settings['layer']} out")
        self._text, digest = load_text_network(request)
        max_tokens = self._text.window(settings["max_tokens"], request)
        self.prepare = WindowPreparer(self._text.tokenizer, max_tokens, scope, over)
        self.top = self._text.cut_top(from_top, request.dtype) if from_top else None
        self._layer = -(from_top + 1) if from_top else parse_single_layer(settings["layer"], self._text.num_states)
        self.batch_size = request.batch_size or for_device(_BATCH_SIZE, request.device)
        width = self._text.width([self._layer])
        resolved: dict[str, Any] = {
            **(top_settings(self.top, "utterance") if self.top else {"layer": str(self._layer)}),
            **{key: settings[key] for key, default in _UTTERANCE.items() if settings[key] != default},
            "max_tokens": max_tokens,
            **self._text.settings,
        }
        self.spec = network_spec(
            request,
            modality="text",
            encoder="sentence-tokens",
            version=VERSION,
            depends="dialogue" if scope == "context" else "text",
            kind="sequence",
            shape=(width + FLAGS if self.top else width,),
            stored_dtype="float16" if self.top else "float32",
            settings=resolved,
            weights_digest=digest,
            model=self._text.model,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 array per input: [t, w] of the tokens kept; with `from_top` [t, w + 2] of the whole window."""
        if not inputs:
            return []
        windows: list[Window] = [item.value for item in inputs]
        (states,) = self._text.hidden_states([window.ids for window in windows], [self._layer])
        vectors = states.float().cpu().numpy()
        found = []
        for row, window in enumerate(windows):
            whole, own = vectors[row, : len(window.ids)], self._own(window)
            found.append(_flagged(whole, own) if self.top else whole[own].copy())
        return found

    def _own(self, window: Window) -> slice:
        """The window's pooled tokens, without the special ones."""
        first, behind = len(self.prepare.prefix), len(self.prepare.suffix)
        return slice(max(window.start, first), min(window.stop, len(window.ids) - behind))


def _flagged(states: np.ndarray, own: slice) -> np.ndarray:
    """[t, w] of one window -> [t, w + 2], of which `own` are pooled."""
    pooled, begins = np.zeros((2, len(states)), dtype=bool)
    pooled[own], begins[0] = True, True
    return with_flags(states, pooled, begins)
