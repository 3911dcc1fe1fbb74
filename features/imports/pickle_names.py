"""The names that a pickle may ask for, and what stands in their place: none is Python's or numpy's own function."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from features.errors import UsageError

_DTYPE = re.compile(r"[<>|=]?([fiubSUO]\d{0,9})")


class Payer(Protocol):
    """What is copied must have stood in the file: see `Machine.pay`."""

    def pay(self, num_bytes: int, items: int = 0) -> None: ...


class UnsafePickleError(UsageError):
    """A pickle that is not made of arrays and plain containers alone, or that is damaged. Nothing of it was run."""


class Known:
    """A name of the table, as it stands on the stack: what REDUCE on it makes of its arguments."""

    def __init__(self, name: str, make: Callable[[Payer, tuple[Any, ...]], Any]) -> None:
        self.name = name
        self.make = make


class Dtype:
    """A numpy dtype in the making: BUILD sets its byte order."""

    def __init__(self, code: str) -> None:
        found = _DTYPE.fullmatch(code)
        if not found:
            raise UnsafePickleError(f"a numpy dtype {code[:40]!r}: only numbers, texts and objects are read")
        self.value = np.dtype(found[1] if found[1] != "O8" and found[1] != "O4" else "O")

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise UnsafePickleError("the state of a numpy dtype is not what numpy writes")
        self.value = self.value.newbyteorder(state[1]) if state[1] in "<>" else self.value


def _reconstruct(machine: Payer, args: tuple[Any, ...]) -> np.ndarray:
    """An empty array, filled by BUILD."""
    if len(args) != 3 or not isinstance(args[0], Known) or args[0].name != "numpy.ndarray":
        raise UnsafePickleError("an array of a class other than numpy.ndarray is refused")
    return np.empty(0, np.int8)


def fill(machine: Payer, array: np.ndarray, state: Any) -> None:
    """BUILD of an array: (version, shape, dtype, whether columns come first, bytes or a list of objects)."""
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise UnsafePickleError("the state of an array is not what numpy writes")
    shape, dtype, is_fortran, content = state[-4:]
    kind, count = _checked(shape, dtype)
    if kind.hasobject:
        if not isinstance(content, list) or len(content) != count:
            raise UnsafePickleError("an array of objects does not hold as many as its shape says")
        machine.pay(0, count)
    else:
        content = _as_bytes(content)
        if len(content) != count * kind.itemsize:
            raise UnsafePickleError(f"an array of shape {shape} has {len(content)} bytes, not {count * kind.itemsize}")
        machine.pay(len(content))
    array.__setstate__((1, shape, kind, bool(is_fortran), content))  # type: ignore[arg-type]


def _frombuffer(machine: Payer, args: tuple[Any, ...]) -> np.ndarray:
    """How protocol 5 writes an array: (buffer, dtype, shape, order)."""
    if len(args) != 4 or args[3] not in ("C", "F"):
        raise UnsafePickleError("the buffer of an array is not what numpy writes")
    content, shape = _as_bytes(args[0]), args[2]
    kind, count = _checked(shape, args[1])
    if kind.hasobject or len(content) != count * kind.itemsize:
        raise UnsafePickleError(f"an array of shape {shape} has {len(content)} bytes, not {count * kind.itemsize}")
    return np.frombuffer(content, kind).reshape(shape, order=args[3])


def _checked(shape: Any, dtype: Any) -> tuple[np.dtype, int]:
    if not isinstance(shape, tuple) or len(shape) > 32 or any(type(size) is not int or size < 0 for size in shape):
        raise UnsafePickleError("the shape of an array is not a tuple of sizes")
    if not isinstance(dtype, Dtype):
        raise UnsafePickleError("an array without a numpy dtype")
    return dtype.value, math.prod(shape)


def _as_bytes(content: Any) -> bytes:
    if isinstance(content, str):  # Python 2's bytes
        return content.encode("latin-1")
    if isinstance(content, bytes | bytearray):
        return bytes(content)
    raise UnsafePickleError(f"the content of an array is {type(content).__name__}, not bytes")


def _scalar(machine: Payer, args: tuple[Any, ...]) -> Any:
    """A numpy scalar, as Python's own number or text."""
    if len(args) != 2:
        raise UnsafePickleError("a numpy scalar is not what numpy writes")
    kind, _ = _checked((), args[0])
    content = _as_bytes(args[1])
    if kind.hasobject or len(content) != kind.itemsize:
        raise UnsafePickleError("a numpy scalar has another number of bytes than its dtype")
    machine.pay(len(content))
    return np.frombuffer(content, kind)[0].item() if kind.itemsize else ""


def _dtype(machine: Payer, args: tuple[Any, ...]) -> Dtype:
    if not args or not isinstance(args[0], str):
        raise UnsafePickleError("a numpy dtype that is not named by a code is refused")
    return Dtype(args[0])


def _encode(machine: Payer, args: tuple[Any, ...]) -> bytes:
    """How protocols 0 to 2 write the bytes of Python 3: a text and `latin1`."""
    if len(args) != 2 or not isinstance(args[0], str) or args[1] not in ("latin1", "latin-1"):
        raise UnsafePickleError("_codecs.encode of anything but latin1 is refused")
    machine.pay(len(args[0]))
    return args[0].encode("latin-1")


def _bytes(machine: Payer, args: tuple[Any, ...]) -> bytes:
    if not args:
        return b""
    content = args[0]
    if not isinstance(content, str | bytes):
        raise UnsafePickleError("bytes of anything but bytes is refused")
    machine.pay(len(content))
    return _as_bytes(content)


def check_keys(keys: Iterable[Any]) -> None:
    """Keys of dicts and members of sets are values or tuples of them: to hash deep tuples may end the process."""
    for key in keys:
        if isinstance(key, tuple) and any(isinstance(part, tuple | frozenset) for part in key):
            raise UnsafePickleError("a key is a tuple within a tuple: refused")


def _container(name: str, make: Callable[[list[Any]], Any]) -> Callable[[Payer, tuple[Any, ...]], Any]:
    def made(machine: Payer, args: tuple[Any, ...]) -> Any:
        content = args[0] if args else []
        if isinstance(content, Known):  # of a defaultdict: what it would call, which is dropped
            content = []
        if not isinstance(content, list | tuple):
            raise UnsafePickleError(f"{name} of anything but a list is refused")
        machine.pay(0, len(content))
        if make is dict:
            if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in content):
                raise UnsafePickleError(f"{name} of anything but pairs is refused")
            check_keys(pair[0] for pair in content)
        elif make is not list:
            check_keys(content)
        return make(list(content))

    return made


def _refused(name: str) -> Callable[[Payer, tuple[Any, ...]], Any]:
    def made(machine: Payer, args: tuple[Any, ...]) -> Any:
        raise UnsafePickleError(f"calls {name}, which is refused and was not run")

    return made


def _table() -> dict[tuple[str, str], Known]:
    table: dict[tuple[str, str], Known] = {}

    def add(modules: tuple[str, ...], name: str, make: Callable[[Payer, tuple[Any, ...]], Any]) -> None:
        for module in modules:
            table[module, name] = Known(f"{module}.{name}", make)

    multiarray = ("numpy.core.multiarray", "numpy._core.multiarray")
    add(multiarray, "_reconstruct", _reconstruct)
    add(multiarray, "scalar", _scalar)
    add(("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer", _frombuffer)
    add(("numpy",), "ndarray", _refused("numpy.ndarray"))
    add(("numpy",), "dtype", _dtype)
    add(("_codecs",), "encode", _encode)
    builtins = ("builtins", "__builtin__")
    add(builtins, "bytes", _bytes)
    add(builtins, "bytearray", _bytes)
    for name, make in (("set", set), ("frozenset", frozenset), ("list", list), ("dict", dict)):
        add(builtins, name, _container(name, make))
    add(("collections",), "OrderedDict", _container("OrderedDict", dict))
    add(("collections",), "defaultdict", _container("defaultdict", dict))
    return table


NAMES = _table()
