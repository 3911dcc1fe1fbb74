"""A GPT-2 of a few thousand weights in a folder, and the real MELD dialogues: what the tests of `gpt2` share."""

from __future__ import annotations

import csv
import json
from itertools import groupby
from pathlib import Path
from typing import Any

from features.utterances import Dialogue, Utterance

WIDTH = 32
LAYERS = 3
POSITIONS = 256
_MERGES = ["T h", "Th e", "Ġ s", "s a", "sa i", "sai d", "Ġ said", "# #", "## #"]


def write_tokenizer(folder: Path) -> Path:
    """vocab.json and merges.txt alone, as GPT-2 was published: all bytes and a few merges."""
    from tokenizers.pre_tokenizers import ByteLevel

    folder.mkdir(parents=True, exist_ok=True)
    entries = [*sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in _MERGES), "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({entry: number for number, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(_MERGES) + "\n")
    return folder


def write_tiny_gpt2(folder: Path, positions: int = POSITIONS) -> Path:
    """Save a GPT-2 with that tokenizer; its weights are the same everywhere, and large enough to tell tokens apart."""
    from transformers import GPT2Config, GPT2Model, GPT2TokenizerFast

    tokenizer = GPT2TokenizerFast.from_pretrained(write_tokenizer(folder))
    tokenizer.save_pretrained(folder)
    end = len(tokenizer) - 1
    sizes = {"n_positions": positions, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4}
    config = GPT2Config(vocab_size=len(tokenizer), bos_token_id=end, eos_token_id=end, **sizes)
    model = GPT2Model(config)
    fill(model)
    model.save_pretrained(folder)
    return folder


def fill(model: Any, scale: float = 0.3) -> None:
    """Draw every weight anew with numpy, whose streams do not change between versions."""
    import numpy as np
    import torch

    random = np.random.default_rng(7)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            drawn = torch.from_numpy(random.normal(0.0, scale, size=tuple(weight.shape)).astype(np.float32))
            weight.copy_(drawn + (1.0 if weight.ndim == 1 else 0.0))


def report_prompt(utterances: tuple[Utterance, ...]) -> str:
    """The report's prompt of the last utterance, written on its own."""
    return "\n\n\n".join(f'The speaker "{each.speaker}" said:\n###\n{each.text}\n###' for each in utterances)


def meld_dialogues(shared_data: Path, split: str) -> list[Dialogue]:
    """The real dialogues of `train` or `dev`, text and speaker as in the table."""
    with (shared_data / "meld" / f"{split}_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Dialogue(name, tuple(_utterance(row, split) for row in own))
        for name, own in groupby(rows, key=lambda row: row["Dialogue_ID"])
    ]


def _utterance(row: dict[str, str], split: str) -> Utterance:
    name, turn = f"meld/{split}/dia{row['Dialogue_ID']}", int(row["Utterance_ID"])
    return Utterance(f"{name}_utt{turn}", "meld", split, name, turn, row["Speaker"], row["Utterance"])
