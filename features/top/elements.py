"""What one element of a feature with a top holds: the hidden state below the top, and two flags.

    [..., :w]     the state
    [..., w]      1 where the element is pooled: a token of the utterance's own text, a frame of its sound; 0 for
                  special tokens and for what the utterance is seen with (turns before it)
    [..., w + 1]  1 where a window begins. Elements of one window see each other in the top's layers, those of two
                  never do. A window goes on until the next one begins, also over the utterances behind it: where a
                  dialogue is one window, each utterance holds what is new in it

All are stored in the dtype of the states. Legend: t elements, w width of the states.
"""

from __future__ import annotations

import numpy as np

FLAGS = 2


def with_flags(states: np.ndarray, pooled: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """[t, w], bool [t], bool [t] -> [t, w + 2] in the dtype of the states."""
    flags = np.stack([pooled, begins], axis=1).astype(states.dtype)
    return np.concatenate([states, flags], axis=1)


def pooled_states(elements: np.ndarray) -> np.ndarray:
    """[t, w + 2] -> [n, w]: the states of those that are pooled."""
    states: np.ndarray = elements[elements[:, -FLAGS] != 0, :-FLAGS]
    return states
