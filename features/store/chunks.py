"""Cutting a manifest into chunks of consecutive dialogues: what is committed at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

WAVEFORM_CHUNK = 64


def chunk_size(num_utterances: int, waveform: bool = False) -> int:
    """How many utterances close a chunk: a sixty-fourth of all, within 32 and 1024; at most 64 for raw waveforms."""
    size = max(32, min(1024, num_utterances // 64))
    return min(size, WAVEFORM_CHUNK) if waveform else size


def cut_chunks(
    dialogue_bounds: Sequence[tuple[int, int]], size: int, whole_dialogues: bool = True
) -> list[tuple[int, int]]:
    """(start, stop) rows of each chunk: dialogues, closed once `size` utterances are in it.

    whole_dialogues: what encodes a dialogue at once needs it whole. For what encodes single utterances or clips, a
    dialogue that is longer than a chunk is several chunks, so that a kill costs no more of it.
    """
    chunks = []
    start = 0
    pieces = dialogue_bounds if whole_dialogues else _pieces(dialogue_bounds, size)
    for _, stop in pieces:
        if stop - start >= size:
            chunks.append((start, stop))
            start = stop
    if dialogue_bounds and start < dialogue_bounds[-1][1]:
        chunks.append((start, dialogue_bounds[-1][1]))
    return chunks


def _pieces(dialogue_bounds: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """The dialogues, those that are longer than a chunk in pieces of its size."""
    for start, stop in dialogue_bounds:
        for first in range(start, stop, size):
            yield first, min(first + size, stop)


def align_spans(chunks: Sequence[tuple[int, int]], dialogue_bounds: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The rows of the dialogues that each chunk touches, whole: what an utterance's past is looked up in."""
    spans = []
    first = 0
    for start, stop in chunks:
        while dialogue_bounds[first][1] <= start:
            first += 1
        last = first
        while dialogue_bounds[last][1] < stop:
            last += 1
        spans.append((dialogue_bounds[first][0], dialogue_bounds[last][1]))
    return spans
