"""A Dockerfile, read into its instructions: as much of the format as ours uses."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

KNOWN = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "ENTRYPOINT", "CMD", "LABEL", "EXPOSE", "USER", "VOLUME"}


@dataclass(frozen=True)
class Instruction:
    """line: where it begins; text: all after its name, continued lines joined"""

    line: int
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The parts of the JSON form, else what spaces part, but for flags."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return [word for word in self.text.split() if not word.startswith("--")]

    @property
    def commands(self) -> list[list[str]]:
        """Of RUN: the commands that `&&` parts, each as words."""
        return [part.split() for part in self.text.split("&&")]


def read_dockerfile(path: Path) -> list[Instruction]:
    """Raises ValueError for a line that is no instruction, and where a continued one never ends."""
    found, open_text, began = [], "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        began = began if open_text else number
        open_text += " " + line.strip()
        if open_text.endswith("\\"):
            open_text = open_text.removesuffix("\\")
            continue
        match = re.fullmatch(r" *([A-Z]+) +(\S.*)", open_text)
        if not match or match[1] not in KNOWN:
            raise ValueError(f"{path}:{began}: {open_text.strip()!r} is no instruction")
        found.append(Instruction(began, match[1], " ".join(match[2].split())))
        open_text = ""
    if open_text:
        raise ValueError(f"{path}:{began}: {open_text.strip()!r} never ends")
    return found
