"""A suite of three small experiments, and a corner of the disk in which `erc` can train it."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_corpus import SENTENCE, make_manifest, make_store

from features.manifest import Manifest
from pipeline.cli import erc, run

TEXT = """
defaults:
  feedforward: {sizes: [4]}
  batch: {size: 16}
  stop: {epochs: 3}
experiments:
  text: {inputs: {text: [sentence]}}
  both: {inputs: {text: [sentence], audio: [logmel]}, fusion: {name: mean, dim: 4, modality_dropout: 0.2}}
  same-as-text: {inputs: {text: ["sentence@FINGERPRINT"]}, paper: {exp: 7}}
contrasts:
  - {question: "Does sound help?", A: both, B: text}
""".replace("FINGERPRINT", SENTENCE.fingerprint[:5])


class Shell:
    """A corner of the disk with a manifest, a store and a suite, and `erc` in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.manifest: Manifest = make_manifest(folder / "M.parquet")
        make_store(folder / "store", self.manifest, missing=(0, 3, 61, 85))
        (folder / "tiny.yaml").write_text(TEXT)
        self.place = ["--store", str(folder / "store"), "--manifest", str(folder / "M.parquet")]

    def erc(self, *arguments: object) -> tuple[int, str, str]:
        self.capsys.readouterr()
        status = run(erc, [str(item) for item in arguments], "erc")
        captured = self.capsys.readouterr()
        return status, captured.out, captured.err

    def ablate(self, *arguments: object) -> tuple[int, str, str]:
        return self.erc(
            "ablate",
            self.folder / "tiny.yaml",
            *self.place,
            "--out",
            self.folder / "runs",
            "--jobs",
            1,
            "--quiet",
            *arguments,
        )
