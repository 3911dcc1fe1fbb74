"""`glove-tokens`: the sequence of GloVe word vectors of an utterance's known tokens, in order.

Tokens are `glove`'s. One without a vector leaves no gap: it is counted (`num_unknown`) and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.encoders.protocol import EncoderRequest, Input
from features.encoders.text.glove import GlovePreparer, open_vectors
from features.spec import EncoderSpec

VERSION = 1


class GloveTokensEncoder:
    """See the module. t: known tokens of an utterance, d: width of the vectors."""

    reads = "turn"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for random weights, WeightsError where the vectors are not to be had."""
        model, source, vectors = open_vectors(request)
        self._matrix = vectors.matrix
        self.prepare = GlovePreparer(source)
        self.batch_size = request.batch_size or 256
        self.spec = EncoderSpec(
            modality="text",
            encoder="glove-tokens",
            version=VERSION,
            depends="text",
            kind="sequence",
            shape=(vectors.matrix.shape[1],),
            settings=dict(settings),
            weights="pretrained",
            weights_digest=vectors.digest(),
            model=model,
            alias=request.alias,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 [t, d] per input."""
        return [np.array(self._matrix[item.value], dtype=np.float32) for item in inputs]
