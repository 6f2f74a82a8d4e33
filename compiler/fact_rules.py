"""Fact rules: what is known of a result from what is known of its operands. One a row of the op table.

Known row sums are exact: r(c * v) = c * r(v), r(v + c) = r(v) + c * cols, r(u + v) = r(u) + r(v), so a smoothed one-hot
is still a distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from .facts import NOTHING, ONEHOT, SIMPLEX, ZERO_ONE, Facts, counted
from .plan import Shape

if TYPE_CHECKING:
    from .ir import Node

FactRule = Callable[[Sequence["Node"], Shape, Mapping[str, object]], Facts]


def unknown(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """Nothing is known of the result."""
    return NOTHING


def always(facts: Facts) -> FactRule:
    """The same facts whatever the operands."""
    return lambda args, shape, attrs: facts


def nonnegative(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """At least 0, whatever the operands."""
    return Facts(nonnegative=True)


def same(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """A piece or another arrangement of the operands keeps what holds of each number."""
    f = [a.facts for a in args]
    limits = [x.below for x in f if x.below is not None]
    return Facts(
        all(x.nonnegative for x in f),
        all(x.positive for x in f),
        all(x.integer for x in f),
        all(x.bounded for x in f),
        below=max(limits) if len(limits) == len(f) else None,
    )


def _row_sum(args: Sequence[Node], shape: Shape, sign: int) -> Fraction | None:
    """The row sum of `a + sign * b`: exact where each side has one at full width, or is one number."""
    parts: list[Fraction] = []
    for node in args:
        full = bool(node.shape) and bool(shape) and node.shape[-1] == shape[-1]
        if node.facts.row_sum is not None and full:
            parts.append(node.facts.row_sum)
        elif isinstance(node.value, Fraction) and shape and isinstance(shape[-1], int):
            parts.append(node.value * shape[-1])
        else:
            return None
    return parts[0] + sign * parts[1]


def add(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """a + b."""
    a, b = (x.facts for x in args)
    return Facts(
        nonnegative=a.nonnegative and b.nonnegative,
        positive=(a.positive and b.nonnegative) or (b.positive and a.nonnegative),
        integer=a.integer and b.integer,
        bounded=a.bounded and b.bounded,
        row_sum=_row_sum(args, shape, 1),
    )


def sub(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """a - b."""
    a, b = args
    in_unit = b.facts.simplex or b.op == "sigmoid" or (b.facts.below is not None and b.facts.below <= 2)
    return Facts(
        nonnegative=a.value == 1 and in_unit,
        integer=a.facts.integer and b.facts.integer,
        bounded=a.facts.bounded and b.facts.bounded,
        row_sum=_row_sum(args, shape, -1),
    )


def mul(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """a * b."""
    a, b = args
    scaled: Fraction | None = None
    for number, node in ((a, b), (b, a)):
        if isinstance(number.value, Fraction) and node.facts.row_sum is not None and node.shape == shape:
            scaled = number.value * node.facts.row_sum
    return Facts(
        nonnegative=(a.facts.nonnegative and b.facts.nonnegative) or a is b,
        integer=a.facts.integer and b.facts.integer,
        bounded=a.facts.bounded and b.facts.bounded,
        row_sum=scaled,
    )


def div(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """a / b; `e / sum(e, axis = features)` with e >= 0 is a distribution."""
    a, b = args
    if b.op == "sum" and b.args == (a,) and a.facts.nonnegative and b.attr("keep") and b.attr("axes") == (len(a.shape) - 1,):
        return SIMPLEX
    scaled = a.facts.row_sum / b.value if a.facts.row_sum is not None and isinstance(b.value, Fraction) and b.value else None
    return Facts(nonnegative=a.facts.nonnegative and b.facts.nonnegative, row_sum=scaled if a.shape == shape else None)


def power(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """base ^ n."""
    base, n = args
    even = isinstance(n.value, Fraction) and n.value.denominator == 1 and n.value.numerator % 2 == 0
    return Facts(nonnegative=even or base.facts.nonnegative)


def argmax(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """The position of a column."""
    columns = args[0].shape[-1]
    return counted(columns) if isinstance(columns, int) else Facts(nonnegative=True, integer=True, bounded=True)


def onehot(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """One 1 a row where every index is known to have its column, else perhaps none."""
    below = args[0].facts.below
    return ONEHOT if below is not None and below <= cast("int", attrs["size"]) else ZERO_ONE


def reduced(args: Sequence[Node], shape: Shape, attrs: Mapping[str, object]) -> Facts:
    """A sum or an extreme of numbers."""
    f = args[0].facts
    return Facts(nonnegative=f.nonnegative, integer=f.integer)
