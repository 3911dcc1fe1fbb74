"""data.html: a corpus at a glance, and its figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from features.manifest import Manifest
from pipeline.explore.corpus import SpeakerCount, SplitFacts, speaker_counts, split_facts
from pipeline.explore.data_figures import drawings_of
from pipeline.explore.tokens import Advance, TokenCounts, count_tokens
from pipeline.pages.drawing import boxes_in_files
from pipeline.pages.files import figure_files
from pipeline.pages.html import render
from pipeline.pages.words import count, listed, percent, plural


@dataclass(frozen=True)
class Corpus:
    """All that the page shows. others: how many more speakers there are; their_utterances: what they say together."""

    manifest: Manifest
    facts: tuple[SplitFacts, ...]
    speakers: tuple[SpeakerCount, ...]
    others: int
    their_utterances: int
    tokens: tuple[TokenCounts, ...]


def look_at(manifest: Manifest, gpt2_model: str | None, advance: Advance) -> Corpus:
    """See `tokens.count_tokens` for `gpt2_model`, `advance` and what is raised."""
    speakers, others, theirs = speaker_counts(manifest)
    tokens = count_tokens(manifest, gpt2_model, advance)
    return Corpus(manifest, tuple(split_facts(manifest)), tuple(speakers), others, theirs, tuple(tokens))


def data_files(corpus: Corpus) -> dict[str, str | bytes]:
    """data.html and the figures: path -> content."""
    drawings = drawings_of(corpus.facts, corpus.speakers, corpus.tokens)
    files = figure_files({f"data-{key}": drawing for key, drawing in drawings.items()})
    card, facts = corpus.manifest.card, corpus.facts
    files["data.html"] = render(
        "pipeline.explore",
        "data.html.jinja",
        styles=["explore.css.jinja"],
        allow=["script-src 'none'", "img-src data: blob:"],
        title=card.title or card.dataset,
        synthetic=card.synthetic,
        headline=_headline(corpus),
        class_lead=_class_lead(facts),
        speaker_lead=_speaker_lead(corpus),
        facts=facts,
        labels=list(facts[0].labels),
        speakers=corpus.speakers,
        total=len(corpus.manifest),
        tokens=[_Shown(item) for item in corpus.tokens],
        counts=_counts(facts),
        missing_foot=_missing_foot(facts),
        drawings=drawings,
        boxes=boxes_in_files(drawings.values()),
        manifest=corpus.manifest.path.name if corpus.manifest.path else "in memory",
    )
    return files


def document(corpus: Corpus) -> dict[str, Any]:
    """The numbers, JSON-ready. Quantiles are 5, 50 and 95%."""
    return {
        "dataset": corpus.manifest.card.dataset,
        "utterances": len(corpus.manifest),
        "splits": [
            {
                "split": item.split,
                "utterances": item.utterances,
                "labels": item.labels,
                "unlabelled": item.unlabelled,
                "duration_s": item.durations.document() | {"unknown": item.no_duration},
                "dialogue_utterances": item.lengths.document(),
                "speakers": item.speakers,
                **dict(zip(_KEYS, (values for _, values in _rows(item)), strict=True)),
            }
            for item in corpus.facts
        ],
        "speakers": [
            {"speaker": item.speaker, "utterances": item.utterances, "by_split": item.by_split}
            for item in corpus.speakers
        ],
        "other_speakers": {"speakers": corpus.others, "utterances": corpus.their_utterances},
        "tokens": [
            {
                "encoder": item.encoder,
                "model": item.model,
                "reads": item.reads,
                "problem": item.problem or None,
                "splits": {
                    split: spread.document()
                    | {"over": {str(w.tokens): over for w, over in zip(item.windows, item.over(split), strict=True)}}
                    for split, spread in item.by_split.items()
                },
            }
            for item in corpus.tokens
        ],
    }


class _Shown:
    """A TokenCounts for the template."""

    def __init__(self, item: TokenCounts) -> None:
        self.encoder, self.model, self.reads, self.problem = item.encoder, item.model, item.reads, item.problem
        self.by_split, self.windows, self.over = item.by_split, item.windows, item.over
        self.window_text = listed([f"{count(window.tokens)} ({window.name})" for window in item.windows])


_KEYS = ("blank", "in_train", "by_new_speakers", "no_clip", "clip_absent", "known_bad")


def _rows(item: SplitFacts) -> list[tuple[str, int | None]]:
    """One a key of _KEYS, in their order."""
    return [
        ("without text", item.blank),
        ("whose text occurs verbatim in train", item.in_train),
        ("by named speakers not in train", item.new_speakers),
        ("without a clip in the manifest", item.no_clip),
        ("whose clip is not on disk", item.absent),
        ("whose clip the dataset card lists as wrong", item.known_bad),
    ]


def _counts(facts: Sequence[SplitFacts]) -> list[tuple[str, list[int | None]]]:
    columns = [_rows(item) for item in facts]
    return [(name, [column[row][1] for column in columns]) for row, (name, _) in enumerate(columns[0])]


def _headline(corpus: Corpus) -> str:
    dialogues = sum(item.lengths.count for item in corpus.facts)
    splits = listed([f"{item.split} {count(item.utterances)}" for item in corpus.facts])
    return f"{plural(len(corpus.manifest), 'utterance')} in {plural(dialogues, 'dialogue')}: {splits}"


def _class_lead(facts: Sequence[SplitFacts]) -> str:
    """The largest and the smallest class of the first split that has labels."""
    for item in facts:
        labelled = item.utterances - item.unlabelled
        if labelled:
            ordered = sorted(item.labels.items(), key=lambda pair: pair[1])
            (least, few), (most, many) = ordered[0], ordered[-1]
            if len(ordered) == 1:
                return f"{most} is the only label."
            ratio = f", {many / few:.0f} times as many" if few else ""
            return (
                f"In {item.split}, {most} is {percent(many / labelled)}% of the labelled utterances and {least}"
                f" {percent(few / labelled)}%{ratio}."
            )
    return "No utterance has a label."


def _speaker_lead(corpus: Corpus) -> str:
    shown, theirs = sum(item.speaker != "" for item in corpus.speakers), corpus.their_utterances
    if not shown:
        return "Nobody is named."
    if not corpus.others:
        return f"{plural(shown, 'speaker')} in all."
    return (
        f"The {shown} most frequent of {count(shown + corpus.others)} speakers. The others say"
        f" {plural(theirs, 'utterance')}, {percent(theirs / len(corpus.manifest))}%."
    )


def _missing_foot(facts: Sequence[SplitFacts]) -> str:
    if any(item.absent is not None for item in facts):
        return "Clips were looked for by name. Whether they can be decoded, extraction finds out."
    return (
        "Which clips are on disk is not measured: the manifest names none, or their folder is not here (--media-root)."
    )
