"""Archives as corpora come in, and as nobody should unpack them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


def tar_bytes(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def tar_of(member: tarfile.TarInfo) -> bytes:
    """An archive of a plain file and one member more."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("plain.txt"), io.BytesIO(b""))
        archive.addfile(member)
    return data.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def meld_raw() -> bytes:
    """MELD.Raw.tar.gz in small: three archives within."""
    inner = {
        "train": ("train_splits", "dia0_utt0.mp4"),
        "dev": ("dev_splits_complete", "dia0_utt0.mp4"),
        "test": ("output_repeated_splits_test", "dia0_utt0.mp4"),
    }
    files = {
        f"MELD.Raw/{split}.tar.gz": tar_bytes({f"{folder}/{clip}": split.encode() * 100})
        for split, (folder, clip) in inner.items()
    }
    return tar_bytes({**files, "MELD.Raw/README.txt": b"read me"})


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
