"""Predictor: the encoders and heads of a run, loaded once, to predict talks, clips and manifests.

Talks are encoded turn by turn, each input alone. So an utterance gets the same bits, whatever else is predicted. The
heads of a causal run also predict turn by turn. So a finished talk gets the same predictions as the same talk while it
goes on. A manifest goes through the batches of `erc extract` and `erc evaluate`, and gets the same predictions as from
them, bit for bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import polars as pl

from features.encoders.devices import resolve_device
from features.encoders.protocol import Encoder
from features.engines.decode_pool import DecodeOptions, DecodePool
from features.engines.local import clip_readers, run_local
from features.extract import begin_extraction
from features.manifest import Manifest
from features.store import Feature, Store
from features.store.plan import PlanOptions
from heads.data.data import FeatureRows, HeadData
from heads.data.utterances import read_utterances
from heads.training.checkpoint import TrainedHead, read_checkpoint
from pipeline.predict.run_encoders import build_run_encoders
from pipeline.predict.talk_manifest import shared_folder, talk_manifest
from pipeline.predict.temperature import Temperature, fit_temperature, with_temperature
from pipeline.predict.turns import Talk, Turn
from pipeline.runs.folder import Run
from pipeline.runs.other_code import since_training
from pipeline.runs.prediction_frame import prediction_frame
from pipeline.scoring.evaluation import one_thread, seeds_to_predict_with
from pipeline.scoring.shared_rows import SharedRows
from pipeline.terminal.output import print_warning

Advance = Callable[[int], object]


@dataclass(frozen=True)
class Predicted:
    """The predictions for some utterances.

    frame:   a row for each utterance, in their order: utterance_id, dialogue_id, turn, speaker, text, media, start,
             end, predicted, p_LABEL (the mean over seeds), calibrated_LABEL if a temperature was fitted, no_input,
             missing (the modalities that are missing)
    labels:  the labels, in the run's order
    root:    the folder that `media` is relative to, or None
    without: modality -> float64 [n, c], the probabilities when that modality is hidden; {} unless asked for
    notes:   inputs that got no embedding: (utterance_id, folder of the feature, reason)
    """

    frame: pl.DataFrame
    labels: tuple[str, ...]
    temperature: Temperature | None
    root: Path | None = None
    without: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[tuple[str, str, str], ...] = ()

    @property
    def probabilities(self) -> np.ndarray:
        """float64 [n, c]; calibrated if a temperature was fitted."""
        prefix = "p" if self.temperature is None else "calibrated"
        return self.frame.select(f"{prefix}_{label}" for label in self.labels).to_numpy()


class Predictor:
    """One run, ready to predict. Probabilities are the mean over the run's seeds.

        with Predictor(Path("runs/mine")) as predictor:
            print(predictor.predict([Talk("a", (Turn("Ross", "Hi."),))]).frame)

    Weights are loaded when they are first needed, and stay in memory. A decoding process and a temporary store of
    embeddings are kept, too. So use the predictor in a `with` statement, or call `close`.
    """

    def __init__(self, run: Run | Path, device: str = "auto", store: Path | None = None) -> None:
        """device: where encoders compute: auto, cpu, cuda, cuda:N or mps. store: a store that may have the specs of the
        features

        On stderr, a line says if the code that makes the heads' output has changed since they were trained, or if what
        it was is not known. `since_training` tells the same.

        Raises RunError if no seed is finished, if seeds have no head or were not made alike (code, versions, kind of
        device), or if the run is a fold of a cross-validation.
        """
        self.run = run if isinstance(run, Run) else Run(run)
        self.seeds = seeds_to_predict_with(self.run)
        self.since_training = since_training(self.run, self.seeds)
        if warning := self.since_training.warning(self.run):
            print_warning(warning)
        self.device = resolve_device(device)
        self.heads: list[TrainedHead] = [
            read_checkpoint(self.run.seed_folder(seed) / "head.safetensors", self.run.experiment) for seed in self.seeds
        ]
        self.temperature = fit_temperature(self.run, self.seeds)
        self._store = store
        self._closing = ExitStack()
        self._pool: DecodePool | None = None

    @classmethod
    def from_pretrained(cls, model: str | Path, device: str = "auto") -> Self:
        """A predictor from what `erc export` wrote: a local folder, or the name of a repository on the Hugging Face
        hub.

        Raises WeightsError if it is neither, and the errors of the constructor.
        """
        from pipeline.predict.hub import pull_folder

        folder = Path(model)
        return cls(folder if folder.is_dir() else pull_folder(str(model)), device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding process, and remove the temporary store."""
        self._closing.close()
        self._pool = None
        self.__dict__.pop("_own_store", None)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.run.labels

    @cached_property
    def _encoders(self) -> tuple[list[Encoder], frozenset[str]]:
        return build_run_encoders(self.run, self.device, self._store)

    @cached_property
    def _own_store(self) -> Path:
        return Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="erc-predict-")))

    def predict(self, talks: Sequence[Talk], *, what_if: bool = False, advance: Advance = lambda _: None) -> Predicted:
        """Predict every turn of some talks.

        what_if: also predict without each modality, one at a time
        advance: called with the number of utterances that were predicted
        Raises the RunError of `build_run_encoders`, and ManifestError for turns that cannot be utterances of a
        manifest.
        """
        root = shared_folder(talks)
        if not self.run.experiment.is_causal:
            found = self._predicted(talk_manifest(talks, self.run, root), self._own_store, what_if)
            advance(found.frame.height)
            return found
        parts = []
        for talk in talks:
            conversation = self.conversation(talk.name, root)
            for turn in talk.turns:
                parts.append(conversation.add(turn, what_if=what_if))
                advance(1)
        return _joined(parts)

    def conversation(self, name: str = "0", root: Path | None = None) -> Conversation:
        """A talk that goes on: each turn is predicted when it is added. root: a folder that holds all of its clips, if
        it is known"""
        return Conversation(self, name, root)

    def predict_manifest(
        self,
        manifest: Manifest,
        store: Path,
        *,
        what_if: bool = False,
        decoding: DecodeOptions | None = None,
        advance: Advance = lambda _: None,
    ) -> Predicted:
        """Predict every utterance of a manifest, of any split and with any label. Embeddings that the store does not
        have are extracted into it, in the batches of `erc extract`."""
        encoders, implied = build_run_encoders(self.run, self.device, store, batch_size=None)
        with begin_extraction(manifest, store, encoders, PlanOptions(), implied) as jobs:
            run_local(manifest, store, jobs, decoding=decoding or DecodeOptions(), advance=advance)
        return self._read(manifest, store, what_if)

    def _predicted(self, manifest: Manifest, store: Path, what_if: bool) -> Predicted:
        encoders, implied = self._encoders
        with begin_extraction(manifest, store, encoders, PlanOptions(), implied) as jobs:
            if self._pool is None and (readers := clip_readers(jobs)):
                self._pool = self._closing.enter_context(DecodePool(readers, 1))
            run_local(manifest, store, jobs, decoding=DecodeOptions(workers=1), pool=self._pool)
        return self._read(manifest, store, what_if)

    def _read(self, manifest: Manifest, store: Path, what_if: bool) -> Predicted:
        """The predictions for what a store holds of a manifest."""
        labelless = replace(
            manifest,
            frame=_without_labels(manifest.frame),
            card=replace(manifest.card, labels=self.labels, neutral=None),
        )
        utterances = read_utterances(labelless, labelless.frame["split"].unique(maintain_order=True).to_list())
        features = {feature.fingerprint: feature for feature in Store(store, labelless).features()}
        rows, shared = np.arange(len(utterances)), SharedRows()
        with one_thread():
            datas = [
                HeadData(
                    utterances,
                    {
                        modality: tuple(
                            shared.of(features[item.fingerprint], utterances, "all", item.normaliser) for item in items
                        )
                        for modality, items in head.inputs.items()
                    },
                )
                for head in self.heads
            ]
            seeds = [head.probabilities(data, rows) for head, data in zip(self.heads, datas, strict=True)]
            without = {}
            if what_if and len(datas[0].inputs) > 1:
                for modality in datas[0].inputs:
                    hidden = [
                        head.probabilities(_hiding(data, modality), rows)
                        for head, data in zip(self.heads, datas, strict=True)
                    ]
                    without[modality] = self._scaled(_mean(hidden))
        mean = _mean(seeds)
        return Predicted(
            self._frame(labelless, datas[0], rows, mean),
            self.labels,
            self.temperature,
            manifest.media_root,
            without,
            tuple(_notes(labelless, [features[use.fingerprint] for use in self.run.features.features])),
        )

    def _scaled(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities if self.temperature is None else with_temperature(probabilities, self.temperature.value)

    def _frame(self, manifest: Manifest, data: HeadData, rows: np.ndarray, mean: np.ndarray) -> pl.DataFrame:
        predicted = prediction_frame(data, rows, mean)
        told = manifest.frame.select("turn", "speaker", "text", "media", "start", "end")
        columns = [pl.Series(f"p_{label}", mean[:, place]) for place, label in enumerate(self.labels)]
        if self.temperature is not None:
            scaled = self._scaled(mean)
            columns += [pl.Series(f"calibrated_{label}", scaled[:, place]) for place, label in enumerate(self.labels)]
        return pl.concat([predicted.select("utterance_id", "dialogue_id"), told], how="horizontal").with_columns(
            predicted["predicted"], *columns, predicted["no_input"], predicted["missing"]
        )


@dataclass
class Conversation:
    """A talk that goes on. In a causal run, a new turn never changes the predictions for earlier turns. In another run
    it may: to update the earlier turns, use `Predictor.predict`."""

    predictor: Predictor
    name: str
    root: Path | None = None
    turns: list[Turn] = field(default_factory=list)

    def add(self, turn: Turn, *, what_if: bool = False) -> Predicted:
        """The prediction for this turn, given all turns before it."""
        self.turns.append(turn)
        manifest = talk_manifest([Talk(self.name, tuple(self.turns))], self.predictor.run, self.root)
        whole = self.predictor._predicted(manifest, self.predictor._own_store, what_if)
        last = whole.frame["utterance_id"][-1]
        return replace(
            whole,
            frame=whole.frame.tail(1),
            without={modality: values[-1:] for modality, values in whole.without.items()},
            notes=tuple(note for note in whole.notes if note[0] == last),
        )


def _mean(seeds: Sequence[np.ndarray]) -> np.ndarray:
    """float64 [n, c], as the pipeline averages seeds."""
    mean: np.ndarray = np.stack(seeds).mean(axis=0, dtype=np.float64)
    return mean


def _joined(parts: Sequence[Predicted]) -> Predicted:
    first = parts[0]
    without = {name: np.concatenate([part.without[name] for part in parts]) for name in first.without}
    notes = tuple(note for part in parts for note in part.notes)
    return replace(first, frame=pl.concat([part.frame for part in parts]), without=without, notes=notes)


def _without_labels(frame: pl.DataFrame) -> pl.DataFrame:
    """Predictions do not use a manifest's labels, which may even be those of another corpus."""
    return frame.with_columns(pl.lit(None, pl.String).alias("label"), pl.lit(None, pl.String).alias("sentiment"))


def _hiding(data: HeadData, modality: str) -> HeadData:
    """The data as if that modality were nowhere there."""
    return replace(data, inputs=data.inputs | {modality: tuple(_absent(item) for item in data.inputs[modality])})


def _absent(item: FeatureRows) -> FeatureRows:
    if item.offsets is not None:
        return replace(
            item, values=item.values[:0], offsets=np.zeros_like(item.offsets), present=np.zeros_like(item.present)
        )
    return replace(item, values=np.zeros_like(item.values), present=np.zeros_like(item.present))


def _notes(manifest: Manifest, features: Sequence[Feature]) -> Iterator[tuple[str, str, str]]:
    """Embeddings that are not there though the manifest names an input for them."""
    named = {
        "text": manifest.frame["text"].str.strip_chars().ne("").to_list(),
        "media": manifest.frame["media"].is_not_null().to_list(),
    }
    for feature in features:
        given = named["media" if feature.spec.depends == "media" else "text"]
        reasons = feature.reasons(manifest.ids)
        for utterance_id, is_given, reason in zip(manifest.ids, given, reasons, strict=True):
            if is_given and reason is not None:
                yield utterance_id, feature.folder, reason
