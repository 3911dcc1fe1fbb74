"""The model card of an exported run: Hugging Face's README.md, from what the run measured and nothing else."""

from __future__ import annotations

from typing import Any

import jinja2
import yaml

from features.cards import HEADLINES
from features.errors import ErcError
from features.spec import EncoderSpec
from heads.graph.inputs import SPEAKER, SPEAKER_SLOT, TURN_MASK
from pipeline.comparison.compare import Interval, score_interval
from pipeline.pages.words import SYNTHETIC_WARNING
from pipeline.predict.temperature import Temperature
from pipeline.runs.folder import Run
from pipeline.runs.metrics_file import Metrics, scores_shown
from pipeline.share.onnx_head import Graph, GraphAxes
from pipeline.share.space import APP_FILE

_SPLITS = ("test", "dev")
_RARE = 0.05  # of train
_MARKUP = set("\\`*_[]<>|#")


def model_card(
    run: Run,
    seeds: list[int],
    specs: list[EncoderSpec],
    temperature: Temperature | None,
    graph: Graph | None = None,
    changed: str = "",
    *,
    app: bool = False,
) -> str:
    """Markdown, with the hub's metadata before it. graph: of head.onnx, where there is one; changed: what of the code
    that predicts has changed between training and export, in words; app: whether there is a demo"""
    scores = {split: run.metrics(split) for split in _SPLITS if split in run.scored_splits()}
    features, facts = run.features, run.features.manifest
    counts = facts.train_label_counts
    trained_on = sum(counts.values())
    environment = jinja2.Environment(  # noqa: S701 (Markdown: texts go through `plain`)
        loader=jinja2.PackageLoader("pipeline.share", ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plain": plain, "feed_shape": _feed_shape, "input_words": _input_words}
    return environment.get_template("model_card.md.jinja").render(
        metadata=yaml.safe_dump(_metadata(run, scores, app), sort_keys=False, allow_unicode=True),
        name=run.name,
        labels=facts.labels,
        title=facts.title or facts.dataset,
        seeds=seeds,
        synthetic=facts.synthetic,
        synthetic_warning=SYNTHETIC_WARNING,
        foreign=[spec.name for spec in specs if spec.is_foreign],
        random=[spec.name for spec in specs if spec.weights == "random"],
        sees=_sees(run),
        specs=specs,
        splits=[_split(run, split, metrics, seeds) for split, metrics in scores.items()],
        temperature=temperature,
        graph=graph,
        changed=changed,
        app=app,
        sees_batch=run.experiment.sees_batch,
        rare=[(label, number) for label, number in counts.items() if number < _RARE * trained_on],
        trained_on=trained_on,
        run=features.run or run.path.name,
        manifest=facts.sha256,
        dataset=facts.dataset,
        versions=[f"{name} {version}" for name, version in features.versions.items() if version],
    )


def plain(text: str) -> str:
    """Text that is no markup in Markdown, on one line."""
    return "".join(f"\\{character}" if character in _MARKUP else character for character in " ".join(text.split()))


def _feed_shape(item: GraphAxes) -> tuple[int, ...]:
    """Of one utterance: one of whatever may have any length."""
    return tuple(axis if isinstance(axis, int) else 1 for axis in item.axes)


def _input_words(name: str) -> str:
    """What an input is, in words (heads/graph/inputs.py)."""
    known = {
        TURN_MASK: "true where a turn is real; padding is at the right",
        SPEAKER_SLOT: "who speaks: 0 for who speaks first in the dialogue, then 1, ...",
        SPEAKER: "who speaks, by name: the place in the metadata's `speakers`, from 1 on; 0 is any other",
    }
    if name in known:
        return known[name]
    if name.endswith("_present"):
        return f"true where there is a `{name.removesuffix('_present')}`"
    if name.endswith("_length"):
        return f"how many elements of `{name.removesuffix('_length')}` are real; padding is behind"
    return "an embedding as it is stored; the graph normalises it"


def _metadata(run: Run, scores: dict[str, Metrics], app: bool) -> dict[str, Any]:
    facts = run.features.manifest
    results = [
        {
            "task": {"type": "text-classification", "name": "emotion recognition in conversation"},
            "dataset": {"type": facts.dataset, "name": facts.title or facts.dataset, "split": split},
            "metrics": [
                {"type": name, "name": HEADLINES[name], "value": round(score.mean, 4)}
                for name in scores_shown(metrics.headline)
                if (score := metrics.score(name))
            ],
        }
        for split, metrics in scores.items()
    ]
    # What a Space reads; a model repository passes over it.
    demo = {"title": run.name, "sdk": "gradio", "app_file": APP_FILE} if app else {}
    return demo | {
        "library_name": "erc-feature-store",
        "tags": ["emotion-recognition-in-conversation", *sorted(run.experiment.inputs)],
        "model-index": [{"name": run.name, "results": results}],
    }


def _sees(run: Run) -> list[str]:
    looks = run.features.looks_at
    seen = ["the utterance itself"]
    if looks and looks.dialogue:
        seen.append("its dialogue, later turns too" if looks.later_turns else "the turns before it")
    if looks and looks.speaker_names:
        seen.append("the names of speakers")
    return seen


def _split(run: Run, split: str, metrics: Metrics, seeds: list[int]) -> dict[str, Any]:
    return {
        "name": split,
        "utterances": metrics.utterances,
        "scores": [
            {
                "name": HEADLINES[name],
                "mean": score.mean,
                "std": score.std,
                "interval": _interval(run, split, seeds) if name == metrics.headline else None,
            }
            for name in scores_shown(metrics.headline)
            if (score := metrics.score(name))
        ],
        "classes": [(label, metrics.per_class_f1[label].mean, metrics.support[label]) for label in metrics.labels],
    }


def _interval(run: Run, split: str, seeds: list[int]) -> Interval | None:
    """None where the run does not hold the predictions that it is made of."""
    try:
        frames = {seed: run.predictions(seed, split, dialogues=True) for seed in seeds}
        return score_interval(frames, run.labels, criterion=run.features.manifest.criterion)
    except ErcError:
        return None
