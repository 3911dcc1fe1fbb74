"""The shards of a feature, mapped into memory when they are first read, and no more of them than a process may open.

It can be sent to another process, and survives a fork: what is sent has no maps, what is forked shares them.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

from features.errors import ShardError
from features.spec import EncoderSpec
from features.store.commit import ShardName, read_record
from features.store.shard import Shard, open_shard

_SHARE = 8  # of the files that a process may have open: a mapped file takes one, and several features are read at once
_FEWEST, _MOST = 8, 4096


class ShardGoneError(ShardError):
    """The shard was removed since its feature was opened: other rows hold now."""


class ShardMaps:
    """Shard name -> its tensors."""

    def __init__(self, folder: Path, spec: EncoderSpec) -> None:
        self.folder = folder
        self.spec = spec
        self._open: dict[ShardName, Shard] = {}

    def __getitem__(self, name: ShardName) -> Shard:
        """Raises ShardGoneError where it was removed, and what `open_shard` raises."""
        shard = self._open.get(name)
        if shard is None:
            record_path = self.folder / f"{name.stem}.json"
            try:
                record = read_record(record_path)
                shard = open_shard(self.folder / f"{name.stem}.h5", self.spec, record.sizes["h5"])
            except ShardError as error:
                if not record_path.exists():
                    raise ShardGoneError(f"{record_path}: was removed while its feature was read") from error
                raise
            self._keep(name, shard)
        return shard

    def _keep(self, name: ShardName, shard: Shard) -> None:
        while len(self._open) >= _limit():
            del self._open[next(iter(self._open))]
        self._open[name] = shard

    def close(self) -> None:
        """Let go of all of them: pages of a mapped file count as memory until then."""
        self._open.clear()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}


def _limit() -> int:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if most == resource.RLIM_INFINITY else max(_FEWEST, min(_MOST, most // _SHARE))
