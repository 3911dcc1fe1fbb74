"""sha256 over canonical JSON, over files and over weights: the names by which the store tells same from changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

_BLOCK = 1 << 20


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(*parts: Any) -> str:
    """sha256 (hex) of the canonical JSON of `parts`."""
    return hashlib.sha256(canonical_json(parts).encode("utf-8", "surrogatepass")).hexdigest()


def is_later_format(kind: str, values: Mapping[str, Any], digest: str, known: int) -> bool:
    """Whether a JSON document whose digest is `digest_of(kind, values)` is of a `format` later than the `known` one.

    It is not where only that number was damaged: then the digest is that of the known format.
    """
    number = values.get("format")
    return type(number) is int and number > known and digest != digest_of(kind, {**values, "format": known})


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path, advance: Callable[[int], object] = lambda count: None) -> str:
    """sha256 (hex) of a file's bytes, read in blocks. `advance` is called with the bytes of each."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def weights_digest(state: Mapping[str, torch.Tensor] | Iterable[tuple[str, np.ndarray]]) -> str:
    """sha256 (hex) over sorted (name, dtype, shape, bytes): the same weights in another file have the same digest."""
    import numpy as np

    items: Any = state.items() if isinstance(state, Mapping) else state
    digest = hashlib.sha256()
    for name, value in sorted(items, key=lambda item: item[0]):
        if isinstance(value, np.ndarray):
            array, dtype = np.ascontiguousarray(value), str(value.dtype)
        else:
            import torch

            tensor = value.detach().cpu().contiguous()
            dtype = str(tensor.dtype).removeprefix("torch.")
            array = tensor.reshape(-1).view(torch.uint8).numpy()
        shape = list(value.shape)
        digest.update(canonical_json([name, dtype, shape]).encode())
        digest.update(array.reshape(-1).view(np.uint8).tobytes())
    return digest.hexdigest()
