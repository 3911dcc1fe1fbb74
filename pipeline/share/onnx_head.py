"""head.onnx: the heads of a run as one ONNX graph, held against torch before it is given away."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from features.errors import ErcError, RunError, UsageError, first_line
from features.extras import install_extra
from heads.data.batch import Batch
from heads.graph.head import HeadGraph, check_traceable
from heads.graph.inputs import SPEAKER_SLOT, GraphInput, graph_inputs
from heads.training.checkpoint import TrainedHead, read_checkpoint
from pipeline.predict.temperature import Temperature
from pipeline.runs.folder import Run
from pipeline.scoring.evaluation import one_thread
from pipeline.share.onnx_rows import CASES, Rows, drawn_rows, real_rows

FILE = "head.onnx"
TOLERANCE = 1e-5
"""How far a logit x may be from torch's y: |x - y| / (1 + |y|)."""
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Parity:
    """How far the graph is from torch. largest: of all logits, as TOLERANCE; drawn, real: utterances that were asked"""

    largest: float
    drawn: int
    real: int
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class GraphAxes:
    """An input: its name, numpy's name of its dtype, and its axes: a name where it may have any length, else a size."""

    name: str
    dtype: str
    axes: tuple[str | int, ...]


@dataclass(frozen=True)
class Graph:
    """What is told of head.onnx."""

    inputs: tuple[GraphAxes, ...]
    parity: Parity


def check_onnx() -> None:
    """Raises UsageError where a package that `--onnx` needs is not installed."""
    lacking = [name for name in _NEEDED if find_spec(name) is None]
    if lacking:
        raise UsageError(f"--onnx needs {', '.join(lacking)}: {install_extra('onnx')}")


def heads_of(run: Run, seeds: Sequence[int]) -> list[TrainedHead]:
    """The heads of these seeds. Raises RunError where one cannot be a graph, or they know different speakers."""
    heads = [read_checkpoint(run.seed_folder(seed) / "head.safetensors", run.experiment) for seed in seeds]
    try:
        for head in heads:
            check_traceable(head)
    except ErcError as error:
        raise RunError(f"{run.path}: {error}") from error
    if len({head.speakers for head in heads}) > 1:
        raise RunError(f"{run.path}: its seeds know different speakers, and one graph has one list: train it again")
    return heads


def write_onnx(path: Path, run: Run, heads: Sequence[TrainedHead], temperature: Temperature | None) -> Graph:
    """Write the graph. Raises RunError where it says something else than torch does, or cannot be made."""
    inputs = graph_inputs(heads[0])
    with one_thread():
        metadata = {
            "labels": json.dumps(run.labels, ensure_ascii=False),
            "speakers": json.dumps(heads[0].speakers, ensure_ascii=False),
            "temperature": json.dumps(temperature.value if temperature else None),
        }
        told = build_graph(path, heads, inputs, metadata)
        parity = check_parity(path, heads, inputs, real_rows(run, heads, inputs))
    return Graph(told, parity)


def build_graph(
    path: Path, heads: Sequence[TrainedHead], inputs: Sequence[GraphInput], metadata: dict[str, str]
) -> tuple[GraphAxes, ...]:
    """Write the graph; gives its inputs. Raises RunError where it cannot be made."""
    graph = HeadGraph(heads, inputs).eval()
    feed = drawn_rows(inputs, CASES[0], len(heads[0].speakers), 0).feed(inputs, graph.sees_dialogues)
    example = {name: torch.from_numpy(feed[name]) for name in graph.names}
    axes = {name: _axes(name, value.dim(), graph) for name, value in example.items()}
    dims = {axis: torch.export.Dim(axis) for names in axes.values() for axis in names if axis}
    shapes = {name: {place: dims[axis] for place, axis in enumerate(names) if axis} for name, names in axes.items()}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph,
                kwargs={"given": example},
                dynamo=True,
                verbose=False,
                dynamic_shapes={"given": shapes},
                input_names=list(example),
                output_names=["logits"],
                external_data=False,
            )
    except Exception as error:  # of any kind: parts of others fail in ways of their own
        cause = error.__cause__ or error
        raise RunError(f"the head cannot be written as ONNX ({type(cause).__name__}: {first_line(cause)})") from error
    if program is None:
        raise RunError("the head cannot be written as ONNX: torch gave no graph")
    model = program.model
    _drop_unread(model.graph, SPEAKER_SLOT, inputs[0].present)
    model.metadata_props.update(metadata)
    program.save(str(path))
    kept = [str(value.name) for value in model.graph.inputs]
    return tuple(
        GraphAxes(
            name,
            str(feed[name].dtype),
            tuple(axis or size for axis, size in zip(axes[name], feed[name].shape, strict=True)),
        )
        for name in kept
    )


def _drop_unread(graph: Any, name: str, like: str) -> None:
    """Take away an input of which nothing but its size is asked, if that: who speaks, where no part wants to know.

    like: an input of the same axes, which is asked instead
    """
    values = {value.name: value for value in graph.inputs}
    unread = values.get(name)
    if unread is None or any(use.node.op_type != "Shape" for use in unread.uses()):
        return
    for use in list(unread.uses()):
        use.node.replace_input_with(use.idx, values[like])
    graph.inputs.remove(unread)


def _axes(name: str, rank: int, graph: HeadGraph) -> list[str | None]:
    """The names of the axes that may have any length; None for those that may not."""
    axes: list[str | None] = ["dialogues", "turns"] if graph.sees_dialogues else ["utterances"]
    sequences = {item.name for item in graph.inputs if item.is_sequence}
    axes += [f"{''.join(c if c.isalnum() else '_' for c in name)}_elements"] if name in sequences else []
    return axes + [None] * (rank - len(axes))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says as it goes."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def check_parity(
    path: Path,
    heads: Sequence[TrainedHead],
    inputs: Sequence[GraphInput],
    real: tuple[Rows, list[Batch]] | None = None,
) -> Parity:
    """Ask onnxruntime and torch the same rows. Raises RunError where a logit is further off than TOLERANCE."""
    session = open_session(path)
    experiment = heads[0].predictor.experiment
    largest, drawn = 0.0, 0
    asked: list[tuple[str, Rows, list[Batch]]] = [] if real is None else [("real", *real)]
    for seed, lengths in enumerate(CASES):
        rows = drawn_rows(inputs, lengths, len(heads[0].speakers), seed)
        drawn += len(rows)
        asked.append(("drawn", rows, [rows.batch(head, inputs) for head in heads]))
    for kind, rows, batches in asked:
        expected = torch_logits(heads, batches)
        found = run_session(session, rows.feed(inputs, experiment.sees_dialogues))
        found = found[rows.mask()] if experiment.sees_dialogues else found
        difference = np.abs(found - expected) / (1 + np.abs(expected))
        if not (difference <= TOLERANCE).all():
            raise RunError(
                f"the ONNX graph is {difference.max():.1g} off torch on {len(rows)} {kind} utterances, more than"
                f" {TOLERANCE:g}: it is not written; export without --onnx, or with other versions of torch and onnx"
            )
        largest = max(largest, float(difference.max()))
    return Parity(largest, drawn, 0 if real is None else len(real[0]))


def torch_logits(heads: Sequence[TrainedHead], batches: Sequence[Batch]) -> np.ndarray:
    """float64 [b, c]: what the graph should say. Utterances that see their batch see all of these."""
    scores = []
    for head, batch in zip(heads, batches, strict=True):
        predictor = head.predictor
        with torch.inference_mode():
            whole = predictor.experiment.sees_batch
            scores.append(predictor.decide(head.head(batch)) if whole else predictor.scores(batch))
    if len(scores) == 1:
        return scores[0].double().numpy()
    # The logarithm of the mean over seeds, in which no probability is too small.
    each = torch.stack([item.double().log_softmax(dim=1) for item in scores])
    mean: np.ndarray = (each.logsumexp(dim=0) - math.log(len(scores))).numpy()
    return mean


def open_session(path: Path) -> Any:
    """An onnxruntime session on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_session(session: Any, feed: dict[str, np.ndarray]) -> np.ndarray:
    """The logits, of those inputs that the graph asks for. Raises RunError where onnxruntime fails."""
    try:
        logits: np.ndarray = session.run(["logits"], {item.name: feed[item.name] for item in session.get_inputs()})[0]
    except Exception as error:  # onnxruntime's own share no class
        raise RunError(f"onnxruntime cannot run the head ({first_line(error)}): export without --onnx") from error
    return logits


def as_json(graph: Graph) -> dict[str, Any]:
    return {"file": FILE, "output": "logits", **asdict(graph)}
