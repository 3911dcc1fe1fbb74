"""A Hugging Face network that turns tokens into hidden states, and its tokenizer: what the text encoders share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.encoders.devices import pin_fp32, to_device
from features.encoders.loading import architecture, load_model, quiet_transformers
from features.encoders.promises import TOLERANCES, check_promises
from features.encoders.protocol import EncoderRequest
from features.encoders.table import ENCODERS
from features.encoders.text.token_windows import bare_tokenizer, special_tokens, tokenizer_digest
from features.encoders.weights import TOKENIZER_FILES, find_model
from features.errors import UsageError, WeightsError, first_line

if TYPE_CHECKING:
    import torch

    from features.top.top import Top

_NO_LIMIT = 1 << 30
_PROBE = "a b c d e f g h i j k l m n o p q r s t u v w x y z"
_PROBE_SIZES = (3, 24)  # tokens of the shorter and the longer window


class TextNetwork:
    """b: batch, t: tokens, w: width.

    tokenizer:      the bare fast tokenizer (see `token_windows.bare_tokenizer`)
    whole_tokenizer: transformers' own, which knows its chat template
    mask_token:     transformers' AddedToken of a masked language model, or None
    settings:       what of its tokenizer and config changes the numbers
    token_limit:    how many tokens the model takes, special tokens included
    num_states:     how many hidden states it gives, its embeddings among them
    """

    def __init__(self, network: torch.nn.Module, tokenizer: Any, request: EncoderRequest) -> None:
        """network, tokenizer: as `load_model` and `load_tokenizer` give them; they are changed and kept.

        Raises WeightsError for a model that does not turn this tokenizer's tokens into hidden states.
        """
        self.model = model_name(request)
        self.whole_tokenizer = tokenizer
        self.tokenizer = bare_tokenizer(tokenizer, self.model)
        self.mask_token = next(
            (token for token in tokenizer.added_tokens_decoder.values() if token.content == tokenizer.mask_token), None
        )
        self.settings = {
            "tokenizer": tokenizer_digest(self.tokenizer),
            "architecture": architecture(network.config),
        }
        self._longrope = original_window(network.config) < _NO_LIMIT
        self.token_limit = min(tokenizer.model_max_length, position_limit(network))
        if request.dtype == "fp32":
            pin_fp32()
        network.config.use_cache = False  # type: ignore[union-attr]
        self._check_vocabulary(network)
        self._network = network.to(device=request.device)
        self.device = request.device
        self._pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self._widths, self._last_is_output = self._probe()
        self.num_states = len(self._widths)
        self._check_promises(request.dtype)

    def window(self, max_tokens: int, request: EncoderRequest) -> int:
        """The window in tokens. The default is lowered to the model's own limit.

        Raises UsageError for one asked for beyond it.
        """
        if max_tokens <= self.token_limit:
            return max_tokens
        if "max_tokens" in request.settings:
            why = " (longrope: beyond its original window, rows of a batch change each other)" if self._longrope else ""
            raise UsageError(
                f"{request.encoder}: max_tokens={max_tokens} is more than the {self.token_limit} tokens that the model"
                f" takes{why}"
            )
        return self.token_limit

    def width(self, layers: Sequence[int]) -> int:
        """w of the given hidden states. Raises UsageError where they differ: a model may project its output."""
        widths = {self._widths[layer] for layer in layers}
        if len(widths) > 1:
            raise UsageError(
                f"hidden layers {list(layers)} of model {self.model!r} differ in width: choose one of them"
            )
        return widths.pop()

    def hidden_states(self, windows: Sequence[np.ndarray], layers: Sequence[int]) -> list[torch.Tensor]:
        """Token ids, int [t] a window -> per layer [b, t, w] in the compute dtype, padded to the longest window.

        Padding follows a window, so that its positions count from 0, and is masked. What stands in it is meaningless.
        Without padding there is no mask: it would keep attention from its fastest kernels.
        layers: counted from the end, as `layers.parse_layers` gives them
        """
        import torch

        ids, real = self._padded(windows)
        attended = None if real.all() else real
        only_last = self._last_is_output and tuple(layers) == (-1,)
        with torch.inference_mode():
            mask = None if attended is None else to_device(attended.astype(np.int64), self.device)
            output = self._run(to_device(ids, self.device), mask, not only_last)
        return [output.last_hidden_state] if only_last else [output.hidden_states[layer] for layer in layers]

    def _padded(self, windows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Ids, int64 [b, t], and which of them are real, bool [b, t]: padding follows a window."""
        size = (len(windows), max(map(len, windows)))
        ids = np.full(size, self._pad_id, dtype=np.int64)
        lengths = np.array([len(window) for window in windows])
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window
        return ids, np.arange(size[1]) < lengths[:, None]

    def _run(self, ids: torch.Tensor, attended: torch.Tensor | None, output_hidden_states: bool) -> Any:
        """ids, attended: int64 [b, t], attended 1 where real, None for all -> transformers' output object."""
        return self._network(input_ids=ids, attention_mask=attended, output_hidden_states=output_hidden_states)

    def _probe(self) -> tuple[list[int], bool]:
        """The width of each hidden state, and whether the last is what the model puts out, from a run over a window."""
        import torch

        prefix, suffix = special_tokens(self.tokenizer)
        ids = torch.tensor([[*prefix, self._pad_id, *suffix]], device=self.device)
        try:
            with torch.inference_mode():
                output = self._run(ids, torch.ones_like(ids), True)
            widths = [state.shape[-1] for state in output.hidden_states]
            return widths, torch.equal(output.hidden_states[-1], output.last_hidden_state)
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise WeightsError(
                f"model {self.model!r} is no encoder of text ({first_line(error)}):"
                " give one that AutoModel runs on tokens"
            ) from error

    def _check_promises(self, dtype: str) -> None:
        """Two windows, to the last hidden state (see `promises`)."""
        short, long = self._probe_windows()

        def run(windows: Sequence[np.ndarray]) -> list[torch.Tensor]:
            (states,) = self.hidden_states(windows, [-1])
            return [state[: len(window)] for state, window in zip(states, windows, strict=True)]

        check_promises(run, short, long, self.model, dtype)

    def _probe_windows(self) -> tuple[np.ndarray, np.ndarray]:
        """A short and a long window of the alphabet's letters, int32 [t]."""
        prefix, suffix = special_tokens(self.tokenizer)
        letters = self.tokenizer.encode(_PROBE, add_special_tokens=False).ids
        room = self.token_limit - len(prefix) - len(suffix)
        short, long = (np.array([*prefix, *letters[: min(size, room)], *suffix], np.int32) for size in _PROBE_SIZES)
        return short, long

    def cut_top(self, from_top: int, dtype: str) -> Top:
        """The last `from_top` layers (see `features.top`), cut on the windows of `_probe_windows`.

        Raises UsageError where the model cannot be cut so, or its hidden states are not what its layers are given.
        """
        from features.top.cut import cut_top
        from features.top.stand_ins import hidden_of

        windows = self._probe_windows()
        ids, real = (to_device(array, self.device) for array in self._padded(windows))
        top = cut_top(self._network, "tokens", from_top, ids, real, model=self.model, tolerance=TOLERANCES[dtype])
        given: list[torch.Tensor] = []
        first = self._network.get_submodule(f"{top.description.layers}.{top.description.first}")
        handle = first.register_forward_pre_hook(
            lambda module, args, kwargs: given.append(hidden_of(args, kwargs)), with_kwargs=True
        )
        try:
            (states,) = self.hidden_states(windows, [-(from_top + 1)])
        finally:
            handle.remove()
        if len(given) != 1 or not bool((states == given[0])[real].all()):
            raise UsageError(
                f"from_top={from_top}: model {self.model!r} cannot be cut: its hidden states are not what its layers"
                " are given"
            )
        return top

    def _check_vocabulary(self, network: Any) -> None:
        import torch

        embeddings = network.get_input_embeddings()
        largest = max(self.tokenizer.get_vocab().values())
        if isinstance(embeddings, torch.nn.Embedding) and largest >= embeddings.num_embeddings:
            raise WeightsError(
                f"model {self.model!r}: its tokenizer has ids up to {largest}, its network {embeddings.num_embeddings}"
                " embeddings: they are not of one model"
            )


def model_name(request: EncoderRequest) -> str:
    """What --model says, else the encoder's default."""
    return request.model or ENCODERS[request.encoder].default_model or ""


def load_text_network(request: EncoderRequest) -> tuple[TextNetwork, str]:
    """The network and tokenizer that a request names, and the digest of the weights.

    Raises WeightsError where the model is not to be had, or is none of text.
    """
    model = model_name(request)
    folder = find_model(model, request.weights)
    tokenizer = load_tokenizer(folder, model)
    network, digest = load_model(folder, request.weights, model, request.dtype)
    return TextNetwork(network, tokenizer, request), digest


def load_tokenizer(folder: Path, model: str) -> Any:
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


def position_limit(network: torch.nn.Module) -> int:
    """How many tokens a model has positions for. RoBERTa's kind counts them from behind its padding id, and has fewer
    than its table of positions has rows."""
    import torch

    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - before
    limit: int = getattr(network.config, "max_position_embeddings", None) or 0
    limit = limit if limit > 0 else _NO_LIMIT  # XLNet's config says -1
    return min(limit, original_window(network.config))


def original_window(config: Any) -> int:
    """How many tokens a model of longrope was first made for: beyond them it takes another table of frequencies for all
    rows of a batch, by the longest of them. No limit for other models."""
    ropes = getattr(config, "rope_parameters", None) or {}
    found = [
        int(rope.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", 0) or 0)
        for rope in (ropes, *ropes.values())  # one, or one a kind of layer
        if isinstance(rope, Mapping) and rope.get("rope_type") == "longrope"
    ]
    return min((window for window in found if window > 0), default=_NO_LIMIT)
