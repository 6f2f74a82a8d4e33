"""Formulas: pieces of LaTeX in a row, with the brackets that they need of one another, broken into lines where it reads best."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

SIZES = ("", r"\big", r"\Big", r"\bigg")

# How tightly a formula holds together, loosest to tightest. Only an ATOM can be raised to a power.
LOOSE, SUM, PRODUCT, UNARY, MATRIX, SCRIPTED, ATOM = range(7)
# How well a line breaks before a part: at a sum, a product, after a comma, and a level further in.
AT_SUM, AT_PRODUCT, AT_COMMA, FURTHER = 0, 1, 2, 3


class Part(Struct, frozen=True):
    """A piece of a formula that stays whole, its width in letters; the lower its rank, the better a line breaks before it."""

    latex: str
    width: float
    rank: int = 0


class Formula(Struct, frozen=True):
    """Parts in a row. `tall`: the size of its brackets; `signed`: it begins with a minus; `open`: it ends in the operand of a sum sign."""

    parts: tuple[Part, ...]
    level: int = ATOM
    tall: int = 0
    signed: bool = False
    open: bool = False

    @property
    def latex(self) -> str:
        """On one line."""
        return "".join(p.latex for p in self.parts)

    @property
    def width(self) -> float:
        """On one line, in letters."""
        return sum(p.width for p in self.parts)


def rows(formula: Formula, first: float, rest: float) -> list[str]:
    """The formula on as many lines as it takes, of a width in letters, each broken at the loosest place that helps."""
    parts, found, room = list(formula.parts), list[str](), first
    while sum(p.width for p in parts) > room and (cut := _cut(parts, room)):
        found.append("".join(p.latex for p in parts[:cut]))
        parts, room = parts[cut:], rest
    return [*found, "".join(p.latex for p in parts)]


def _cut(parts: Sequence[Part], room: float) -> int:
    """Before which part to break: the last of the loosest that fit, but not after little; 0 if there is one part."""
    best: dict[int, int] = {}
    useful: dict[int, int] = {}
    width = 0.0
    for i, part in enumerate(parts):
        if i and width <= room:
            best[part.rank] = i
            if width >= room / 3:
                useful[part.rank] = i
        width += part.width
    if not best:
        return min(1, len(parts) - 1)
    chosen = useful or best
    return chosen[min(chosen)]


def piece(latex: str, width: float, level: int = ATOM, tall: int = 0) -> Formula:
    """One part."""
    return Formula((Part(latex, width),), level, tall)


def prefixed(latex: str, width: float, f: Formula) -> Formula:
    """With something before its first part."""
    head, *rest = f.parts
    return replace(f, parts=(replace(head, latex=latex + head.latex, width=width + head.width), *rest))


def suffixed(f: Formula, latex: str, width: float, level: int) -> Formula:
    """With something after its last part, and as tight as that makes it."""
    *rest, last = f.parts
    return Formula((*rest, replace(last, latex=last.latex + latex, width=last.width + width)), level, f.tall)


def joined(left: Formula, sign: str, width: float, right: Formula, level: int, rank: int) -> Formula:
    """Two operands, with a place to break before the sign."""
    head, *rest = prefixed(sign, width, right).parts
    parts = (*left.parts, replace(head, rank=rank), *rest)
    return Formula(parts, level, max(left.tall, right.tall), left.signed, right.open)


def listed(items: Sequence[Formula]) -> Formula:
    """With commas, and places to break after them."""
    if not items:
        return piece("", 0)
    found = items[0]
    for item in items[1:]:
        found = joined(suffixed(found, ",", 0.5, LOOSE), r"\, ", 0.4, item, LOOSE, AT_COMMA)
    return found


def fenced(opening: str, f: Formula, closing: str) -> Formula:
    """In brackets of its size; its places to break are further in."""
    size = SIZES[f.tall]
    inner = replace(f, parts=tuple(replace(p, rank=p.rank + FURTHER) for p in f.parts))
    left, right = (f"{size}l{opening}", f"{size}r{closing}") if size else (opening, closing)
    return replace(suffixed(prefixed(left, 0.8, inner), right, 0.8, ATOM), tall=f.tall)


def bound(f: Formula, least: int) -> Formula:
    """In brackets unless it holds together so tightly."""
    return f if f.level >= least else fenced("(", f, ")")


def as_left(f: Formula, least: int) -> Formula:
    """As the left operand of a product, which must not join the operand of a sum sign."""
    return fenced("(", f, ")") if f.open else bound(f, least)


def as_right(f: Formula, least: int) -> Formula:
    """As a right operand, which must not begin with a minus."""
    return fenced("(", f, ")") if f.signed else bound(f, least)
