"""What the step's number alone gives, found for many steps at once: the bits of one at a time, at any step and in any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlpc
from mlpc.compiler.ops import TABLE
from mlpc.compiler.plan import Step
from mlpc.runtime import ahead
from mlpc.runtime.expand import expand
from mlpc.runtime.kernel import Kernel, allocate
from mlpc.runtime.reference import evaluate

UPDATE = """
update odd(w, dw, lr = 0.1, much = 2) {
  state m ~ zeros
  fade = exp(-step / 7) + cos(step) * tanh(step / 100) + step^(1 / 3) + (step / 3)^2 + abs(sin(step * 3)) / log(1 + step)
  late = where(step > 5, sqrt(step), max(step, 3) * min(epoch, 2)) + floor(step / 2) + much^step / steps
  m'   = fade * m + dw
  w'   = w - lr * late * m'
}
"""


def plan_of(precision="float64", lr="cosine(0.1, 0.01)"):
    return mlpc.loads(
        f"model {{\n  param a [3] ~ ones\n  b = a\n}}\nloss = sum(b^2)\n{UPDATE}\n"
        f"train {{\n  optimizer = odd(lr = {lr})\n  steps = 500\n  precision = {precision}\n}}\n"
    ).plan


def one_at_a_time(plan, step, epoch):
    """The numbers of the step, by register, each operation on arrays without a dimension."""
    symbols = {"step": step, "epoch": epoch}
    known = {
        v.id: np.array(symbols[v.name] if v.role == "symbol" else v.number, np.float64)
        for v in plan.values
        if v.role in ("const", "symbol")
    }
    steps = [s for line in plan.update for s in line.steps]
    made = {s.out for s in ahead.of_the_step(expand(plan, ("update",), 1))}
    with np.errstate(all="ignore"):
        return {r: a for r, a in evaluate([s for s in steps if s.out in made or set(s.args) <= known.keys()], known).items() if r in made}


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_they_are_those_of_one_step_at_a_time(precision):
    plan = plan_of(precision)
    arrays = allocate(plan)
    kernel = Kernel(plan, ("forward", "gradient", "update"), 1, arrays)
    order = [1, 2, 3, ahead.STEPS, ahead.STEPS + 1, 7, 6, 400, 1, *range(390, 500)]  # a step may be run again
    for epoch, step in enumerate(order, 1):
        arrays.symbols["step"][...], arrays.symbols["epoch"][...] = step, epoch
        with np.errstate(all="ignore"):
            kernel.run()
            expected = one_at_a_time(plan, step, epoch)
            narrow = {register: number.astype(precision) for register, number in expected.items()}
        assert len(expected) > 20
        for register, number in expected.items():
            np.testing.assert_array_equal(kernel._storage.wide[register], number, strict=True)
            np.testing.assert_array_equal(kernel._storage.narrow[register], narrow[register], strict=True)


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.kind == "elementwise" and not row.library])
def test_an_operation_on_many_numbers_has_the_bits_of_one(name):
    row: Any = TABLE[name]
    rng = np.random.default_rng(5)
    special = [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]  # of an exponent
    args = [
        rng.permuted(np.concatenate([special, np.abs(rng.normal(size=40)), 30 * rng.random(40), np.arange(1.0, 21)]))
        for _ in row.example[0]
    ]
    many, one = np.empty(len(args[0])), np.empty(())
    each = []
    with np.errstate(all="ignore"):
        ahead.on_a_number(Step(name, tuple(range(len(args))), 9))(*args, out=many)
        for i in range(len(many)):
            row.numpy(*(np.array(a[i]) for a in args), out=one)
            each.append(one.item())
    np.testing.assert_array_equal(many, each)


def test_a_step_has_one_call_for_all_of_them():
    plan = plan_of()
    source = Kernel(plan, ("update",), 1, allocate(plan)).source.splitlines()
    numbers = {s.out for s in ahead.of_the_step(expand(plan, ("update",), 1))}
    others = [s for line in plan.update for s in line.steps if s.out not in numbers and TABLE[s.op].kind != "view"]
    assert len(source) == 2 + len(others)  # def run():, and the call
