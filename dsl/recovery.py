"""Where a faulty statement ends, and how to read on after it without faults that follow from the first.

Blanking keeps every offset, so spans stay true. A header that is at fault gives way to `fn _()`, so that the
body after it is still read; whoever checks the result leaves out what starts at a repaired offset.
"""

from __future__ import annotations

import re

from msgspec import Struct

_MARK = re.compile(
    r"""(?P<pipe>(?:[ \t\n]|[#][^\n]*\n)*\|>)
      | (?P<blank>[ \t]+|[#][^\n]*)
      | (?P<newline>\n)
      | (?P<string>"[^"\n]*")
      | (?P<unclosed>"[^"\n]*)
      | (?P<open>[(\[]) | (?P<close>[)\]]) | (?P<brace>[{}])
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<sign>\*\*|->|=>|==|<=|>=|!=|&&|\|\||:=|[-+*/@]=|.)""",
    re.VERBOSE,
)
STAND_IN = "fn _()"
CLOSERS = {"(": ")", "[": "]"}


class Mark(Struct, frozen=True):
    """A piece of the text, whether it belongs where it stands or not."""

    kind: str
    text: str
    start: int
    end: int


class Place(Struct, frozen=True):
    """Where a fault was found: the marks of the statement around it (no blanks), and what encloses it."""

    found: Mark  # kind `end` at the end of the text
    statement: tuple[Mark, ...]  # all that is taken out to read on
    before: tuple[Mark, ...]  # of the statement, before `found`
    after: tuple[Mark, ...]  # of the statement, after `found`
    brackets: tuple[Mark, ...]  # open at `found`, the innermost last
    brace: Mark | None  # the `{` that `found` stands in
    header: tuple[Mark, ...]  # the marks of the line before that `{`
    on_new_line: bool  # `found` is the first of its line
    closed: bool  # the innermost of `brackets` is closed further on in the statement

    @property
    def assigned(self) -> bool:
        """A value stands before `found`, so that a `{` there begins no body."""
        return any(m.text == "=" for m in self.before)

    @property
    def inner_item(self) -> bool:
        """What stands in braces begins like something of a file's top: `report f`, `fn f`, `import "f"`."""
        begins = len(self.before) == 1 and self.before[0].text in {"report", "fn", "block", "update", "import"}
        return begins and self.brace is not None and self.found.kind in {"word", "string"}


class Repaired(Struct, frozen=True):
    """A text to read instead, and the offsets of its stand-ins."""

    text: str
    stand_ins: frozenset[int]


def marks_of(text: str) -> list[Mark]:
    """The whole text as marks, without blanks and comments."""
    found: list[Mark] = []
    for match in _MARK.finditer(text):
        kind = match.lastgroup or ""
        if kind == "pipe":
            found.append(Mark(kind, "|>", match.end() - 2, match.end()))
        elif kind != "blank":
            found.append(Mark(kind, match[0], match.start(), match.end()))
    return found


def place_of(marks: list[Mark], offset: int) -> Place:
    """What stands at and around `offset`."""
    here = next((i for i, m in enumerate(marks) if m.end > offset), len(marks))
    found = marks[here] if here < len(marks) else Mark("end", "", offset, offset)
    begin, brackets, brace, header = 0, [], None, ()
    for i, mark in enumerate(marks[:here]):
        if mark.kind == "brace":
            brace, header = (mark, tuple(marks[begin:i])) if mark.text == "{" else (None, ())
        if mark.kind == "brace" or (mark.kind == "newline" and not brackets):
            begin, brackets = i + 1, []
        elif mark.kind == "open":
            brackets.append(mark)
        elif mark.kind == "close" and brackets:
            brackets.pop()
    end, depth, closed = here, len(brackets), False
    on_new_line = here > 0 and here < len(marks) and marks[here - 1].kind == "newline"
    while end < len(marks) and marks[end].kind != "brace" and not (marks[end].kind == "newline" and depth <= 0):
        depth += {"open": 1, "close": -1}.get(marks[end].kind, 0)
        closed = closed or depth < len(brackets)
        end += 1
    if depth > 0:  # never closed: the statement ends with its line, or before the line of what was found
        end = next((i for i in range(here, len(marks)) if marks[i].kind in {"newline", "brace"}), len(marks))
        end = here if on_new_line and here > begin else end
    visible = [m for m in marks[begin:end] if m.kind != "newline"]
    return Place(
        found,
        tuple(visible),
        tuple(m for m in visible if m.end <= found.start),
        tuple(m for m in visible if m.start >= found.end),
        tuple(brackets),
        brace,
        header,
        on_new_line,
        closed,
    )


def repaired(text: str, marks: list[Mark], place: Place, complete: bool) -> Repaired | None:
    """The text without the statement at `place`; None if there is nothing left to take away.

    `complete` says that the statement could end at `place`, so that at the end of the text only a `}` is missing.
    """
    found = place.found
    if found.kind == "end" and place.brace and complete:
        return Repaired(text + "\n}", frozenset())
    if found.text == "}" and place.brace is None and not place.before:
        return Repaired(_blank(text, found.start, found.end), frozenset())
    statement = place.statement
    if place.brace and (found.text == "{" or place.inner_item):
        begin = statement[0].start if statement else found.start
        if not place.assigned and _open_braces(marks) > 0:
            return _close_before(text, begin)
        if found.text == "{":
            return Repaired(_blank(text, begin, _end_of_braces(marks, found, place.assigned)), frozenset())
    if not statement and found.text != "{":
        return None
    start, end = (statement[0].start, statement[-1].end) if statement else (found.start, found.start)
    following = next((m for m in marks if m.start >= end and m.kind != "newline"), None)
    if place.brace is None and following and following.text == "{":
        if following.start - start >= len(STAND_IN):
            return Repaired(_blank(text, start, following.start, STAND_IN), frozenset({start}))
        end = next((m.end for m in marks if m.start > following.start and m.text == "}"), len(text))
    elif place.brace is None:
        brace = next((m for m in marks if m.start >= end and m.kind == "brace"), None)
        end = brace.end if brace and brace.text == "}" else end  # the body of a header that lacks its `{`
    return Repaired(_blank(text, start, end), frozenset())


def _close_before(text: str, start: int) -> Repaired | None:
    """A `}` in the blanks before a header that stands inside braces: the one before it was never closed."""
    above = text[:start].rstrip(" \t\n")
    gap = start - len(above)
    opening = "\n}" if "#" in above[above.rfind("\n") + 1 :] else "}"  # a comment would swallow it
    if gap <= len(opening):
        return None
    return Repaired(f"{above}{opening:<{gap - 1}}\n{text[start:]}", frozenset())


def _open_braces(marks: list[Mark]) -> int:
    return sum({"{": 1, "}": -1}.get(m.text, 0) for m in marks)


def _end_of_braces(marks: list[Mark], opening: Mark, one_line: bool) -> int:
    """The end of `{ ... }` with what follows it in its line; of the `{` alone if `one_line` and it has no `}` there."""
    end, closed = opening.end, False
    for mark in (m for m in marks if m.start > opening.start):
        if (mark.kind == "newline" and (one_line or closed)) or (mark.kind == "brace" and closed):
            break
        closed = closed or mark.text == "}"
        end = mark.end if closed else end
    return end


def _blank(text: str, start: int, end: int, instead: str = "") -> str:
    return f"{text[:start]}{instead:<{end - start}}{text[end:]}"
