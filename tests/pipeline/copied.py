"""What takes long to make, made once a process and copied for every test."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_TEXTS = {".json", ".jsonl", ".yaml"}
_MADE: dict[str, Path] = {}


def copied(name: str, folder: Path, make: Callable[[Path], object]) -> None:
    """Leave in `folder` what `make` leaves in one of its own, whose path then is this one's in all texts.

    name: of what is made, one for each `make`
    """
    if name not in _MADE:
        template = Path(tempfile.mkdtemp(prefix="erc-tests-"))
        atexit.register(shutil.rmtree, template, ignore_errors=True)
        make(template)
        _MADE[name] = template
    template = _MADE[name]
    shutil.copytree(template, folder, dirs_exist_ok=True)
    for path in folder.rglob("*"):
        if path.suffix in _TEXTS and path.is_file():
            text = path.read_text(encoding="utf-8")
            if str(template) in text:
                path.write_text(text.replace(str(template), str(folder)), encoding="utf-8")
