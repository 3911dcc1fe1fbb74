"""Clips that cannot be found take nothing with them: a disk that is not mounted, clips that are gone, a link."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_factory import sine, write_clip
from store_factory import make_manifest

from features.manifest import read_manifest, write_manifest
from features.store import Store
from features.store.garbage import plan_garbage
from pipeline.cli import erc, run

NUM_CLIPS = 8


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest, eight clips in `media`, and a store with the waveform of each."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "media").mkdir()
    for number in range(NUM_CLIPS):
        sound = sine(0.1, 16000, 200 + 50 * number)
        write_clip(folder / f"media/{number}.wav", samples=sound, rate_hz=16000, audio_codec="pcm_s16le")
    manifest = make_manifest(NUM_CLIPS, media=lambda number: f"{number}.wav")
    write_manifest(replace(manifest, media_root=folder / "media"), folder / "manifest.parquet")
    assert run(erc, arguments(folder, "waveform"), "erc") == 0
    return folder


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "corpus")
    return tmp_path / "corpus"


def arguments(folder: Path, encoder: str, *flags: str) -> list[str]:
    paths = ["--manifest", str(folder / "manifest.parquet"), "--store", str(folder / "store")]
    return ["extract", "--encoder", encoder, "--workers", "0", *paths, *flags]


@pytest.fixture
def extract(corpus: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run_it(*flags: str, encoder: str = "waveform") -> tuple[int, str, str]:
        """Exit status, stdout and stderr."""
        status = run(erc, arguments(corpus, encoder, *flags), "erc")
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_it


def content(folder: Path) -> dict[str, bytes]:
    """Every file and folder of the store."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def shards(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if not Path(name).name.startswith(".")}


def assert_readable(corpus: Path, made: Path) -> None:
    """Every embedding is there as it was, also by the manifest, and nothing of it is garbage."""
    manifest = read_manifest(made / "manifest.parquet")
    whole = Store(made / "store").features()[0].read_sequences(manifest.ids)
    for store in (Store(corpus / "store"), Store(corpus / "store", read_manifest(corpus / "manifest.parquet"))):
        (feature,) = store.features()
        rows = feature.read_sequences(manifest.ids)
        for one, other in zip(rows, whole, strict=True):
            assert one is not None
            assert other is not None
            np.testing.assert_array_equal(one, other)
    assert plan_garbage(corpus / "store").items == []


# The media root.


def unmount(root: Path) -> str:
    root.rename(root.with_name("elsewhere"))
    return "does not exist"


def leave_a_mount_point(root: Path) -> str:
    unmount(root)
    root.mkdir()
    return "is an empty folder"


def put_a_file(root: Path) -> str:
    unmount(root)
    root.write_text("no folder", encoding="utf-8")
    return "is no folder"


@pytest.mark.parametrize("encoder", ["waveform", "hog-colour"])
@pytest.mark.parametrize("flags", [[], ["--dry-run"], ["--json"], ["--limit", "2"], ["--shard", "1/2"]])
@pytest.mark.parametrize("event", [unmount, leave_a_mount_point, put_a_file])
def test_without_the_media_root_nothing_is_begun(
    corpus: Path, made: Path, extract: Any, event: Callable[[Path], str], flags: list[str], encoder: str
) -> None:
    said = event(corpus / "media")
    before = content(corpus / "store")
    status, out, err = extract(*flags, encoder=encoder)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == (
        f"erc: media root {corpus / 'media'}: {said}, and {corpus / 'manifest.parquet'} names clips in it: mount the"
        " disk that holds them, or give --media-root DIR"
    )
    assert content(corpus / "store") == before
    assert_readable(corpus, made)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_media_root_that_cannot_be_looked_at(
    corpus: Path, extract: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = Path.stat

    def stat(path: Path, **options: Any) -> Any:
        if path == corpus / "media":
            raise OSError(number, "no answer")
        return real(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    before = content(corpus / "store")
    status, _, err = extract()
    assert status == 1
    assert f"media root {corpus / 'media'}: cannot be looked at (no answer)" in err
    assert content(corpus / "store") == before


def test_a_root_that_is_given_is_the_one_that_must_be_there(corpus: Path, made: Path, extract: Any) -> None:
    status, _, err = extract("--media-root", "/does/not/exist")
    assert status == 1
    assert "media root /does/not/exist: does not exist" in err
    unmount(corpus / "media")
    assert extract("--media-root", str(corpus / "elsewhere"))[0] == 0
    assert_readable(corpus, made)


def test_no_new_store_is_made(corpus: Path) -> None:
    unmount(corpus / "media")
    shutil.rmtree(corpus / "store")
    assert run(erc, arguments(corpus, "waveform"), "erc") == 1
    assert not (corpus / "store").exists()


def test_who_reads_no_clips_needs_no_root(corpus: Path, extract: Any) -> None:
    unmount(corpus / "media")
    assert extract(encoder="surface")[0] == 0
    manifest = read_manifest(corpus / "manifest.parquet")
    without = manifest.frame.with_columns(media=None)
    write_manifest(replace(manifest, frame=without.select(manifest.frame.columns)), corpus / "manifest.parquet")
    status, out, _ = extract(encoder="logmel")
    assert (status, "8 no-media" in out) == (0, True)


# Some of the clips.


def hide(corpus: Path, count: int) -> None:
    for number in range(count):
        (corpus / f"media/{number}.wav").rename(corpus / f"media/{number}.hidden")


@pytest.mark.parametrize(
    ("count", "note"), [(1, "1 clip is gone, its row stays"), (4, "4 clips are gone, their rows stay")]
)
def test_up_to_half_of_the_clips_may_be_gone_and_their_embeddings_stay(
    corpus: Path, made: Path, extract: Any, count: int, note: str
) -> None:
    hide(corpus, count)
    before = shards(corpus / "store")
    for flags in (["--dry-run"], [], ["--retry-failed"], ["--rehash"]):
        status, out, _ = extract(*flags)
        assert (status, out.splitlines()[0].rpartition("; ")[2]) == (0, note)
        assert "0 of 8 utterances left" in out
    status, out, _ = extract("--json")
    (feature,) = json.loads(out)["features"]
    assert (status, feature["clips_gone"], feature["clips_unread"], feature["left_before"]) == (0, count, 0, 0)
    assert shards(corpus / "store") == before
    assert_readable(corpus, made)


def test_where_most_are_gone_it_stops_and_a_flag_lets_it_go_on(corpus: Path, made: Path, extract: Any) -> None:
    hide(corpus, 5)
    before = shards(corpus / "store")
    for flags in ([], ["--dry-run"], ["--rehash"], ["--limit", "1"], ["--shard", "2/2"]):
        status, out, err = extract(*flags)
        assert (status, out) == (1, "")
        assert err.splitlines()[-1] == (
            f"erc: {corpus / 'media'}: 5 of the 8 clips that have embeddings are gone, first 0.wav: mount the disk that"
            " holds them, or give --media-root DIR; with --clips-gone extraction goes on and keeps their embeddings"
        )
        assert shards(corpus / "store") == before
    status, out, _ = extract("--clips-gone")
    assert (status, "5 clips are gone, their rows stay" in out) == (0, True)
    assert shards(corpus / "store") == before
    assert_readable(corpus, made)


def test_an_empty_root_will_do_where_clips_may_be_gone(corpus: Path, made: Path, extract: Any) -> None:
    leave_a_mount_point(corpus / "media")
    status, out, _ = extract("--clips-gone")
    assert (status, "8 clips are gone, their rows stay" in out) == (0, True)
    assert_readable(corpus, made)


def test_a_manifest_that_names_other_clips_which_are_not_there_is_no_way_round(corpus: Path, extract: Any) -> None:
    manifest = read_manifest(corpus / "manifest.parquet")
    renamed = manifest.frame.with_columns(media="sub/" + manifest.frame["media"])
    write_manifest(replace(manifest, frame=renamed), corpus / "manifest.parquet")
    before = shards(corpus / "store")
    status, _, err = extract()
    assert (status, "8 of the 8 clips that have embeddings are gone" in err) == (1, True)
    assert shards(corpus / "store") == before


def test_clips_that_come_back_are_the_same(corpus: Path, made: Path, extract: Any) -> None:
    hide(corpus, 4)
    extract()
    for path in (corpus / "media").glob("*.hidden"):
        path.rename(path.with_suffix(".wav"))
    status, out, _ = extract()
    assert (status, out.splitlines()[0].endswith("0 of 8 utterances left, in 0 chunks")) == (0, True)
    assert_readable(corpus, made)


def test_a_clip_that_cannot_be_read_to_compare_it_keeps_its_row(
    corpus: Path, made: Path, extract: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (corpus / "media").iterdir():
        os.utime(path)
    real = Path.open

    def open_it(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "3.wav":
            raise OSError(errno.EIO, "the disk is damaged")
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_it)
    before = shards(corpus / "store")
    status, out, err = extract()
    assert (status, err) == (0, "")
    assert out.splitlines()[0].endswith("0 of 8 utterances left, in 0 chunks; 1 clip is unreadable, its row stays")
    status, out, _ = extract("--json")
    (feature,) = json.loads(out)["features"]
    assert (status, feature["clips_unread"], feature["clips_gone"], feature["left_before"]) == (0, 1, 0, 0)
    assert shards(corpus / "store") == before
    assert_readable(corpus, made)


# A manifest behind a link.


def test_a_manifest_behind_a_link_names_the_same_clips(corpus: Path, made: Path, tmp_path: Path, extract: Any) -> None:
    real = corpus / "manifest.parquet"
    link = tmp_path / "links/of/mine.parquet"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert read_manifest(link).media_path("0.wav") == read_manifest(real).media_path("0.wav") == corpus / "media/0.wav"
    status, out, _ = extract("--manifest", str(link))
    assert (status, "0 of 8 utterances left" in out) == (0, True)
    shutil.rmtree(corpus / "store")
    assert extract("--manifest", str(link))[0] == 0
    assert "0 of 8 utterances left" in extract()[1]
    assert_readable(corpus, made)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_default_root_of_a_table_is_the_folder_of_the_file_itself(
    corpus: Path, tmp_path: Path, extract: Any, kind: str
) -> None:
    table = write_manifest(read_manifest(corpus / "manifest.parquet"), corpus / f"media/table.{kind}")
    link = tmp_path / f"link.{kind}"
    link.symlink_to(table)
    assert read_manifest(link).media_root == read_manifest(table).media_root == corpus / "media"
    for path in (link, table):
        assert "0 of 8 utterances left" in extract("--manifest", str(path))[1]
