"""`sentence`: any Hugging Face text encoder, its hidden states pooled over tokens.

An embedding is, for each chosen layer in the order given, the pooled hidden state: mean, maximum, or mean then maximum.
Layers are joined to one vector or stacked. `layers=-1, pooling=mean` is sentence-transformers' embedding before its
normalisation, and is stored so: unnormalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.encoders import ENCODERS, EncoderRequest, Input
from features.encoders.devices import pin_fp32, torch_dtype
from features.encoders.layers import parse_layers
from features.encoders.token_windows import Window, WindowPreparer, bare_tokenizer, check_scope, tokenizer_digest
from features.encoders.weights import (
    RANDOM_SEED,
    TOKENIZER_FILES,
    find_model,
    first_line,
    load_model,
    quiet_transformers,
)
from features.errors import UsageError, WeightsError
from features.pooling import POOLINGS, check_pooling, pool
from features.spec import EncoderSpec

if TYPE_CHECKING:
    import torch

VERSION = 1

_BATCH_SIZE = {"cpu": 32, "cuda": 256}
"""On two cores, MELD's texts take as long with 16, 24 or 32, a fifth longer with 64: more of a batch is padding."""


class SentenceEncoder:
    """See the module. b: batch, t: tokens, w: width of the model."""

    reads = "turn"
    needs = None

    def __init__(self, request: EncoderRequest, settings: dict[str, Any]) -> None:
        """Raises UsageError for settings that do not fit, WeightsError where the model is not to be had."""
        self._pooling = check_pooling(settings["pooling"])
        check_scope(settings["scope"], settings["over"])
        model = request.model or ENCODERS["sentence"].default_model or ""
        folder = find_model(model, request.weights)
        tokenizer = _load_tokenizer(folder, model)
        network, digest = load_model(folder, request.weights, model)
        max_tokens = _window(settings["max_tokens"], "max_tokens" in request.settings, network, tokenizer)
        backend = bare_tokenizer(tokenizer, model)
        self.prepare = WindowPreparer(backend, max_tokens, settings["scope"], settings["over"])
        if request.dtype == "fp32":
            pin_fp32()
        self._network = network.to(device=request.device, dtype=torch_dtype(request.dtype))
        self._device = request.device
        self._pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        num_states, width = self._probe(model)
        self._layers = parse_layers(settings["layers"], num_states)
        self.batch_size = request.batch_size or _BATCH_SIZE[request.device.partition(":")[0]]
        resolved = settings | {
            "layers": self._layers.setting,
            "max_tokens": max_tokens,
            "tokenizer": tokenizer_digest(backend),
        }
        if request.weights == "random":
            resolved["random_seed"] = RANDOM_SEED
        self.spec = EncoderSpec(
            modality="text",
            encoder="sentence",
            version=VERSION,
            depends="dialogue" if settings["scope"] == "context" else "text",
            kind=self._layers.kind,
            shape=self._layers.shape(width * len(POOLINGS[self._pooling])),
            settings=resolved,
            weights=request.weights,
            weights_digest=digest,
            compute_dtype=request.dtype,
            model=model,
            alias=request.alias,
        )

    def encode(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """One float32 array of spec.shape per input. The batch is padded to its longest window and masked."""
        import torch

        if not inputs:
            return []
        windows: list[Window] = [item.value for item in inputs]
        size = (len(windows), max(len(window.ids) for window in windows))
        ids = np.full(size, self._pad_id, dtype=np.int64)
        attended = np.zeros(size, dtype=np.int64)
        pooled = np.zeros(size, dtype=bool)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = window.ids
            attended[row, : len(window.ids)] = 1
            pooled[row, window.start : window.stop] = True
        with torch.inference_mode():
            states = self._hidden_states(torch.from_numpy(ids), torch.from_numpy(attended))
            mask = torch.from_numpy(pooled).to(self._device)
            layers = [pool(states[index], mask, self._pooling) for index in self._layers.indices]
            return list(self._layers.combine(layers).cpu().numpy())

    def _hidden_states(self, ids: torch.Tensor, attended: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """ids, attended: int64 [b, t], attended 1 where real -> hidden states [b, t, w], embeddings first."""
        output = self._network(
            input_ids=ids.to(self._device),
            attention_mask=attended.to(self._device),
            output_hidden_states=True,
        )
        states: tuple[torch.Tensor, ...] = output.hidden_states
        return states

    def _probe(self, model: str) -> tuple[int, int]:
        """How many hidden states the model gives and how wide they are, from a run over one window.

        Raises WeightsError for a model that does not turn tokens into hidden states.
        """
        import torch

        ids = torch.tensor([[*self.prepare.prefix, self._pad_id, *self.prepare.suffix]])
        try:
            with torch.inference_mode():
                states = self._hidden_states(ids, torch.ones_like(ids))
            return len(states), states[-1].shape[-1]
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise WeightsError(
                f"model {model!r} is no encoder of text ({first_line(error)}): give one that AutoModel runs on tokens"
            ) from error


def _load_tokenizer(folder: Path, model: str) -> Any:
    """The model's own tokenizer. Where a folder has none, transformers would make an empty one that knows no word."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise WeightsError(f"model {model!r}: no tokenizer in {folder}: add its tokenizer.json to the folder")
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise WeightsError(
            f"the tokenizer of model {model!r} cannot be loaded ({first_line(error)}): add tokenizer.json to the folder"
        ) from error


def _window(max_tokens: int, asked: bool, network: torch.nn.Module, tokenizer: Any) -> int:
    """The window in tokens. The default is lowered to the model's own limit; UsageError for one asked for beyond it."""
    limit = min(tokenizer.model_max_length, position_limit(network))
    if max_tokens <= limit:
        return max_tokens
    if asked:
        raise UsageError(f"sentence: max_tokens={max_tokens} is more than the {limit} tokens that the model takes")
    return int(limit)


def position_limit(network: torch.nn.Module) -> int:
    """How many tokens a model has positions for. RoBERTa's kind counts them from behind its padding id, and has fewer
    than its table of positions has rows."""
    import torch

    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - before
    limit: int | None = getattr(network.config, "max_position_embeddings", None)
    return limit or 1 << 30
