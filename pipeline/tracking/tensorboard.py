"""TensorBoard: event files in a folder, by torch's own SummaryWriter. Scalars are float32 there, seven digits."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from features.files import write_folder_whole
from pipeline.tracking.item import Content, Item
from pipeline.tracking.ledger import Destination

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_MARKDOWN = {".md"}
_TEXTS = {".txt", ".json", ".yaml"}


class TensorBoardTracker:
    """FOLDER/GROUP/RUN/seed-N/ holds one event file. Files to attach are texts where they are any: TensorBoard keeps no
    others."""

    def __init__(self, folder: Path) -> None:
        self.destination: Destination = folder
        self._folder = folder

    def is_there(self, name: str) -> bool:
        return (self._folder / name).is_dir()

    def open(self, item: Item, parent: str | None) -> str | None:
        return None

    def send(self, item: Item, content: Content, parent: str | None, earlier: str | None, opened: bool) -> str:
        """An earlier one is replaced."""
        name = f"{item.group}/{item.name}"
        folder = self._folder / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_folder_whole(folder, lambda temporary: _write(temporary, content))
        return name


def _write(folder: Path, content: Content) -> None:
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    with SummaryWriter(str(folder)) as writer:
        # Not add_hparams, which makes a folder named by the clock.
        for summary in hparams(dict(content.parameters), dict(content.numbers)):
            writer.file_writer.add_summary(summary, walltime=content.began_s)
        for point in content.points:
            for name, value in point.values.items():
                writer.add_scalar(name, value, point.epoch, walltime=point.time_s)
        for name, value in content.numbers.items():
            writer.add_scalar(name, value, 0, walltime=content.ended_s)
        _add_texts(writer, content)


def _add_texts(writer: SummaryWriter, content: Content) -> None:
    writer.add_text("environment", _table(content.environment), 0, walltime=content.ended_s)
    for name, file in content.files.items():
        if file.suffix in _MARKDOWN | _TEXTS:
            text = file.read_text(encoding="utf-8")
            shown = text if file.suffix in _MARKDOWN else f"<pre>{html.escape(text, quote=False)}</pre>"
            writer.add_text(name, shown, 0, walltime=content.ended_s)


def _table(values: Mapping[str, str]) -> str:
    """As Markdown."""
    rows = [f"| {name} | {value.replace('|', '&#124;')} |" for name, value in values.items()]
    return "\n".join(["| | |", "|---|---|", *rows])
