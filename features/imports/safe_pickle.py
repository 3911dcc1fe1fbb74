"""Reading pickles without running them: a machine of our own, which knows plain values and numpy arrays alone.

Python's `pickle` looks names up and calls what it finds. Here a name that a pickle asks for is looked up in a table of
twenty, none of which is Python's own function, and every other name is refused by its name. There is no call, no
import, no attribute and no class in between. Read are protocols 0 to 5: numpy arrays of numbers, texts and objects (as
numpy 1 and 2 write them), numpy scalars, and None, bool, int, float, str, bytes, list, tuple, dict and set. Texts that
Python 2 wrote are latin-1, as the tools that read such files take them.

What is made cannot be much larger than the file: each array and copy is paid for by bytes of the file that hold it.

The opcodes are those of Python's `pickletools`. What numpy writes was read off the files of numpy 2; those of
numpy 1 and of Python 2 differ in the names of modules and in how bytes are written, as the pickles in the tests do.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import UsageError
from features.imports.pickle_names import NAMES, Dtype, Known, UnsafePickleError, check_keys, fill

_MARK = object()
_COPIES = 3  # of a byte of the file: as a text, encoded, and in its array
_MOST_DIGITS = 4000  # of a number written out: Python's own limit is near


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
        self._bytes_left = self._items_left = _COPIES * len(data) + 4096

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
        found = NAMES.get((module, name))
        if found is None:
            raise UnsafePickleError(
                f"asks for {module[:60]}.{name[:60]}, which is refused and was not run: only numpy arrays and plain"
                " containers are read"
            )
        self.push(found)


# The opcodes


def _reduce(machine: _Machine) -> None:
    args, callee = machine.stack.pop(), machine.stack.pop()
    if not isinstance(callee, Known) or not isinstance(args, tuple):
        raise UnsafePickleError(f"calls a {type(callee).__name__}: refused")
    machine.push(callee.make(machine, args))


def _build(machine: _Machine) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    if isinstance(target, np.ndarray):
        fill(machine, target, state)
    elif isinstance(target, Dtype):
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
    check_keys(items[::2])
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
    check_keys(items)
    target.update(items)


def _frozen(machine: _Machine, items: list[Any]) -> None:
    check_keys(items)
    machine.push(frozenset(items))


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
    b"\x91": lambda machine: _frozen(machine, machine.marked()),
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
