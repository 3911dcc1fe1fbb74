"""A transformer loaded from a local folder: without what no encoder reads, and with the digest of its weights.

Where there are no safetensors, as for many older models, pytorch_model.bin is read with torch's `weights_only`; code
that comes with a model is never run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.digests import weights_digest
from features.encoders.casting import cast, has_rounded_buffers, loading_dtypes, record, remove_weight_norms
from features.encoders.config_fields import config_fields
from features.encoders.devices import torch_dtype
from features.encoders.folder_digest import folder_digest
from features.encoders.weights import Weights
from features.errors import UsageError, WeightsError, first_line, nearest

if TYPE_CHECKING:
    import torch

Part = Callable[[Any], Any]

RANDOM_SEED = 0
"""The seed of `--weights random`; it is in the settings of every spec built so."""

_UNREAD = ("pooler", "masked_spec_embed")


def load_model(
    folder: Path,
    weights: Weights = "pretrained",
    model: str | None = None,
    dtype: str | None = None,
    part: Part | None = None,
) -> tuple[torch.nn.Module, str]:
    """The bare transformer of a folder, in evaluation mode on the CPU, and the digest of its weights.

    The digest is taken in the checkpoint's own dtype, before any cast. What no encoder here reads is taken off first
    (a pooler such as BERT's, the vector that speech models put at masked frames in training), so that a checkpoint with
    it and one without are the same weights.
    model: what to call it in errors
    dtype: one of spec.DTYPES: cast to it as the model's own loading would (see `casting`); None leaves the checkpoint's
    part:  of a whole model, the module that alone is used
    Raises WeightsError where the folder holds no such model, or its weights do not cover the architecture: a layer is
    never left at random values.
    """
    from transformers import AutoConfig

    name = model or str(folder)
    with quiet_transformers(), _load_errors(name):
        if weights == "random":
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            return random_model(config, dtype, part)
        whole = _from_folder(folder, name, "auto")
        network = _bare(whole, part)
        digest = folder_digest(folder, network)
        if dtype is None:
            return network, digest
        target = torch_dtype(dtype)
        if whole.dtype != target and has_rounded_buffers(network):
            whole = _from_folder(folder, name, target)
            network = _bare(whole, part)
            record(network.config)
        return _cast(whole, network, target), digest


def check_model_type(folder: Path, model: str, known: Collection[str], wanted: str) -> None:
    """Raises WeightsError where a folder's config cannot be used, or is of none of the `known` types. wanted: a clause
    that says what to give instead"""
    from transformers import AutoConfig

    try:
        with quiet_transformers():
            kind = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).model_type
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"model {model!r}: its config cannot be used ({first_line(error)})") from error
    if kind not in known:
        raise WeightsError(f"model {model!r} is of type {kind!r}: {nearest(kind, known)}: {wanted}")


def _from_folder(folder: Path, name: str, dtype: Any) -> Any:
    """A folder's whole model. Raises WeightsError where a weight that is read would be left at random values."""
    from transformers import AutoModel

    network, info = AutoModel.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        weights_only=True,
        dtype=dtype,
        output_loading_info=True,
    )
    left_random = sorted(key for key in info["missing_keys"] if key.partition(".")[0] not in _UNREAD)
    if left_random:
        raise WeightsError(
            f"model {name!r}: its file lacks {len(left_random)} of the weights that {type(network).__name__} needs"
            f" ({left_random[0]}, ...): give a whole checkpoint, or --weights random to test without one"
        )
    return network


def _cast(whole: Any, network: Any, dtype: torch.dtype) -> torch.nn.Module:
    """Cast a whole model and with it the bare network, which is the same or within it; returns the latter."""
    import torch

    others = {} if dtype == torch.float32 else loading_dtypes(whole, dtype)
    remove_weight_norms(whole)
    if cast(whole, dtype, others):
        record(network.config)
    bare: torch.nn.Module = network
    return bare


def architecture(config: Any) -> dict[str, Any]:
    """What a transformers config says of the numbers beyond the weights, as JSON values; part of a fingerprint."""
    return config_fields(config)


def random_model(config: Any, dtype: str | None = None, part: Part | None = None) -> tuple[torch.nn.Module, str]:
    """The bare transformer of a transformers config with weights drawn from RANDOM_SEED, and their digest: see
    `load_model`."""
    import torch
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        whole = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)
    network = _bare(whole, part)
    digest = weights_digest(network.state_dict())
    return (network if dtype is None else _cast(whole, network, torch_dtype(dtype))), digest


def _bare(network: Any, part: Part | None) -> Any:
    """A whole model, or that part of it, less what is not read (taken off in place)."""
    import torch

    for name in _UNREAD:
        unread = getattr(network, name, None)
        if isinstance(unread, torch.nn.Module) and not list(unread.parameters()):
            continue  # convolutional networks call their pooler, a plain mean, without asking whether it is there
        if unread is not None:
            setattr(network, name, None)
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    if part is not None:
        network = part(network)
    return network.requires_grad_(False).eval()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bar and no load report of transformers on stderr within; errors still raise."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


@contextmanager
def _load_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (WeightsError, UsageError):
        raise
    except Exception as error:  # what damaged or hostile files raise, libraries do not promise
        raise WeightsError(f"model {name!r} cannot be loaded ({first_line(error)})") from error
