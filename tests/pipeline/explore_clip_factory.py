"""A tiny corpus with one real clip, `erc explore clip` run on it, and its page taken apart."""

from __future__ import annotations

import base64
import io
import re
import wave
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from click.testing import CliRunner
from clip_factory import every, numbered_picture, sine, write_clip
from PIL import Image

from features.cards import DatasetCard
from features.manifest import build_manifest, frame_of, write_manifest

RATE_HZ = 48000
SIZE = (320, 240)
CLIP_ID = "toy/train/dia0_utt1"
TEXTS = ("Hello there, you two.", "We should go now, really!", "Fine.")


def make_corpus(folder: Path, texts: tuple[str, ...] = TEXTS, card: DatasetCard | None = None, **columns: Any) -> Path:
    """A manifest of one dialogue; only its second utterance has a clip, of 2 s. Returns the manifest's path."""
    media = folder / "media"
    media.mkdir(parents=True, exist_ok=True)
    with patch("clip_factory.numbered_picture", tinted):
        write_clip(media / "clip.mp4", times_ms=every(100, 20), samples=sine(2.0, RATE_HZ), rate_hz=RATE_HZ, size=SIZE)
    rows = [
        {
            "utterance_id": f"toy/train/dia0_utt{turn}",
            "dataset": "toy",
            "split": "train",
            "dialogue_id": "toy/train/dia0",
            "turn": turn,
            "speaker": ("Ann", "Bob")[turn % 2],
            "text": text,
            "label": "neutral",
            "media": "clip.mp4" if turn == 1 else None,
        }
        | columns
        for turn, text in enumerate(texts)
    ]
    manifest = build_manifest(frame_of(rows), card or DatasetCard("toy", labels=("neutral",)), media)
    return write_manifest(manifest, folder / "manifest.parquet")


def tinted(number: int, width: int, height: int) -> np.ndarray:
    """`numbered_picture` in orange, so that exchanged colours show."""
    return (numbered_picture(number, width, height) * np.array([1.0, 0.75, 0.45])).astype(np.uint8)


def run(manifest: Path, *flags: str, utterance_id: str = CLIP_ID) -> Any:
    """The command's result; the page is written beside the manifest. The store is one that is not there."""
    from pipeline.commands.explore_clip import command

    out = manifest.parent / "explore"
    arguments = [utterance_id, "--manifest", str(manifest), "--out", str(out), *flags]
    return CliRunner().invoke(command, arguments, env={"ERC_STORE": None}, catch_exceptions=True)


def page_of(manifest: Path, *flags: str, utterance_id: str = CLIP_ID) -> Page:
    from pipeline.commands.explore_clip import page_name

    done = run(manifest, *flags, utterance_id=utterance_id)
    assert done.exit_code == 0, (done.output, done.exception)
    return read_page(manifest.parent / "explore" / page_name(utterance_id))


@dataclass
class Shown:
    """One encoder's part. tokens: (classes, text)"""

    name: str
    text: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[str]] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    overlays: list[str] = field(default_factory=list)
    tokens: list[tuple[set[str], str]] = field(default_factory=list)
    sounds: list[str] = field(default_factory=list)

    def kept(self) -> list[str]:
        return [text for classes, text in self.tokens if "cut" not in classes]

    def cut(self) -> list[str]:
        return [text for classes, text in self.tokens if "cut" in classes]


@dataclass
class Page:
    """html: the file; blocks: encoder -> its part; text: all that a reader sees"""

    html: str
    blocks: dict[str, Shown]
    text: str
    tags: list[tuple[str, dict[str, str | None]]]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.blocks: dict[str, Shown] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._block: Shown | None = None
        self._stack: list[tuple[str, set[str]]] = []
        self._row = self._term = ""
        self._texts_at: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        classes = set((values.get("class") or "").split())
        self.tags.append((tag, values))
        if tag == "article" and self._block is None:
            self._block = self.blocks[values["aria-label"] or ""] = Shown(values["aria-label"] or "")
        if self._block is not None:
            if tag == "img":
                self._block.rows.setdefault(self._row, []).append(values["src"] or "")
            if tag == "audio":
                self._block.sounds.append(values["src"] or "")
            if tag == "i":
                self._block.overlays.append(f"{self._row}: {values['class']}")
        if tag not in {"img", "meta", "wbr", "path", "use", "rect"}:
            self._stack.append((tag, classes))
            self._texts_at.append(len(self.texts))

    def handle_endtag(self, tag: str) -> None:
        while self._stack:
            name, classes = self._stack.pop()
            text = "".join(self.texts[self._texts_at.pop() :])
            self._leave(name, classes, text)
            if name == tag:
                return

    def _leave(self, tag: str, classes: set[str], text: str) -> None:
        block = self._block
        if block is None:
            return
        if tag == "h4":
            self._row = text
        elif tag == "dt":
            self._term = text
        elif tag == "dd":
            block.facts.setdefault(self._term, " ".join(text.split()))
        elif tag == "figcaption":
            block.captions.append(text)
        elif (
            tag == "span"
            and any("tokens" in each for _, each in self._stack[-1:])
            and classes & {"own", "past", "special"}
        ):
            if not any(name == "p" for name, _ in self._stack):
                block.tokens.append((classes, text))
        elif tag == "article":
            block.text = " ".join(text.split())
            self._block = None

    def handle_data(self, data: str) -> None:
        if not self._stack or self._stack[-1][0] != "style":
            self.texts.append(data)


def read_page(path: Path) -> Page:
    html = path.read_text(encoding="utf-8")
    reader = _Reader()
    reader.feed(html)
    return Page(html, reader.blocks, " ".join("".join(reader.texts).split()), reader.tags)


def row_of(block: Shown, beginning: str, form: str = "png") -> list[np.ndarray]:
    """The pictures of the row whose title begins so, decoded; of PNG each pixel counts."""
    (uris,) = [uris for title, uris in block.rows.items() if title.startswith(beginning)]
    assert all(uri.startswith(f"data:image/{form};base64,") for uri in uris)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in uris]


def sound_of(block: Shown) -> tuple[int, np.ndarray]:
    """Rate and samples (int16) of the one sound of a block."""
    (uri,) = block.sounds
    with wave.open(io.BytesIO(base64.b64decode(re.sub("^data:audio/wav;base64,", "", uri)))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")
