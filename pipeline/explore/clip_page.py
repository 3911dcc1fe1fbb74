"""The page of `erc explore clip`: one file that needs nothing else, and no script.

Every value from data passes through autoescape; the page's policy lets nothing load but what stands in it.
"""

from __future__ import annotations

from features.media.clip import Clip
from pipeline.explore.clip_blocks import MODALITIES, blocks_of
from pipeline.explore.clip_inputs import Look
from pipeline.pages.html import render
from pipeline.pages.words import SYNTHETIC_WARNING, count


def clip_page(look: Look, command_line: str, store: str | None = None) -> str:
    """The page. store: the folder whose ledgers were read, or None"""
    blocks = blocks_of(look)
    sections = [
        (title, [block for block in blocks if block.seen.modality == modality])
        for modality, title in MODALITIES.items()
    ]
    return render(
        "pipeline.explore",
        "clip.html.jinja",
        styles=["explore.css.jinja", "clip.css.jinja"],
        allow=["img-src data:", "media-src data:"],
        look=look,
        badges=_badges(look),
        warnings=_warnings(look),
        blocks=blocks,
        sections=[(title, group) for title, group in sections if group],
        clip_facts=_clip_facts(look),
        command_line=command_line,
        store=store,
        visible=visible,
        setting=_setting,
        has_stored=any(block.seen.wanted.stored for block in blocks),
    )


def visible(text: str) -> str:
    """A token's text with its line ends and tabs to be seen."""
    return text.replace("\n", "\u21b5\n").replace("\t", "\u2192")


def _setting(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _badges(look: Look) -> list[tuple[str, str]]:
    utterance = look.utterance
    badges = [
        ("id", utterance.utterance_id),
        ("split", utterance.split),
        ("turn", f"{look.index + 1} of {len(look.dialogue.utterances)} in its dialogue"),
        ("label", utterance.label or "none"),
    ]
    if utterance.duration is not None:
        badges.append(("annotated", f"{utterance.duration:.2f} s"))
    if utterance.media is not None:
        badges.append(("clip", utterance.media))
    return badges


def _warnings(look: Look) -> list[tuple[str, str]]:
    """(what, why) of everything that makes this page other than it looks."""
    found = []
    if look.manifest.card.synthetic:
        found.append(("Synthetic corpus.", SYNTHETIC_WARNING))
    if look.known_bad is not None:
        found.append(
            (
                "Known-bad clip.",
                f"{look.known_bad}. Extraction masks its sound and pictures (missing: known-bad) unless told"
                " --known-bad use; below is what encoders would get then.",
            )
        )
    if any(seen.faces is not None and seen.faces.random for seen in look.seen):
        found.append(("Random weights.", "The faces were found by a detector with random weights: they mean nothing."))
    return found


def _clip_facts(look: Look) -> list[tuple[str, str]]:
    clip, facts = look.clip, []
    if not isinstance(clip, Clip):
        return []
    facts.append(("file", f"{look.utterance.media}, {count(clip.size)} bytes, sha256 {clip.digest[:12]}"))
    if look.utterance.start is not None or look.utterance.end is not None:
        start, end = look.utterance.start, look.utterance.end
        facts.append(("cut", f"{start or 0:.2f} s to {'its end' if end is None else f'{end:.2f} s'}"))
    return facts
