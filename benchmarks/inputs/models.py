"""Folders as `save_pretrained` writes them, whose weights are drawn by chance: what all contenders load."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_VOCABULARY = 4_000


def save_gpt2(folder: Path, texts: Iterable[str]) -> Path:
    """GPT-2's architecture with a byte-level tokenizer that is learnt from these texts, since the real one is not
    shipped; it splits words of everyday English about as finely."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2Model, GPT2TokenizerFast

    _be_quiet()
    learnt = ByteLevelBPETokenizer()
    learnt.train_from_iterator(texts, vocab_size=_VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    learnt.save_model(str(folder))
    torch.manual_seed(0)
    GPT2Model(GPT2Config()).save_pretrained(folder)
    GPT2TokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    return folder


def save_wav2vec2(folder: Path) -> Path:
    """wav2vec2-base."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    _be_quiet()
    torch.manual_seed(0)
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def _be_quiet() -> None:
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
