"""What of a Hugging Face vision model is its feature: one of its tokens, their mean, or what it makes of them.

patches:    the mean over the patches' last hidden states (over places, of convolutional networks). The class token and
            registers, which stand before them, are left out.
cls:        the class token's last hidden state
pooler:     what the model itself pools: CLIP's normed class token, SigLIP's attention, ConvNeXt's normed mean
projection: CLIP's image embedding, the pooled state in the space that it shares with texts

Legend: b pictures, t tokens, w width, d width of a vector, c channels.
"""

from __future__ import annotations

from typing import Any

import torch

from features.errors import UsageError, nearest

TOKENS = ("patches", "cls", "pooler", "projection")
PUBLISHED = {
    "clip_vision_model": "pooler",
    "siglip_vision_model": "pooler",
    "convnext": "pooler",
    "convnextv2": "pooler",
    "dinov2": "cls",
    "dinov2_with_registers": "cls",
    "dinov3_vit": "cls",
    "vit": "cls",
    "vit_msn": "cls",
    "deit": "cls",
}
"""Model type -> the feature that its authors publish, or that its classifier reads. Of others it is `patches`; of a
whole CLIP its projection."""


class Projected(torch.nn.Module):
    """CLIP's vision part with its projection."""

    def __init__(self, vision: Any, projection: torch.nn.Module) -> None:
        super().__init__()
        self.vision, self.projection = vision, projection
        self.config: Any = vision.config


def vision_part(whole: Any, tokens: str) -> torch.nn.Module:
    """The part of a model that sees pictures, with CLIP's projection where `tokens` says so or nothing.

    Raises UsageError for `projection` of a model that has none.
    """
    vision, projection = (getattr(whole, name, None) for name in ("vision_model", "visual_projection"))
    if isinstance(vision, torch.nn.Module) and isinstance(projection, torch.nn.Module) and tokens in ("", "projection"):
        return Projected(vision, projection)
    if tokens == "projection":
        raise UsageError(f"tokens=projection: a model of type {whole.config.model_type} has none: leave it out")
    part: torch.nn.Module = vision if isinstance(vision, torch.nn.Module) else whole
    return part


class VisionFeature(torch.nn.Module):
    """A network and which feature is taken of it, in fp32: [b, 3, h, w] -> [b, d].

    network: what `vision_part` gives
    tokens:  one of TOKENS; once it is made, never empty
    skipped: how many tokens `patches` left out of the last pictures
    """

    def __init__(self, network: Any, tokens: str) -> None:
        """tokens: empty for what is PUBLISHED. Raises UsageError for one that there is not."""
        super().__init__()
        if tokens and tokens not in TOKENS:
            raise UsageError(f"no tokens {tokens!r}: {nearest(tokens, TOKENS)}")
        self.network = network
        projects = isinstance(network, Projected)
        self.tokens = "projection" if projects else tokens or PUBLISHED.get(network.config.model_type, "patches")
        self.skipped = 0
        size = getattr(network.config, "patch_size", None)
        self._patch = (size, size) if isinstance(size, int) else size

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Raises UsageError where the network gives no such feature."""
        if isinstance(self.network, Projected):
            pooled = self.network.vision(pixel_values=pixel_values).pooler_output
            projected: torch.Tensor = self.network.projection(pooled).float()
            return projected
        output = self.network(pixel_values=pixel_values)
        hidden = output.last_hidden_state
        if self.tokens == "pooler":
            return self._pooled(output)
        if self.tokens == "cls":
            if not self.num_special(hidden, pixel_values):
                raise UsageError(f"tokens=cls: {self._kind} has no class token: give --set tokens=patches")
            first: torch.Tensor = hidden[:, 0].float()
            return first
        self.skipped = self.num_special(hidden, pixel_values)
        if hidden.ndim == 3:
            hidden = hidden[:, self.skipped :]
        mean: torch.Tensor = hidden.float().mean(dim=1 if hidden.ndim == 3 else (2, 3))
        return mean

    def num_special(self, hidden: torch.Tensor, pixel_values: torch.Tensor) -> int:
        """How many tokens stand before those of the patches. hidden: [b, t, w] or [b, c, h, w]

        Of a network that merges patches, and so has fewer tokens than patches, none.
        """
        if hidden.ndim == 4:
            return 0
        if self._patch is None:
            if getattr(self.network.config, "num_register_tokens", 0):
                raise UsageError(f"{self._kind} does not say how large its patches are: its registers are not known")
            return 0
        down, across = (side // patch for side, patch in zip(pixel_values.shape[2:], self._patch, strict=True))
        return max(0, hidden.shape[1] - down * across)

    @property
    def _kind(self) -> str:
        return f"a model of type {self.network.config.model_type}"

    def _pooled(self, output: Any) -> torch.Tensor:
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            raise UsageError(f"tokens=pooler: {self._kind} pools nothing here: give --set tokens=cls or patches")
        flat: torch.Tensor = pooled.flatten(1).float()
        return flat
