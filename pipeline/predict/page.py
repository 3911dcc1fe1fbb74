"""The page of `erc predict --html`: the clip, the turns, the probabilities as the talk goes on. One file, no script."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.pages.drawing import COLOURS
from pipeline.pages.html import render
from pipeline.pages.shades import LEAST, REST, tone
from pipeline.pages.words import REASONS, SYNTHETIC_WARNING
from pipeline.predict.predictor import Predicted
from pipeline.runs.folder import Run

MAX_CLIP_BYTES = 16 << 20  # that is put into the page; of larger ones it tells the name
_MAX_PAGE_BYTES = 48 << 20


@dataclass(frozen=True)
class Cell:
    """A probability as the page shows it.

    opacity: of its shade
    tone:    the page's variable that has the number's colour
    """

    percent: str
    opacity: str
    tone: str


def predicted_page(predicted: Predicted, run: Run, command_line: str) -> str:
    probabilities = predicted.probabilities
    talks = [
        _talk(predicted, probabilities, talk, np.flatnonzero((predicted.frame["dialogue_id"] == talk).to_numpy()))
        for talk in predicted.frame["dialogue_id"].unique(maintain_order=True)
    ]
    return render(
        "pipeline.predict",
        "predict.html.jinja",
        styles=["predict.css.jinja"],
        allow=["media-src data:"],
        run=run,
        labels=predicted.labels,
        talks=talks,
        clips=_clips(predicted),
        modalities=list(predicted.without),
        temperature=predicted.temperature,
        notes=[(who, folder, REASONS.get(reason, reason)) for who, folder, reason in predicted.notes],
        warnings=_warnings(run),
        command_line=command_line,
    )


def _talk(predicted: Predicted, probabilities: np.ndarray, name: str, rows: np.ndarray) -> dict[str, Any]:
    """What the template shows of one dialogue."""
    frame = predicted.frame[rows]
    labels = predicted.labels
    turns = []
    for place, (row, line) in enumerate(zip(rows, frame.iter_rows(named=True), strict=True)):
        best = labels.index(line["predicted"])
        others = {
            modality: (labels[int(values[row].argmax())], _percent(values[row, best]))
            for modality, values in predicted.without.items()
        }
        turns.append(
            line
            | {"number": place + 1, "percent": _percent(probabilities[row, best]), "without": others}
            | {"time": _time(line["start"])}
        )
    strip = [
        (
            label,
            [
                _cell(float(probabilities[row, place]), turn["predicted"] == label)
                for row, turn in zip(rows, turns, strict=True)
            ],
        )
        for place, label in enumerate(labels)
    ]
    told = {"timed": any(turn["time"] for turn in turns), "lacking": any(turn["missing"] for turn in turns)}
    return {"name": name.partition("/")[2] or name, "turns": turns, "strip": strip} | told


def _cell(value: float, best: bool) -> Cell:
    names = {colour: variable for variable, colour in COLOURS.items()}
    return Cell(_percent(value), f"{LEAST + REST * value:.3f}", names[tone(value, best)])


def _percent(value: float) -> str:
    return f"{100 * float(value):.0f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"


def _clips(predicted: Predicted) -> list[dict[str, Any]]:
    """Each clip once: as a `data:` address where it is small enough for the page, else by its name alone."""
    found, left = [], _MAX_PAGE_BYTES
    for media in predicted.frame["media"].drop_nulls().unique(maintain_order=True):
        path = predicted.root / media if predicted.root else None
        kind = mimetypes.guess_type(media)[0] or ""
        fits = path is not None and path.is_file() and path.stat().st_size <= min(MAX_CLIP_BYTES, left)
        uri = ""
        if path is not None and fits and kind.partition("/")[0] in ("video", "audio"):
            left -= path.stat().st_size
            uri = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
        found.append({"name": media, "kind": kind.partition("/")[0], "uri": uri, "turns": _turns_of(predicted, media)})
    return found


def _turns_of(predicted: Predicted, media: str) -> str:
    """Which turns a clip is of: "turn 3", or "12 turns"; nothing where there are several talks, whose turns say it."""
    talks = predicted.frame["dialogue_id"]
    places = [place for place, found in enumerate(predicted.frame["media"], 1) if found == media]
    if talks.n_unique() > 1:
        return ""
    return f"turn {places[0]}" if len(places) == 1 else f"{len(places)} turns"


def _warnings(run: Run) -> list[tuple[str, str]]:
    warnings = []
    if run.features.manifest.synthetic:
        warnings.append(("Trained on a synthetic corpus.", SYNTHETIC_WARNING))
    random = [use.folder for use in run.features.features if use.weights == "random"]
    if random:
        warnings.append(("Random weights.", f"{', '.join(random)}: what is predicted means nothing."))
    return warnings
