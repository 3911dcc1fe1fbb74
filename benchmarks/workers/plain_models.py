"""The encoders as a user writes them with plain Hugging Face and torchvision: the numbers are those of `erc extract`.

A model reads one utterance (`read`: tokens, samples or frames) and encodes a batch of what it read (`encode`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from features.manifest import Manifest

RATE_HZ = 16_000
FRAMES = 5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PlainModel(Protocol):
    """batch_size: what `encode` is given at once by a careful user"""

    batch_size: int

    def read(self, row: int) -> Any: ...
    def length(self, item: Any) -> int: ...
    def encode(self, items: Sequence[Any]) -> np.ndarray: ...


def pieces_of(manifest: Manifest) -> list[list[str]]:
    """Of each utterance the pieces of its dialogue up to it, in the report's prompt."""
    found = []
    for dialogue in manifest.dialogues():
        so_far: list[str] = []
        for number, turn in enumerate(dialogue.utterances):
            so_far.append(("\n\n\n" if number else "") + f'The speaker "{turn.speaker}" said:\n###\n{turn.text}\n###')
            found.append(list(so_far))
    return found


class Gpt2:
    """Each utterance's whole prompt; the state of its last token."""

    batch_size = 16

    def __init__(self, manifest: Manifest, model: str, dtype: torch.dtype) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.network = AutoModel.from_pretrained(model, dtype=dtype).eval()
        self.prompts = ["".join(pieces) for pieces in pieces_of(manifest)]

    def read(self, row: int) -> list[int]:
        ids: list[int] = self.tokenizer(self.prompts[row]).input_ids
        return ids

    def length(self, item: list[int]) -> int:
        return len(item)

    def encode(self, items: Sequence[list[int]]) -> np.ndarray:
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(item) for item in items], batch_first=True)
        sizes = torch.tensor([len(item) for item in items])
        mask = torch.arange(ids.shape[1]) < sizes[:, None]
        states = self.network(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state
        rows: np.ndarray = states[torch.arange(len(items)), sizes - 1].float().numpy()
        return rows


class Sentence:
    """The mean over an utterance's tokens, of length 1: what the packaged MiniLM's authors publish."""

    batch_size = 32

    def __init__(self, manifest: Manifest, model: str, dtype: torch.dtype) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.network = AutoModel.from_pretrained(model, dtype=dtype).eval()
        self.texts = manifest.frame["text"].to_list()

    def read(self, row: int) -> str:
        return str(self.texts[row])

    def length(self, item: str) -> int:
        return len(item)

    def encode(self, items: Sequence[str]) -> np.ndarray:
        batch = self.tokenizer(list(items), padding=True, truncation=True, max_length=256, return_tensors="pt")
        states = self.network(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][:, :, None]
        means = (states * mask).sum(1) / mask.sum(1)
        rows: np.ndarray = torch.nn.functional.normalize(means).numpy()
        return rows


class Wav2Vec2:
    """Mean and maximum over a clip's frames. One clip at a time for a careful user, too: wav2vec2-base has group norm
    and takes no mask, so that padding changes its numbers."""

    batch_size = 1

    def __init__(self, manifest: Manifest, model: str, dtype: torch.dtype) -> None:
        from transformers import AutoFeatureExtractor, AutoModel

        self._extractor = AutoFeatureExtractor.from_pretrained(model)
        self._network = AutoModel.from_pretrained(model, dtype=dtype).eval()
        self._paths = [manifest.media_path(media) for media in manifest.frame["media"]]

    def read(self, row: int) -> np.ndarray:
        import av

        with av.open(self._paths[row]) as container:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
            parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
            parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
        return np.concatenate(parts)

    def length(self, item: np.ndarray) -> int:
        return len(item)

    def encode(self, items: Sequence[np.ndarray]) -> np.ndarray:
        (samples,) = items
        values = self._extractor(samples, sampling_rate=RATE_HZ, return_tensors="pt").input_values
        states = self._network(values.to(self._network.dtype)).last_hidden_state[0].float()
        return torch.cat([states.mean(dim=0), states.amax(dim=0)])[None].numpy()


class ResNet50:
    """The mean over five frames' vectors. A clip is decoded whole; its frames are in the middle of five equal parts."""

    batch_size = 4

    def __init__(self, manifest: Manifest, model: str, dtype: torch.dtype) -> None:
        self._network = backbone().to(dtype)
        self._paths = [manifest.media_path(media) for media in manifest.frame["media"]]

    def read(self, row: int) -> Tensor:
        """uint8 [5, 3, 224, 224]"""
        return torch.stack([centre(torch.from_numpy(frame).permute(2, 0, 1)) for frame in frames_of(self._paths[row])])

    def length(self, item: Tensor) -> int:
        return 1

    def encode(self, items: Sequence[Tensor]) -> np.ndarray:
        values = normalised(torch.cat(list(items))).to(next(self._network.parameters()).dtype)
        return self._network(values).float().unflatten(0, (len(items), FRAMES)).mean(1).numpy()


class RetinaFaceResNet50:
    """Faces of five frames by retinaface-pytorch's network and decoding, all else black, then ResNet-50; frames without
    a face are left out of the mean. Untrained, the detector finds faces by chance: outcomes are not compared."""

    batch_size = 4
    detected_at_once = 4

    def __init__(self, manifest: Manifest, model: str, dtype: torch.dtype) -> None:
        from retinaface.network import RetinaFace

        from features.encoders.state_files import random_network

        stages = {"layer2": 1, "layer3": 2, "layer4": 3}
        self._dtype = dtype
        self._detector = random_network(lambda: RetinaFace("Resnet50", False, 256, stages, 256)).to(dtype)
        self._network = backbone().to(dtype)
        self._paths = [manifest.media_path(media) for media in manifest.frame["media"]]

    def read(self, row: int) -> list[np.ndarray]:
        return frames_of(self._paths[row])

    def length(self, item: list[np.ndarray]) -> int:
        return item[0].size

    def encode(self, items: Sequence[list[np.ndarray]]) -> np.ndarray:
        frames = [frame for item in items for frame in item]
        pictures = torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in frames])
        values = normalised(pictures).to(self._dtype)
        size = self.detected_at_once if len(items) > 1 else 1
        boxes = [box for part in values.split(size) for box in self._boxes(part)]
        blackened = [black_but(picture, found) for picture, found in zip(pictures, boxes, strict=True)]
        vectors = self._network(normalised(torch.stack([square(one) for one in blackened])).to(self._dtype)).float()
        seen = torch.tensor([len(found) > 0 for found in boxes])
        rows = []
        for number in range(len(items)):
            part = slice(number * FRAMES, (number + 1) * FRAMES)
            rows.append(vectors[part][seen[part]].mean(0) if seen[part].any() else torch.zeros(vectors.shape[1]))
        return torch.stack(rows).numpy()

    def _boxes(self, values: Tensor) -> list[Tensor]:
        """float [n, 4] a picture, in pixels."""
        from retinaface.box_utils import decode
        from retinaface.prior_box import priorbox
        from torchvision.ops import nms

        height, width = values.shape[2:]
        anchors = priorbox([[16, 32], [64, 128], [256, 512]], [8, 16, 32], False, (height, width))
        offsets, logits, _ = (part.float() for part in self._detector(values))
        scale = torch.tensor([width, height, width, height])
        found = []
        for own, scores in zip(offsets, logits.softmax(-1)[:, :, 1], strict=True):
            likely = scores.topk(500).indices
            likely = likely[scores[likely] >= 0.5]
            boxes = decode(own[likely], anchors[likely], [0.1, 0.2]) * scale
            found.append(boxes[nms(boxes, scores[likely], 0.4)[:10]])
        return found


def backbone() -> torch.nn.Module:
    """ResNet-50 without its last layer, with the very weights that `--weights random` draws."""
    from torchvision.models import resnet50

    from features.encoders.state_files import random_network

    network = random_network(lambda: resnet50(weights=None))
    network.fc = torch.nn.Identity()
    return network


def frames_of(path: Path) -> list[np.ndarray]:
    """uint8 [h, w, 3], five of a clip."""
    import av

    with av.open(str(path)) as container:
        decoded = [(float(frame.time or 0.0), frame) for frame in container.decode(video=0)]
        step = float(1 / (container.streams.video[0].average_rate or 25))
    begin, end = decoded[0][0], decoded[-1][0] + step
    times = [begin + (end - begin) * (2 * place + 1) / (2 * FRAMES) for place in range(FRAMES)]
    shown = [max(number for number, (time, _) in enumerate(decoded) if time <= wanted) for wanted in times]
    return [decoded[number][1].to_ndarray(format="rgb24") for number in shown]


def centre(picture: Tensor) -> Tensor:
    """As torchvision prepares pictures for ResNet-50's newer weights. uint8 [3, h, w] -> [3, 224, 224]"""
    from torchvision.transforms.functional import center_crop, pil_to_tensor, resize, to_pil_image

    return center_crop(pil_to_tensor(resize(to_pil_image(picture), [232])), [224])


def square(picture: Tensor) -> Tensor:
    """The whole picture within [3, 224, 224], black around it."""
    from torchvision.transforms.functional import pad, resize

    height, width = picture.shape[1:]
    scale = 224 / max(height, width)
    fitted = resize(picture, [round(height * scale), round(width * scale)], antialias=True)
    down, across = 224 - fitted.shape[1], 224 - fitted.shape[2]
    return pad(fitted, [across // 2, down // 2, across - across // 2, down - down // 2])


def black_but(picture: Tensor, boxes: Tensor) -> Tensor:
    kept = torch.zeros_like(picture)
    for x1, y1, x2, y2 in boxes.clamp(min=0).int().tolist():
        kept[:, y1 : y2 + 1, x1 : x2 + 1] = picture[:, y1 : y2 + 1, x1 : x2 + 1]
    return kept


def normalised(pictures: Tensor) -> Tensor:
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return (pictures.float() / 255 - mean) / std


MODELS: dict[str, Callable[[Manifest, str, torch.dtype], PlainModel]] = {
    "gpt2": Gpt2,
    "sentence": Sentence,
    "wav2vec2": Wav2Vec2,
    "resnet50": ResNet50,
    "retinaface-resnet50": RetinaFaceResNet50,
}
