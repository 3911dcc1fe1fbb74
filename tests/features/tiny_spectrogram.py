"""Encoders of spectrograms of a few thousand weights, in folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WIDTH = 32
_SIZES: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}


def _whisper() -> tuple[Any, Any]:
    """Windows of 1 s: 50 frames."""
    from transformers import WhisperConfig, WhisperFeatureExtractor

    config = WhisperConfig(
        vocab_size=64,
        num_mel_bins=16,
        d_model=WIDTH,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_layers=1,
        decoder_attention_heads=4,
        decoder_ffn_dim=48,
        max_source_positions=50,
        max_target_positions=16,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1),
    )
    return config, WhisperFeatureExtractor(feature_size=16, chunk_length=1)


def _wav2vec2_bert() -> tuple[Any, Any]:
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig

    sizes = _SIZES | {"conv_depthwise_kernel_size": 5, "output_hidden_size": WIDTH}
    return Wav2Vec2BertConfig(**sizes, feature_projection_input_dim=160), SeamlessM4TFeatureExtractor()


def _ast() -> tuple[Any, Any]:
    """Windows of 64 frames, 0.645 s; patches of 2 x 5."""
    from transformers import ASTConfig, ASTFeatureExtractor

    return ASTConfig(**_SIZES, max_length=64, num_mel_bins=32), ASTFeatureExtractor(num_mel_bins=32, max_length=64)


def _clap(fusion: bool) -> tuple[Any, Any]:
    """Windows of 10 s at 48 kHz."""
    from transformers import ClapConfig, ClapFeatureExtractor

    audio = {
        "patch_embeds_hidden_size": 8,
        "hidden_size": 64,
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 2, 2],
        "enable_fusion": fusion,
        "projection_dim": 16,
    }
    text = _SIZES | {"vocab_size": 50, "projection_dim": 16, "max_position_embeddings": 20}
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=16)
    return config, ClapFeatureExtractor(truncation="fusion" if fusion else "rand_trunc")


KINDS: dict[str, Any] = {
    "whisper": _whisper,
    "wav2vec2-bert": _wav2vec2_bert,
    "ast": _ast,
    "clap": lambda: _clap(False),
    "clap-fusion": lambda: _clap(True),
}


def write_tiny_spectrogram(folder: Path, kind: str) -> Path:
    """Save a random model with its feature extractor."""
    import torch
    from transformers import AutoModel

    config, extractor = KINDS[kind]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModel.from_config(config)
        for name, parameter in model.named_parameters():
            if "norm" in name:  # as initialised, norms hide what they do
                torch.nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.2)
            elif parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder
