"""Fetching a file: it goes on where it stopped, is never two files in one, and is checked before it appears."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_servers import Site, closed_port, drops, raw_server, serving, silent

from features.errors import NetworkError
from features.network.fetch import Fetched, Wanted, fetch_file
from features.network.part_file import PartFile

BODY = bytes(range(256)) * 12_000  # 3 MB: three times what counts as progress
OTHER = bytes(reversed(BODY))


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site({"/file.bin": BODY})) as site:
        yield site


def fetch(site: Site, path: Path, **wanted: object) -> Fetched:
    return fetch_file(Wanted(f"{site.url}/file.bin", **wanted), path, "the file", pause=lambda seconds: None)  # type: ignore[arg-type]


def stop_half_way(site: Site, path: Path) -> None:
    """A first try of which half comes."""
    site.drop_at, site.ranges = len(BODY) // 2, False
    with pytest.raises(NetworkError, match=r"ended the connection .*4 times in a row.*are kept in .*file\.bin\.part"):
        fetch(site, path)
    site.drop_at, site.ranges = None, True
    site.asked.clear()
    assert not path.exists()
    assert path.with_name("file.bin.part").stat().st_size == len(BODY) // 2


def left(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_file_arrives_whole_and_leaves_nothing_else(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.bin"
    fetched = fetch(site, path)
    assert path.read_bytes() == BODY
    assert fetched == Fetched(len(BODY), hashlib.sha256(BODY).hexdigest(), site.etag(BODY))
    assert left(path) == ["file.bin"]
    assert capsys.readouterr().err == f"erc: downloading the file (3.1 MB) to {tmp_path}\n"


def test_a_connection_that_drops_once_costs_only_the_rest(site: Site, tmp_path: Path) -> None:
    site.drop_at, site.once = 1_500_000, True
    fetch(site, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert [asked for _, asked in site.asked] == [None, "bytes=1500000-"]


def test_a_server_that_drops_again_and_again_but_gives_more_each_time_is_gone_on_with(
    site: Site, tmp_path: Path
) -> None:
    site.drop_at = 1 << 20
    site.files["/file.bin"] = BODY * 3
    fetch(site, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == BODY * 3
    assert len(site.asked) == 9


def test_a_second_run_goes_on_where_the_first_stopped(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    stop_half_way(site, path)
    assert fetch(site, path).sha256 == hashlib.sha256(BODY).hexdigest()
    assert path.read_bytes() == BODY
    assert site.asked == [("/file.bin", f"bytes={len(BODY) // 2}-")]
    assert left(path) == ["file.bin"]


def test_a_server_without_ranges_sends_it_all_again(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    stop_half_way(site, path)
    site.ranges = False
    fetch(site, path)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("heeds", [True, False])
def test_a_file_that_changed_between_two_runs_is_not_pieced_together(site: Site, tmp_path: Path, heeds: bool) -> None:
    path = tmp_path / "file.bin"
    stop_half_way(site, path)
    site.files["/file.bin"], site.heeds = OTHER, heeds
    fetch(site, path)
    assert path.read_bytes() == OTHER
    assert len(site.asked) == (1 if heeds else 2)  # If-Range saves the second question


def test_without_an_etag_nothing_is_pieced_together(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    site.etags = False
    stop_half_way(site, path)
    site.files["/file.bin"] = OTHER
    fetch(site, path)
    assert path.read_bytes() == OTHER
    assert site.asked == [("/file.bin", None)]


def test_pieces_that_the_server_passed_for_one_file_are_found_by_the_checksum(site: Site, tmp_path: Path) -> None:
    """A server that ignores If-Range and keeps the ETag of a file that it has replaced."""
    path = tmp_path / "file.bin"
    stop_half_way(site, path)
    etag = site.etag(BODY)
    site.files["/file.bin"], site.heeds = OTHER, False
    site.etag = lambda body: etag  # type: ignore[method-assign]
    fetch(site, path, digest=("sha256", hashlib.sha256(OTHER).hexdigest()))
    assert path.read_bytes() == OTHER
    assert [asked for _, asked in site.asked] == [f"bytes={len(BODY) // 2}-", None]


def test_bytes_from_another_address_are_let_go(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    site.etag = lambda body: '"the same everywhere"'  # type: ignore[method-assign]
    stop_half_way(site, path)
    site.files["/mirror/file.bin"] = OTHER
    fetch_file(Wanted(f"{site.url}/mirror/file.bin"), path, "the file")
    assert path.read_bytes() == OTHER


def test_a_part_that_had_everything_is_finished(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    stop_half_way(site, path)
    with path.with_name("file.bin.part").open("ab") as part:
        part.write(BODY[len(BODY) // 2 :])
    fetch(site, path)
    assert path.read_bytes() == BODY
    assert site.asked == [("/file.bin", f"bytes={len(BODY)}-")]


def test_a_part_with_more_than_the_whole_is_let_go(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    stop_half_way(site, path)
    with path.with_name("file.bin.part").open("ab") as part:
        part.write(BODY)
    fetch(site, path)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("digest", "message"),
    [
        (("sha256", "0" * 64), rf"its sha256 is {hashlib.sha256(BODY).hexdigest()}, not 0000"),
        (("sha256", "0123abcd"), rf"its sha256 is {hashlib.sha256(BODY).hexdigest()[:8]}, not 0123abcd"),
        (("md5", "0" * 32), r"its md5 is [0-9a-f]{32}, not 0000"),
    ],
)
def test_a_file_with_another_checksum_is_not_kept(
    site: Site, tmp_path: Path, digest: tuple[str, str], message: str
) -> None:
    path = tmp_path / "file.bin"
    with pytest.raises(NetworkError, match=f"is not the file that is wanted: {message}") as raised:
        fetch(site, path, digest=digest)
    assert "\n" not in str(raised.value)
    assert left(path) == []


def test_md5_is_checked_too(site: Site, tmp_path: Path) -> None:
    fetch(site, tmp_path / "file.bin", digest=("md5", hashlib.md5(BODY).hexdigest()))
    assert (tmp_path / "file.bin").read_bytes() == BODY


def test_another_size_than_the_cards_is_told_before_anything_is_fetched(site: Site, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"it has 3,072,000 bytes, not 5: it has changed"):
        fetch(site, tmp_path / "file.bin", size=5)
    assert not (tmp_path / "file.bin").exists()


def test_a_server_that_tells_a_length_that_never_comes_is_given_up(site: Site, tmp_path: Path) -> None:
    site.length = len(BODY) + 1000
    with pytest.raises(NetworkError, match="4 times in a row"):
        fetch(site, tmp_path / "file.bin")
    assert not (tmp_path / "file.bin").exists()


def test_a_length_that_is_too_short_is_found_by_the_size_of_the_card(site: Site, tmp_path: Path) -> None:
    site.length = 1000
    with pytest.raises(NetworkError, match=r"it has 1,000 bytes, not 3,072,000"):
        fetch(site, tmp_path / "file.bin", size=len(BODY))
    assert not (tmp_path / "file.bin").exists()


@pytest.mark.parametrize(("status", "mend"), [(404, "check the address"), (403, "leave, or a login"), (503, "later")])
def test_a_refusal_is_one_line_with_the_mend(site: Site, tmp_path: Path, status: int, mend: str) -> None:
    site.status = status
    with pytest.raises(NetworkError, match=rf"^{site.url}/file\.bin: the server answers {status} .*: .*{mend}$"):
        fetch(site, tmp_path / "file.bin")
    assert len(site.asked) == 1


def test_too_little_room_is_told_before_the_download(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("features.network.telling.free_bytes", lambda folder: 1_000_000)
    with pytest.raises(NetworkError, match=r"^the file needs 3\.1 MB, and 1\.0 MB are free at .*: make room"):
        fetch(site, tmp_path / "file.bin")


def test_a_full_disk_is_told_at_once_and_what_came_is_kept(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, file: object) -> None:
            self.file = file

        def write(self, block: bytes) -> int:
            raise OSError(28, "No space left on device")

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    opened = PartFile._opened
    monkeypatch.setattr(PartFile, "_opened", lambda self: Full(opened(self)))
    with pytest.raises(NetworkError, match="cannot be written: No space left on device: make room"):
        fetch(site, tmp_path / "file.bin")
    assert len(site.asked) == 1


def _hold(url: str, path: Path, ready: object, done: object) -> None:
    with PartFile(path, url):
        ready.set()  # type: ignore[attr-defined]
        done.wait()  # type: ignore[attr-defined]


def test_two_processes_do_not_write_one_part(site: Site, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(site.url, tmp_path / "file.bin", ready, done))
    other.start()
    ready.wait()
    try:
        with pytest.raises(NetworkError, match="another process is downloading it"):
            fetch(site, tmp_path / "file.bin")
    finally:
        done.set()
        other.join()


def test_who_never_answers_is_told_once_and_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERC_NETWORK_TIMEOUT", "0.2")
    with raw_server(silent) as host, pytest.raises(NetworkError, match=r"^127\.0\.0\.1 gave no answer within 0\.2 s"):
        fetch_file(Wanted(f"http://{host}/file.bin"), tmp_path / "file.bin", "the file")
    with raw_server(drops) as host, pytest.raises(NetworkError, match="ended the connection before"):
        fetch_file(Wanted(f"http://{host}/file.bin"), tmp_path / "file.bin", "the file")
    with pytest.raises(NetworkError, match="refuses connections"):
        fetch_file(Wanted(f"http://{closed_port()}/file.bin"), tmp_path / "file.bin", "the file")
