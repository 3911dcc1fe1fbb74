"""The unpickler of our own: it reads what numpy and Python write, and runs nothing."""

from __future__ import annotations

import collections
import contextlib
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.imports.pickle_names import UnsafePickleError
from features.imports.safe_pickle import load_pickle, load_pickle_bytes

VALUES: list[Any] = [
    None,
    True,
    -5,
    2**70,
    -(2**40),
    1.5,
    float("inf"),
    "a\nb'\\ é \u2028 日本",
    b"\x00\xff\n",
    b"",
    bytearray(b"xy"),
    [1, [2, [3]]],
    (1,),
    (1, 2, 3, 4),
    {"a": [1], 2: ("x",)},
    {1, 2},
    frozenset({3}),
    collections.OrderedDict([("b", 1), ("a", 2)]),
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    np.arange(4, dtype=">f4"),
    np.arange(4, dtype=np.float16),
    np.array(["ab", "c"]),
    np.array([b"ab", b"c"]),
    np.array(["ab", None, [1, 2]], object),
    np.zeros((0, 7), np.int64),
    np.array(3.5),
    np.array([True, False]),
    [np.float32(1.25), np.int64(7), np.str_("x"), np.bool_(True)],
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("number", range(len(VALUES)))
def test_what_numpy_and_python_write_is_read_as_they_read_it(number: int, protocol: int) -> None:
    value = VALUES[number]
    found = load_pickle_bytes(pickle.dumps(value, protocol))
    assert_same(found, pickle.loads(pickle.dumps(value, protocol)))


def assert_same(found: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        assert isinstance(found, np.ndarray)
        assert (found.dtype, found.shape) == (value.dtype, value.shape)
        assert found.tolist() == value.tolist()
    elif isinstance(value, list):
        assert len(found) == len(value)
        for one, other in zip(found, value, strict=True):
            assert_same(one, other)
    else:
        assert found == value
        if isinstance(value, np.generic):
            assert not isinstance(found, np.generic)


def test_names_of_numpy_1_and_2_are_both_known() -> None:
    data = pickle.dumps(np.arange(3), 2)
    old, new = b"numpy.core.multiarray", b"numpy._core.multiarray"
    for written in (data.replace(new, old), data.replace(old, new)):
        assert load_pickle_bytes(written).tolist() == [0, 1, 2]


def test_a_pickle_of_python_2_is_read_as_latin_1() -> None:
    """What Python 2 writes for np.array([1.0], '<f4') by protocol 0 and 2, and for a text."""
    head = (
        "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\ntcnumpy\ndtype\n(S'f4'\nI0\n"
    )
    head += "I1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
    assert load_pickle_bytes((head + r"S'\x00\x00\x80?'" + "\ntb.").encode("latin-1")).tolist() == [1.0]
    assert load_pickle_bytes(head.encode("latin-1") + b"U\x04\x00\x00\x80?tb.").tolist() == [1.0]
    assert load_pickle_bytes(b"\x80\x02U\x03a\xe9b.") == "a\xe9b"


class Runs:
    """A pickle of it calls `function(*args)`."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.called = (function, args)

    def __reduce__(self) -> Any:
        return self.called


class Builds:
    def __reduce__(self) -> Any:
        return (Builds, (), {"ran": True})


GONE = "echo ran > ran.txt"


def hostile(folder: Path) -> dict[str, bytes]:
    touch = f"touch {folder}/ran"
    ran = Runs(os.system, touch)
    objects = np.array([1, ran], object)
    system = b"posix\nsystem\n"
    command = touch.encode()
    return {
        "REDUCE": pickle.dumps(ran),
        "REDUCE, protocol 0": pickle.dumps(ran, 0),
        "nested": pickle.dumps({"train": {"id": [1, (2, ran)]}}),
        "in an array of objects": pickle.dumps(objects),
        "in an array of objects, protocol 2": pickle.dumps(objects, 2),
        "BUILD": pickle.dumps(Builds()),
        "eval": pickle.dumps(Runs(eval, f"__import__('os').system('{touch}')")),
        "getattr": pickle.dumps(Runs(getattr, "text", "upper")),
        "INST": b"(S'" + command + b"'\ni" + system + b".",
        "OBJ": b"(c" + system + b"S'" + command + b"'\no.",
        "NEWOBJ": b"\x80\x02c" + system + b"(U" + bytes([len(command)]) + command + b"t\x81.",
        "a set of its state": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}U\x04makec" + system + b"sb.",
        "BUILD of a name of ours": b"\x80\x02cnumpy\nndarray\n}U\x04makeK\x01sb.",
        "BUILD of a dict": b"\x80\x02}}U\x01aK\x01sb.",
        "BUILD of what was made": b"\x80\x02cbuiltins\nset\n]\x85R}U\x01aK\x01sb.",
        "a deep key": b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s.",
        "a deep member": b"\x80\x04\x8f()" + b"\x85" * 1_000_000 + b"\x90.",
        "a deep member that is frozen": b"\x80\x04()" + b"\x85" * 1_000_000 + b"\x91.",
        "a deep member of a list": b"\x80\x02cbuiltins\nset\n])" + b"\x85" * 1_000_000 + b"a\x85R.",
        "a deep key of pairs": b"\x80\x02ccollections\nOrderedDict\n])" + b"\x85" * 1_000_000 + b"K\x01\x86a\x85R.",
        "what numpy loads": pickle.dumps(Runs(np.load, "x.npy")),
        "a class of numpy": b"\x80\x02cnumpy\nndarray\n(K\x05tR.",
        "a name within a name": b"\x80\x04\x8c\x08builtins\x8c\x0clist.__class_\x93.",
        "a subclass of arrays": pickle.dumps(np.ma.masked_array([1, 2], [0, 1])),
        "a persistent id": b"Pos.system\n.",
        "an extension": b"\x82\x01.",
        "a called value": b"(lp0\n(tR.",
    }


@pytest.mark.parametrize("name", list(hostile(Path("x"))))
def test_a_hostile_pickle_runs_nothing_and_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafePickleError, match=r"refused|only arrays|only numbers"):
        load_pickle_bytes(hostile(tmp_path)[name])
    assert list(tmp_path.iterdir()) == []


def test_the_hostile_pickles_would_run(tmp_path: Path) -> None:
    """Python's own reader runs them: else the test above would show nothing."""
    ran = 0
    for name in ("REDUCE", "nested", "in an array of objects", "INST", "OBJ", "eval"):
        (tmp_path / "ran").unlink(missing_ok=True)
        with contextlib.suppress(Exception):
            pickle.loads(hostile(tmp_path)[name])
        ran += (tmp_path / "ran").exists()
    assert ran >= 5


def test_what_was_refused_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Runs(os.system, "true")))
    with pytest.raises(UnsafePickleError, match=r"x\.pkl: asks for posix\.system, which is refused and was not run"):
        load_pickle(tmp_path / "x.pkl")


DTYPE = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR"
ARRAY = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"


TEXT = b"X\x00\x04\x00\x00" + b"a" * 1024  # a kilobyte
MEMORY: dict[str, tuple[bytes, str]] = {
    "bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.", "within a value"),
    "bytearray": (b"\x80\x04\x96" + struct.pack("<Q", 1 << 62) + b".", "within a value"),
    "long": (b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b".", "within a value"),
    "negative": (b"\x80\x02T" + struct.pack("<i", -5) + b".", "within a value"),
    "array": (ARRAY + b"(K\x01(J\xff\xff\xff\x7ft" + DTYPE + b"\x89U\x00tb.", "has 0 bytes, not 8589934588"),
    "larger": (ARRAY + b"(K\x01(\x8a\x09" + bytes(8) + b"\x01t" + DTYPE + b"\x89U\x00tb.", "has 0 bytes, not 7378"),
    "digits": (b"I" + b"9" * 5000 + b"\n.", "a number of 5000 digits"),
    "encoded again and again": (
        b"\x80\x02" + TEXT + b"q\x00c_codecs\nencode\nq\x01" + b"h\x01h\x00U\x06latin1\x86R" * 40 + b".",
        "more memory than the file has bytes",
    ),
    "a set again and again": (
        b"\x80\x02(" + b"N" * 3000 + b"lq\x00" + b"cbuiltins\nset\nh\x00\x85R" * 400 + b".",
        "more memory than the file has bytes",
    ),
    "bytes filled in again and again": (
        ARRAY
        + b"q\x02"
        + TEXT.replace(b"X", b"T")
        + b"q\x00"
        + b"0"
        + b"h\x02(K\x01M\x00\x04\x85cnumpy\ndtype\n(U\x02i1K\x00K\x01tR\x89h\x00tb" * 40
        + b".",
        "more memory than the file has bytes",
    ),
}


@pytest.mark.parametrize("name", list(MEMORY))
def test_no_more_memory_than_the_file_is_asked_for(name: str) -> None:
    import tracemalloc

    data, told = MEMORY[name]
    tracemalloc.start()
    try:
        with pytest.raises(UnsafePickleError, match=told):
            load_pickle_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data", [b"", b".", b"(", b"t.", b"a.", b"h\x05.", b"not a pickle", b"\x80\x05]", b"}]s.", b"b."]
)
def test_a_damaged_pickle_is_one_line(data: bytes) -> None:
    with pytest.raises(UnsafePickleError) as caught:
        load_pickle_bytes(data)
    assert "\n" not in str(caught.value)


def test_a_memo_number_of_four_billion_costs_nothing() -> None:
    assert load_pickle_bytes(b"\x80\x02K\x05r\xff\xff\xff\xff0j\xff\xff\xff\xff.") == 5
