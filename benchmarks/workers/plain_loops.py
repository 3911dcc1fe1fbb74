"""What a user would write instead of `erc extract`: loops over plain models, and the tools that do it for them."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from benchmarks.workers.plain_models import MODELS, Gpt2, PlainModel, Sentence, pieces_of
from features.manifest import Manifest, read_manifest

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class _Loop(ABC):
    def __init__(self, encoder: str, manifest: str, model: str, dtype: str) -> None:
        self.manifest: Manifest = read_manifest(Path(manifest))
        self.count = len(self.manifest)
        self.model: PlainModel = MODELS[encoder](self.manifest, model, _DTYPES[dtype])
        self._rows = np.zeros((0, 0), np.float32)

    def __call__(self) -> None:
        with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
            self._rows = self.work(Path(folder))

    @abstractmethod
    def work(self, folder: Path) -> np.ndarray:
        """All embeddings, float32 [n, w], in the manifest's order. folder: for what the loop saves"""

    def rows(self) -> np.ndarray:
        return self._rows


class Alone(_Loop):
    """One utterance after the other, each saved as a file of its own."""

    def work(self, folder: Path) -> np.ndarray:
        for row in range(self.count):
            (vector,) = self.model.encode([self.model.read(row)])
            np.save(folder / f"{row}.npy", vector)
        return np.stack([np.load(folder / f"{row}.npy") for row in range(self.count)])


class Careful(_Loop):
    """Texts in batches of like length; clips in the order of the corpus, decoded by two workers of a DataLoader while
    those before are encoded. One array is saved."""

    def work(self, folder: Path) -> np.ndarray:
        vectors = self._texts() if isinstance(self.model, Gpt2 | Sentence) else self._clips()
        np.save(folder / "all.npy", vectors)
        return vectors

    def _texts(self) -> np.ndarray:
        items = [self.model.read(row) for row in range(self.count)]
        order = by_length(self.model, items)
        found: list[Any] = [None] * self.count
        for first in range(0, self.count, self.model.batch_size):
            rows = order[first : first + self.model.batch_size]
            for row, vector in zip(rows, self.model.encode([items[row] for row in rows]), strict=True):
                found[row] = vector
        return np.stack(found)

    def _clips(self) -> np.ndarray:
        from torch.utils.data import DataLoader

        clips = Clips(self.model, self.count)
        loader = DataLoader(clips, batch_size=self.model.batch_size, num_workers=2, collate_fn=list)
        return np.concatenate([self.model.encode(batch) for batch in loader])


class Clips(Dataset[Any]):
    """What a model reads of each clip."""

    def __init__(self, model: PlainModel, count: int) -> None:
        self._model, self._count = model, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> Any:
        return self._model.read(row)


def by_length(model: PlainModel, items: Sequence[Any]) -> list[int]:
    """Rows, the shortest first."""
    return sorted(range(len(items)), key=lambda row: model.length(items[row]))


class OnePass(_Loop):
    """gpt2 by who knows that a causal model needs one pass a dialogue: the states where the turns end."""

    def work(self, folder: Path) -> np.ndarray:
        assert isinstance(self.model, Gpt2)
        rows: list[np.ndarray] = []
        prompts = pieces_of(self.manifest)
        for start, stop in self.manifest.dialogue_bounds():
            tokens = self.model.tokenizer(prompts[stop - 1]).input_ids
            ends = np.cumsum([len(piece) for piece in tokens])
            ids = torch.tensor([[token for piece in tokens for token in piece]])
            states = self.model.network(input_ids=ids, use_cache=False).last_hidden_state[0, ends - 1]
            rows += list(states.float().numpy())
            assert len(rows) == stop, start
        np.save(folder / "all.npy", np.stack(rows))
        return np.stack(rows)


class Pipeline(_Loop):
    """transformers.pipeline("feature-extraction"), which returns the states of all tokens."""

    def __init__(self, encoder: str, manifest: str, model: str, dtype: str) -> None:
        from transformers import pipeline

        super().__init__(encoder, manifest, model, dtype)
        if not isinstance(self.model, Gpt2 | Sentence):
            raise TypeError(f"no pipeline for {encoder}")
        self._last = isinstance(self.model, Gpt2)
        self._pipeline = pipeline(
            "feature-extraction", model=self.model.network, tokenizer=self.model.tokenizer, device="cpu"
        )
        self._texts = self.model.prompts if isinstance(self.model, Gpt2) else self.model.texts

    def work(self, folder: Path) -> np.ndarray:
        states = [one[0].float() for one in self._pipeline(self._texts, return_tensors=True)]
        if self._last:
            return torch.stack([one[-1] for one in states]).numpy()
        return torch.nn.functional.normalize(torch.stack([one.mean(0) for one in states])).numpy()


class SentenceTransformers(_Loop):
    """SentenceTransformer.encode, with its own batches of 32 by length."""

    def __init__(self, encoder: str, manifest: str, model: str, dtype: str) -> None:
        from sentence_transformers import SentenceTransformer

        super().__init__(encoder, manifest, model, dtype)
        self._encoder = SentenceTransformer(model, device="cpu", model_kwargs={"dtype": _DTYPES[dtype]})
        self._texts = self.manifest.frame["text"].to_list()

    def work(self, folder: Path) -> np.ndarray:
        vectors = self._encoder.encode(self._texts, show_progress_bar=False, convert_to_tensor=True)
        return vectors.float().numpy()


class RayData:
    """Ray Data's map_batches with the careful user's model and batches, in one actor on all cores. The starts of Ray
    and of the actor are left out, and so is the actor's first time through the work: timed from the begin of the first
    batch to the end of the last. Ray ends with each call, so that nothing of it runs beside other contenders."""

    def __init__(self, encoder: str, manifest: str, model: str, dtype: str) -> None:
        import ray.data  # noqa: F401  # where it is not installed, that is found before anything is timed

        self._arguments = (encoder, manifest, model, dtype)
        self._rows = np.zeros((0, 0), np.float32)
        rows = read_manifest(Path(manifest))
        plain = MODELS[encoder](rows, model, _DTYPES[dtype])
        texts = isinstance(plain, Gpt2 | Sentence)
        every = list(range(len(rows)))
        self._order = by_length(plain, [plain.read(row) for row in every]) if texts else every
        self._batch_size = plain.batch_size

    def __call__(self) -> float:
        import logging

        import ray

        from features.hardware import cores

        ray.init(num_cpus=cores(), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        try:
            ray.data.DataContext.get_current().enable_progress_bars = False
            rows = ray.data.from_items([{"row": row} for row in self._order], override_num_blocks=1)
            made = rows.map_batches(
                RayModel,
                fn_constructor_args=(*self._arguments, self._order),
                batch_size=self._batch_size,
                concurrency=1,
                num_cpus=cores(),
            )
            table = made.to_pandas().sort_values("row")
        finally:
            ray.shutdown()
        self._rows = np.stack(table["vector"].to_list())
        return float(table["ended"].max() - table["began"].min())

    def rows(self) -> np.ndarray:
        return self._rows


class RayModel:
    """What Ray Data's actor runs. order: rows as they will come, which it encodes once beforehand"""

    def __init__(self, encoder: str, manifest: str, model: str, dtype: str, order: Sequence[int]) -> None:
        from features.hardware import cores

        torch.set_num_threads(cores())
        self._model = MODELS[encoder](read_manifest(Path(manifest)), model, _DTYPES[dtype])
        for first in range(0, len(order), self._model.batch_size):
            self._encode(order[first : first + self._model.batch_size])

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        import time

        began = time.time()
        vectors = self._encode(batch["row"].tolist())
        times = {"began": np.full(len(vectors), began), "ended": np.full(len(vectors), time.time())}
        return {"row": batch["row"], "vector": vectors} | times

    def _encode(self, rows: Sequence[int]) -> np.ndarray:
        with torch.inference_mode():
            return self._model.encode([self._model.read(row) for row in rows])
