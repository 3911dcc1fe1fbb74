"""What can be wrong with the file of an encoder's top layers, as faults of its feature; and moving it away."""

from __future__ import annotations

from pathlib import Path

from features.errors import ShardError, StoreError
from features.spec import EncoderSpec
from features.store.commit import committed_names
from features.store.damaged import DamagedFolder
from features.store.faults import Fault, FaultKind, kind_of
from features.store.reading import is_there
from features.store.top_file import TOP_FILES, TopFaultError, check_top
from features.top import FILE


def top_faults(path: Path, folder: str, spec: EncoderSpec | None, has_shards: bool) -> tuple[list[Fault], int]:
    """What is wrong with the file and its record, and how many bytes were read.

    spec:       None where it is damaged: then one is compared with the other only
    has_shards: as they were listed before
    """
    try:
        there = [name for name in TOP_FILES if is_there(path / name)]
        if spec is not None and not spec.from_top:
            detail = "the spec of this feature has no from_top: move it away"
            return [Fault(folder, path / name, FaultKind.UNKNOWN, detail) for name in there], 0
        if spec is None and not there:
            return [], 0  # perhaps there is to be none
        if TOP_FILES[0] not in there and not (has_shards and committed_names(path)):
            return [], 0  # an extraction has just begun, or was stopped there; or the feature was removed meanwhile
        return [], check_top(path, spec)
    except TopFaultError as error:
        return [Fault(folder, error.path, error.kind, f"{error.detail}: {error.mend}", top=error.is_movable)], 0
    except StoreError as error:
        if isinstance(error, ShardError) and not path.is_dir():
            return [], 0  # it was removed meanwhile
        where = next((path / name for name in TOP_FILES if str(error).startswith(f"{path / name}: ")), path / FILE)
        detail = str(error).removeprefix(f"{where}: ")
        return [Fault(folder, where, kind_of(error, FaultKind.TOP), detail)], 0


def move_top(path: Path, place: DamagedFolder, faults: list[Fault]) -> str | None:
    """Move file and record away, the record first, where that mends a fault; the line that says so."""
    kinds = [str(fault.kind) for fault in faults if fault.top]
    if not kinds:
        return None
    for name in TOP_FILES:
        target = place.take([name])
    return f"{path / FILE}: moved to {target} with its record ({kinds[0]}); run the `erc extract` that made the feature"
