"""Every rewrite: what it makes of a pattern, both sides executed, and that it stays away where its pattern or fact is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from mlpc.compiler.facts import NOTHING, ONEHOT, SIMPLEX, Facts, counted
from mlpc.compiler.ir import Interner, Node, ancestors
from mlpc.compiler.ops import TABLE, call
from mlpc.compiler.simplify import KEEPS, LICENCE, NAMES, REASSOCIATES, RULES, STABILISES

from .interpret import evaluate

ROWS = 5


class Leaves:
    """x z t u e are [N, 3], a [3], c [N, 1], s [], w [3, 2], all unknown; y is one-hot, p a distribution, q nonnegative; `k(2)` is a number.

    i is [N, 1], of 0, 1 and 2.

    u is below 1 and e within 300 of 0. d and g are the numbers of a param, and r is a number above 0.
    """

    def __init__(self, rules):
        self.ir = Interner(rules)
        shapes = {"x": ("N", 3), "z": ("N", 3), "t": ("N", 3), "a": (3,), "c": ("N", 1), "s": (), "w": (3, 2), "u": ("N", 3), "e": ("N", 3)}
        shapes |= {"d": ("P",), "g": ("P",)}
        facts = {"y": ONEHOT, "p": SIMPLEX, "q": Facts(nonnegative=True)}
        self.of = {name: self.ir.leaf("input", shape, name=name) for name, shape in shapes.items()}
        self.of |= {name: self.ir.leaf("input", ("N", 3), f, name=name) for name, f in facts.items()}
        self.of["r"] = self.ir.leaf("input", (), Facts(nonnegative=True, positive=True), name="r")
        self.of["i"] = self.ir.leaf("input", ("N", 1), counted(3), name="i")

    def __getattr__(self, name) -> Any:
        return self.of[name]

    def k(self, number):
        return self.ir.const(number)

    def named(self, node):
        """As a value that the user has named."""
        self.ir.named.add(node)
        return node


def f(op, *args, **attrs) -> Any:
    first = next(a for a in args if isinstance(a, Node))
    return first.ir.make(op, *args, **attrs)


def features(x):
    return call("sum", x, axes=(len(x.shape) - 1,), keep=True)


def batch(x):
    return call("sum", x, axes=(0,), keep=False)


def everything(x):
    return call("sum", x, axes=tuple(range(len(x.shape))), keep=False)


def step(v):
    return v.ir.leaf("symbol", (), name="step")


def wide(x):
    return call("broadcast", x, shape=("N", 3))


@dataclass(frozen=True)
class Pair:
    """`before` becomes `after` by the rule; `missing` are alike and must be left alone."""

    rule: str
    before: Callable[[Leaves], Node]
    after: Callable[[Leaves], Node]
    missing: tuple[Callable[[Leaves], Node], ...]


PAIRS = [
    Pair("fold", lambda v: v.k(2) * v.k(3), lambda v: v.k(6), (lambda v: v.s * v.k(3), lambda v: v.k(1) / v.k(0))),
    Pair("fold", lambda v: f("exp", v.k(0)), lambda v: v.k(1.0), (lambda v: f("log", v.k(0)), lambda v: -v.k(0))),
    Pair("times_one", lambda v: v.x * 1, lambda v: v.x, (lambda v: v.x * 2, lambda v: v.s * wide(v.k(1)))),
    Pair("times_one", lambda v: 1 * v.x, lambda v: v.x, (lambda v: v.x * 0, lambda v: v.x * -1)),
    Pair("times_one", lambda v: v.x / 1, lambda v: v.x, (lambda v: 1 / v.x, lambda v: v.x / v.x)),
    Pair("times_one", lambda v: v.x**1, lambda v: v.x, (lambda v: v.k(1) ** v.x, lambda v: v.x**0)),
    Pair("plus_zero", lambda v: v.x + 0, lambda v: v.x, (lambda v: v.x + 1, lambda v: v.x + v.s)),
    Pair("plus_zero", lambda v: 0 + v.x, lambda v: v.x, (lambda v: 0 - v.x, lambda v: 0 * v.x)),
    Pair("plus_zero", lambda v: v.x - 0, lambda v: v.x, (lambda v: v.x - v.x,)),
    Pair("neg_neg", lambda v: f("neg", -v.x), lambda v: v.x, (lambda v: -v.x, lambda v: -(0 - v.x), lambda v: -v.named(-v.x))),
    Pair(
        "double_transpose", lambda v: v.w.T.T, lambda v: v.w, (lambda v: v.w.T, lambda v: v.named(v.w.T).T)
    ),
    Pair("same_shape", lambda v: wide(v.x), lambda v: v.x, (lambda v: wide(v.c), lambda v: wide(v.a))),
    Pair("same_shape", lambda v: f("reshape", v.w, shape=(3, 2)), lambda v: v.w, (lambda v: f("reshape", v.w, shape=(2, 3)),)),
    Pair("chosen", lambda v: f("where", v.k(1), v.x, v.z), lambda v: v.x, (lambda v: f("where", v.s, v.x, v.z),)),
    Pair("chosen", lambda v: f("where", v.k(0), v.x, v.a), lambda v: wide(v.a), (lambda v: f("where", v.x, v.k(1), v.k(0)),)),
    Pair(
        "both_sides",
        lambda v: f("where", v.x, v.z, v.k(0)) + f("where", v.x, v.k(0), v.t),
        lambda v: f("where", v.x, v.z, v.t),
        (
            lambda v: f("where", v.x, v.z, v.k(0)) + f("where", v.z, v.k(0), v.t),
            lambda v: f("where", v.x, v.z, v.k(0)) + f("where", v.x, v.t, v.k(0)),
            lambda v: f("where", v.x, v.z, v.k(0)) + v.named(f("where", v.x, v.k(0), v.t)),
            lambda v: f("where", v.x, v.z, v.k(1)) + f("where", v.x, v.k(0), v.t),
        ),
    ),
    Pair(
        "both_sides",
        lambda v: 3 * f("where", v.x, v.k(0), v.t) + f("where", v.x, v.z, v.k(0)),
        lambda v: f("where", v.x, v.z, 3 * v.t),
        (lambda v: v.s * f("where", v.x, v.k(0), v.t) + f("where", v.x, v.z, v.k(0)),),
    ),
    Pair("broadcast", lambda v: wide(v.a) * v.x, lambda v: v.a * v.x, (lambda v: v.a * v.x, lambda v: v.named(wide(v.a)) * v.x)),
    Pair("broadcast", lambda v: f("exp", wide(v.a)), lambda v: wide(f("exp", v.a)), (lambda v: f("exp", v.a),)),
    Pair("broadcast", lambda v: wide(v.a) + wide(v.s), lambda v: wide(v.a + v.s), (lambda v: v.a + v.s,)),
    Pair("broadcast", lambda v: wide(v.a) + v.c, lambda v: v.a + v.c, (lambda v: v.a + v.c,)),
    Pair("broadcast", lambda v: wide(v.s) - v.c, lambda v: wide(v.s - v.c), (lambda v: v.s - v.c,)),
    Pair("broadcast", lambda v: f("where", v.x, wide(v.a), wide(v.s)), lambda v: f("where", v.x, v.a, v.s), (lambda v: f("where", v.x, v.a, v.s),)),
    Pair("sum_of_neg", lambda v: features(-v.x), lambda v: -features(v.x), (lambda v: features(v.x), lambda v: features(v.named(-v.x)))),
    Pair("sum_of_neg", lambda v: everything(-v.x), lambda v: -everything(v.x), (lambda v: everything(0 - v.x),)),
    Pair(
        "both_sides", lambda v: f("where", v.s, v.x, 0) + f("where", v.s, 0, v.z), lambda v: f("where", v.s, v.x, v.z),
        (
            lambda v: f("where", v.s, v.x, 0) + f("where", v.c, 0, v.z), lambda v: f("where", v.s, v.x, 0) + f("where", v.s, v.z, 0),
            lambda v: f("where", v.s, v.x, 1) + f("where", v.s, 0, v.z), lambda v: v.named(f("where", v.s, v.x, 0)) + f("where", v.s, 0, v.z),
            lambda v: f("where", v.s, v.x, 0) - f("where", v.s, 0, v.z), lambda v: f("where", v.s, v.x, 0) + f("where", v.s, v.z, v.x),
        ),
    ),
    Pair("both_sides", lambda v: f("where", v.s, 0, v.z) + 2 * f("where", v.s, v.x, 0), lambda v: f("where", v.s, 2 * v.x, v.z), (lambda v: v.x + v.z,)),
    Pair(
        "sum_of_sum", lambda v: everything(features(v.x)), lambda v: everything(v.x),
        (lambda v: everything(v.named(features(v.x))), lambda v: call("sum", features(v.x), axes=(0,), keep=False), lambda v: everything(batch(v.x))),
    ),
    Pair("sum_of_one", lambda v: features(v.c), lambda v: v.c, (lambda v: features(v.x), lambda v: call("sum", v.c, axes=(1,), keep=False))),
    Pair("sum_of_one", lambda v: features(wide(v.c)), lambda v: 3 * v.c, (lambda v: features(wide(v.a)), lambda v: features(v.named(wide(v.c))))),
    Pair("sum_of_one", lambda v: batch(wide(v.a)), lambda v: symbol(v) * v.a, (lambda v: batch(v.x), lambda v: batch(wide(v.c)))),
    Pair("sum_of_one", lambda v: everything(wide(v.s)), lambda v: symbol(v) * v.k(3) * v.s, (lambda v: everything(wide(v.a)),)),
    Pair(
        "rows_sum_to_one", lambda v: features(v.y), lambda v: call("broadcast", v.k(1), shape=("N", 1)),
        (lambda v: features(v.q), lambda v: everything(v.y)),
    ),
    Pair(
        "rows_sum_to_one", lambda v: features(v.k(Fraction(9, 10)) * v.y + v.k(Fraction(1, 30))), lambda v: call("broadcast", v.k(1), shape=("N", 1)),
        (lambda v: features(v.s * v.y + v.k(Fraction(1, 30))), lambda v: features(v.y * v.x), lambda v: batch(v.y), lambda v: features(v.y**2)),
    ),
    Pair("rows_sum_to_one", lambda v: features(2 * v.p - v.y), lambda v: call("broadcast", v.k(1), shape=("N", 1)), (lambda v: features(v.p - v.q),)),
    Pair(
        "softmax", lambda v: f("exp", v.z) / features(f("exp", v.z)), lambda v: f("softmax", v.z),
        (
            lambda v: f("exp", v.z) / features(f("exp", v.x)), lambda v: f("exp", v.z) / everything(f("exp", v.z)), lambda v: v.q / features(v.q),
            lambda v: f("exp", v.z) / batch(f("exp", v.z)), lambda v: f("exp", v.z) / call("max_over", f("exp", v.z), axes=(1,), keep=True),
        ),
    ),
    Pair(
        "shift", lambda v: f("softmax", v.z - v.c), lambda v: f("softmax", v.z),
        (lambda v: f("softmax", v.z - v.x), lambda v: f("softmax", v.z - v.a)),
    ),
    Pair(
        "shift", lambda v: f("softmax", v.z - v.s), lambda v: f("softmax", v.z),
        (lambda v: f("softmax", v.c - v.z), lambda v: f("softmax", v.s - v.z)),
    ),
    Pair(
        "log_of_softmax", lambda v: f("log", f("softmax", v.z)), lambda v: f("log_softmax", v.z),
        (lambda v: f("log", v.p), lambda v: f("exp", f("softmax", v.z))),
    ),
    Pair(
        "logsumexp", lambda v: f("log", features(f("exp", v.z))), lambda v: f("logsumexp", v.z, axes=(1,), keep=True),
        (lambda v: f("log", features(v.q)), lambda v: f("log", features(f("exp", v.z) * v.q)), lambda v: features(f("exp", v.z))),
    ),
    Pair(
        "logsumexp", lambda v: f("log", everything(f("exp", v.z))), lambda v: f("logsumexp", v.z, axes=(0, 1), keep=False),
        (lambda v: f("log", everything(v.z)),),
    ),
    Pair(
        "logsumexp", lambda v: f("log", batch(f("exp", v.z))), lambda v: f("logsumexp", v.z, axes=(0,), keep=False),
        (lambda v: f("log", batch(v.z)),),
    ),
    Pair(
        "log_softmax", lambda v: v.z - f("logsumexp", v.z, axes=(1,), keep=True), lambda v: f("log_softmax", v.z),
        (
            lambda v: v.z - f("logsumexp", v.x, axes=(1,), keep=True), lambda v: v.z - f("logsumexp", v.z, axes=(0, 1), keep=False),
            lambda v: f("logsumexp", v.z, axes=(1,), keep=True) - v.z, lambda v: v.z - f("logsumexp", v.z, axes=(0,), keep=False),
        ),
    ),
    Pair(
        "sigmoid", lambda v: 1 / (1 + f("exp", -v.x)), lambda v: f("sigmoid", v.x),
        (lambda v: 1 / (2 + f("exp", -v.x)), lambda v: 2 / (1 + f("exp", -v.x)), lambda v: 1 / (1 - f("exp", -v.x)), lambda v: (1 + f("exp", -v.x)) / 1),
    ),
    Pair("sigmoid", lambda v: 1 / (f("exp", v.x) + 1), lambda v: f("sigmoid", -v.x), (lambda v: 1 / (f("exp", v.x) + v.s),)),
    Pair(
        "sigmoid", lambda v: f("exp", v.x) / (1 + f("exp", v.x)), lambda v: f("sigmoid", v.x),
        (lambda v: f("exp", v.x) / (1 + f("exp", v.z)), lambda v: f("exp", -v.x) / (1 + f("exp", v.x)), lambda v: v.x / (1 + f("exp", v.x))),
    ),
    Pair(
        "one_minus_sigmoid", lambda v: 1 - f("sigmoid", v.x), lambda v: f("sigmoid", -v.x),
        (lambda v: 2 - f("sigmoid", v.x), lambda v: f("sigmoid", v.x) - 1),
    ),
    Pair(
        "softplus", lambda v: f("log", 1 + f("exp", v.x)), lambda v: f("softplus", v.x),
        (lambda v: f("log", 2 + f("exp", v.x)), lambda v: f("log", 1 - f("exp", v.x))),
    ),
    Pair("softplus", lambda v: f("log", f("exp", v.x) + 1), lambda v: f("softplus", v.x), (lambda v: f("log", f("exp", v.x) + v.z),)),
    Pair(
        "softplus", lambda v: f("log1p", f("exp", v.x)), lambda v: f("softplus", v.x),
        (lambda v: f("log1p", v.x), lambda v: f("log1p", -f("exp", v.x))),
    ),
    Pair(
        "log_sigmoid", lambda v: f("log", f("sigmoid", v.x)), lambda v: -f("softplus", -v.x),
        (lambda v: f("exp", f("sigmoid", v.x)), lambda v: f("log", v.p)),
    ),
    Pair(
        "log1p", lambda v: f("log", 1 + v.q), lambda v: f("log1p", v.q),
        (lambda v: f("log", 2 + v.q), lambda v: f("log", v.q), lambda v: f("log", v.q - 1)),
    ),
    Pair("log1p", lambda v: f("log", v.q + 1), lambda v: f("log1p", v.q), (lambda v: f("log", v.q + v.s),)),
    Pair("log1p", lambda v: f("log", 1 - v.u), lambda v: f("log1p", -v.u), (lambda v: f("log", v.s - v.u), lambda v: f("log", 2 - v.u))),
    Pair(
        "expm1", lambda v: f("exp", v.x) - 1, lambda v: f("expm1", v.x),
        (lambda v: f("exp", v.x) - 2, lambda v: 1 - f("exp", v.x), lambda v: v.x - 1),
    ),
    Pair(
        "logistic", lambda v: (1 - v.t) * f("sigmoid", v.z) - v.t * f("sigmoid", -v.z), lambda v: f("sigmoid", v.z) - v.t,
        (
            lambda v: (1 - v.x) * f("sigmoid", v.z) - v.t * f("sigmoid", -v.z), lambda v: (1 - v.t) * f("sigmoid", v.x) - v.t * f("sigmoid", -v.z),
            lambda v: (1 - v.t) * f("sigmoid", v.z) + v.t * f("sigmoid", -v.z), lambda v: (2 - v.t) * f("sigmoid", v.z) - v.t * f("sigmoid", -v.z),
            lambda v: (1 - v.t) * f("sigmoid", v.z) - v.t * f("sigmoid", v.z), lambda v: v.t * f("sigmoid", v.z) - (1 - v.t) * f("sigmoid", -v.z),
        ),
    ),
    Pair(
        "logistic", lambda v: (1 - v.t) * f("sigmoid", -v.z) - v.t * f("sigmoid", v.z), lambda v: f("sigmoid", -v.z) - v.t,
        (lambda v: v.t * v.z - v.x * v.z,),
    ),
    Pair(
        "one_minus_exp", lambda v: 1 - f("exp", v.u), lambda v: -f("expm1", v.u),
        (lambda v: 2 - f("exp", v.u), lambda v: f("exp", v.u) - 1, lambda v: 1 - v.u),
    ),
    Pair(
        "times_sigmoid", lambda v: v.z / (1 + f("exp", -v.x)), lambda v: v.z * f("sigmoid", v.x),
        (lambda v: 1 / (1 + f("exp", -v.x)), lambda v: v.x / (2 + f("exp", -v.x)), lambda v: v.x / (1 - f("exp", -v.x)), lambda v: v.x / (1 + v.q)),
    ),
    Pair(
        "silu", lambda v: v.x * f("sigmoid", v.x), lambda v: f("silu", v.x),
        (lambda v: v.z * f("sigmoid", v.x), lambda v: v.x * f("sigmoid", -v.x), lambda v: v.x * v.named(f("sigmoid", v.x))),
    ),
    Pair("silu", lambda v: f("sigmoid", v.x) * v.x, lambda v: f("silu", v.x), (lambda v: f("sigmoid", v.x) + v.x,)),
    Pair("times_sigmoid", lambda v: 3 / (f("exp", v.x) + 1), lambda v: 3 * f("sigmoid", -v.x), (lambda v: (1 + f("exp", v.x)) / 3,)),
    Pair(
        "times_sigmoid", lambda v: v.z * f("exp", v.x) / (1 + f("exp", v.x)), lambda v: v.z * f("sigmoid", v.x),
        (lambda v: v.z * f("exp", v.x) / (2 + f("exp", v.x)),),
    ),
    Pair(
        "square_below", lambda v: f("exp", -v.x) / (1 + f("exp", -v.x)) ** 2, lambda v: f("sigmoid", -v.x) * f("sigmoid", v.x),
        (lambda v: v.x / (1 + f("exp", v.x)) ** 3, lambda v: v.x / (2 + f("exp", v.x)) ** 2, lambda v: v.x / (1 + v.q) ** 2),
    ),
    Pair(
        "square_below", lambda v: 1 / ((1 + f("exp", v.x)) * (1 + f("exp", v.x))), lambda v: f("sigmoid", -v.x) * f("sigmoid", -v.x),
        (lambda v: 1 / ((1 + f("exp", v.x)) * (1 + f("exp", v.z))),),
    ),
    Pair(
        "tanh", lambda v: (f("exp", v.x) - f("exp", -v.x)) / (f("exp", v.x) + f("exp", -v.x)), lambda v: f("tanh", v.x),
        (
            lambda v: (f("exp", v.x) - f("exp", -v.x)) / (f("exp", v.z) + f("exp", -v.z)), lambda v: (v.x - v.z) / (v.x + v.z),
            lambda v: (f("exp", v.x) - f("exp", v.z)) / (f("exp", v.x) + f("exp", v.z)), lambda v: f("exp", v.x) / (f("exp", v.x) + f("exp", -v.x)),
        ),
    ),
    Pair(
        "tanh", lambda v: (f("exp", -2 * v.x) - f("exp", 2 * v.x)) / (f("exp", 2 * v.x) + f("exp", -2 * v.x)), lambda v: f("tanh", v.k(-2) * v.x),
        (lambda v: (f("exp", -2 * v.x) - f("exp", 3 * v.x)) / (f("exp", -2 * v.x) + f("exp", 3 * v.x)),),
    ),
    Pair(
        "tanh", lambda v: f("expm1", v.e) / (1 + f("exp", v.e)), lambda v: f("tanh", v.k(Fraction(1, 2)) * v.e),
        (lambda v: f("expm1", v.x) / (1 + f("exp", v.z)), lambda v: f("expm1", v.x) / (2 + f("exp", v.x)), lambda v: v.x / (1 + f("exp", v.x))),
    ),
    Pair(
        "tanh", lambda v: -f("expm1", -2 * v.e) / (1 + f("exp", -2 * v.e)), lambda v: f("tanh", v.e),
        (lambda v: -f("exp", v.x) / (1 + f("exp", v.x)),),
    ),
    Pair(
        "tanh_of_sigmoid", lambda v: 2 * f("sigmoid", 2 * v.x) - 1, lambda v: f("tanh", v.x),
        (lambda v: 3 * f("sigmoid", v.x) - 1, lambda v: 2 * f("sigmoid", v.x) - 2, lambda v: 2 * f("sigmoid", v.x) + 1, lambda v: 2 * v.p - 1),
    ),
    Pair("tanh_of_sigmoid", lambda v: 1 - f("sigmoid", v.x) * 2, lambda v: f("tanh", v.k(Fraction(-1, 2)) * v.x), (lambda v: 1 - f("sigmoid", v.x),)),
    Pair(
        "log_of_two_exp", lambda v: f("log", f("exp", v.x) + f("exp", -v.x)), lambda v: f("abs", v.x) + f("softplus", v.k(-2) * f("abs", v.x)),
        (lambda v: f("log", f("exp", v.x) + f("exp", v.z)), lambda v: f("log", f("exp", v.x) - f("exp", -v.x)), lambda v: f("exp", v.x) + f("exp", -v.x)),
    ),
    Pair(
        "joined_softplus", lambda v: f("max", v.x, 0) + f("softplus", -f("abs", v.x)), lambda v: f("softplus", v.x),
        (
            lambda v: f("max", v.x, 0) + f("softplus", -f("abs", v.z)), lambda v: f("max", v.x, 1) + f("softplus", -f("abs", v.x)),
            lambda v: f("max", v.x, 0) - f("softplus", -f("abs", v.x)), lambda v: f("min", v.x, 0) + f("softplus", -f("abs", v.x)),
            lambda v: f("max", v.x, 0) + f("softplus", f("abs", v.x)), lambda v: f("max", v.x, 0) + f("softplus", -v.x),
        ),
    ),
    Pair(
        "root_of_square", lambda v: f("sqrt", v.x**2), lambda v: f("abs", v.x),
        (lambda v: f("sqrt", v.x**4), lambda v: f("sqrt", v.x) ** 2, lambda v: f("sqrt", v.q)),
    ),
    Pair(
        "gather", lambda v: f("onehot", v.i, size=3) @ v.w, lambda v: f("gather", v.w, v.i),
        (lambda v: v.y @ v.w, lambda v: f("onehot", v.i, size=3) * v.x, lambda v: f("onehot", v.i, size=3) @ v.x.T, lambda v: v.x.T @ f("onehot", v.i, size=3)),
    ),
    Pair(
        "numbers_first", lambda v: v.s * (v.r * v.d), lambda v: (v.s * v.r) * v.d,
        (lambda v: v.s * (v.c * v.x), lambda v: v.s * (v.g * v.d), lambda v: v.s * v.named(v.r * v.d), lambda v: v.d * (v.g * v.d)),
    ),
    Pair(
        "numbers_first", lambda v: (v.d / v.r) * v.s, lambda v: (v.s / v.r) * v.d,
        (lambda v: v.s * (v.x / v.r), lambda v: v.s * (v.d / v.g), lambda v: v.s * v.named(v.d / v.r), lambda v: v.s * (v.r / v.d),
         lambda v: v.g * (v.d / v.r)),
    ),
    Pair(
        "numbers_first", lambda v: v.s * v.d / v.r, lambda v: (v.s / v.r) * v.d,
        (lambda v: v.s * v.x / v.r, lambda v: v.s * v.d / v.g, lambda v: v.named(v.s * v.d) / v.r, lambda v: v.g * v.d / v.r),
    ),
    Pair(
        "corrected_root", lambda v: v.s * v.d / (f("sqrt", v.g / v.r) + v.k(2)),
        lambda v: (v.s * f("sqrt", v.r)) * v.d / (f("sqrt", v.g) + v.k(2) * f("sqrt", v.r)),
        (
            lambda v: v.s * v.d / (f("sqrt", v.g / v.s) + v.s), lambda v: v.s * v.d / (f("sqrt", v.g / v.r) + v.d),
            lambda v: v.s * v.x / (f("sqrt", v.x / v.r) + v.s), lambda v: v.s * v.d / (f("exp", v.g / v.r) + v.s),
            lambda v: v.d / (f("sqrt", v.g / v.r) + v.s), lambda v: v.g * v.d / (f("sqrt", v.g / v.r) + v.s),
            lambda v: v.named(v.s * v.d) / (f("sqrt", v.g / v.r) + v.s), lambda v: v.s * v.d / v.named(f("sqrt", v.g / v.r) + v.s),
            lambda v: v.s * v.d / (v.named(f("sqrt", v.g / v.r)) + v.s), lambda v: v.s * v.d / (f("sqrt", v.named(v.g / v.r)) + v.s),
            lambda v: v.s * v.d / (f("sqrt", v.g / v.d) + v.s), lambda v: v.s * v.d / (f("sqrt", v.g / (1 - v.k(1) ** step(v))) + v.s),
            lambda v: v.s * v.d / (f("sqrt", v.g / (1 - v.k(2) ** step(v))) + v.s), lambda v: v.s * v.d / (f("sqrt", v.g / (step(v) - 1)) + v.s),
            lambda v: v.s * v.d / (f("sqrt", v.g / (1 - v.k(Fraction(10**30 - 1, 10**30)) ** step(v))) + v.s),
            lambda v: v.s * v.d / (f("sqrt", v.g / (1 - v.k(Fraction(1, 2)) ** v.s)) + v.s),
            lambda v: v.s * v.d / (f("sqrt", v.g / (1 - v.s ** step(v))) + v.s),
        ),
    ),
    Pair(
        "corrected_root", lambda v: v.s * v.d / f("sqrt", v.g / v.r), lambda v: (v.s * f("sqrt", v.r)) * v.d / f("sqrt", v.g),
        (lambda v: v.d / f("sqrt", v.g / v.r), lambda v: v.s * v.d / f("sqrt", v.g / v.s)),
    ),
    Pair("root_of_square", lambda v: f("sqrt", v.x * v.x), lambda v: f("abs", v.x), (lambda v: f("sqrt", v.x * v.z),)),
]  # fmt: skip
LICENCES: dict[str, str] = {rule.__name__: licence for rule, licence in LICENCE.items()}


def pairs(*licences):
    """The pairs whose rule has one of the licences (all, if none is given), as parameters with names."""
    found = [p for p in PAIRS if not licences or LICENCES[p.rule] in licences]
    return pytest.mark.parametrize("pair", found, ids=lambda p: f"{p.rule}{[q for q in PAIRS if q.rule == p.rule].index(p) + 1}")


def symbol(v):
    return v.ir.leaf("symbol", (), name="N")


def only(rule):
    """A table with this rule alone."""
    return {op: tuple(r for r in chain if r.__name__ == rule) for op, chain in RULES.items()}


def form(node):
    """A node as nested tuples, comparable between interners."""
    return (node.op, node.attrs, tuple(form(a) for a in node.args))


def numbers(v, kind):
    """Values of the leaves: onehot and distributions stay what they are."""
    rng = np.random.default_rng(3)
    fill = {"zeros": 0.0, "nan": np.nan, "inf": np.inf, "-inf": -np.inf, "1000": 1e3, "-1000": -1e3}.get(kind)
    found = {}
    for name, node in v.of.items():
        shape = tuple(ROWS if d in ("N", "P") else d for d in node.shape)
        x = rng.normal(size=shape)
        if kind == "mixed":
            x = rng.choice([0.0, -0.0, 1e-300, 1.0, -3.5, np.inf, -np.inf, np.nan, 1e3, -1e3], shape)
        elif kind == "spread":
            x = rng.choice([0.0, 1e-12, -1e-12, 0.5, -0.5, 37.0, -37.0, 709.0, -709.0, 1e3, -1e3], shape)
        elif fill is not None:
            x = np.full(shape, fill)
        match name:
            case "y":
                x = np.eye(3)[rng.integers(0, 3, ROWS)]
            case "p":
                x = rng.dirichlet(np.ones(3), ROWS)
            case "q" | "g":
                x = np.abs(x)
            case "r":
                x = np.maximum(np.abs(x), 0.001)  # NaN stays
            case "t":
                x = rng.choice([0.0, 1.0, 0.3], shape) if kind != "nan" else x
            case "u":  # below 1, for log(1 - u)
                x = np.minimum(x, 0.9) if kind != "nan" else x
            case "i":
                x = rng.integers(0, 3, (ROWS, 1)).astype(float)
            case "e":  # within the exponents of a float64
                x = np.clip(x, -300, 300)
            case _:
                pass
        found[name] = x
    return found


def arrays_of(v, values):
    return {v.of[name]: x for name, x in values.items()}


def both_sides(pair, kind):
    """The pattern as written and as rewritten, executed on the same numbers."""
    written, rewritten = Leaves({}), Leaves(RULES)
    values = numbers(written, kind)
    with np.errstate(all="ignore"):
        (plain,) = evaluate([pair.before(written)], arrays_of(written, values), ROWS)
        (made,) = evaluate([pair.before(rewritten)], arrays_of(rewritten, values), ROWS)
    return plain, made


# --- the tables ----------------------------------------------------------------------------------


def test_every_rule_has_a_pair_a_statement_and_a_place():
    used = {rule for chain in RULES.values() for rule in chain}
    assert used == set(LICENCE)
    assert {pair.rule for pair in PAIRS} == set(LICENCES) == set(NAMES)
    assert set(LICENCES.values()) == {KEEPS, REASSOCIATES, STABILISES}
    for rule in LICENCE:
        assert rule.__doc__, rule.__name__
        assert "\n" not in rule.__doc__, "the statement is one line: the plan prints it"
    assert set(RULES) == {op for op, row in TABLE.items() if row.kind != "leaf"}


@pairs()
def test_a_rule_makes_this_of_that(pair):
    alone, together, expected = Leaves(only(pair.rule)), Leaves(RULES), Leaves({})
    after = form(pair.after(expected))
    made = pair.before(together)
    assert form(made) == after
    assert made.shape == pair.after(expected).shape == pair.before(Leaves({})).shape
    assert pair.rule in [name for name, _ in together.ir.fired]
    pair.before(alone)
    assert pair.rule in [name for name, _ in alone.ir.fired] or pair.rule in {"sigmoid", "logistic"}


@pairs()
def test_without_its_pattern_or_fact_a_rule_stays_away(pair):
    for missing in pair.missing:
        v = Leaves(only(pair.rule))
        missing(v)
        assert pair.rule not in [name for name, _ in v.ir.fired]


def test_a_correction_is_above_zero_from_the_first_step_on():
    v = Leaves(RULES)
    made = v.s * v.d / (f("sqrt", v.g / (1 - v.k(Fraction(999, 1000)) ** step(v))) + v.s)
    root = f("sqrt", 1 - v.k(Fraction(999, 1000)) ** step(v))
    assert made is (v.s * root) * v.d / (f("sqrt", v.g) + v.s * root)


def test_rows_sum_to_one_needs_the_fact():
    """The same pattern, the same shape; only what is known of the value differs."""
    for facts, fires in (
        (ONEHOT, True),
        (SIMPLEX, True),
        (Facts(row_sum=Fraction(2)), True),
        (NOTHING, False),
        (Facts(nonnegative=True), False),
    ):
        ir = Interner(RULES)
        features(ir.leaf("input", ("N", 3), facts, name="v"))
        assert ("rows_sum_to_one" in [name for name, _ in ir.fired]) == fires


# --- both sides, executed ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["random", "zeros", "nan", "inf", "-inf", "1000", "-1000", "mixed"])
@pairs(KEEPS)
def test_what_keeps_the_bits_keeps_them(pair, kind):
    plain, made = both_sides(pair, kind)
    same = (plain == made) | (np.isnan(plain) & np.isnan(made))  # 0.0 == -0.0: the sign of a zero is free
    assert same.all(), (plain, made)


@pytest.mark.parametrize("kind", ["random", "zeros", "1000", "-1000", "spread", "nan", "inf"])
@pairs(REASSOCIATES)
def test_what_reassociates_differs_in_the_last_bits_alone(pair, kind):
    plain, made = both_sides(pair, kind)
    np.testing.assert_allclose(made, plain, rtol=1e-14, atol=1e-12)


@pairs(STABILISES)
def test_what_stabilises_agrees_where_the_written_form_is_well(pair):
    plain, made = both_sides(pair, "random")
    assert np.isfinite(plain).all()
    np.testing.assert_allclose(made, plain, rtol=1e-13, atol=1e-15)


@pairs(STABILISES)
def test_what_stabilises_keeps_nan(pair):
    _, made = both_sides(pair, "nan")
    assert np.isnan(made).all()


@pytest.mark.parametrize("kind", ["zeros", "1000", "-1000", "spread"])
@pairs(STABILISES)
def test_what_stabilises_is_right_everywhere(pair, kind):
    """Against the pattern as written, with a thousand digits."""
    written, rewritten = Leaves({}), Leaves(RULES)
    values = numbers(written, kind)
    if pair.rule == "expm1":  # e^1000 is beyond float64 however it is computed
        values["x"] = np.minimum(values["x"], 709.0)
    with mpmath.workdps(1000):
        expected = as_floats(exactly(pair.before(written), arrays_of(written, values)))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        (made,) = evaluate([pair.before(rewritten)], arrays_of(rewritten, values), ROWS)
    cancels = {"logistic": 1e-15}.get(pair.rule, 1e-300)  # the difference of two numbers near 1 has what float64 has
    np.testing.assert_allclose(made, expected, rtol=1e-13, atol=cancels)


MATHEMATICS = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b, "neg": lambda a: -a,
    "exp": mpmath.exp, "log": mpmath.log, "log1p": lambda x: mpmath.log(1 + x), "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "abs": abs, "sqrt": mpmath.sqrt, "pow": lambda a, b: a**b, "max": max, "expm1": lambda x: mpmath.exp(x) - 1,
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
}  # fmt: skip


def exactly(node, leaves) -> Any:
    """The value of a node in the working precision of mpmath, from the formulas alone."""
    exp = np.frompyfunc(mpmath.exp, 1, 1)
    log = np.frompyfunc(mpmath.log, 1, 1)
    value: dict[Node, Any] = {n: np.frompyfunc(mpmath.mpf, 1, 1)(x) for n, x in leaves.items()}
    for n in ancestors([node]):
        args = [value[a] for a in n.args]
        if n in value:
            continue
        match n.op:
            case "const":
                value[n] = mpmath.mpf(n.value.numerator) / n.value.denominator if isinstance(n.value, Fraction) else mpmath.mpf(n.value)
            case "sum":
                value[n] = total(args[0], **dict(n.attrs))
            case "onehot":
                value[n] = np.eye(3)[args[0][:, 0].astype(int)]
            case "matmul":
                value[n] = args[0] @ args[1]
            case "softmax":
                value[n] = exp(args[0]) / total(exp(args[0]), -1, True)
            case "logsumexp":
                value[n] = log(total(exp(args[0]), **dict(n.attrs)))
            case _:
                value[n] = np.frompyfunc(MATHEMATICS[n.op], len(args), 1)(*args)
    return value[node]


def total(x: Any, axes: Any, keep: Any):
    return np.sum(x, axis=axes, keepdims=keep)


def as_floats(x):
    return np.asarray(np.frompyfunc(float, 1, 1)(x), float)


# --- termination ---------------------------------------------------------------------------------


def cost(node):
    """The weighted number of nodes: each weighs as many numbers as it makes (a sum: adds up) at N = 5, and log more than neg."""
    weight = {"log": 4, "const": 1, "symbol": 1}
    total = 0
    for n in ancestors([node]):
        size = 1
        for d in n.args[0].shape if n.op == "sum" else n.shape:
            size *= ROWS if d in ("N", "P") else int(d)
        total += weight.get(n.op, 1) * size if n.args or n.op in weight else 0
    return total


@pairs()
def test_every_rule_makes_the_graph_lighter(pair):
    assert cost(pair.before(Leaves(RULES))) < cost(pair.before(Leaves({})))


@pairs()
def test_one_pass_is_the_fixpoint(pair):
    """What the rules have made, made again, stays as it is, and no rule fires."""
    v = Leaves(RULES)
    node = pair.before(v)
    again = Leaves(RULES)
    copies: dict[Node, Node] = {v.of[name]: again.of[name] for name in v.of}
    for n in ancestors([node]):
        if n not in copies:
            attrs = dict(n.attrs)
            copies[n] = (
                again.ir.make(n.op, *(copies[a] for a in n.args), **attrs) if n.args else again.ir.leaf(n.op, n.shape, n.facts, **attrs)
            )
    assert form(copies[node]) == form(node)
    assert not again.ir.fired


# --- what is no rule -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda v: v.x - v.x, lambda v: v.x / v.x, lambda v: v.x * 0, lambda v: f("log", f("exp", v.x)), lambda v: f("exp", f("log", v.q)),
        lambda v: v.x * v.z + v.x * v.t, lambda v: v.x * (v.z + v.t), lambda v: f("sqrt", v.x) ** 2, lambda v: (v.x + v.z) - v.z, lambda v: 0 / v.x,
    ],
)  # fmt: skip
def test_what_is_no_identity_at_nan_infinity_or_zero_is_left(build):
    v = Leaves(RULES)
    assert form(build(v)) == form(build(Leaves({})))
    assert not v.ir.fired
