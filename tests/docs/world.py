"""A folder in which the pages' commands can be typed: a small corpus under the names that they use, and tiny models for
those that come from a hub."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from pages import arguments_of_erc, parse
from tiny_gpt2 import write_tiny_gpt2
from tiny_models import tiny_config, write_model
from tiny_speech import write_tiny_speech

from pipeline.cli import erc, run
from pipeline.commands.extract import choose_encoders
from pipeline.ingest.meld import SYNTHETIC_MARKER

# The id that stands for one that the corpus does not reach to.
IDS = {"meld/test/dia38_utt4": "meld/test/dia0_utt1"}

# A Ray cluster, and where packs are pushed to: not there.
AWAY = {"head:6379", "hf://me/meld-features", "s3://bucket/packs/meld", "https://example.org/packs/meld"}

# What is typed besides, since the whole would take too long or another machine. The last of two equal options counts.
BESIDES = {
    "ablate": ["--seeds", "1"],
    "ablate meld-text-best": ["--only", "03-three-layers"],
    "ablate fusions": ["--only", "concat", "--only", "gated-softmax"],
    "store gc": ["--yes"],
    "ablate systems": ["--only", "linear-text", "--only", "spcl-text"],
    "train meld-text --only linear --out search": ["--trials", "2"],
    "train mine.yaml --only text --out search": ["--trials", "2", "--seeds", "0"],
    "extract": ["--device", "cpu"],
    "sample": ["--dialogues", "6"],
}


class World:
    """folder: where commands are typed; it is the current directory while they are"""

    def __init__(self, folder: Path, models: dict[str, Path]) -> None:
        self.folder = folder
        self.models = models

    def type(self, command: list[str]) -> None:
        """Run it. Raises AssertionError where it ends with another status than it should. A tool of others is run
        where it is sha256sum, and else is not."""
        arguments = arguments_of_erc(command)
        if arguments is not None and AWAY.isdisjoint(arguments):
            arguments = self._here(arguments)
            status = serve(arguments) if arguments[0] == "app" else run(erc, arguments, "erc")
            assert status in ((0, 3) if arguments[0] == "extract" else (0,)), f"{' '.join(arguments)}: status {status}"
        elif command[0] == "sha256sum":
            subprocess.run(command, check=True, cwd=self.folder)

    def _here(self, arguments: list[str]) -> list[str]:
        typed = [self._stand_in(word).replace("/shared/", f"{self.folder}/shared/") for word in arguments]
        typed = [re.sub(r"\$\{?SLURM_\w+\}?", "1", word) for word in typed]
        if "--push-to-hub" in typed:
            place = typed.index("--push-to-hub")
            del typed[place : place + 2]
        beginning = f"{' '.join(typed)} "
        besides = [word for key, words in BESIDES.items() if beginning.startswith(f"{key} ") for word in words]
        return [*typed, *besides, *(self._instead_of_the_hub(typed) if typed[0] == "extract" else [])]

    def _stand_in(self, word: str) -> str:
        return str(self.models["gpt2"]) if word == "gpt2_folder" else IDS.get(word, word)

    def _instead_of_the_hub(self, typed: list[str]) -> list[str]:
        given = parse(typed).params
        if given["list_encoders"] or given["model"]:
            return []
        names = choose_encoders(given["modality"], given["encoders"], given["preset"])
        if len(names) > 1 and not given["encoders"]:
            return ["--preset", "embedded"]
        return ["--model", str(self.models[names[0]])] if names[0] in self.models else []


def serve(arguments: list[str]) -> int:
    """`erc app` on a free port. It would serve until Ctrl-C: here it ends once its page was fetched."""
    gradio = pytest.importorskip("gradio")
    fetched = []

    def fetch(page: Any) -> None:
        with urlopen(page.local_url, timeout=60) as answer:
            fetched.append(answer.status)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradio.Blocks, "block_thread", fetch)
        status = run(erc, [*arguments, "--port", port], "erc")
    assert fetched == [200], "the page was not served"
    return status


def write_models(folder: Path) -> dict[str, Path]:
    """Encoder -> a folder with a model of a few thousand weights for it."""
    from transformers import ViTImageProcessor

    pictures = write_model(folder / "pictures", tiny_config("vit"))
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(pictures)
    return {
        "gpt2": write_tiny_gpt2(folder / "gpt2"),
        "wav2vec2": write_tiny_speech(folder / "speech"),
        "resnet50": pictures,
    }


def write_corpus(folder: Path) -> None:
    """MELD.Raw: the generated sample under MELD's name; MELD: its tables alone."""
    assert run(erc, ["sample", str(folder / "MELD.Raw"), "--dialogues", "12"], "erc") == 0
    (folder / "MELD.Raw" / SYNTHETIC_MARKER).unlink()
    (folder / "MELD").mkdir()
    for table in (folder / "MELD.Raw").rglob("*.csv"):
        shutil.copy(table, folder / "MELD" / table.name)
