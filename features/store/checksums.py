"""sha256 of exported files, beside them in the form of coreutils: `sha256sum -c` and `erc store verify` read it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from features.digests import sha256_file
from features.errors import StoreError

FOLDER_SUMS = "SHA256SUMS"
_LINE = re.compile(rb"(?P<escaped>\\?)(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)", re.DOTALL)


def sums_path(export: Path) -> Path:
    """Where the sums of an export lie: beside a file, within a folder."""
    return export / FOLDER_SUMS if export.is_dir() else export.with_name(f"{export.name}.sha256")


def sums_bytes(digests: Mapping[str, str]) -> bytes:
    """name -> sha256 (hex) as lines of `sha256sum`, which marks and escapes names with a backslash or a line feed."""
    lines = []
    for name, digest in digests.items():
        raw = os.fsencode(name)
        escaped = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
        lines.append((b"" if escaped == raw else b"\\") + digest.encode() + b"  " + escaped + b"\n")
    return b"".join(lines)


def sums_of_folder(folder: Path) -> bytes:
    """The sums of all files of a folder."""
    return sums_bytes({path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.name != FOLDER_SUMS})


def read_sums(path: Path) -> dict[str, str]:
    """name -> sha256 (hex). Raises StoreError where a line is of another form or none is there; OSError as it comes."""
    digests = {}
    for line in path.read_bytes().removesuffix(b"\n").split(b"\n"):
        match = _LINE.fullmatch(line)
        if not match:
            raise StoreError(f"{path}: is not a list of sha256 sums: it was changed or damaged")
        name = match["name"]
        if match["escaped"]:
            name = re.sub(rb"\\(\\|n)", lambda found: b"\n" if found[1] == b"n" else b"\\", name)
        digests[os.fsdecode(name)] = match["digest"].decode().lower()
    return digests
