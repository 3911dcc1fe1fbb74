"""Transformers of a few thousand weights, of many families: what the tests of casting and of fingerprints share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
WORDS = 60
_TEXT = SIZES | {"vocab_size": WORDS}
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_CAUSAL = _TEXT | _IDS | {"num_key_value_heads": 2}
_PICTURE = SIZES | {"image_size": 32, "patch_size": 8}
_SPEECH = SIZES | {
    "conv_dim": (32, 32),
    "conv_kernel": (10, 5),
    "conv_stride": (5, 4),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
_SEQ2SEQ = {"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 48} | {"vocab_size": WORDS} | _IDS

# name -> (config class of transformers, its small form)
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertConfig", _TEXT),
    "roberta": ("RobertaConfig", _TEXT | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}),
    "distilbert": ("DistilBertConfig", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "vocab_size": WORDS}),
    "albert": ("AlbertConfig", _TEXT | {"embedding_size": 16, "num_hidden_groups": 1}),
    "electra": ("ElectraConfig", _TEXT | {"embedding_size": 32}),
    "mpnet": ("MPNetConfig", _TEXT | _IDS),
    "deberta-v2": ("DebertaV2Config", _TEXT | {"relative_attention": True, "position_buckets": 8}),
    "modernbert": ("ModernBertConfig", _TEXT | _IDS | {"cls_token_id": 1, "sep_token_id": 2, "num_hidden_layers": 4}),
    "t5": ("T5Config", {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": WORDS}),
    "bart": ("BartConfig", _SEQ2SEQ | {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4}),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": WORDS} | _IDS),
    "gpt-neox": ("GPTNeoXConfig", _TEXT | _IDS),
    "gptj": ("GPTJConfig", {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "vocab_size": WORDS} | _IDS),
    "opt": ("OPTConfig", _TEXT | _IDS | {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": WORDS} | _IDS),
    "falcon": ("FalconConfig", _TEXT | _IDS),
    "llama": ("LlamaConfig", _CAUSAL),
    "mistral": ("MistralConfig", _CAUSAL | {"sliding_window": 16}),
    "phi3": ("Phi3Config", _CAUSAL),
    "qwen2": ("Qwen2Config", _CAUSAL),
    "qwen3": ("Qwen3Config", _CAUSAL | {"head_dim": 8}),
    "gemma": ("GemmaConfig", _CAUSAL | {"head_dim": 8}),
    "gemma2": ("Gemma2Config", _CAUSAL | {"head_dim": 8}),
    "gemma3": ("Gemma3TextConfig", _CAUSAL | {"head_dim": 8}),
    "xlnet": ("XLNetConfig", {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, "vocab_size": WORDS}),
}
PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTConfig", _PICTURE),
    "deit": ("DeiTConfig", _PICTURE),
    "beit": ("BeitConfig", _PICTURE),
    "dinov2": ("Dinov2Config", _PICTURE | {"mlp_ratio": 2}),
    "dinov2-registers": ("Dinov2WithRegistersConfig", _PICTURE | {"mlp_ratio": 2, "num_register_tokens": 3}),
    "dinov3": ("DINOv3ViTConfig", _PICTURE | {"num_register_tokens": 3}),
    "clip-vision": ("CLIPVisionConfig", _PICTURE),
    "siglip-vision": ("SiglipVisionConfig", _PICTURE),
    "swin": (
        "SwinConfig",
        {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 2, "image_size": 32, "patch_size": 4},
    ),
    "convnext": ("ConvNextConfig", {"hidden_sizes": [4, 8], "depths": [1, 1], "num_stages": 2, "image_size": 32}),
    "resnet": ("ResNetConfig", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}),
}
SOUNDS: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2Config", _SPEECH),
    "hubert": ("HubertConfig", _SPEECH),
    "wavlm": ("WavLMConfig", _SPEECH),
    "conformer-rotary": ("Wav2Vec2ConformerConfig", _SPEECH | {"position_embeddings_type": "rotary"}),
}
KINDS = TEXTS | PICTURES | SOUNDS


def tiny_config(kind: str, **changes: Any) -> Any:
    import transformers

    name, values = KINDS[kind]
    return getattr(transformers, name)(**values | changes)


def write_model(folder: Path, config: Any, dtype: Any = None, peaked: float = 1.0) -> Path:
    """Save a random model. peaked: what the weights of queries and keys are multiplied by"""
    import torch
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        model = AutoModel.from_config(config, dtype=torch.float32)
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("q_proj", "k_proj", "linear_q", "linear_k")):
                parameter.mul_(peaked)
            elif "query_key_value" in name:  # of each head its query, key and value
                parameter.view(config.num_attention_heads, 3, -1)[:, :2].mul_(peaked)
            elif "Wqkv" in name:
                parameter[: 2 * len(parameter) // 3].mul_(peaked)
    (model if dtype is None else model.to(dtype)).save_pretrained(folder)
    return folder
