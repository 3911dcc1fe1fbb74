"""Writes the reference in docs/suites.md: every part of a head, as its own signature and docstring tell, and the suites
that ship. What stands above its mark in the page is written by hand.

    python docs/site_parts/suite_reference.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "suites.md"
MARK = "<!-- From here on written by docs/site_parts/suite_reference.py: edit the parts' docstrings, then run it. -->\n"
sys.path.insert(0, str(ROOT))

from heads.config.parts import Part, Setting, all_parts, all_sections, limits  # noqa: E402
from heads.config.sections import FusionCommon, LossCommon  # noqa: E402
from heads.config.suite import read_suite, shipped_suites  # noqa: E402
from heads.context import CONTEXTS  # noqa: E402
from heads.data.samplers import NEEDS_DIFFICULTY  # noqa: E402
from heads.fusion import FUSIONS  # noqa: E402

# kind -> (heading, where it stands in YAML and what it is for)
KINDS = {
    "reader": (
        "Readers",
        "`readers: {text: {name: text-cnn, filters: 100}}`, one for each modality. A reader makes one vector of a"
        " sequence (tokens, frames, samples) or of a stack of layers. Vectors need none.",
    ),
    "fusion": ("Fusions", "`fusion: {name: attention, dim: 256}`. A fusion makes one vector of the modalities."),
    "context": (
        "Contexts",
        "`context: {name: bclstm, causal: true}`, and `modality_context` for each modality before the fusion. A context"
        " shows an utterance the other turns of its dialogue.",
    ),
    "loss": ("Losses", "`loss: [{name: cross-entropy}, {name: supcon, weight: 0.1}]`, a list whose losses are summed."),
    "sampler": (
        "Samplers",
        "`batch: {sampler: shuffle}`. A sampler says which training examples an epoch shows, and when.",
    ),
    "normalise": ("Normalisations", "`normalise: standardise`. What is done to each stored feature first."),
    "section": ("Sections", "The other mappings of an experiment."),
}
COMMON = {
    "fusion": (FusionCommon, "Every fusion takes these, too:"),
    "loss": (LossCommon, "Every loss takes this, too:"),
}


def reference() -> str:
    """What follows the mark, as Markdown."""
    parts = [*all_parts(), *all_sections()]
    chapters = [_chapter(kind, [part for part in parts if part.kind == kind]) for kind in KINDS]
    return "\n\n".join([_shipped(), *chapters]) + "\n"


def _chapter(kind: str, parts: Sequence[Part]) -> str:
    heading, text = KINDS[kind]
    return "\n\n".join(
        [f"## {heading}", text, *_shared(kind, parts), *(line for part in parts for line in _part(part))]
    )


def _shared(kind: str, parts: Sequence[Part]) -> Iterator[str]:
    """The settings that all parts of a kind take."""
    if kind in COMMON:
        model, said = COMMON[kind]
        yield said
        yield _table([setting for setting in parts[0].settings if setting.name in model.model_fields])


def _part(part: Part) -> Iterator[str]:
    common = COMMON[part.kind][0].model_fields if part.kind in COMMON else {}
    yield f"### `{part.name}`"
    source = f" Source: {', '.join(part.sources)}." if part.sources else ""
    yield f"{part.summary}.{source}{_needs(part)}"
    own = [setting for setting in part.settings if setting.name not in common]
    if own:
        yield _table(own)


def _needs(part: Part) -> str:
    """What else of an experiment a part asks for."""
    over_dialogues = (part.kind == "context" and CONTEXTS[part.name].needs_dialogues) or (
        part.kind == "fusion" and FUSIONS[part.name].over_dialogue
    )
    ranks = part.kind == "sampler" and part.name in NEEDS_DIFFICULTY
    dialogues = " Needs `batch: {unit: dialogues}`." if over_dialogues else ""
    return dialogues + (" Needs the loss `spcl`." if ranks else "")


def _table(settings: Sequence[Setting]) -> str:
    rows = [
        f"| `{setting.name}` | {_values(setting)} | {_default(setting)} | {_cell(setting.text)} |"
        for setting in settings
    ]
    return "\n".join(["| setting | values | default | meaning |", "|---|---|---|---|", *rows])


def _values(setting: Setting) -> str:
    return _cell(limits(setting.schema).replace(" | ", ", "))


def _default(setting: Setting) -> str:
    return "needed" if setting.required else f"`{setting.default_text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _shipped() -> str:
    rows = []
    for name in shipped_suites():
        suite = read_suite(name)
        counts = f"{len(suite.experiments)} | {len(suite.contrasts)}"
        rows.append(f"| `{name}` | {_cell(suite.title)} | {counts} |")
    head = ["| suite | title | experiments | questions |", "|---|---|---|---|"]
    told = (
        "`erc ablate NAME --list` tells what one needs and about how long it takes; `erc ablate NAME --show` prints it."
    )
    return "\n\n".join(["## Suites that ship", told, "\n".join([*head, *rows])])


def whole_page() -> str:
    """The page as it should be. Raises ValueError where it has no mark."""
    by_hand, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise ValueError(f"{PAGE}: has no line {MARK.strip()}")
    return f"{by_hand}{MARK}\n{reference()}"


if __name__ == "__main__":
    PAGE.write_text(whole_page(), encoding="utf-8")
