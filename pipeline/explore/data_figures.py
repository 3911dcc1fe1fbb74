"""The figures of a corpus. Sizes are pixels of the page; shares are percent of a split's utterances or dialogues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.explore.corpus import SpeakerCount, SplitFacts, Spread
from pipeline.explore.tokens import TokenCounts
from pipeline.pages.axes import name_rows
from pipeline.pages.drawing import ACCENT, FAINT, INK, MUTED, SMALL, Drawing, draw, hint, plain
from pipeline.pages.words import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (480, 220)
_FILLS = (ACCENT, FAINT, MUTED, INK)  # of the splits, in their order; again from the first where there are more
_BINS = 36
_NAME = 18  # characters of a row's name


def fill_of(splits: Sequence[str], split: str) -> str:
    """A split's colour."""
    return _FILLS[list(splits).index(split) % len(_FILLS)]


def drawings_of(
    facts: Sequence[SplitFacts], speakers: Sequence[SpeakerCount], tokens: Sequence[TokenCounts]
) -> dict[str, Drawing]:
    """Key -> figure; the key is the name of its files. What was not measured has none."""
    durations = {item.split: Spread(item.durations.values[item.durations.values > 0]) for item in facts}
    lengths = {item.split: item.lengths for item in facts}
    drawings = {"speakers": speaker_bars("speakers", speakers, [item.split for item in facts])}
    if any(any(item.labels.values()) for item in facts):
        drawings["classes"] = class_bars("classes", facts)
    if any(spread.count for spread in durations.values()):
        drawings["durations"] = histogram("durations", "Durations, percent of a split", durations, "seconds", log=True)
    title = "Utterances a dialogue, percent of a split's dialogues"
    drawings["dialogues"] = histogram("dialogues", title, lengths, "utterances a dialogue", log=False)
    for item in tokens:
        if item.by_split:
            key = f"tokens-{item.encoder}"
            windows = [window.tokens for window in item.windows]
            title = f"Tokens of {item.reads} for {item.encoder}, percent of a split with at most so many"
            drawings[key] = cumulative(key, title, item.by_split, "tokens", windows)
    return drawings


def class_bars(key: str, facts: Sequence[SplitFacts]) -> Drawing:
    """The share of each label among a split's labelled utterances, one bar a split."""
    labels, splits = list(facts[0].labels), [item.split for item in facts]
    height = 0.8 / len(facts)

    def plot(axes: Axes) -> None:
        for number, item in enumerate(facts):
            total = sum(item.labels.values())
            shares = [100 * item.labels[label] / total if total else 0.0 for label in labels]
            places = np.arange(len(labels)) + (number - (len(facts) - 1) / 2) * height
            bars = axes.barh(places, shares, height * 0.9, color=fill_of(splits, item.split), label=plain(item.split))
            for bar, label, share in zip(bars, labels, shares, strict=True):
                hint(bar, f"{label}, {item.split}: {count(item.labels[label])} ({share:.1f}%)")
        _finish_rows(axes, labels, "% of the labelled utterances")

    return draw(key, "Share of each label, percent of a split", (_SIZE[0] - 80, 18 + 34 * len(labels)), plot)


def speaker_bars(key: str, speakers: Sequence[SpeakerCount], splits: Sequence[str]) -> Drawing:
    """Utterances of the most frequent speakers, the splits side by side in one bar."""

    def plot(axes: Axes) -> None:
        names = [item.speaker or "(nobody named)" for item in speakers]
        left = np.zeros(len(speakers))
        for split in splits:
            values = np.array([item.by_split.get(split, 0) for item in speakers], dtype=float)
            bars = axes.barh(range(len(names)), values, 0.7, left, color=fill_of(splits, split), label=plain(split))
            for bar, name, value in zip(bars, names, values, strict=True):
                hint(bar, f"{name}, {split}: {count(int(value))}")
            left += values
        _finish_rows(axes, names, "utterances")

    return draw(key, "Utterances of the most frequent speakers", (_SIZE[0] - 80, 18 + 21 * len(speakers)), plot)


def _finish_rows(axes: Axes, names: Sequence[str], what: str) -> None:
    """Name the rows of bars, the first on top, and what they measure."""
    name_rows(axes, names, most=_NAME, pad=6, tooltips=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(what, loc="right")
    axes.grid(axis="x")
    _legend(axes)


def histogram(key: str, title: str, spreads: dict[str, Spread], unit: str, log: bool) -> Drawing:
    """Numbers by split as outlines, each split adding up to 100%."""
    every = np.concatenate([spread.values for spread in spreads.values()])
    edges = _edges(float(every.min()), float(every.max()), log)

    def plot(axes: Axes) -> None:
        for split, spread in _measured(spreads):
            shares = 100 * np.histogram(spread.values, edges)[0] / spread.count
            color = fill_of(list(spreads), split)
            hint(
                axes.stairs(shares, edges, color=color, linewidth=1.75, label=plain(split)), _told(split, spread, unit)
            )
        _by_number(axes, unit, log)

    return draw(key, title, _SIZE, plot)


def cumulative(key: str, title: str, spreads: dict[str, Spread], unit: str, rules: Sequence[int]) -> Drawing:
    """The percent of each split with at most so many, on a logarithmic axis. rules: vertical lines at these values."""

    def plot(axes: Axes) -> None:
        for split, spread in _measured(spreads):
            values, counts = np.unique(spread.values, return_counts=True)
            shares = 100 * np.cumsum(counts) / spread.count
            color = fill_of(list(spreads), split)
            (line,) = axes.step(values, shares, where="post", color=color, linewidth=1.75, label=plain(split))
            hint(line, _told(split, spread, unit))
        for rule in rules:
            axes.axvline(rule, color=INK, linewidth=1, dashes=(4, 3))
            axes.annotate(
                f"{rule:,}",
                (rule, 0),
                (-5, 5),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                ha="right",
                color=INK,
                fontsize=SMALL,
            )
        _by_number(axes, unit, log=True)

    return draw(key, title, _SIZE, plot)


def _measured(spreads: dict[str, Spread]) -> list[tuple[str, Spread]]:
    """Those with numbers, the first split last, so that it lies above."""
    return [(split, spread) for split, spread in reversed(spreads.items()) if spread.count]


def _told(split: str, spread: Spread, unit: str) -> str:
    return f"{split}: {count(spread.count)}, median {np.median(spread.values):.3g} {unit}"


def _by_number(axes: Axes, unit: str, log: bool) -> None:
    if log:
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        shown = "25" if high / low < 1000 else "3"
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in shown else "")
        axes.tick_params(axis="x", which="minor", labelsize=SMALL, labelcolor=MUTED)
    axes.set_ylim(0)
    axes.set_xlabel(plain(unit), loc="right")
    axes.set_ylabel("%", rotation=0, loc="top")
    axes.grid(axis="y")
    _legend(axes, reverse=True)


def _edges(low: float, high: float, log: bool) -> np.ndarray:
    """Edges of at most _BINS bins: whole numbers between halves, or equal ratios."""
    if log:
        return np.geomspace(low, max(high, low * 1.01) * (1 + 1e-9), _BINS + 1)
    width = max(1, int(np.ceil((high - low + 1) / _BINS)))
    return np.arange(low - 0.5, high + 0.5 + width, width)


def _legend(axes: Axes, reverse: bool = False) -> None:
    handles, names = axes.get_legend_handles_labels()
    if reverse:
        handles, names = handles[::-1], names[::-1]
    axes.legend(
        handles, names, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=6, frameon=False, fontsize=SMALL,
        labelcolor=MUTED, borderaxespad=0, handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip
