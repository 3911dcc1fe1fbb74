"""The tensors of a shard: what is written is what is read, and nothing else is accepted."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from store_factory import make_spec

from features.errors import ShardError
from features.store.shard import open_shard, row_crc32, shard_bytes, stored_array


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["vector", "stack", "sequence"]),
    dtype=st.sampled_from(["float32", "float16"]),
    lengths=st.lists(st.integers(0, 5), max_size=6),
    data=st.data(),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, kind: str, dtype: str, lengths: list[int], data: st.DataObject
) -> None:
    shape = (2, 3) if kind == "stack" else (3,)
    spec = make_spec(kind=kind, shape=shape, stored_dtype=dtype)
    finite = st.floats(-100, 100, width=16)
    arrays = [
        stored_array(
            spec, data.draw(hnp.arrays(np.float32, (length, *shape) if kind == "sequence" else shape, elements=finite))
        )
        for length in lengths
    ]
    path = tmp_path_factory.mktemp("shard") / "00000.h5"
    path.write_bytes(shard_bytes(spec, arrays))
    shard = open_shard(path, spec, path.stat().st_size)
    assert len(shard) == len(arrays)
    for row, array in enumerate(arrays):
        assert shard.row(row).dtype == np.dtype(dtype)
        np.testing.assert_array_equal(shard.row(row), array)
        assert row_crc32(np.array(shard.row(row))) == row_crc32(array)


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    spec = make_spec()
    rows = [np.arange(3, dtype=np.float32)] * 2
    for name in ("a.h5", "b.h5"):
        (tmp_path / name).write_bytes(shard_bytes(spec, rows))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_rows_are_memory_mapped_and_aligned(tmp_path: Path) -> None:
    spec = make_spec()
    (tmp_path / "a.h5").write_bytes(shard_bytes(spec, [np.arange(3, dtype=np.float32)]))
    shard = open_shard(tmp_path / "a.h5", spec)
    assert isinstance(shard.values.base, np.memmap)
    assert type(shard.values) is np.ndarray  # a memmap's own rows are slow to take
    assert shard.begin == shard.values.base.offset
    assert shard.begin % 64 == 0
    with pytest.raises(ValueError, match="read-only"):
        shard.values[0] = 1


def test_another_shape_is_refused() -> None:
    with pytest.raises(ShardError, match=r"shape \(4,\), the spec says vector of \(3,\)"):
        stored_array(make_spec(), np.zeros(4, np.float32))


def _chunked(file: h5py.File) -> None:
    file.create_dataset("embedding", data=np.zeros((2, 3), "<f4"), chunks=(1, 3))


def _compressed(file: h5py.File) -> None:
    file.create_dataset("embedding", data=np.zeros((2, 3), "<f4"), compression="gzip")


def _shuffled(file: h5py.File) -> None:
    file.create_dataset("embedding", data=np.zeros((2, 3), "<f4"), chunks=(1, 3), shuffle=True)


def _with_checksums(file: h5py.File) -> None:
    file.create_dataset("embedding", data=np.zeros((2, 3), "<f4"), chunks=(1, 3), fletcher32=True)


def _compact(file: h5py.File) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((2, 3))
    h5py.h5d.create(file.id, b"embedding", h5py.h5t.IEEE_F32LE, space, settings)


def _group(file: h5py.File) -> None:
    file.create_group("embedding")


def _big_endian(file: h5py.File) -> None:
    file.create_dataset("embedding", data=np.zeros((2, 3), ">f4"))


def _external(file: h5py.File) -> None:
    raw = Path(file.filename).with_suffix(".raw")
    raw.write_bytes(bytes(24))
    file.create_dataset("embedding", (2, 3), "<f4", external=[(str(raw), 0, 24)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((2, 3), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "embedding", (2, 3))
    file.create_virtual_dataset("embedding", layout)


def _external_link(file: h5py.File) -> None:
    file["embedding"] = h5py.ExternalLink("other.h5", "/embedding")


def _soft_link(file: h5py.File) -> None:
    file["embedding"] = h5py.SoftLink("/elsewhere")


def _other_dtype(file: h5py.File) -> None:
    file.create_dataset("embedding", data=np.zeros((2, 3), "<f8"))


def _other_width(file: h5py.File) -> None:
    file.create_dataset("embedding", data=np.zeros((2, 4), "<f4"))


def _more(file: h5py.File) -> None:
    file.create_dataset("embedding", data=np.zeros((2, 3), "<f4"))
    file.create_dataset("more", data=np.zeros(1))


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (_chunked, "chunked: refused"),
        (_compressed, "chunked: refused"),
        (_shuffled, "chunked: refused"),
        (_with_checksums, "chunked: refused"),
        (_compact, "reaches past the end of the file"),
        (_group, "external, virtual or chunked: refused"),
        (_big_endian, ">f4|float32"),
        (_external, "external, virtual or chunked: refused"),
        (_virtual, "external, virtual or chunked: refused"),
        (_external_link, "is a link: refused"),
        (_soft_link, "is a link: refused"),
        (_other_dtype, "float64"),
        (_other_width, r"\(2, 4\)"),
        (_more, "holds .*more"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, build: object, match: str) -> None:
    spec = make_spec()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["fingerprint"] = spec.fingerprint
        build(file)  # type: ignore[operator]
    with pytest.raises(ShardError, match=match):
        open_shard(tmp_path / "a.h5", spec)


def test_another_feature_or_a_cut_file_is_refused(tmp_path: Path) -> None:
    spec = make_spec()
    (tmp_path / "a.h5").write_bytes(shard_bytes(spec, [np.zeros(3, np.float32)] * 50))
    with pytest.raises(ShardError, match="holds another feature"):
        open_shard(tmp_path / "a.h5", make_spec(version=2))
    size = (tmp_path / "a.h5").stat().st_size
    with (tmp_path / "a.h5").open("r+b") as file:
        file.truncate(size - 100)
    with pytest.raises(ShardError, match="its commit record says"):
        open_shard(tmp_path / "a.h5", spec, size)
    with pytest.raises(ShardError, match="cannot be opened"):
        open_shard(tmp_path / "a.h5", spec)


@pytest.mark.parametrize("kind", ["vector", "sequence"])
def test_a_row_that_there_is_not_is_refused(tmp_path: Path, kind: str) -> None:
    """As a damaged ledger asks for, or that of another shard."""
    spec = make_spec(kind=kind)
    shape = (2, 3) if kind == "sequence" else (3,)
    (tmp_path / "a.h5").write_bytes(shard_bytes(spec, [np.zeros(shape, np.float32)] * 2))
    shard = open_shard(tmp_path / "a.h5", spec)
    assert shard.lengths(np.array([1, 0])).tolist() == ([2, 2] if kind == "sequence" else [1, 1])
    for row in (2, -1, None):
        with pytest.raises(ShardError, match=f"a.h5: has 2 rows, its ledger asks for row {row}: .*--repair"):
            shard.row(row)
        rows = np.array([0, np.nan if row is None else row])
        for ask in (shard.take, shard.lengths):
            with pytest.raises(ShardError, match="has 2 rows, its ledger asks for row"):
                ask(rows)
    assert shard.take(np.array([1], np.int64)).shape[1:] == (3,)
