"""The arrays of `.npz` and `.npy` files as tables: a name is an array, [N] is [N, 1], NaN is a missing cell.

The headers are read here and not by NumPy, whose reader parses Python: what is no plain array of numbers or text is a diagnosis,
and nothing is ever unpickled. The one array of a `.npy` has the name `data`. Many numbers stay in the file, which is mapped into
memory, and some rows at a time are made columns of: all but those of a compressed member, which must be unpacked.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Span
from .columns import Column, Rows, Stored, Table, Which
from .memory import available

MAGIC = b"\x93NUMPY"
KEYS = {
    "descr": rb"'descr': '([<>|=]?)([a-zA-Z])([0-9]{0,4})(?:\[[^']{0,40}\])?'",
    "order": rb"'fortran_order': (True|False)",
    "shape": rb"'shape': \(((?:[0-9]{1,19}, ?){0,32}[0-9]{0,19})\)",
}
KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "U": "text"}
OTHERS = {
    "O": "Python objects, which only unpickling could read", "c": "complex numbers", "S": "bytes",
    "V": "records", "M": "dates", "m": "spans of time",
}  # fmt: skip
HINTS = {
    "O": "save plain numbers: np.savez(file, x=x.astype(float))",
    "c": "save the real and the imaginary part as two columns",
    "S": "save them as text: y.astype(str)",
    "V": "save one array a column, or a .csv",
    "M": "save them as numbers: days since a date, for example",
    "m": "save them as numbers: x.astype('timedelta64[s]').astype(float)",
}
LARGEST = 2**34  # bytes of one array that is unpacked: 16 GiB, which an archive of a few MB may claim
IN_MEMORY = 2**29  # bytes of all numbers as float64: of a table with more, some rows at a time are made columns of
BEGIN = 2**16  # bytes of a file in which a header must end
EXACT = 2**53  # up to here float64 holds every whole number


class Header(Struct, frozen=True):
    """What an array's header says: type, memory order, shape, and where its numbers begin."""

    dtype: np.dtype[np.generic]
    fortran: bool
    shape: tuple[int, ...]
    start: int

    @property
    def bytes(self) -> int:
        """The size of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def open_table(path: Path, span: Span | None) -> Table:
    """The table in a `.npz` or `.npy` file; E0405 if it is none. An array is read when it is asked for."""
    if path.suffix.lower() == ".npy":
        with open(path, "rb") as file:
            found = _stored(path, ("data",), {"data": file.read(BEGIN)}) if 8 * path.stat().st_size > IN_MEMORY else None
        raw = path.read_bytes() if found is None else b""
        return Table(path.name, ("data",), lambda name, at: columns(raw or path.read_bytes(), path.name, name, at), stored=found)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:  # the file itself, not a place in it that does not exist
            raise
        raise fault("E0405", span, f"{path.name} is no .npz file: {error}", "write it with np.savez_compressed(file, x=x, y=y)") from error
    names = tuple(entry.filename.removesuffix(".npy") for entry in entries)
    if not names:
        raise fault("E0405", span, f"{path.name} holds no array", "write it with np.savez_compressed(file, x=x, y=y)")
    for name in names:
        if names.count(name) > 1:
            raise fault("E0405", span, f"{path.name} holds two arrays `{name}`", "give every array a name of its own")
    found = None
    if 8 * sum(entry.file_size for entry in entries) > IN_MEMORY:
        with _unpacking(path, names[0], span), zipfile.ZipFile(path) as archive:
            found = _stored(path, names, {name: archive.open(entry).read(BEGIN) for name, entry in zip(names, entries, strict=True)})
    return Table(path.name, names, lambda name, at: columns(_member(path, name, at), path.name, name, at), stored=found)


def columns(raw: bytes, file: str, name: str, span: Span | None) -> tuple[Column, ...]:
    """The columns of the array in the bytes of a `.npy` file; E0405 if they hold no [N] or [N, k] of numbers or text."""
    head = header(raw, f"{file}, array `{name}`", span)
    _refuse_shape(head, len(raw) - head.start, file, name, span)
    array = np.frombuffer(raw, head.dtype, math.prod(head.shape), head.start).reshape(head.shape, order="F" if head.fortran else "C")
    return _columns(array, name, Rows(file, range(1, len(array) + 1), text=False), span)


def _columns(array: NDArray[Any], name: str, rows: Rows, span: Span | None) -> tuple[Column, ...]:
    array = array.reshape(len(array), -1)
    labels = (name,) if array.shape[1] == 1 else tuple(f"{name}{i + 1}" for i in range(array.shape[1]))
    if array.dtype.kind == "U":
        return tuple(Column(label, _texts(array[:, i], rows.file, label, span), rows) for i, label in enumerate(labels))
    numbered = numbers(array, rows, labels, span)
    return tuple(Column(label, numbered[:, i], rows) for i, label in enumerate(labels))


def _refuse_shape(head: Header, there: int, file: str, name: str, span: Span | None) -> None:
    """E0405 for an array that is no [N] or [N, k], or has more than the bytes that are `there`."""
    shown = f"[{', '.join(map(str, head.shape))}]"
    if len(head.shape) not in (1, 2):
        hint = (
            f"make rows of it when you save it: {name}.reshape({head.shape[0]}, -1)"
            if head.shape
            else "save an array with a row for each row of data"
        )
        raise fault("E0405", span, f"{file}, array `{name}` is {shown}, and data is [rows] or [rows, columns]", hint)
    if 0 in head.shape:
        raise fault("E0405", span, f"{file}, array `{name}` is {shown}: there is nothing in it", "save an array with rows and columns")
    if there < head.bytes:
        raise fault("E0405", span, f"{file}, array `{name}` is cut off: {shown} needs {head.bytes} bytes, and here are {there}",
                    "save the file again")  # fmt: skip


def stored(
    file: str, names: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]], opened: Callable[[str, Span | None], NDArray[Any]]
) -> Stored | None:
    """Arrays of numbers, of which some rows at a time are read, or None if they are few. `opened` gives one, which may lie in a file."""
    if 8 * sum(map(math.prod, shapes.values())) <= IN_MEMORY:
        return None

    def at(which: Which) -> Table:
        def read(name: str, span: Span | None) -> tuple[Column, ...]:
            part = opened(name, span)[which]
            lines = range(which.start + 1, which.start + 1 + len(part)) if isinstance(which, slice) else which + 1
            return _columns(part, name, Rows(file, cast("Sequence[int]", lines), text=False), span)

        return Table(file, names, read)

    return Stored({name: shape[0] for name, shape in shapes.items()}, at)


def _stored(path: Path, names: tuple[str, ...], begins: Mapping[str, bytes]) -> Stored | None:
    """The arrays of a file that begin so; those at fault, and those of text, are left to `columns`."""
    heads: dict[str, Header] = {}
    for name, begin in begins.items():
        with suppress(MlpcError):
            head = header(begin, name, None)
            if head.dtype.kind != "U" and len(head.shape) in (1, 2) and 0 not in head.shape:
                heads[name] = head

    @cache
    def opened(name: str, span: Span | None) -> NDArray[Any]:
        return _opened(path, name, heads[name], span)

    return stored(path.name, names, {name: head.shape for name, head in heads.items()}, opened)


def _opened(path: Path, name: str, head: Header, span: Span | None) -> NDArray[Any]:
    """An array as it lies in the file, or unpacked if it is compressed there."""
    start: int | None = 0
    there = path.stat().st_size
    if path.suffix.lower() != ".npy":
        with _unpacking(path, name, span):
            start, there = _place(path, f"{name}.npy")
    _refuse_shape(head, there - head.start, path.name, name, span)
    order = "F" if head.fortran else "C"
    if start is None:
        return np.frombuffer(_member(path, name, span), head.dtype, math.prod(head.shape), head.start).reshape(head.shape, order=order)
    return np.asarray(np.memmap(path, head.dtype, "r", start + head.start, head.shape, order))


def _place(path: Path, member: str) -> tuple[int | None, int]:
    """Where the bytes of a member begin in an archive, None if they are compressed, and how many they are."""
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        entry = archive.getinfo(member)
        archive.open(entry).close()  # its own header says what the directory does, or this fails
        if entry.compress_type != zipfile.ZIP_STORED:
            return None, entry.file_size
        file.seek(entry.header_offset + 26)
        start = entry.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))  # its name, and what else stands there
        return start, min(entry.file_size, path.stat().st_size - start)


def header(raw: bytes, place: str, span: Span | None) -> Header:
    """The header of an array; E0405 unless it is a plain one of numbers or text."""
    size = 2 if raw[6:7] == b"\x01" else 4
    start = 8 + size + int.from_bytes(raw[8 : 8 + size], "little")
    if raw[:6] != MAGIC or raw[6:7] not in (b"\x01", b"\x02", b"\x03") or start > len(raw):
        raise fault("E0405", span, f"{place} does not begin as a .npy file does", "write it with np.save(file, x)")
    text = raw[8 + size : start]
    found = {key: re.search(pattern, text) for key, pattern in KEYS.items()}
    descr, order, shape = found["descr"], found["order"], found["shape"]
    if order and shape and not descr and b"'descr': [" in text:
        raise fault("E0405", span, f"{place} holds {OTHERS['V']}, not numbers or text", HINTS["V"])
    if not (descr and order and shape):
        raise fault("E0405", span, f"{place} has a header that says no type and shape", "write it with np.save(file, x)")
    kind, count = descr[2].decode(), descr[3].decode()
    if kind in OTHERS:
        raise fault("E0405", span, f"{place} holds {OTHERS[kind]}, not numbers or text", HINTS[kind])
    try:
        dtype = np.dtype(f"{descr[1].decode()}{kind}{count}")
    except TypeError as error:
        raise fault(
            "E0405", span, f"{place} holds numbers of an unknown type, `{kind}{count}`", "save it as float64: x.astype(float)"
        ) from error
    if dtype.kind not in KINDS or dtype.itemsize == 0:
        raise fault("E0405", span, f"{place} holds numbers of an unknown type, `{kind}{count}`", "save it as float64: x.astype(float)")
    return Header(dtype, order[1] == b"True", tuple(int(n) for n in shape[1].decode().split(",") if n.strip()), start)


def numbers(array: NDArray[Any], rows: Rows, labels: tuple[str, ...], span: Span | None) -> NDArray[np.float64]:
    """[rows, columns] as float64; E0403 for a whole number that float64 cannot hold."""
    with np.errstate(over="ignore"):
        found = array.astype(np.float64)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        large = np.argwhere(np.greater(array, EXACT) | np.less(array, -EXACT))
        if len(large):
            row, column = (int(i) for i in large[0])
            raise too_large(rows, row, labels[column], int(array[row, column]), span)
    return found


def too_large(rows: Rows, row: int, label: str, number: int, span: Span | None) -> MlpcError:
    """E0403 for such a number."""
    message = f"{rows.place(row)}, column `{label}`: {number} is a whole number above 2^53, which float64 does not hold"
    return fault("E0403", span, message, "if it is a label, save it as text: y.astype(str)")


def _member(path: Path, name: str, span: Span | None) -> bytes:
    """The bytes of one array of an archive, never more than its header asks for. E0234 if that is more than there is room for."""
    place = f"{path.name}, array `{name}`"
    with _unpacking(path, name, span), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        begin = file.read(BEGIN)
        head = header(begin, place, span)
        most = min(LARGEST, available() // 2)
        if head.bytes > most:
            hint = f"save it as it is, np.savez(file, {name}={name}), or as .npy: then it stays in the file, and rows are read as they are needed"
            raise fault("E0234", span, f"{place} takes {head.bytes:,} bytes unpacked, and {most:,} is the most", hint)
        return begin + file.read(max(0, head.start + head.bytes - len(begin)))


@contextmanager
def _unpacking(path: Path, name: str, span: Span | None) -> Generator[None]:
    """E0405 for an array that cannot be had from an archive."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, OSError) as error:
        raise fault("E0405", span, f"{path.name}, array `{name}` cannot be unpacked: {error}",
                    "save the file again: np.savez_compressed(file, x=x, y=y)") from error  # fmt: skip


def _texts(array: NDArray[np.generic], file: str, label: str, span: Span | None) -> tuple[str, ...]:
    try:
        return tuple(str(cell) for cell in array.tolist())
    except ValueError as error:  # code points that do not exist
        raise fault("E0405", span, f"{file}, column `{label}` holds text that is no Unicode: {error}", "save the labels again") from error
