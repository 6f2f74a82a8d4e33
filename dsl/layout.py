"""One statement as lines of text: blanks between its pieces, and where a long one breaks.

A break stands after a comma inside brackets, before a `|>` outside them, and wherever a comment ends a line. What stands
inside brackets is aligned with the first thing in them. The user's own breaks count in one place: between the rows of a matrix.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct

WIDTH = 110  # the longest line of the models in the language's own page fits
INDENT = "  "

_PIECE = re.compile(
    r"""(?P<blank>[ \t\n]+)
      | (?P<comment>[#][^\n]*)
      | (?P<string>"[^"\n]*")
      | (?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*'?)
      | (?P<sign>\|>|[<>=!]=|.)""",
    re.VERBOSE,
)
_OPEN, _CLOSE = frozenset("(["), frozenset(")]")
_TIGHT = frozenset(".:^")  # no blank on either side
_KEYWORDS = frozenset({"from", "param", "state", "return"})  # in braces; outside, the first word always is one


class Piece(Struct, frozen=True):
    """A word, number, string, sign or comment, and how many newlines stand before it."""

    kind: str
    text: str
    newlines: int


class Line(Struct, frozen=True):
    """A line of the page without its trailing comment, and that comment or ''."""

    code: str
    comment: str = ""


class Layout(Struct, frozen=True):
    """The lines of a statement; for one of a single line, its `=` or `~` outside brackets and the column of that."""

    lines: tuple[Line, ...]
    sign: str = ""
    column: int = 0


def pieces_of(text: str) -> list[Piece]:
    """The whole of a text that has no syntax fault, comments included."""
    found: list[Piece] = []
    newlines = 0
    for match in _PIECE.finditer(text):
        kind = match.lastgroup or ""
        if kind == "blank":
            newlines += match[0].count("\n")
        else:
            found.append(Piece(kind, match[0].rstrip(), newlines))
            newlines = 0
    return found


def lay_out(pieces: Sequence[Piece], level: int) -> Layout:
    """The lines of one statement, `level` braces deep, that begins with a piece of code."""
    code, notes = sorted_out(pieces)
    gaps = _gaps(code, level)
    depths = _depths(code)
    rows = _row_breaks(code)
    fits_to = _reach(code, depths, gaps, rows, notes)
    lines: list[Line] = []
    indent = INDENT * level
    text, aligned = indent, list[int]()
    for i, piece in enumerate(code):
        base = aligned[-1] if aligned else len(indent) + len(INDENT)
        if i - 1 in notes:
            lines += _commented(text, notes[i - 1], base)
            text = " " * (base - (piece.text in _CLOSE))
        elif rows[i] or (i in fits_to and len(text) + fits_to[i] > WIDTH):
            lines.append(Line(text))
            text = " " * base
        else:
            text += gaps[i]
        text += piece.text
        if piece.text in _OPEN:
            aligned.append(len(text))
        elif piece.text in _CLOSE:
            aligned.pop()
    lines += _commented(text, notes[len(code) - 1], len(indent)) if len(code) - 1 in notes else [Line(text)]
    sign = next((i for i, p in enumerate(code) if p.text in {"=", "~"} and depths[i] == 0), None)
    if sign is None or len(lines) > 1:
        return Layout(tuple(lines))
    column = len(indent) + sum(len(gaps[i]) + len(code[i].text) for i in range(sign)) + len(gaps[sign])
    return Layout(tuple(lines), code[sign].text, column)


def one_line(text: str) -> str:
    """A statement or an expression without its comments, on one line however long."""
    pieces = [p for p in pieces_of(text) if p.kind != "comment"]
    return " ".join(line.code.strip() for line in lay_out(pieces, 1).lines)


def sorted_out(pieces: Sequence[Piece]) -> tuple[list[Piece], dict[int, list[Piece]]]:
    """Code without commas before a closing bracket, and the comments by the index of the code they follow.

    A comment between a value and its comma moves behind the comma.
    """
    code: list[Piece] = []
    notes: dict[int, list[Piece]] = {}
    for piece in pieces:
        last = len(code) - 1
        if piece.kind == "comment":
            notes.setdefault(last, []).append(piece)
            continue
        if piece.text == "," and last in notes:
            notes[last + 1] = notes.pop(last)
        elif piece.text in _CLOSE and code[last].text == ",":
            code.pop()
            if last in notes:
                notes[last - 1] = notes.pop(last)
        code.append(piece)
    return code, notes


def _commented(text: str, notes: Sequence[Piece], base: int) -> list[Line]:
    """The line that the comments end, with the first if it stood there, and a line for every other."""
    trailing = notes[0].newlines == 0
    lines = [Line(text, notes[0].text if trailing else "")]
    return lines + [Line(" " * base + note.text) for note in notes[trailing:]]


def _ends_value(code: Sequence[Piece], i: int, level: int) -> bool:
    """A value or a function's name ends at `i`, so that what follows is an operator, an argument list or a slice."""
    if i == 0 and (level == 0 or code[0].text in _KEYWORDS):
        return False
    return i >= 0 and (code[i].kind != "sign" or code[i].text in _CLOSE)


def _gaps(code: Sequence[Piece], level: int) -> list[str]:
    """The blank before every piece, were the statement one line."""
    gaps: list[str] = []
    unary = False  # the piece before is a sign of what follows
    for i, piece in enumerate(code):
        before = code[i - 1].text if i else ""
        follows = _ends_value(code, i - 1, level)
        if i == 0 or piece.text in _CLOSE or piece.text == ",":
            gap = ""
        elif before == ",":
            gap = " "
        elif before in _OPEN or before in _TIGHT or piece.text in _TIGHT or unary:
            gap = ""
        elif piece.text in _OPEN and follows:
            declares = level == 1 and i == 2 and code[0].text in {"param", "state"}
            gap = " " if declares else ""
        else:
            gap = " "
        gaps.append(gap)
        unary = piece.text == "-" and not follows
    return gaps


def _depths(code: Sequence[Piece]) -> list[int]:
    """How many brackets are open at every piece; a bracket counts as outside itself."""
    opened = accumulate((p.text in _OPEN) - (p.text in _CLOSE) for p in code)
    return [depth - (p.text in _OPEN) for depth, p in zip(opened, code, strict=True)]


def _row_breaks(code: Sequence[Piece]) -> list[bool]:
    """Where the user began a new line between two entries of a matrix."""
    breaks: list[bool] = []
    matrices: list[bool] = []
    for i, piece in enumerate(code):
        after_comma = i > 0 and code[i - 1].text == ","
        breaks.append(after_comma and bool(matrices) and matrices[-1] and (piece.newlines > 0 or code[i - 1].newlines > 0))
        if piece.text in _OPEN:
            matrices.append(piece.text == "[" and not _ends_value(code, i - 1, 1))
        elif piece.text in _CLOSE:
            matrices.pop()
    return breaks


def _reach(
    code: Sequence[Piece], depths: Sequence[int], gaps: Sequence[str], rows: Sequence[bool], notes: dict[int, list[Piece]]
) -> dict[int, int]:
    """At every piece that may begin a line: the columns up to the next such place, its own blank included.

    What holds a row break, which is there to stay, counts as too wide for any line: else a matrix that was broken for its
    length would be joined to the line above when it is formatted again.
    """
    ends = list(accumulate(len(g) + len(p.text) for g, p in zip(gaps, code, strict=True)))
    broken = list(accumulate(rows))
    reach: dict[int, int] = {}
    nearest = len(code) - 1  # the last piece before the next place of any depth; from the right, so that each is known
    commented = pipe = len(code) - 1
    groups: list[int] = []  # for each bracket around: the last piece before its next place
    for i in range(len(code) - 1, -1, -1):
        piece = code[i]
        commented = i if i in notes else commented
        begins = i > 0 and ((code[i - 1].text == "," and depths[i] > 0) or (piece.text == "|>" and depths[i] == 0))
        if piece.text in _CLOSE:
            groups.append(nearest)
        elif piece.text in _OPEN:
            groups.pop()
        if begins:
            last = min(commented, groups[-1] if code[i - 1].text == "," and groups else pipe)
            reach[i] = WIDTH + 1 if broken[last] > broken[i] else ends[last] - ends[i - 1]
        if piece.text == "," and groups:
            groups[-1] = nearest = i
        elif piece.text == "|>" and not groups:
            pipe = nearest = i - 1
    return reach
