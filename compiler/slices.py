"""Slices of columns: one subscript an axis, half-open, negatives from the end; a single index keeps its axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..dsl.diagnostics import fault
from ..dsl.syntax import Expr, Slice
from . import shapes
from .constants import whole
from .instances import Frame
from .ir import Node

if TYPE_CHECKING:
    from .lower import Lowering


def columns_slice(low: Lowering, e: Slice, frame: Frame) -> Node:
    """`h[:, 1:3]`: one subscript an axis, half-open, negatives from the end; a single index keeps its axis."""
    x = low.node(e.value, frame)
    text = e.value.span.text
    if len(e.subscripts) != len(x.shape):
        raise fault(
            "E0237",
            e.span,
            f"`{text}` is {shapes.show(x.shape)}: it takes {_count(len(x.shape))}, and here {_are(len(e.subscripts))}",
            f"a column is {text}[:, 0]" if len(x.shape) == 2 else "one subscript an axis, `:` for all of it",
        )
    for axis, (s, size) in enumerate(zip(e.subscripts, x.shape, strict=True)):
        if s.start is None and s.stop is None and not s.is_index:
            continue
        if not isinstance(size, int):
            raise fault("E0237", s.span, "the rows of the batch cannot be sliced", f"write  {text}[:, ...]")
        start, stop = _bounds(low, s.start, frame), _bounds(low, s.stop, frame)
        if s.is_index:
            assert start is not None
            first = start + size if start < 0 else start
            last = first + 1
        else:
            first = 0 if start is None else start + size if start < 0 else start
            last = size if stop is None else stop + size if stop < 0 else stop
        if not 0 <= first < last <= size:
            raise fault(
                "E0237",
                s.span,
                f"`{s.span.text}` is empty" if first == last else f"`{s.span.text}` does not lie within the {size} columns of `{text}`",
                f"columns are 0 to {size - 1}; a range begins with its first and ends before its last number: 0:{size} is all",
            )
        if (first, last) != (0, size):
            x = low.ir.make("slice", x, axis=axis, start=first, stop=last)
    return x


def _bounds(low: Lowering, e: Expr | None, frame: Frame) -> int | None:
    if e is None:
        return None
    n = whole(low.constant(e, frame))
    if n is None:
        raise fault("E0233", e.span, f"a subscript is a whole number, and `{e.span.text}` is not", "h[:, 0:2] is the first two columns")
    return n


def _count(n: int) -> str:
    return f"{n} subscript{'' if n == 1 else 's'}"


def _are(n: int) -> str:
    return f"{'is' if n == 1 else 'are'} {n}"
