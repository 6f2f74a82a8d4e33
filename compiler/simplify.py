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


def is_one(node: Node) -> bool:
    """Whether the node is the constant 1."""
    return node.op == "const" and node.value == 1


def over_features(node: Node) -> bool:
    """Whether a reduction runs over the last axis and keeps it."""
    return bool(node.attr("keep")) and node.attr("axes") == (len(node.args[0].shape) - 1,)


def opened(node: Node, op: str) -> Node | None:
    """The operand of an `op`, unless the user named its result."""
    return node.args[0] if node.op == op and node not in node.ir.named else None


def other_term(node: Node, op: str = "exp") -> Node | None:
    """x, where the node is `1 + op(x)` either way round."""
    if node.op == "add":
        for one, term in (node.args, node.args[::-1]):
            if is_one(one) and term.op == op:
                return term.args[0]
    return None


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


# --- stabilisation -------------------------------------------------------------------------------


def softmax(n: Node) -> Node | None:
    """exp(z) / sum(exp(z), axis = features)  ->  softmax(z)."""
    e, total = n.args
    fits = e.op == "exp" and total.op == "sum" and total.args[0] is e and over_features(total)
    return call("softmax", e.args[0]) if fits else None


def shift(n: Node) -> Node | None:
    """softmax(z - c)  ->  softmax(z), where c is one number a row."""
    z = n.args[0]
    if z.op == "sub" and z.args[0].shape == z.shape and (not z.args[1].shape or z.args[1].shape[-1] == 1):
        return call("softmax", z.args[0])
    return None


def log_of_softmax(n: Node) -> Node | None:
    """log(softmax(z))  ->  log_softmax(z)."""
    return call("log_softmax", n.args[0].args[0]) if n.args[0].op == "softmax" else None


def logsumexp(n: Node) -> Node | None:
    """log(sum(exp(z)))  ->  logsumexp(z), over the same axes."""
    total = n.args[0]
    if total.op == "sum" and total.args[0].op == "exp":
        return call("logsumexp", total.args[0].args[0], **dict(total.attrs))
    return None


def log_softmax(n: Node) -> Node | None:
    """z - logsumexp(z, axis = features)  ->  log_softmax(z)."""
    z, total = n.args
    return call("log_softmax", z) if total.op == "logsumexp" and total.args[0] is z and over_features(total) else None


def sigmoid(n: Node) -> Node | None:
    """1 / (1 + exp(t))  ->  sigmoid(-t)  and  exp(t) / (1 + exp(t))  ->  sigmoid(t)."""
    top, bottom = n.args
    t = other_term(bottom)
    if t is None:
        return None
    if is_one(top):
        return call("sigmoid", -t)
    return call("sigmoid", t) if top.op == "exp" and top.args[0] is t else None


def one_minus_sigmoid(n: Node) -> Node | None:
    """1 - sigmoid(z)  ->  sigmoid(-z)."""
    one, s = n.args
    return call("sigmoid", -s.args[0]) if is_one(one) and s.op == "sigmoid" else None


def softplus(n: Node) -> Node | None:
    """log(1 + exp(x)) and log1p(exp(x))  ->  softplus(x)."""
    inner = n.args[0]
    x = inner.args[0] if n.op == "log1p" and inner.op == "exp" else other_term(inner) if n.op == "log" else None
    return None if x is None else call("softplus", x)


def log_sigmoid(n: Node) -> Node | None:
    """log(sigmoid(x))  ->  -softplus(-x)."""
    return -call("softplus", -n.args[0].args[0]) if n.args[0].op == "sigmoid" else None


def log1p(n: Node) -> Node | None:
    """log(1 + t), log(t + 1)  ->  log1p(t)  and  log(1 - t)  ->  log1p(-t)."""
    inner = n.args[0]
    if inner.op == "sub" and is_one(inner.args[0]):
        return call("log1p", -inner.args[1])
    if inner.op == "add":
        for one, t in (inner.args, inner.args[::-1]):
            if is_one(one) and t.shape == inner.shape:
                return call("log1p", t)
    return None


def expm1(n: Node) -> Node | None:
    """exp(x) - 1  ->  expm1(x)."""
    e, one = n.args
    return call("expm1", e.args[0]) if e.op == "exp" and is_one(one) else None


def logistic(n: Node) -> Node | None:
    """(1 - t) * sigmoid(z) - t * sigmoid(-z)  ->  sigmoid(z) - t."""
    left, right = n.args
    if left.op != "mul" or right.op != "mul":
        return None
    (rest, up), (t, down) = left.args, right.args
    complement = rest.op == "sub" and is_one(rest.args[0]) and rest.args[1] is t
    if not complement or up.op != "sigmoid" or down.op != "sigmoid":
        return None
    z, minus = up.args[0], down.args[0]
    mirrored = (minus.op == "neg" and minus.args[0] is z) or (z.op == "neg" and z.args[0] is minus)
    return up - t if mirrored else None


KEEPS, REASSOCIATES, STABILISES = "keeps", "reassociates", "stabilises"
LICENCE: dict[Rule, str] = {
    fold: KEEPS, times_one: KEEPS, plus_zero: KEEPS, neg_neg: KEEPS, double_transpose: KEEPS, same_shape: KEEPS, chosen: KEEPS,
    broadcast: KEEPS, sum_of_neg: KEEPS, sum_of_sum: REASSOCIATES, sum_of_one: REASSOCIATES, rows_sum_to_one: REASSOCIATES,
    softmax: STABILISES, shift: STABILISES, log_of_softmax: STABILISES, logsumexp: STABILISES, log_softmax: STABILISES,
    sigmoid: STABILISES, one_minus_sigmoid: STABILISES, softplus: STABILISES, log_sigmoid: STABILISES, log1p: STABILISES,
    expm1: STABILISES, logistic: STABILISES,
}  # fmt: skip

OWN: dict[str, tuple[Rule, ...]] = {
    "add": (plus_zero,),
    "sub": (plus_zero, log_softmax, expm1, one_minus_sigmoid, logistic),
    "mul": (times_one,),
    "div": (times_one, softmax, sigmoid),
    "pow": (times_one,),
    "neg": (neg_neg,),
    "log": (log_of_softmax, log_sigmoid, softplus, logsumexp, log1p),
    "log1p": (softplus,),
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
