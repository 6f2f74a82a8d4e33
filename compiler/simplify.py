"""The rewrites. Each is one small function from the draft of a node to the node that stands for it, or None.

`RULES` says which are tried, in which order, when a node of an operation is made; there is no other registration.
A rule's docstring is its statement. `LICENCE` says what it does to the bits: `keeps` them (all but the sign of a
zero), `reassociates`, or `stabilises` (right where the written form overflows or cancels). Rules that need a fact test
it on the operand; without it they do not fire. Tidying rules never read through a value that the user named.
"""

from __future__ import annotations

from fractions import Fraction
from typing import cast

from . import shapes
from .constants import fold as fold_numbers
from .ir import Node, Rule
from .ops import TABLE, call
from .plan import Shape
from .stabilise import (
    expm1,
    gather,
    is_one,
    joined_softplus,
    log1p,
    log_of_softmax,
    log_of_two_exp,
    log_sigmoid,
    log_softmax,
    logistic,
    logsumexp,
    one_minus_exp,
    one_minus_sigmoid,
    over_features,
    root_of_square,
    shift,
    sigmoid,
    silu,
    softmax,
    softplus,
    square_below,
    tanh,
    tanh_of_sigmoid,
    times_sigmoid,
)


def opened(node: Node, op: str) -> Node | None:
    """The operand of an `op`, unless the user named its result."""
    return node.args[0] if node.op == op and node not in node.ir.named else None


# --- constants and neutral elements --------------------------------------------------------------


def fold(n: Node) -> Node | None:
    """An operation on constants is its value, exact as long as it can be."""
    values = [a.value for a in n.args]
    if any(v is None for v in values):
        return None
    result = fold_numbers(n.op, cast("list[Fraction | float]", values))
    return None if result is None else n.ir.const(result)


def times_one(n: Node) -> Node | None:
    """1 * x, x * 1, x / 1, x ^ 1  ->  x."""
    a, b = n.args
    if is_one(b) and a.shape == n.shape:
        return a
    return b if n.op == "mul" and is_one(a) and b.shape == n.shape else None


def plus_zero(n: Node) -> Node | None:
    """x + 0, 0 + x, x - 0  ->  x."""
    a, b = n.args
    if b.op == "const" and b.value == 0 and a.shape == n.shape:
        return a
    return b if n.op == "add" and a.op == "const" and a.value == 0 and b.shape == n.shape else None


def neg_neg(n: Node) -> Node | None:
    """-(-x)  ->  x."""
    return opened(n.args[0], "neg")


def double_transpose(n: Node) -> Node | None:
    """transpose(transpose(x))  ->  x."""
    return opened(n.args[0], "transpose")


def same_shape(n: Node) -> Node | None:
    """A value brought to the shape it has  ->  itself."""
    return n.args[0] if n.args[0].shape == n.shape else None


def chosen(n: Node) -> Node | None:
    """where(c, a, b) with a constant c  ->  the side taken."""
    c, a, b = n.args
    if c.value is None:
        return None
    side = a if c.value != 0 else b
    return side if side.shape == n.shape else call("broadcast", side, shape=n.shape)


def broadcast(n: Node) -> Node | None:
    """f(broadcast(a), b)  ->  f(a, b) where b has the shape, else broadcast(f(a, ...))."""
    inner = [opened(a, "broadcast") for a in n.args]
    if all(a is None for a in inner):
        return None
    bare = [a if b is None else b for a, b in zip(n.args, inner, strict=True)]
    made = n.ir.make(n.op, *bare, **dict(n.attrs))
    return made if made.shape == n.shape else call("broadcast", made, shape=n.shape)


def both_sides(n: Node) -> Node | None:
    """where(c, a, 0) + where(c, 0, b)  ->  where(c, a, b), either of them times a number."""
    sides: dict[int, Node] = {}
    conditions: list[Node] = []
    for term in n.args:
        number, choice = term.args if term.op == "mul" and term.args[0].op == "const" else (None, term)
        if choice.op != "where" or choice in n.ir.named or term in n.ir.named:
            return None
        condition, *values = choice.args
        kept = [i for i, v in enumerate(values) if v.value != 0]
        if len(kept) != 1 or kept[0] in sides:
            return None
        conditions.append(condition)
        sides[kept[0]] = values[kept[0]] if number is None else number * values[kept[0]]
    made = call("where", conditions[0], sides[0], sides[1]) if conditions[0] is conditions[1] else None
    return made if made is not None and made.shape == n.shape else None


# --- sums ----------------------------------------------------------------------------------------


def sum_of_neg(n: Node) -> Node | None:
    """sum(-x)  ->  -sum(x)."""
    x = n.args[0]
    return -call("sum", x.args[0], **dict(n.attrs)) if x.op == "neg" and x not in n.ir.named else None


def sum_of_sum(n: Node) -> Node | None:
    """sum(sum(x, axis = features))  ->  sum(x)."""
    x = n.args[0]
    if x.op != "sum" or x in n.ir.named or not x.attr("keep"):
        return None
    inner, outer = cast("tuple[int, ...]", x.attr("axes")), cast("tuple[int, ...]", n.attr("axes"))
    return call("sum", x.args[0], **dict(n.attrs)) if set(inner) <= set(outer) else None


def sum_of_one(n: Node) -> Node | None:
    """The sum over an axis of size 1  ->  the value; of a value repeated k times  ->  k times the value."""
    x, axes = n.args[0], cast("tuple[int, ...]", n.attr("axes"))
    if n.attr("keep") and all(x.shape[i] == 1 for i in axes):
        return x
    source = opened(x, "broadcast")
    if source is None:
        return None
    aligned: Shape = (1,) * (len(x.shape) - len(source.shape)) + source.shape
    if any(aligned[i] != 1 for i in axes) or shapes.broadcast([source.shape, n.shape]) != n.shape:
        return None
    count = Fraction(1)
    batch = False
    for i in axes:
        size = x.shape[i]
        if isinstance(size, int):
            count *= size
        else:
            batch = True
    times = rows(n) * count if batch else n.ir.const(count)
    return call("broadcast", times * source, shape=n.shape)


def rows(n: Node) -> Node:
    """The number of rows of the batch, N."""
    return n.ir.leaf("symbol", (), name="N")


def rows_sum_to_one(n: Node) -> Node | None:
    """sum(v, axis = features)  ->  c, where every row of v is known to sum to c (one-hot, simplex, smoothed)."""
    total = n.args[0].facts.row_sum
    if total is None or not over_features(n):
        return None
    return call("broadcast", n.ir.const(total), shape=n.shape)


# --- the update, where an operation between two numbers is next to nothing, and one on every number of a param is not ---------


def numbers_first(n: Node) -> Node | None:
    """s * (t * x)  ->  (s * t) * x,  s * (x / t)  ->  (s / t) * x  and  s * x / t  ->  (s / t) * x, in an update, where s and t are numbers."""
    if n.shape != ("P",):
        return None
    for s, y in (n.args, n.args[::-1]) if n.op == "mul" else ():
        if not s.shape and y not in n.ir.named:
            if y.op == "mul" and (found := _number_times(y)):
                return (s * found[0]) * found[1]
            if y.op == "div" and not y.args[1].shape:
                return (s / y.args[1]) * y.args[0]
    if n.op == "div" and not n.args[1].shape and n.args[0] not in n.ir.named and (found := _number_times(n.args[0])):
        return (found[0] / n.args[1]) * found[1]
    return None


def corrected_root(n: Node) -> Node | None:
    """s * x / (sqrt(v / c) + e)  ->  s * sqrt(c) * x / (sqrt(v) + e * sqrt(c)), in an update, where s, c > 0 and e are numbers."""
    top, below = n.args
    root, e = below.args if below.op == "add" else (below, None)
    if n.shape != ("P",) or root.op != "sqrt" or root.args[0].op != "div" or (e is not None and e.shape):
        return None
    found = _number_times(top)
    (v, c), named = root.args[0].args, n.ir.named
    if found is None or c.shape or not (c.facts.positive or _rises_above_zero(c)) or not named.isdisjoint((top, below, root, root.args[0])):
        return None
    scale = call("sqrt", c)
    return (found[0] * scale) * found[1] / (call("sqrt", v) if e is None else call("sqrt", v) + e * scale)


def _number_times(y: Node) -> tuple[Node, Node] | None:
    """t and x of t * x or x * t, where t is a number and x has the shape of the product."""
    pairs = (y.args, y.args[::-1]) if y.op == "mul" else ()
    return next(((t, x) for t, x in pairs if not t.shape and x.shape == y.shape), None)


def _rises_above_zero(c: Node) -> bool:
    """Whether a number is 1 - b^step, where b is less than 1 as a float64 too."""
    if c.op != "sub" or not is_one(c.args[0]) or c.args[1].op != "pow":
        return False
    b, power = c.args[1].args
    return b.value is not None and 0 <= float(b.value) < 1 and power.op == "symbol" and power.attr("name") == "step"


KEEPS, REASSOCIATES, STABILISES = "keeps", "reassociates", "stabilises"
LICENCE: dict[Rule, str] = {
    fold: KEEPS, times_one: KEEPS, plus_zero: KEEPS, neg_neg: KEEPS, double_transpose: KEEPS, same_shape: KEEPS, chosen: KEEPS, both_sides: KEEPS,
    broadcast: KEEPS, sum_of_neg: KEEPS, sum_of_sum: REASSOCIATES, sum_of_one: REASSOCIATES, rows_sum_to_one: REASSOCIATES,
    softmax: STABILISES, shift: STABILISES, log_of_softmax: STABILISES, logsumexp: STABILISES, log_softmax: STABILISES,
    sigmoid: STABILISES, one_minus_sigmoid: STABILISES, softplus: STABILISES, log_sigmoid: STABILISES, log1p: STABILISES,
    expm1: STABILISES, logistic: STABILISES, one_minus_exp: STABILISES, times_sigmoid: STABILISES, square_below: STABILISES,
    tanh: STABILISES, tanh_of_sigmoid: STABILISES, log_of_two_exp: STABILISES, joined_softplus: STABILISES, root_of_square: STABILISES,
    gather: STABILISES, silu: STABILISES, numbers_first: REASSOCIATES, corrected_root: REASSOCIATES,
}  # fmt: skip

OWN: dict[str, tuple[Rule, ...]] = {
    "add": (plus_zero, both_sides, joined_softplus),
    "sub": (plus_zero, log_softmax, expm1, one_minus_exp, one_minus_sigmoid, tanh_of_sigmoid, logistic),
    "mul": (times_one, silu, numbers_first),
    "div": (times_one, softmax, sigmoid, tanh, square_below, times_sigmoid, numbers_first, corrected_root),
    "pow": (times_one,),
    "neg": (neg_neg,),
    "log": (log_of_softmax, log_sigmoid, softplus, log_of_two_exp, logsumexp, log1p),
    "log1p": (softplus,),
    "sqrt": (root_of_square,),
    "matmul": (gather,),
    "softmax": (shift,),
    "where": (chosen,),
    "transpose": (double_transpose,),
    "reshape": (same_shape,),
    "broadcast": (same_shape,),
    "sum": (sum_of_one, rows_sum_to_one, sum_of_neg, sum_of_sum),
}
RULES: dict[str, tuple[Rule, ...]] = {
    op: ((fold, broadcast) if row.kind == "elementwise" else ()) + OWN.get(op, ()) for op, row in TABLE.items() if row.kind != "leaf"
}
NAMES: dict[str, str] = {rule.__name__: licence for rule, licence in LICENCE.items()}
