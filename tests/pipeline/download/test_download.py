"""`erc download`: from a card to the `ingest` to type, over each kind of source, again and again."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from archive_factory import meld_raw, tar_bytes, zip_bytes
from http_servers import Site, raw_server, serving, silent
from hub_server import COMMIT, Hub, hub_serving, use_hub

from features.cards import DatasetCard, load_card, shipped_cards
from features.errors import DownloadError
from features.extras import install_extra
from features.network.part_file import PartFile
from pipeline.cli import erc, run
from pipeline.download.lock import corpus_lock

TABLE = b"Sr No.,Utterance\n1,Hi.\n"


class Corpus:
    """A card, a folder to download to, and what the command said."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder / "to"
        self.path = folder / "card.yaml"
        self.capsys = capsys

    def card(self, *sources: dict[str, Any], **more: Any) -> None:
        section = {"sources": list(sources), "ingest": "meld {folder} --out m.parquet", **more}
        values = {"dataset": "mine", "title": "Mine", "licence": "CC0", "downloads": section}
        self.path.write_text(yaml.safe_dump(values), encoding="utf-8")

    def download(self, *options: str, status: int = 0) -> tuple[str, str]:
        """Output and errors."""
        found = run(erc, ["download", str(self.path), "--to", str(self.folder), *options], "erc")
        said = self.capsys.readouterr()
        assert found == status, said
        return said.out, said.err

    def files(self) -> set[str]:
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix() for path in paths}


@pytest.fixture
def corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Corpus:
    monkeypatch.setattr("features.network.fetch._PAUSES_S", (0.0, 0.0, 0.0))
    return Corpus(tmp_path, capsys)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site({"/train.csv": TABLE, "/MELD.Raw.tar.gz": meld_raw()})) as site:
        yield site


def addresses(site: Site) -> list[dict[str, Any]]:
    return [
        {"address": f"{site.url}/train.csv", "sha256": hashlib.sha256(TABLE).hexdigest(), "holds": "the table"},
        {"address": f"{site.url}/MELD.Raw.tar.gz", "about_gb": 0.1, "holds": "the clips"},
    ]


def test_a_corpus_is_fetched_unpacked_and_the_next_command_told(corpus: Corpus, site: Site) -> None:
    corpus.card(*addresses(site))
    out, err = corpus.download()
    lines = out.splitlines()
    assert lines[0] == f"Mine is in {corpus.folder}."
    assert "is unpacked, and may be removed" in lines[1]
    assert lines[-2:] == ["licence: CC0", f"next: erc ingest meld {corpus.folder} --out m.parquet"]
    assert corpus.files() == {
        "downloads.json",
        "train.csv",
        "MELD.Raw.tar.gz",
        "MELD.Raw/README.txt",
        "MELD.Raw/.unpacked.json",
        *(f"MELD.Raw/{split}/.unpacked.json" for split in ("train", "dev", "test")),
        "MELD.Raw/train/train_splits/dia0_utt0.mp4",
        "MELD.Raw/dev/dev_splits_complete/dia0_utt0.mp4",
        "MELD.Raw/test/output_repeated_splits_test/dia0_utt0.mp4",
    }
    assert err.startswith(f"erc: downloading train.csv ({len(TABLE)} B) to {corpus.folder}\n")
    record = json.loads((corpus.folder / "downloads.json").read_text())
    assert record["files"]["MELD.Raw.tar.gz"]["sha256"] == hashlib.sha256(site.files["/MELD.Raw.tar.gz"]).hexdigest()


def test_meld_is_found_by_ingest_as_it_is_downloaded(corpus: Corpus, site: Site) -> None:
    from pipeline.ingest.clips import find_clips, find_table

    site.files["/train_sent_emo.csv"] = TABLE
    corpus.card({"address": f"{site.url}/train_sent_emo.csv"}, addresses(site)[1])
    corpus.download()
    assert find_table(corpus.folder, "train") == corpus.folder / "train_sent_emo.csv"
    for split, names in load_card("meld").folders.items():
        found = find_clips(corpus.folder, split, names)
        assert found is not None
        assert found.clips == {(0, 0): "dia0_utt0.mp4"}


def test_a_second_run_fetches_nothing_and_holds_the_files_against_the_record(corpus: Corpus, site: Site) -> None:
    corpus.card(*addresses(site))
    corpus.download()
    site.asked.clear()
    out, err = corpus.download()
    assert site.asked == []
    assert err == ""
    assert "may be removed" not in out
    (corpus.folder / "MELD.Raw.tar.gz").write_bytes(b"other")
    _, err = corpus.download(status=1)
    assert "MELD.Raw.tar.gz is not what was downloaded (sha256 d9298a10" in err
    assert "remove it, and it is fetched again" in err


def test_an_archive_that_was_removed_after_unpacking_is_not_fetched_again(corpus: Corpus, site: Site) -> None:
    corpus.card(*addresses(site))
    corpus.download()
    (corpus.folder / "MELD.Raw.tar.gz").unlink()
    site.asked.clear()
    corpus.download()
    assert site.asked == []


def test_a_file_that_changed_is_held_against_the_card(corpus: Corpus, site: Site) -> None:
    corpus.card(addresses(site)[0])
    corpus.folder.mkdir()
    (corpus.folder / "train.csv").write_bytes(b"old")
    _, err = corpus.download(status=1)
    assert "train.csv is not what its card names (sha256 " in err
    site.files["/train.csv"] = b"new"
    (corpus.folder / "train.csv").unlink()
    _, err = corpus.download(status=1)
    assert f"{site.url}/train.csv is not the file that is wanted: its sha256 is" in err
    assert corpus.files() == set()


def test_what_somebody_brought_is_taken_and_recorded(corpus: Corpus, site: Site) -> None:
    corpus.card(*addresses(site))
    corpus.folder.mkdir()
    (corpus.folder / "MELD.Raw.tar.gz").write_bytes(meld_raw())
    corpus.download()
    assert {path for path, _ in site.asked} == {"/train.csv"}
    assert "MELD.Raw.tar.gz" in json.loads((corpus.folder / "downloads.json").read_text())["files"]


def test_a_download_that_broke_off_goes_on(corpus: Corpus, site: Site) -> None:
    site.files["/MELD.Raw.tar.gz"] = body = tar_bytes({"a.bin": bytes(range(256)) * 8000}, "w")
    site.drop_at, site.ranges = len(body) // 2, False
    corpus.card({"address": f"{site.url}/MELD.Raw.tar.gz", "file": "a.tar"})
    _, err = corpus.download(status=1)
    assert "bytes that have come are kept in" in err
    site.drop_at, site.ranges = None, True
    site.asked.clear()
    out, err = corpus.download("--dry-run")
    assert "1.0 MB to come" in out
    corpus.download()
    assert site.asked[-1] == ("/MELD.Raw.tar.gz", f"bytes={len(body) // 2}-")
    assert (corpus.folder / "a" / "a.bin").read_bytes() == bytes(range(256)) * 8000


def test_list_asks_nobody(corpus: Corpus, site: Site) -> None:
    corpus.card(*addresses(site), by_hand="the rest is secret")
    out, _ = corpus.download("--list")
    assert out.splitlines() == [
        "Mine",
        "  the table: size not known, checksum known",
        f"    {site.url}/train.csv",
        "  the clips: about 100 MB, checksum recorded when it comes",
        f"    {site.url}/MELD.Raw.tar.gz",
        "  by hand: the rest is secret",
        "licence: CC0",
    ]
    assert site.asked == []
    assert not corpus.folder.exists()


def test_dry_run_asks_for_sizes_and_writes_nothing(corpus: Corpus, site: Site) -> None:
    corpus.card(*addresses(site))
    out, _ = corpus.download("--dry-run")
    size = len(site.files["/MELD.Raw.tar.gz"])
    lines = out.splitlines()
    assert lines[0] == f"{len(TABLE)} B to come: {site.url}/train.csv"
    assert lines[1].startswith(f"{size} B to come, about ")
    assert "nothing was fetched" in lines[2]
    assert not corpus.folder.exists()


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_allows_no_head_is_asked_for_the_file(corpus: Corpus, site: Site, status: int) -> None:
    site.no_head = status
    corpus.card(*addresses(site))
    assert "size not known to come" in corpus.download("--dry-run")[0]
    corpus.download()
    assert (corpus.folder / "train.csv").read_bytes() == TABLE


def test_a_disk_that_is_too_small_is_told_before_anything_comes(
    corpus: Corpus, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.download.plan.free_bytes", lambda _: 2 * len(site.files["/MELD.Raw.tar.gz"]))
    corpus.card(*addresses(site))
    _, err = corpus.download(status=1)
    assert "mine needs about" in err
    assert "to unpack), and" in err
    assert corpus.files() == set()


def test_a_server_that_never_answers_is_one_line_with_the_address(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERC_NETWORK_TIMEOUT", "0.3")
    with raw_server(silent) as host:
        corpus.card({"address": f"http://{host}/a.csv"})
        for options in ((), ("--dry-run",)):
            _, err = corpus.download(*options, status=1)
            assert err == (
                f"erc: http://{host}/a.csv cannot be fetched: 127.0.0.1 gave no answer within 0.3 s: try again later"
                " (ERC_NETWORK_TIMEOUT=30 waits longer)\n"
            )


def test_another_corpus_in_the_folder_is_not_mixed_with_this_one(corpus: Corpus, site: Site) -> None:
    corpus.card(addresses(site)[0])
    corpus.download()
    corpus.path.write_text(corpus.path.read_text().replace("dataset: mine", "dataset: yours"))
    _, err = corpus.download(status=1)
    assert f"{corpus.folder} holds mine: give --to another folder for yours" in err


@pytest.mark.parametrize("damaged", ["{", "[]", '{"format": 2, "corpus": "mine"}'])
def test_a_damaged_record_is_one_line(corpus: Corpus, site: Site, damaged: str) -> None:
    corpus.card(addresses(site)[0])
    corpus.folder.mkdir()
    (corpus.folder / "downloads.json").write_text(damaged)
    _, err = corpus.download(status=1)
    assert "downloads.json: cannot be read: remove it" in err


def test_a_dataset_of_the_hub_is_fetched_by_its_patterns(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = {"data/train.csv": TABLE, "clips.zip": zip_bytes({"a.mp4": b"film"}), "other.bin": b"no"}
    with hub_serving(Hub({"datasets/org/corpus": files})) as hub:
        use_hub(monkeypatch, hub.url, tmp_path / "cache")
        corpus.card({"hub": "org/corpus", "allow": ["*.csv", "*.zip"], "holds": "all"})
        out, _ = corpus.download("--dry-run")
        assert f"to come, about {2 * len(files['clips.zip'])} B to unpack: Hugging Face dataset org/corpus" in out
        assert not corpus.folder.exists()
        _, err = corpus.download()
        assert err.startswith("erc: downloading org/corpus (")
        assert {name for name in corpus.files() if not name.startswith(".cache/")} == {
            "downloads.json", "data/train.csv", "clips.zip", "clips/a.mp4", "clips/.unpacked.json",
        }  # fmt: skip
        record = json.loads((corpus.folder / "downloads.json").read_text())
        (source,) = record["sources"].values()
        assert source == {"revision": COMMIT, "files": ["data/train.csv", "clips.zip"]}
        hub.asked.clear()
        corpus.download()
        assert hub.asked == []
        (corpus.folder / "data" / "train.csv").write_bytes(b"other")
        _, err = corpus.download(status=1)
        assert "train.csv is not what was downloaded" in err


def test_a_dataset_that_is_not_on_the_hub_is_one_line(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with hub_serving(Hub({"datasets/org/corpus": {"a.csv": TABLE}})) as hub:
        use_hub(monkeypatch, hub.url, tmp_path / "cache")
        corpus.card({"hub": "org/none"})
        _, err = corpus.download(status=1)
        assert err == (
            "erc: Hugging Face dataset org/none is not there, or private: check the card, or log in (`hf auth login`)\n"
        )
        corpus.card({"hub": "org/corpus", "allow": ["*.zip"]})
        _, err = corpus.download(status=1)
        assert "has no such file: correct `allow` in the card" in err
        monkeypatch.setenv("ERC_NETWORK_TIMEOUT", "0.3")
        hub.silent_at = "/api/"
        _, err = corpus.download(status=1)
        assert "127.0.0.1 gave no answer within 0.3 s" in err
        assert err.count("\n") == 1


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Kaggle answers; what its library brings is put by each test. The handles that were asked for."""
    with serving(Site({"/": b"site"})) as site:
        monkeypatch.setenv("KAGGLE_API_ENDPOINT", f"{site.url}/")
        yield []


def test_a_dataset_of_kaggle_comes_by_its_own_library(
    corpus: Corpus, kaggle: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import kagglehub

    def bring(handle: str, path: str | None = None) -> str:
        import os

        kaggle.append(handle)
        folder = Path(os.environ["KAGGLEHUB_CACHE"]) / "datasets" / handle
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "train.csv").write_bytes(TABLE)
        return str(folder)

    monkeypatch.setattr(kagglehub, "dataset_download", bring)
    corpus.card({"kaggle": "me/corpus", "version": 3, "about_gb": 0.001})
    out, _ = corpus.download()
    assert kaggle == ["me/corpus/versions/3"]
    assert (corpus.folder / "corpus" / "in" / "train.csv").read_bytes() == TABLE
    assert out.splitlines()[-1].startswith("next: erc ingest meld")
    corpus.download()
    assert len(kaggle) == 1


def kaggle_error(kind: str) -> Exception:
    from kagglehub.exceptions import KaggleApiHTTPError, UnauthenticatedError

    if kind == "login":
        return UnauthenticatedError()
    if kind == "reading":
        return requests.exceptions.ReadTimeout("read timed out")
    response = requests.Response()
    response.status_code = int(kind)
    return KaggleApiHTTPError("no", response=response)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("login", "needs a login: make a token"),
        ("403", "needs a login, or your leave"),
        ("404", "is not there: check the card"),
        ("500", "cannot be fetched (KaggleApiHTTPError"),
        ("reading", "gave no answer within"),
    ],
)
def test_what_kaggle_refuses_is_one_line(
    corpus: Corpus, kaggle: list[str], monkeypatch: pytest.MonkeyPatch, kind: str, told: str
) -> None:
    import kagglehub

    def refuse(*_: object, **__: object) -> None:
        raise kaggle_error(kind)

    monkeypatch.setattr(kagglehub, "dataset_download", refuse)
    corpus.card({"kaggle": "me/corpus"})
    _, err = corpus.download(status=1)
    assert told in err
    assert err.count("\n") == 1


def test_without_the_extra_its_install_is_told(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)  # type: ignore[arg-type]  # as if it were not installed
    corpus.card({"kaggle": "me/corpus"})
    _, err = corpus.download(status=1)
    assert f"needs the extra `kaggle`: {install_extra('kaggle')}" in err


def test_kaggle_that_never_answers_is_given_up(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERC_NETWORK_TIMEOUT", "0.3")
    with raw_server(silent) as host:
        monkeypatch.setenv("KAGGLE_API_ENDPOINT", f"http://{host}")
        corpus.card({"kaggle": "me/corpus"})
        _, err = corpus.download(status=1)
        assert "Kaggle dataset me/corpus cannot be fetched: 127.0.0.1 gave no answer within 0.3 s" in err


def test_every_shipped_card_says_where_its_corpus_is_to_be_had(capsys: pytest.CaptureFixture[str]) -> None:
    for name in shipped_cards():
        downloads = load_card(name).downloads
        assert downloads is not None, name
        assert downloads.sources or downloads.by_hand, name
        assert run(erc, ["download", name, "--list"], "erc") == 0
        if not downloads.sources:
            capsys.readouterr()
            assert run(erc, ["download", name], "erc") == 1
            err = capsys.readouterr().err
            assert err.count("\n") == 1
            assert "cannot be downloaded without your help: " in err


@pytest.mark.parametrize("name", ["meld", "emorynlp", "ravdess", "dailydialog"])
def test_the_ingest_that_is_told_is_a_command(name: str) -> None:
    import click

    from pipeline.commands.ingest import command as ingest

    downloads = load_card(name).downloads
    assert downloads is not None
    corpus, *rest = downloads.ingest.format(folder="data/x").split()
    assert isinstance(ingest, click.Group)
    with click.Context(ingest) as context:
        known = ingest.get_command(context, corpus)
        assert known is not None
        known.make_context(corpus, rest, parent=context)


def test_checksums_of_tables_are_those_that_ingest_knows() -> None:
    for name in ("meld", "emorynlp"):
        card = load_card(name)
        assert card.downloads is not None
        given = {source.name: source.sha256 for source in card.downloads.sources if source.sha256}  # type: ignore[union-attr]
        assert len(given) == 3
        assert given.items() <= card.checksums.items()


def test_the_card_of_a_manifest_does_not_carry_downloads() -> None:
    assert "downloads" not in load_card("meld").to_dict()


@pytest.mark.parametrize("dataset", ["../x", "a/b", ".", "..", ".hidden"])
def test_a_card_cannot_choose_a_folder_elsewhere(corpus: Corpus, site: Site, dataset: str) -> None:
    corpus.card(addresses(site)[0])
    corpus.path.write_text(corpus.path.read_text().replace("dataset: mine", f"dataset: {json.dumps(dataset)}"))
    _, err = corpus.download(status=2)
    assert "cannot name a folder: give the card a plain name" in err


def test_the_card_of_the_docs_is_a_card() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "corpora.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(downloads:.*?)```", text, re.DOTALL)
    values = yaml.safe_load(block.replace("64 hexadecimal digits (or md5)", "a" * 64))
    downloads = DatasetCard.from_dict({"dataset": "mine", **values}).downloads
    assert downloads is not None
    assert len(downloads.sources) == 3


def test_ctrl_c_keeps_what_has_come(corpus: Corpus, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files["/a.bin"] = bytes(3_000_000)
    write = PartFile.write

    def stopped(part: PartFile, block: bytes) -> None:
        write(part, block)
        if part.size > 1_000_000:
            raise KeyboardInterrupt

    monkeypatch.setattr(PartFile, "write", stopped)
    corpus.card({"address": f"{site.url}/a.bin"})
    _, err = corpus.download(status=130)
    assert err.endswith("erc: stopped\n")
    monkeypatch.undo()
    came = (corpus.folder / "a.bin.part").stat().st_size
    assert came > 1_000_000
    corpus.download()
    assert site.asked[-1] == ("/a.bin", f"bytes={came}-")


def test_one_process_downloads_into_a_folder(corpus: Corpus, site: Site) -> None:
    corpus.card(*addresses(site))
    with corpus_lock(corpus.folder):
        _, err = corpus.download(status=1)
        assert f"{corpus.folder}: another `erc download` is at work there: wait for it" in err
        assert len(corpus.files()) == 1
    corpus.download()
    assert not [name for name in corpus.files() if name.endswith(".lock")]


def test_a_lock_that_cannot_be_made_for_want_of_rights_stops_nobody(
    corpus: Corpus, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.card(*addresses(site))
    corpus.download()

    def refused(path: Path) -> int:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("features.locks.open_lock", refused)
    assert "next: erc ingest" in corpus.download()[0]
    with (
        pytest.raises(DownloadError, match=r"cannot be made: .*: choose another folder"),
        corpus_lock(corpus.path / "no"),
    ):
        pass
