"""Models of video of a few thousand weights, in folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WIDTH = 24
SIDE = 32


def write_tiny_video(folder: Path, kind: str, *, video_processor: bool | None = None) -> Path:
    """Save a random model with its processor: of images for VideoMAE and TimeSformer, as their folders have it."""
    import torch
    import transformers

    sizes: dict[str, Any] = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 48, "patch_size": 16}
    if kind == "videomae":
        config = transformers.VideoMAEConfig(**sizes, image_size=SIDE, num_frames=4, use_mean_pooling=False)
    elif kind == "timesformer":
        config = transformers.TimesformerConfig(**sizes, image_size=SIDE, num_frames=3)
    else:
        predictor = {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
        config = transformers.VJEPA2Config(**sizes, **predictor, crop_size=SIDE, frames_per_clip=4, pred_mlp_ratio=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = transformers.AutoModel.from_config(config)
        for name, parameter in model.named_parameters():
            if "norm" in name:  # as initialised, norms hide what they do
                torch.nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.2)
            elif parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(folder)
    square = {"height": SIDE, "width": SIDE}
    if video_processor if video_processor is not None else kind == "vjepa2":
        name = "VJEPA2VideoProcessor" if kind == "vjepa2" else "VideoMAEVideoProcessor"
        processor = getattr(transformers, name)(size={"shortest_edge": 36}, crop_size=square)
    else:
        processor = transformers.VideoMAEImageProcessor(size={"shortest_edge": 36}, crop_size=square)
    processor.save_pretrained(folder)
    return folder
