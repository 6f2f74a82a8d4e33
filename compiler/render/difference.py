"""A difference as a page of at most 100 columns. `-` is the first file, `+` the second, `~` a line of both.

The roles of its parts: heading | removed | added | changed | removed word | added word | aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from msgspec import Struct
from msgspec.structs import replace

from ...dsl.diagnostics import printable
from .. import shapes
from ..difference import Difference, Held, LineChange, Rename, TensorChange, scope_of
from ..plan import Line
from .breaking import broken
from .changed_words import changed_words
from .copies import AND_SO_ON, table
from .page import WIDTH, Part, Row, folded, plain, row
from .recurring import line_items
from .repeats import Item, Repeat, printed, repeats_among
from .text import AGAIN, EVEN, amount

MARKS = {"-": "removed", "+": "added", "~": "changed"}
SECTIONS = {"data": "data", "model": "loss and report", "train": "train"}
ROLES = {"input": "inputs", "param": "parameters", "state": "state", "optimizer": "state of the optimizer, a number for every parameter"}
FOLDED = "   "  # before the table of what comes again
NARROW, BROAD, GAP = 12, 48, 3  # columns of a reason at least, of a shape and a reason, and those before them
LONGEST_TARGET, LONGEST_START = 20, 36  # columns of a target that others stand under, and of mark, id and target


class _Page(Struct, frozen=True):
    """The widths of ids, targets and shapes, and the column at which texts end."""

    id: int
    target: int
    shape: int
    column: int


def difference_text(d: Difference) -> str:
    """The page without colours."""
    return plain(difference_rows(d)) + "\n"


def difference_rows(d: Difference, *, every: bool = False) -> Iterator[Row]:
    """The page, row by row; marks stand below the words of a line that changed. What comes again under other names is folded but for `every`."""
    yield from _titles(d)
    if d.same:
        count = len(d.after.plan.lines)
        yield row("")
        yield row(f"the plans are the same: {count} line{'s' * (count != 1)}")
        return
    page = _page(d)
    folding: list[str] = []  # the ids of the tables
    for title, rows in (
        ("renamed", _renamed(d.renames)),
        *((title, _said(d, section)) for section, title in SECTIONS.items()),
        *((title, _tensors(d, [c for c in d.tensors if role_of(c) == role], every)) for role, title in ROLES.items()),
        *((section, _lines(d, section, page, every)) for section in ("forward", "gradient", "update")),
    ):
        found = list(rows)
        if found:
            yield row("")
            yield row(Part(title, "heading"))
            yield from found
            folding += [part.text for r in found for part in r if part.role == "id"]
    if folding:
        yield row("")
        yield row(Part(AGAIN, "aside"))
        yield from ([row(Part(EVEN, "aside"))] if any(AND_SO_ON in text for text in folding) else [])
    if d.renumbered:
        yield row("")
        yield from (row(Part(t, "aside")) for t in folded(f"numbered anew: {', '.join(f'{x} is now {y}' for x, y in d.renumbered)}", WIDTH))
    yield row("")
    yield row(_counted(d))
    yield from _cost(d)


def _titles(d: Difference) -> Iterator[Row]:
    wide = max(len(printable(s.name)) for s in (d.before, d.after))
    for mark, s in (("-", d.before), ("+", d.after)):
        count, tensors = sum(p.count for p in s.plan.params), len(s.plan.params)
        told = f"{count:,} parameter{'s' * (count != 1)} in {tensors} tensor{'s' * (tensors != 1)}"
        yield row(Part(f"{mark} {printable(s.name).ljust(wide)}   {told}", MARKS[mark]))


def _renamed(renames: Sequence[Rename]) -> Iterator[Row]:
    for r in renames:
        told = f" ~ {r.before} → {r.after}{'   in the update' if r.scope == 'update' else ''}"
        within = [m.removeprefix(r.before) for m in r.within]
        room = WIDTH - len(told) - len("   and with it and 9,999 more")
        shown = sum(end <= room for end in accumulate(len(m) + 1 for m in within))
        rest = [f"and {len(within) - shown} more"] if shown < len(within) else []
        yield row(
            Part(told[:3], "changed"), told[3:], Part("   and with it " + " ".join([*within[:shown], *rest]) if within else "", "aside")
        )


def _said(d: Difference, section: str) -> Iterator[Row]:
    """Statements and settings: on one row if there is room for both texts."""
    told = [s for s in d.sayings if s.section == section]
    wide = min(max((len(s.name) for s in told), default=0), 24)
    indent = " " * (wide + 5)
    for s in told:
        name, before, after = (printable(t or "") for t in (s.name, s.before, s.after))
        if s.before is not None and s.after is not None and max(wide, len(name)) + len(before) + len(after) + 8 <= WIDTH:
            yield row(Part(" ~ ", "changed"), f"{name.ljust(wide)}  ", Part(before, "removed"), " → ", Part(after, "added"))
            continue
        for mark, text in (("-", before if s.before is not None else None), ("+", after if s.after is not None else None)):
            if text is not None:
                first, *more = broken(text, WIDTH - len(indent))
                yield row(Part(f" {mark} {name.ljust(wide)}  {first}", MARKS[mark]))
                yield from (row(Part(indent + part, MARKS[mark])) for part in more)


def role_of(c: TensorChange) -> str:
    """input | param | state | optimizer."""
    held = c.after or c.before
    return held.role if held else ""


def _tensors(d: Difference, changes: Sequence[TensorChange], every: bool) -> Iterator[Row]:
    wide = max((len(h.name) for c in changes for h in (c.before, c.after) if h), default=0)
    items = [
        Item(h.name, "", (h.name,), (c.before is None, c.after is None, c.what, str(_held_text(h))))
        for c in changes
        if (h := c.after or c.before)
    ]
    for c in printed(changes, () if every else repeats_among(items, d.before.plan, d.after.plan)):
        if isinstance(c, Repeat):
            yield from _copies(c, [""] * len(changes))
            continue
        if c.before and c.after:
            was, now = _held_text(c.before), _held_text(c.after)
            told = [f"{was[word]} → {now[word]}" if word in was else "declared in another place" for word in c.what]
            yield row(Part(" ~ ", "changed"), f"{c.after.name.ljust(wide)}   {', '.join(told)}")
            continue
        for mark, h in (("-", c.before), ("+", c.after)):
            if h:
                yield row(Part(f" {mark} {h.name.ljust(wide)}   {'  '.join(t for t in _held_text(h).values() if t)}", MARKS[mark]))


def _held_text(h: Held) -> dict[str, str]:
    if h.role == "optimizer":
        return {"init": f"starts at {h.init}"}
    return {"shape": shapes.show(h.shape), "init": h.init, "becomes": f"becomes {h.becomes}" if h.becomes else ""}


def _page(d: Difference) -> _Page:
    lines = [line for c in d.lines for line in (c.before, c.after) if line]
    page = _Page(
        id=max((len(line.id) for line in lines), default=2),
        target=max((len(line.target) for line in lines if len(line.target) <= LONGEST_TARGET), default=1),
        shape=min(max((len(_tails(c)[k].partition("   ")[0]) for c in d.lines for k in (0, 1)), default=2), 20),
        column=0,
    )
    wide = [line for line in lines if line.section != "update"]
    widest = max((len(_start("-", line, page)) + len(line.text) for line in wide), default=0)
    reason = max((len(tail.partition("   ")[2]) for c in d.lines for tail in _tails(c)), default=0)
    return replace(page, column=min(widest, WIDTH - GAP - min(page.shape + 3 + reason, BROAD)))


def _start(mark: str, line: Line, page: _Page) -> str:
    return f" {mark} {line.id.ljust(page.id)} {line.target.ljust(page.target)} = "


def _copies(run: Repeat, ids: Sequence[str]) -> Iterator[Row]:
    """The table of what comes again, moved in as far as lines are."""
    yield from (row(Part(FOLDED, "aside"), *r) for r in table(run, ids, WIDTH - len(FOLDED)))


def _lines(d: Difference, section: str, page: _Page, every: bool) -> Iterator[Row]:
    names = {x: y for scope, x, y in d.names if scope == scope_of(section)}
    changes = [c for c in d.lines if c.section == section]
    runs = () if every else repeats_among([*line_items(d, changes)], d.before.plan, d.after.plan)
    ids = [line.id for c in changes if (line := c.after or c.before)]
    for c in printed(changes, runs):
        if isinstance(c, Repeat):
            yield from _copies(c, ids)
            continue
        tails = _tails(c)
        if c.before and c.after and "text" not in c.what:
            yield from _line("~", c.after, page, tails[0])
            yield from _remarks([f"the same words computed {c.ran[0]}", f"and now compute {c.ran[1]}"] if c.ran else [])
            continue
        gone, come = changed_words(c.before.text, c.after.text, names) if c.before and c.after else ([], [])
        for mark, line, words in (("-", c.before, gone), ("+", c.after, come)):
            if line:
                yield from _line(mark, line, page, tails[mark == "+"], words)
        if c.before and c.after:
            yield from _remarks([*_beside(c), *([] if "steps" in c.what else ["the same, in other words"])])


def _tails(c: LineChange) -> tuple[str, str]:
    """What stands right of the old line and of the new one: shape and reason as the plan has them, or what changed of them."""
    if c.before and c.after and "text" not in c.what:
        shape = f"{shapes.show(c.before.shape)} → " if "shape" in c.what else ""
        told = [f"{shape}{shapes.show(c.after.shape)}"] if c.section != "update" else []
        both = "   ".join([*told, "; ".join(_beside(c))]).rstrip()
        return both, both
    return _tail(c.before), _tail(c.after)


def _tail(line: Line | None) -> str:
    if line is None or line.section == "update":
        return "once, over all params together" if line and line.whole else ""
    return f"{shapes.show(line.shape)}   {line.by}".rstrip()


def _beside(c: LineChange) -> list[str]:
    """What changed of a line beside its text and shape."""
    told: list[str] = []
    if c.before and c.after:
        if "by" in c.what and "text" not in c.what:
            told.append(f"by {c.after.by}; was {c.before.by}")
        if "text" in c.what and c.before.text == c.after.text:
            told.append("the same names, which stand for other values now")
        if "kept" in c.what:
            told.append("now kept for the gradient" if c.after.kept else "no longer kept for the gradient")
        if "order" in c.what:
            told.append(f"moved: was {c.before.id}")
    return told


def _remarks(told: Sequence[str]) -> Iterator[Row]:
    for text in told:
        yield from (row(" " * 9, Part(part, "aside")) for part in folded(text, WIDTH - 9))


def _line(mark: str, line: Line, page: _Page, tail: str, words: Sequence[tuple[int, int]] = ()) -> Iterator[Row]:
    """A line of a plan, broken where it is long, with `words` (ranges of its text) brought out."""
    role, own = MARKS[mark], "" if mark == "~" else MARKS[mark]
    start = _start(mark, line, page)
    column = WIDTH if line.section == "update" and not tail else page.column
    if len(start) > LONGEST_START and len(start) + len(line.text) > column:  # a long name stands alone, its text below it
        yield row(Part(start[:3], role), Part(start[3:], own))
        start = " " * 24
    tails = _tail_rows(tail, WIDTH - column - GAP, page)
    parts = broken(line.text, column - len(start))
    at = 0
    for i, part in enumerate(parts):
        at = line.text.index(part, at)
        here = [(max(a - at, 0), min(b - at, len(part))) for a, b in words if a < at + len(part) and b > at]
        before = start if i == 0 else " " * len(start)
        gap = " " * max(column - len(before) - len(part) + GAP, 2)
        beside = i == len(parts) - 1 and tails and (len(before) + len(part) <= column or len(before + part + gap + tails[0]) <= WIDTH)
        last = gap + tails.pop(0) if beside else ""
        yield row(Part(before[:3], role), Part(before[3:], own), *_emphasised(part, here, own), last)
        if here:
            yield row(" " * len(before) + "".join("^" if any(a <= k < b for a, b in here) else " " for k in range(len(part))))
        at += len(part)
    yield from (row(" " * (column + GAP) + more) for more in tails)


def _tail_rows(tail: str, room: int, page: _Page) -> list[str]:
    """The shape and what stands beside it, which goes on under its beginning."""
    shape, _, reason = tail.partition("   ")
    first, *more = folded(reason, max(room - page.shape - 3, NARROW)) or [""]
    indent = " " * (max(page.shape, len(shape)) + 3)
    return [f"{shape.ljust(len(indent))}{first}".rstrip(), *(indent + part for part in more)] if tail else []


def _emphasised(text: str, words: Sequence[tuple[int, int]], role: str) -> Iterator[Part]:
    at = 0
    for a, b in words:
        yield Part(text[at:a], role)
        yield Part(text[a:b], f"{role} word")
        at = b
    yield Part(text[at:], role)


def _counted(d: Difference) -> str:
    """How many lines are what."""
    aside = ", names aside" if d.renames else ""
    if not d.lines:
        return f"every line is the same{aside}"
    added, removed = sum(c.before is None for c in d.lines), sum(c.after is None for c in d.lines)
    counts = ((len(d.lines) - added - removed, "changed"), (added, "added"), (removed, "removed"), (d.same_lines, f"the same{aside}"))
    return f"lines: {', '.join(f'{n} {word}' for n, word in counts if n)}"


def _cost(d: Difference) -> Iterator[Row]:
    """What a step costs, before and after."""
    a, b = d.before.footprint, d.after.footprint
    if a is None or b is None:
        return
    at = f"a step at N = {a.rows}" if a.rows == b.rows else f"a step at N = {a.rows} and at N = {b.rows}"
    rows = [("flops", f"{a.flops:,}", f"{b.flops:,}", a.flops, b.flops)]
    rows += [(word, amount(x), amount(y), x, y) for word, x, y in (("kept", a.kept, b.kept), ("peak", a.peak, b.peak))]
    if a.rows == b.rows and all(x == y for *_, x, y in rows):
        yield row(f"{at} costs the same: {rows[0][1]} flops · kept {rows[1][1]} · peak {rows[2][1]}")
        return
    was, now = (max(len(text) for text in texts) for texts in ([r[1] for r in rows], [r[2] for r in rows]))
    yield row(at)
    for word, old, new, x, y in rows:
        share = "the same" if x == y else f"{100 * (y - x) / x:+.1f} %" if x else ""
        yield row(f"   {word.ljust(5)}  {old.rjust(was)} → {new.rjust(now)}   {share.rjust(8)}")
