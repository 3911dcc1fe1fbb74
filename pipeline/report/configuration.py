"""What a run's configuration is made of, in the words of the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.snapshot import RunSnapshot

SETTINGS = "Other settings"
MODALITY_ORDER = {"text": 0, "audio": 1, "visual": 2}


@dataclass(frozen=True)
class ConfigPart:
    """One part of the configurations, by its name: of each run, in the order of the leaderboard."""

    title: str
    values: tuple[str, ...]

    @property
    def shared(self) -> bool:
        return len(self.values) > 1 and len(set(self.values)) == 1


def parts_of(runs: Sequence[RunSnapshot]) -> list[ConfigPart]:
    """Inputs, fusion, context, loss and seeds."""
    named = [
        (
            "Inputs",
            ["; ".join(f"{modality}: {', '.join(names)}" for modality, names in features_of(run)) for run in runs],
        ),
        *((key.title(), [part_name(run.config.get(key)) for run in runs]) for key in ("fusion", "context")),
        ("Loss", [loss_name(run.config.get("loss")) for run in runs]),
        ("Seeds", [_seeds_text(run) for run in runs]),
    ]
    return [ConfigPart(title, tuple(values)) for title, values in named]


def modalities_of(run: RunSnapshot) -> list[str]:
    """The modalities a run reads: text, audio, visual, then others by name."""
    return sorted({feature.modality for feature in run.features}, key=lambda name: (MODALITY_ORDER.get(name, 3), name))


def features_of(run: RunSnapshot) -> list[tuple[str, list[str]]]:
    """(modality, names of its features) in the order of modalities."""
    return [
        (modality, [feature.name for feature in run.features if feature.modality == modality])
        for modality in modalities_of(run)
    ]


def part_name(value: Any) -> str:
    """What a run's fusion or context is called: config has its name, or a mapping with a name."""
    name = value.get("name") if isinstance(value, dict) else value
    return str(name) if name not in (None, "") else "none"


def loss_name(value: Any) -> str:
    """The losses of a run: `dice + 0.5 triplet`; a weight of one is not written."""
    terms = []
    for term in value if isinstance(value, list) else [value]:
        weight = term.get("weight", 1) if isinstance(term, dict) else 1
        terms.append(part_name(term) if weight == 1 else f"{weight} {part_name(term)}")
    return " + ".join(terms)


def _seeds_text(run: RunSnapshot) -> str:
    """`3`, or `3/5` where two of five that were started are not done."""
    started = len(run.results) + len(run.unfinished)
    scored = len(run.dev.seeds) if run.dev else len(run.results)
    return f"{scored}/{started}" if run.unfinished else f"{scored}"
