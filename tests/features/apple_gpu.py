"""A stand-in for Apple's GPU: tensors that were sent to `mps` stay in the CPU's memory, say that they are there, refuse
float64 as the real ones do, and do not mix with others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

_MPS = torch.device("mps")
# A tensor on the device may be read and written at places that are listed on the CPU, and copied from there.
_TAKE_PLACES = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten.copy_.default}


class Storages:
    """Which memory counts as the device's. What is listed is kept alive, so that no other gets its address."""

    def __init__(self) -> None:
        self._kept: dict[int, Any] = {}

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, tensor: Tensor) -> Tensor:
        if tensor.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        storage = tensor.untyped_storage()
        self._kept[storage._cdata] = storage
        return tensor


def _device_of(values: Any) -> str | None:
    """Where a call sends a tensor: the type of a device among its arguments."""
    for value in tree_leaves(values):
        if isinstance(value, torch.device) or (isinstance(value, str) and value in ("cpu", "mps")):
            return torch.device(value).type
    return None


class _Calls(TorchFunctionMode):
    """`tensor.device`, `tensor.to(...)`, `tensor.cpu()`."""

    def __init__(self, there: Storages) -> None:
        super().__init__()
        self.there = there

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensor = args[0] if args else None
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return _MPS if tensor in self.there else func(tensor)
        if func is Tensor.cpu or (func is Tensor.to and _device_of((args[1:], kwargs)) is not None):
            goes = "cpu" if func is Tensor.cpu else _device_of((args[1:], kwargs))
            with torch.utils._python_dispatch._disable_current_modes(), torch._C.DisableTorchFunction():
                dtypes = [value for value in tree_leaves((args[1:], kwargs)) if isinstance(value, torch.dtype)]
                moved = tensor.clone() if not dtypes else tensor.to(dtypes[0], copy=True)
            return self.there.add(moved) if goes == "mps" else moved
        makes = func.__name__ != "_parse_to"  # which reads what `Module.to` was given
        if makes and _device_of(kwargs.get("device")) == "mps":  # torch.tensor(..., device="mps")
            return self.there.add(func(*args, **kwargs | {"device": "cpu"}))
        return func(*args, **kwargs)


class _Operations(TorchDispatchMode):
    """What is computed from a tensor there is there; of two that are not in one place nothing is computed."""

    def __init__(self, there: Storages) -> None:
        super().__init__()
        self.there = there

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        are_there = [tensor in self.there for tensor in tensors if tensor.dim() or tensor in self.there]
        goes = _device_of(kwargs.get("device")) == "mps"
        if goes:
            kwargs["device"] = torch.device("cpu")
        if any(are_there) and not all(are_there) and func not in _TAKE_PLACES:
            raise RuntimeError(f"{func}: expected all tensors to be on the same device, found cpu and mps")
        result = func(*args, **kwargs)
        if goes or any(are_there):
            tree_map_only(Tensor, self.there.add, result)
        return result


def _is_there() -> bool:
    return True


_is_there.__wrapped__ = _is_there  # type: ignore[attr-defined]  # torch's own is cached, and torch asks for what is in it


@contextmanager
def apple_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storages]:
    """A machine with Apple's GPU and no other. Gives what tells whether a tensor is there."""
    monkeypatch.setattr(torch.backends.mps, "is_available", _is_there)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: None)
    there = Storages()
    with _Calls(there), _Operations(there):
        yield there
