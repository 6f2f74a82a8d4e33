"""The text of a plan's line read back, so that another rendering says what the line says: `read`.

Its grammar is the language's, and what only a plan writes: `Aᵀ`, `π`, and names such as `d(h.W)`. The language's own
parser (`dsl.parse`) wants a user's mistakes, which there are none of here, takes a millisecond a line, and refuses texts
as deep as a compiled line may be; `tests/test_latex.py` holds the two to one another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

from ...dsl.syntax import Arg, Binary, Call, Expr, Matrix, Name, Number, Slice, Source, Span, Subscript, Text, Unary
from ..ops import COMPARISON, POWER, PRODUCT, SUM, UNARY

T = TypeVar("T")
BINARY = dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), COMPARISON) | {
    "+": SUM,
    "-": SUM,
    "*": PRODUCT,
    "/": PRODUCT,
    "@": PRODUCT,
    "^": POWER,
}
PI, TRANSPOSED = "π", "ᵀ"

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*'?)
      | (?P<string>"[^"\n]*")
      | (?P<sign><=|>=|==|!=|[-+*/@^<>()\[\],:=πᵀ]))""",
    re.VERBOSE | re.ASCII,
)
_GRADIENT = re.compile(r"d\([\w.']+\)", re.ASCII)


def read(text: str, names: Collection[str] = ()) -> Expr:
    """The expression that a line's text is. Every value is a `Name`, dotted ones too, and `π`; `Aᵀ` is the call `transpose(A)`.

    `names` are the line's needs: `d(h.W)` is a name if it stands there, and otherwise a call. ValueError if it is no expression.
    """
    reader = _Reader(text, names)
    found = reader.expression(COMPARISON)
    if reader.sign:
        raise reader.lost()
    return found


class _Reader:
    """One text, and the token that is looked at: its `kind`, its `sign` ('' at the end) and where it stands."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self.source = Source("a plan", text)
        self.names = names
        self.start = self.end = 0
        self.kind = self.sign = ""
        self.next()

    def next(self) -> str:
        """Goes on to the next token and gives the one that was looked at."""
        text, before = self.source.text, self.sign
        found = _TOKEN.match(text, self.end)
        if found is None:
            if text[self.end :].strip():
                raise self.lost()
            self.kind, self.sign, self.start = "", "", len(text)
            return before
        self.kind = found.lastgroup or ""
        self.sign, self.start, self.end = found[self.kind], found.start(self.kind), found.end()
        gradient = _GRADIENT.match(text, self.start) if self.sign == "d" else None
        if gradient is not None and gradient[0] in self.names:
            self.sign, self.end = gradient[0], gradient.end()
        return before

    def lost(self) -> ValueError:
        return ValueError(f"not a line of a plan, from {self.source.text[self.start :]!r} on: {self.source.text!r}")

    def skip(self, sign: str) -> bool:
        """Whether the token is that sign; if so it is passed over."""
        if self.sign != sign or self.kind != "sign":
            return False
        self.next()
        return True

    def need(self, sign: str) -> int:
        """Passes over a sign that must stand here; where it ends."""
        end = self.end
        if not self.skip(sign):
            raise self.lost()
        return end

    def expression(self, least: int) -> Expr:
        """An expression whose operators bind at least so tightly."""
        if self.sign == "-" and self.kind == "sign":
            start = self.start
            self.next()
            value = self.expression(UNARY)
            left: Expr = Unary("-", value, Span(self.source, start, value.span.end))
        else:
            left = self.postfix()
        while self.kind == "sign" and BINARY.get(self.sign, 0) >= least:
            op = self.next()
            right = self.expression(UNARY if op == "^" else BINARY[op] + 1)
            left = Binary(op, left, right, left.span.to(right.span))
            least = max(least, SUM) if BINARY[op] == COMPARISON else least  # a < b < c is no expression
        return left

    def postfix(self) -> Expr:
        value = self.atom()
        while self.kind == "sign" and self.sign in {TRANSPOSED, "["}:
            start, end = self.start, self.end
            if self.next() == TRANSPOSED:
                mark = Span(self.source, start, end)
                value = Call(Name("transpose", mark), (Arg(None, value, value.span),), False, value.span.to(mark))
                continue
            subscripts = self.listed("]", self.subscript)
            value = Slice(value, subscripts, Span(self.source, value.span.start, self.need("]")))
        return value

    def subscript(self) -> Subscript:
        start = self.start
        first = None if self.sign == ":" else self.expression(COMPARISON)
        if not self.skip(":"):
            return Subscript(first, None, True, Span(self.source, start, self.start))
        last = None if self.sign in {",", "]"} else self.expression(COMPARISON)
        return Subscript(first, last, False, Span(self.source, start, self.start))

    def atom(self) -> Expr:
        span = Span(self.source, self.start, self.end)
        match self.kind, self.sign:
            case "number", text:
                self.next()
                return Number(text, span)
            case "string", text:
                self.next()
                return Text(text[1:-1], span)
            case ("name", _) | ("sign", "π"):
                name = Name(self.next(), span)
                if self.sign != "(" or self.kind != "sign" or not name.id.isidentifier():
                    return name
                self.next()
                args = self.listed(")", self.argument)
                return Call(name, args, False, Span(self.source, span.start, self.need(")")))
            case "sign", "(":
                self.next()
                inner = self.expression(COMPARISON)
                self.need(")")
                return inner
            case "sign", "[":
                self.next()
                items = self.listed("]", lambda: self.expression(COMPARISON))
                return Matrix(items, Span(self.source, span.start, self.need("]")))
            case _:
                raise self.lost()

    def argument(self) -> Arg:
        start = self.start
        value = self.expression(COMPARISON)
        if not isinstance(value, Name) or not self.skip("="):
            return Arg(None, value, value.span)
        named = self.expression(COMPARISON)
        return Arg(value, named, Span(self.source, start, named.span.end))

    def listed(self, close: str, one: Callable[[], T]) -> tuple[T, ...]:
        """What stands between commas, up to the closing sign, which stays."""
        found: list[T] = []
        while self.sign != close and (not found or self.skip(",")):
            found.append(one())
        return tuple(found)
