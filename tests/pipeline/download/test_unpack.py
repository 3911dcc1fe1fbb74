"""Unpacking: whole or not at all, once, archives within too, and nothing that leaves its folder or fills the disk."""

from __future__ import annotations

import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from archive_factory import meld_raw, member, tar_bytes, tar_of, write, zip_bytes

from features.errors import DownloadError
from pipeline.download import unpack as unpacking
from pipeline.download.members import folder_name
from pipeline.download.unpack import MARKER, is_unpacked, unpack


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MARKER
    }


def refused(archive: Path) -> str:
    """What is said of an archive that is not unpacked, of which nothing stays."""
    before = tree(archive.parent.parent)
    with pytest.raises(DownloadError) as raised:
        unpack(archive)
    assert tree(archive.parent.parent) == before
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a.tar", "a"), ("MELD.Raw.tar.gz", "MELD.Raw"), ("b.TGZ", "b"), ("c.tar.xz", "c"), ("d.tar.bz2", "d"),
        ("e.zip", "e"), ("f.csv", None), ("g.csv.gz", None), (".zip", None), ("h.rar", None),
    ],
)  # fmt: skip
def test_what_counts_as_an_archive(name: str, folder: str | None) -> None:
    assert folder_name(name) == folder


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_kind_of_tar_is_unpacked(tmp_path: Path, mode: str) -> None:
    suffix = {"w": "tar", "w:gz": "tar.gz", "w:bz2": "tar.bz2", "w:xz": "tar.xz"}[mode]
    unpack(write(tmp_path / f"a.{suffix}", tar_bytes({"x/y.txt": b"1", "z.txt": b"22"}, mode)))
    assert tree(tmp_path / "a") == {"x/y.txt": b"1", "z.txt": b"22"}


def test_a_zip_is_unpacked_without_what_macos_notes(tmp_path: Path) -> None:
    unpack(write(tmp_path / "a.zip", zip_bytes({"x/y.txt": b"1", "__MACOSX/x/._y.txt": b"no"})))
    assert tree(tmp_path / "a") == {"x/y.txt": b"1"}


def test_a_folder_of_the_archives_name_is_not_doubled(tmp_path: Path) -> None:
    unpack(write(tmp_path / "a.zip", zip_bytes({"a/y.txt": b"1", "a/b/c.txt": b"2"})))
    assert tree(tmp_path / "a") == {"y.txt": b"1", "b/c.txt": b"2"}


def test_archives_within_are_unpacked_and_removed(tmp_path: Path) -> None:
    archive = write(tmp_path / "MELD.Raw.tar.gz", meld_raw())
    unpack(archive, "s" * 64)
    assert tree(tmp_path / "MELD.Raw") == {
        "README.txt": b"read me",
        "train/train_splits/dia0_utt0.mp4": b"train" * 100,
        "dev/dev_splits_complete/dia0_utt0.mp4": b"dev" * 100,
        "test/output_repeated_splits_test/dia0_utt0.mp4": b"test" * 100,
    }
    assert archive.is_file()


def test_a_second_run_does_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write(tmp_path / "MELD.Raw.tar.gz", meld_raw())
    unpack(archive)
    monkeypatch.setattr(unpacking, "_unpack_whole", lambda *_: pytest.fail("unpacks again"))
    unpack(archive)
    archive.unlink()
    assert is_unpacked(archive)


def test_a_run_that_was_killed_goes_on_with_the_archive_in_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of three inner archives is done, the second half: only that one is begun anew."""
    archive = write(tmp_path / "MELD.Raw.tar.gz", meld_raw())
    whole, done = unpacking._write_members, []

    def killed(path: Path, staging: Path) -> tuple[int, int]:
        if path.name == "test.tar.gz":
            write(staging / "half.mp4", b"hal")
            raise KeyboardInterrupt
        done.append(path.name)
        return whole(path, staging)

    monkeypatch.setattr(unpacking, "_write_members", killed)
    monkeypatch.setattr(unpacking.shutil, "rmtree", lambda *_, **__: None)  # a kill clears nothing up
    with pytest.raises(KeyboardInterrupt):
        unpack(archive)
    monkeypatch.undo()
    assert done == ["MELD.Raw.tar.gz", "dev.tar.gz"]
    assert (tmp_path / "MELD.Raw" / ".test.unpacking" / "half.mp4").is_file()
    done.clear()

    def counted(path: Path, staging: Path) -> tuple[int, int]:
        done.append(path.name)
        return whole(path, staging)

    monkeypatch.setattr(unpacking, "_write_members", counted)
    unpack(archive)
    assert done == ["test.tar.gz", "train.tar.gz"]
    assert sorted(name for name in tree(tmp_path / "MELD.Raw")) == [
        "README.txt",
        "dev/dev_splits_complete/dia0_utt0.mp4",
        "test/output_repeated_splits_test/dia0_utt0.mp4",
        "train/train_splits/dia0_utt0.mp4",
    ]


def test_a_folder_that_somebody_else_made_is_not_touched(tmp_path: Path) -> None:
    write(tmp_path / "a" / "mine.txt", b"mine")
    archive = write(tmp_path / "a.zip", zip_bytes({"y.txt": b"1"}))
    with pytest.raises(DownloadError, match=r"a is there, and was not unpacked from a\.zip by this command: move it"):
        unpack(archive)
    assert tree(tmp_path / "a") == {"mine.txt": b"mine"}


def test_another_edition_is_not_taken_for_this_one(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", zip_bytes({"y.txt": b"1"}))
    unpack(archive, "0" * 64)
    with pytest.raises(DownloadError, match=r"a was unpacked from another edition of a\.zip: remove that folder"):
        unpack(archive, "1" * 64)


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/tmp/out.txt", "..\\out.txt", "C:\\out.txt", "\\x"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    for path, data in (("t/a.tar", tar_bytes({"plain.txt": b"", name: b"out"}, "w")), ("z/a.zip", b"")):
        if path.endswith("zip"):
            data = zip_bytes({"plain.txt": b"", name: b"out"})
            if "\\" in name:  # as it was written, where this system's own separator is another
                assert name.encode() in data
        assert f"{name!r} leads out of its folder" in refused(write(tmp_path / path, data))


@pytest.mark.parametrize(
    ("hostile", "why"),
    [
        (member("link", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (member("link", tarfile.SYMTYPE, "plain.txt"), "is a link"),
        (member("link", tarfile.LNKTYPE, "plain.txt"), "is a link"),
        (member("pipe", tarfile.FIFOTYPE), "is a device"),
        (member("disk", tarfile.BLKTYPE), "is a device"),
        (member("tty", tarfile.CHRTYPE), "is a device"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, hostile: tarfile.TarInfo, why: str) -> None:
    message = refused(write(tmp_path / "t" / "a.tar", tar_of(hostile)))
    assert f"{hostile.name!r} {why}" in message
    assert "if you trust it, unpack it by hand" in message


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "z" / "a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert "'link' is a link or a device" in refused(path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"y.txt": b"1"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + offset
        struct.pack_into("<H", data, at, struct.unpack_from("<H", data, at)[0] | 1)
    assert "'y.txt' is encrypted" in refused(write(tmp_path / "z" / "a.zip", bytes(data)))


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_SMALL", 1_000_000)
    bomb = {"zeros.bin": bytes(20_000_000)}
    assert "more than 200 times its own size" in refused(write(tmp_path / "z" / "a.zip", zip_bytes(bomb)))
    assert "more than 200 times its own size" in refused(write(tmp_path / "t" / "a.tar.gz", tar_bytes(bomb)))


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    """Its list says 10 bytes where 20 MB come: what is counted is what comes."""
    data = bytearray(zip_bytes({"zeros.bin": bytes(20_000_000)}))
    at = data.index(b"PK\x01\x02") + 24
    struct.pack_into("<I", data, at, 10)
    assert "is damaged" in refused(write(tmp_path / "z" / "a.zip", bytes(data)))


def test_many_empty_files_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_SMALL", 100_000)
    monkeypatch.setattr(unpacking, "_RATIO", 0)
    assert "times its own size" in refused(
        write(tmp_path / "t" / "a.tar.gz", tar_bytes({f"{number}.txt": b"" for number in range(100)}))
    )


def test_a_full_disk_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "free_bytes", lambda _: unpacking._KEPT_FREE + 5000)
    archive = write(tmp_path / "t" / "a.tar", tar_bytes({"y.bin": bytes(2000)}, "w"))
    assert "the disk has no room for what it holds: make room" in refused(archive)


def test_archives_in_archives_end(tmp_path: Path) -> None:
    data = zip_bytes({"y.txt": b"1"})
    for depth in range(4):
        data = zip_bytes({f"a{depth}.zip": data})
    with pytest.raises(DownloadError, match="is an archive in archives 3 deep"):
        unpack(write(tmp_path / "a.zip", data))


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.xz", "tar", "zip"])
@pytest.mark.parametrize("cut", [0, 10, -20])
def test_a_damaged_archive_is_one_line(tmp_path: Path, suffix: str, cut: int) -> None:
    mode = {"tar.gz": "w:gz", "tar.xz": "w:xz", "tar": "w"}.get(suffix)
    files = {"x/y.bin": bytes(range(256)) * 300}
    data = tar_bytes(files, mode) if mode else zip_bytes(files)
    cut = cut if suffix != "tar" or cut >= 0 else 40_000
    message = refused(write(tmp_path / "t" / f"a.{suffix}", data[:cut]))
    assert "is damaged" in message
    assert "remove it, and give the same command" in message


def test_a_wrong_checksum_of_gzip_is_seen(tmp_path: Path) -> None:
    data = bytearray(tar_bytes({"y.bin": bytes(range(256))}))
    data[-8] ^= 1
    assert "CRC check failed" in refused(write(tmp_path / "t" / "a.tar.gz", bytes(data)))
