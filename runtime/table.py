"""The table in a file: where it lies, and the text of `.csv` and `.tsv` split into cells; other formats have modules of their own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

from msgspec.structs import replace

from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..dsl.syntax import Span, Text
from .columns import Column, Rows, Table, missing, short
from .location import Words, located

SEPARATORS = {".csv": ",", ".tsv": "\t"}
ENDINGS = (*SEPARATORS, ".npz", ".npy", ".parquet")
Record = tuple[int, list[str]]  # the line on which it begins, its cells
MARKS = (  # longer first: the mark of UTF-32 begins with that of UTF-16
    (b"\xef\xbb\xbf", "a byte order mark", "save the file as UTF-8 without a byte order mark (BOM)"),
    (b"\xff\xfe\x00\x00", "UTF-32", "save the file as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32", "save the file as UTF-8"),
    (b"\xff\xfe", "UTF-16", "save the file as UTF-8"),
    (b"\xfe\xff", "UTF-16", "save the file as UTF-8"),
)


def read_table(path: Text, folder: Path | None, data_root: Path | None) -> Table:
    """The table in the file that `from` names, relative to `folder` and beneath it or `data_root`.

    E0401 unreadable, E0405 not a table, E0408 outside.
    """
    real = _locate(path, folder, data_root)
    ending = real.suffix.lower()
    if ending not in ENDINGS:
        raise fault("E0401", path.span, f"`{path.text}` ends in none of {' '.join(ENDINGS)}", "save the table as .csv")
    try:
        if ending in SEPARATORS:
            found = parse_table(real.read_bytes(), real.name, SEPARATORS[ending], path.span)
        elif ending == ".parquet":
            from . import parquet

            found = parquet.open_table(real, path.span)
        else:
            from . import arrays

            found = arrays.open_table(real, path.span)
        return replace(found, origin=path.text)
    except OSError as error:
        raise MlpcError(Diagnostic("E0401", path.span, f"`{path.text}`: {error.strerror}"), status=74) from error


def parse_table(raw: bytes, name: str, separator: str, span: Span | None) -> Table:
    """The table in the bytes of a file shown as `name`; E0405 if they are none."""
    text = _decode(raw, name, span)
    if not text.strip():
        raise _empty(name, span)
    return next(_tables(io.StringIO(text, newline=""), name, separator, span, None))


def batches(file: TextIO, name: str, separator: str, span: Span | None, rows: int | None) -> Iterator[Table]:
    """The table in a file, so many rows at a time (None: all), read no further than that; faults as in `parse_table`, where they are met.

    The file is one of `text_of`.
    """
    return _tables(_lines(file, name, span), name, separator, span, rows)


def text_of(file: BinaryIO) -> io.TextIOWrapper:
    """A file as text in which a byte that is not UTF-8 is still there, to be found with its line."""
    return io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")


def _lines(file: TextIO, name: str, span: Span | None) -> Iterator[str]:
    """The lines of a text, as `_decode` gives them."""
    for number, line in enumerate(file, 1):
        if number == 1 or "\0" in line or not line.isascii():
            _decode(line.encode("utf-8", "surrogateescape"), name, span, number)
        yield line


def _tables(lines: Iterable[str], name: str, separator: str, span: Span | None, most: int | None) -> Iterator[Table]:
    """One table for every `most` rows, or for all; at least one."""
    records = _records(lines, name, separator, span)
    start, header = next(records, (1, []))
    if not header and not any(cells for _, cells in records):
        raise _empty(name, span)
    _check_header(header, f"{name}:{start}", separator, span)
    records, found = _without_empty_end(records), False
    while body := list(islice(records, most)):
        found = True
        yield _table(header, body, name, span)
    if not found:
        raise fault(
            "E0405", span, f"{name} has a header and no row below it", f"add rows: there is nothing to {'train on' if span else 'read'}"
        )


def _empty(name: str, span: Span | None) -> MlpcError:
    return fault("E0405", span, f"{name} is empty", "a table has a line with the names of its columns, and rows below")


def _without_empty_end(records: Iterator[Record]) -> Iterator[Record]:
    """The records but for the empty lines at the end, which are no rows."""
    held: list[Record] = []
    for record in records:
        held.append(record)
        if record[1]:
            yield from held
            held = []


def _table(header: list[str], body: list[Record], name: str, span: Span | None) -> Table:
    """The columns of some records, which all have as many cells as the header."""
    ragged = [(line, cells) for line, cells in body if len(cells) != len(header)]
    if ragged:
        line, cells = ragged[0]
        found = f"has {_count(len(cells), 'cell')}" if cells else "is empty"
        column = f"nothing stands for `{header[len(cells)]}`" if len(cells) < len(header) else f"the last column is `{header[-1]}`"
        more = f" ({_count(len(ragged) - 1, 'more row')} like it)" if len(ragged) > 1 else ""
        raise fault(
            "E0405",
            span,
            f"{name}:{line} {found} and the header has {len(header)}: {column}{more}",
            "every row has one cell a column; a cell with a comma in it stands in double quotes",
        )
    rows = Rows(name, tuple(line for line, _ in body))
    cells = zip(*(cells for _, cells in body), strict=True)
    columns = {title: Column(title, column, rows) for title, column in zip(header, cells, strict=True)}
    return Table(name, tuple(columns), lambda title, _: (columns[title],))


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _locate(path: Text, folder: Path | None, data_root: Path | None) -> Path:
    """The real path of a regular file beneath `folder` or `data_root`."""
    if folder is None:
        raise fault(
            "E0408",
            path.span,
            f"this model has no folder, so it cannot read `{path.text}`",
            "write the data as a matrix, or load the model from a file",
        )
    roots = [root for root in (folder, data_root) if root is not None]
    return located(path, folder, roots, Words("E0401", "E0408", "name a file of data, like data/iris.csv"))


def _decode(raw: bytes, name: str, span: Span | None, first: int = 1) -> str:
    """The text in bytes, of which the first are in line `first`."""
    for mark, found, hint in MARKS:
        if first == 1 and raw.startswith(mark):
            raise fault(
                "E0405", span, f"{name}:1 begins with the mark of {found}" if "UTF" in found else f"{name}:1 begins with {found}", hint
            )
    if b"\0" in raw:
        line = raw[: raw.index(b"\0")].count(b"\n") + first
        raise fault("E0405", span, f"{name}:{line} holds a NUL byte", "save the file as UTF-8 text (it may be UTF-16)")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + first
        raise fault(
            "E0405", span, f"{name}:{line} holds the byte 0x{raw[error.start]:02X}, which is not UTF-8", "save the file as UTF-8"
        ) from error


def _records(lines: Iterable[str], name: str, separator: str, span: Span | None) -> Iterator[Record]:
    """The records with the 1-based line on which each begins."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    header: list[str] = []
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise fault(
                "E0405",
                span,
                f"{name}:{start} cannot be split into cells: {error}",
                "a cell with a quote in it stands in double quotes, and the quote is doubled",
            ) from error
        if cells is None:
            return
        header = header or cells
        if reader.line_num > start:
            at = next((i for i, cell in enumerate(cells) if "\n" in cell or "\r" in cell), 0)
            column = f"column `{header[at]}`" if at < len(header) and header is not cells else f"cell {at + 1}"
            raise fault(
                "E0405",
                span,
                f"{name}:{start}, {column}: the cell goes on over the end of the line",
                "close the quotes on the same line; a cell holds no newline",
            )
        yield start, cells


def _check_header(header: list[str], place: str, separator: str, span: Span | None) -> None:
    """Faults unless every column has a name of its own."""
    if not header:
        raise fault("E0405", span, f"{place}: the first line is empty", "the first line names the columns")
    if len(header) == 1 and (";" in header[0] or (separator == "," and "\t" in header[0])):
        raise fault(
            "E0405",
            span,
            f"{place}: the header is one cell, `{short(header[0])}`",
            "cells of a .csv are separated by commas, those of a .tsv by tabs",
        )
    for i, title in enumerate(header):
        if missing(title):
            raise fault("E0405", span, f"{place}: column {i + 1} has no name", "the first line names every column")
        if title in header[:i]:
            raise fault(
                "E0405",
                span,
                f"{place}: columns {header.index(title) + 1} and {i + 1} are both named `{title}`",
                "give every column a name of its own",
            )
