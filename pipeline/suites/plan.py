"""Which experiments of a suite can run on a store, in which folders, and what the others lack."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from features.digests import digest_of
from features.errors import ErcError, FeatureChoiceError
from features.manifest import Manifest, file_digest
from features.packs.mounted import open_store
from features.store import Feature, Store
from heads.config.experiment import Experiment
from heads.data.data import check_rows, choose_features
from heads.data.top import StoredTop
from heads.data.utterances import HELD_OUT, Utterances, read_utterances
from pipeline.runs.features_file import FeaturesFile, FeatureUse, Fold, LooksAt, ManifestFacts
from pipeline.runs.identity import split_digests
from pipeline.runs.metrics_file import Coverage
from pipeline.suites.fits import misfit
from pipeline.terminal.extract_commands import lacking_features, making_command, mending_command

SPLITS = ("train", "dev")  # the only rows that training and selection ever see


@dataclass(frozen=True)
class Planned:
    """An experiment that can run. key: sha256 over resolved config and features; features: by modality, in order."""

    experiment: Experiment
    features: dict[str, tuple[Feature, ...]]
    key: str

    @property
    def folder_name(self) -> str:
        return self.folder_of(self.experiment.name)

    def folder_of(self, name: str) -> str:
        """The run folder of an equal experiment of another name."""
        return f"{name}-{self.key[:8]}"


@dataclass(frozen=True)
class Plan:
    """planned: what runs; duplicates: name -> the planned experiment it equals; failures: name -> why it cannot run;
    warnings: what a user should know."""

    planned: list[Planned] = field(default_factory=list)
    duplicates: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """What heads are trained from: a store and the train and dev rows of a manifest.

    fold: which fold of a cross-validation it is, where `dev` is a part of the train split
    digests: split of the whole manifest, test among them -> digest of its rows
    """

    store: Store
    manifest: Manifest
    utterances: Utterances
    allow_stale: bool = False
    allow_absent: bool = False
    fold: Fold | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        store: Path | str,
        manifest: Manifest,
        allow_stale: bool = False,
        splits: Sequence[str] = SPLITS,
        allow_absent: bool = False,
    ) -> Source:
        """store: as `open_store` takes it

        Raises StoreError, and ManifestError where there is no train or dev split.
        """
        rows = manifest.select_splits(splits)
        utterances = read_utterances(manifest, splits)
        return cls(
            open_store(store, rows), rows, utterances, allow_stale, allow_absent, digests=split_digests(manifest)
        )


def make_plan(
    experiments: Sequence[Experiment],
    source: Source,
    device: str = "cpu",
    trained: Utterances | None = None,
    with_parts: bool = True,
) -> Plan:
    """Choose every experiment's features; refuse those that lack one, whose rows are stale or whose parts do not fit
    them; find equal ones.

    device:  on which they are to be trained: it decides what `precision: auto` is
    trained: whose train split they are trained on, where that is not the source's
    with_parts: whether their parts are to fit; not for what is only varied, and not trained as it stands
    """
    plan = Plan()
    experiments = [_with_precision(experiment, device) for experiment in experiments]
    troubles: dict[str, str | None] = {}
    by_key: dict[str, str] = {}
    for experiment in experiments:
        try:
            features = choose_features(source.store, experiment.inputs)
        except FeatureChoiceError as error:
            plan.failures[experiment.name] = _lacking(experiment, source) or str(error)
            continue
        except ErcError as error:
            plan.failures[experiment.name] = str(error)
            continue
        used = [feature for items in features.values() for feature in items]
        for feature in used:
            if feature.folder not in troubles:
                troubles[feature.folder] = _unfit(feature, source)
                if source.allow_absent:
                    plan.warnings.extend(_absent(feature, source))
        found = [problem for feature in used if (problem := troubles[feature.folder])]
        if found:
            plan.failures[experiment.name] = found[0]
            continue
        problem = misfit(experiment, features, trained or source.utterances) if with_parts else None
        if problem:
            plan.failures[experiment.name] = problem
            continue
        key = run_key(experiment, features, source.utterances)
        if key in by_key:
            plan.duplicates[experiment.name] = by_key[key]
        else:
            by_key[key] = experiment.name
            plan.planned.append(Planned(experiment, features, key))
    return plan


def _with_precision(experiment: Experiment, device: str) -> Experiment:
    """`auto` becomes what the device has units for, so that a run's config and key say what was computed."""
    if experiment.optim.precision != "auto":
        return experiment
    from heads.precision import resolve_precision

    optim = experiment.optim.model_copy(update={"precision": resolve_precision("auto", device)})
    return replace(experiment, optim=optim)


def run_key(experiment: Experiment, features: Mapping[str, Sequence[Feature]], utterances: Utterances) -> str:
    """sha256 (hex) over all that decides a run's numbers: settings, the very rows used, ids and labels."""
    rows = {
        modality: [[feature.fingerprint, feature.rows_digest(utterances.ids)] for feature in items]
        for modality, items in features.items()
    }
    return digest_of("run", experiment.settings(), rows, utterances.digest())


def describe_features(planned: Planned, source: Source, command: str) -> FeaturesFile:
    """features.json: where the numbers came from, whole."""
    card, names = source.manifest.card, source.utterances.label_names
    counts = source.utterances.counts("train")
    return FeaturesFile(
        run=planned.key,
        manifest=ManifestFacts(
            path=str(source.manifest.path.resolve()) if source.manifest.path else None,
            sha256=file_digest(source.manifest),
            dataset=card.dataset,
            title=card.title,
            synthetic=card.synthetic,
            labels=tuple(names),
            neutral=card.neutral,
            train_label_counts={name: int(count) for name, count in zip(names, counts, strict=True)},
            splits=dict(source.digests),
            headline=card.headline,
            polarity={side: tuple(labels) for side, labels in card.polarity.items()},
        ),
        looks_at=_looks_at(planned),
        store=str(source.store.path.resolve()),
        features=tuple(
            _describe_feature(feature, source.utterances) for items in planned.features.values() for feature in items
        ),
        versions={
            "torch": version("torch"),
            "numpy": version("numpy"),
            "transformers": version("transformers"),
            "python": platform.python_version(),
            "erc-feature-store": version("erc-feature-store"),
        },
        command=command,
        fold=source.fold,
    )


def _looks_at(planned: Planned) -> LooksAt:
    """What a prediction may depend on beside the utterance itself.

    speaker_names: the head embeds them, or an encoder is given them (those whose rows depend on the dialogue)
    """
    experiment = planned.experiment
    features = [feature for items in planned.features.values() for feature in items]
    return LooksAt(
        dialogue=experiment.sees_dialogues,
        later_turns=not experiment.is_causal,
        batch=experiment.sees_batch,
        speaker_names=bool(experiment.speakers) or any(item.spec.depends == "dialogue" for item in features),
    )


def _describe_feature(feature: Feature, utterances: Utterances) -> FeatureUse:
    spec, top = feature.spec, StoredTop.of(feature)
    return FeatureUse(
        modality=spec.modality,
        name=spec.name,
        folder=feature.folder,
        fingerprint=feature.fingerprint,
        encoder=spec.encoder,
        model=spec.model,
        weights=spec.weights,
        kind=spec.kind,
        shape=tuple(spec.shape),
        compute_dtype=spec.compute_dtype,
        settings=spec.settings,
        rows_digest=feature.rows_digest(utterances.ids),
        coverage={
            split: _covered(feature, utterances, split)
            for split in (*SPLITS, HELD_OUT)
            if split != HELD_OUT or len(utterances.rows(split))
        },
        top=None if top is None else json.loads(top.description),
    )


def _covered(feature: Feature, utterances: Utterances, split: str) -> Coverage:
    return Coverage.model_validate(feature.coverage([utterances.ids[row] for row in utterances.rows(split)]))


def _unfit(feature: Feature, source: Source) -> str | None:
    """Why a feature's rows are not to be trained on: stale ones, or utterances without any."""
    mend = mending_command(feature, source.manifest.path, source.store.extract_to)
    try:
        check_rows(feature, source.manifest, mend, allow_stale=source.allow_stale, allow_absent=source.allow_absent)
    except ErcError as error:
        return str(error)
    return None


def _absent(feature: Feature, source: Source) -> list[str]:
    """A warning where utterances were never extracted; else nothing."""
    absent = feature.coverage(source.utterances.ids)["absent"]
    if not absent:
        return []
    splits = " and ".join(dict.fromkeys(source.utterances.splits))
    return [
        f"{feature.folder}: {absent} of {len(source.utterances)} {splits} utterances were never extracted and"
        f" count as missing: run `{mending_command(feature, source.manifest.path, source.store.extract_to)}`"
    ]


def _lacking(experiment: Experiment, source: Source) -> str | None:
    """What an experiment lacks and the command that makes it; None where the choice failed for another reason."""
    manifest, store = source.manifest.path, source.store.extract_to
    parts = [
        f"{modality}/{name} (make it with `{making_command(modality, name, manifest, store)}`)"
        for modality, name in lacking_features(experiment.inputs, source.store)
    ]
    return f"{source.store.place} lacks {', '.join(parts)}" if parts else None
