"""The networks' own forward passes within some work: recorded while it runs, to be run again by themselves."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import nn


class Forwards:
    """A context manager that notes each call of a module that no other module calls, with what it is given."""

    def __init__(self) -> None:
        self._calls: list[tuple[nn.Module, tuple[Any, ...], dict[str, Any]]] = []
        self._depth = 0
        self._call = nn.Module.__call__

    def __enter__(self) -> Forwards:
        own, call = self, self._call

        def noted(module: nn.Module, *given: Any, **named: Any) -> Any:
            if own._depth == 0:
                own._calls.append((module, given, named))
            own._depth += 1
            try:
                return call(module, *given, **named)
            finally:
                own._depth -= 1

        nn.Module.__call__ = noted  # type: ignore[method-assign]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        nn.Module.__call__ = self._call  # type: ignore[method-assign]

    def __len__(self) -> int:
        return len(self._calls)

    def again(self) -> None:
        """The same calls on the same tensors; on a GPU, until they have ended."""
        with torch.inference_mode():
            for module, given, named in self._calls:
                module(*given, **named)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
