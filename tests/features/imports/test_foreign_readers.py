"""Each layout of file gives its rows, bit by bit, under the ids that it has."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from foreign_factory import cosmic, dialogue_rnn, meld, mmsa, vectors, write_pickle

from features.errors import UsageError
from features.imports.foreign import Foreign, form_of
from features.imports.formats import format_of, read_foreign, source_digest
from features.imports.join import BY_WORDS, join
from features.spec import Modality

MANIFEST = meld()
VALUES = vectors(MANIFEST)
KEYS = {name: name.partition("/")[2].replace("/", "_") for name in MANIFEST.ids}  # train_dia0_utt0


def check(foreign: Foreign, expected: dict[str, np.ndarray] = VALUES, rule: str | None = None) -> None:
    """That it fits every utterance, by the rule, with its own bits."""
    joined = join(foreign, MANIFEST)
    assert rule is None or joined.rule == rule
    assert sorted(joined.places) == list(range(len(MANIFEST)))
    for row, place in joined.places.items():
        found = foreign.rows[place]
        assert found is not None
        assert found.tobytes() == expected[MANIFEST.ids[row]].tobytes()


def folder(path: Path, names: dict[str, str]) -> Path:
    for name in MANIFEST.ids:
        target = path / f"{names[name]}.npy"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, VALUES[name])
    return path


class TestNumpy:
    def test_a_folder_with_a_file_a_clip(self, tmp_path: Path) -> None:
        check(read_foreign(folder(tmp_path / "x-UTT", KEYS), "audio"), rule="{split}_{key}")
        inner = {name: name.partition("/")[2] for name in MANIFEST.ids}
        check(read_foreign(folder(tmp_path / "inner", inner), "audio"), rule="{path}")

    def test_the_splits_of_mertools(self, tmp_path: Path) -> None:
        names = {name: key.replace("dev_", "val_") for name, key in KEYS.items()}
        check(read_foreign(folder(tmp_path / "x-UTT", names), "audio", "mertools"), rule="{val}_{key}")

    @pytest.mark.parametrize("ending", ["json", "txt", "csv", "objects"])
    def test_an_array_with_ids_beside_it(self, ending: str, tmp_path: Path) -> None:
        order = sorted(MANIFEST.ids, reverse=True)
        np.save(tmp_path / "v.npy", np.stack([VALUES[name] for name in order]))
        ids = tmp_path / f"v.ids.{'json' if ending == 'objects' else ending}"
        if ending == "csv":
            ids = tmp_path / "v.csv"
            pl.DataFrame({"id": order, "text": [texts()[name] for name in order]}).write_csv(ids)
        elif ending == "objects":
            ids.write_text(json.dumps([{"name": name, "text": texts()[name]} for name in order]))
        else:
            ids.write_text(json.dumps(order) if ending == "json" else "\n".join(order))
        found = read_foreign(tmp_path / "v.npy", "text")
        check(found, rule="{utterance_id}")
        assert (found.texts is not None) == (ending in ("csv", "objects"))
        elsewhere = tmp_path / "elsewhere" / ids.name
        elsewhere.parent.mkdir()
        ids.rename(elsewhere)
        with pytest.raises(UsageError, match="an array has no ids: give the file that lists them with --ids"):
            read_foreign(tmp_path / "v.npy", "text")
        check(read_foreign(tmp_path / "v.npy", "text", ids=str(elsewhere)))

    def test_another_number_of_ids_is_refused(self, tmp_path: Path) -> None:
        np.save(tmp_path / "v.npy", np.zeros((4, 3), np.float32))
        (tmp_path / "v.ids.txt").write_text("a\nb\nc\n")
        with pytest.raises(UsageError, match=r"has 4 rows, and v\.ids\.txt 3 ids"):
            read_foreign(tmp_path / "v.npy", "text")

    @pytest.mark.parametrize("kind", [object, str])
    def test_an_archive(self, kind: type, tmp_path: Path) -> None:
        stacked = np.stack(list(VALUES.values()))
        ids = np.array(MANIFEST.ids, kind)
        np.savez(tmp_path / "v.npz", ids=ids, text=stacked, audio=stacked[:, :2])
        check(read_foreign(tmp_path / "v.npz", "text", field="text"))
        with pytest.raises(UsageError, match="holds text, audio: choose one with --field"):
            read_foreign(tmp_path / "v.npz", "text")
        np.savez(tmp_path / "named.npz", **VALUES)
        check(read_foreign(tmp_path / "named.npz", "text"))

    def test_a_dict_that_numpy_saved(self, tmp_path: Path) -> None:
        np.save(tmp_path / "v.npy", np.array(VALUES, object), allow_pickle=True)
        check(read_foreign(tmp_path / "v.npy", "text"))

    def test_what_is_damaged_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "v.npy").write_bytes(b"\x93NUMPY\x01\x00junk")
        (tmp_path / "v.npz").write_bytes(b"PK\x03\x04junk")
        for name in ("v.npy", "v.npz"):
            with pytest.raises(UsageError, match=f"{name}: is no"):
                read_foreign(tmp_path / name, "text")


def texts() -> dict[str, str]:
    return dict(MANIFEST.frame.select("utterance_id", "text").iter_rows())


class TestTables:
    @pytest.mark.parametrize("width", [None, 6])
    def test_parquet(self, width: int | None, tmp_path: Path) -> None:
        kind = pl.Array(pl.Float32, width) if width else pl.List(pl.Float32)
        columns = {
            "id": list(KEYS.values()),
            "text": [texts()[name] for name in KEYS],
            "embedding": pl.Series([value.tolist() for value in VALUES.values()], dtype=kind),
        }
        pl.DataFrame(columns).write_parquet(tmp_path / "v.parquet")
        found = read_foreign(tmp_path / "v.parquet", "text")
        check(found, rule="{split}_{key}")
        assert found.texts == list(texts().values())
        pl.DataFrame(columns).rename({"id": "whose"}).write_parquet(tmp_path / "w.parquet")
        with pytest.raises(UsageError, match="has no column of ids: name it by --ids, of whose, text, embedding"):
            read_foreign(tmp_path / "w.parquet", "text")
        check(read_foreign(tmp_path / "w.parquet", "text", ids="whose"))

    def test_sequences_and_nulls(self, tmp_path: Path) -> None:
        rows = [[[1.0, 2.0], [3.0, 4.0]], None, [[5.0, 6.0]]]
        frame = pl.DataFrame({"id": ["a", "b", "c"], "v": rows, "reason": [None, "no-audio", None]})
        frame.cast({"v": pl.List(pl.Array(pl.Float32, 2))}).write_parquet(tmp_path / "v.parquet")
        found = read_foreign(tmp_path / "v.parquet", "text")
        assert [None if row is None else row.tolist() for row in found.rows] == rows
        assert found.absent == {"b": "no-audio"}
        assert (form_of(found).kind, form_of(found).shape) == ("sequence", (2,))

    def test_a_folder_with_a_file_a_split(self, tmp_path: Path) -> None:
        for split in ("train", "dev", "test"):
            names = [name for name in MANIFEST.ids if name.split("/")[1] == split]
            file = "validation" if split == "dev" else split
            frame = pl.DataFrame({"id": [name.rpartition("/")[2] for name in names], "v": [VALUES[n] for n in names]})
            (tmp_path / "data").mkdir(exist_ok=True)
            frame.write_parquet(tmp_path / "data" / f"{file}-00000.parquet")
        check(read_foreign(tmp_path, "text"), rule="{key}")

    def test_hdf5(self, tmp_path: Path) -> None:
        stacked = np.stack(list(VALUES.values()))
        with h5py.File(tmp_path / "list.h5", "w") as file:
            file["ids"] = list(KEYS.values())
            file["vectors"] = stacked
            file["text"] = list(texts().values())
        found = read_foreign(tmp_path / "list.h5", "text")
        check(found, rule="{split}_{key}")
        assert found.texts == list(texts().values())
        with h5py.File(tmp_path / "groups.h5", "w") as file:
            for name, value in VALUES.items():
                file[f"{KEYS[name]}/features"] = value
                file[f"{KEYS[name]}/intervals"] = np.zeros((1, 2))
        check(read_foreign(tmp_path / "groups.h5", "text", field="features"))
        with h5py.File(tmp_path / "plain.h5", "w") as file:
            for name, value in VALUES.items():
                file[KEYS[name]] = value
        check(read_foreign(tmp_path / "plain.h5", "text"))
        with h5py.File(tmp_path / "facts.h5", "w") as file:
            for name, value in VALUES.items():
                file[f"{KEYS[name]}/features"] = value
                file[f"{KEYS[name]}/info/fps"] = 25.0
        check(read_foreign(tmp_path / "facts.h5", "text"))
        with h5py.File(tmp_path / "own.h5", "w") as file:  # of whose slashes h5py makes groups
            for name, value in VALUES.items():
                file[name] = value
        check(read_foreign(tmp_path / "own.h5", "text"), rule="{utterance_id}")

    def test_hdf5_that_reads_other_files_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"\0" * 64)
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["v"] = np.zeros(3)
        with h5py.File(tmp_path / "external.h5", "w") as file:
            file.create_dataset("a", (8,), "f4", external=[(str(tmp_path / "secret"), 0, 32)])
        with h5py.File(tmp_path / "link.h5", "w") as file:
            file["a"] = h5py.ExternalLink("other.h5", "/v")
        with h5py.File(tmp_path / "empty.h5", "w") as file:
            file.create_dataset("a", (1 << 40,), "f4", chunks=(1024,))
        with pytest.raises(UsageError, match="/a says that it is larger than the file can hold: refused"):
            read_foreign(tmp_path / "empty.h5", "text")
        for name in ("external", "link"):
            with pytest.raises(UsageError, match="/a is not a plain dataset of this file: refused"):
                read_foreign(tmp_path / f"{name}.h5", "text")


class TestPickles:
    @pytest.mark.parametrize("protocol", range(6))
    def test_mmsa(self, protocol: int, tmp_path: Path) -> None:
        path = write_pickle(tmp_path / "x.pkl", mmsa(MANIFEST, VALUES), protocol)
        found = read_foreign(path, "text")
        assert (found.file_format, found.field) == ("mmsa", "text")
        check(found, rule="{key}")  # the id restarts in each split: the file says which
        assert form_of(found).kind == "vector"
        audio = read_foreign(path, "audio")
        assert (audio.field, form_of(audio).shape) == ("audio", (3,))
        assert read_foreign(path, "visual").field == "vision"
        assert [item.what for item in join(found, MANIFEST).checks] == ["text", "sentiment", "split"]

    def test_sequences_of_mmsa_are_cut_to_their_lengths(self, tmp_path: Path) -> None:
        path = write_pickle(tmp_path / "x.pkl", mmsa(MANIFEST, VALUES, length=4))
        found = read_foreign(path, "audio", "mmsa")
        assert [len(row) for row in found.rows if row is not None][:6] == [1, 2, 3, 4, 1, 2]
        assert all(np.any(row != 0, axis=1).all() for row in found.rows if row is not None)
        assert (form_of(found).kind, form_of(found).shape) == ("sequence", (3,))

    @pytest.mark.parametrize("protocol", [0, 2, 4])
    def test_dialogue_rnn(self, protocol: int, tmp_path: Path) -> None:
        path = write_pickle(tmp_path / "x.pkl", dialogue_rnn(MANIFEST, VALUES), protocol)
        found = read_foreign(path, "text")
        assert (found.file_format, found.field) == ("conv-emotion", "text")
        check(found, rule=BY_WORDS)
        check(read_foreign(path, "audio"), {name: value[:3] for name, value in VALUES.items()})
        assert {item.what: (item.compared, len(item.wrong)) for item in join(found, MANIFEST).checks} == {
            "text": (40, 0), "label": (40, 0), "sentiment": (40, 0), "split": (40, 0),
        }  # fmt: skip

    def test_cosmic(self, tmp_path: Path) -> None:
        path = write_pickle(tmp_path / "x.pkl", cosmic(MANIFEST, VALUES), 2)
        with pytest.raises(UsageError, match="holds roberta1, roberta2, roberta3, roberta4: choose one with --field"):
            read_foreign(path, "text")
        for times in (1, 4):
            found = read_foreign(path, "text", field=f"roberta{times}")
            check(found, {name: value * times for name, value in VALUES.items()}, BY_WORDS)

    def test_ten_parts_are_two_things(self, tmp_path: Path) -> None:
        """COSMIC's of IEMOCAP, and MMGCN's of MELD."""
        parts = cosmic(MANIFEST, VALUES)
        iemocap = write_pickle(tmp_path / "iemocap.pkl", parts[:2] + parts[3:])
        check(read_foreign(iemocap, "text", field="roberta1"))
        nine = dialogue_rnn(MANIFEST, VALUES)
        mmgcn = write_pickle(tmp_path / "mmgcn.pkl", (*nine[:5], nine[4], *nine[5:]))
        found = read_foreign(mmgcn, "visual")
        assert found.field == "visual"
        check(found, {name: value[:3] for name, value in VALUES.items()})

    @pytest.mark.parametrize("more", [0, 1])
    def test_sdt(self, more: int, tmp_path: Path) -> None:
        """Of IEMOCAP, and of MELD, which has sentiments besides."""
        ids, speakers, labels, text, audio, sentences, train, test, sentiments = dialogue_rnn(MANIFEST, VALUES)
        parts = (ids, speakers, labels, text, text, text, text, audio, audio, sentences, train, test, sentiments)
        path = write_pickle(tmp_path / "x.pkl", parts if more else parts[:-1])
        check(read_foreign(path, "text", field="roberta3"))

    def test_dialogues_without_words_are_joined_by_their_key(self, tmp_path: Path) -> None:
        by_key = {
            f"meld/{split}/dia{number}": [VALUES[name] for name in MANIFEST.ids if f"/{split}/dia{number}_" in name]
            for split, count in (("train", 5), ("dev", 2), ("test", 3))
            for number in range(count)
        }
        found = read_foreign(write_pickle(tmp_path / "x.pkl", by_key), "text")
        check(found, rule="{dialogue_id}, turns in order")
        by_key["meld/dev/dia1"].pop()  # another cut of the dialogue: which turn is whose?
        shorter = read_foreign(write_pickle(tmp_path / "y.pkl", by_key), "text")
        assert len(join(shorter, MANIFEST).places) == 36

    def test_named_utterances_of_a_dialogue_are_joined_by_their_names(self, tmp_path: Path) -> None:
        """IEMOCAP's pickle names them."""
        parts = list(dialogue_rnn(MANIFEST, VALUES))
        names = {key: [None] * len(rows) for key, rows in parts[3].items()}
        rows = iter(MANIFEST.ids)
        parts[0] = {key: [next(rows).partition("/")[2] for _ in turns] for key, turns in names.items()}
        for part in (0, 2, 3, 4, 5, 8):
            parts[part] = {key: turns[::-1] for key, turns in parts[part].items()}  # another order of turns
        check(read_foreign(write_pickle(tmp_path / "x.pkl", tuple(parts)), "text"), rule="{path}")

    def test_names_that_fit_a_part_do_not_stand_in_the_way_of_words(self, tmp_path: Path) -> None:
        """Counted through all splits, they are MELD's own in train alone: 20 of 32 rows."""
        manifest = MANIFEST.select_splits(["train", "test"])
        parts = list(dialogue_rnn(manifest, VALUES))
        turns = dict(manifest.frame.select("utterance_id", "turn").iter_rows())
        rows = iter(manifest.ids)
        parts[0] = {key: [f"{key}_{turns[next(rows)]}" for _ in listed] for key, listed in parts[3].items()}
        joined = join(read_foreign(write_pickle(tmp_path / "x.pkl", tuple(parts)), "text"), manifest)
        assert (joined.rule, len(joined.places)) == (BY_WORDS, 32)

    @pytest.mark.parametrize("nested", [False, True])
    def test_plain_dictionaries(self, nested: bool, tmp_path: Path) -> None:
        content: Any = {"text": VALUES, "audio": VALUES} if nested else VALUES
        check(read_foreign(write_pickle(tmp_path / "x.pkl", content), "text"), rule="{utterance_id}")
        lists = {name: value.tolist() for name, value in VALUES.items()}
        double = {name: value.astype(np.float64) for name, value in VALUES.items()}
        check(read_foreign(write_pickle(tmp_path / "y.pkl", lists), "text"), double)

    def test_what_is_none_of_them_is_one_line(self, tmp_path: Path) -> None:
        for content, told in (
            ("text", "is no pickle of MMSA, conv-emotion or a dict of arrays: it holds a str"),
            ((1, 2), "holds 2 parts, which are not those of DialogueRNN, MELD.*, SDT, IEMOCAP, SDT, MELD, COSMIC"),
            ({"a": "b"}, "a holds no array of numbers"),
        ):
            with pytest.raises(UsageError, match=told):
                read_foreign(write_pickle(tmp_path / "x.pkl", content), "text")


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ([np.zeros(3), np.zeros(4)], r"different widths: \[3\] \(a\) and \[4\] \(b\)"),
        ([np.zeros(3), np.zeros((2, 3))], r"different numbers of dimensions: \[3\] \(a\) and \[2, 3\] \(b\)"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], r"different widths: \[3\] \(a\) and \[4\] \(b\)"),
        ([np.zeros((2, 3, 4))] * 2, "have 3 dimensions"),
        ([np.array([1 << 25])] * 2, r"whole numbers above 2\*\*24"),
        ([np.array(["x"])] * 2, "not numbers"),
        ([np.array(1.0)] * 2, "have 0 dimensions"),
    ],
)
def test_arrays_of_no_form_are_refused(arrays: list[np.ndarray], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        form_of(Foreign("npy", None, ["a", "b"], arrays))


def test_a_form_keeps_what_it_can() -> None:
    def of(*arrays: np.ndarray, kind: Any = None) -> tuple[Any, ...]:
        form = form_of(Foreign("npy", None, [str(place) for place in range(len(arrays))], arrays), kind)
        return form.kind, form.shape, form.stored

    assert of(np.zeros(3, "f2"), np.zeros(3, "f2")) == ("vector", (3,), "float16")
    assert of(np.zeros(3, "f2"), np.zeros(3, "f4")) == ("vector", (3,), "float32")
    assert of(np.zeros((1, 3), "f4"), np.zeros((1, 3), ">f4")) == ("vector", (3,), "float32")
    assert of(np.zeros((1, 3)), np.zeros((2, 3))) == ("sequence", (3,), "float32")
    assert of(np.zeros((1, 3)), np.zeros((1, 3)), kind="sequence") == ("sequence", (3,), "float32")
    assert of(np.zeros((4, 3)), np.zeros((4, 3)), kind="stack") == ("stack", (4, 3), "float32")
    with pytest.raises(UsageError, match="different widths"):
        of(np.zeros((4, 3)), np.zeros((5, 3)), kind="stack")


def test_a_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", KEYS)
    before = source_digest(one)
    assert source_digest(folder(tmp_path / "two", KEYS)) == before
    first = next(one.glob("*.npy"))
    first.rename(first.with_name("other.npy"))
    assert source_digest(one) != before


def test_formats_are_told_by_what_files_are(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    (tmp_path / "a.npy").rename(tmp_path / "a.bin")
    write_pickle(tmp_path / "b.npy", {})
    assert (format_of(tmp_path / "a.bin"), format_of(tmp_path / "b.npy")) == ("npy", "pickle")
    modality: Modality = "text"
    with pytest.raises(UsageError, match="is not there"):
        read_foreign(tmp_path / "none", modality)


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("text.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 27,)})
        for _ in range(1 << 9):
            file.write(bytes(1 << 20))
    with pytest.raises(UsageError, match=r"bomb\.npz: .* bytes would become 536,\d\d\d,\d\d\d"):
        read_foreign(tmp_path / "bomb.npz", "text")
