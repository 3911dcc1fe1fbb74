"""Nothing but regular files below media_root is read, whatever a path looks like or links to."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bad_preparers import Behaving
from bomb_factory import png
from clip_factory import every, number_of, utterance, write_clip
from manifest_rows import build, row
from store_factory import make_manifest
from test_hanging_clip import ClipEncoder

from features.engines.clip_task import ClipReader, ClipTask, process_clip
from features.engines.decode_pool import DecodeOptions
from features.errors import ManifestError, Reason, UnavailableError
from features.extract import extract_features, plan_extraction
from features.manifest import Manifest
from features.media import container as media_container
from features.media.clip import check_inside, decode_clip
from features.media.needs import ClipNeeds, FramesNeed
from features.store import Feature
from features.store.plan import PlanOptions
from pipeline.ingest.probe import clip_seconds, probe_clips

FRAMES = FramesNeed(5, 30.0)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """root/clip.mp4 and root/sub, links to it and to ../outside/clip.mp4; linked-root leads to root."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "sub", outside, tmp_path / "root-beside"):
        folder.mkdir(parents=True)
    for path in (root / "clip.mp4", outside / "clip.mp4", tmp_path / "root-beside" / "clip.mp4"):
        write_clip(path, times_ms=every(40, 25))
    (root / "inside.mp4").symlink_to("clip.mp4")
    (root / "sub" / "up.mp4").symlink_to("../clip.mp4")
    (root / "twice.mp4").symlink_to("sub/up.mp4")
    (root / "out.mp4").symlink_to("../outside/clip.mp4")
    (root / "out-absolute.mp4").symlink_to(outside / "clip.mp4")
    (root / "folder-out").symlink_to(outside)
    (root / "beside.mp4").symlink_to("../root-beside/clip.mp4")
    (root / "chain.mp4").symlink_to("out.mp4")
    (root / "dangling.mp4").symlink_to("nowhere.mp4")
    (root / "dangling-out.mp4").symlink_to("/nowhere.mp4")
    (root / "circle.mp4").symlink_to("circle.mp4")
    (tmp_path / "linked-root").symlink_to(root)
    return root


STAYING = ["clip.mp4", "inside.mp4", "sub/up.mp4", "twice.mp4"]
LEAVING = ["out.mp4", "out-absolute.mp4", "folder-out/clip.mp4", "beside.mp4", "chain.mp4", "dangling-out.mp4"]
OTHER = {"dangling.mp4": "no-file", "circle.mp4": "undecodable"}


def extract(manifest: Manifest, store: Path, follow: bool = False, workers: int = 0, **options: Any) -> Feature:
    decoding = DecodeOptions(workers, follow_symlinks=follow)
    jobs = extract_features(manifest, store, [ClipEncoder()], PlanOptions(**options), decoding=decoding)
    return Feature(store, jobs[0].key)


@pytest.mark.parametrize("root_name", ["root", "linked-root"])
def test_links_that_lead_out_cost_one_row_each(tree: Path, tmp_path: Path, root_name: str) -> None:
    names = [*STAYING, *LEAVING, *OTHER]
    manifest = make_manifest(len(names), media=lambda number: names[number], text="")
    manifest = replace(manifest, media_root=tmp_path / root_name)
    feature = extract(manifest, tmp_path / "store", workers=1)
    expected = [None] * len(STAYING) + ["outside-root"] * len(LEAVING) + list(OTHER.values())
    assert feature.read(manifest.ids).reason == expected
    ledger = feature.ledger()
    assert ledger["status"][len(STAYING)] == "failed"
    detail = ledger["detail"][len(STAYING)]
    assert f"out.mp4 leads to {tmp_path}/outside/clip.mp4, outside {tmp_path}/root" in detail
    assert "--follow-symlinks --retry-failed" in detail
    feature = extract(manifest, tmp_path / "store", follow=True, retry_failed=True)
    followed = [None] * (len(STAYING) + len(LEAVING) - 1) + ["no-file", *OTHER.values()]
    assert feature.read(manifest.ids).reason == followed


def test_where_nothing_is_said_of_a_root_links_are_followed(tree: Path) -> None:
    readers = {"one": ClipReader(ClipNeeds(frames=FRAMES), Behaving())}
    outcome = process_clip(ClipTask(utterance(), tree / "out.mp4", ("one",)), readers).outcomes["one"]
    assert not isinstance(outcome, UnavailableError)


def test_planning_resolves_no_path(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million clips: one question each about size and mtime is enough."""
    manifest = replace(make_manifest(40, media="inside.mp4", text=""), media_root=tree)
    extract(manifest, tmp_path / "store", limit=20)

    def refuse(path: object, **options: object) -> str:
        raise AssertionError(f"{path} was resolved")

    monkeypatch.setattr(os.path, "realpath", refuse)
    jobs = plan_extraction(manifest, tmp_path / "store", [ClipEncoder()], PlanOptions())
    assert jobs[0].plan.left == 20


def test_the_root_of_the_file_system_holds_everything(tree: Path) -> None:
    check_inside(tree / "out.mp4", Path("/"))


@pytest.mark.parametrize(
    ("media", "problem"),
    [
        ("/etc/passwd", "is absolute"),
        ("../outside/clip.mp4", "leaves media_root"),
        ("sub/../../outside/clip.mp4", "leaves media_root"),
        ("sub\\..\\..\\outside", "leaves media_root"),
        ("sub\\clip.mp4", "has a backslash"),
        ("C:\\clip.mp4", "is absolute"),
        ("C:clip.mp4", "is absolute"),
        ("\\\\server\\clip.mp4", "is absolute"),
        ("~/clip.mp4", "is absolute"),
        ("clip\0.mp4", "control characters"),
        ("clip\n.mp4", "control characters"),
        (".", "names no file"),
    ],
)
def test_paths_that_a_manifest_may_not_hold(media: str, problem: str) -> None:
    with pytest.raises(ManifestError, match=problem):
        build(row(media=media))


def test_a_name_that_no_file_system_has(tree: Path) -> None:
    """Manifests refuse it; should one come from elsewhere, it costs its own row."""
    readers = {"one": ClipReader(ClipNeeds(frames=FRAMES), Behaving())}
    for root in (tree, None):
        result = process_clip(ClipTask(utterance(), tree / "clip\0.mp4", ("one",), root), readers)
        error = result.outcomes["one"]
        assert isinstance(error, UnavailableError)
        assert error.reason is Reason.UNDECODABLE
        assert "null byte" in error.detail


# Names that FFmpeg might take for something else than a file. Each exists, and so does what it would otherwise mean.
ODD_NAMES = [
    "-i.mp4",
    "file:clip.mp4",
    "subfile,,start,0,end,100,,:clip.mp4",
    "concat:clip.mp4|clip.mp4",
    "crypto:clip.mp4",
    "async:clip.mp4",
    "pipe:0",
    "http:host.mp4",
    "data:video,mp4",
    "%d.mp4",
    "%03d.mp4",
    "*.mp4",
    "a b?c=d&e#f.mp4",
    "'quoted'.mp4",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_nothing_but_a_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # so that the name stands alone
    write_clip(tmp_path / "clip.mp4", times_ms=every(40, 5))
    for number in range(3):
        write_clip(tmp_path / f"{number:03d}.mp4", times_ms=every(40, 5))
    write_clip(tmp_path / "source.mp4", times_ms=every(40, 100)).rename(tmp_path / name)
    build(row(media=name))  # a manifest may hold it
    frames = decode_clip(Path(name), utterance(), [ClipNeeds(frames=FRAMES)]).frames(FRAMES)
    assert [number_of(picture) for picture in frames.pixels] == [10, 30, 50, 70, 90]
    assert clip_seconds(Path(name), Path()) == pytest.approx(4.0)


@pytest.mark.parametrize("media", ["http://127.0.0.1:9/clip.mp4", "concat:/etc/passwd", "tcp://127.0.0.1:9"])
def test_a_url_is_a_file_that_is_not_there(tmp_path: Path, media: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.open", lambda *arguments, **options: pytest.fail("it was opened"))
    with pytest.raises(UnavailableError, match="no-file") as caught:
        decode_clip(tmp_path / media, utterance(), [ClipNeeds(frames=FRAMES)])
    assert caught.value.reason is Reason.NO_FILE


def test_no_protocol_but_files_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A playlist that holds its clip by another protocol: FFmpeg would read it, if it were let."""
    monkeypatch.setattr(media_container, "_PLAYLISTS", frozenset())
    clip = write_clip(tmp_path / "a.ts", times_ms=every(40, 5))
    held = base64.b64encode(clip.read_bytes()).decode()
    path = tmp_path / "list.m3u8"
    for address, is_file in ((str(clip), True), (f"data:video/mp2t;base64,{held}#.ts", False)):
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{address}\n#EXT-X-ENDLIST\n")
        if is_file:
            assert len(decode_clip(path, utterance(), [ClipNeeds(frames=FRAMES)]).frames(FRAMES).pixels) == 5
            continue
        with pytest.raises(UnavailableError, match=r"undecodable: .*Invalid data"):
            decode_clip(path, utterance(), [ClipNeeds(frames=FRAMES)])


def test_a_pattern_of_pictures_is_refused(tmp_path: Path) -> None:
    """FFmpeg would read other files than the one that was hashed."""
    png(tmp_path / "picture1.png", 8, 8)
    path = png(tmp_path / "picture%d.png", 16, 16)
    with pytest.raises(UnavailableError, match=r"is a playlist \(image2\), not a clip") as caught:
        decode_clip(path, utterance(), [ClipNeeds(frames=FRAMES)])
    assert caught.value.reason is Reason.UNDECODABLE


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "fifo": make_fifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "linked fifo": lambda path: (os.mkfifo(path.with_name("pipe")), path.symlink_to("pipe"))[1],
}


@pytest.mark.skipif(sys.platform != "linux", reason="special files as Linux has them")
@pytest.mark.parametrize("kind", list(SPECIAL))
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    """To open a FIFO waits for who writes to it, to read /dev/zero never ends."""
    path = tmp_path / "clip.mp4"
    SPECIAL[kind](path)
    manifest = replace(make_manifest(1, media="clip.mp4", text=""), media_root=tmp_path)
    for rehash in (False, True):  # planning reads no such file either
        feature = extract(manifest, tmp_path / "store", follow=True, rehash=rehash, retry_failed=True)
        (row,) = feature.ledger().iter_rows(named=True)
        assert (row["status"], row["reason"]) == ("failed", "undecodable")
        assert "is not a regular file" in row["detail"]
    assert clip_seconds(path) == "not a regular file"


def test_probing_clips_treats_links_alike(tree: Path) -> None:
    lengths = probe_clips([tree / name for name in [*STAYING, *LEAVING]], tree)
    assert lengths[: len(STAYING)] == [pytest.approx(1.0)] * len(STAYING)
    assert all(str(length).startswith("outside-root: ") for length in lengths[len(STAYING) :])
    followed = probe_clips([tree / name for name in LEAVING[:-1]])
    assert followed == [pytest.approx(1.0)] * (len(LEAVING) - 1)
