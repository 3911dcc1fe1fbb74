"""Packs: bit for bit from store to store, checked on arrival, with the very run digests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from http_servers import Site, serving
from hub_server import Hub, hub_serving, use_hub
from small_corpus import SENTENCE, edited, embeddings, make_manifest, make_store
from tiny_top import sequences, tiny_top, top_spec

from features.digests import sha256_file
from features.errors import NetworkError, Reason, StaleFeaturesError, StoreError, UnavailableError, UsageError
from features.manifest import Manifest, read_manifest
from features.packs import install as installing
from features.packs.check import check_pack
from features.packs.install import install_pack
from features.packs.layout import read_pack
from features.packs.places import fetch_pack, push_pack
from features.packs.write import write_pack
from features.spec import EncoderSpec
from features.store import Store, write_feature
from features.store.checksums import FOLDER_SUMS, sums_bytes
from features.store.verify import verify_store
from pipeline.cli import erc, run

TOKENS = EncoderSpec("text", "tokens", 1, "text", "sequence", (3,), stored_dtype="float16")
NAMES = ("text/sentence", "text/tokens", "audio/logmel")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, Path]:
    """A store, its manifest, and a pack of three features, one of them sequences; some utterances lack embeddings."""
    folder = tmp_path_factory.mktemp("packs")
    manifest = make_manifest(folder / "M.parquet")
    store = make_store(folder / "store", manifest, missing=(0, 3, 61))
    generator = np.random.default_rng(3)
    arrays = {
        name: generator.standard_normal((place % 5 + 1, 3)).astype(np.float16)
        for place, name in enumerate(manifest.ids)
    }
    write_feature(store, TOKENS, manifest, arrays, {manifest.ids[1]: UnavailableError(Reason.NO_TEXT)})
    opened = Store(store)
    write_pack([opened.find(name) for name in NAMES], manifest, folder / "pack")
    return store, manifest, folder / "pack"


@pytest.fixture
def pack(made: tuple[Path, Manifest, Path], tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return Path(shutil.copytree(made[2], tmp_path / "pack"))


def assert_same_rows(one: Path, other: Path, manifest: Manifest) -> None:
    for name in NAMES:
        first, second = (Store(store).find(name).fitting(manifest) for store in (one, other))
        assert first.spec == second.spec
        assert first.rows_digest(manifest.ids) == second.rows_digest(manifest.ids)
        ledgers = [
            feature.ledger().drop("generation", "chunk", "row").sort("utterance_id") for feature in (first, second)
        ]
        assert ledgers[0].equals(ledgers[1])
        if first.spec.kind == "sequence":
            arrays = [feature.read_sequences(manifest.ids) for feature in (first, second)]
            bits = [[None if array is None else array.tobytes() for array in part] for part in arrays]
            assert bits[0] == bits[1]
        else:
            assert first.read(manifest.ids).values.tobytes() == second.read(manifest.ids).values.tobytes()


def test_a_pulled_pack_is_the_store_bit_for_bit(made: tuple[Path, Manifest, Path], tmp_path: Path) -> None:
    store, manifest, pack = made
    installed = install_pack(pack, tmp_path / "there")
    assert [(item.added, item.kept) for item in installed] == [(len(manifest), 0)] * 3
    assert_same_rows(store, tmp_path / "there", read_manifest(pack / "manifest.parquet"))
    assert verify_store(tmp_path / "there", manifest).is_sound
    again = install_pack(pack, tmp_path / "there")
    assert [(item.added, item.kept) for item in again] == [(0, len(manifest))] * 3
    assert verify_store(tmp_path / "there", manifest).is_sound


def test_heads_train_without_clips_into_the_very_runs(
    made: tuple[Path, Manifest, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest, pack = made
    monkeypatch.chdir(tmp_path)
    assert run(erc, ["store", "pull", str(pack), "--store", "there"], "erc") == 0
    suite = {"defaults": {"stop": {"epochs": 2}, "feedforward": {"sizes": [4]}}, "experiments": {}}
    suite["experiments"] = {"a": {"inputs": {"text": ["sentence"]}}, "b": {"inputs": {"audio": ["logmel"]}}}
    Path("suite.yaml").write_text(json.dumps(suite), encoding="utf-8")
    for where, table, out in ((store, manifest.path, "here"), ("there", pack / "manifest.parquet", "away")):
        given = ["--manifest", str(table), "--store", str(where), "--out", out, "--seeds", "1", "--jobs", "1"]
        assert run(erc, ["ablate", "suite.yaml", *given], "erc") == 0
    names = sorted(path.name for path in Path("here").glob("*-*/"))
    assert names == sorted(path.name for path in Path("away").glob("*-*/"))
    for name in names:
        if (Path("here") / name / "metrics-dev.json").is_file():
            one, other = (json.loads((Path(out) / name / "metrics-dev.json").read_text()) for out in ("here", "away"))
            assert one["weighted_f1"] == other["weighted_f1"]


def test_the_maker_is_not_in_it(made: tuple[Path, Manifest, Path]) -> None:
    _, _, pack = made
    for path in pack.rglob("*"):
        if path.is_file():
            assert str(made[0].parent).encode() not in path.read_bytes(), path
    assert read_manifest(pack / "manifest.parquet").media_root is None


def test_other_tools_read_its_splits(made: tuple[Path, Manifest, Path]) -> None:
    _, manifest, pack = made
    item = read_pack(pack).features[0]
    frame = pl.read_parquet(pack / item.folder / "dev.parquet")
    assert frame["utterance_id"].to_list() == manifest.select_splits(["dev"]).ids
    assert (frame["status"] == "ok").sum() == item.splits["dev"]
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset(str(pack), item.folder.replace("/", "-"), cache_dir=str(pack.parent / "cache"))
    assert {split: len(rows[split]) for split in rows} == {
        split: len(manifest.select_splits([split])) for split in item.splits
    }


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


def test_one_flipped_byte_is_refused_with_its_row(
    made: tuple[Path, Manifest, Path], pack: Path, tmp_path: Path
) -> None:
    store, manifest, _ = made
    folder = read_pack(pack).features[0].folder
    path = pack / folder / "dev.parquet"
    key = manifest.select_splits(["dev"]).ids[2]
    value = Store(store).find("text/sentence").read([key]).values[0].tobytes()
    flip(path, path.read_bytes().index(value) + 5)
    with pytest.raises(StoreError, match=rf"dev.parquet has other bytes than were packed \(row {key}\)"):
        install_pack(pack, tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("name", ["manifest.parquet", "pack.json", "ledger.parquet", "spec.json", "README.md"])
def test_any_file_that_is_damaged_or_gone_is_named(pack: Path, name: str) -> None:
    path = next(pack.rglob(name))
    flip(path, len(path.read_bytes()) // 2)
    with pytest.raises(StoreError, match="fetch the pack again"):
        check_pack(pack)
    path.unlink()
    with pytest.raises(StoreError, match=name):
        check_pack(pack)


@pytest.mark.parametrize("name", ["../out.txt", "/etc/passwd", "a/../../b", "C:\\x"])
def test_names_that_lead_out_are_refused(pack: Path, name: str) -> None:
    with (pack / FOLDER_SUMS).open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(StoreError, match=r"which is not inside the pack|is not a list"):
        check_pack(pack)


def test_links_that_lead_out_are_refused(pack: Path, tmp_path: Path) -> None:
    target = pack / "README.md"
    (tmp_path / "secret").write_bytes(target.read_bytes())
    target.unlink()
    target.symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError, match="leads out of the pack"):
        check_pack(pack)


def test_a_stopped_pull_goes_on(
    made: tuple[Path, Manifest, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest, pack = made
    commit, done = installing.FeatureWriter.commit, []

    def stopping(self: object, *arguments: object) -> object:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments)
        return commit(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(installing.FeatureWriter, "commit", stopping)
        with pytest.raises(KeyboardInterrupt):
            install_pack(pack, tmp_path / "there")
    installed = install_pack(pack, tmp_path / "there")
    assert 0 < installed[0].kept < len(manifest)
    assert_same_rows(store, tmp_path / "there", manifest)
    assert verify_store(tmp_path / "there", manifest).is_sound


def test_other_numbers_of_the_same_input_are_refused(made: tuple[Path, Manifest, Path], tmp_path: Path) -> None:
    _, manifest, pack = made
    write_feature(tmp_path / "there", SENTENCE, manifest, embeddings(manifest, SENTENCE, seed=77))
    with pytest.raises(StoreError, match=f"holds other numbers than the pack for {len(manifest)} utterances"):
        install_pack(pack, tmp_path / "there", ["sentence"])
    assert len(Store(tmp_path / "there").find("sentence").names) > 0


def test_rows_that_failed_there_are_filled(made: tuple[Path, Manifest, Path], tmp_path: Path) -> None:
    store, manifest, pack = made
    gone = {manifest.ids[5]: UnavailableError(Reason.NO_FILE, "gone")}
    spec = Store(store).find("audio/logmel").spec
    held = Store(store).find("audio/logmel").read(manifest.ids)
    there = {name: held.values[row] for row, name in enumerate(manifest.ids) if held.present[row]}
    missing = {name: UnavailableError(Reason.NO_FILE, "gone") for name in manifest.ids if name not in there}
    write_feature(tmp_path / "there", spec, manifest, there, missing | gone)
    (installed,) = install_pack(pack, tmp_path / "there", ["audio/logmel-" + spec.fingerprint[:8]])
    assert (installed.added, installed.kept) == (1, len(manifest) - 1)
    assert Store(tmp_path / "there").find("logmel").fitting(manifest).rows_digest(manifest.ids) == Store(store).find(
        "logmel"
    ).fitting(manifest).rows_digest(manifest.ids)


def test_layers_above_the_states_go_with_them(tmp_path: Path) -> None:
    manifest, top = make_manifest(tmp_path / "M.parquet"), tiny_top()
    spec = top_spec(top)
    write_feature(tmp_path / "store", spec, manifest, sequences(manifest, spec), top=top)
    write_pack(Store(tmp_path / "store").features(), manifest, tmp_path / "pack")
    install_pack(tmp_path / "pack", tmp_path / "there")
    (feature,) = Store(tmp_path / "there").features()
    assert feature.read_top().content == top.content
    assert verify_store(tmp_path / "there", manifest).is_sound


def test_what_cannot_be_packed(made: tuple[Path, Manifest, Path], tmp_path: Path) -> None:
    store, manifest, pack = made
    feature = Store(store).find("text/sentence")
    changed = edited(manifest, tmp_path / "edited.parquet", manifest.ids[0], text="Something else.")
    with pytest.raises(StaleFeaturesError, match="1 rows were made from other input"):
        write_pack([feature], changed, tmp_path / "pack")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="exists: give another --to"):
        write_pack([feature], manifest, tmp_path / "mine", overwrite=True)
    with pytest.raises(UsageError, match="has no feature 'logmell': did you mean 'logmel'"):
        install_pack(pack, tmp_path / "there", ["logmell"])
    with pytest.raises(StoreError, match="no pack at"):
        install_pack(tmp_path / "mine", tmp_path / "there")


def test_the_same_pack_twice_is_the_same_bytes(made: tuple[Path, Manifest, Path], tmp_path: Path) -> None:
    store, manifest, pack = made
    write_pack([Store(store).find(name) for name in NAMES], manifest, tmp_path / "again")
    assert (tmp_path / "again" / FOLDER_SUMS).read_bytes() == (pack / FOLDER_SUMS).read_bytes()


@pytest.fixture
def memory() -> Iterator[str]:
    import fsspec

    yield "memory://bucket/pack"
    fsspec.filesystem("memory").store.clear()


def test_pushed_and_pulled_through_fsspec(made: tuple[Path, Manifest, Path], tmp_path: Path, memory: str) -> None:
    store, manifest, pack = made
    push_pack(pack, memory)
    fetch_pack(memory, tmp_path / "fetched")
    install_pack(tmp_path / "fetched", tmp_path / "there")
    assert_same_rows(store, tmp_path / "there", manifest)
    with pytest.raises(StoreError, match="no pack at memory://bucket/other"):
        fetch_pack("memory://bucket/other", tmp_path / "other")


def test_a_damaged_pack_is_not_pushed(pack: Path, memory: str) -> None:
    import fsspec

    flip(pack / "README.md", 3)
    with pytest.raises(StoreError, match=r"README.md has other bytes"):
        push_pack(pack, memory)
    assert not fsspec.filesystem("memory").store


def site_of(pack: Path, prefix: str = "/p") -> dict[str, bytes]:
    files = (path for path in pack.rglob("*") if path.is_file())
    return {f"{prefix}/{path.relative_to(pack).as_posix()}": path.read_bytes() for path in files}


def test_pulled_from_a_web_server_only_what_is_not_there(made: tuple[Path, Manifest, Path], tmp_path: Path) -> None:
    _, _, pack = made
    with serving(Site(site_of(pack))) as site:
        fetch_pack(f"{site.url}/p", tmp_path / "fetched")
        (tmp_path / "fetched" / "README.md").unlink()
        site.asked.clear()
        fetch_pack(f"{site.url}/p/", tmp_path / "fetched")
        assert {path for path, _ in site.asked} == {f"/p/{FOLDER_SUMS}", "/p/README.md"}
        site.files["/p/README.md"] = b"other"
        (tmp_path / "fetched" / "README.md").unlink()
        with pytest.raises(NetworkError, match="sha256"):
            fetch_pack(f"{site.url}/p", tmp_path / "fetched")


def test_pulled_from_the_hub(
    made: tuple[Path, Manifest, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest, pack = made
    with hub_serving(Hub({"datasets/me/meld": site_of(pack, "")})) as hub:
        hub.repos["datasets/me/meld"] = {name.lstrip("/"): body for name, body in site_of(pack, "").items()}
        use_hub(monkeypatch, hub.url, tmp_path / "cache")
        monkeypatch.chdir(tmp_path)
        assert run(erc, ["store", "pull", "hf://me/meld", "--store", "there"], "erc") == 0
        assert_same_rows(store, tmp_path / "there", manifest)
        with pytest.raises(StoreError, match="no pack at hf://me/other, or the hub cannot be reached"):
            fetch_pack("hf://me/other", tmp_path / "other")


def test_addresses_that_nothing_can_read() -> None:
    with pytest.raises(UsageError, match="nosuch://x: Protocol not known"):
        fetch_pack("nosuch://x", Path("never"))
    assert run(erc, ["store", "push", ".", "a/folder"], "erc") == 2


def test_pushed_to_the_hub_and_pulled_again(
    made: tuple[Path, Manifest, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, manifest, pack = made
    with hub_serving(Hub({})) as hub:
        use_hub(monkeypatch, hub.url, tmp_path / "cache")
        monkeypatch.chdir(tmp_path)
        assert run(erc, ["store", "push", str(pack), "hf://me/meld", "--private"], "erc") == 0
        assert hub.private == {"datasets/me/meld"}
        assert set(hub.repos["datasets/me/meld"]) == {name.lstrip("/") for name in site_of(pack, "")}
        assert run(erc, ["store", "pull", "hf://me/meld", "--store", "there"], "erc") == 0
    assert_same_rows(store, tmp_path / "there", manifest)


def sum_again(pack: Path) -> None:
    """SHA256SUMS as if the files had been packed as they are now."""
    files = (path for path in sorted(pack.rglob("*")) if path.is_file() and path.name != FOLDER_SUMS)
    digests = {path.relative_to(pack).as_posix(): sha256_file(path) for path in files}
    (pack / FOLDER_SUMS).write_bytes(sums_bytes(digests))


def test_numbers_that_are_not_those_of_the_ledger_are_refused(
    made: tuple[Path, Manifest, Path], pack: Path, tmp_path: Path
) -> None:
    item = read_pack(pack).features[0]
    path = pack / item.folder / "ledger.parquet"
    table = pq.read_table(path)
    crc32 = table["crc32"].to_pylist()
    crc32[5] ^= 1
    place = table.column_names.index("crc32")
    pq.write_table(table.set_column(place, table.field(place), pa.array(crc32, table.field(place).type)), path)
    sum_again(pack)
    with pytest.raises(StoreError, match=r"the pack's ledger tells of other bytes"):
        install_pack(pack, tmp_path / "there")


def test_a_pack_that_contradicts_itself_is_refused(pack: Path, tmp_path: Path) -> None:
    item = read_pack(pack).features[0]
    record = json.loads((pack / "pack.json").read_text())
    record["features"][0]["fingerprint"] = "0" * 64
    (pack / "pack.json").write_text(json.dumps(record))
    sum_again(pack)
    with pytest.raises(StoreError, match=rf"{item.folder} is {item.fingerprint[:8]}, pack.json says 00000000"):
        install_pack(pack, tmp_path / "there")


def test_a_file_that_the_sums_do_not_name_is_not_trusted(pack: Path, tmp_path: Path) -> None:
    folder = read_pack(pack).features[0].folder
    sums = (pack / FOLDER_SUMS).read_text().splitlines(keepends=True)
    (pack / FOLDER_SUMS).write_text("".join(line for line in sums if f"{folder}/dev.parquet" not in line))
    with pytest.raises(StoreError, match=rf"SHA256SUMS does not name {folder}/dev.parquet"):
        install_pack(pack, tmp_path / "there")


def test_what_lies_beside_a_pack_is_not_removed(made: tuple[Path, Manifest, Path], pack: Path) -> None:
    store, manifest, _ = made
    feature = Store(store).find("text/sentence")
    for damage in ("none", "gone", "no sums"):
        if damage == "gone":
            (pack / FOLDER_SUMS).unlink()
        elif damage == "no sums":
            (pack / FOLDER_SUMS).write_text(damage)
        for name in (".git/HEAD", f"{feature.folder}/mine.csv", "text/notes.md"):
            (pack / name).parent.mkdir(exist_ok=True)
            (pack / name).write_text("years of work")
            with pytest.raises(UsageError, match=f"holds '{name}', which is not of the pack, and would be lost"):
                write_pack([feature], manifest, pack, overwrite=True)
            (pack / name).unlink()
        write_pack([feature], manifest, pack, overwrite=True)
        assert check_pack(pack).features[0].folder == feature.folder


def test_a_pack_without_its_top_is_incomplete(tmp_path: Path) -> None:
    manifest, top = make_manifest(tmp_path / "M.parquet"), tiny_top()
    spec = top_spec(top)
    write_feature(tmp_path / "store", spec, manifest, sequences(manifest, spec), top=top)
    write_pack(Store(tmp_path / "store").features(), manifest, tmp_path / "pack")
    (file,) = tmp_path.glob("pack/text/*/top.safetensors")
    file.unlink()
    sums = tmp_path / "pack" / FOLDER_SUMS
    sums.write_text("".join(line for line in sums.open() if "top.safetensors" not in line))
    with pytest.raises(StoreError, match=r"SHA256SUMS does not name text/.*/top.safetensors: fetch the pack again"):
        install_pack(tmp_path / "pack", tmp_path / "there")


@pytest.mark.parametrize("split", ["../../out", "a/b", "a\\b", "ledger", "Ledger", ".hidden"])
def test_a_split_that_cannot_name_a_file_is_refused(tmp_path: Path, split: str) -> None:
    manifest = make_manifest(tmp_path / "M.parquet")
    store = make_store(tmp_path / "store", manifest)
    frame = manifest.frame.with_columns(split=pl.when(pl.col("split") == "dev").then(pl.lit(split)).otherwise("split"))
    with pytest.raises(UsageError, match="cannot name a file of a pack"):
        write_pack(Store(store).features(), replace(manifest, frame=frame), tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_splits_may_have_spaces_and_brackets(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "M.parquet")
    store = make_store(tmp_path / "store", manifest)
    named = pl.when(pl.col("split") == "dev").then(pl.lit("dev (clean) 2")).otherwise("split")
    other = replace(manifest, frame=manifest.frame.with_columns(split=named))
    write_pack(Store(store).features(), other, tmp_path / "pack")
    assert len(check_pack(tmp_path / "pack").features) == 3
