"""Exports for tools: the same bytes twice, whole or not at all, nothing replaced unasked, every byte verified."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import pickletools
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tool_corpus import FACES, FRAMES, SOUND, TOKENS, WORDS, Corpus, make_corpus

from features.errors import StoreError, UsageError
from features.exports.export import export_for_tool, side_path
from features.exports.request import FORMATS, Request
from features.exports.verify import is_tool_export, verify_tool_export
from features.store.checksums import sums_path
from features.store.stream import RowStream
from pipeline.cli import erc, run

SPECS = {
    "mmsa": (WORDS, FRAMES, FACES),
    "mertools": (WORDS, TOKENS, SOUND),
    "conv-emotion": (WORDS, SOUND),
    "hf": (WORDS, FRAMES),
}
EVERY = list(SPECS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def export(corpus: Corpus, out: Path, file_format: str, **given: Any) -> Path:
    request = Request(corpus.features(*SPECS[file_format]), corpus.manifest)
    return export_for_tool(request, out, file_format, **given).path


def files_of(out: Path) -> dict[str, bytes]:
    paths = [path for path in out.rglob("*") if path.is_file()] if out.is_dir() else [out, side_path(out)]
    return {str(path.relative_to(out.parent)): path.read_bytes() for path in [*paths, sums_path(out)]}


def test_the_formats() -> None:
    assert list(FORMATS) == EVERY


_AGAIN = """
import json
import sys
from pathlib import Path
from features.exports.export import export_for_tool
from features.exports.request import Request
from features.manifest import read_manifest
from features.store import Store
root, out, formats = sys.argv[1:]
manifest = read_manifest(Path(root) / "manifest.parquet")
store = Store(Path(root) / "store", manifest)
for file_format, names in json.loads(formats).items():
    features = tuple(store.choose(*name.split("/")) for name in names)
    export_for_tool(Request(features, manifest), Path(out) / file_format / "out", file_format)
"""


@pytest.fixture(scope="module")
def elsewhere(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders with every format, each written by a process with its own seed of hashes and its own time zone."""
    formats = {name: [f"{spec.modality}/{spec.encoder}" for spec in SPECS[name]] for name in EVERY}
    folders = []
    for seed in ("1", "2"):
        folders.append(tmp_path_factory.mktemp(f"seed-{seed}"))
        given = [str(corpus.root), str(folders[-1]), json.dumps(formats)]
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": f"UTC{seed}"}
        subprocess.run([sys.executable, "-c", _AGAIN, *given], check=True, env=environment)
    return folders


@pytest.mark.parametrize("file_format", EVERY)
def test_the_same_export_is_the_same_bytes(
    corpus: Corpus, elsewhere: list[Path], tmp_path: Path, file_format: str
) -> None:
    """In other processes with other seeds of hashes, at another place."""
    first, second = (files_of(folder / file_format / "out") for folder in elsewhere)
    assert first == second == files_of(export(corpus, tmp_path / "3" / "out", file_format))


@pytest.mark.parametrize("file_format", ["mmsa", "conv-emotion", "mertools"])
def test_pickles_need_numpy_s_old_names_alone(corpus: Corpus, tmp_path: Path, file_format: str) -> None:
    """numpy 1 has no numpy._core; and nothing but arrays and plain containers is in them."""
    out = export(corpus, tmp_path / "out", file_format)
    if file_format == "mertools":
        with zipfile.ZipFile(out / "label.npz") as archive:
            assert archive.namelist() == ["train_corpus.npy", "val_corpus.npy", "test_corpus.npy"]
            pickles = [archive.read(name)[128:] for name in archive.namelist()]
    else:
        pickles = [out.read_bytes()]
    for data in pickles:
        reader = Noting(io.BytesIO(data))
        reader.load()
        assert reader.named == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}
        assert max(code.proto for code, _, _ in pickletools.genops(data)) <= 4


class Noting(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.named: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.named.add(f"{module} {name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("file_format", EVERY)
def test_nothing_is_replaced_unasked(corpus: Corpus, tmp_path: Path, file_format: str) -> None:
    out = export(corpus, tmp_path / "out", file_format)
    before = files_of(out)
    with pytest.raises(UsageError, match="out exists: give --overwrite, or another --to"):
        export(corpus, out, file_format)
    export(corpus, out, file_format, overwrite=True)
    assert files_of(out) == before
    own = {"out", "out.json", "out.sha256"} if out.is_file() else {"out"}
    assert {path.name for path in tmp_path.iterdir()} == own
    other = "hf" if out.is_file() else "mmsa"
    with pytest.raises(UsageError, match=f"and {other} writes a {FORMATS[other]}: give another --to"):
        export(corpus, out, other, overwrite=True)


@pytest.mark.parametrize("file_format", ["mertools", "hf"])
def test_other_files_are_not_removed(corpus: Corpus, tmp_path: Path, file_format: str) -> None:
    out = export(corpus, tmp_path / "out", file_format)
    (out / "notes").mkdir()
    (out / "notes" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds 'notes/thesis.tex', which is not of an export"):
        export(corpus, out, file_format, overwrite=True)
    assert (out / "notes" / "thesis.tex").read_text() == "years of work"
    for name in ("README.md", "export.json"):  # of another folder
        other = tmp_path / name.partition(".")[0]
        other.mkdir()
        (other / name).write_text("{}")
        with pytest.raises(UsageError, match=f"holds '{name}', which is not of an export"):
            export(corpus, other, file_format, overwrite=True)


def test_a_file_beside_is_not_replaced(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("mine")
    with pytest.raises(UsageError, match=r"out\.json exists"):
        export(corpus, tmp_path / "out", "mmsa")
    assert (tmp_path / "out.json").read_text() == "mine"


@pytest.mark.parametrize("file_format", EVERY)
def test_an_export_that_fails_leaves_nothing_and_keeps_the_older_one(
    corpus: Corpus, tmp_path: Path, file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    original = RowStream.blocks

    def full(self: RowStream, *given: Any) -> Any:
        yield next(original(self, 200))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for older in (False, True):
        if older:
            export(corpus, out, file_format)
        before = {path: path.stat().st_ino for path in tmp_path.rglob("*")}
        with monkeypatch.context() as patch:
            patch.setattr(RowStream, "blocks", full)
            with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\): make space"):
                export(corpus, out, file_format, overwrite=older)
        assert {path: path.stat().st_ino for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("file_format", EVERY)
class TestVerify:
    def test_sound(self, corpus: Corpus, tmp_path: Path, file_format: str) -> None:
        out = export(corpus, tmp_path / "out", file_format)
        assert is_tool_export(out)
        report = verify_tool_export(out)
        assert (report.faults, report.file_format) == ([], file_format)
        assert report.files == len(files_of(out)) - 1
        subprocess.run(["sha256sum", "-c", "--quiet", sums_path(out).name], cwd=sums_path(out).parent, check=True)

    def test_a_bit_of_any_file(self, corpus: Corpus, tmp_path: Path, file_format: str) -> None:
        out = export(corpus, tmp_path / "out", file_format)
        names = sorted(files_of(out))
        for name in names[:: max(1, len(names) // 12)]:
            path = tmp_path / name
            content = path.read_bytes()
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
            assert is_tool_export(out)
            assert verify_tool_export(out).faults, name
            path.write_bytes(content)
        assert not verify_tool_export(out).faults

    def test_files_that_are_gone_or_more(self, corpus: Corpus, tmp_path: Path, file_format: str) -> None:
        out = export(corpus, tmp_path / "out", file_format)
        if out.is_dir():
            (out / "more.npy").write_bytes(b"")
            assert [str(fault.path) for fault in verify_tool_export(out).faults] == [str(out / "more.npy")]
            (out / "more.npy").unlink()
        side_path(out).unlink()
        report = verify_tool_export(out)
        assert [(fault.kind, fault.path) for fault in report.faults] == [("absent", side_path(out))]
        sums_path(out).unlink()
        assert not is_tool_export(out)

    def test_the_command(
        self, corpus: Corpus, tmp_path: Path, file_format: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = export(corpus, tmp_path / "out", file_format)
        assert run(erc, ["store", "verify", str(out)], "erc") == 0
        told = capsys.readouterr().out
        assert told.startswith(
            f"{out}: sound: {file_format}, sha256 of {len(files_of(out)) - 1} files (its rows have no crc32)"
        )
        side_path(out).write_text("{}")
        assert run(erc, ["store", "verify", str(out), "--json"], "erc") == 1
        found = json.loads(capsys.readouterr().out)
        assert [fault["kind"] for fault in found["faults"]] == ["sha256"]
        assert run(erc, ["store", "verify", str(out)], "erc") == 1
        assert "1 fault: export it again with --overwrite" in capsys.readouterr().out


def test_sums_that_lead_outside_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    out = export(corpus, tmp_path / "out", "hf")
    (tmp_path / "outside").write_bytes(b"")
    with sums_path(out).open("a") as file:
        file.write(f"{'0' * 64}  ../outside\n")
    assert "names '../outside', which is outside" in str(verify_tool_export(out).faults[0])
