"""The suites that ship: what they say, that a contrast isolates one factor, that each experiment can be trained."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from top_factory import minilm

from features.encoders.table import ENCODERS
from heads.config.experiment import Experiment
from heads.config.resolve import experiment_from_dict
from heads.config.sections import Stop
from heads.config.suite import Suite, read_suite, shipped_suites
from heads.context import CONTEXTS
from heads.data.data import FeatureRows, FeatureShape, HeadData
from heads.data.normalise import Normaliser
from heads.data.samplers import SAMPLERS
from heads.data.utterances import Utterances
from heads.fusion import FUSIONS
from heads.losses import LOSSES
from heads.model import HeadShape, build_head, num_parameters
from heads.training.trainer import patience_starts, train_head

SUITES = {name: read_suite(name) for name in shipped_suites()}
EXPERIMENTS = [experiment for suite in SUITES.values() for experiment in suite.experiments]
every_suite = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)

# Features by the encoder that their name begins with; the longest that fits counts.
SHAPES = {
    "gpt2": FeatureShape("vector", (768,)),
    "glove": FeatureShape("vector", (50,)),
    "glove-tokens": FeatureShape("sequence", (50,)),
    "sentence": FeatureShape("vector", (2304,)),
    "sentence-mean": FeatureShape("vector", (384,)),
    "sentence-tokens": FeatureShape("sequence", (384,)),
    **{f"sentence-tokens-top{k}": FeatureShape("sequence", (386,)) for k in range(1, 7)},  # and `shape_of` adds the top
    "surface": FeatureShape("vector", (24,)),
    "wav2vec2": FeatureShape("vector", (1536,)),
    "wav2vec2-layers": FeatureShape("stack", (13, 1536)),
    "waveform": FeatureShape("sequence", ()),
    "logmel": FeatureShape("vector", (254,)),
    "resnet50": FeatureShape("vector", (2048,)),
    "retinaface-resnet50": FeatureShape("vector", (2048,)),
    "hog-colour": FeatureShape("vector", (396,)),
    "mobilenet": FeatureShape("vector", (1280,)),
}
LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
MOST_PARAMETERS = 30_000_000  # of a head that is trained here; larger ones are only built, without memory
LARGE = {
    ("table4", "20-i02-150Kx768"),
    ("table4", "22-i03-200Kx768"),
    ("table4-as-published", "19-i02-150Kx256"),
    ("table4-as-published", "20-i02-150Kx768"),
    ("table4-as-published", "21-i03-200Kx256"),
    ("table4-as-published", "22-i03-200Kx768"),
    ("table4-as-published", "23-i04-200Kx256mha"),
}
# Rows that differ in a number alone from one that is trained here, and take seconds each: these are only built.
ALIKE = {
    ("meld-text-top", name)
    for name in ("k1", "k2", "k4", "k5", "k3-lr-5e-5", "k3-lr-2e-4", "k3-decay", "k3-max", "k3-context48", "k3-surface")
}

# The report's table 4: exp -> score, learning rate, steps of warm-up, batch, epochs at most.
PRINTED = {
    1: (25, 5e-4, 250, 64, 10),
    2: (27, 5e-4, 250, 64, 10),
    3: (25, 5e-4, 250, 64, 10),
    4: (29, 5e-4, 250, 64, 10),
    5: (50, 5e-5, 1000, 16, 10),
    6: (40, 5e-5, 1000, 16, 10),
    7: (28, 5e-4, 250, 64, 10),
    8: (25, 5e-5, 1000, 16, 10),
    9: (25, 5e-5, 1000, 16, 10),
    10: (26, 5e-5, 250, 64, 10),
    11: (25, 5e-5, 1000, 16, 10),
    12: (27, 5e-5, 2000, 8, 10),
    13: (30, 5e-5, 1000, 16, 10),
    14: (36, 5e-5, 2000, 8, 10),
    15: (53, 5e-5, 2000, 8, 10),
    16: (26, 5e-5, 3000, 11, 10),
    17: (46, 5e-5, 1000, 16, 15),
    18: (38, 5e-4, 1000, 16, 15),
    19: (36, 5e-5, 1000, 16, 15),
    20: (38, 5e-5, 2000, 8, 15),
    21: (46, 5e-5, 2000, 8, 15),
    22: (41, 5e-5, 2000, 8, 15),
    23: (39, 5e-5, 2000, 8, 15),
    24: (55, 5e-5, 2000, 8, 15),
    25: (54, 5e-5, 2000, 8, 15),
    26: (54, 5e-5, 2000, 8, 15),
    27: (54, 5e-5, 2000, 8, 15),
    28: (54, 5e-5, 2000, 8, 15),
    29: (54, 5e-5, 2000, 8, 15),
    30: (54, 5e-5, 2000, 8, 15),
}
# exp -> encoders of text, audio and visual, samples and values of the waveform, dim of the attention, hidden layers.
Row = tuple[str | None, str | None, str | None, int | None, tuple[int, ...]]
G, R = "gpt2", "resnet50"
ROWS: dict[int, Row] = {
    **dict.fromkeys((1, 2, 3), ("glove", "150Kx50", R, None, (64,))),
    4: ("glove", None, None, None, (64,)),
    5: (G, None, None, None, (64,)),
    6: (G, "150Kx50", R, None, (64,)),
    7: (None, "150Kx50", None, None, (64,)),
    8: (None, "150K", None, None, (64,)),
    9: ("glove", "150K", R, None, (64,)),
    10: (None, None, R, None, (64,)),
    11: (None, None, "retinaface-resnet50", None, (64,)),
    12: ("glove", "150Kx50", "retinaface-resnet50", None, (64,)),
    13: ("glove", "150Kx50", R, 512, (64,)),
    14: (G, "150K", R, None, (64,)),
    15: (G, "150K", R, 512, (64,)),
    16: (G, "150K", R, 1024, (1024, 1024, 512, 512)),
    17: (G, "150Kx50", R, 512, (256, 128)),
    18: (G, "150Kx50", R, 512, (256, 128)),
    19: (G, "150Kx256", R, 512, (256, 128)),
    20: (G, "150Kx768", R, 512, (256, 128)),
    21: (G, "200Kx256", R, 512, (256, 128)),
    22: (G, "200Kx768", R, 512, (256, 128)),
    23: (G, "200Kx256", R, 512, (256, 128)),
    24: (G, "200K", R, 512, (256, 128)),
    25: (G, "250K", R, 512, (256, 128)),
    26: (G, "200K", R, 1024, (512, 256)),
    27: (G, "200K", R, 1024, (512, 512)),
    28: (G, "250K", R, 1024, (1024, 512, 512)),
    29: (G, "250K", R, 1024, (1024, 1024, 512, 512)),
    30: (G, "200K", R, 512, (256, 128)),
}
# What the sides of table 4's contrasts differ in. One path is one factor; what has several is explained here.
AUDIO = {"inputs.audio.0", "readers.audio"}  # another feature, and what reads it
SIZE = {"fusion.dim", "feedforward.sizes"}  # 16a asks for both at once
SAMPLER = {"batch.sampler", "batch.size"}  # of 63, since seven classes do not share 64
TABLE4 = {
    ("02-baseline-dice", "01-baseline-cce"): {"loss"},
    ("02-baseline-dice", "03-baseline-focal"): {"loss"},
    ("03-baseline-focal", "01-baseline-cce"): {"loss"},
    ("05-t-um-gpt2", "04-t-um-glove"): {"inputs.text.0"},
    ("06-t-mm-gpt2", "02-baseline-dice"): {"inputs.text.0"},
    ("08-a-um-wav2vec2", "07-a-um-waveform"): AUDIO,
    ("09-a-mm-wav2vec2", "02-baseline-dice"): AUDIO,
    ("14-fusion-concat-adv", "06-t-mm-gpt2"): AUDIO,
    ("a-um-wav2vec2-layers", "08-a-um-wav2vec2"): AUDIO,
    ("11-v-um-retinaface", "10-v-um-resnet50"): {"inputs.visual.0"},
    ("12-v-mm-retinaface", "02-baseline-dice"): {"inputs.visual.0"},
    ("13-fusion-mha-baseline", "02-baseline-dice"): {"fusion"},
    ("15-fusion-mha-adv", "14-fusion-concat-adv"): {"fusion"},
    # The report's own comparison, which changes three things; the next three take them one by one.
    ("16-losses-dice_triplet", "15-fusion-mha-adv"): {"loss"} | SIZE | SAMPLER,
    ("16a-size", "15-fusion-mha-adv"): SIZE,
    ("16b-size-sampler", "16a-size"): SAMPLER,
    ("16-losses-dice_triplet", "16b-size-sampler"): {"loss"},
    ("18-i01-lr-x10", "17-i01-150Kx50"): {"optim.lr"},
    ("19-i02-150Kx256", "17-i01-150Kx50"): {"readers.audio.hidden"},
    ("20-i02-150Kx768", "19-i02-150Kx256"): {"readers.audio.hidden"},
    ("22-i03-200Kx768", "21-i03-200Kx256"): {"readers.audio.hidden"},
    ("21-i03-200Kx256", "19-i02-150Kx256"): {"readers.audio.seconds"},
    ("22-i03-200Kx768", "20-i02-150Kx768"): {"readers.audio.seconds"},
    ("24-wav2vec2-200Kx1536", "25-wav2vec2-250Kx1536"): {"inputs.audio.0"},
    ("23-i04-200Kx256mha", "21-i03-200Kx256"): {"readers.audio.attention"},
    ("27-i07-512-512", "26-i06-512-256"): {"feedforward.sizes"},
    ("29-i09-1024-1024-512-512", "28-i08-1024-512-512"): {"feedforward.sizes"},
    ("24-wav2vec2-200Kx1536", "30-i10-not-normalised"): {"normalise"},
}
# Elsewhere the sides of a contrast differ in one path, or in those of one of these.
ONE_FACTOR = [
    {"inputs.audio", "inputs.visual"},  # text alone or all three
    {"inputs.text", "inputs.audio"},
    {"fusion.input_dropout", "feedforward.dropout"},  # dropout, wherever there is some
    {"context", "batch.unit", "batch.size"},  # a context, and the whole dialogues that it asks for
    {"inputs.audio.0", "readers.audio.seconds"},  # as published, the stored waveform is as long as what is read of it
]


def differences(a: Experiment, b: Experiment) -> set[str]:
    """Dotted paths of the settings that differ. A part of another name, and a list of losses, differ as a whole."""
    left, right = a.to_dict(), b.to_dict()
    for key in ("name", "suite", "paper"):
        del left[key], right[key]
    return _differences(left, right, "")


def _differences(left: Any, right: Any, path: str) -> set[str]:
    if left == right:
        return set()
    inside = path + "." if path else ""
    if isinstance(left, dict) and isinstance(right, dict):
        if left.get("name") != right.get("name"):
            return {path}
        both = (_differences(left.get(key), right.get(key), inside + key) for key in left.keys() | right.keys())
        return set().union(*both)
    if path.startswith("inputs.") and left and right and len(left) == len(right):
        return {f"{inside}{place}" for place in range(len(left)) if left[place] != right[place]}
    return {path}


def by_exp(name: str) -> dict[Any, Experiment]:
    return {experiment.paper.exp: experiment for experiment in SUITES[name].experiments if experiment.paper}


def encoder_of(feature: str) -> str:
    """The key of SHAPES, or of ENCODERS, that a feature's name begins with."""
    return max((name for name in SHAPES if feature.startswith(name)), key=len)


def features_of(experiment: Experiment) -> list[tuple[str, str]]:
    """(modality, name); suites that ship choose features by name alone."""
    return [(key, item) for key, items in experiment.inputs.items() for item in items if isinstance(item, str)]


def shapes_of(experiment: Experiment) -> dict[str, tuple[FeatureShape, ...]]:
    return {key: tuple(shape_of(encoder_of(str(item))) for item in items) for key, items in experiment.inputs.items()}


def shape_of(encoder: str) -> FeatureShape:
    """A top is cut when a test wants it: cutting all takes longer than collecting every other test."""
    top = re.fullmatch(r"sentence-tokens-top(\d)", encoder)
    return replace(SHAPES[encoder], top=minilm(int(top[1])).stored()) if top else SHAPES[encoder]


def parameters_of(experiment: Experiment) -> int:
    shape = HeadShape(shapes_of(experiment), len(LABELS))
    with torch.device("meta"):
        return num_parameters(build_head(experiment, shape))


def test_the_suites_that_ship() -> None:
    assert set(SUITES) == {
        "contexts",
        "demo",
        "fusions",
        "losses",
        "meld-text",
        "meld-text-best",
        "meld-text-top",
        "meld-to-emorynlp",
        "modalities",
        "slips",
        "slips-features",
        "systems",
        "table4",
        "table4-as-published",
    }
    assert len(EXPERIMENTS) > 180


@every_suite
def test_a_suite_says_what_it_is_and_what_it_needs(suite: Suite) -> None:
    assert suite.title
    assert "erc extract" in suite.description
    for experiment in suite.experiments:
        features = features_of(experiment)
        assert len(features) == sum(map(len, experiment.inputs.values()))
        for modality, feature in features:
            assert f"`{feature}`" in suite.description or f" {feature}" in suite.description, feature
            encoder = encoder_of(feature)
            aliases = {"wav2vec2-layers": "wav2vec2", "sentence-mean": "sentence"}
            aliases |= {f"sentence-tokens-top{k}": "sentence-tokens" for k in range(1, 7)}
            assert ENCODERS[aliases.get(encoder, encoder)].modality == modality


@every_suite
def test_resolved_experiments_read_back_equal(suite: Suite) -> None:
    for experiment in suite.experiments:
        assert experiment_from_dict(experiment.to_dict(), "config.yaml") == experiment


@every_suite
def test_experiments_of_a_suite_differ(suite: Suite) -> None:
    for place, experiment in enumerate(suite.experiments):
        for other in suite.experiments[:place]:
            assert differences(experiment, other), f"{experiment.name} is {other.name}"


@every_suite
def test_the_sides_of_a_contrast_differ_in_one_factor(suite: Suite) -> None:
    named = {experiment.name: experiment for experiment in suite.experiments}
    found = {(item.A, item.B): differences(named[item.A], named[item.B]) for item in suite.contrasts}
    assert len(found) == len(suite.contrasts)
    assert all(item.question.endswith("?") for item in suite.contrasts)
    assert len({item.question for item in suite.contrasts}) == len(found)
    if suite.name == "table4":
        assert found == TABLE4
        return
    assert len(found) >= 5
    for sides, paths in found.items():
        assert len(paths) == 1 or paths in ONE_FACTOR, f"{sides}: {sorted(paths)}"


@pytest.mark.parametrize("name", ["table4", "table4-as-published"])
def test_table4_has_the_reports_thirty_rows(name: str) -> None:
    rows = by_exp(name)
    assert list(rows) == list(range(1, 31))
    for exp, experiment in rows.items():
        assert experiment.paper is not None
        assert experiment.paper.reported == PRINTED[exp][0]
        assert experiment.name.startswith(f"{exp:02}-")
        assert row_of(experiment) == ROWS[exp], experiment.name
        losses = {1: ["cross-entropy"], 3: ["focal"], 16: ["dice", "triplet"]}.get(exp, ["dice"])
        assert [term.name.removesuffix("-on-softmax") for term in experiment.loss] == losses
        assert experiment.batch.sampler.startswith("class-balanced" if exp == 16 else "shuffle")
        assert experiment.feedforward.dropout == (0.0 if exp in (26, 27) else 0.2)
        assert (experiment.normalise == "none") == (exp == 30)
        attention = experiment.readers["audio"].settings["attention"] if "audio" in experiment.readers else "none"
        assert (attention != "none") == (exp == 23)
    assert [row.name for row in by_exp("table4").values()] == [row.name for row in rows.values()]


def row_of(experiment: Experiment) -> Row:
    """An experiment in the terms of ROWS."""
    names = {modality: name.removesuffix("-as-published") for modality, name in features_of(experiment)}
    audio = names.get("audio")
    if audio and audio.startswith("waveform"):
        settings = experiment.readers["audio"].settings
        length = {1.7: 150, 2.27: 200, 2.83: 250}[round(settings["seconds"], 2)]
        assert audio in ("waveform", f"waveform-{length}k")
        audio = f"{length}Kx{settings['hidden']}"
    elif audio:
        audio = audio.removeprefix("wav2vec2-").upper()
    fusion = experiment.fusion
    dim = fusion.settings["dim"] if fusion.name.startswith("attention") else None
    assert fusion.name.startswith("attention") or fusion.name == "concat+norm"
    assert dim is None or fusion.settings["heads"] == 4
    return names.get("text"), audio, names.get("visual"), dim, experiment.feedforward.sizes


def test_table4_has_one_protocol() -> None:
    for experiment in SUITES["table4"].experiments:
        exp = experiment.paper.exp if experiment.paper else None
        lr, decay = 1e-2 if exp == 18 else 1e-3, 0.001 if exp in (26, 27) else 0.01
        assert (experiment.optim.lr, experiment.optim.weight_decay, experiment.optim.warmup) == (lr, decay, 0.05)
        assert experiment.stop == Stop(epochs=60, patience=10)
        assert (experiment.batch.unit, experiment.batch.size) in {("utterances", 64), ("utterances", 63)}
        assert not experiment.sees_batch
        assert not experiment.evaluation.dropout
        assert experiment.is_causal
        assert experiment.normalise == ("none" if exp == 30 else "standardise")


def test_as_published_has_the_printed_hyperparameters() -> None:
    for exp, experiment in by_exp("table4-as-published").items():
        _, lr, warmup, size, epochs = PRINTED[exp]
        drawn = 7 * 4710 if exp == 16 else 9989  # MELD's largest class for each of seven, or its train utterances
        steps = math.ceil(drawn / size) * epochs
        assert round(experiment.optim.warmup * steps) == warmup
        assert (experiment.optim.lr, experiment.batch.size) == (lr, size)
        assert experiment.stop == Stop(epochs=epochs, patience=10 if exp == 30 else 5)
        assert experiment.optim.weight_decay == (0.01 if exp in (26, 27) else 0.1)
        assert experiment.normalise == ("none" if exp == 30 else "l2")
        assert experiment.evaluation.dropout
        assert experiment.sees_batch == (experiment.fusion.name == "attention-over-batch")
        for modality, name in features_of(experiment):
            assert name.endswith("-as-published"), modality
        for term in experiment.loss:
            assert (
                term.settings
                == {
                    "cross-entropy-on-softmax": {},
                    "dice": {"absent": "count", "denominator": "sums"},
                    "focal": {"gamma": 2.0, "alpha": "inverse"},
                    "triplet": {"reduce": "mean", "projection": None},
                }[term.name]
            )
    assert by_exp("table4-as-published")[16].batch.sampler == "class-balanced-as-published"
    readers = by_exp("table4-as-published")
    samples = {round(row.readers["audio"].settings["seconds"] * 88200) for row in readers.values() if row.readers}
    assert samples == {150_000, 200_000}
    assert readers[23].readers["audio"].settings["attention"] == "over-batch"


def test_curricula_and_the_systems_schedules_reach_their_end() -> None:
    """Early stopping would have them ask another question than they say. Rows that are compared last as long."""
    named = {experiment.name: experiment for experiment in SUITES["systems"].experiments}
    with_curriculum = [item for item in EXPERIMENTS if item.batch.sampler == "spcl-curriculum"]
    assert len(with_curriculum) == 4
    assert all(patience_starts(item) == item.stop.epochs for item in with_curriculum)
    for name in ("spcl-cl-text", "spcl-cl-text-audio", "spcl-cl-text-audio-visual", "spcl-text", "linear-text"):
        assert (named[name].optim.schedule, named[name].batch.size) == ("cosine", 32)
        assert named[name].stop == Stop(epochs=8, patience=8)


def test_every_part_is_in_some_suite() -> None:
    """losses and samplers in `losses`, fusions in `fusions`, contexts in `contexts` both ways."""
    losses = SUITES["losses"].experiments
    assert {term.name for experiment in losses for term in experiment.loss} == set(LOSSES)
    as_published = {"class-balanced-as-published"}
    by_length = {"bucketed"}
    assert {experiment.batch.sampler for experiment in losses} == set(SAMPLERS) - as_published - by_length
    assert {experiment.batch.sampler for experiment in SUITES["meld-text-top"].experiments} == {"bucketed", "shuffle"}
    assert {experiment.fusion.name for experiment in SUITES["fusions"].experiments} == set(FUSIONS)
    contexts = [experiment.context for experiment in SUITES["contexts"].experiments]
    for name, part in CONTEXTS.items():
        ways = {context.settings["causal"] for context in contexts if context.name == name}
        assert ways == ({True, False} if not part.always_causal else ways), name  # type: ignore[attr-defined]
        assert ways, name
    three = {"text", "audio", "visual"}
    subsets = {frozenset(experiment.inputs) for experiment in SUITES["modalities"].experiments}
    assert len(subsets) == 2 ** len(three) - 1
    assert subsets == {frozenset(experiment.inputs) for experiment in SUITES["demo"].experiments}


def test_slips_are_where_they_are_asked_for_alone() -> None:
    """Elsewhere no prediction changes with its batch-mates, and dropout is off while scoring."""
    slips = {"slips", "table4-as-published"}
    for experiment in EXPERIMENTS:
        if experiment.suite in slips:
            continue
        assert not experiment.evaluation.dropout, experiment.name
        assert not experiment.sees_batch or experiment.name == "attention-over-batch", experiment.name


def test_parameters_of_rows_that_can_be_counted_by_hand() -> None:
    """ERC: the report's attention of width 512 has 1,050,624 parameters, where its text says 512 * 512."""
    published, fit = by_exp("table4-as-published"), by_exp("table4")
    for exp, dim in ((15, 512), (29, 1024)):
        with torch.device("meta"):
            head = build_head(published[exp], HeadShape(shapes_of(published[exp]), len(LABELS)))
        attention = head.fusion.get_submodule("attention")
        assert num_parameters(attention) == 4 * dim * dim + 4 * dim == {512: 1_050_624, 1024: 4_198_400}[dim]
    waveform = (150_000 + 1) * 150 + (150 + 1) * 100 + (100 + 1) * 50
    classifier = (64 + 1) * 7
    missing = 50 + 50 + 2048  # learned vectors
    assert parameters_of(published[1]) == waveform + missing + (50 + 50 + 2048 + 3 + 1) * 64 + classifier
    assert parameters_of(published[5]) == 768 + (768 + 1 + 1) * 64 + classifier
    assert parameters_of(fit[5]) == 768 + 2 * 768 + (768 + 1 + 1) * 64 + classifier  # and the layer norm
    layers = next(item for item in SUITES["table4"].experiments if item.name == "a-um-wav2vec2-layers")
    assert parameters_of(layers) == parameters_of(fit[8]) + 13 + 1  # a weight a layer, and the scale


@pytest.mark.parametrize(
    "experiment",
    [item for item in EXPERIMENTS if (item.suite, item.name) not in LARGE | ALIKE],
    ids=lambda item: f"{item.suite}-{item.name}",
)
def test_an_experiment_trains_on_features_of_plausible_shapes(experiment: Experiment) -> None:
    optim = experiment.optim
    for precision in ("fp32", "bf16") if optim.precision == "auto" else (optim.precision,):
        chosen = replace(
            experiment, stop=Stop(epochs=1, patience=1), optim=optim.model_copy(update={"precision": precision})
        )
        trained = train_head(chosen, head_data(experiment), seed=0)
        (epoch,) = trained.history
        assert math.isfinite(epoch.train_loss)
        assert math.isfinite(epoch.dev_loss)
        assert trained.precision == precision


@pytest.mark.parametrize("experiment", [item for item in EXPERIMENTS if (item.suite, item.name) in ALIKE])
def test_a_row_that_differs_in_a_number_is_built(experiment: Experiment) -> None:
    assert parameters_of(experiment) > 0


def test_the_others_are_too_large_to_be_trained_here() -> None:
    assert {(item.suite, item.name) for item in EXPERIMENTS if parameters_of(item) > MOST_PARAMETERS} == LARGE


def head_data(experiment: Experiment, train: int = 21, dev: int = 7) -> HeadData:
    """Noise: dialogues of seven turns, in which every emotion comes once; one train utterance lacks each feature."""
    generator = np.random.default_rng(0)
    count = train + dev
    inputs = {}
    for modality, shapes in shapes_of(experiment).items():
        features = []
        for place, shape in enumerate(shapes):
            present = np.ones(count, bool)
            present[place] = False
            features.append(_rows(generator, modality, shape, present))
        inputs[modality] = tuple(features)
    labels = np.arange(count) % len(LABELS)
    utterances = Utterances(
        ids=[f"u{number}" for number in range(count)],
        splits=np.array(["train"] * train + ["dev"] * dev, dtype=object),
        labels=labels.astype(np.int64),
        label_names=LABELS,
        dialogue_ids=[f"d{number // 7}" for number in range(count)],
        dialogues=np.arange(count) // 7,
        slots=np.arange(count) % 7 % 2,
        speakers=["AB"[number % 7 % 2] for number in range(count)],
        sentiments=labels.astype(np.int64) % 3,
        sentiment_names=("negative", "neutral", "positive"),
        groups=[None] * count,
    )
    return HeadData(utterances, inputs)


def _rows(generator: np.random.Generator, modality: str, shape: FeatureShape, present: np.ndarray) -> FeatureRows:
    none = Normaliser("none")
    if shape.kind != "sequence":
        values = generator.normal(size=(len(present), math.prod(shape.shape))).astype(np.float32)
        values[~present] = 0.0
        return FeatureRows(modality, f"{modality}/x", none, values, present, shape)
    lengths = np.where(present, generator.integers(3, 60, size=len(present)), 0)
    offsets = np.concatenate([[0], lengths.cumsum()])
    as_stored = shape.shape == () or shape.top is not None
    stored = np.float16 if as_stored else np.float32
    values = generator.normal(size=(offsets[-1], *shape.shape)).astype(stored)
    return FeatureRows(modality, f"{modality}/x", none, values, present, shape, offsets)
