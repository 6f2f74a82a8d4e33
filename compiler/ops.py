"""The table of operations: one row holds everything about one. The next operation is one row.

A vjp takes the cotangent `g`, the node `out` itself and its arguments, and gives the cotangent of each argument, or None
where nothing flows; it is written in operations, so it prints, simplifies and differentiates again. Shapes are undone
from broadcasting in `autodiff`, never here. Conventions at kinks and ties are those of docs/conventions.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from msgspec import Struct

from . import bound, fact_rules, kernels, scratch, shapes
from .bound import Bound
from .fact_rules import FactRule, always
from .facts import SIMPLEX, ZERO_ONE, Facts
from .plan import Shape
from .scratch import Scratch
from .shapes import ShapeError as ShapeError  # re-exported: raised by the rows

if TYPE_CHECKING:
    from .ir import Node

Vjp = Callable[..., "tuple[Node | None, ...]"]
# (emit, *registers, shape of the first) -> register: the steps that run in place of one, by `emit(op, *registers, **attrs)`
Parts = Callable[..., int]
ShapeRule = Callable[[Sequence[Shape], Mapping[str, object]], Shape]

# Precedences of the language, loosest to tightest; a call or a name is an atom.
COMPARISON, SUM, PRODUCT, UNARY, POWER, ATOM = 1, 2, 3, 4, 5, 6


class Op(Struct, frozen=True):
    """One operation.

    `kind`: elementwise, rowwise (a row of the result needs the whole row), columns (or the whole column), reduce, matmul, view (no copy), move, random, leaf.
    `flops` counts floating-point operations a result element (for reductions: an operand element). `title` is what a plan
    says of a gradient through it. `example` are operand arrays as nested lists, from which the tests start. `inplace`: `out` may be an operand.
    `discrete`: the result jumps or bends where operands cross, so a central difference across is no judge. `parts` writes the operation
    out in others, to the same bits, so that what two of them share is computed once; `spread`: a number is made an array, which is quicker.
    `scratch`: the bytes that `numpy` takes beside its result.
    `bound`: the same as calls on arrays that are known beforehand.
    `library`: the module that computes it, where that is not NumPy; the extra of mlpc that installs it bears its first name.
    """

    kind: str
    numpy: Callable[..., Any] | None
    shape: ShapeRule
    vjp: Vjp | None = None
    facts: FactRule = fact_rules.unknown
    flops: int = 1
    symbol: str = ""
    precedence: int = ATOM
    title: str = ""
    example: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    inplace: bool = False
    discrete: bool = False
    parts: Parts | None = None
    spread: bool = False
    scratch: Scratch = scratch.nothing
    library: str = ""
    bound: Bound | None = None


def call(op: str, first: Node, *rest: Node | Fraction | int, **attrs: object) -> Node:
    """The node `op(first, *rest, **attrs)`, made where `first` lives."""
    return first.ir.make(op, first, *rest, **attrs)


# --- vjps that need more than a line -------------------------------------------------------------


def _where(g: Node, out: Node, c: Node, a: Node, b: Node) -> tuple[Node | None, ...]:
    """Nothing (not 0 * inf) goes to the side that was not taken."""
    return None, call("where", c, g, 0), call("where", c, 0, g)


def _aligned(t: Node, out: Node, x: Node) -> Node:
    """A value shaped like a reduction `out` of x, so that it stands against x: with its axes back where alignment needs them."""
    axes = cast("tuple[int, ...]", out.attr("axes"))
    if out.attr("keep") or axes == tuple(range(len(axes))):  # a number, or a row [k] under [N, k]
        return t
    return call("reshape", t, shape=tuple(1 if i in axes else d for i, d in enumerate(x.shape)))


def _extreme_over(g: Node, out: Node, x: Node) -> tuple[Node | None, ...]:
    """Ties share the cotangent equally."""
    hit = call("eq", x, _aligned(out, out, x))
    return (_aligned(g, out, x) * hit / call("sum", hit, axes=out.attr("axes"), keep=True),)


def _sum(g: Node, out: Node, x: Node) -> tuple[Node | None, ...]:
    return (call("broadcast", _aligned(g, out, x), shape=x.shape),)


def _logsumexp(g: Node, out: Node, x: Node) -> tuple[Node | None, ...]:
    if out.attr("keep") and out.attr("axes") == (len(x.shape) - 1,):
        return (g * call("softmax", x),)
    return (_aligned(g, out, x) * call("exp", x - _aligned(out, out, x)),)


def _concat(g: Node, out: Node, *parts: Node) -> tuple[Node | None, ...]:
    found: list[Node] = []
    start = 0
    for part in parts:
        width = cast("int", part.shape[-1])
        found.append(call("slice", g, axis=len(out.shape) - 1, start=start, stop=start + width))
        start += width
    return tuple(found)


def _slice(g: Node, out: Node, x: Node) -> tuple[Node | None, ...]:
    axis = cast("int", out.attr("axis"))
    return (call("pad", g, axis=axis, start=out.attr("start"), size=x.shape[axis]),)


def _pad(g: Node, out: Node, x: Node) -> tuple[Node | None, ...]:
    axis, start = cast("int", out.attr("axis")), cast("int", out.attr("start"))
    return (call("slice", g, axis=axis, start=start, stop=start + cast("int", x.shape[axis])),)


def _unbroadcast(g: Node, out: Node, x: Node) -> tuple[Node | None, ...]:
    return (g,)  # the sweep sums it back to the shape of x


def _pow(g: Node, out: Node, x: Node, n: Node) -> tuple[Node | None, ...]:
    """n x^(n-1), and nothing of x^0, which is 1 (not 0 * inf at 0); the exponent's is out * log(x), and 0 where the base is 0."""
    return None if n.value == 0 else g * (n * x ** (n - 1)), g * call("where", call("eq", x, 0), 0, out * call("log", x))


def _silu(g: Node, out: Node, x: Node) -> tuple[Node | None, ...]:
    """sigmoid(x) + silu(x) * (1 - sigmoid(x)) (Elfwing et al. 2018)."""
    gate = call("sigmoid", x)
    return (g * (gate + out * (1 - gate)),)


def _shifted(emit: Callable[..., int], z: int, shape: Shape) -> tuple[int, int, int]:
    """z less the largest of its row, the exponentials of that, and their sum: of a short row at each number, as all are divided by it."""
    last = len(shape) - 1
    shifted = emit("sub", z, emit("max_over", z, axes=(last,), keep=True))
    exponentials = emit("exp", shifted)
    short = last == 1 and cast("int", shape[1]) <= bound.SHORT
    return shifted, exponentials, emit("row_total", exponentials) if short else emit("sum", exponentials, axes=(last,), keep=True)


def _softmax_parts(emit: Callable[..., int], z: int, shape: Shape) -> int:
    _, exponentials, total = _shifted(emit, z, shape)
    return emit("div", exponentials, total)


def _log_softmax_parts(emit: Callable[..., int], z: int, shape: Shape) -> int:
    shifted, _, total = _shifted(emit, z, shape)
    return emit("sub", shifted, emit("log", total))


TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
M, V, W = [[0.3, -1.2, 2.0], [1.5, 0.7, -0.4]], [0.5, -0.8, 1.1], [[0.2, -0.5], [1.0, 0.3], [-0.7, 0.9]]
POSITIVE = [[0.3, 1.2, 2.0], [1.5, 0.7, 0.4]]


def _elementwise(numpy: Callable[..., Any], vjp: Vjp | None, *example: Any, **rest: Any) -> Op:
    """A row of a ufunc, NumPy's or a library's, or of what does as ufuncs do and says so by `inplace`."""
    known: dict[str, Any] = {"inplace": isinstance(numpy, np.ufunc) or "library" in rest, "scratch": scratch.buffered} | rest
    return Op("elementwise", numpy, shapes.broadcast, vjp, example=(example, {}), **known)


def _comparison(numpy: Callable[..., Any], symbol: str, bound: Bound) -> Op:
    """A row of a comparison: 0 or 1, as floats, without a gradient."""
    known: dict[str, Any] = {"symbol": symbol, "precedence": COMPARISON, "facts": always(ZERO_ONE), "bound": bound}
    return _elementwise(numpy, None, M, V, discrete=True, scratch=scratch.compared, **known)


def _reduction(numpy: Callable[..., Any], vjp: Vjp, **rest: Any) -> Op:
    """A row of a reduction over `axes`."""
    return Op("reduce", numpy, shapes.reduce, vjp, example=((M,), {"axes": (1,), "keep": True}), **rest)


def _leaf() -> Op:
    return Op("leaf", None, shapes.given, example=None)


TABLE: dict[str, Op] = {
    # leaves: a number, a matrix of numbers, a symbol (N step steps epoch epochs), a data value, a param, a state, what stands for every param
    "const": _leaf(), "literal": _leaf(), "symbol": _leaf(), "input": _leaf(), "param": _leaf(), "state": _leaf(),
    # arithmetic
    "neg": _elementwise(np.negative, lambda g, out, x: (-g,), M, symbol="-", precedence=UNARY, title="negation"),
    "add": _elementwise(np.add, lambda g, out, a, b: (g, g), M, V, symbol="+", precedence=SUM, facts=fact_rules.add, bound=bound.ADD, title="sum"),
    "sub": _elementwise(np.subtract, lambda g, out, a, b: (g, -g), M, V, symbol="-", precedence=SUM, facts=fact_rules.sub, bound=bound.SUB, title="difference"),
    "mul": _elementwise(np.multiply, lambda g, out, a, b: (g * b, g * a), M, V, symbol="*", precedence=PRODUCT, facts=fact_rules.mul, bound=bound.MUL,
                        title="product"),
    "div": _elementwise(np.divide, lambda g, out, a, b: (g / b, -(g / b * out)), M, V, symbol="/", precedence=PRODUCT, facts=fact_rules.div,
                        bound=bound.DIV, title="quotient"),
    "pow": _elementwise(kernels.power, _pow, POSITIVE, V, inplace=True, bound=bound.POWER, symbol="^", precedence=POWER, facts=fact_rules.power, title="power"),
    "max": _elementwise(np.maximum, lambda g, out, a, b: (g * call("gt", out, b), g * call("le", out, b)), M, V, title="max", discrete=True, spread=True,
                        facts=lambda args, shape, attrs: Facts(nonnegative=any(a.facts.nonnegative for a in args))),
    "min": _elementwise(np.minimum, lambda g, out, a, b: (g * call("lt", out, b), g * call("ge", out, b)), M, V, title="min", discrete=True, spread=True,
                        facts=fact_rules.same),
    # comparisons
    "lt": _comparison(np.less, "<", bound.LT), "le": _comparison(np.less_equal, "<=", bound.LE), "gt": _comparison(np.greater, ">", bound.GT),
    "ge": _comparison(np.greater_equal, ">=", bound.GE), "eq": _comparison(np.equal, "==", bound.EQ), "ne": _comparison(np.not_equal, "!=", bound.NE),
    # functions of one value
    "exp": _elementwise(np.exp, lambda g, out, x: (g * out,), M, facts=fact_rules.nonnegative, title="exp"),
    "log": _elementwise(np.log, lambda g, out, x: (g / x,), POSITIVE, title="log"),
    "sqrt": _elementwise(np.sqrt, lambda g, out, x: (g / out / 2,), POSITIVE, facts=fact_rules.nonnegative, title="sqrt"),
    "abs": _elementwise(np.absolute, lambda g, out, x: (g * call("sign", x),), M, facts=fact_rules.nonnegative, title="abs", discrete=True),
    "sign": _elementwise(np.sign, None, M, facts=always(Facts(integer=True, bounded=True)), discrete=True),
    "floor": _elementwise(np.floor, None, M, facts=always(Facts(integer=True)), discrete=True),
    "tanh": _elementwise(np.tanh, lambda g, out, x: (g * (1 - out**2),), M, facts=always(Facts(bounded=True)), title="tanh"),
    "sin": _elementwise(np.sin, lambda g, out, x: (g * call("cos", x),), M, facts=always(Facts(bounded=True)), title="sin"),
    "cos": _elementwise(np.cos, lambda g, out, x: (-g * call("sin", x),), M, facts=always(Facts(bounded=True)), title="cos"),
    "erf": _elementwise(kernels.erf, lambda g, out, x: (g * call("exp", -(x**2)) * TWO_OVER_ROOT_PI,), M,
                        facts=always(Facts(bounded=True)), title="erf", library="scipy.special"),
    # reached by rewriting: safe at any size of the argument
    "sigmoid": _elementwise(kernels.sigmoid, lambda g, out, x: (g * out * (1 - out),), M, facts=always(Facts(nonnegative=True, bounded=True)),
                            flops=4, title="sigmoid", scratch=scratch.one_more(1)),
    "silu": _elementwise(kernels.silu, _silu, M, flops=5, title="silu", scratch=scratch.one_more(2)),
    "softplus": _elementwise(kernels.softplus, lambda g, out, x: (g * call("sigmoid", x),), M, facts=fact_rules.nonnegative, flops=4, title="softplus",
                             scratch=scratch.one_more(0)),
    "expm1": _elementwise(np.expm1, lambda g, out, x: (g * call("exp", x),), M, title="expm1"),
    "log1p": _elementwise(np.log1p, lambda g, out, x: (g / (1 + x),), POSITIVE, title="log1p"),
    "softmax": Op("rowwise", kernels.softmax, shapes.rows, lambda g, out, z: (out * (g - _over_features(g * out)),), always(SIMPLEX),
                  flops=5, title="softmax", example=((M,), {}), parts=_softmax_parts),
    "log_softmax": Op("rowwise", kernels.log_softmax, shapes.rows, lambda g, out, z: (g - call("softmax", z) * _over_features(g),),
                      flops=5, title="log_softmax", example=((M,), {}), parts=_log_softmax_parts),
    "row_total": Op("rowwise", kernels.row_total, shapes.rows, example=((M,), {}), bound=bound.ROW_TOTAL, scratch=scratch.column),
    "logsumexp": _reduction(kernels.logsumexp, _logsumexp, flops=4, title="logsumexp", scratch=scratch.shifted),
    # choice
    "where": Op("elementwise", kernels.where, shapes.broadcast, _where, example=(([[1, 0, 1], [0, 0, 1]], M, V), {}), title="where",
                facts=lambda args, shape, attrs: fact_rules.same(args[1:], shape, attrs), discrete=True, scratch=scratch.condition),
    "argmax": Op("rowwise", kernels.argmax, shapes.argmax, None, fact_rules.argmax, example=((M,), {}), discrete=True, scratch=scratch.places),
    "rank": Op("columns", kernels.rank, shapes.rows, None, always(Facts(nonnegative=True, positive=True)), example=((M,), {}), discrete=True,
               scratch=scratch.sorted_column),
    "onehot": Op("rowwise", kernels.onehot, shapes.widen, None, fact_rules.onehot, example=(([[0.0], [2.0]],), {"size": 3}), discrete=True,
                 scratch=scratch.columns),
    # chance: x gives the shape; `stream` names the draw, so that no two are one
    "bernoulli": Op("random", kernels.bernoulli, lambda s, attrs: s[1], None, always(ZERO_ONE), discrete=True,
                    example=((0.3, M), {"stream": "example"}), scratch=scratch.drawn),
    # reductions
    "sum": _reduction(kernels.sum_over, _sum, facts=fact_rules.reduced, title="sum", bound=bound.SUM),
    "max_over": _reduction(kernels.max_over, _extreme_over, facts=fact_rules.reduced, title="max", discrete=True, bound=bound.MAX_OVER),
    "min_over": _reduction(kernels.min_over, _extreme_over, facts=fact_rules.reduced, title="min", discrete=True),
    # products of matrices
    "matmul": Op("matmul", np.matmul, shapes.matmul, lambda g, out, a, b: (g @ b.T, a.T @ g), symbol="@", precedence=PRODUCT, title="matmul",
                 example=((M, W), {}), bound=bound.MATMUL, scratch=scratch.transposed),
    # that of one-hot rows with a matrix, reached by rewriting, and the same of its transpose
    "gather": Op("move", kernels.gather, shapes.gather, lambda g, out, w, i: (call("scatter_add", g, i, size=w.shape[0]), None), flops=0,
                 title="gather", example=((W, [[0.0], [2.0]]), {}), discrete=True, scratch=scratch.looked_up),
    "scatter_add": Op("move", kernels.scatter_add, shapes.scatter_add, lambda g, out, x, i: (call("gather", g, i), None),
                      title="scatter_add", example=((M, [[2.0], [0.0]]), {"size": 4}), discrete=True, scratch=scratch.scattered),
    # arrangement
    "transpose": Op("view", kernels.transpose, shapes.transpose, lambda g, out, x: (g.T,), flops=0, title="transpose", example=((M,), {})),
    "reshape": Op("view", kernels.reshape, shapes.given, lambda g, out, x: (call("reshape", g, shape=x.shape),), fact_rules.same, flops=0,
                  title="reshape", example=((M,), {"shape": (3, 2)})),
    "broadcast": Op("view", kernels.broadcast, shapes.given, _unbroadcast, fact_rules.same, flops=0, title="broadcast",
                    example=((V,), {"shape": (2, 3)})),
    "slice": Op("view", kernels.take_slice, shapes.slice_columns, _slice, fact_rules.same, flops=0, title="slice",
                example=((M,), {"axis": 1, "start": 1, "stop": 3})),
    "alias": Op("view", lambda x: x, shapes.broadcast, lambda g, out, x: (g,), lambda args, shape, attrs: args[0].facts, flops=0, title="", example=((M,), {})),
    "concat": Op("move", kernels.concat, shapes.concat, _concat, fact_rules.same, flops=0, title="concat", example=((M, M), {})),
    "pad": Op("move", kernels.pad, shapes.pad, _pad, flops=0, title="slice", example=((M,), {"axis": 1, "start": 2, "size": 6})),
}  # fmt: skip


def _over_features(x: Node) -> Node:
    """The sum of each row, kept as a column."""
    return call("sum", x, axes=(len(x.shape) - 1,), keep=True)
