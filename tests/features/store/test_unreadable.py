"""What cannot be read is not damaged: it is named as unreadable, and no repair touches it."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from store_damage import failing_reads, files_of, flip
from store_factory import make_manifest, make_spec

from features.errors import ErcError, ShardError, UnreadableError
from features.store import Feature, Store, write_feature
from features.store.commit import committed_names, read_record
from features.store.faults import FaultKind
from features.store.feature import read_spec
from features.store.garbage import plan_garbage
from features.store.index import read_index
from features.store.ledger import read_ledger, read_sound_ledgers
from features.store.listing import list_store
from features.store.repair import repair_store
from features.store.shard import open_shard
from features.store.verify import feature_folders, total_bytes, verify_store

SPEC = make_spec()
OTHER = make_spec(encoder="other")
# Nothing of them says a word of the bytes.
NUMBERS = [
    errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOLCK, errno.ENOMEM,
    errno.ENOTCONN, errno.ETIMEDOUT,
]  # fmt: skip
NOBODY = 65534


def write(root: Path) -> Path:
    """Two features of two shards each."""
    manifest = make_manifest(70)
    for spec in (SPEC, OTHER):
        write_feature(root, spec, manifest, {key: np.full(3, 1, np.float32) for key in manifest.ids})
    return root


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write(tmp_path / "store")


READERS: dict[str, Callable[[Path], object]] = {
    "00001.h5": lambda path: open_shard(path, SPEC),
    "00001.parquet": read_ledger,
    "00001.json": read_record,
    "spec.json": lambda path: read_spec(path.parent, SPEC.folder),
}


class TestReaders:
    @pytest.mark.parametrize("name", READERS)
    @pytest.mark.parametrize("number", NUMBERS, ids=lambda number: errno.errorcode[number])
    def test_what_stands_in_the_way_is_said(self, store: Path, name: str, number: int) -> None:
        path = store / SPEC.folder / name
        with failing_reads(path, number=number), pytest.raises(UnreadableError, match="nothing is lost") as caught:
            READERS[name](path)
        text = str(caught.value)
        assert text.startswith(f"{path}: cannot be read ({os.strerror(number)}): ")
        assert "--repair" not in text
        assert "\n" not in text
        READERS[name](path)

    @pytest.mark.parametrize(
        ("number", "mend"),
        [
            (errno.EMFILE, "ulimit -n"),
            (errno.EACCES, "rights"),
            (errno.EIO, "disk or the server"),
            (errno.ESTALE, "mount"),
        ],
    )
    def test_the_mend_fits(self, store: Path, number: int, mend: str) -> None:
        path = store / SPEC.folder / "00001.json"
        with failing_reads(path, number=number), pytest.raises(UnreadableError, match=mend):
            read_record(path)

    @pytest.mark.parametrize("name", READERS)
    def test_what_is_gone_is_damage(self, store: Path, name: str) -> None:
        path = store / SPEC.folder / name
        path.unlink()
        with pytest.raises(ShardError, match=rf"{name}: is gone: .*erc store verify STORE --repair"):
            READERS[name](path)

    @pytest.mark.parametrize("name", READERS)
    def test_a_link_into_what_is_not_mounted(self, store: Path, name: str) -> None:
        path = store / SPEC.folder / name
        path.rename(store / name)
        path.symlink_to(store / name)
        READERS[name](path)
        (store / name).rename(store / f"{name}.away")
        with pytest.raises(UnreadableError, match="a symbolic link to what is not there"):
            READERS[name](path)

    def test_folders(self, store: Path) -> None:
        with failing_reads(store / SPEC.folder), pytest.raises(UnreadableError, match="Input/output error"):
            committed_names(store / SPEC.folder)
        with pytest.raises(ShardError, match="is gone"):
            committed_names(store / "nowhere")

    def test_the_first_unreadable_ledger_is_named(self, store: Path) -> None:
        paths = [store / SPEC.folder / f"0000{number}.parquet" for number in (0, 1)]
        flip(paths[1], -1)  # so that polars cannot read them together
        with failing_reads(paths[1], number=errno.ESTALE):
            frame, bad = read_sound_ledgers(paths, ["utterance_id"])
            with pytest.raises(UnreadableError, match=r"00001\.parquet"):
                read_index(store / SPEC.folder)
        assert set(frame["place"]) == {0}
        assert list(bad) == [1]
        assert isinstance(bad[1], UnreadableError)
        assert "00001.parquet" in str(bad[1])

    @pytest.mark.parametrize("after", range(1, 8))
    def test_a_read_that_fails_within_hdf5(self, store: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        """HDF5 tells of a failed read as of damage; its number says what it was."""
        import io

        opened = io.open

        class Failing(io.BufferedReader):
            reads = 0

            def readinto(self, buffer: Any) -> int:
                Failing.reads += 1
                if Failing.reads >= after:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return super().readinto(buffer)

        def failing_open(path: Any, *given: Any, **named: Any) -> Any:
            file = opened(path, *given, **named)
            return Failing(file.detach()) if str(path).endswith(".h5") else file

        monkeypatch.setattr(io, "open", failing_open)
        with pytest.raises(UnreadableError, match="Input/output error"):
            open_shard(store / SPEC.folder / "00001.h5", SPEC)
        assert Failing.reads == after

    def test_maps_that_the_system_refuses(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*given: Any, **named: Any) -> Any:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

        monkeypatch.setattr(np, "memmap", refuse)
        with pytest.raises(UnreadableError, match="make memory free"):
            open_shard(store / SPEC.folder / "00001.h5", SPEC)


class TestLocks:
    def test_a_lock_of_another_process_is_in_nobodys_way(self, store: Path) -> None:
        """HDF5 would take a lock of its own; a committed file needs none."""
        with (store / SPEC.folder / "00001.h5").open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with pytest.raises(BlockingIOError, match="unable to lock file"):
                h5py.File(store / SPEC.folder / "00001.h5", "r")
            assert verify_store(store).faults == []
            assert Feature(store, SPEC.folder).read(make_manifest(70).ids).present.all()

    def test_hdf5_is_asked_for_none(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = h5py.File
        asked = []

        def file(*given: Any, **named: Any) -> Any:
            asked.append(named.get("locking"))
            return opened(*given, **named)

        monkeypatch.setattr(h5py, "File", file)
        assert verify_store(store).faults == []
        assert asked == [False] * 4

    @pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler")
    def test_a_file_system_without_locks(self, store: Path, tmp_path: Path) -> None:
        """Every flock and every lock of fcntl answers ENOLCK."""
        source = "#include <errno.h>\nint flock(int file, int how) { errno = ENOLCK; return -1; }\n"
        (tmp_path / "no_locks.c").write_text(source)
        library = tmp_path / "no_locks.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "no_locks.c"], check=True)
        before = files_of(store)
        code = (
            "import fcntl\n"
            "try:\n    fcntl.flock(0, fcntl.LOCK_EX)\nexcept OSError as error:\n    print(error.errno)\n"
            "from pipeline.cli import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "store", "verify", str(store), "--repair"],
            capture_output=True, text=True, env=os.environ | {"LD_PRELOAD": str(library)},
        )  # fmt: skip
        assert done.stdout.splitlines()[0] == str(errno.ENOLCK)
        assert f"{store}: sound: 2 features, 4 shards, 140 rows" in done.stdout
        assert done.returncode == 0
        assert files_of(store) == before


class TestVerify:
    @pytest.mark.parametrize("name", READERS)
    @pytest.mark.parametrize("number", NUMBERS, ids=lambda number: errno.errorcode[number])
    def test_nothing_is_moved(self, store: Path, name: str, number: int) -> None:
        before = files_of(store)
        path = store / SPEC.folder / name
        with failing_reads(path, number=number):
            report = verify_store(store)
            assert [(fault.path, fault.kind, fault.shard) for fault in report.faults] == [
                (path, FaultKind.UNREADABLE, None)
            ]
            assert not report.is_sound
            left, done = repair_store(store)
            assert [fault.kind for fault in left.faults] == [FaultKind.UNREADABLE]
            assert done == []
        assert files_of(store) == before
        assert verify_store(store).is_sound

    def test_a_damaged_shard_that_is_not_wholly_known_stays(self, store: Path) -> None:
        folder = store / SPEC.folder
        flip(folder / "00001.h5")
        with failing_reads(folder / "00001.parquet"):
            left, done = repair_store(store)
            assert {fault.kind for fault in left.faults} == {FaultKind.UNREADABLE, FaultKind.CHECKSUM}
            assert {fault.shard for fault in left.faults} == {None}
            assert done == []
        assert repair_store(store)[0].is_sound

    @pytest.mark.parametrize("place", ["", SPEC.folder], ids=["modality", "feature"])
    def test_a_folder_that_cannot_be_listed(self, store: Path, place: str) -> None:
        path = store / (place or "text")
        before = files_of(store)
        with failing_reads(path, number=errno.EACCES):
            report = verify_store(store)
            assert [(fault.path, fault.kind) for fault in report.faults] == [(path, FaultKind.UNREADABLE)]
            left, done = repair_store(store)
            assert (not left.is_sound, done) == (True, [])
            assert total_bytes(store, feature_folders(store)[0]) >= 0
            troubles = list_store(store)[1]
            assert [(trouble.folder, trouble.kind) for trouble in troubles] == [(place or "text", "unreadable")]
            assert "Permission denied" in plan_garbage(store).notes[0]
        assert files_of(store) == before

    def test_the_store_itself_cannot_be_listed(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: Any) -> Any:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(os, "listdir", refuse)
        for work in (verify_store, repair_store, list_store, plan_garbage, Store):
            with pytest.raises(UnreadableError, match=r"store: cannot be read \(Permission denied\)"):
                work(store)

    def test_a_lock_file_that_cannot_be_opened(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whether the orphan is a commit in hand is not known."""
        orphan = store / SPEC.folder / "00007.h5"
        orphan.write_bytes(b"orphan")
        opened = os.open

        def failing(path: Any, *given: Any, **named: Any) -> int:
            if Path(path) == orphan.with_name(".lock"):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return opened(path, *given, **named)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", failing)
            faults = verify_store(store).faults
            assert [(fault.path.name, fault.kind) for fault in faults] == [(".lock", FaultKind.UNREADABLE)]
            left, done = repair_store(store)
            assert (len(left.untouched), done) == (1, [])
            assert "Input/output error" in left.untouched[0]
            assert "orphans were not looked for (Input/output error)" in plan_garbage(store).notes[0]
        assert orphan.exists()
        assert len(repair_store(store)[1]) == 1


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything: step down where we are root."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


class TestRights:
    """A colleague's umask: files that are there, and that the file system itself refuses."""

    @pytest.fixture
    def shared(self) -> Iterator[Path]:
        """Not below pytest's own folder, which is for one user alone."""
        place = Path(tempfile.mkdtemp())
        place.chmod(0o777)
        write(place / "store")
        for path in (place / "store").rglob("*"):
            path.chmod(0o777 if path.is_dir() else 0o666)
        (place / "store").chmod(0o777)
        yield place / "store"
        for path in place.rglob("*"):
            path.chmod(0o777)
        shutil.rmtree(place)

    @pytest.mark.parametrize("name", [*READERS, "."])
    def test_nothing_is_moved(self, shared: Path, name: str) -> None:
        folder = shared / SPEC.folder
        before = files_of(shared)
        (folder / name).chmod(0)
        with as_nobody():
            report = verify_store(shared)
            assert {fault.kind for fault in report.faults} == {FaultKind.UNREADABLE}
            assert {fault.feature for fault in report.faults} == {SPEC.folder}
            left, done = repair_store(shared)
            assert (left.is_sound, done) == (False, [])
            summaries, troubles = list_store(shared)
            assert OTHER.folder in {item.feature.folder for item in summaries}
            assert {trouble.kind for trouble in troubles} == (
                {"unreadable"} if name in (".", "spec.json", "00001.parquet") else set()
            )
            plan_garbage(shared)
            with pytest.raises(ErcError, match="Permission denied") as caught:
                Store(shared).choose("text", "surface").read(make_manifest(70).ids)
            assert "--repair" not in str(caught.value)
            assert Store(shared).choose("text", "other").read(make_manifest(70).ids).present.all()
        (folder / name).chmod(0o777)
        assert files_of(shared) == before
        assert verify_store(shared).is_sound

    def test_a_store_that_is_read_only_is_verified(self, shared: Path) -> None:
        flip(shared / SPEC.folder / "00001.h5")
        for path in [*shared.rglob("*"), shared]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = files_of(shared)
        with as_nobody():
            assert [fault.kind for fault in verify_store(shared).faults] == [FaultKind.CHECKSUM]
            left, done = repair_store(shared)
            assert ([fault.kind for fault in left.faults], done) == ([FaultKind.CHECKSUM], [])
            assert all("cannot be written (Permission denied)" in line for line in left.untouched)
            assert len(left.untouched) == 2
        assert files_of(shared) == before


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, before[1]))
    try:
        with suppress(OSError):  # below the last one others may be free
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in taken:
            os.close(descriptor)


@pytest.mark.parametrize("name", READERS)
def test_too_few_open_files(store: Path, name: str) -> None:
    """`ulimit -n`: the shards are there and sound."""
    path = store / SPEC.folder / name
    with (
        no_descriptor_left(),
        pytest.raises(UnreadableError, match=r"Too many open files\): raise the limit of open files \(`ulimit -n`\)"),
    ):
        READERS[name](path)
    READERS[name](path)
