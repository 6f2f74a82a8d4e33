"""What a `.mlp` file says, as frozen values. Every one knows its place in the text.

    Program     imports, definitions, data, model, loss, train, report
    Statement   From | Param | State | Assign | Prime | Return | Check
    Expression  Number | Text | Name | Member | Call | Unary | Binary | Slice | Matrix

`x |> f(a)` is already the call `f(x, a)` here, and `fn f(x) = e` a body with one `Return`.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from .diagnostics import Diagnostic

STRING_OR_COMMENT = re.compile(r'"[^"\n]*"|#[^\n]*')


class Source(Struct, frozen=True, eq=False, dict=True):
    """A text and the name it is shown under. Newlines are `\\n` only (`parse` normalises them)."""

    name: str
    text: str
    path: Path | None = None

    def __repr__(self) -> str:
        return f"Source(name={self.name!r}, path={self.path!r})"

    @property
    def of_std(self) -> bool:
        """It is a text of the standard library; a user's folder may be called `std` too, but it has a path."""
        return self.path is None and self.name.startswith("std/")

    @cached_property
    def line_starts(self) -> list[int]:
        """Offsets at which the lines begin."""
        return [0] + [i + 1 for i, c in enumerate(self.text) if c == "\n"]

    def line_of(self, offset: int) -> int:
        """The 1-based line that holds `offset`."""
        return bisect.bisect_right(self.line_starts, offset)

    def line_text(self, line: int) -> str:
        """The text of a 1-based line, without its newline."""
        starts = self.line_starts
        end = starts[line] - 1 if line < len(starts) else len(self.text)
        return self.text[starts[line - 1] : end]


class Span(Struct, frozen=True):
    """The half-open range [start, end) of a source's text."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """1-based line of the first character."""
        return self.source.line_of(self.start)

    @property
    def column(self) -> int:
        """1-based column of the first character."""
        return self.start - self.source.line_starts[self.line - 1] + 1

    @property
    def text(self) -> str:
        """The characters themselves."""
        return self.source.text[self.start : self.end]

    @property
    def words(self) -> str:
        """The characters on one line, without comments."""
        text = self.text
        return " ".join((STRING_OR_COMMENT.sub(lambda m: m[0] if m[0][0] == '"' else "", text) if "#" in text else text).split())

    def told_from(self, other: Span) -> str:
        """`line 14`, and of which file where `other` stands in another one."""
        return f"line {self.line}" + ("" if self.source is other.source else f" of {self.source.name}")

    def to(self, other: Span) -> Span:
        """The range from the start of this one to the end of the other."""
        return Span(self.source, self.start, other.end)


# --- expressions ---------------------------------------------------------------------------------


class Number(Struct, frozen=True, eq=False):
    """A decimal literal, as written (`1e-4`); its value is exact, see `compiler.constants`."""

    text: str
    span: Span


class Text(Struct, frozen=True, eq=False):
    """A string literal, without its quotes."""

    text: str
    span: Span


class Name(Struct, frozen=True, eq=False):
    """A bare word: a value, a function or a word of the callee, told apart by place."""

    id: str
    span: Span


class Member(Struct, frozen=True, eq=False):
    """`deep.weights`: a name inside a named thing."""

    parts: tuple[Name, ...]
    span: Span


class Arg(Struct, frozen=True, eq=False):
    """An argument, by place (`name` is None) or by name."""

    name: Name | None
    value: Expr
    span: Span


class Call(Struct, frozen=True, eq=False):
    """`f(a, b = 1)`; for `a |> f` the piped value is the first argument and `piped` is true."""

    function: Name
    args: tuple[Arg, ...]
    piped: bool
    span: Span


class Unary(Struct, frozen=True, eq=False):
    """`-x`, the only one."""

    op: str
    value: Expr
    span: Span


class Binary(Struct, frozen=True, eq=False):
    """`+ - * / ^ @` and the comparisons `< <= > >= == !=`."""

    op: str
    left: Expr
    right: Expr
    span: Span


class Subscript(Struct, frozen=True, eq=False):
    """One axis of a slice: `:`, `a:b`, `a:`, `:b`, or a single index (`is_index`, in `start`)."""

    start: Expr | None
    stop: Expr | None
    is_index: bool
    span: Span


class Slice(Struct, frozen=True, eq=False):
    """`h[:, 1:3]`."""

    value: Expr
    subscripts: tuple[Subscript, ...]
    span: Span


class Matrix(Struct, frozen=True, eq=False):
    """`[...]`: a literal vector, a matrix as a vector of vectors, or the dims of a param."""

    items: tuple[Expr, ...]
    span: Span


Expr = Number | Text | Name | Member | Call | Unary | Binary | Slice | Matrix


# --- statements ----------------------------------------------------------------------------------


class From(Struct, frozen=True, eq=False):
    """`from "data/iris.csv"`."""

    path: Text
    span: Span


class Param(Struct, frozen=True, eq=False):
    """`param W [cols(x), 16] ~ glorot_uniform`; without dims, one number."""

    name: Name
    dims: tuple[Expr, ...]
    init: Expr
    span: Span


class State(Struct, frozen=True, eq=False):
    """`state v ~ zeros`; in an `update`, shaped like the parameter."""

    name: Name
    dims: tuple[Expr, ...] | None
    init: Expr
    span: Span


class Assign(Struct, frozen=True, eq=False):
    """`z = x @ W + b`."""

    name: Name
    value: Expr
    span: Span


class Prime(Struct, frozen=True, eq=False):
    """`v' = beta * v + dw`: the value after the step."""

    name: Name
    value: Expr
    span: Span


class Return(Struct, frozen=True, eq=False):
    """`return act(z)`."""

    value: Expr
    span: Span


class Check(Struct, frozen=True, eq=False):
    """A call that stands alone, for what it demands: `same(p, y)`."""

    call: Call
    span: Span


Statement = From | Param | State | Assign | Prime | Return | Check


# --- the file ------------------------------------------------------------------------------------


class Parameter(Struct, frozen=True, eq=False):
    """A parameter of a definition, with its default or None."""

    name: Name
    default: Expr | None
    span: Span


class Definition(Struct, frozen=True, eq=False):
    """`fn`, `block` or `update`. `doc` is the text of the `##` lines right above, or ''."""

    kind: str
    name: Name
    parameters: tuple[Parameter, ...]
    body: tuple[Statement, ...]
    doc: str
    span: Span


class Section(Struct, frozen=True, eq=False):
    """`data`, `model` or `train` with its statements; `keyword` spans the word itself."""

    keyword: Name
    body: tuple[Statement, ...]
    span: Span


class Import(Struct, frozen=True, eq=False):
    """`import "blocks.mlp"`. `program` is what could be read of the file (None: nothing yet), `faults` what is wrong with taking it."""

    path: Text
    span: Span
    program: Program | None = None
    faults: tuple[Diagnostic, ...] = ()


class Program(Struct, frozen=True, eq=False):
    """A whole file. A section that is not written is None; `report` is in the order written.

    `faults` are of statements that are left out here, so that the others can be read on; `lost` are the names that they give.
    """

    source: Source
    imports: tuple[Import, ...]
    definitions: tuple[Definition, ...]
    data: Section | None
    model: Section | None
    loss: Assign | None
    train: Section | None
    report: tuple[Arg, ...]
    faults: tuple[Diagnostic, ...] = ()
    lost: frozenset[str] = frozenset()


def children(node: Expr) -> tuple[Expr, ...]:
    """The expressions directly inside an expression, in the order written."""
    match node:
        case Call(args=args):
            return tuple(a.value for a in args)
        case Unary(value=value):
            return (value,)
        case Binary(left=left, right=right):
            return (left, right)
        case Slice(value=value, subscripts=subscripts):
            bounds = (e for s in subscripts for e in (s.start, s.stop) if e is not None)
            return (value, *bounds)
        case Matrix(items=items):
            return items
        case _:
            return ()


def walk(node: Expr) -> Iterator[Expr]:
    """An expression and all expressions inside it, from the left, without recursion."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(children(top)))
