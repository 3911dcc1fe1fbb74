"""The Dockerfile, .dockerignore and the public CI file say what exists here. No test builds an image."""

from __future__ import annotations

import fnmatch
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile import Instruction, read_dockerfile
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
IN_THE_IMAGE = {"apt-get", "pip", "rm"}  # commands of the image's system


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    return read_dockerfile(ROOT / "Dockerfile")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def ignored(name: str) -> bool:
    """As .dockerignore has it: the last line that fits decides."""
    decided = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split():
        pattern = line.removeprefix("!").removeprefix("**/")
        if any(fnmatch.fnmatch(part, pattern) for part in (name, name.partition("/")[0], Path(name).name)):
            decided = not line.startswith("!")
    return decided


def test_what_is_copied_is_here_and_reaches_the_build(instructions: list[Instruction]) -> None:
    copied = [source for item in instructions if item.name == "COPY" for source in item.words[:-1]]
    assert {"pyproject.toml", "features", "heads", "pipeline", "data_manifests"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    assert not ignored("heads/suites/demo.yaml")
    for name in (".git", ".venv", "store", "runs", "data", "demo", "docs/LOG.md", "features/__pycache__/errors.pyc"):
        assert ignored(name), name


def test_every_package_is_copied(instructions: list[Instruction]) -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"][
        "find"
    ]
    copied = {source for item in instructions if item.name == "COPY" for source in item.words[:-1]}
    assert {name.rstrip("*") for name in told["include"]} <= copied
    assert {"README.md", "LICENSE"} <= copied  # without which pyproject.toml builds nothing


def test_commands_of_the_image_exist(instructions: list[Instruction], project: dict[str, Any]) -> None:
    scripts = set(project["scripts"])
    run = [command[0] for item in instructions if item.name == "RUN" for command in item.commands]
    assert {"apt-get", "pip", "erc"} <= set(run)
    assert set(run) <= IN_THE_IMAGE | scripts
    (entry,) = [item for item in instructions if item.name == "ENTRYPOINT"]
    assert set(entry.words[:1]) <= scripts


def test_home_and_caches_lie_in_the_mounted_folder(instructions: list[Instruction]) -> None:
    """With `--user` there is no other home, and librosa cannot be loaded without a cache for its compiled functions."""
    last = max(number for number, item in enumerate(instructions) if item.name == "FROM")
    folder = [item.text for item in instructions[last:] if item.name == "WORKDIR"][-1]
    words = [word for item in instructions[last:] if item.name == "ENV" for word in item.words]
    variables = dict(word.split("=", 1) for word in words)
    assert variables["HOME"] == folder
    assert {"XDG_CACHE_HOME", "MPLCONFIGDIR"} <= variables.keys()
    assert all(value == folder or value.startswith(f"{folder}/.cache") for value in variables.values())
    pages = [(ROOT / name).read_text(encoding="utf-8") for name in ("docs/installing.md", "Dockerfile")]
    runs = [line for page in pages for line in page.splitlines() if "docker run --rm" in line]
    assert len(runs) == 3
    for line in runs:
        assert '--user "$(id -u):$(id -g)"' in line
        assert f'-v "$PWD:{folder}"' in line


def test_both_variants_are_stages(instructions: list[Instruction]) -> None:
    arguments = [item.text for item in instructions if item.name == "ARG"]
    assert arguments == ["VARIANT=cpu"]
    froms = [item.text for item in instructions if item.name == "FROM"]
    stages = {text.split(" AS ")[1]: text.split(" AS ")[0] for text in froms[:-1]}
    assert stages.keys() >= {"cpu", "cuda"}
    assert {stages["cpu"], stages["cuda"]} <= stages.keys() | set()
    assert froms[-1] == "${VARIANT}"
    assert stages["common"].startswith("python:3.")


def test_requirements_are_those_of_the_project(instructions: list[Instruction], project: dict[str, Any]) -> None:
    """torch and torchvision, and the packages of weights as `make setup` installs them."""
    ours = {Requirement(line).name: Requirement(line).specifier for line in project["dependencies"]}
    asked = [re.findall(r'"(torch(?:vision)?[<>=][^"]*)"', item.text) for item in instructions if item.name == "RUN"]
    found = [Requirement(text) for texts in asked for text in texts]
    assert [requirement.name for requirement in found] == ["torch", "torchvision"] * 2
    assert all(requirement.specifier == ours[requirement.name] for requirement in found)
    weights = re.search(r"^WEIGHTS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert weights is not None
    text = next(item.text for item in instructions if "--no-deps" in item.text)
    assert weights[1] in text
    extras = re.search(r'"\.\[([\w,]+)\]"', text)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("text", ["FORM python:3.12", "COPY", "RUN pip install x \\\n"])
def test_a_broken_dockerfile_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM python:3.12\n{text}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Dockerfile:2: .*(no instruction|never ends)"):
        read_dockerfile(tmp_path / "Dockerfile")


def test_public_ci_runs_what_ci_runs(project: dict[str, Any]) -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow.keys() == {"name", True, "permissions", "jobs"}  # YAML reads `on` as a truth
    (job,) = workflow["jobs"].values()
    assert job["runs-on"].startswith("ubuntu")
    versions = job["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12"]
    told = {line.rpartition(" ")[2] for line in project["classifiers"] if line.startswith("Programming Language")}
    assert set(versions) <= told
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    stated = re.search(r"tests run on Linux, with Python ([\d., and]+)\.", readme)
    assert stated is not None
    assert re.findall(r"\d+\.\d+", stated[1]) == versions
    (step,) = [step for step in job["steps"] if step.get("run") == ".ci/run"]
    assert step["env"] == {"PYTHON": "python${{ matrix.python }}"}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "PYTHON ?=" in (ROOT / "Makefile").read_text(encoding="utf-8")  # so that the variable counts
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)


def test_the_citation_is_of_this_version(project: dict[str, Any]) -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert {"title", "message", "cff-version"} <= citation.keys()
