"""What run folders hold, to be compared: all that does not depend on the clock or on how a command was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load


def contents(folder: Path) -> dict[str, Any]:
    """Every file of the runs, without seconds, commands and the order of a head's metadata; locks and all."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or name.startswith(".shards-") or "/.shards-" in name:
            continue
        if path.name == "head.safetensors":
            found[name] = {key: value.numpy().tobytes() for key, value in load(path.read_bytes()).items()}
        elif path.name in ("result.json", "features.json"):
            values = json.loads(path.read_text())
            found[name] = {key: value for key, value in values.items() if key not in ("train_seconds", "command")}
        else:
            found[name] = None if path.name in ("history.parquet", "train.log") else path.read_bytes()
    return found
