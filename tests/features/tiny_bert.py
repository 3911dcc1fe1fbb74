"""A BERT of a few thousand weights in a folder, and turns to feed it: what the tests of text encoders share."""

from __future__ import annotations

import string
from pathlib import Path

from features.encoders.protocol import Turn
from features.utterances import Dialogue, Utterance

WORDS = [
    *("oh", "my", "god", "you", "are", "so", "sad", "and", "i", "am", "happy", "no", "way"),
    *("ross", "monica", "joey", "it", "is", "fine", "why", "not", "what", "hello", "there"),
]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_MARKS = [*"!?.,:'-…"]
_LETTERS = [prefix + letter for prefix in ("", "##") for letter in string.ascii_lowercase]
WIDTH = 32
LAYERS = 3


def write_tiny_bert(folder: Path, *, seed: int = 1, positions: int = 64, **saving: object) -> Path:
    """Save a random BERT with a word-piece tokenizer; its weights are large enough to tell tokens apart."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.txt"
    entries = list(dict.fromkeys([*_SPECIAL, *_MARKS, *_LETTERS, *WORDS]))
    vocabulary.write_text("\n".join(entries) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=str(vocabulary), do_lower_case=True, model_max_length=positions)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(entries),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=positions,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config)
    model.save_pretrained(folder, **saving)
    return folder


def dialogue(*lines: tuple[str, str], name: str = "d0") -> Dialogue:
    """A dialogue of (speaker, text) lines."""
    return Dialogue(
        name,
        tuple(
            Utterance(f"{name}_utt{turn}", "test", "train", name, turn, speaker, text)
            for turn, (speaker, text) in enumerate(lines)
        ),
    )


def turn(text: str, speaker: str = "Ross") -> Turn:
    """A dialogue of one turn."""
    return Turn(dialogue((speaker, text)), 0)
