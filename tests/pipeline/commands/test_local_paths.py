"""No command takes s3://bucket/x for a path: a Path would make a local folder `s3:` of it, and report success.

A store that is only read may be the address of a pack; see tests/features/packs/test_mounted.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pipeline.cli import erc, run
from pipeline.terminal.options import LocalPath, PathOrName, StorePlace

ADDRESS = "s3://bucket/x"
_PATH_WORDS = r"path|paths|folder|folders|file|files|dir|out|store|manifest|root|runs|suite|config|model"


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            member = command.get_command(context, name)
            assert member is not None
            yield from commands(member, (*words, name))
    else:
        yield words, command


PARAMETERS = [(words, parameter) for words, command in commands(erc) for parameter in command.params]
PATHS = [(words, item) for words, item in PARAMETERS if isinstance(item.type, LocalPath | PathOrName)]
READ_STORES = [(words, item) for words, item in PATHS if isinstance(item.type, StorePlace)]
LOCAL = [item for item in PATHS if item not in READ_STORES]


def named(words: tuple[str, ...], parameter: click.Parameter) -> str:
    return " ".join([*words, parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.name)])


def test_all_commands_are_seen() -> None:
    seen = {" ".join(words) for words, _ in PARAMETERS}
    assert {"extract", "train", "ablate", "store export", "store verify", "ingest meld", "explore clip"} <= seen
    assert len(seen) >= 19
    assert len(PATHS) >= 52


def test_whatever_is_a_path_has_the_type_of_paths() -> None:
    wrong = []
    for words, parameter in PARAMETERS:
        said = {*re.split(r"[^a-z]+", f"{parameter.name} {parameter.metavar or ''} {' '.join(parameter.opts)}".lower())}
        is_text = isinstance(parameter.type, click.types.StringParamType)
        is_plain = isinstance(parameter.type, click.Path | click.File) and not isinstance(parameter.type, LocalPath)
        if is_plain or (is_text and re.search(rf"\b({_PATH_WORDS})\b", " ".join(said))):
            wrong.append(named(words, parameter))
    assert wrong == []


@pytest.mark.parametrize(("words", "parameter"), LOCAL, ids=[named(*item) for item in LOCAL])
def test_an_address_is_refused(
    words: tuple[str, ...],
    parameter: click.Parameter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [parameter.opts[0], ADDRESS] if isinstance(parameter, click.Option) else [ADDRESS]
    assert run(erc, [*words, *given], "erc") == 2
    captured = capsys.readouterr()
    name = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name.strip("[]")
    assert captured.out == ""
    assert captured.err.startswith(f"erc: {name} '{ADDRESS}': only local folders work (or mounted file systems)")
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


FROM_ENVIRONMENT = [(words, item) for words, item in LOCAL if item.envvar]


@pytest.mark.parametrize(("words", "parameter"), FROM_ENVIRONMENT, ids=[named(*item) for item in FROM_ENVIRONMENT])
def test_an_address_in_the_environment_is_refused(
    words: tuple[str, ...],
    parameter: click.Parameter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parameter.envvar in ("ERC_STORE", "ERC_MANIFEST")
    monkeypatch.setenv(str(parameter.envvar), "gs://bucket/x")
    command = next(command for found, command in commands(erc) if found == words)
    positional = [
        "x" for item in command.params if isinstance(item, click.Argument) and item.required and item is not parameter
    ]
    required = [
        text
        for item in command.params
        if isinstance(item, click.Option) and item.required
        for text in (item.opts[0], next(iter(getattr(item.type, "choices", ["x"]))))
    ]
    assert run(erc, [*words, *required, *positional], "erc") == 2
    captured = capsys.readouterr()
    assert f"(${parameter.envvar}) 'gs://bucket/x': only local folders work" in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_these_commands_read_a_store_at_an_address() -> None:
    assert {" ".join(words) for words, _ in READ_STORES} == {
        "ablate",
        "evaluate",
        "explore embeddings",
        "store export",
        "store ls",
        "train",
    }


def test_an_address_that_nothing_here_reads_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ERC_CACHE", str(tmp_path / "cache"))
    for scheme, told in (("gs", "pip install 'fsspec[gs]'"), ("nosuch", "Protocol not known"), ("file", "leave file")):
        assert run(erc, ["ablate", "meld-text", "--store", f"{scheme}://bucket/x"], "erc") == 2
        assert told in (message := capsys.readouterr().err)
        assert message.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_what_it_may_be_beside_a_path_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(erc, ["ablate", "s3://suites/mine.yaml"], "erc") == 2
    assert "or the name of a suite that ships" in capsys.readouterr().err
    assert run(erc, ["extract", "--encoder", "sentence", "--model", "hf://org/name"], "erc") == 2
    assert "--model 'hf://org/name'" in (message := capsys.readouterr().err)
    assert "or the hub's name of a model, ORG/NAME" in message


def test_settings_that_are_paths(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(erc, ["extract", "--encoder", "retinaface-resnet50", "--set", f"detector={ADDRESS}"], "erc") == 2
    assert f"--set detector '{ADDRESS}': only local folders work" in capsys.readouterr().err


def test_a_file_address_is_told_to_be_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    for address in ("file:///data/store", "FILE:///data/store"):
        assert run(erc, ["store", "ls", address], "erc") == 2
        assert f"STORE|ADDRESS '{address}': leave {address[:7]} off" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["./s3://bucket", "a:b", "s3:/bucket", "C:/x", "1a://x", "://x"])
def test_odd_local_paths_stay_paths(path: str) -> None:
    assert LocalPath().convert(path, None, None) == Path(path)
