"""Where the numbers come from, and what a reader should know before trusting them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from features.digests import canonical_json
from pipeline.pages.paths import shareable_command
from pipeline.pages.words import count, listed, plural
from pipeline.report.computations import notes_on_computations
from pipeline.report.configuration import MODALITY_ORDER
from pipeline.report.corpus import Corpus
from pipeline.report.snapshot import RunSnapshot
from pipeline.runs.features_file import FeatureUse
from pipeline.runs.metrics_file import Coverage
from pipeline.runs.ranking import ONE_SEED, fewer_text
from pipeline.runs.splits import EVALUATION_SPLIT, SELECTION_SPLIT, ordered_splits

_NOT_SETTINGS = ("name", "suite", "paper")


@dataclass(frozen=True)
class Setting:
    """One setting of the configurations: its value in each run, in the order of the leaderboard (None: not set)."""

    key: str
    values: tuple[str | None, ...]

    @property
    def shared(self) -> bool:
        return len(set(self.values)) == 1


def stored_features(corpus: Corpus) -> list[tuple[FeatureUse, int]]:
    """Every stored feature that the runs use, once, with the number of runs that use it; text, audio, visual."""
    uses: dict[str, FeatureUse] = {}
    runs: dict[str, int] = {}
    for run in corpus.runs:
        for feature in run.features:
            uses.setdefault(feature.folder, feature)
            runs[feature.folder] = runs.get(feature.folder, 0) + 1
    ordered = sorted(uses.values(), key=lambda item: (MODALITY_ORDER.get(item.modality, 3), item.folder))
    return [(feature, runs[feature.folder]) for feature in ordered]


def coverage_rows(corpus: Corpus) -> list[tuple[FeatureUse, list[tuple[str, Coverage]]]]:
    """Feature by feature and split by split, as the highest-ranked run that used the feature saw it."""
    rows = []
    for feature, _ in stored_features(corpus):
        by_split: dict[str, Coverage] = {}
        for run in corpus.runs:
            for split, coverage in _coverage_of(run, feature.folder).items():
                by_split.setdefault(split, coverage)
        order = ["train", *ordered_splits(split for split in by_split if split != "train")]
        rows.append((feature, [(split, by_split[split]) for split in order if split in by_split]))
    return rows


def modality_coverage(run: RunSnapshot) -> list[tuple[str, Coverage]]:
    """(modality, its least covered feature) of the utterances that ranked the run."""
    worst: dict[str, Coverage] = {}
    for feature in run.features:
        coverage = _coverage_of(run, feature.folder).get(SELECTION_SPLIT)
        if coverage and (feature.modality not in worst or coverage.share < worst[feature.modality].share):
            worst[feature.modality] = coverage
    return sorted(worst.items(), key=lambda item: (MODALITY_ORDER.get(item[0], 3), item[0]))


def context_of(run: RunSnapshot) -> str:
    """Which other utterances a prediction may see through the head."""
    looks_at = run.record.looks_at
    if looks_at is None:
        return "not recorded"
    if looks_at.batch:
        return "whatever else is in the batch"
    if not looks_at.dialogue:
        return "no dialogue context in the head"
    return "full dialogue: future turns too" if looks_at.later_turns else "causal: past turns only"


def settings_of(corpus: Corpus) -> list[Setting]:
    """Every setting of every configuration, flattened to `optim.lr`, by key."""
    flat = [_flatten({key: run.config[key] for key in run.config if key not in _NOT_SETTINGS}) for run in corpus.runs]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    return [Setting(key, tuple(settings.get(key) for settings in flat)) for key in keys]


def manifests_of(corpus: Corpus) -> list[tuple[str, str]]:
    """(file name, sha256) of every manifest that the runs were trained on."""
    return sorted(
        {(PurePath(run.manifest.path or "not recorded").name, run.manifest.sha256 or "") for run in corpus.runs}
    )


def commands_of(corpus: Corpus) -> list[str]:
    """The command lines that made the runs, each once, without the folders of whoever typed them."""
    found = [run.record.command for run in corpus.runs if run.record.command]
    return sorted({shareable_command(item if isinstance(item, str) else shlex.join(item)) for item in found})


def notes_on(corpus: Corpus) -> list[str]:
    """What qualifies the numbers: one sentence each, empty where all is in order."""
    return [
        *_comparability(corpus),
        *_duplicates(corpus),
        *(note for run in corpus.runs for note in _seed_notes(run, corpus.names[run.folder])),
        *notes_on_computations(corpus),
        *_test_notes(corpus),
        *_input_notes(corpus),
        *corpus.findings.notes,
    ]


def _coverage_of(run: RunSnapshot, folder: str) -> dict[str, Coverage]:
    found = {split: metrics.coverage[folder] for split, metrics in run.metrics.items() if folder in metrics.coverage}
    recorded = next((feature.coverage for feature in run.features if feature.folder == folder), {})
    return {**recorded, **found}


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        parts = [_flatten(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items()]
        return {key: text for part in parts for key, text in part.items()}
    return {prefix: value if isinstance(value, str) else _compact(value)}


def _compact(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value if isinstance(value, str) else _compact(value) for value in value) or "none"
    if isinstance(value, dict):
        return " ".join(f"{key}={_compact(item)}" for key, item in value.items()) or "none"
    return (
        {None: "none", True: "yes", False: "no"}.get(value, str(value))
        if isinstance(value, bool | None)
        else str(value)
    )


def _comparability(corpus: Corpus) -> list[str]:
    notes = []
    manifests = manifests_of(corpus)
    if len(manifests) > 1:
        named = listed([f"{name} ({digest[:8]})" for name, digest in manifests])
        notes.append(f"The runs were trained on {len(manifests)} versions of the manifest: {named}.")
    for split in corpus.splits:
        scored = [run.metrics[split] for run in corpus.runs if split in run.metrics]
        if len({canonical_json(metrics.support) for metrics in scored}) > 1:
            notes.append(f"Not all runs were scored on the same {split} utterances: their supports differ.")
    numbers = {len(run.dev.seeds) for run in corpus.runs if run.dev}
    if len(numbers) > 1:
        notes.append(f"Experiments have between {min(numbers)} and {max(numbers)} seeds.")
    if corpus.fewer:
        few = [(corpus.names[run.folder], run.seeds) for run in corpus.fewer]
        notes.append(f"{fewer_text(few, corpus.asked)}.")
    if numbers == {1}:
        notes.append("Every experiment has one seed: there is no deviation to judge differences by.")
    if corpus.asked == 1 and len(corpus.ranked) > 1:
        notes.append(ONE_SEED)
    unscored = [corpus.names[run.folder] for run in corpus.runs if not run.dev]
    if unscored:
        notes.append(f"Without {SELECTION_SPLIT} scores, and so not ranked: {listed(unscored)}.")
    return notes


def _duplicates(corpus: Corpus) -> list[str]:
    same: dict[str, list[str]] = {}
    for run in corpus.runs:
        settings = {key: value for key, value in run.config.items() if key not in _NOT_SETTINGS}
        fingerprints = sorted(feature.fingerprint for feature in run.features)
        same.setdefault(repr((sorted(_flatten(settings).items()), fingerprints)), []).append(corpus.names[run.folder])
    equal = [
        f"{name} has the configuration and features of {first}: trained once." for name, first in corpus.duplicates()
    ]
    return equal + [
        f"Same configuration and features under several names: {listed(names)}."
        for names in same.values()
        if len(names) > 1
    ]


def _seed_notes(run: RunSnapshot, name: str) -> list[str]:
    notes = []
    if run.unfinished:
        seeds = listed([str(seed) for seed in run.unfinished])
        started = len(run.unfinished) + len(run.results)
        notes.append(f"{name}: {len(run.unfinished)} of {plural(started, 'seed')} not finished ({seeds}).")
    done = {result.seed for result in run.results}
    for split in ordered_splits(run.metrics):
        left = sorted(done - set(run.metrics[split].seeds))
        if left:
            seeds = listed([str(seed) for seed in left])
            notes.append(
                f"{name}: the {split} scores do not cover finished {'seeds' if len(left) > 1 else 'seed'} {seeds}."
            )
    return notes


def _test_notes(corpus: Corpus) -> list[str]:
    tested = [run for run in corpus.runs if EVALUATION_SPLIT in run.metrics]
    if tested and not corpus.test_reads:
        return ["There are test scores, but test_reads.jsonl does not say how often the test split was read."]
    if tested and corpus.selected not in tested:
        return ["Some runs were scored on test, but not the one that dev selects."]
    if corpus.selected and not tested and len(corpus.runs) > 1:
        return ["Test was not read. Dev chose the model and scores it here, so its score is likely a little too high."]
    return []


def _input_notes(corpus: Corpus) -> Sequence[str]:
    notes = []
    for split, metrics in (corpus.selected.metrics if corpus.selected else {}).items():
        if metrics.no_input:
            notes.append(
                f"{plural(metrics.no_input, 'utterance')} of {split} had no input at all; they are scored all the same."
            )
        if metrics.unlabelled:
            known = count(metrics.utterances)
            notes.append(f"{count(metrics.unlabelled)} of {known} {split} utterances have no label and are not scored.")
    return notes
