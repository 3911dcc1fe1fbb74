"""Verifying exports: whatever is flipped is found, by the sha256 of the file, by the crc32 of the row, or by both."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from store_factory import make_manifest, make_spec

from features.errors import Reason, ShardError, StoreError, UnavailableError, UsageError, WorkerError
from features.manifest import build_manifest
from features.spec import EncoderSpec
from features.store import Feature, write_feature
from features.store.checksums import read_sums, sums_bytes, sums_path
from features.store.export import export_feature
from features.store.export_read import export_format
from features.store.export_rows import check_rows
from features.store.export_verify import ExportReport, is_export, verify_export
from features.store.isolated import CrashedError, run_isolated

FORMATS = ["parquet", "hdf5", "npy"]
SPECS = {
    "vector": make_spec(shape=(4,)),
    "stack": make_spec(encoder="layers", kind="stack", shape=(2, 3), stored_dtype="float16"),
    "sequence": make_spec(encoder="tokens", kind="sequence", shape=(3,)),
    "waveform": make_spec(encoder="waveform", kind="sequence", shape=(), stored_dtype="float16"),
}
EVERY = [(kind, file_format) for kind in SPECS for file_format in FORMATS]


def make_feature(root: Path, spec: EncoderSpec) -> tuple[Feature, dict[str, np.ndarray]]:
    """Nine utterances, the second without an embedding; lengths of sequences are 0 to 2."""
    manifest, rng = make_manifest(9), np.random.default_rng(0)
    shapes = [(row % 3, *spec.shape) if spec.kind == "sequence" else spec.shape for row in range(9)]
    made = {
        key: rng.standard_normal(shape).astype(spec.stored_dtype)
        for key, shape in zip(manifest.ids, shapes, strict=True)
    }
    feature = write_feature(root, spec, manifest, made, {manifest.ids[1]: UnavailableError(Reason.NO_TEXT)})
    return feature, {key: value for key, value in made.items() if key != manifest.ids[1]}


def make_export(tmp_path: Path, kind: str, file_format: str) -> tuple[Path, dict[str, np.ndarray]]:
    feature, made = make_feature(tmp_path / "store", SPECS[kind])
    out = tmp_path / f"out.{file_format}"
    export_feature(feature, out, file_format)
    return out, made


def values_file(out: Path) -> Path:
    return next(path for name in ("embedding.npy", "values.npy", "") if (path := out / name).is_file())


def kinds(report: ExportReport) -> set[str]:
    return {str(fault.kind) for fault in report.faults}


def wrong_rows(report: ExportReport) -> list[str]:
    return [key for fault in report.faults for key in fault.rows]


def write_sums_anew(out: Path) -> None:
    sums = sums_path(out)
    folder = sums.parent
    sums.write_bytes(sums_bytes({name: sha256_of(folder / name) for name in read_sums(sums)}))


def sha256_of(path: Path) -> str:
    return subprocess.run(["sha256sum"], stdin=path.open("rb"), capture_output=True, text=True, check=True).stdout[:64]


@pytest.mark.parametrize(("kind", "file_format"), EVERY)
def test_sound(tmp_path: Path, kind: str, file_format: str) -> None:
    out, made = make_export(tmp_path, kind, file_format)
    read = 0

    def advance(number: int) -> None:
        nonlocal read
        read += number

    report = verify_export(out, advance)
    assert (report.faults, report.notes) == ([], [])
    assert (report.file_format, report.spec, report.ok) == (file_format, SPECS[kind], 8)
    assert report.utterances == (9 if file_format == "parquet" else 8)
    assert report.files == (1 if out.is_file() else 5 + (SPECS[kind].kind == "sequence"))
    sizes = [path.stat().st_size for path in ([out] if out.is_file() else out.iterdir()) if path.name != "SHA256SUMS"]
    assert report.num_bytes == sum(sizes)
    assert read == report.num_bytes + sum(value.nbytes for value in made.values())


@pytest.mark.parametrize("kind", list(SPECS))
def test_the_crc32_is_that_of_the_exported_row_and_of_the_ledger(tmp_path: Path, kind: str) -> None:
    """As a stranger computes it: over the bytes of what the other tool reads, in the dtype that is stored."""
    feature, made = make_feature(tmp_path / "store", SPECS[kind])
    ledger = dict(feature.ledger(["crc32"]).select("utterance_id", "crc32").iter_rows())
    for file_format in FORMATS:
        export_feature(feature, tmp_path / file_format, file_format)
    frame = pl.read_parquet(tmp_path / "parquet")
    assert frame.schema["crc32"] == pl.UInt32()
    assert dict(frame.select("utterance_id", "crc32").iter_rows()) == ledger
    assert [value is None for value in ledger.values()] == [row == 1 for row in range(9)]
    found = dict(zip(frame["utterance_id"], frame["embedding"].to_list(), strict=True))
    for key in made:
        row = np.array(found[key], SPECS[kind].stored_dtype)
        assert zlib.crc32(row.tobytes()) == ledger[key]
    is_sequence = SPECS[kind].kind == "sequence"
    with h5py.File(tmp_path / "hdf5") as file:
        assert file["crc32"].dtype == np.uint32
        ids, crc32 = file["utterance_id"].asstr()[:].tolist(), file["crc32"][:].tolist()
        values, offsets = (file["values"][:], file["offsets"][:]) if is_sequence else (file["embedding"][:], None)
    assert json.loads((tmp_path / "npy" / "ids.json").read_text()) == ids == list(made)
    assert np.load(tmp_path / "npy" / "crc32.npy").tolist() == crc32 == [ledger[key] for key in ids]
    arrays = [values, np.load(tmp_path / "npy" / ("values.npy" if is_sequence else "embedding.npy"))]
    for array in arrays:
        rows = list(array) if offsets is None else [array[start:stop] for start, stop in pairwise(offsets)]
        assert [zlib.crc32(row.tobytes()) for row in rows] == crc32
    table = pl.read_parquet(tmp_path / "npy" / "utterances.parquet")
    assert dict(table.select("utterance_id", "crc32").iter_rows()) == ledger


@pytest.mark.parametrize(("kind", "file_format"), EVERY)
def test_every_flipped_byte_of_the_values_is_found(tmp_path: Path, kind: str, file_format: str) -> None:
    """By the crc32 alone, which names the row, and by the sha256 alone."""
    out, made = make_export(tmp_path, kind, file_format)
    file = values_file(out)
    content, values = file.read_bytes(), b"".join(value.tobytes() for value in made.values())
    start = content.index(values)
    assert content.count(values) == 1
    owners = [key for key, value in made.items() for _ in range(value.nbytes)]
    assert len(owners) == len(values) >= 16
    written = read_sums(sums_path(out))[file.name]
    for place, owner in enumerate(owners):
        damaged = bytearray(content)
        damaged[start + place] ^= 1 << (place % 8)
        file.write_bytes(damaged)
        checked = check_rows((out, export_format(out)), lambda number: None)
        assert [(str(fault.kind), fault.rows) for fault in checked.faults] == [("crc32", (owner,))]
        if place % 16 == 0:
            assert sha256_of(file) != written
    report = verify_export(out)
    assert kinds(report) == {"sha256", "crc32"}
    assert wrong_rows(report) == [owners[-1]]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "file_format"), [(kind, name) for kind, name in EVERY if name != "hdf5"])
def test_every_flipped_byte_of_every_file_is_found(tmp_path: Path, kind: str, file_format: str) -> None:
    """By its sha256, and where that is lost the rows are sound or named: nothing is raised, whatever is read."""
    out, _ = make_export(tmp_path, kind, file_format)
    sums, count = sums_path(out), 0
    written = sums.read_bytes()
    for file in [out] if out.is_file() else sorted(set(out.iterdir()) - {sums}):
        content = file.read_bytes()
        for place in range(len(content)):
            file.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
            assert "sha256" in kinds(verify_export(out))
            sums.unlink()
            assert kinds(verify_export(out)) <= {"crc32", "form", "absent"}
            sums.write_bytes(written)
            count += 1
        file.write_bytes(content)
    assert count > 3000
    assert verify_export(out).faults == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vector", "sequence"])
def test_flipped_bytes_of_an_hdf5_file_are_found(tmp_path: Path, kind: str) -> None:
    """Every 97th: each takes a process of its own, which a damaged file may end."""
    out, _ = make_export(tmp_path, kind, "hdf5")
    content = out.read_bytes()
    for place in range(0, len(content), 97):
        out.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
        report = verify_export(out)
        assert "sha256" in kinds(report)
        assert kinds(report) <= {"sha256", "crc32", "form", "unreadable"}


@pytest.mark.parametrize("file_format", FORMATS)
class TestEitherFindsWhatTheOtherMisses:
    def damage(self, out: Path, made: dict[str, np.ndarray]) -> str:
        file, key = values_file(out), list(made)[3]
        content = file.read_bytes()
        place = content.index(made[key].tobytes())
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        return key

    def test_the_sums_are_lost(self, tmp_path: Path, file_format: str) -> None:
        out, made = make_export(tmp_path, "vector", file_format)
        sums = sums_path(out)
        sums.unlink()
        report = verify_export(out)
        assert report.faults == []
        assert report.notes == [f"{sums} is absent: only the crc32 of each row is compared, not every byte"]
        assert report.files == 0
        key = self.damage(out, made)
        report = verify_export(out)
        assert kinds(report) == {"crc32"}
        assert wrong_rows(report) == [key]

    def test_the_sums_are_written_anew(self, tmp_path: Path, file_format: str) -> None:
        out, made = make_export(tmp_path, "vector", file_format)
        key = self.damage(out, made)
        write_sums_anew(out)
        report = verify_export(out)
        assert kinds(report) == {"crc32"}
        assert wrong_rows(report) == [key]
        assert report.files >= 1

    def test_what_is_no_number(self, tmp_path: Path, file_format: str) -> None:
        """An id is changed, which no crc32 covers."""
        out, _ = make_export(tmp_path, "vector", file_format)
        file = out if out.is_file() else out / "utterances.parquet"
        content = file.read_bytes()
        place = content.rindex(b"erc.fingerprint") if file_format == "parquet" else len(content) // 2
        if file_format == "hdf5":
            place = content.index(b"toy/train/dia0_utt3")
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert "sha256" in kinds(verify_export(out))

    def test_a_crc32_that_is_changed(self, tmp_path: Path, file_format: str) -> None:
        feature, made = make_feature(tmp_path / "store", SPECS["vector"])
        out = tmp_path / "out"
        export_feature(feature, out, file_format)
        key = list(made)[3]
        crc32 = zlib.crc32(made[key].tobytes())
        for file in [out] if out.is_file() else [out / "crc32.npy"]:
            content = file.read_bytes()
            stored = np.array(crc32, "<u4").tobytes()
            if content.count(stored) != 1:
                pytest.skip("compressed")
            file.write_bytes(content.replace(stored, np.array(crc32 ^ 1, "<u4").tobytes()))
        write_sums_anew(out)
        report = verify_export(out)
        assert report.faults
        assert wrong_rows(report) == [key] or kinds(report) == {"form"}


@pytest.mark.parametrize("file_format", FORMATS)
def test_coreutils_read_the_sums(tmp_path: Path, file_format: str) -> None:
    feature, _ = make_feature(tmp_path / "store", SPECS["vector"])
    out = tmp_path / "a back\\slash\nand a new line"
    export_feature(feature, out, file_format)
    sums = sums_path(out)
    check = ["sha256sum", "-c", "--strict", sums.name]
    assert subprocess.run(check, cwd=sums.parent, capture_output=True).returncode == 0
    assert verify_export(out).faults == []
    assert verify_export(out).files == (1 if out.is_file() else 5)
    file = values_file(out)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert subprocess.run(check, cwd=sums.parent, capture_output=True).returncode == 1
    assert "sha256" in kinds(verify_export(out))


class TestFiles:
    def test_of_a_folder(self, tmp_path: Path) -> None:
        out, _ = make_export(tmp_path, "sequence", "npy")
        (out / "README").write_text("mine")
        report = verify_export(out)
        assert report.faults == []
        assert report.notes == [f"{out / 'README'} is no file of an export, and was not looked at"]
        for name in ("offsets.npy", "values.npy", "ids.json", "crc32.npy", "utterances.parquet", "spec.json"):
            (out / name).rename(out / "away")
            report = verify_export(out)
            assert [(fault.path, str(fault.kind)) for fault in report.faults] == [(out / name, "absent")]
            sums = (out / "SHA256SUMS").read_bytes()
            (out / "SHA256SUMS").unlink()
            assert [(fault.path, str(fault.kind)) for fault in verify_export(out).faults] == [(out / name, "absent")]
            (out / "SHA256SUMS").write_bytes(sums)
            (out / "away").rename(out / name)

    def test_of_another_export(self, tmp_path: Path) -> None:
        """Lists of ids, crc32 and offsets that do not go together, with a sum of each."""
        out, _ = make_export(tmp_path, "sequence", "npy")
        for name in ("offsets.npy", "crc32.npy", "ids.json"):
            before = (out / name).read_bytes()
            if name == "ids.json":
                (out / name).write_text(json.dumps(json.loads(before)[::-1]))
            else:
                np.save(out / name, np.load(out / name)[:-1])
            write_sums_anew(out)
            assert kinds(verify_export(out)) == {"form"}
            (out / name).write_bytes(before)
        write_sums_anew(out)
        assert verify_export(out).faults == []

    @pytest.mark.parametrize("content", [b"", b"no sum\n", b"0" * 64 + b"\n", b"\xff\x00"])
    def test_sums_that_are_none(self, tmp_path: Path, content: bytes) -> None:
        out, _ = make_export(tmp_path, "vector", "parquet")
        sums_path(out).write_bytes(content)
        report = verify_export(out)
        assert [str(fault) for fault in report.faults] == [
            f"{sums_path(out)}: sha256: is not a list of sha256 sums: it was changed or damaged"
        ]
        assert report.ok == 8

    def test_sums_of_other_files(self, tmp_path: Path) -> None:
        out, _ = make_export(tmp_path, "vector", "npy")
        sums = read_sums(sums_path(out))
        del sums["embedding.npy"]
        sums_path(out).write_bytes(sums_bytes(sums))
        assert [str(fault) for fault in verify_export(out).faults] == [
            f"{out / 'embedding.npy'}: sha256: SHA256SUMS does not name it"
        ]

    def test_a_renamed_export(self, tmp_path: Path) -> None:
        out, _ = make_export(tmp_path, "vector", "parquet")
        sums_path(out).rename(tmp_path / "new.parquet.sha256")
        out = out.rename(tmp_path / "new.parquet")
        report = verify_export(out)
        assert (report.faults, report.files) == ([], 1)
        assert "new.parquet.sha256 is of 'out.parquet', and `sha256sum -c` looks for a file" in report.notes[0]
        out.write_bytes(out.read_bytes()[:-8] + b"        ")
        assert "sha256" in kinds(verify_export(out))

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"\x89HDF\r\n\x1a\n", b"id,value\n1,2\n"])
    def test_what_is_no_export(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "other.h5").write_bytes(content)
        assert kinds(verify_export(tmp_path / "other.h5")) == {"form"}

    def test_exports_of_other_programs(self, tmp_path: Path) -> None:
        pl.DataFrame({"utterance_id": ["a"]}).write_parquet(tmp_path / "a.parquet")
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["embedding"] = np.zeros((1, 3))
        for name, lacking in (("a.parquet", "its metadata has no erc.spec"), ("a.h5", "it has no attribute spec")):
            report = verify_export(tmp_path / name)
            assert kinds(report) == {"form"}
            assert lacking in str(report.faults[0])

    def test_an_export_without_crc32(self, tmp_path: Path) -> None:
        """As an older version wrote it, or as somebody cut it: what cannot be checked is not called sound."""
        out, _ = make_export(tmp_path, "vector", "parquet")
        import pyarrow.parquet as pq

        table = pq.read_table(out)
        pq.write_table(table.drop_columns(["crc32"]), out)
        write_sums_anew(out)
        assert [str(fault) for fault in verify_export(out).faults] == [
            f"{out}: form: has no column crc32: export it again"
        ]

    def test_nothing_is_there(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"no export at .*nowhere\.parquet: make it with `erc store export"):
            verify_export(tmp_path / "nowhere.parquet")


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
@pytest.mark.parametrize("file_format", FORMATS)
def test_what_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str, number: int
) -> None:
    out, _ = make_export(tmp_path, "vector", file_format)
    original = Path.open
    for refused in (values_file(out), sums_path(out)):

        def refuse(self: Path, *given: Any, refused: Path = refused, **options: Any) -> Any:
            if self == refused:
                raise OSError(number, os.strerror(number), str(self))
            return original(self, *given, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refuse)
            report = verify_export(out)
        assert [str(fault) for fault in report.faults] == [
            f"{refused}: unreadable: cannot be read: {os.strerror(number)}"
        ]


def test_which_paths_are_exports(tmp_path: Path) -> None:
    folder, _ = make_export(tmp_path, "vector", "npy")
    file, _ = make_export(tmp_path / "file", "vector", "parquet")
    assert is_export(folder)
    assert is_export(file)
    assert not is_export(tmp_path / "store")
    assert not is_export(tmp_path / "nowhere")
    assert is_export(tmp_path / "nowhere.parquet")
    assert not is_export(tmp_path)
    (tmp_path / "store" / "embedding.npy").write_bytes(b"")  # somebody's, in a store
    assert not is_export(tmp_path / "store")


class TestKilled:
    """A run that ends between the two renames leaves what verifying names."""

    @pytest.mark.parametrize("file_format", ["parquet", "hdf5"])
    @pytest.mark.parametrize("is_older_there", [False, True])
    def test_of_a_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str, is_older_there: bool
    ) -> None:
        out = tmp_path / "out.export"
        if is_older_there:
            feature, _ = make_feature(tmp_path / "older", SPECS["stack"])
            export_feature(feature, out, file_format)
        feature, _ = make_feature(tmp_path / "store", SPECS["vector"])
        original = Path.replace

        def kill(self: Path, target: Path) -> Path:
            if target == out:
                raise KeyboardInterrupt
            return original(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", kill)
            with pytest.raises(KeyboardInterrupt):
                export_feature(feature, out, file_format, overwrite=is_older_there)
        assert is_export(out)
        if is_older_there:
            report = verify_export(out)
            assert kinds(report) == {"sha256"}
            assert report.spec == SPECS["stack"]
        else:
            with pytest.raises(StoreError, match=r"no export at .*, only .*\.sha256 \(its export was interrupted"):
                verify_export(out)
            with pytest.raises(UsageError, match=r"out\.export\.sha256 exists: give --overwrite"):
                export_feature(feature, out, file_format)
        assert not list(tmp_path.glob(".*"))
        export_feature(feature, out, file_format, overwrite=True)
        assert verify_export(out).faults == []

    @pytest.mark.parametrize("calls", [1, 2])
    def test_of_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
        """The older export stays, wherever a signal stops the run."""
        out, _ = make_export(tmp_path, "stack", "npy")
        feature, _ = make_feature(tmp_path / "new", SPECS["vector"])
        original, done = Path.rename, []

        def stop(self: Path, target: Path) -> Path:
            done.append(self)
            if len(done) == calls:
                raise KeyboardInterrupt
            return original(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", stop)
            with pytest.raises(KeyboardInterrupt):
                export_feature(feature, out, "npy", overwrite=True)
        report = verify_export(out)
        assert (report.faults, report.spec) == ([], SPECS["stack"])
        assert not list(tmp_path.glob(".*"))


def test_a_damaged_row_is_not_exported(tmp_path: Path) -> None:
    feature, made = make_feature(tmp_path / "store", SPECS["vector"])
    shard = feature.path / "00000.h5"
    key = list(made)[3]
    shard.write_bytes(shard.read_bytes().replace(made[key].tobytes(), made[list(made)[4]].tobytes()))
    for file_format in FORMATS:
        with pytest.raises(ShardError, match=rf"00000\.h5: {key}: the ledger's crc32 is that of other bytes"):
            export_feature(feature, tmp_path / "out", file_format)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


LINE_ENDS = ["\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_ids_that_end_lines(tmp_path: Path, file_format: str) -> None:
    """str.splitlines ends a line at each of these, and a manifest allows them; and at others, which it does not."""
    plain = make_manifest(9)
    odd = [f"toy/{end}/{row}" for row, end in enumerate([*LINE_ENDS, "é", '"', "\\", "\U0001f600", "\u200b", "x"])]
    manifest = build_manifest(plain.frame.with_columns(utterance_id=pl.Series(odd)), plain.card)
    made = {key: np.full(4, row, np.float32) for row, key in enumerate(odd)}
    feature = write_feature(tmp_path / "store", SPECS["vector"], manifest, made)
    out = tmp_path / "out"
    export_feature(feature, out, file_format)
    assert verify_export(out).faults == []
    if file_format == "parquet":
        ids = pl.read_parquet(out)["utterance_id"].to_list()
    elif file_format == "hdf5":
        with h5py.File(out) as file:
            ids = file["utterance_id"].asstr()[:].tolist()
    else:
        ids = json.loads((out / "ids.json").read_text())
        assert not (out / "ids.txt").exists()
    assert ids == odd


Advance = Callable[[int], object]


def crash(how: str, advance: Advance) -> str:
    advance(3)
    if how == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "hang":
        time.sleep(600)
    return how.upper()


def always_exit(export: object, advance: Advance) -> None:
    os._exit(4)


def test_a_crash_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advanced: list[int] = []
    assert run_isolated(crash, "fine", advanced.append) == "FINE"
    assert advanced == [3]
    with pytest.raises(CrashedError, match=r"reading it ended the process \(SIGSEGV\)"):
        run_isolated(crash, "signal", advanced.append)
    with pytest.raises(CrashedError, match=r"reading it came to no end: 0\.5 s without a step"):
        run_isolated(crash, "hang", advanced.append, step_limit_s=0.5)
    out, _ = make_export(tmp_path, "vector", "hdf5")
    monkeypatch.setattr("features.store.export_verify.check_rows", always_exit)
    report = verify_export(out)
    assert [str(fault) for fault in report.faults] == [
        f"{out}: unreadable: reading it ended the process (exit status 4)"
    ]


def test_a_process_that_cannot_start_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.store.isolated._serve", os._exit)
    with pytest.raises(WorkerError, match="could not be started"):
        run_isolated(crash, "fine", lambda number: None)
