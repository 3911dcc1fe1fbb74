"""Tab in a shell: what click and pipeline.terminal.completion offer, in this process and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from small_corpus import make_manifest, make_store

from heads.config.suite import read_suite, shipped_suites
from pipeline.cli import COMMANDS, erc


def offered(*words: str, typed: str = "") -> list[str]:
    items = ShellComplete(erc, {}, "erc", "_ERC_COMPLETE").get_completions(list(words), typed)
    return [item.value for item in items if item.type == "plain"]


def test_commands_and_options() -> None:
    assert offered() == list(COMMANDS)
    assert offered(typed="ab") == ["ablate"]
    assert "--manifest" in offered("ablate", typed="--")
    assert offered("extract", "--modality", typed="v") == ["visual"]
    assert offered("store", typed="ver") == ["verify"]
    assert offered("store", typed="im") == ["import"]
    assert offered("store", "import", "x.npy", "--id", typed="{val}_") == ["{val}_{key}"]
    assert offered("store", "import", "x.npy", "--format", typed="conv") == ["conv-emotion"]


@pytest.mark.parametrize("command", ["ablate", "train"])
def test_suites_their_experiments_and_files(command: str) -> None:
    assert offered(command) == shipped_suites()
    assert "file" in {item.type for item in ShellComplete(erc, {}, "erc", "").get_completions([command], "")}
    assert offered(command, "losses", "--only") == [item.name for item in read_suite("losses").experiments]
    assert offered(command, "losses", "--only", typed="spcl") == ["spcl", "spcl-curriculum"]


def test_encoders_of_a_modality_and_parts() -> None:
    assert offered("extract", "--encoder", typed="w") == ["wav2vec2", "waveform"]
    assert offered("extract", "--modality", "text", "--encoder", typed="w") == []
    assert "gated" in offered("heads", typed="g")


def test_features_are_those_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "kept", make_manifest(tmp_path / "M.parquet"))
    named = ["store", "export", str(store), "--modality", "audio", "--feature"]
    assert offered(*named) == ["logmel"]
    several = ["store", "export", str(store), "--feature", "text/sentence", "--feature"]
    assert offered(*several) == ["audio/logmel", "text/sentence", "visual/hog-colour"]
    assert offered(*several, typed="audio/") == ["audio/logmel"]
    monkeypatch.setenv("ERC_STORE", str(store))
    assert set(offered("explore", "embeddings", "--feature")) == {"hog-colour", "logmel", "sentence"}


def test_what_goes_wrong_offers_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("experiments: [", encoding="utf-8")
    assert offered("ablate", str(broken), "--only") == []
    assert offered("ablate", "no-such-suite", "--only") == []


def test_every_argument_that_names_a_suite_completes_it() -> None:
    for name in COMMANDS:
        command = erc.get_command(click.Context(erc), name)
        assert command is not None
        for parameter in command.params:
            if "SUITE" in (parameter.metavar or "") or parameter.name == "config":
                assert parameter._custom_shell_complete is not None, f"{name}: {parameter.name}"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("line", "expected"),
    [("erc abl", "ablate"), ("erc ablate meld-text-b", "meld-text-best"), ("extract --mod", "--modality")],
)
def test_in_bash(line: str, expected: str) -> None:
    name = line.split()[0]
    script = (
        f'eval "$(_{name.upper()}_COMPLETE=bash_source {name})"; COMP_WORDS=({line}); '
        f'COMP_CWORD={len(line.split()) - 1}; _{name}_completion {name} 2>/dev/null; echo "${{COMPREPLY[@]}}"'
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert expected in answer.stdout.split(), answer.stderr
