"""Cutting a manifest into chunks of consecutive whole dialogues: what is committed at once."""

from __future__ import annotations

from collections.abc import Sequence

WAVEFORM_CHUNK = 64


def chunk_size(num_utterances: int, waveform: bool = False) -> int:
    """How many utterances close a chunk: a sixty-fourth of all, within 32 and 1024; at most 64 for raw waveforms."""
    size = max(32, min(1024, num_utterances // 64))
    return min(size, WAVEFORM_CHUNK) if waveform else size


def cut_chunks(dialogue_bounds: Sequence[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """(start, stop) rows of each chunk: whole dialogues, closed once `size` utterances are in it."""
    chunks = []
    start = 0
    for _, stop in dialogue_bounds:
        if stop - start >= size:
            chunks.append((start, stop))
            start = stop
    if dialogue_bounds and start < dialogue_bounds[-1][1]:
        chunks.append((start, dialogue_bounds[-1][1]))
    return chunks
