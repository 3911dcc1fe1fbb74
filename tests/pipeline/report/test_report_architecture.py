"""The architecture figure says what the head is: the numbers of the very network, for every experiment that ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_factory import HOG, LOGMEL, SENTENCE, make_run
from top_factory import minilm

from features.errors import ConfigError
from heads.config.experiment import Experiment
from heads.config.suite import read_suite, shipped_suites
from pipeline.report.architecture import Architecture, Part, architecture_of
from pipeline.report.architecture_figure import architecture_figure, plan_of
from pipeline.report.corpus import corpora_of
from pipeline.report.figures import drawings_of
from pipeline.report.read import read_runs
from pipeline.report.snapshot import RunSnapshot
from pipeline.report.write import write_report
from pipeline.runs.features_file import FeaturesFile, FeatureUse, ManifestFacts
from pipeline.runs.seed_files import SeedResult

LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
FORMS: dict[str, tuple[str, tuple[int, ...]]] = {
    "gpt2": ("vector", (768,)),
    "glove": ("vector", (50,)),
    "surface": ("vector", (23,)),
    "sentence": ("vector", (2304,)),
    "sentence-tokens": ("sequence", (384,)),
    "glove-tokens": ("sequence", (50,)),
    "wav2vec2-layers": ("stack", (13, 1536)),
    "waveform": ("sequence", (1,)),
    "logmel": ("vector", (212,)),
    "hog-colour": ("vector", (324,)),
}
EXPERIMENTS = [
    pytest.param(experiment, id=f"{suite}:{experiment.name}")
    for suite in shipped_suites()
    for experiment in read_suite(suite).experiments
]


def feature(modality: str, name: str) -> FeatureUse:
    is_waveform, below = name.startswith("waveform"), re.fullmatch(r"sentence-tokens-top(\d)(-context\d+)?", name)
    if below:
        top = minilm(int(below[1])).stored()
        return FeatureUse(
            modality=modality, name=name, folder=f"{modality}/{name}-0", fingerprint="0", encoder="sentence-tokens",
            kind="sequence", shape=(386,), weights="pretrained", settings={"windows": "utterance"},
            top=json.loads(top.description),
        )  # fmt: skip
    kind, shape = FORMS.get("waveform" if is_waveform else name, ("vector", (1536 if modality == "audio" else 2048,)))
    return FeatureUse(
        modality=modality, name=name, folder=f"{modality}/{name}-0", fingerprint="0", encoder=name, kind=kind,
        shape=shape, weights="pretrained",
    )  # fmt: skip


def as_run(experiment: Experiment, parameters: int | None = None) -> RunSnapshot:
    features = tuple(feature(modality, str(name)) for modality, names in experiment.inputs.items() for name in names)
    record = FeaturesFile(manifest=ManifestFacts(dataset="meld", labels=LABELS), features=features)
    results = () if parameters is None else (SeedResult(seed=0, parameters=parameters),)
    return RunSnapshot(experiment.name, experiment.name, experiment.to_dict(), record, results=results)


def built(experiment: Experiment) -> Any:
    from heads.data.data import feature_shape
    from heads.model import HeadShape, build_head

    shapes = {
        modality: [feature_shape(*FORMS.get(str(name), ("vector", (2048,)))) for name in names]  # type: ignore[arg-type]
        for modality, names in experiment.inputs.items()
    }
    return build_head(experiment, HeadShape(shapes, len(LABELS)))


def parts_of(architecture: Architecture) -> Iterator[Part]:
    for branch in architecture.branches:
        for source in branch.sources:
            yield source.feature
            yield from [source.reading] if source.reading else []
        yield from [part for part in (branch.join, branch.context) if part]
    yield architecture.fusion
    yield from [architecture.speakers] if architecture.speakers else []
    yield from (part for _, part in architecture.trunk)


def test_all_suites_are_here() -> None:
    assert len(EXPERIMENTS) > 180


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_shipped_experiment_has_a_plan_without_overlaps(experiment: Experiment) -> None:
    architecture = architecture_of(as_run(experiment))
    plan = plan_of(architecture)
    assert {id(part) for part in parts_of(architecture)} == {id(box.part) for box in plan.boxes}
    width, top, bottom = plan.bounds
    for box in plan.boxes:
        assert 0 <= box.x < box.right <= width
        assert top < box.y < box.y + box.height <= bottom
        assert all(len(line) <= 24 for line in (*box.part.lines, *box.title))
    for place, one in enumerate(plan.boxes):
        for other in plan.boxes[place + 1 :]:
            apart = one.right < other.x or other.right < one.x
            assert apart or one.y + one.height <= other.y or other.y + other.height <= one.y
    for source, target in plan.arrows:
        assert source.right < target.x
        assert source.part.values
    ends = {id(source.part) for source, _ in plan.arrows}
    assert [box.part.title for box in plan.boxes if id(box.part) not in ends] == [architecture.trunk[-1][1].title]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_shipped_experiment_is_drawn(experiment: Experiment) -> None:
    drawing = architecture_figure("key", architecture_of(as_run(experiment)), experiment.name)
    assert drawing.png.startswith(b"\x89PNG")
    assert drawing.svg.count("<text") > 10


def experiment_named(suite: str, name: str) -> Experiment:
    (experiment,) = (one for one in read_suite(suite).experiments if one.name == name)
    return experiment


def test_the_numbers_on_the_arrows_are_the_networks_own() -> None:
    experiment = experiment_named("meld-text-best", "06-tokens")
    head = built(experiment)
    architecture = architecture_of(as_run(experiment))
    (branch,) = architecture.branches
    assert [source.feature.values for source in branch.sources] == ["2,304", "n × 384"]
    assert [source.reading.values for source in branch.sources if source.reading] == ["2,304", "384"]
    assert branch.join is not None
    assert branch.join.values == f"{head.inputs['text'].width:,}" == "2,690"
    assert architecture.fusion.values == f"{head.fusion.width:,}" == "256"
    assert [(heading, part.values) for heading, part in architecture.trunk] == [
        ("feed-forward", "256"),
        ("logits", "7"),
        ("loss", ""),
    ]
    assert architecture.parameters == sum(weight.numel() for weight in head.parameters())


def test_the_top_of_an_encoder_is_trained_and_its_states_are_as_stored() -> None:
    """Three of MiniLM's layers have 5.3 million weights; nothing normalises what stands below them."""
    architecture = architecture_of(as_run(experiment_named("meld-text-top", "k3")))
    ((source,),) = (branch.sources for branch in architecture.branches)
    assert source.feature.values == "n × 386"
    assert "below its last 3" in source.feature.lines
    assert source.reading is not None
    assert source.reading.trained
    assert source.reading.lines[-1] == "5.32 M weights"
    assert source.reading.values == "384"
    assert not [line for line in source.reading.lines if "normalise" in line]
    assert architecture.parameters == 3 * 1_774_464 + 384 + 7 * (385 + 1)  # what stands in, and the classifier


def test_the_parts_parameters_are_told() -> None:
    experiment = experiment_named("systems", "bclstm-text-audio-visual")
    head = built(experiment)
    architecture = architecture_of(as_run(experiment))
    for branch in architecture.branches:
        number = sum(weight.numel() for weight in head.modality_contexts.contexts[branch.modality].parameters())
        assert branch.context is not None
        assert branch.context.lines[-1] == f"{number / 1e6:.3g} M weights"
        assert branch.context.trained
    assert [heading for heading, _ in architecture.trunk] == ["context", "logits", "loss"]


def test_known_speakers_are_counted_from_the_recorded_weights() -> None:
    experiment = experiment_named("meld-text-best", "09-speakers")
    nobody = architecture_of(as_run(experiment))
    assert nobody.speakers is not None
    assert "known names" not in " ".join(nobody.speakers.lines)
    six = architecture_of(as_run(experiment, nobody.parameters + 6 * 16))
    assert six.speakers is not None
    assert six.speakers.lines[0] == "6 known names"
    assert six.speakers.lines[-1] == "112 weights"
    assert six.parameters == nobody.parameters + 96


def test_frozen_and_random_encoders_are_marked() -> None:
    experiment = experiment_named("modalities", "text")
    run = as_run(experiment)
    assert architecture_of(run).branches[0].sources[0].feature.lines[-1] == "frozen"
    (use,) = run.features
    random = run.record.model_copy(update={"features": (use.model_copy(update={"weights": "random"}),)})
    marked = architecture_of(RunSnapshot(run.folder, run.experiment, run.config, random))
    assert marked.branches[0].sources[0].feature.lines[-1] == "random weights"
    none = run.record.model_copy(update={"features": (use.model_copy(update={"weights": "none"}),)})
    unmarked = architecture_of(RunSnapshot(run.folder, run.experiment, run.config, none))
    assert unmarked.branches[0].sources[0].feature.lines[-1] == "no weights"


def test_a_config_that_cannot_be_built_is_told_and_not_drawn(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "text", config={"fusion": {"name": "wormhole"}})
    corpora = corpora_of(read_runs(tmp_path / "runs"))
    with pytest.raises(ConfigError, match="unknown fusion 'wormhole'"):
        architecture_of(corpora[0].runs[0])
    assert "1-architecture" not in drawings_of(corpora)
    write_report(tmp_path / "runs", tmp_path / "out")
    assert "Not drawn: text-" in (tmp_path / "out" / "report.html").read_text()


def test_features_of_other_modalities_than_the_config_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "text", features=(SENTENCE, LOGMEL), config={"inputs": {"text": ["sentence"]}})
    with pytest.raises(ConfigError, match=r"reads text, and features\.json has text, audio"):
        architecture_of(read_runs(tmp_path / "runs").runs[0])


def test_equal_runs_give_equal_pictures(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "all", features=(SENTENCE, LOGMEL, HOG))
    (run,) = read_runs(tmp_path / "runs").runs
    first, second = (architecture_figure("key", architecture_of(run), "all") for _ in range(2))
    assert first == second
    assert "normalise, read" in first.svg
    assert ">2,304<" in first.svg
