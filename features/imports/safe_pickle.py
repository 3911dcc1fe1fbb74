"""Reading pickles without running them: a machine of our own, which knows plain values and numpy arrays alone.

Python's `pickle` looks names up and calls what it finds. Here a name that a pickle asks for is looked up in a table of
twenty, none of which is Python's own function, and every other name is refused by its name. There is no call, no
import, no attribute and no class in between. Read are protocols 0 to 5: numpy arrays of numbers, texts and objects (as
numpy 1 and 2 write them), numpy scalars, and None, bool, int, float, str, bytes, list, tuple, dict and set. Texts that
Python 2 wrote are latin-1, as the tools that read such files take them.

What is made cannot be much larger than the file: each array and copy is paid for by bytes of the file that hold it.

The opcodes are those of Python's `pickletools`; how numpy writes arrays was looked at with numpy 1.26 and 2.
"""

from __future__ import annotations

import codecs
import math
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import UsageError

_MARK = object()
_DTYPE = re.compile(r"[<>|=]?([fiubSUO]\d{0,9})")
_MOST_DIGITS = 4000  # of a number written out: Python's own limit is near


class UnsafePickleError(UsageError):
    """A pickle that is not made of arrays and plain containers alone, or that is damaged. Nothing of it was run."""


class _Known:
    """A name of the table, as it stands on the stack: what REDUCE on it makes of its arguments."""

    def __init__(self, name: str, make: Callable[[_Machine, tuple[Any, ...]], Any]) -> None:
        self.name = name
        self.make = make


class _Dtype:
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


def load_pickle(path: Path) -> Any:
    """The value that the pickle at `path` holds. Raises UnsafePickleError, whose message names the file."""
    try:
        return load_pickle_bytes(path.read_bytes())
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{path}: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error


def load_pickle_bytes(data: bytes) -> Any:
    """The same of bytes. Raises UnsafePickleError for whatever else than plain values and arrays they ask for."""
    machine = _Machine(data)
    try:
        return machine.run()
    except UnsafePickleError:
        raise
    except (IndexError, KeyError, ValueError, TypeError, struct.error, UnicodeError, OverflowError) as error:
        raise UnsafePickleError(
            f"is no pickle, or damaged, at byte {machine.place} ({type(error).__name__}: {str(error)[:80]})"
        ) from error


class _Machine:
    """The stack, the memo, and what is left of the file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self._bytes_left = len(data) + 4096
        self._items_left = len(data) + 4096

    def run(self) -> Any:
        while True:
            code = self.take(1)
            if code == b".":
                return self.stack.pop()
            work = _OPCODES.get(code)
            if work is None:
                what = _REFUSED.get(code, f"opcode {code!r}")
                raise UnsafePickleError(f"{what} at byte {self.place - 1}: only arrays and plain containers are read")
            work(self)

    def take(self, count: int) -> bytes:
        stop = self.place + count
        if count < 0 or stop > len(self.data):
            raise UnsafePickleError(f"ends at byte {len(self.data)}, within a value: it is no pickle, or was cut off")
        found = self.data[self.place : stop]
        self.place = stop
        return found

    def line(self) -> bytes:
        stop = self.data.find(b"\n", self.place)
        if stop < 0:
            raise UnsafePickleError(f"ends at byte {len(self.data)}, within a line: it is no pickle, or was cut off")
        found = self.data[self.place : stop]
        self.place = stop + 1
        return found

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """What stands above the last mark, which is taken off."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise UnsafePickleError("has no mark where one is needed: it is damaged")
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found

    def pay(self, num_bytes: int, items: int = 0) -> None:
        """What is copied must have stood in the file. Raises UnsafePickleError where it cannot have."""
        self._bytes_left -= num_bytes
        self._items_left -= items
        if self._bytes_left < 0 or self._items_left < 0 or num_bytes < 0 or items < 0:
            raise UnsafePickleError("asks for more memory than the file has bytes: refused")

    def known(self, module: str, name: str) -> None:
        found = _NAMES.get((module, name))
        if found is None:
            raise UnsafePickleError(
                f"asks for {module[:60]}.{name[:60]}, which is refused and was not run: only numpy arrays and plain"
                " containers are read"
            )
        self.push(found)


# What the names of the table make


def _reconstruct(machine: _Machine, args: tuple[Any, ...]) -> np.ndarray:
    """An empty array, filled by BUILD."""
    if len(args) != 3 or not isinstance(args[0], _Known) or args[0].name != "numpy.ndarray":
        raise UnsafePickleError("an array of a class other than numpy.ndarray is refused")
    return np.empty(0, np.int8)


def _fill(machine: _Machine, array: np.ndarray, state: Any) -> None:
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


def _frombuffer(machine: _Machine, args: tuple[Any, ...]) -> np.ndarray:
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
    if not isinstance(dtype, _Dtype):
        raise UnsafePickleError("an array without a numpy dtype")
    return dtype.value, math.prod(shape)


def _as_bytes(content: Any) -> bytes:
    if isinstance(content, str):  # Python 2's bytes
        return content.encode("latin-1")
    if isinstance(content, bytes | bytearray):
        return bytes(content)
    raise UnsafePickleError(f"the content of an array is {type(content).__name__}, not bytes")


def _scalar(machine: _Machine, args: tuple[Any, ...]) -> Any:
    """A numpy scalar, as Python's own number or text."""
    if len(args) != 2:
        raise UnsafePickleError("a numpy scalar is not what numpy writes")
    kind, _ = _checked((), args[0])
    content = _as_bytes(args[1])
    if kind.hasobject or len(content) != kind.itemsize:
        raise UnsafePickleError("a numpy scalar has another number of bytes than its dtype")
    machine.pay(len(content))
    return np.frombuffer(content, kind)[0].item() if kind.itemsize else ""


def _dtype(machine: _Machine, args: tuple[Any, ...]) -> _Dtype:
    if not args or not isinstance(args[0], str):
        raise UnsafePickleError("a numpy dtype that is not named by a code is refused")
    return _Dtype(args[0])


def _encode(machine: _Machine, args: tuple[Any, ...]) -> bytes:
    """How protocols 0 to 2 write the bytes of Python 3: a text and `latin1`."""
    if len(args) != 2 or not isinstance(args[0], str) or args[1] not in ("latin1", "latin-1"):
        raise UnsafePickleError("_codecs.encode of anything but latin1 is refused")
    machine.pay(len(args[0]))
    return args[0].encode("latin-1")


def _bytes(machine: _Machine, args: tuple[Any, ...]) -> bytes:
    if not args:
        return b""
    content = args[0]
    if not isinstance(content, str | bytes):
        raise UnsafePickleError("bytes of anything but bytes is refused")
    machine.pay(len(content))
    return _as_bytes(content)


def _container(name: str, make: Callable[[list[Any]], Any]) -> Callable[[_Machine, tuple[Any, ...]], Any]:
    def made(machine: _Machine, args: tuple[Any, ...]) -> Any:
        content = args[0] if args else []
        if isinstance(content, _Known):  # of a defaultdict: what it would call, which is dropped
            content = []
        if not isinstance(content, list | tuple):
            raise UnsafePickleError(f"{name} of anything but a list is refused")
        machine.pay(0, len(content))
        return make(list(content))

    return made


def _refused(name: str) -> Callable[[_Machine, tuple[Any, ...]], Any]:
    def made(machine: _Machine, args: tuple[Any, ...]) -> Any:
        raise UnsafePickleError(f"calls {name}, which is refused and was not run")

    return made


def _table() -> dict[tuple[str, str], _Known]:
    table: dict[tuple[str, str], _Known] = {}

    def add(modules: tuple[str, ...], name: str, make: Callable[[_Machine, tuple[Any, ...]], Any]) -> None:
        for module in modules:
            table[module, name] = _Known(f"{module}.{name}", make)

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


_NAMES = _table()


# The opcodes


def _reduce(machine: _Machine) -> None:
    args, callee = machine.stack.pop(), machine.stack.pop()
    if not isinstance(callee, _Known) or not isinstance(args, tuple):
        raise UnsafePickleError(f"calls a {type(callee).__name__}: refused")
    machine.push(callee.make(machine, args))


def _build(machine: _Machine) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    if isinstance(target, np.ndarray):
        _fill(machine, target, state)
    elif isinstance(target, _Dtype):
        target.build(state)
    else:
        raise UnsafePickleError(f"sets the state of a {type(target).__name__}: refused, and nothing was run")


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise UnsafePickleError("asks for a name that is no text")
    machine.known(module, name)


def _set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict) or len(items) % 2:
        raise UnsafePickleError("sets items of what is no dict: refused")
    target.update(zip(items[::2], items[1::2], strict=True))


def _append(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, list):
        raise UnsafePickleError("appends to what is no list: refused")
    target.extend(items)


def _add_items(machine: _Machine) -> None:
    items, target = machine.marked(), machine.stack[-1]
    if not isinstance(target, set):
        raise UnsafePickleError("adds to what is no set: refused")
    target.update(items)


def _dict(machine: _Machine) -> None:
    items = machine.marked()
    machine.push({})
    _set_items(machine, items)


def _tuple(count: int) -> Callable[[_Machine], None]:
    def work(machine: _Machine) -> None:
        if len(machine.stack) < count:
            raise UnsafePickleError("has too few values for a tuple: it is damaged")
        items = tuple(machine.stack[-count:])
        del machine.stack[-count:]
        machine.push(items)

    return work


def _int_line(machine: _Machine) -> None:
    text = machine.line()
    if text in (b"00", b"01"):
        machine.push(text == b"01")
        return
    digits = text.rstrip(b"L")
    if len(digits) > _MOST_DIGITS:
        raise UnsafePickleError(f"a number of {len(digits)} digits: refused")
    machine.push(int(digits))


def _long(form: str) -> Callable[[_Machine], None]:
    def work(machine: _Machine) -> None:
        machine.push(int.from_bytes(machine.take(machine.number(form)), "little", signed=True))

    return work


def _string_line(machine: _Machine) -> None:
    """Python 2's text, quoted and with escapes."""
    text = machine.line()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise UnsafePickleError("a text without its quotes: it is damaged")
    machine.push(codecs.escape_decode(text[1:-1])[0].decode("latin-1"))


def _text(form: str, encoding: str | None) -> Callable[[_Machine], None]:
    """A text or bytes (`encoding` None) behind its length."""

    def work(machine: _Machine) -> None:
        found = machine.take(machine.number(form))
        machine.push(
            found if encoding is None else found.decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")
        )

    return work


def _put(index: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    def work(machine: _Machine) -> None:
        machine.memo[index(machine)] = machine.stack[-1]

    return work


def _get(index: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(machine.memo[index(machine)])


def _memo_line(machine: _Machine) -> int:
    return int(machine.line()[:20])


_LATIN, _UTF8 = "latin-1", "utf-8"
_OPCODES: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda machine: machine.take(1),  # the protocol
    b"\x95": lambda machine: machine.take(8),  # a frame's length
    b"(": lambda machine: machine.push(_MARK),
    b"0": lambda machine: machine.stack.pop(),
    b"1": lambda machine: machine.marked(),
    b"2": lambda machine: machine.push(machine.stack[-1]),
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"I": _int_line,
    b"L": _int_line,
    b"J": lambda machine: machine.push(machine.number("<i")),
    b"K": lambda machine: machine.push(machine.number("<B")),
    b"M": lambda machine: machine.push(machine.number("<H")),
    b"\x8a": _long("<B"),
    b"\x8b": _long("<i"),
    b"F": lambda machine: machine.push(float(machine.line())),
    b"G": lambda machine: machine.push(machine.number(">d")),
    b"S": _string_line,
    b"T": _text("<i", _LATIN),
    b"U": _text("<B", _LATIN),
    b"V": lambda machine: machine.push(machine.line().decode("raw-unicode-escape")),
    b"X": _text("<I", _UTF8),
    b"\x8c": _text("<B", _UTF8),
    b"\x8d": _text("<Q", _UTF8),
    b"B": _text("<I", None),
    b"C": _text("<B", None),
    b"\x8e": _text("<Q", None),
    b"\x96": _text("<Q", None),  # a bytearray
    b"\x98": lambda machine: None,  # a buffer made read-only: here all are
    b"]": lambda machine: machine.push([]),
    b"}": lambda machine: machine.push({}),
    b")": lambda machine: machine.push(()),
    b"\x8f": lambda machine: machine.push(set()),
    b"l": lambda machine: machine.push(machine.marked()),
    b"t": lambda machine: machine.push(tuple(machine.marked())),
    b"d": _dict,
    b"\x91": lambda machine: machine.push(frozenset(machine.marked())),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"a": lambda machine: _append(machine, [machine.stack.pop()]),
    b"e": lambda machine: _append(machine, machine.marked()),
    b"s": lambda machine: _set_items(machine, [machine.stack.pop(), machine.stack.pop()][::-1]),
    b"u": lambda machine: _set_items(machine, machine.marked()),
    b"\x90": _add_items,
    b"p": _put(_memo_line),
    b"q": _put(lambda machine: machine.number("<B")),
    b"r": _put(lambda machine: machine.number("<I")),
    b"\x94": _put(lambda machine: len(machine.memo)),
    b"g": _get(_memo_line),
    b"h": _get(lambda machine: machine.number("<B")),
    b"j": _get(lambda machine: machine.number("<I")),
    b"c": lambda machine: machine.known(machine.line().decode(_UTF8), machine.line().decode(_UTF8)),
    b"\x93": _stack_global,
    b"R": _reduce,
    b"b": _build,
}


def _named_then_refused(machine: _Machine) -> None:
    """INST: a class by its name. Whatever it is, it is refused; the name is told."""
    module, name = machine.line().decode(_UTF8), machine.line().decode(_UTF8)
    raise UnsafePickleError(f"makes an object of {module[:60]}.{name[:60]}: refused, and nothing was run")


_OPCODES[b"i"] = _named_then_refused
_REFUSED = {
    b"o": "makes an object (OBJ)",
    b"\x81": "makes an object (NEWOBJ)",
    b"\x92": "makes an object (NEWOBJ_EX)",
    b"P": "asks for a persistent id",
    b"Q": "asks for a persistent id",
    b"\x82": "asks for an extension",
    b"\x83": "asks for an extension",
    b"\x84": "asks for an extension",
    b"\x97": "has buffers outside the file",
}
