"""A row has the same bits wherever it stands: every operation and products of many sizes, on all levels of instructions that there are."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import zip_longest
from typing import Any, cast

import numpy as np
import pytest
from msgspec.structs import replace
from threadpoolctl import threadpool_info

import mlpc
from mlpc.compiler.ops import TABLE
from mlpc.compiler.plan import Plan
from mlpc.compiler.row_products import LINE, PANEL, by_row
from mlpc.compiler.verify import verify
from mlpc.runtime import chunks
from mlpc.runtime.chunks import HEIGHT, Chunks
from mlpc.runtime.kernel import Array, Kernel, allocate
from mlpc.runtime.threads import pinned

from .deep_models import written
from .row_bits import SIZES, filled, misplaced, misplaced_operations, misplaced_products, one_step

UMATH = import_module("numpy._core._multiarray_umath")
FEATURES: dict[str, bool] = UMATH.__cpu_features__
DISPATCHED: list[str] = UMATH.__cpu_dispatch__
KERNELS = {"SkylakeX": "AVX512F", "Haswell": "AVX2", "Sandybridge": "AVX", "Nehalem": "SSE42"}  # OpenBLAS's, and what they need


def environments() -> Iterator[dict[str, str]]:
    """NumPy without its widest instructions, the widest two, ...; and OpenBLAS with the kernels of each processor that this one can play."""
    known = [f for f in DISPATCHED if FEATURES.get(f)]
    levels = [" ".join(known[count:]) for count in range(len(known) - 1, -1, -1)]
    openblas = platform.machine() == "x86_64" and any(i["internal_api"] == "openblas" for i in threadpool_info())
    cores = [core for core, needed in KERNELS.items() if openblas and FEATURES.get(needed)]
    for level, core in zip_longest(levels, cores):
        yield ({"NPY_DISABLE_CPU_FEATURES": level} if level else {}) | ({"OPENBLAS_CORETYPE": core} if core else {})


def product(k: int, m: int, precision: str = "float64", cut: bool = False) -> Plan:
    return one_step("matmul", (("N", k),), ((k, m),), (), precision, cut)


def elsewhere(environment: dict[str, str], *how: str) -> list[str]:
    """What fails in a process of its own."""
    command = [sys.executable, "-m", "mlpc.tests.row_bits", *how]
    ended = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=3000)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_no_operation_gives_a_row_other_bits_at_another_place() -> None:
    assert misplaced_operations((1, 3, 8, 17, 64)) == []


def test_no_product_does() -> None:
    assert misplaced_products() == []


@pytest.mark.parametrize("environment", [*environments()], ids=lambda e: " ".join(e.values()))
def test_nor_does_any_with_other_instructions(environment: dict[str, str]) -> None:
    assert elsewhere(environment) == []


@pytest.mark.campaign
@pytest.mark.parametrize("environment", [{}, *environments()], ids=lambda e: " ".join(e.values()) or "all")
def test_nor_at_any_of_many_sizes(environment: dict[str, str]) -> None:
    assert elsewhere(environment, "many") == []


@pytest.mark.parametrize("place", [0, 64, HEIGHT - 1])
def test_the_survey_sees_an_edge(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A last bit that is another at one place is found."""

    def edged(x: Array, out: Array) -> Array:
        np.exp(x, out=out)
        out[place] *= 1 + 2**-52
        return out

    monkeypatch.setitem(TABLE, "exp", replace(TABLE["exp"], numpy=edged))
    assert misplaced(one_step("exp", (("N", 5),), (), (), "float64"))


def test_products_at_once_are_what_an_edge_spoils_and_those_by_row_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a BLAS whose last rows are made by other instructions: as it is for float32 on AVX2."""

    def edged(a: Array, b: Array, out: Array) -> Array:
        np.matmul(a, b, out=out)
        if a.ndim == 2:
            out[len(a) - len(a) % 24 :] *= 1 + 2**-50  # the rows after the last full tile
        return out

    monkeypatch.setitem(TABLE, "matmul", replace(TABLE["matmul"], numpy=edged, bound=None))
    assert not misplaced(product(5, 4))
    monkeypatch.setattr(chunks, "by_row", lambda plan: plan)
    assert misplaced(product(5, 4))


# --- how products are written out ------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("k", "m"), [*SIZES, (5, PANEL // 8), (5, PANEL // 4 + 1)])
@pytest.mark.parametrize("cut", [False, True])
def test_every_row_of_a_product_is_the_same_call_at_the_same_place_in_a_cache_line(k: int, m: int, precision: str, cut: bool) -> None:
    plan = by_row(product(k, m, precision, cut))
    verify(plan)
    shown: dict[int, Array] = {}
    arrays = filled(plan, np.random.default_rng(0))
    kernel = Kernel(plan, ("forward",), 7, arrays, look=lambda register, _, value: shown.update({register: value}))
    (x,), (w,) = kernel.inputs.values(), arrays.params.values()
    x[...] = np.random.default_rng(1).normal(size=x.shape)
    with pinned(1):
        kernel.run()
    products = [s for s in plan.steps("forward") if s.op == "matmul"]
    assert len(products) == -(-m * np.dtype(precision).itemsize // PANEL)
    for step in products:
        rows, columns, out = (shown[r] for r in (*step.args, step.out))
        assert rows.shape == (7, 1, k) and out.shape[:2] == (7, 1) and columns.shape == (k, out.shape[2])
        assert rows.ctypes.data % LINE == columns.ctypes.data % LINE == out.ctypes.data % LINE == 0
        assert rows.strides[0] % LINE == 0 and columns.flags.c_contiguous
        assert m == 1 or columns.strides[0] % LINE == out.strides[0] % LINE == 0
    expected = x[:, 1:][:, :k] if cut else x
    size = np.abs(expected).astype(float) @ np.abs(w)
    error = np.abs(kernel[plan.loss] - expected.astype(np.longdouble) @ w.astype(np.longdouble))
    assert (error <= k * np.finfo(precision).eps * size).all()


REST = "\nloss = mean((p - y)^2)\ntrain {\n  optimizer = sgd(lr = 0.1)\n  epochs = 1\n}\n"


def prediction(model: str) -> Plan:
    return mlpc.loads(f"data {{\n  x = [[1, 2], [3, 4]]\n  y = [1, 2]\n}}\nmodel {{\n{model}\n}}{REST}").prediction


def test_what_two_products_read_is_brought_to_its_place_once() -> None:
    plan = prediction("  p = dense(x, 3, tanh) + dense(x, 3, relu)")
    (x,) = plan.inputs
    assert [s.op for s in plan.steps("forward") if x in s.args] == ["matmul", "matmul"]
    assert [s.op for s in by_row(plan).steps("forward") if x in s.args] == ["pad"]


def test_a_product_without_rows_of_data_is_left_as_it_is() -> None:
    plan = prediction("  param w [2, 5] ~ normal(0, 1)\n  param v [5, 3] ~ normal(0, 1)\n  u = tanh(w @ v)\n  p = x @ u")
    first, second = (s for s in by_row(plan).steps("forward") if s.op == "matmul")
    assert first in tuple(plan.steps("forward"))
    assert by_row(plan).values[second.args[0]].shape == ("N", 1, 2)


# --- models ------------------------------------------------------------------------------------------------------


def permuted_split_and_alone(plan: Plan, rows: int, seed: int) -> None:
    """Predicts numbers of any kind together, in another order, a part of them, and some of them alone."""
    rng = np.random.default_rng([seed, 3])
    arrays = allocate(plan)
    for array in (*arrays.params.values(), *arrays.model_states.values()):
        array[...] = np.abs(rng.normal(0, 1 / np.sqrt(len(array) if array.ndim else 1), array.shape))
    data = {
        plan.values[r].name: rng.normal(size=(rows, *cast("Any", plan.values[r].shape[1:]))).astype(plan.precision) for r in plan.inputs
    }
    width = int(plan.values[plan.loss].shape[1])
    with pinned(1), np.errstate(all="ignore"):
        runner = Chunks(plan, (plan.loss,), arrays)

        def predicted(which: Array) -> Array:
            out = np.empty((len(which), width), plan.precision)
            runner.run(len(which), {n: a[which] for n, a in data.items()}, {plan.loss: out})
            return out.view(np.uint8).reshape(len(which), -1)

        together, order = predicted(np.arange(rows)), rng.permutation(rows)
        assert np.array_equal(predicted(order), together[order])
        assert np.array_equal(predicted(np.arange(rows // 3, rows)), together[rows // 3 :])
        for i in rng.integers(0, rows, 3):
            assert np.array_equal(predicted(np.array([i])), together[i : i + 1])


def deep(seeds: range, widths: tuple[int, int]) -> None:
    for seed in seeds:
        plan = mlpc.loads(written(seed, most=5, rows=(8, 12), widths=widths)).prediction
        permuted_split_and_alone(plan, 150, seed)


def test_a_row_of_random_models_is_predicted_to_the_same_bits_permuted_split_and_alone() -> None:
    deep(range(100), (1, 40))


def test_so_is_one_of_wide_models() -> None:
    deep(range(100, 110), (200, 900))


@pytest.mark.campaign
def test_so_is_one_of_many_models(seed: int) -> None:
    deep(range(1000 * seed + 200, 1000 * seed + 1200), (1, 300))
