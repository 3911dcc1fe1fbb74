"""What file systems answer that is no reason to stop, or not the truth: a commit stands, and replaces nothing."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from store_factory import make_manifest, make_spec

from features.errors import ShardError, StoreError
from features.files import sync_folder
from features.store import Feature, placing, write_feature
from features.store.commit import commit_shard, make_folder_durably, orphans, write_once
from features.store.placing import give_name

NO_HARD_LINK = ["EXDEV", "EACCES", "EPERM", "ENOSYS", "EOPNOTSUPP", "EMLINK"]
LINK = os.link


def failing(name: str) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number))


def refuse(name: str) -> Callable[..., None]:
    def answer(*arguments: object, **options: object) -> None:
        raise failing(name)

    return answer


def write_three(root: Path) -> Feature:
    manifest = make_manifest(3)
    return write_feature(root, make_spec(), manifest, {key: np.ones(3, np.float32) for key in manifest.ids})


def assert_three(feature: Feature) -> None:
    assert feature.read(make_manifest(3).ids).present.all()
    assert [name.stem for name in feature.names] == ["00000"]
    assert list(orphans(feature.path)) == []


@pytest.fixture(params=["kernel", "plain"])
def renaming(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the kernel's rename that cannot replace, and where there is none."""
    if request.param == "plain":
        monkeypatch.setattr(placing, "_renamer", lambda: None)
    elif placing._renamer() is None:
        pytest.skip("no renameat2 here")
    return str(request.param)


@pytest.mark.parametrize("name", NO_HARD_LINK)
def test_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renaming: str, name: str) -> None:
    monkeypatch.setattr(os, "link", refuse(name))
    assert_three(write_three(tmp_path))


@pytest.mark.parametrize("name", NO_HARD_LINK)
def test_without_hard_links_nothing_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renaming: str, name: str
) -> None:
    """Also where another run takes the name between the look and the rename, as far as the kernel can tell."""
    monkeypatch.setattr(os, "link", refuse(name))
    temporary, final = tmp_path / "temporary", tmp_path / "final"
    temporary.write_text("ours")
    final.write_text("theirs")
    assert give_name(temporary, final) is False
    if renaming == "kernel":
        with monkeypatch.context() as patch:
            patch.setattr(os.path, "lexists", lambda path: False)
            assert give_name(temporary, final) is False
    assert final.read_text() == "theirs"
    assert temporary.read_text() == "ours"


@pytest.mark.parametrize("name", ["EEXIST", "EIO", "ETIMEDOUT", "EACCES"])
def test_a_link_that_was_made_and_is_said_to_have_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def link(source: Path, target: Path) -> None:
        LINK(source, target)
        raise failing(name)

    monkeypatch.setattr(os, "link", link)
    assert_three(write_three(tmp_path))


def test_a_link_that_was_made_and_is_not_seen_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client may keep in mind that there is no such name: the other name's number of links tells."""
    temporary, final = tmp_path / "temporary", tmp_path / "final"
    temporary.write_text("ours")
    original = Path.stat

    def link(source: Path, target: Path) -> None:
        LINK(source, target)
        raise failing("EIO")

    def blind(self: Path, **options: bool) -> os.stat_result:
        if self == final:
            raise failing("ENOENT")
        return original(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", link)
        patch.setattr(Path, "stat", blind)
        assert give_name(temporary, final) is True
    assert final.read_text() == "ours"


def test_a_rename_that_was_made_and_is_said_to_have_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renaming: str
) -> None:
    rename = Path.rename

    def lost(self: Path, target: Path) -> Path:
        rename(self, target)
        raise failing("ENOENT")

    def lost_by_kernel(here: int, source: bytes, there: int, target: bytes, flags: int) -> int:
        rename(Path(os.fsdecode(source)), Path(os.fsdecode(target)))
        return -1

    monkeypatch.setattr(os, "link", refuse("EPERM"))
    monkeypatch.setattr(Path, "rename", lost)
    if renaming == "kernel":
        monkeypatch.setattr(placing, "_renamer", lambda: lost_by_kernel)
    assert_three(write_three(tmp_path))


def test_a_link_to_a_taken_name_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the file has another name already, which an answer that was lost may have made."""
    temporary, final = tmp_path / "temporary", tmp_path / "final"
    temporary.write_text("ours")
    final.write_text("theirs")
    LINK(temporary, tmp_path / "another")
    assert give_name(temporary, final) is False
    monkeypatch.setattr(os, "link", refuse("EIO"))
    assert give_name(temporary, final) is False
    assert final.read_text() == "theirs"


@pytest.mark.parametrize("name", ["EIO", "ENOSPC", "EROFS", "ESTALE"])
def test_an_error_of_link_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(os, "link", refuse(name))
    with pytest.raises(StoreError, match="cannot be written"):
        write_three(tmp_path)
    monkeypatch.undo()
    assert_three(write_three(tmp_path))


def fsync_that_answers(name: str, *, to_folders: bool) -> Callable[[int], None]:
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) is to_folders:
            raise failing(name)
        original(descriptor)

    return fsync


@pytest.mark.parametrize("name", ["EINVAL", "ENOTSUP", "EBADF"])
def test_folders_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(os, "fsync", fsync_that_answers(name, to_folders=True))
    assert_three(write_three(tmp_path))


@pytest.mark.parametrize(("name", "to_folders"), [("EINVAL", False), ("EIO", False), ("EIO", True), ("ENOSPC", True)])
def test_other_errors_of_fsync_stay_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, to_folders: bool
) -> None:
    monkeypatch.setattr(os, "fsync", fsync_that_answers(name, to_folders=to_folders))
    with pytest.raises(StoreError, match="cannot be written"):
        write_three(tmp_path)


def test_every_new_folder_is_durable_in_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[Path, list[str]]] = []

    def note(path: Path) -> None:
        synced.append((path, sorted(entry.name for entry in path.iterdir())))
        sync_folder(path)

    monkeypatch.setattr("features.store.commit.sync_folder", note)
    root = tmp_path / "data" / "store"
    write_three(root)
    modality, name = make_spec().folder.split("/")
    assert synced[:4] == [
        (tmp_path, ["data"]),
        (root.parent, ["store"]),
        (root, [modality]),
        (root / modality, [name]),
    ]
    synced.clear()
    make_folder_durably(root / modality / name)
    assert synced == []
    make_folder_durably(root / modality / "another")
    assert [path for path, _ in synced] == [root / modality]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "text" / "surface"):
        with pytest.raises(OSError, match=r"File exists|Not a directory"):
            make_folder_durably(folder)


def test_two_runs_that_name_their_model_differently(tmp_path: Path) -> None:
    """Where the weights came from is recorded, not hashed: the first one's word stays, and neither is refused."""
    first, second = make_spec(model="hub/model").to_json(), make_spec(model="./a copy", alias="surface").to_json()
    assert first != second
    write_once(tmp_path, "spec.json", first)
    write_once(tmp_path, "spec.json", second)
    assert (tmp_path / "spec.json").read_text() == first
    with pytest.raises(ShardError, match=r"spec\.json: is another feature's: move the folder away"):
        write_once(tmp_path, "spec.json", make_spec(version=2).to_json())


def test_two_runs_that_start_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other's spec.json appears between the look and the link."""
    manifest, ours, theirs = make_manifest(3), make_spec(model="/here/model"), make_spec(model="hub/model")

    def other_is_first(source: Path, target: Path) -> None:
        if target.name == "spec.json" and not target.exists():
            target.write_text(theirs.to_json(), encoding="utf-8")
        LINK(source, target)

    monkeypatch.setattr(os, "link", other_is_first)
    feature = write_feature(tmp_path, ours, manifest, {key: np.ones(3, np.float32) for key in manifest.ids})
    assert_three(feature)
    assert feature.spec.model == "hub/model"


def test_a_record_whose_link_is_repeated_is_committed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look at what has the name, the tensors would be committed as another generation."""

    def link(source: Path, target: Path) -> None:
        LINK(source, target)
        raise failing("EEXIST")

    monkeypatch.setattr(os, "link", link)
    record = commit_shard(tmp_path, 0, "f" * 64, b"tensors", lambda name: b"ledger", 1, 1)
    assert record.name.stem == "00000"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000.h5", "00000.json", "00000.parquet"]
