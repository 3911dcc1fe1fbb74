"""The shards of a feature, mapped into memory when they are read, no more of them at once than a process may open.

It can be sent to another process, and survives a fork: what is sent has no maps, what is forked shares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import ShardError
from features.hardware import open_files_limit
from features.spec import EncoderSpec
from features.store.commit import ShardName, read_record
from features.store.reading import is_there, read_error
from features.store.shard import Shard, map_values, open_shard

_SHARE = 8  # of the files that a process may have open: a mapped file takes one, and several features are read at once
_FEWEST, _MOST = 8, 4096


class ShardGoneError(ShardError):
    """The shard was removed since its feature was opened: other rows hold now."""


@dataclass(frozen=True)
class _Layout:
    """Where a shard that was checked has its tensors, so that mapping it again takes no look into HDF5."""

    path: Path
    begin: int
    shape: tuple[int, ...]
    dtype: np.dtype
    offsets: np.ndarray | None

    def map(self) -> Shard:
        """Raises OSError where it cannot be opened."""
        values = map_values(self.path, self.dtype, self.begin, self.shape)
        return Shard(self.path, values, self.begin, self.offsets)


class ShardMaps:
    """Shard name -> its tensors. A shard is checked when it is read for the first time."""

    def __init__(self, folder: Path, spec: EncoderSpec) -> None:
        self.folder = folder
        self.spec = spec
        self._open: dict[ShardName, Shard] = {}
        self.tensors: dict[ShardName, np.ndarray] = {}  # of those that are open: one look-up for who takes row by row
        self._layouts: dict[ShardName, _Layout] = {}

    def __getitem__(self, name: ShardName) -> Shard:
        """Raises ShardGoneError where it was removed, and what `open_shard` raises."""
        shard = self._open.get(name)
        if shard is None:
            layout = self._layouts.get(name)
            shard = self._again(name, layout) if layout else self._checked(name)
            while len(self._open) >= _limit():
                oldest = next(iter(self._open))
                del self._open[oldest], self.tensors[oldest]
            self._open[name], self.tensors[name] = shard, shard.values
        return shard

    def _checked(self, name: ShardName) -> Shard:
        record_path = self.folder / f"{name.stem}.json"
        try:
            record = read_record(record_path)
            shard = open_shard(self.folder / f"{name.stem}.h5", self.spec, record.sizes["h5"])
        except ShardError as error:
            if isinstance(error.__cause__, FileNotFoundError) and not is_there(record_path):
                raise ShardGoneError(f"{record_path}: was removed while its feature was read") from error
            raise
        if shard.begin is not None:
            values = shard.values
            self._layouts[name] = _Layout(shard.path, shard.begin, values.shape, values.dtype, shard.offsets)
        return shard

    def _again(self, name: ShardName, layout: _Layout) -> Shard:
        try:
            return layout.map()
        except FileNotFoundError:
            del self._layouts[name]
            return self._checked(name)  # it is gone, or says what is wrong
        except OSError as error:
            raise read_error(layout.path, error) from error

    def close(self) -> None:
        """Let go of all of them: pages of a mapped file count as memory until then."""
        self._open.clear()
        self.tensors.clear()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}, "tensors": {}}


def _limit() -> int:
    most = open_files_limit()
    return _MOST if most is None else max(_FEWEST, min(_MOST, most // _SHARE))
