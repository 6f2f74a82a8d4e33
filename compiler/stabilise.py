"""The rewrites that compute safely what a user writes as the textbook does: right at any size of the argument.

Each is a rule like those of `simplify`, whose tables list them; they run on the forward graph as it is built, before the
sweep, because afterwards one would need `p * (y / p) -> y`, which is false at p = 0.
"""

from __future__ import annotations

from fractions import Fraction

from .ir import Node
from .ops import call


def is_one(node: Node) -> bool:
    """Whether the node is the constant 1."""
    return node.op == "const" and node.value == 1


def gather(n: Node) -> Node | None:
    """onehot(i, k) @ W  ->  gather(W, i), the rows of W: the same bits, and NaN or infinity stays in its row (0 * inf is NaN)."""
    rows, w = n.args
    return call("gather", w, rows.args[0]) if rows.op == "onehot" and "N" not in w.shape else None


def over_features(node: Node) -> bool:
    """Whether a reduction runs over the last axis and keeps it."""
    return bool(node.attr("keep")) and node.attr("axes") == (len(node.args[0].shape) - 1,)


def other_term(node: Node, op: str = "exp") -> Node | None:
    """x, where the node is `1 + op(x)` either way round."""
    if node.op == "add":
        for one, term in (node.args, node.args[::-1]):
            if is_one(one) and term.op == op:
                return term.args[0]
    return None


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


def times_sigmoid(n: Node) -> Node | None:
    """a / (1 + exp(t))  ->  a * sigmoid(-t)  and  a * exp(t) / (1 + exp(t))  ->  a * sigmoid(t)."""
    top, bottom = n.args
    t = other_term(bottom)
    if t is None or is_one(top):
        return None
    if top.op == "mul":
        for a, e in (top.args, top.args[::-1]):
            if e.op == "exp" and e.args[0] is t:
                return a * call("sigmoid", t)
    return top * call("sigmoid", -t)


def silu(n: Node) -> Node | None:
    """x * sigmoid(x)  ->  silu(x), unless the user named the gate: it has all digits where sigmoid(x) alone has none left."""
    for x, gate in (n.args, n.args[::-1]):
        if gate.op == "sigmoid" and gate.args[0] is x and gate not in n.ir.named:
            return call("silu", x)
    return None


def square_below(n: Node) -> Node | None:
    """a / (1 + exp(t))^2  ->  a / (1 + exp(t)) / (1 + exp(t)), each of them a sigmoid."""
    top, square = n.args
    bottom = squared(square)
    return top / bottom / bottom if bottom is not None and other_term(bottom) is not None else None


def tanh(n: Node) -> Node | None:
    """(exp(t) - 1) / (exp(t) + 1)  ->  tanh(t / 2)  and  (exp(t) - exp(-t)) / (exp(t) + exp(-t))  ->  tanh(t)."""
    top, bottom = n.args
    t = other_term(bottom)
    if t is not None:
        inner = top.args[0] if top.op == "neg" else top
        if inner.op != "expm1" or inner.args[0] is not t:
            return None
        return call("tanh", scaled(Fraction(-1 if inner is not top else 1, 2), t))
    if top.op != "sub" or bottom.op != "add" or set(top.args) != set(bottom.args):
        return None
    t = mirrored_exp(*top.args)
    return None if t is None else call("tanh", t)


def tanh_of_sigmoid(n: Node) -> Node | None:
    """2 * sigmoid(t) - 1  ->  tanh(t / 2)  and  1 - 2 * sigmoid(t)  ->  tanh(-t / 2)."""
    for twice, one, half in ((*n.args, Fraction(1, 2)), (*n.args[::-1], Fraction(-1, 2))):
        if is_one(one) and twice.op == "mul":
            for two, s in (twice.args, twice.args[::-1]):
                if two.value == 2 and s.op == "sigmoid" and s.shape == n.shape:
                    return call("tanh", scaled(half, s.args[0]))
    return None


def log_of_two_exp(n: Node) -> Node | None:
    """log(exp(t) + exp(-t))  ->  abs(t) + softplus(-2 * abs(t))."""
    total = n.args[0]
    t = mirrored_exp(*total.args) if total.op == "add" else None
    if t is None:
        return None
    size = call("abs", t)
    return size + call("softplus", -2 * size)


def joined_softplus(n: Node) -> Node | None:
    """max(x, 0) + softplus(-abs(x))  ->  softplus(x), whose slope at 0 is 1 / 2."""
    for ramp, tail in (n.args, n.args[::-1]):
        if ramp.op == "max" and tail.op == "softplus" and tail.args[0].op == "neg":
            size = tail.args[0].args[0]
            for x, zero in (ramp.args, ramp.args[::-1]):
                if zero.value == 0 and size.op == "abs" and size.args[0] is x and x.shape == n.shape:
                    return call("softplus", x)
    return None


def root_of_square(n: Node) -> Node | None:
    """sqrt(x^2), sqrt(x * x)  ->  abs(x), whose slope at 0 is 0."""
    x = squared(n.args[0])
    return None if x is None else call("abs", x)


def one_minus_exp(n: Node) -> Node | None:
    """1 - exp(x)  ->  -expm1(x)."""
    one, e = n.args
    return -call("expm1", e.args[0]) if is_one(one) and e.op == "exp" else None


def squared(node: Node) -> Node | None:
    """x, where the node is x^2 or x * x."""
    if node.op == "pow" and node.args[1].op == "const" and node.args[1].value == 2:
        return node.args[0]
    return node.args[0] if node.op == "mul" and node.args[0] is node.args[1] else None


def factor(t: Node) -> tuple[Fraction, Node]:
    """The constant factor of a product, and what it multiplies."""
    if t.op == "neg":
        number, rest = factor(t.args[0])
        return -number, rest
    if t.op == "mul":
        for c, rest in (t.args, t.args[::-1]):
            if isinstance(c.value, Fraction) and rest.shape == t.shape:
                return c.value, rest
    return Fraction(1), t


def scaled(number: Fraction, t: Node) -> Node:
    """number * t, the number drawn into the constant factor that t has."""
    own, rest = factor(t)
    number *= own
    return -rest if number == -1 else number * rest


def mirrored_exp(up: Node, down: Node) -> Node | None:
    """t, where the nodes are exp(t) and exp(-t)."""
    if up.op != "exp" or down.op != "exp":
        return None
    (a, x), (b, z) = factor(up.args[0]), factor(down.args[0])
    return up.args[0] if x is z and a == -b != 0 else None
