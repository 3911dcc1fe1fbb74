"""Speech encoders of a few thousand weights in folders, and sounds to feed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from clip_factory import utterance

from features.encoders.protocol import Encoder
from features.media.clip import Clip
from features.media.needs import Sound

RATE_HZ = 16000
WIDTH = 32
LAYERS = 3
RECEPTIVE_FIELD = 162  # samples of one frame; frames are 160 apart
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}

# name -> (config class of transformers, what differs from its small common form)
MASKED_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2Config", {}),
    "wav2vec2-large": ("Wav2Vec2Config", LARGE),
    "hubert": ("HubertConfig", {}),
    "hubert-large": ("HubertConfig", LARGE),
    "wavlm": ("WavLMConfig", {}),
    "wavlm-large": ("WavLMConfig", LARGE),
    "unispeech": ("UniSpeechConfig", {}),
    "unispeech-sat": ("UniSpeechSatConfig", {}),
}
LONE_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "data2vec-audio": ("Data2VecAudioConfig", {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 3}),
    "hubert-batch-norm": ("HubertConfig", {"conv_pos_batch_norm": True}),
    "wav2vec2-conformer": ("Wav2Vec2ConformerConfig", {"position_embeddings_type": "relative"}),
    "wav2vec2-adapter": ("Wav2Vec2Config", {"add_adapter": True, "output_hidden_size": 24, "num_adapter_layers": 1}),
    "sew": ("SEWConfig", {"squeeze_factor": 2}),
}
KINDS = MASKED_KINDS | LONE_KINDS


def tiny_config(kind: str, **changes: Any) -> Any:
    import transformers

    name, own = KINDS[kind]
    sizes: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "conv_dim": (32, 32, 32),
        "conv_kernel": (10, 5, 4),
        "conv_stride": (8, 5, 4),
        "num_feat_extract_layers": 3,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
        "initializer_range": 0.2,
        "layerdrop": 0.5,
        "mask_time_prob": 0.5,
        "mask_time_length": 2,
    }
    return getattr(transformers, name)(**sizes | own | changes)


def write_tiny_speech(folder: Path, kind: str = "wav2vec2", *, do_normalize: bool = True, **changes: Any) -> Path:
    """Save a random speech encoder with its feature extractor."""
    import torch
    from transformers import AutoModel, Wav2Vec2FeatureExtractor

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModel.from_config(tiny_config(kind, **changes))
        for name, parameter in model.named_parameters():
            if "norm" in name:  # as initialised, norms hide what they do
                torch.nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.2)
    model.save_pretrained(folder)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=do_normalize, return_attention_mask=kind.endswith("large"))
    extractor.save_pretrained(folder)
    return folder


def voice(num_samples: int, seed: int = 0) -> np.ndarray:
    """float32 [n]: a gliding tone whose strength comes and goes, over noise and an offset; each seed another one."""
    random = np.random.default_rng(seed)
    seconds = np.arange(num_samples) / RATE_HZ
    pitch, glide, beat = random.uniform([80, -60, 1], [400, 60, 6])
    tone = np.sin(2 * np.pi * (pitch * seconds + glide * seconds**2)) * (1 + np.sin(2 * np.pi * beat * seconds))
    noise = random.normal(scale=random.uniform(0.005, 0.1), size=num_samples)
    return (0.2 * tone + noise + random.uniform(-0.05, 0.05)).astype(np.float32)


def clip_of(encoder: Encoder, samples: np.ndarray, cut: bool = False) -> Clip:
    """A clip that holds this sound for the encoder's need."""
    need = encoder.needs.audio if encoder.needs else None
    assert need is not None
    return Clip(
        utterance(), "0" * 64, sounds={need: Sound(samples, need.rate_hz, samples.shape[-1] / need.rate_hz, cut)}
    )
