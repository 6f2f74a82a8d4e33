"""Every row of the op table against plain NumPy, central differences, complex step, mpmath, and its own claims."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from mlpc.compiler.autodiff import gradients
from mlpc.compiler.facts import NOTHING, ONEHOT, SIMPLEX, ZERO_ONE, Facts
from mlpc.compiler.ir import Interner
from mlpc.compiler.ops import TABLE, ShapeError
from mlpc.compiler.simplify import RULES

from .interpret import evaluate

ROWS = sorted(op for op, row in TABLE.items() if row.kind not in {"leaf", "random"})
SMOOTH = [op for op in ROWS if TABLE[op].vjp is not None]
REDUCTIONS = [op for op in ROWS if TABLE[op].kind == "reduce"]


def formula(name) -> Any:
    """What the operation is, as a NumPy user writes it."""
    ufuncs = {
        "neg": np.negative, "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "max": np.maximum,
        "min": np.minimum, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal,
        "ne": np.not_equal, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "sign": np.sign, "floor": np.floor,
        "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "expm1": np.expm1, "log1p": np.log1p, "matmul": np.matmul,
        "where": lambda c, a, b: np.where(c != 0, a, b), "transpose": np.transpose, "alias": lambda x: x,
    }  # fmt: skip
    others = {
        "erf": lambda x: np.array([float(mpmath.erf(v)) for v in x.ravel()]).reshape(x.shape),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "silu": lambda x: x / (1 + np.exp(-x)),
        "softplus": lambda x: np.log(1 + np.exp(x)),
        "softmax": lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True),
        "log_softmax": lambda z: z - np.log(np.exp(z).sum(-1, keepdims=True)),
        "logsumexp": lambda z, axes, keep: np.log(np.exp(z).sum(axes, keepdims=keep)),
        "row_total": lambda x: np.broadcast_to(x.sum(-1, keepdims=True), x.shape),
        "argmax": lambda x: np.argmax(x, -1, keepdims=True),
        "rank": lambda x: np.apply_along_axis(lambda c: [(c < v).sum() + ((c == v).sum() + 1) / 2 for v in c], 0, x),
        "onehot": lambda i, size: np.eye(size)[i[..., 0].astype(int)],
        "gather": lambda w, i: w[i[..., 0].astype(int)],
        "scatter_add": lambda x, i, size: np.eye(size)[i[..., 0].astype(int)].T @ x,
        "sum": lambda x, axes, keep: np.sum(x, axis=axes, keepdims=keep),
        "max_over": lambda x, axes, keep: np.max(x, axis=axes, keepdims=keep),
        "min_over": lambda x, axes, keep: np.min(x, axis=axes, keepdims=keep),
        "reshape": np.reshape,
        "broadcast": np.broadcast_to,
        "slice": lambda x, axis, start, stop: np.take(x, range(start, stop), axis),
        "concat": lambda *parts: np.hstack(parts),
        "pad": lambda x, axis, start, size: np.pad(x, [(start, size - start - x.shape[i]) if i == axis else (0, 0) for i in range(x.ndim)]),
    }
    return (ufuncs | others)[name]


def example(op, rows=2):
    """The row's own example, its two rows cut to `rows`."""
    found: Any = TABLE[op].example
    assert found is not None, f"the row `{op}` of the op table has no example, and the tests start from it"
    operands, attrs = found
    arrays = [np.array(o, float) for o in operands]
    arrays = [a[:rows] if a.ndim == 2 and len(a) == 2 else a for a in arrays]
    if "shape" in attrs:  # of reshape [2, 3] -> (3, 2) and broadcast [3] -> (2, 3)
        attrs = attrs | {"shape": tuple(rows if d == 2 else d for d in attrs["shape"])}
    return arrays, attrs


def build(op, arrays, attrs, rules=None):
    """The node of an operation on params, and the params."""
    ir = Interner(rules or {})
    params = [ir.leaf("param", a.shape, address=(str(i),)) for i, a in enumerate(arrays)]
    return ir.make(op, *params, **attrs), params


def slopes(op, arrays, attrs, weights, rules=None):
    """The gradient of sum(weights * op(arrays)) with respect to each operand; zeros where none flows."""
    out, params = build(op, arrays, attrs, rules)
    ir = out.ir
    w = ir.leaf("input", out.shape, name="weights")
    scaled = ir.make("mul", w, out)
    loss = ir.make("sum", scaled, axes=tuple(range(len(out.shape))), keep=False) if out.shape else scaled
    found = gradients(loss, params, {})
    leaves = dict(zip(params, arrays, strict=True)) | {w: np.asarray(weights)}
    return [evaluate([found[p].node], leaves)[0] if p in found else np.zeros_like(a) for p, a in zip(params, arrays, strict=True)]


def value(op, arrays, attrs, dtype: Any = np.float64):
    out, params = build(op, arrays, attrs)
    return evaluate([out], dict(zip(params, arrays, strict=True)), dtype=dtype)[0]


def directional(op, arrays, attrs, weights, direction, h):
    """The central difference of sum(weights * op) along a direction."""
    ends = [value(op, [a + s * h * d for a, d in zip(arrays, direction, strict=True)], attrs) for s in (1, -1)]
    return float(np.sum(weights * (ends[0] - ends[1]))) / (2 * h)


# --- values and shapes ---------------------------------------------------------------------------


@pytest.mark.parametrize("op", ROWS)
def test_every_row_is_complete(op):
    row = TABLE[op]
    assert row.example is not None
    assert row.vjp is None or row.title or op == "alias", "a plan says by what a gradient passes"
    assert formula(op)


@pytest.mark.parametrize("rows", [2, 1, 0])
@pytest.mark.parametrize("op", ROWS)
def test_values_and_shapes_are_numpys(op, rows):
    arrays, attrs = example(op, rows)
    expected = formula(op)(*arrays, **attrs)
    out, params = build(op, arrays, attrs)
    assert out.shape == np.shape(expected)
    actual = evaluate([out], dict(zip(params, arrays, strict=True)))[0]
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, np.asarray(expected, float), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 3), (3, 1), (2, 3, 4)])
def test_reductions_over_any_axes(op, shape):
    x = np.random.default_rng(0).normal(size=shape)
    for count in range(1, len(shape) + 1):
        for axes in itertools.combinations(range(len(shape)), count):
            for keep in (False, True):
                attrs = {"axes": axes, "keep": keep}
                expected = formula(op)(x, **attrs)
                out, (param,) = build(op, [x], attrs)
                assert out.shape == expected.shape
                np.testing.assert_allclose(evaluate([out], {param: x})[0], expected, rtol=1e-14)
                weights = np.random.default_rng(1).normal(size=expected.shape)
                direction = np.random.default_rng(2).normal(size=shape)
                actual = float(np.sum(slopes(op, [x], attrs, weights)[0] * direction))
                assert actual == pytest.approx(directional(op, [x], attrs, weights, [direction], 1e-5), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize(
    "shapes",
    [((3, 2), (2,)), ((3, 2), ()), ((3, 1), (3, 2)), ((1, 2), (3, 1)), ((1,), (3, 2)), ((), ()), ((1, 1), ()), ((2,), (1, 1)), ((1, 3), (1, 3)),
     ((0, 2), (2,)), ((0, 1), (0, 2)), ((0, 2), (1, 1))],
)  # fmt: skip
def test_broadcasting_is_numpys_and_its_gradient_is_summed_back(shapes):
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.5, 2, s) for s in shapes]
    for op in ("add", "sub", "mul", "div", "pow", "max", "min"):
        expected = formula(op)(*arrays)
        assert build(op, arrays, {})[0].shape == expected.shape
        weights = rng.normal(size=expected.shape)
        found = slopes(op, arrays, {}, weights, RULES)
        assert [f.shape for f in found] == list(shapes)
        direction = [rng.normal(size=s) for s in shapes]
        actual = sum(float(np.sum(f * d)) for f, d in zip(found, direction, strict=True))
        assert actual == pytest.approx(directional(op, arrays, {}, weights, direction, 1e-5), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize(
    ("op", "shapes", "attrs"),
    [
        ("add", (("N", 3), (4,)), {}), ("add", (("N", 3), (120, 3)), {}), ("add", (("N", 1), (5, 1)), {}), ("mul", ((2,), (3,)), {}),
        ("matmul", (("N", 3), (4, 3)), {}), ("matmul", (("N", 3), (3,)), {}), ("matmul", ((), (3, 3)), {}), ("matmul", ((3, "N"), (120, 2)), {}),
        ("transpose", ((3,),), {}), ("softmax", ((),), {}), ("argmax", ((),), {}), ("concat", (("N", 1), (1, 1)), {}),
        ("concat", ((), ()), {}), ("concat", ((3, "N"), (3, "N")), {}), ("sum", ((3,),), {"axes": (1,), "keep": True}),
        ("onehot", (("N", 2),), {"size": 3}), ("gather", ((4, 3), ("N", 2)), {}), ("gather", (("N", 3), ("N", 1)), {}),
        ("gather", ((4,), ("N", 1)), {}), ("scatter_add", (("N", 3), (4, 1)), {"size": 3}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_a_shape_error(op, shapes, attrs):
    ir = Interner({})
    leaves = [ir.leaf("param", s, address=(str(i),)) for i, s in enumerate(shapes)]
    with pytest.raises(ShapeError):
        ir.make(op, *leaves, **attrs)


@pytest.mark.parametrize("op", ROWS)
def test_float32_stays_float32(op):
    arrays, attrs = example(op)
    narrow = [a.astype(np.float32) for a in arrays]
    actual = value(op, narrow, attrs, np.float32)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, value(op, [a.astype(float) for a in narrow], attrs), rtol=2e-6, atol=1e-7)


HELD = {"where": {0}, "gather": {1}, "scatter_add": {1}}  # the operands that have no gradient: a condition, an index


# --- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [{}, RULES], ids=["plain", "with rules"])
@pytest.mark.parametrize("rows", [2, 1])
@pytest.mark.parametrize("op", SMOOTH)
def test_gradients_against_central_differences_at_two_steps(op, rows, rules):
    arrays, attrs = example(op, rows)
    rng = np.random.default_rng(7)
    weights = rng.normal(size=value(op, arrays, attrs).shape)
    found = slopes(op, arrays, attrs, weights, rules)
    for _ in range(3):
        direction = [np.zeros_like(a) if i in HELD.get(op, ()) else rng.normal(size=a.shape) for i, a in enumerate(arrays)]
        actual = sum(float(np.sum(f * d)) for f, d in zip(found, direction, strict=True))
        wide, near = (directional(op, arrays, attrs, weights, direction, h) for h in (2e-4, 1e-4))
        assert actual == pytest.approx(wide, rel=1e-5, abs=1e-6)
        assert actual == pytest.approx((4 * near - wide) / 3, rel=1e-9, abs=1e-9), "Richardson's extrapolation of the two"


NOT_COMPLEX = {  # NumPy has no complex form, or |x| and comparisons make it no analytic function
    "abs", "max", "min", "max_over", "min_over", "sigmoid", "silu", "softplus", "where",
}  # fmt: skip


def test_the_rows_without_complex_step_are_these():
    assert set(SMOOTH) >= NOT_COMPLEX


@pytest.mark.parametrize("op", [op for op in SMOOTH if op not in NOT_COMPLEX])
def test_gradients_against_complex_step(op):
    arrays, attrs = example(op)
    rng = np.random.default_rng(8)
    weights = rng.normal(size=value(op, arrays, attrs).shape)
    found = slopes(op, arrays, attrs, weights)
    for _ in range(3):
        direction = [np.zeros_like(a) if i in HELD.get(op, ()) else rng.normal(size=a.shape) for i, a in enumerate(arrays)]
        moved = value(op, [a + 1e-30j * d if d.any() else a for a, d in zip(arrays, direction, strict=True)], attrs, np.complex128)
        expected = float(np.sum(weights * moved.imag)) / 1e-30
        actual = sum(float(np.sum(f * d)) for f, d in zip(found, direction, strict=True))
        assert actual == pytest.approx(expected, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("op", SMOOTH)
def test_gradients_of_no_rows_are_empty_or_zero(op):
    arrays, attrs = example(op, 0)
    weights = np.zeros(value(op, arrays, attrs).shape)
    for found, a in zip(slopes(op, arrays, attrs, weights), arrays, strict=True):
        assert found.shape == a.shape
        np.testing.assert_array_equal(found, np.zeros_like(a))


MATHEMATICS = {
    "neg": lambda x: -x, "exp": mpmath.exp, "log": mpmath.log, "sqrt": mpmath.sqrt, "tanh": mpmath.tanh, "sin": mpmath.sin,
    "cos": mpmath.cos, "erf": mpmath.erf, "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)), "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "expm1": lambda x: mpmath.exp(x) - 1, "log1p": lambda x: mpmath.log(1 + x), "abs": abs, "silu": lambda x: x / (1 + mpmath.exp(-x)),
}  # fmt: skip
SLOPES = {
    "neg": lambda x: mpmath.mpf(-1), "exp": mpmath.exp, "log": lambda x: 1 / x, "sqrt": lambda x: 1 / (2 * mpmath.sqrt(x)),
    "tanh": lambda x: mpmath.sech(x) ** 2, "sin": mpmath.cos, "cos": lambda x: -mpmath.sin(x),
    "erf": lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-(x**2)), "sigmoid": lambda x: 1 / (2 + mpmath.exp(x) + mpmath.exp(-x)),
    "softplus": lambda x: 1 / (1 + mpmath.exp(-x)), "expm1": mpmath.exp, "log1p": lambda x: 1 / (1 + x), "abs": mpmath.sign,
    "silu": lambda x: (1 + mpmath.exp(-x) + x * mpmath.exp(-x)) / (1 + mpmath.exp(-x)) ** 2,
}  # fmt: skip
HARD = [0.0, 1e-300, -1e-300, 1e-12, -1e-12, 0.5, -0.5, 1.0, -1.0, 20.0, -20.0, 50.0, -50.0, 700.0, -700.0, 1e3, -1e3]
ONLY_POSITIVE = {"log", "sqrt", "log1p"}
LARGEST = float(np.finfo(float).max)


def nearest(x):
    """The float64 next to an mpmath number; inf beyond the largest."""
    return float(x) if abs(x) < LARGEST else float(mpmath.sign(x)) * np.inf


def test_every_function_of_one_value_has_its_mathematics():
    unary = {op for op in SMOOTH if TABLE[op].kind == "elementwise" and len(example(op)[0]) == 1}
    assert unary == set(MATHEMATICS) == set(SLOPES)


@pytest.mark.parametrize("op", MATHEMATICS)
def test_functions_of_one_value_at_hard_points(op):
    points = np.array([x for x in HARD if x >= (0 if op == "log1p" else 1e-300) or op not in ONLY_POSITIVE])
    with mpmath.workdps(1000), np.errstate(over="ignore"):
        expected = np.array([nearest(MATHEMATICS[op](mpmath.mpf(float(x)))) for x in points])
        slope = np.array([nearest(SLOPES[op](mpmath.mpf(float(x)))) for x in points])
        np.testing.assert_allclose(value(op, [points], {}), expected, rtol=4e-15, atol=0)
        for rules in ({}, RULES):
            actual = slopes(op, [points], {}, np.ones_like(points), rules)[0]
            np.testing.assert_allclose(actual, slope, rtol=1e-13, atol=3e-16)  # 1 - tanh(x)^2 cancels where both are near 1


@pytest.mark.parametrize("gap", [1.0, 20.0, 37.0, 50.0, 700.0, 1e3, 1e4])
def test_softmax_and_its_logarithm_at_any_gap(gap):
    z = np.array([[0.0, -gap, 0.5], [gap, 0.0, gap], [-gap, -gap, -gap]])
    with mpmath.workdps(5000):
        rows = [[mpmath.exp(mpmath.mpf(v)) for v in row] for row in z.tolist()]
        p = [[e / sum(row) for e in row] for row in rows]
        softmax = np.array([[nearest(v) for v in row] for row in p])
        logs = np.array([[nearest(mpmath.log(v)) for v in row] for row in p])
    np.testing.assert_allclose(value("softmax", [z], {}), softmax, rtol=1e-13, atol=1e-320)
    np.testing.assert_allclose(value("log_softmax", [z], {}), logs, rtol=1e-15, atol=1e-300)
    total = value("logsumexp", [z], {"axes": (1,), "keep": True})
    np.testing.assert_allclose(total, z[:, :1] - logs[:, :1], rtol=1e-15)
    weights = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(slopes("log_softmax", [z], {}, weights)[0], weights - softmax, rtol=1e-13, atol=1e-320)


def test_sums_of_exponentials_of_infinities():
    rows = np.array([[-np.inf, -np.inf], [np.inf, 0.0], [-np.inf, 2.0], [np.nan, 0.0]])
    with np.errstate(all="ignore"):
        actual = value("logsumexp", [rows], {"axes": (1,), "keep": False})
    np.testing.assert_array_equal(actual, [-np.inf, np.inf, 2.0, np.nan])


# --- kinks: one convention, TRAPS 5 --------------------------------------------------------------


def slope_at(op, *operands, **attrs):
    arrays = [np.array(o, float) for o in operands]
    return [s.tolist() for s in slopes(op, arrays, attrs, np.ones(value(op, arrays, attrs).shape))]


def test_max_sends_a_tie_to_its_second_operand():
    assert slope_at("max", [2.0, 1.0, 1.0], [1.0, 1.0, 2.0]) == [[1, 0, 0], [0, 1, 1]]


def test_relu_is_flat_at_zero():
    assert slope_at("max", [-1.0, 0.0, -0.0, 1.0], 0.0)[0] == [0, 0, 0, 1]


def test_min_sends_a_tie_to_its_second_operand():
    assert slope_at("min", [2.0, 1.0, 1.0], [1.0, 1.0, 2.0]) == [[0, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize("op", ["max_over", "min_over"])
def test_ties_over_an_axis_share(op):
    assert slope_at(op, [[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]], axes=(1,), keep=True) == [[[1 / 3] * 3] * 2]
    assert slope_at(op, [[1.0, 2.0], [1.0, 2.0]], axes=(0,), keep=False) == [[[0.5, 0.5], [0.5, 0.5]]]
    top = slope_at(op, [[1.0, 2.0], [2.0, 1.0]], axes=(0, 1), keep=False)[0]
    assert top == ([[0, 0.5], [0.5, 0]] if op == "max_over" else [[0.5, 0], [0, 0.5]])


def test_abs_is_flat_at_zero():
    assert slope_at("abs", [-2.0, -0.0, 0.0, 2.0]) == [[-1, 0, 0, 1]]


def test_sqrt_is_steep_at_zero():
    with np.errstate(divide="ignore"):
        assert slope_at("sqrt", [0.0, 4.0]) == [[np.inf, 0.25]]


def test_where_sends_nothing_to_the_side_not_taken():
    """Nothing, not 0 * inf: the derivative of sqrt at 0 stays out of it."""
    ir = Interner({})
    x = ir.leaf("param", (2,), address=("x",))
    taken = ir.make("where", ir.make("gt", x, 0), ir.make("sqrt", x), 0)
    loss = ir.make("sum", taken, axes=(0,), keep=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        (dx,) = evaluate([gradients(loss, [x], {})[x].node], {x: np.array([0.0, 4.0])})
    assert slope_at("where", [1.0, 0.0], [5.0, 5.0], [7.0, 7.0])[1:] == [[1, 0], [0, 1]]
    assert dx[1] == 0.25


def test_powers_at_zero():
    with np.errstate(divide="ignore", invalid="ignore"):
        base, exponent = slope_at("pow", [0.0, 0.0, 0.0, 2.0], [1.0, 2.0, 0.0, 3.0])
    assert base[:2] == [1, 0]
    assert base[3] == 12
    assert exponent[:3] == [0, 0, 0]
    assert exponent[3] == pytest.approx(8 * np.log(2))


def test_whole_powers_of_negative_numbers_have_gradients():
    ir = Interner(RULES)
    x = ir.leaf("param", (3,), address=("x",))
    loss = ir.make("sum", x**3, axes=(0,), keep=False)
    (dx,) = evaluate([gradients(loss, [x], {})[x].node], {x: np.array([-2.0, 0.0, 1.0])})
    np.testing.assert_array_equal(dx, [12, 0, 3])


def test_steps_have_no_gradient():
    for op in ROWS:
        if TABLE[op].vjp is None:
            assert op in {
                "lt",
                "le",
                "gt",
                "ge",
                "eq",
                "ne",
                "sign",
                "floor",
                "argmax",
                "rank",
                "onehot",
                "row_total",
            }  # the last: in no plan


# --- NaN -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [op for op in ROWS if op not in {"lt", "le", "gt", "ge", "eq", "ne", "argmax", "rank", "onehot", "where"}])
def test_nan_stays_nan(op):
    arrays, attrs = example(op)
    arrays[0][(-1,) * arrays[0].ndim] = np.nan
    with np.errstate(invalid="ignore"):
        assert np.isnan(value(op, arrays, attrs)).any()


def test_relu_keeps_nan_and_infinity():
    np.testing.assert_array_equal(value("max", [np.array([np.nan, np.inf, -np.inf]), np.array(0.0)], {}), [np.nan, np.inf, 0])
    np.testing.assert_array_equal(value("max", [np.array(0.0), np.array([np.nan])], {}), [np.nan])


def test_where_takes_no_nan_from_the_other_side():
    out = value("where", [np.array([1.0, 0.0, np.nan]), np.array([1.0, np.nan, 3.0]), np.array([np.nan, 2.0, 4.0])], {})
    np.testing.assert_array_equal(out, [1, 2, 3])


# --- derivatives of derivatives ------------------------------------------------------------------


@pytest.mark.parametrize("op", [op for op in SMOOTH if op not in {"max", "min", "abs", "where", "max_over", "min_over"}])
@pytest.mark.parametrize("rules", [{}, RULES], ids=["plain", "with rules"])
def test_the_gradient_of_a_gradient(op, rules):
    """d/dx of sum(v * d/dx sum(w * op(x))) against central differences of the first gradient."""
    arrays, attrs = example(op)
    rng = np.random.default_rng(9)
    out, params = build(op, arrays, attrs, rules)
    ir = out.ir
    weights = ir.leaf("input", out.shape, name="weights")
    scaled = weights * out * out
    loss = ir.make("sum", scaled, axes=tuple(range(len(out.shape))), keep=False)
    first = gradients(loss, params, {})
    leaves = dict(zip(params, arrays, strict=True)) | {weights: rng.normal(size=value(op, arrays, attrs).shape)}
    along = [rng.normal(size=a.shape) for a in arrays]
    total = ir.const(0)
    for i, (p, d) in enumerate(zip(params, along, strict=True)):
        if p not in first:
            continue
        v = ir.leaf("input", p.shape, name=f"v{i}")
        leaves[v] = d
        total = total + ir.make("sum", v * first[p].node, axes=tuple(range(len(p.shape))), keep=False)
    second = gradients(total, params, {})
    direction = [np.zeros_like(a) if i in HELD.get(op, ()) else rng.normal(size=a.shape) for i, a in enumerate(arrays)]
    actual = sum(float(np.sum(evaluate([second[p].node], leaves)[0] * d)) for p, d in zip(params, direction, strict=True) if p in second)

    def at(s):
        moved = leaves | {p: a + s * d for p, a, d in zip(params, arrays, direction, strict=True)}
        return float(evaluate([total], moved)[0])

    wide, near = ((at(h) - at(-h)) / (2 * h) for h in (2e-4, 1e-4))
    assert actual == pytest.approx((4 * near - wide) / 3, rel=1e-8, abs=1e-8)


# --- facts ---------------------------------------------------------------------------------------


def claims_hold(facts, x, tolerance=1e-12):
    """Whether what is claimed of a value is true of its numbers; NaN and overflow aside."""
    x = np.asarray(x)
    if not np.isfinite(x).all():
        return True
    told = {
        "nonnegative": not facts.nonnegative or (x >= 0).all(),
        "positive": not facts.positive or (x > 0).all(),
        "integer": not facts.integer or (x == np.floor(x)).all(),
        "below": facts.below is None or bool(((x == np.floor(x)) & (x >= 0) & (x < facts.below)).all()),
        "bounded": not facts.bounded or (np.abs(x) < 1e3).all(),
        "onehot": not facts.onehot or (((x == 0) | (x == 1)).all() and (x.sum(-1) == 1).all()),
        "row_sum": facts.row_sum is None or bool(x.ndim and np.allclose(x.sum(-1), float(facts.row_sum), rtol=tolerance, atol=tolerance)),
    }
    return all(told.values())


def fresh(rng, ir, counter):
    """A random leaf or constant with facts, and numbers of which they hold."""
    kind = rng.choice(["plain", "onehot", "simplex", "zero_one", "nonnegative", "positive", "integer", "row", "column", "const"])
    if kind == "const":
        number = ir.const([Fraction(1), Fraction(0), Fraction(-2), Fraction(1, 2), Fraction(3)][rng.integers(5)])
        return number, np.array(float(number.value))
    shape, rows = (("N", 3), (4, 3)) if kind not in {"row", "column"} else (((3,), (3,)) if kind == "row" else (("N", 1), (4, 1)))
    x = rng.normal(size=rows)
    facts = NOTHING
    match kind:
        case "onehot":
            facts, x = ONEHOT, np.eye(3)[rng.integers(0, 3, 4)]
        case "simplex":
            facts, x = SIMPLEX, rng.dirichlet(np.ones(3), 4)
        case "zero_one":
            facts, x = ZERO_ONE, rng.integers(0, 2, rows).astype(float)
        case "nonnegative":
            facts, x = Facts(nonnegative=True), np.abs(x) * rng.integers(0, 2, rows)
        case "positive":
            facts, x = Facts(positive=True, nonnegative=True), np.abs(x) + 0.1
        case "integer":
            facts, x = Facts(integer=True), rng.integers(-3, 4, rows).astype(float)
        case _:
            pass
    return ir.leaf("input", shape, facts, name=f"x{next(counter)}"), x


def applied(rng, ir, op, pool):
    """The operation on random values of the pool, or None if they do not fit."""
    row = TABLE[op]
    operands, attrs = example(op)
    args = [pool[rng.integers(len(pool))][0] for _ in operands]
    if row.kind == "reduce":
        attrs = {"axes": (len(args[0].shape) - 1,), "keep": bool(rng.integers(2))}
    if op == "sub" and rng.integers(2):  # the pattern of a complement
        args[0] = ir.const(1)
    if op == "div" and rng.integers(2) and args[0].shape:  # the pattern that makes a distribution
        args[1] = ir.make("sum", args[0], axes=(len(args[0].shape) - 1,), keep=True)
    if op == "slice":
        attrs = {"axis": len(args[0].shape) - 1, "start": 1, "stop": 3}
        if args[0].shape[-1:] != (3,):
            return None
    if op == "pad":
        attrs = {"axis": len(args[0].shape) - 1, "start": 1, "size": 5}
        if args[0].shape[-1:] != (3,):
            return None
    if op == "broadcast":
        attrs = {"shape": ("N", 3)}
        if not args[0].shape or args[0].shape not in {(3,), ("N", 1)}:
            return None
    if op == "reshape":
        attrs = {"shape": (1, *args[0].shape)}
    if row.kind == "reduce" and not args[0].shape:
        return None
    try:
        return ir.make(op, *args, **attrs)
    except ShapeError:
        return None


@pytest.mark.parametrize("rules", [{}, RULES], ids=["plain", "with rules"])
def test_claimed_facts_hold_of_the_numbers(rules):
    """Values with facts, operations on them, operations on those: what is claimed at any depth is so."""
    reached: set[str] = set()
    for trial in range(150):
        rng = np.random.default_rng(trial)
        ir, counter = Interner(rules), itertools.count()
        pool = [fresh(rng, ir, counter) for _ in range(6)]
        leaves = {n: x for n, x in pool if not n.args and n.op != "const"}
        for _ in range(40):
            op = ROWS[rng.integers(len(ROWS))] if rng.integers(2) else ["add", "sub", "mul", "div"][rng.integers(4)]
            node = applied(rng, ir, op, pool)
            if node is None:
                continue
            with np.errstate(all="ignore"):
                (x,) = evaluate([node], leaves, rows=4)
            if not np.isfinite(x).all() or np.abs(x).max(initial=0) > 100:
                continue
            reached.add(op)
            assert claims_hold(node.facts, x), (trial, node, x)
            pool.append((node, x))
    assert reached >= set(ROWS) - {"matmul", "gather"}  # no value of the pool has fixed rows


@pytest.mark.parametrize(
    "build", [lambda i, x, y: 3 * i("lt", x, y), lambda i, x, y: i("lt", x, y) + i("gt", y, x), lambda i, x, y: i("argmax", x)]
)
def test_whole_and_nonnegative_is_not_yet_zero_or_one(build):
    """1 - 3 * (x < y) and 1 - argmax(x) can be negative."""
    ir = Interner(RULES)
    x, y = (ir.leaf("input", ("N", 3), name=n) for n in "xy")
    rest = 1 - build(ir.make, x, y)
    assert not rest.facts.nonnegative
    assert not (rest / ir.make("sum", rest, axes=(1,), keep=True)).facts.simplex


def test_the_complement_of_zero_or_one_is_not_negative():
    ir = Interner(RULES)
    x, y = ir.leaf("input", ("N", 3), name="x"), ir.leaf("input", ("N", 3), ZERO_ONE, name="y")
    hot = ir.leaf("input", ("N", 3), ONEHOT, name="hot")
    for unit in (
        y,
        hot,
        ir.make("lt", x, y),
        ir.make("softmax", x),
        ir.make("sigmoid", x),
        ir.make("onehot", ir.make("argmax", x), size=3),
    ):
        assert (1 - unit).facts.nonnegative


# --- chance --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_draw_has_its_share_of_ones(dtype):
    x = np.full((1000, 10), np.nan, dtype)  # no number of x is read
    out = np.empty_like(x)
    draw: Any = TABLE["bernoulli"].numpy
    draw(np.array(0.3, dtype), x, out=out, stream=np.random.Generator(np.random.PCG64(7)))
    assert set(np.unique(out).tolist()) == {0.0, 1.0}
    assert abs(out.mean() - 0.3) < 0.02  # more than four standard deviations of 10,000 draws
    assert TABLE["bernoulli"].vjp is None


def test_two_draws_never_merge():
    ir = Interner(RULES)
    x = ir.leaf("input", ("N", 3), name="x")
    a, b = (ir.make("bernoulli", Fraction(1, 2), x, stream=s) for s in ("h#1", "h#2"))
    assert a is not b
    assert a.facts == ZERO_ONE


def test_x_to_the_0_is_constant_also_at_0():
    """0 * 0^-1 is NaN; focal(p, y, gamma = 0) at p = 1 is where it shows."""
    ir = Interner(RULES)
    x = ir.leaf("input", ("N", 1), name="x")
    loss = ir.make("sum", ir.make("pow", x, 0) * x, axes=(0, 1), keep=False)
    (slope,) = evaluate([gradients(loss, [x], {})[x].node], {x: np.array([[0.0], [2.0], [-1e3]])}, rows=3)
    assert np.broadcast_to(slope, (3, 1)).tolist() == [[1.0], [1.0], [1.0]]
