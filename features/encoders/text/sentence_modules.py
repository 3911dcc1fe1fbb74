"""What a folder of sentence-transformers says of its embeddings: modules.json and the folders that it names.

A text embedding model is made for one pooling, of its last layer, and often for what follows: dense layers, and a norm
of 1. Known are the modules Transformer, Pooling, Dense and Normalize, in that order. No code that a folder names runs:
activations are known by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.digests import weights_digest
from features.encoders.state_files import random_network, read_state
from features.encoders.weights import Weights
from features.errors import UsageError, WeightsError

if TYPE_CHECKING:
    import torch

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"
LIMITS = "sentence_bert_config.json"
INSTEAD = "give --set pooling=mean (cls, last) to take the transformer's states alone"

# as the package names them -> ours
_POOLINGS = {"cls": "cls", "max": "max", "mean": "mean", "weightedmean": "weightedmean", "lasttoken": "last"}
_EARLIER_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")


@dataclass(frozen=True)
class Dense:
    """weight: float32 [out, in]; bias: float32 [out] or None; activation: one of torch.nn's"""

    weight: torch.Tensor
    bias: torch.Tensor | None
    activation: str
    digest: str

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """float32 [b, in] -> [b, out]"""
        import torch

        bias = None if self.bias is None else self.bias.to(vectors.device)
        made: torch.Tensor = getattr(torch.nn, self.activation)()(
            torch.nn.functional.linear(vectors, self.weight.to(vectors.device), bias)
        )
        return made


@dataclass(frozen=True)
class SentenceModules:
    """pooling:        one of text_pooling.TEXT_POOLINGS
    pools_prompt:   whether the tokens of the prompt before a text are pooled with it
    dense:          what follows it
    normalise:      whether the norm becomes 1 at last
    prompt:         what stands before every text where nothing else is asked for
    max_tokens:     its window, None where it says none
    """

    pooling: str
    pools_prompt: bool
    dense: tuple[Dense, ...]
    normalise: bool
    prompt: str
    max_tokens: int | None

    @property
    def settings(self) -> dict[str, Any]:
        """What a spec records of it, beside the prompt and the window that are used."""
        return {
            "pooling": self.pooling,
            "pools_prompt": self.pools_prompt,
            "dense": [{"activation": layer.activation, "weights": layer.digest} for layer in self.dense],
            "normalise": self.normalise,
        }

    def width(self, pooled: int) -> int:
        """Values of an embedding, of `pooled` ones. Raises WeightsError where the dense layers do not fit."""
        for layer in self.dense:
            if layer.weight.shape[1] != pooled:
                raise WeightsError(f"a Dense module takes {layer.weight.shape[1]} values, and gets {pooled}: {INSTEAD}")
            pooled = layer.weight.shape[0]
        return pooled

    def finish(self, pooled: torch.Tensor) -> torch.Tensor:
        """float32 [b, w] -> [b, width]: through the dense layers, then to a norm of 1 where that is so."""
        import torch

        for layer in self.dense:
            pooled = layer(pooled)
        return torch.nn.functional.normalize(pooled, dim=-1) if self.normalise else pooled


def has_modules(folder: Path) -> bool:
    """Whether a folder is one of sentence-transformers."""
    return (folder / MODULES).is_file()


def read_modules(folder: Path, model: str, weights: Weights = "pretrained") -> SentenceModules:
    """weights: `random` draws those of dense layers.

    Raises WeightsError for files that are absent or damaged, UsageError for modules that are not known here."""
    named = [(str(each["type"]).rpartition(".")[2], folder / str(each["path"])) for each in _json(folder / MODULES)]
    kinds = [kind for kind, _ in named]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] != sorted(kinds[2:]) or kinds.count("Normalize") > 1:
        raise UsageError(f"model {model!r}: its modules are {', '.join(kinds)}: {INSTEAD}")
    if unknown := set(kinds[2:]) - {"Dense", "Normalize"}:
        raise UsageError(f"model {model!r}: its module {min(unknown)} is not known here: {INSTEAD}")
    pooling = _json(named[1][1] / "config.json")
    prompts = _json(folder / PROMPTS, {})
    limits = _json(folder / LIMITS, {})
    if limits.get("do_lower_case"):
        raise UsageError(f"model {model!r}: {LIMITS} asks for texts in lower case, which is not done here: {INSTEAD}")
    return SentenceModules(
        pooling=_pooling(pooling, model),
        pools_prompt=bool(pooling.get("include_prompt", True)),
        dense=tuple(_dense(path, model, weights) for kind, path in named if kind == "Dense"),
        normalise="Normalize" in kinds,
        prompt=(prompts.get("prompts") or {}).get(prompts.get("default_prompt_name") or "") or "",
        max_tokens=limits.get("max_seq_length"),
    )


def _pooling(config: dict[str, Any], model: str) -> str:
    said = config.get("pooling_mode") or [name for key, name in _EARLIER_POOLINGS.items() if config.get(key)] or "mean"
    names = [said] if isinstance(said, str) else list(said)
    if len(names) != 1 or names[0] not in _POOLINGS:
        raise UsageError(f"model {model!r}: its pooling is {' + '.join(map(str, names))}, not known here: {INSTEAD}")
    return _POOLINGS[names[0]]


def _dense(folder: Path, model: str, weights: Weights) -> Dense:
    config = _json(folder / "config.json")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    reads = config.get("module_input_name", "sentence_embedding")
    if activation not in _ACTIVATIONS or reads != "sentence_embedding" or config.get("use_residual"):
        raise UsageError(f"model {model!r}: its module {folder.name} ({activation}) is not known here: {INSTEAD}")
    if weights == "random":
        takes, gives = int(config["in_features"]), int(config["out_features"])
        state: Mapping[str, torch.Tensor] = random_network(lambda: _linear(takes, gives)).state_dict()
    else:
        whole = folder / "model.safetensors"
        state = read_state(whole if whole.is_file() else folder / "pytorch_model.bin")
    if "linear.weight" not in state:
        raise WeightsError(f"model {model!r}: {folder.name} holds no linear.weight: download the model again")
    bias = state.get("linear.bias")
    return Dense(
        state["linear.weight"].float(), None if bias is None else bias.float(), activation, weights_digest(state)
    )


def _linear(takes: int, gives: int) -> torch.nn.Module:
    import torch

    return torch.nn.ModuleDict({"linear": torch.nn.Linear(takes, gives)})


def _json(path: Path, default: Any = None) -> Any:
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = "is damaged" if path.is_file() else "is not there"
        raise WeightsError(f"{path} {what}, which {MODULES} needs: download the model again, or {INSTEAD}") from error
