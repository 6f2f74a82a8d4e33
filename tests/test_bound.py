"""Bound calls: they are their operation's kernel, to a rounding where they add up, and keep the bytes that they say."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from mlpc.compiler.ops import TABLE
from mlpc.runtime.reference import evaluate

SHAPES = [(1, 1), (1, 7), (5, 1), (5, 3), (32, 16), (64, 10), (9, 32), (9, 33), (33, 100), (3, 4000)]
BOUND = [name for name, row in TABLE.items() if row.bound is not None]


def calls(name: str) -> Any:
    """What binds an operation."""
    row: Any = TABLE[name]
    return row.bound.calls


def cases(name):
    """Operands' shapes with attributes: alike, a row, a column, a number; every axis."""
    for n, k in SHAPES:
        if name == "matmul":
            yield [(n, k), (k, 4)], {}
        elif name == "row_total":
            yield [(n, k)], {}
        elif name in ("sum", "max_over"):
            yield from (([(n, k)], {"axes": axes, "keep": keep}) for axes in ((0,), (1,), (0, 1)) for keep in (False, True))
        else:
            yield from (([(n, k), other], {}) for other in ((n, k), (k,), (1, k), (n, 1), ()))
            if name != "pow":
                yield from (([other, (n, k)], {}) for other in ((k,), (n, 1), ()))


def operands(shapes, precision):
    rng = np.random.default_rng(1)
    return [rng.choice(np.array([0.5, 1, 1.5, 2, 3.25]), size=shape).astype(precision) for shape in shapes]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", BOUND)
def test_bound_calls_are_the_kernel(name, precision):
    row: Any = TABLE[name]
    tried = 0
    for shapes, attrs in cases(name):
        args = operands(shapes, precision)
        expected, found = (np.empty(row.shape(shapes, attrs), precision) for _ in range(2))
        row.numpy(*args, out=expected, **attrs)
        made = row.bound.calls(*args, out=found, **attrs)
        for function, given in made or ():
            function(*given)
        tried += made is not None
        if made is not None and name in ("sum", "row_total", "matmul"):
            np.testing.assert_allclose(found, expected, rtol=8 * np.finfo(precision).eps)
        elif made is not None:
            np.testing.assert_array_equal(found, expected, strict=True)
    assert tried or name == "pow"


@pytest.mark.parametrize("name", BOUND)
def test_bound_calls_keep_the_bytes_that_they_say(name):
    row: Any = TABLE[name]
    for shapes, attrs in cases(name):
        args = operands(shapes, "float32")
        out = np.empty(row.shape(shapes, attrs), "float32")
        tracemalloc.start()
        row.bound.calls(*args, out=out, **attrs)  # what several calls share is made here, once for all shapes of a kind
        held = row.bound.calls(*args, out=out, **attrs)
        kept = sum(trace.size for trace in tracemalloc.take_snapshot().traces if trace.size > 256)
        tracemalloc.stop()
        said = sum(size for _, size in row.bound.lent(shapes, attrs, 4))
        assert kept <= said + 1024, (shapes, attrs, held)


def test_an_exponent_that_may_change_is_no_square():
    x, n = np.array([3.0, 4.0]), np.array(2.0)
    assert calls("pow")(x, n, out=np.empty(2)) is None
    n.setflags(write=False)
    ((function, _),) = calls("pow")(x, n, out=np.empty(2))
    assert function is np.square


def test_the_kernel_squares_whatever_the_exponent_s_array_is():
    """The bits do not depend on what was known when the calls were bound."""
    x = np.random.default_rng(0).normal(size=1000).astype("f")
    out = np.empty_like(x)
    row: Any = TABLE["pow"]
    row.numpy(x, np.array(2, "f"), out=out)
    np.testing.assert_array_equal(out, np.square(x))


def test_the_reference_takes_the_bound_calls():
    from mlpc.compiler.plan import Step

    x = np.random.default_rng(0).normal(size=(64, 10)).astype("f")
    found = evaluate([Step("sum", (0,), 1, (("axes", (1,)), ("keep", True)))], {0: x})[1]
    np.testing.assert_array_equal(found[:, 0], x.dot(np.ones(10, "f")))


def test_nan_is_the_largest():
    x = np.array([[1, np.nan, 3], [1, 2, 3]], "f")
    out = np.empty((2, 1), "f")
    for function, given in calls("max_over")(x, out=out, axes=(1,), keep=True):
        function(*given)
    assert np.isnan(out[0, 0]) and out[1, 0] == 3


@pytest.mark.parametrize("shape", [(64, 64), (32, 64), (10, 32), (128, 128)])
def test_a_product_with_a_transpose_is_the_product(shape: tuple[int, int]) -> None:
    """Small ones by a copy, the others as they lie."""
    rng = np.random.default_rng(2)
    a, w = rng.normal(size=(64, shape[1])), rng.normal(size=shape)
    out = np.empty((64, shape[0]))
    for function, given in calls("matmul")(a, w.T, out=out):
        function(*given)
    np.testing.assert_allclose(out, a @ w.T, rtol=1e-12, atol=1e-12)
