"""Training an encoder's last layers from the store, against fine-tuning the whole encoder, and against the floor.

An epoch of the reader encoder-top on the stored feature `sentence-tokens-top3` (made by `erc extract --encoder
sentence-tokens --set from_top=3 --as sentence-tokens-top3`), on one thread: against Hugging Face's Trainer on the same
model with a linear layer over the mean of its tokens (same texts, batches, dtype, AdamW; padded to the longest of each
batch, grouped by length as Trainer offers it or in random order), and against the products alone, of the very batches
that ours runs: every linear layer and both products of attention, forwards and backwards, and a fused AdamW over as
many weights. Set-up and scoring are part of ours, set-up is part of the Trainer's. Beside the floor stands what torch
itself takes, on batches that are at hand.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.workers.trainer import arguments_for
from features.encoders.weights import find_model
from features.manifest import read_manifest
from features.store import Store
from heads.config.experiment import Experiment
from heads.config.resolve import experiment_from_dict
from heads.data.data import HeadData, fit_feature
from heads.data.utterances import read_utterances
from heads.model import HeadShape, build_head
from heads.precision import products_in
from heads.readers.by_length import groups_of
from heads.training.examples import Examples
from heads.training.steps import steps_of
from heads.training.trainer import train_head

MODEL = "packaged:all-MiniLM-L6-v2"
FEATURE = "sentence-tokens-top3"
LAYERS, WIDTH, INNER, HEADS = 3, 384, 1536, 12
NORMS = LAYERS * 4 * WIDTH  # weights that AdamW steps beside those of the linear layers


def experiment(size: int, sampler: str, dtype: str) -> Experiment:
    body: dict[str, Any] = {
        "name": "bench",
        "inputs": {"text": [FEATURE]},
        "feedforward": {"sizes": []},
        "batch": {"size": size, "sampler": sampler},
        "optim": {"lr": 1e-4, "warmup": 0.1, "precision": dtype},
        "stop": {"epochs": 1, "patience": 1},
    }
    return experiment_from_dict(body, __file__)


def read_data(manifest: Path, store: Path, texts: int) -> tuple[HeadData, list[str]]:
    """So many train utterances and 32 of dev, with their states; and the texts of those of train."""
    whole = read_manifest(manifest).select_splits(("train", "dev"))
    utterances = read_utterances(whole, ("train", "dev"))
    rows = np.concatenate([utterances.rows("train")[:texts], utterances.rows("dev")[:32]])
    part = utterances.take(np.sort(rows))
    data = HeadData(part, {"text": (fit_feature(Store(store, whole).choose("text", FEATURE), part, "none"),)})
    said = dict(zip(whole.frame["utterance_id"], whole.frame["text"], strict=True))
    return data, [said[part.ids[row]] for row in part.rows("train")]


class Whole(nn.Module):
    """The encoder, the mean of its own tokens, a linear layer."""

    def __init__(self, encoder: nn.Module, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(WIDTH, classes)

    def forward(self, labels: torch.Tensor, own: torch.Tensor, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        states = self.encoder(**inputs).last_hidden_state
        kept = own.unsqueeze(2).to(states.dtype)
        logits = self.classifier((states * kept).sum(1) / kept.sum(1).clamp(min=1))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def in_trainer(chosen: Experiment, data: HeadData, texts: list[str], strategy: str) -> Callable[[], None]:
    from transformers import AutoModel, AutoTokenizer, Trainer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    folder = find_model(MODEL, "pretrained")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    made = Whole(AutoModel.from_pretrained(folder, local_files_only=True), len(data.utterances.label_names))
    ids = tokenizer(texts, truncation=True, max_length=256)["input_ids"]
    labels = data.utterances.labels[data.utterances.rows("train")].tolist()
    rows = [{"input_ids": item, "labels": label} for item, label in zip(ids, labels, strict=True)]

    def collate(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = tokenizer.pad([{"input_ids": item["input_ids"]} for item in items], return_tensors="pt")
        places, sizes = torch.arange(batch["input_ids"].shape[1]), batch["attention_mask"].sum(1, keepdim=True)
        own = (places > 0) & (places < sizes - 1)
        return dict(batch) | {"own": own, "labels": torch.tensor([item["labels"] for item in items])}

    def train() -> None:
        with tempfile.TemporaryDirectory() as output:
            precise = {"bf16": chosen.optim.precision == "bf16", "train_sampling_strategy": strategy}
            arguments = arguments_for(chosen, output, **precise)
            Trainer(model=copy.deepcopy(made), args=arguments, train_dataset=rows, data_collator=collate).train()

    return train


def shapes_run(chosen: Experiment, data: HeadData) -> list[list[tuple[int, int]]]:
    """Of each batch of an epoch, (windows, padded length) of each run of the layers."""
    examples = Examples.of(data, (), "cpu")
    (sequences,) = examples.table.values["text"]
    assert not isinstance(sequences, torch.Tensor)
    batches = examples.batches(chosen, 1, torch.Generator().manual_seed(0))
    sizes = [sequences.lengths[batch] for batch in batches]  # every utterance is one window
    return [[(len(group), int(lengths[group].max())) for group in groups_of(lengths, True, "cpu")] for lengths in sizes]


def floor(shapes: list[list[tuple[int, int]]], dtype: str) -> Callable[[], None]:
    linear = [
        nn.ModuleList([*(nn.Linear(WIDTH, WIDTH) for _ in range(4)), nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)])
        for _ in range(LAYERS)
    ]
    weights = [*(item for layer in linear for item in layer.parameters()), nn.Parameter(torch.zeros(NORMS))]
    optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=True)
    given = {shape: torch.randn(*shape, WIDTH) for shape in {item for batch in shapes for item in batch}}

    def layer(products: Any, states: torch.Tensor) -> torch.Tensor:
        parts = [product(states).unflatten(2, (HEADS, -1)).transpose(1, 2) for product in products[:3]]
        attended = (parts[0] @ parts[1].transpose(2, 3)) @ parts[2]
        states = products[3](attended.transpose(1, 2).flatten(2))
        outcome: torch.Tensor = products[5](products[4](states))
        return outcome

    def train() -> None:
        for batch in shapes:
            optimizer.zero_grad(set_to_none=True)
            for shape in batch:
                states = given[shape]
                with products_in(dtype, torch.device("cpu")):
                    for products in linear:
                        states = layer(products, states)
                states.backward(torch.ones_like(states))
            weights[-1].grad = torch.zeros(NORMS)
            optimizer.step()

    return train


STRATEGIES = {"bucketed": "group_by_length", "shuffle": "random"}  # ours -> Trainer's


def ours(place: str, texts: int, size: int, sampler: str, dtype: str) -> Callable[[], None]:
    chosen, data, _ = _given(place, texts, size, sampler, dtype)

    def train() -> None:
        train_head(chosen, data, seed=0)

    return train


def trainer(place: str, texts: int, size: int, sampler: str, dtype: str) -> Callable[[], None]:
    import accelerate  # noqa: F401  # without it Trainer raises ImportError, and not one that names the package

    return in_trainer(*_given(place, texts, size, sampler, dtype), STRATEGIES[sampler])


def bare(place: str, texts: int, size: int, sampler: str, dtype: str) -> Callable[[], None]:
    """What torch itself takes: forwards, loss, backwards and fused AdamW on the batches of an epoch, which are at hand.
    Nothing is clipped, scheduled, looked at or scored."""
    chosen, data, _ = _given(place, texts, size, sampler, dtype)
    examples = Examples.of(data, (), "cpu")
    steps = list(steps_of(examples, examples.batches(chosen, 1, torch.Generator().manual_seed(0)), None))
    classes = len(data.utterances.label_names)

    def train() -> None:
        head = build_head(chosen, HeadShape(data.shapes, classes))
        optimizer = torch.optim.AdamW(head.parameters(), lr=1e-4, fused=True)
        for step in steps:
            optimizer.zero_grad()
            with products_in(dtype, torch.device("cpu")):
                output = head(step.batch)
            nn.functional.cross_entropy(output.logits.float(), step.targets.labels).backward()
            optimizer.step()

    return train


def products(place: str, texts: int, size: int, sampler: str, dtype: str) -> Callable[[], None]:
    chosen, data, _ = _given(place, texts, size, sampler, dtype)
    return floor(shapes_run(chosen, data), dtype)


def _given(place: str, texts: int, size: int, sampler: str, dtype: str) -> tuple[Experiment, HeadData, list[str]]:
    torch.set_num_threads(1)
    data, said = read_data(Path(place) / "manifest.parquet", Path(place) / "store", texts)
    return experiment(size, sampler, dtype), data, said
