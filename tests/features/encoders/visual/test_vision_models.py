"""Backbones: heads taken off, Hugging Face models as they are meant, weights that do not fit, batch norm folded."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_factory import utterance
from picture_factory import picture
from torchvision.models import get_model

from features.encoders.build import create
from features.encoders.protocol import EncoderRequest
from features.encoders.state_files import digest_of_network, random_network
from features.encoders.visual.picture_network import PictureEncoder, fold_batch_norm
from features.encoders.visual.vision_models import load_backbone, torchvision_names
from features.errors import UsageError, WeightsError
from features.media.clip import Clip
from features.media.needs import Frames

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


def torchvision_network(name: str) -> torch.nn.Module:
    return random_network(lambda: get_model(name, weights=None))


# torchvision


def test_the_names_are_torchvisions_classifiers() -> None:
    names = torchvision_names()
    assert len(names) > 70
    assert {"resnet50", "vit_b_16", "convnext_tiny", "efficientnet_b0", "densenet121", "swin_t"} <= set(names)
    assert not {"fcos_resnet50_fpn", "squeezenet1_0", "inception_v3", "r3d_18"} & set(names)


@pytest.mark.parametrize(
    ("name", "width"),
    [("resnet18", 512), ("efficientnet_b0", 1280), ("mobilenet_v3_small", 1024), ("densenet121", 1024)],
)
def test_a_vector_is_what_the_last_linear_layer_reads(name: str, width: int) -> None:
    backbone = load_backbone(name, "random")
    whole = torchvision_network(name)
    head = [part for part in whole.modules() if isinstance(part, torch.nn.Linear)][-1]
    values = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        vectors = backbone.network(values)
        assert vectors.shape == (2, backbone.width) == (2, width)
        torch.testing.assert_close(head(vectors), whole(values))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_b_16", "convnext_tiny", "swin_t", "regnet_y_400mf", "vgg11", "maxvit_t"])
def test_larger_backbones_too(name: str) -> None:
    backbone = load_backbone(name, "random")
    whole = torchvision_network(name)
    head = [part for part in whole.modules() if isinstance(part, torch.nn.Linear)][-1]
    values = torch.randn(1, 3, backbone.side, backbone.side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(head(backbone.network(values)), whole(values))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("resnet5O", r"no vision model 'resnet5O': give a state file, .*; did you mean 'resnet50'\?"),
        ("squeezenet1_0", r"no vision model 'squeezenet1_0' \(it has no linear layer at its end"),
        ("inception_v3", r"no vision model 'inception_v3' \(its published weights want another normalisation"),
    ],
)
def test_unknown_names_are_refused(model: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_backbone(model, "random")


def test_random_weights_are_seeded() -> None:
    first, second = load_backbone("resnet18", "random"), load_backbone("resnet18", "random")
    assert first.digest == second.digest
    with pytest.raises(UsageError, match=r"--weights random takes no state file: leave 'w\.pth' out"):
        load_backbone("w.pth", "random")


def in_hub(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, state: Any) -> None:
    """Lay a state file where torch.hub caches it."""
    monkeypatch.setenv("TORCH_HOME", str(folder))
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(state, folder / "hub" / "checkpoints" / name)


def test_default_weights_are_read_from_torch_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = torchvision_network("resnet18")
    network.conv1.weight.add_(1.0)  # type: ignore[operator, union-attr]
    in_hub(monkeypatch, tmp_path, "resnet18-f37072fd.pth", network.state_dict())
    backbone = load_backbone("resnet18", "pretrained")
    network.fc = torch.nn.Identity()
    assert backbone.digest == digest_of_network(network) != load_backbone("resnet18", "random").digest


def test_densenets_old_names_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's published DenseNets say `norm.1` where its network says `norm1`."""
    network = torchvision_network("densenet121")
    state = {
        key.replace(".norm1", ".norm.1").replace(".conv2", ".conv.2") if ".denselayer" in key else key: value
        for key, value in network.state_dict().items()
    }
    assert state.keys() != network.state_dict().keys()
    in_hub(monkeypatch, tmp_path, "densenet121-a639ec97.pth", state)
    assert load_backbone("densenet121", "pretrained").digest == load_backbone("densenet121", "random").digest


def test_another_file_in_the_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_hub(monkeypatch, tmp_path, "resnet18-f37072fd.pth", {"weight": torch.ones(1)})
    message = r"resnet18-f37072fd\.pth in torch\.hub's folder is not torchvision's resnet18 \(.*\): remove it, and"
    with pytest.raises(WeightsError, match=message):
        load_backbone("resnet18", "pretrained")


# State files of ResNet-50


@pytest.fixture(scope="module")
def resnet50() -> torch.nn.Module:
    return torchvision_network("resnet50")


@pytest.mark.parametrize("head", [True, False])
def test_a_state_file_with_its_head_and_without_is_one_model(
    tmp_path: Path, resnet50: torch.nn.Module, head: bool
) -> None:
    state = {key: value for key, value in resnet50.state_dict().items() if head or not key.startswith("fc.")}
    torch.save(state, tmp_path / "w.pth")
    backbone = load_backbone(str(tmp_path / "w.pth"), "pretrained")
    assert (backbone.width, backbone.side, backbone.settings["architecture"]) == (2048, 224, "resnet50")
    named = load_backbone("resnet50", "random")
    assert backbone.digest == named.digest
    assert backbone.settings == named.settings


def test_a_state_file_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save(torchvision_network("resnet18").state_dict(), tmp_path / "w.pth")
    message = r"state file '.*w\.pth' holds no ResNet-50: 165 missing \(.*\); 23 of another shape"
    with pytest.raises(WeightsError, match=message):
        load_backbone(str(tmp_path / "w.pth"), "pretrained")


# Hugging Face


def vit() -> tuple[Any, Any]:
    import transformers

    config = transformers.ViTConfig(**SIZES, image_size=32, patch_size=8)
    return config, transformers.ViTImageProcessor(size={"height": 32, "width": 32})


def dinov2() -> tuple[Any, Any]:
    import transformers

    config = transformers.Dinov2Config(**(SIZES | {"mlp_ratio": 2}), image_size=28, patch_size=14)
    size, crop = {"shortest_edge": 36}, {"height": 28, "width": 28}
    return config, transformers.BitImageProcessor(size=size, crop_size=crop)


def clip_vision() -> tuple[Any, Any]:
    import transformers

    config = transformers.CLIPVisionConfig(**SIZES, image_size=32, patch_size=8)
    return config, transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)


def clip() -> tuple[Any, Any]:
    import transformers

    text = SIZES | {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
    vision = SIZES | {"image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision)
    return config, transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)


def convnext() -> tuple[Any, Any]:
    import transformers

    config = transformers.ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 1], num_stages=2, image_size=32)
    return config, transformers.ConvNextImageProcessor(size={"shortest_edge": 32})


def resnet() -> tuple[Any, Any]:
    import transformers

    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    return config, transformers.ConvNextImageProcessor(size={"shortest_edge": 32})


KINDS = [vit, dinov2, clip_vision, clip, convnext, resnet]


def write(folder: Path, kind: Any) -> str:
    from transformers import AutoModel

    config, processor = kind()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        AutoModel.from_config(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hugging_face_model_gives_the_mean_of_its_last_hidden_state(tmp_path: Path, kind: Any) -> None:
    from transformers import AutoImageProcessor, AutoModel

    folder = write(tmp_path, kind)
    backbone = load_backbone(folder, "pretrained")
    encoder = PictureEncoder(backbone, "cpu", "fp32")
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    network = model.vision_model if kind is clip else model
    frames = [picture(number, 61, 47) for number in range(3)] + [picture(3, 40, 80)]
    ours = encoder.frames(frames)
    for index, frame in enumerate(frames):
        with torch.inference_mode():
            hidden = network(**processor(frame, return_tensors="pt")).last_hidden_state
        reference = hidden.flatten(2).mean(2) if hidden.ndim == 4 else hidden.mean(1)
        torch.testing.assert_close(ours[index], reference[0], rtol=1e-4, atol=1e-5)
    swapped = encoder.frames([np.ascontiguousarray(frame[:, :, ::-1]) for frame in frames])
    assert (swapped - ours).norm() > 100 * 1e-5 * ours.norm()


def test_frames_that_a_processor_made_of_other_sizes_are_not_padded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = PictureEncoder(load_backbone(write(tmp_path, convnext), "pretrained"), "cpu", "fp32")
    monkeypatch.setattr(encoder, "processed", lambda frames: [frame.astype(np.float32) for frame in frames])
    noise = np.random.default_rng(0)
    frames = [noise.normal(size=(3, side, 32)) for side in (32, 64, 32)]
    together = encoder.frames(frames)
    for index, frame in enumerate(frames):
        torch.testing.assert_close(together[index], encoder.frames([frame])[0], rtol=1e-4, atol=1e-5)


_DECODING_PROCESS = """
import pickle, sys
prepare, clip = pickle.load(sys.stdin.buffer)
made = prepare(clip)
heavy = {"torch", "torchvision", "transformers"} & set(sys.modules)
assert not heavy, f"imported {heavy}"
sys.stdout.buffer.write(pickle.dumps([picture.shape for picture in made.value.distinct]))
"""


def test_a_decoding_process_loads_no_torch(tmp_path: Path) -> None:
    """Each of them took many seconds to load it, for a network that it does not run."""
    encoder = create(EncoderRequest("resnet50", {"frames": 2}, model=write(tmp_path, vit)))
    assert encoder.needs
    assert encoder.needs.frames
    frames = Frames([picture(0, 61, 47), picture(1, 61, 47)], (0.0, 1.0), 2.0, False)
    clip = Clip(utterance(), "0" * 64, pictures={encoder.needs.frames: frames})
    sent = pickle.dumps((encoder.prepare, clip))
    done = subprocess.run([sys.executable, "-c", _DECODING_PROCESS], input=sent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    assert pickle.loads(done.stdout) == [frame.shape for frame in frames.pixels]


def test_clips_vision_part_is_one_model_with_and_without_the_text_part(tmp_path: Path) -> None:
    from transformers import AutoModel

    both = write(tmp_path / "both", clip)
    AutoModel.from_pretrained(both).vision_model.save_pretrained(tmp_path / "vision")
    clip()[1].save_pretrained(tmp_path / "vision")
    one, other = load_backbone(both, "pretrained"), load_backbone(str(tmp_path / "vision"), "pretrained")
    assert one.digest == other.digest
    assert one.settings == other.settings


def test_the_processor_is_in_the_settings(tmp_path: Path) -> None:
    settings = load_backbone(write(tmp_path, vit), "pretrained").settings
    assert settings["architecture"]["model_type"] == "vit"
    assert settings["architecture"]["num_attention_heads"] == 2
    assert settings["processor"]["image_mean"] == [0.5, 0.5, 0.5]
    assert settings["processor"]["size"] == {"height": 32, "width": 32}


def test_random_weights_of_a_folder_need_no_weights(tmp_path: Path) -> None:
    folder = Path(write(tmp_path, vit))
    (folder / "model.safetensors").unlink()
    assert load_backbone(str(folder), "random").width == 8
    with pytest.raises(WeightsError, match=r"no model\.safetensors in"):
        load_backbone(str(folder), "pretrained")


def test_a_folder_without_a_processor_is_refused(tmp_path: Path) -> None:
    folder = Path(write(tmp_path, vit))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"image processor of model .* cannot be loaded .*: add preprocessor_config"):
        load_backbone(str(folder), "pretrained")


def test_a_model_of_text_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(**SIZES, vocab_size=30)).save_pretrained(tmp_path)
    vit()[1].save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"is no encoder of pictures \(.*\): give one that AutoModel runs on"):
        load_backbone(str(tmp_path), "pretrained")


# Folding


def test_folding_batch_norm_changes_no_vector() -> None:
    network = torchvision_network("resnet18")
    generator = torch.Generator().manual_seed(2)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):  # as trained ones are: no mean of 0, no variance of 1
            part.running_mean.normal_(generator=generator)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
            part.weight.uniform_(0.5, 2, generator=generator)
            part.bias.normal_(generator=generator)
    folded = copy.deepcopy(network)
    fold_batch_norm(folded)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
    values = torch.randn(2, 3, 64, 64, generator=generator)
    with torch.inference_mode():
        reference = network(values)
        assert (folded(values) - reference).norm() < 1e-5 * reference.norm()
