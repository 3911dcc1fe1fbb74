"""What README, docs/ and every --help show is understood: options, values, extras, suites and parts that are there."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
from pages import NAMES, ROOT, TAGS, all_commands, arguments_of_erc, blocks, commands, help_examples, parse, words

from heads.config.suite import read_suite, shipped_suites

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
# Tools of others that the pages name: that they are typed right is for the pages' tests that run them, or for readers.
TOOLS = {"source", "ray", "sha256sum", "set", "mkdocs", "tensorboard", "mlflow", "wandb", "eval", "jupyter"}


@pytest.mark.parametrize("page", NAMES)
def test_every_block_says_what_it_is(page: str) -> None:
    unknown = [str(block) for block in blocks(page) if block.tag not in TAGS]
    assert not unknown, f"blocks with none of the tags {sorted(TAGS)}"


@pytest.mark.parametrize("page", NAMES)
def test_every_command_is_understood(page: str) -> None:
    for block in blocks(page):
        if block.tag in ("sh", "console"):
            for command in commands(block):
                try:
                    check(command)
                except (AssertionError, click.ClickException) as error:
                    told = error.format_message() if isinstance(error, click.ClickException) else error
                    pytest.fail(f"{block}: {' '.join(command)}: {told}")


@pytest.mark.parametrize(("name", "command"), list(all_commands()), ids=lambda value: str(value))
def test_every_example_of_help_is_understood(name: str, command: click.Command) -> None:
    examples = help_examples(command)
    assert examples or isinstance(command, click.Group), f"{name} --help has no example"
    for example in examples:
        try:
            check(words(example))
        except click.ClickException as error:
            pytest.fail(f"{name} --help: {example}: {error.format_message()}")


def check(command: list[str]) -> None:
    """Raises AssertionError or click's UsageError where a command is not what it could be."""
    arguments = arguments_of_erc(command)
    if arguments is not None:
        typed = [re.sub(r"\$\{?SLURM_\w+\}?", "2", word) for word in arguments]
        try:
            context = parse(typed)
        except click.exceptions.Exit:  # --help, --version
            return
        suite = context.params.get("suite_source") or context.params.get("config")
        if suite and not suite.endswith((".yaml", ".yml")):
            assert suite in shipped_suites(), f"no suite {suite}"
    elif command[0] == "make":
        assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in command[1:]), "no such target"
    elif command[:2] == ["pip", "install"]:
        extras = re.findall(r"\[([\w,-]+)\]", " ".join(command))
        wanted = {name for found in extras for name in found.split(",")}
        assert wanted <= set(PROJECT["optional-dependencies"]), "no such extra"
    else:
        assert command[0] in TOOLS, "nobody knows this command"


@pytest.mark.parametrize("page", NAMES)
def test_yaml_is_an_experiment_or_a_suite(page: str, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.tag == "yaml" and re.search(r"^(inputs|experiments):", block.text, re.MULTILINE):
            (tmp_path / "shown.yaml").write_text(block.text, encoding="utf-8")
            assert read_suite(str(tmp_path / "shown.yaml")).experiments, str(block)


@pytest.mark.parametrize("page", NAMES)
def test_scripts_are_shell(page: str) -> None:
    for block in blocks(page):
        if block.text.startswith("#!"):
            subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
