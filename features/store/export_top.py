"""The layers of an encoder beside an exported feature with `from_top`: the store's file, byte for byte.

Beside a file as NAME.top.safetensors, within a folder as top.safetensors; the sums of the export cover it.
"""

from __future__ import annotations

from pathlib import Path

from features.errors import FormatError, StoreError
from features.spec import EncoderSpec
from features.store.export_faults import ExportFault, ExportFaultKind, unreadable
from features.store.feature import Feature
from features.store.top_file import parse_top, top_bytes
from features.top import FILE

SUFFIX = f".{FILE}"


def top_path(export: Path) -> Path:
    return export / FILE if export.is_dir() else export.with_name(export.name + SUFFIX)


def exported_top(feature: Feature) -> bytes | None:
    """What to write there. Raises as `top_file.read_top`."""
    return top_bytes(feature.path, feature.spec) if feature.spec.from_top else None


def check_exported_top(export: Path, spec: EncoderSpec) -> list[ExportFault]:
    """What is wrong with it, of an export whose spec has `from_top`."""
    path = top_path(export)
    try:
        parse_top(path, spec, path.read_bytes())
    except FileNotFoundError:
        detail = "is not there, the layers above the exported states: copy it, too, or export it again"
        return [ExportFault(path, ExportFaultKind.ABSENT, detail)]
    except OSError as error:
        return [unreadable(path, error)]
    except StoreError as error:
        kind = ExportFaultKind.UNREADABLE if isinstance(error, FormatError) else ExportFaultKind.FORM
        return [ExportFault(path, kind, str(error).removeprefix(f"{path}: "))]
    return []
