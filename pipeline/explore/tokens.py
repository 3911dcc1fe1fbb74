"""Token counts against the windows of text encoders, as far as their tokenizers are at hand. Nothing is downloaded.

An utterance on its own is what `sentence` reads, its special tokens included; the dialogue up to and including a turn,
in the words of the report's prompt, is what `gpt2` reads. Counts are those before anything is cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.encoders.table import ENCODERS
from features.encoders.weights import PACKAGED_PREFIX, has_config, packaged_folder
from features.errors import WeightsError, first_line
from features.manifest import Manifest
from features.prompts import report_pieces
from pipeline.explore.corpus import Spread

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Advance = Callable[[int], object]

_BATCH = 1000


@dataclass(frozen=True)
class Window:
    """How many tokens fit. name: whose window it is."""

    name: str
    tokens: int


@dataclass(frozen=True)
class TokenCounts:
    """One tokenizer's counts.

    reads:    what is counted
    by_split: split -> tokens of each utterance; empty where nothing was measured
    windows:  smallest first
    problem:  why nothing was measured, or nothing
    """

    encoder: str
    model: str
    reads: str
    by_split: dict[str, Spread]
    windows: tuple[Window, ...] = ()
    problem: str = ""

    def over(self, split: str) -> list[int]:
        """For each window, how many utterances of the split are longer."""
        return [int((self.by_split[split].values > window.tokens).sum()) for window in self.windows]


def count_tokens(
    manifest: Manifest, gpt2_model: str | None = None, advance: Advance = lambda _: None
) -> list[TokenCounts]:
    """Counts of `sentence`'s and `gpt2`'s tokenizers; one that is not at hand says so in `problem`.

    gpt2_model: folder or hub id (in the hub's cache) of a causal model, instead of GPT-2
    advance:    is told how many utterances were counted
    Raises WeightsError where `gpt2_model` is given and has no tokenizer here.
    """
    model = ENCODERS["sentence"].default_model or ""
    found = [_counted("sentence", model, "an utterance", manifest, _utterance_lengths, advance)]
    model = gpt2_model or ENCODERS["gpt2"].default_model or ""
    prompts = _counted("gpt2", model, "the dialogue up to the utterance", manifest, _prompt_lengths, advance)
    if gpt2_model and prompts.problem:
        raise WeightsError(prompts.problem)
    return [*found, prompts]


def _counted(
    encoder: str,
    model: str,
    reads: str,
    manifest: Manifest,
    lengths_of: Callable[[Tokenizer, Manifest, Advance], Iterator[int]],
    advance: Advance,
) -> TokenCounts:
    try:
        folder = _local_folder(model)
        tokenizer = _tokenizer(folder, model)
    except WeightsError as error:
        return TokenCounts(encoder, model, reads, {}, problem=str(error))
    lengths = np.fromiter(lengths_of(tokenizer, manifest, advance), np.int64, len(manifest))
    splits = manifest.frame["split"]
    return TokenCounts(
        encoder,
        model,
        reads,
        {split: Spread(lengths[(splits == split).to_numpy()]) for split in splits.unique(maintain_order=True)},
        _windows(encoder, model, folder),
    )


def _windows(encoder: str, model: str, folder: Path) -> tuple[Window, ...]:
    """The encoder's default window and the model's own, where its config says it; one where they are equal."""
    default = int(ENCODERS[encoder].options["max_tokens"][0])
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    own = config.get("max_position_embeddings") or config.get("n_positions")
    windows = [Window(f"{encoder}, by default", min(default, own or default))]
    if own and own > default:
        windows.append(Window(f"{model.removeprefix(PACKAGED_PREFIX)}, at most", int(own)))
    return tuple(windows)


def _utterance_lengths(tokenizer: Tokenizer, manifest: Manifest, advance: Advance) -> Iterator[int]:
    yield from _lengths(tokenizer, [text.strip() for text in manifest.frame["text"]], advance, special=True)


def _prompt_lengths(tokenizer: Tokenizer, manifest: Manifest, advance: Advance) -> Iterator[int]:
    """Tokens of the prompt up to and including each turn: the ids of its pieces joined (see `features.prompts`), after
    what the tokenizer puts before a text."""
    pieces = [piece for dialogue in manifest.dialogues() for piece in report_pieces(dialogue.utterances)]
    lengths = np.fromiter(_lengths(tokenizer, pieces, advance, special=False), np.int64, len(pieces))
    before = len(tokenizer.encode("a").ids) - len(tokenizer.encode("a", add_special_tokens=False).ids)
    for start, stop in manifest.dialogue_bounds():
        yield from (np.cumsum(lengths[start:stop]) + before).tolist()


def _lengths(tokenizer: Tokenizer, texts: Sequence[str], advance: Advance, special: bool) -> Iterator[int]:
    for start in range(0, len(texts), _BATCH):
        batch = list(texts[start : start + _BATCH])
        encoded = tokenizer.encode_batch(batch, add_special_tokens=special)
        advance(len(batch))
        yield from (len(item.ids) for item in encoded)


def _local_folder(model: str) -> Path:
    """Raises WeightsError where the model is neither a folder nor packaged nor in the hub's cache."""
    if model.startswith(PACKAGED_PREFIX):
        return packaged_folder(model.removeprefix(PACKAGED_PREFIX))
    if Path(model).expanduser().is_dir():
        return Path(model).expanduser()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, local_files_only=True, allow_patterns=["*.json", "merges.txt"]))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"the tokenizer of {model!r} is neither a folder here nor in the hub's cache: give --model FOLDER"
        ) from error


def _tokenizer(folder: Path, model: str) -> Tokenizer:
    """The fast tokenizer, without truncation and padding. Raises WeightsError where there is none."""
    from tokenizers import Tokenizer

    from features.encoders.text.gpt2 import gpt2_tokenizer
    from features.encoders.text.text_network import load_tokenizer
    from features.encoders.text.token_windows import bare_tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        load = load_tokenizer if has_config(folder) else gpt2_tokenizer
        return bare_tokenizer(load(folder, model), model)
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # of its own kind, which the library does not name
        raise WeightsError(f"{path}: cannot be read ({first_line(error)}): download the model again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
