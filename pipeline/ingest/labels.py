"""Labels as files have them: spellings made one, what is no label, and what is no class at all.

Heads choose one class an utterance. Scores (regression) and cells with several labels are refused, not made classes of.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from features.errors import ManifestError
from pipeline.ingest.summary import Finding

NO_LABEL = frozenset(
    {"", "nan", "-", "--", "none", "null", "n/a", "na", "n.a.", "<na>", "#n/a", "nat", "?", "\u2013", "\u2014"}
)
"""What stands in a cell where there is no label, in any case; not where the user or the card names it as one."""

_WHOLE = re.compile(r"[+-]?\d+")
_WHOLE_AS_FLOAT = re.compile(r"([+-]?\d+)\.0*")
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.\d+|0,\d+|\d+(\.\d*)?[eE][+-]?\d+)|[+-]\d+,\d+")
_BRACKETED = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_SEVERAL = re.compile(r"[,;|\n]")
_JOINED = re.compile(r"\s*[/+&]\s*")  # several labels where the parts are labels: `happy/joy` may be one

_NO_SCORES = (
    "Scores are not supported (regression): add a column that makes classes of them, such as negative, neutral and"
    " positive, and map that"
)
_NO_SEVERAL = (
    "Several labels in a cell are not supported (multi-label): keep one a row, the first or what most annotators said"
)
_SHOWN = 5
_FEW = 20  # classes that even a small table may have
_MOST = 200


def clean_labels(
    values: Sequence[Any], places: Sequence[str], known: Sequence[str] = (), column: str = "label"
) -> tuple[list[str | None], list[Finding]]:
    """The labels as a manifest has them, null where there is none, and what was done to them; only what there is.

    places: where each value stands, for messages; known: labels of --labels or the card, whose spelling stays
    White space around labels goes, spellings that differ by it or by case become the known one, else the most frequent.
    Raises ManifestError for scores, for several labels in a cell, and for more classes than labels can be.
    """
    texts = [_text(value) for value in values]
    as_whole = _refuse(texts, values, places, known, column)
    spelt: dict[str, Counter[str]] = defaultdict(Counter)
    counts = Counter(texts)
    for text, count in counts.items():
        spelt[_fold(text)][text.strip()] += count
    by_fold = {_fold(label): label for label in known}
    chosen: dict[str, str | None] = {}
    for text in counts:
        fold, label = _fold(text), text.strip()
        if label in known:
            chosen[text] = label
        elif fold in by_fold or fold in NO_LABEL:
            chosen[text] = by_fold.get(fold)
        elif as_whole:
            chosen[text] = str(int(float(label)))
        else:
            chosen[text] = spelt[fold].most_common(1)[0][0]
    labels = [chosen[text] for text in texts]
    present = [label for label in labels if label is not None]
    if not known and len(set(present)) > min(max(_FEW, len(present) // 2), _MOST):
        raise _no_labels(present, column)
    return labels, _findings({text: count for text, count in counts.items() if text.strip()}, chosen)


def sorted_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """By number where all are whole numbers, else by name."""
    found = set(labels)
    if all(_WHOLE.fullmatch(label) for label in found):
        return tuple(sorted(found, key=lambda label: (int(label), label)))
    return tuple(sorted(found))


def _text(value: Any) -> str:
    """A cell as text; '' for none. A list is shown as JSON would show it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else str(value)


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def _refuse(
    texts: Sequence[str], values: Sequence[Any], places: Sequence[str], known: Sequence[str], column: str
) -> bool:
    """Raise for cells that hold scores or several labels, with each kind's rows and mend.

    Gives whether all labels are whole numbers of which some are written as 3.0.
    """
    asked = {text.strip() for text in set(texts) if _fold(text) not in NO_LABEL}
    asked = {text for text in asked if _fold(text) not in map(_fold, known)}
    floats = {text for text in asked if _FLOAT.fullmatch(text)}
    if any("," in text for text in asked - floats):  # `0,27` beside `3,5,7` is no decimal comma
        floats = {text for text in floats if "," not in text}
    numbers = floats | {text for text in asked if _WHOLE.fullmatch(text)}
    as_whole = numbers == asked and all(_WHOLE_AS_FLOAT.fullmatch(text) for text in floats)
    alone = {_fold(text) for text in texts}
    several = {text for text in asked - floats if _is_several(text, alone)}
    scores = set() if as_whole else floats
    parts = {part.strip() for text in several for part in _SEVERAL.split(text)}
    if len(parts) > max(2 * _FEW, len(texts) // 2):  # of several labels in a cell, each occurs again and again
        raise _no_labels([text.strip() for text in texts if text.strip()], column)
    _raise_rows(
        column,
        places,
        texts,
        [
            ("a score, no class", _NO_SCORES, [row for row, text in enumerate(texts) if text.strip() in scores]),
            (
                "several labels, no class",
                _NO_SEVERAL,
                [
                    row
                    for row, text in enumerate(texts)
                    if text.strip() in several or isinstance(values[row], list | dict)
                ],
            ),
        ],
    )
    return as_whole and bool(floats)


def _raise_rows(
    column: str, places: Sequence[str], texts: Sequence[str], kinds: Sequence[tuple[str, str, list[int]]]
) -> None:
    """kinds: what the cells of rows are, the mend, and the rows."""
    said = []
    for what, mend, rows in kinds:
        if rows:
            examples = ", ".join(f"{places[row]} {_shown(texts[row])}" for row in rows[:_SHOWN])
            more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
            said.append(f"{examples}{more}: {what}. {mend}")
    if said:
        problems = [
            f"{places[row]}, {column}: {_shown(texts[row])} is {what}" for what, _, rows in kinds for row in rows
        ]
        raise ManifestError(f"column {column!r}: {'; '.join(said)}", problems)


def _is_several(text: str, alone: set[str]) -> bool:
    if _BRACKETED.fullmatch(text) or _SEVERAL.search(text):
        return True
    parts = [_fold(part) for part in _JOINED.split(text)]
    return len(parts) > 1 and all(part in alone and part not in NO_LABEL for part in parts)


def _no_labels(found: Sequence[str], column: str) -> ManifestError:
    """For so many labels that the column holds something else, such as the text."""
    distinct = list(dict.fromkeys(found))
    examples = ", ".join(_shown(label) for label in distinct[:3])
    return ManifestError(
        f"column {column!r}: {len(distinct):,} different labels in {len(found):,} rows, such as {examples}: that is a"
        " text or an id, no emotion: map another column, or name the labels with --labels or a --card"
    )


def _findings(spellings: Mapping[str, int], chosen: dict[str, str | None]) -> list[Finding]:
    none = {text: count for text, count in spellings.items() if chosen[text] is None}
    changed = {text: count for text, count in spellings.items() if chosen[text] not in (None, text)}
    whole = {text: count for text, count in spellings.items() if _WHOLE.fullmatch(chosen[text] or "")}
    found = [
        ("no-label", none, "Cells that say there is no label: the rows stay, without one.", "{text!r} {count}"),
        (
            "label-spellings",
            changed,
            "Labels that differ from another by case, white space or a `.0` alone: made one.",
            "{text!r} {count} -> {label}",
        ),
        ("whole-number-labels", whole, "Labels are whole numbers: taken as names of classes.", "{text} {count}"),
    ]
    return [
        Finding(
            name,
            sum(items.values()),
            meaning,
            tuple(
                form.format(text=text, count=count, label=chosen[text]) for text, count in list(items.items())[:_SHOWN]
            ),
            complete=len(items) <= _SHOWN,
        )
        for name, items, meaning, form in found
        if items
    ]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
