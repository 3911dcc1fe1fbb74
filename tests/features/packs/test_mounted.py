"""Packs read where they lie: what is chosen arrives, nothing else; the network may go; what changed is another pack."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from http_servers import Site, serving
from hub_server import Hub, hub_serving, use_hub
from small_corpus import make_manifest, make_store

from features import load
from features.errors import FeatureChoiceError, StoreError
from features.manifest import Manifest
from features.packs.mounted import PackStore, mount, mounted_manifest, open_store
from features.packs.places import push_pack
from features.packs.write import write_pack
from features.store import Store
from features.store.checksums import FOLDER_SUMS
from features.store.verify import verify_store
from features.torch import FeatureDataset
from pipeline.cli import erc, main, run

ADDRESS = "memory://bucket/pack"
SUITE = {
    "defaults": {"stop": {"epochs": 2}, "feedforward": {"sizes": [4]}},
    "experiments": {"a": {"inputs": {"text": ["sentence"]}}, "b": {"inputs": {"text": ["glove"]}}},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, Path]:
    """A store, its manifest, and a pack of two of its features."""
    folder = tmp_path_factory.mktemp("mounted")
    manifest = make_manifest(folder / "M.parquet")
    store = make_store(folder / "store", manifest, missing=(0, 3))
    opened = Store(store)
    write_pack([opened.find("sentence"), opened.find("logmel")], manifest, folder / "pack")
    return store, manifest, folder / "pack"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ERC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def remote(made: tuple[Path, Manifest, Path], cache: Path) -> Iterator[str]:
    """The pack at an address."""
    import fsspec

    push_pack(made[2], ADDRESS)
    yield ADDRESS
    fsspec.filesystem("memory").store.clear()


def forget(name: str) -> None:
    """Take files off the server, so that whoever asks for them fails."""
    import fsspec

    files = fsspec.filesystem("memory").store
    for path in [path for path in files if name in path]:
        del files[path]


def test_a_feature_is_read_from_its_address_bit_for_bit(made: tuple[Path, Manifest, Path], remote: str) -> None:
    store, manifest, _ = made
    here, there = load("sentence", store=store, manifest=manifest), load("sentence", store=remote)
    assert there.tensor.numpy().tobytes() == here.tensor.numpy().tobytes()
    assert there.present.tolist() == here.present.tolist()
    assert there.frame["reason"].to_list() == here.frame["reason"].to_list()
    assert verify_store(mount(remote), manifest).is_sound
    data = FeatureDataset(remote, manifest, {"audio": "logmel"}, "dev")
    own = FeatureDataset(store, manifest, {"audio": "logmel"}, "dev")
    assert all((data[place]["inputs"]["audio"] == own[place]["inputs"]["audio"]).all() for place in range(len(own)))


def test_only_what_is_chosen_is_fetched(remote: str) -> None:
    opened = open_store(remote)
    assert isinstance(opened, PackStore)
    assert sorted(feature.name for feature in opened.features()) == ["logmel", "sentence"]
    assert not any(feature.index.names for feature in opened.features())
    forget("/audio/")
    assert opened.find("sentence").coverage(load("sentence", store=remote).frame["utterance_id"].to_list())["ok"]
    with pytest.raises(StoreError, match="it has no audio/logmel"):
        opened.find("logmel")


def test_what_is_here_is_read_without_the_network(remote: str) -> None:
    before = load("sentence", split="dev", store=remote)
    forget("")
    with pytest.warns(UserWarning, match=rf"no pack at {remote}.*: the copy that was fetched before is used"):
        again = load("sentence", split="dev", store=remote)
    assert again.tensor.numpy().tobytes() == before.tensor.numpy().tobytes()


def test_a_command_says_so_in_one_line(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mount(remote)
    forget("")
    monkeypatch.setattr(sys, "argv", ["erc", "store", "ls", remote])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.raises(SystemExit, match=r"^0$"):
            main()
    told = capsys.readouterr().err
    assert told.startswith(f"erc: no pack at {remote}")
    assert told.count("\n") == 1


def test_nothing_was_fetched_and_there_is_no_network(cache: Path) -> None:
    with pytest.raises(StoreError, match="no pack at memory://nowhere"):
        mount("memory://nowhere")
    assert not list(cache.rglob(FOLDER_SUMS))


def test_a_pack_that_changed_at_its_address_is_another(
    made: tuple[Path, Manifest, Path], remote: str, tmp_path: Path
) -> None:
    store, manifest, _ = made
    first = mount(remote)
    load("sentence", store=remote)
    write_pack([Store(store).find("logmel")], manifest, tmp_path / "other")
    forget("")
    push_pack(tmp_path / "other", remote)
    second = mount(remote)
    assert second != first
    assert [feature.name for feature in Store(second).features()] == ["logmel"]
    with pytest.raises(FeatureChoiceError, match=f"no feature 'sentence' in {remote}: "):
        load("sentence", store=remote)


@pytest.mark.parametrize("name", ["sentence", "spec.json", "manifest.parquet", "pack.json"])
def test_one_flipped_byte_is_refused(made: tuple[Path, Manifest, Path], remote: str, cache: Path, name: str) -> None:
    import fsspec

    files = fsspec.filesystem("memory").store
    path = next(path for path in files if name in path and not path.endswith("ledger.parquet"))
    content = bytearray(files[path].getvalue())
    content[len(content) // 2] ^= 1
    with fsspec.filesystem("memory").open(path, "wb") as file:
        file.write(bytes(content))
    with pytest.raises(StoreError, match="has other bytes than were packed"):
        load("sentence", store=remote)
    assert not list(cache.rglob("*.safetensors"))


def test_heads_train_and_are_scored_from_an_address_into_the_very_runs(
    made: tuple[Path, Manifest, Path], remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest, _ = made
    monkeypatch.chdir(tmp_path)
    suite = {**SUITE, "experiments": {"a": SUITE["experiments"]["a"]}}
    Path("suite.yaml").write_text(json.dumps(suite), encoding="utf-8")
    more = ["--seeds", "1", "--jobs", "1"]
    own = ["--manifest", str(manifest.path), "--store", str(store)]
    assert run(erc, ["ablate", "suite.yaml", *own, "--out", "here", *more], "erc") == 0
    assert run(erc, ["ablate", "suite.yaml", "--store", remote, "--out", "away", *more], "erc") == 0
    (name,) = (path.name for path in Path("here").glob("*-*/"))
    assert [path.name for path in Path("away").glob("*-*/")] == [name]
    cached = tmp_path / "cache" / "packs"
    shutil.rmtree(cached)
    scored = ["evaluate", "away", "--split", "dev", "--store", remote, "--manifest", str(manifest.path)]
    assert run(erc, scored, "erc") == 0
    assert run(erc, ["evaluate", "here", "--split", "dev"], "erc") == 0
    one, other = (json.loads((Path(out) / name / "metrics-dev.json").read_text()) for out in ("here", "away"))
    assert one["weighted_f1"] == other["weighted_f1"]


def test_what_the_pack_lacks_is_named_with_its_address(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("suite.yaml").write_text(json.dumps(SUITE), encoding="utf-8")
    assert run(erc, ["ablate", "suite.yaml", "--store", remote, "--list", "--no-estimate"], "erc") == 0
    listed, told = capsys.readouterr()
    assert f"({remote} lacks text/glove)" in listed
    assert "--encoder glove" in told
    assert str(tmp_path / "cache") not in told.replace(str(mounted_manifest(mount(remote))), "")
    assert run(erc, ["ablate", "suite.yaml", "--only", "b", "--store", remote, "--out", "runs"], "erc") == 1
    assert f"{remote} lacks text/glove" in capsys.readouterr().err


def test_commands_that_write_keep_to_folders(remote: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(erc, ["extract", "--modality", "text", "--store", remote], "erc") == 2
    assert "`erc store pull`" in capsys.readouterr().err


def test_what_a_pack_has_is_listed_and_not_fetched(remote: str, capsys: pytest.CaptureFixture[str]) -> None:
    load("sentence", store=remote)
    forget("/audio/")
    assert run(erc, ["store", "ls", remote], "erc") == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["feature", "embeddings", "rows"]
    shown = {line.split()[0].partition("-")[0]: line for line in lines}
    assert shown["text/sentence"].endswith("in the cache")
    assert shown["audio/logmel"].endswith("fetched when chosen")
    assert run(erc, ["store", "ls", remote, "--json"], "erc") == 0
    assert [item["fetched"] for item in json.loads(capsys.readouterr().out)["features"]] == [True, False]


def test_exported_from_an_address(made: tuple[Path, Manifest, Path], remote: str, tmp_path: Path) -> None:
    given = ["store", "export", remote, "--feature", "text/sentence", "--to", str(tmp_path / "x.parquet")]
    assert run(erc, given, "erc") == 0
    assert pl.read_parquet(tmp_path / "x.parquet")["utterance_id"].sort().to_list() == sorted(made[1].ids)


def test_read_from_a_web_server_and_from_the_hub(
    made: tuple[Path, Manifest, Path], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest, pack = made
    expected = load("sentence", store=store, manifest=manifest).tensor.numpy().tobytes()
    files = {path.relative_to(pack).as_posix(): path.read_bytes() for path in pack.rglob("*") if path.is_file()}
    with serving(Site({f"/p/{name}": body for name, body in files.items()})) as site:
        assert load("sentence", store=f"{site.url}/p").tensor.numpy().tobytes() == expected
        asked = {path for path, _ in site.asked}
        assert "/p/README.md" not in asked
        assert not any("/audio/" in path and path.endswith(".parquet") for path in asked)
    with hub_serving(Hub({"datasets/me/meld": files})) as hub:
        use_hub(monkeypatch, hub.url, tmp_path / "hub")
        assert load("sentence", store="hf://me/meld").tensor.numpy().tobytes() == expected
        assert not any("logmel" in path and ".parquet" in path for path in hub.asked)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert load("sentence", store="hf://me/meld").tensor.numpy().tobytes() == expected
