"""`formatted`: a program in the one layout there is. It works on the text's pieces, since comments are not in the syntax.

Signs (`=`, `~`) of statements that follow each other stand below each other where that costs few columns, comments at the
ends of lines that follow each other always. `layout` says how a single statement is laid out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from .layout import INDENT, WIDTH, Layout, Line, Piece, lay_out, pieces_of, sorted_out
from .lexing import read_source
from .parse import parse

PAD = 3  # columns that an equation may be moved for its neighbour's sake
PAD_LISTS = 20  # the same in lists of settings and of one-line functions, which are read as tables


class Entry(Struct, frozen=True):
    """What has lines of its own: a `statement`, an `open`ing header, a `close`d brace or a `comment`."""

    kind: str
    pieces: tuple[Piece, ...]
    level: int
    header: str = ""  # the first word of the braces around
    comment: str = ""  # at the end of its last line
    blank: bool = False  # an empty line stands above


def formatted(text: str | bytes, name: str) -> str:
    """The program in canonical layout, the same for every layout of it; MlpcError with every fault if it has one."""
    parse(text, name)
    pieces = pieces_of(read_source(text, name).text)
    entries = _spaced(_entries(pieces))
    page = _page(entries)
    if _essence(pieces_of(page)) != _essence(pieces):
        raise AssertionError("the layout says something else than the text")
    return page


def _entries(pieces: Sequence[Piece]) -> list[Entry]:
    """The text's statements, headers, braces and comments, in order."""
    following = ""
    next_code: list[str] = []  # the code at or after each piece
    for piece in reversed(pieces):
        following = following if piece.kind == "comment" else piece.text
        next_code.append(following)
    entries: list[Entry] = []
    current: list[Piece] = []
    depth, level, header = 0, 0, ""
    for piece, code in zip(pieces, reversed(next_code), strict=True):
        ends = piece.kind == "comment" or piece.newlines > 0 or piece.text == "}"
        if current and ends and depth == 0 and code != "|>":
            entries.append(Entry("statement", tuple(current), level, header))
            current = []
        if piece.kind == "comment" and not current:
            if piece.newlines == 0 and entries and entries[-1].kind != "comment":
                entries[-1] = replace(entries[-1], comment=piece.text)
            else:
                entries.append(Entry("comment", (piece,), level, header))
        elif piece.text == "{":
            header, level = current[0].text, 1
            entries.append(Entry("open", (*current, piece), 0, header))
            current = []
        elif piece.text == "}":
            header, level = "", 0
            entries.append(Entry("close", (piece,), 0))
        else:
            current.append(piece)
            depth += (piece.text in {"(", "["}) - (piece.text in {")", "]"})
    if current:
        entries.append(Entry("statement", tuple(current), level, header))
    return entries


def _spaced(entries: Sequence[Entry]) -> list[Entry]:
    """With `blank` as the page has it: one empty line where there were some, and around what has braces."""
    found: list[Entry] = []
    attached = 0  # where the comments right above begin
    for i, entry in enumerate(entries):
        above = entries[i - 1].kind if i else "open"
        blank = above != "open" and entry.kind != "close" and (entry.pieces[0].newlines > 1 or above == "close")
        if blank or above != "comment" or i == 0:
            attached = i
        found.append(replace(entry, blank=blank))
        if entry.kind == "open" and attached > 0:
            found[attached] = replace(found[attached], blank=True)
    return found


def _page(entries: Sequence[Entry]) -> str:
    """The lines of all entries, signs and comments aligned."""
    layouts = [lay_out(e.pieces, e.level) if e.kind != "comment" else _comment(e) for e in entries]
    lines: list[Line] = []
    for entry, layout in zip(entries, _aligned(entries, layouts), strict=True):
        if entry.blank:
            lines.append(Line(""))
        if entry.kind == "close" and lines[-1].code.endswith("{") and not lines[-1].comment:
            lines[-1] = Line(f"{lines[-1].code}}}", entry.comment)
            continue
        lines += layout.lines
        lines[-1] = replace(lines[-1], comment=entry.comment or lines[-1].comment)
    return "".join(f"{text}\n" for text in _with_comments(lines))


def _comment(entry: Entry) -> Layout:
    return Layout((Line(INDENT * entry.level + entry.pieces[0].text),))


def _aligned(entries: Sequence[Entry], layouts: Sequence[Layout]) -> list[Layout]:
    """The layouts with the signs of each run in one column."""
    found = list(layouts)
    for run in _runs(entries, layouts):
        column = max(layouts[i].column for i in run)
        cost = column - min(layouts[i].column for i in run)
        widest = max(len(layouts[i].lines[0].code) + column - layouts[i].column for i in run)
        if cost <= _affordable(entries[run[0]]) and widest <= WIDTH:
            for i in run:
                code, at = layouts[i].lines[0].code, layouts[i].column
                found[i] = Layout((Line(code[:at] + " " * (column - at) + code[at:]),))
    return found


def _affordable(entry: Entry) -> int:
    return PAD_LISTS if entry.level == 0 or entry.header == "train" else PAD


def _runs(entries: Sequence[Entry], layouts: Sequence[Layout]) -> Iterator[list[int]]:
    """Indices of one-line statements with the same sign that follow each other; in braces a comment may stand between."""
    run: list[int] = []
    for i, (entry, layout) in enumerate(zip(entries, layouts, strict=True)):
        if entry.kind == "comment" and entry.level == 1 and not entry.blank:
            continue
        signed = layout.sign != "" and (entry.level == 1 or entry.pieces[0].text == "fn")
        if run and (entry.blank or not signed or layout.sign != layouts[run[0]].sign or entry.level != entries[run[0]].level):
            yield run
            run = []
        if entry.kind == "comment":
            run = []
        elif signed:
            run.append(i)
    if run:
        yield run


def _with_comments(lines: Sequence[Line]) -> Iterator[str]:
    """The lines as text; comments of lines that follow each other in one column, those beside a brace apart."""
    start = 0
    while start < len(lines):
        stop = start + 1
        if _shares(lines[start]):
            while stop < len(lines) and _shares(lines[stop]):
                stop += 1
        width = max(len(line.code) for line in lines[start:stop])
        yield from (f"{line.code:<{width}}  {line.comment}" if line.comment else line.code for line in lines[start:stop])
        start = stop


def _shares(line: Line) -> bool:
    return line.comment != "" and not line.code.endswith(("{", "}"))


def _essence(pieces: Sequence[Piece]) -> tuple[list[list[str]], list[str]]:
    """What layout must not change: the words of each statement, and the comments."""
    code = [[p.text for p in sorted_out(e.pieces)[0]] for e in _entries(pieces) if e.kind != "comment"]
    return code, [p.text for p in pieces if p.kind == "comment"]
