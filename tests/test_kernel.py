"""The executor against the reference evaluator, bit for bit, on plans made by hand and at random."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlpc
from mlpc.compiler.footprint import PIECE
from mlpc.compiler.ops import TABLE
from mlpc.compiler.plan import Line, ParamSpec, Plan, StateSpec, Step, Value
from mlpc.runtime.buffers import ALIGNMENT
from mlpc.runtime.expand import expand
from mlpc.runtime.kernel import Kernel, allocate
from mlpc.runtime.program import STATES
from mlpc.runtime.reference import evaluate
from mlpc.runtime.threads import pinned


class Draft:
    """Collects the values and lines of a plan; each call of `line` is one line, whose value it gives."""

    def __init__(self):
        self.values, self.lines, self.steps = [], [], []

    def leaf(self, role, name="", shape=(), number=None):
        self.values.append(Value(len(self.values), name, role, shape, number))
        return len(self.values) - 1

    def const(self, number):
        return self.leaf("const", number=number)

    def step(self, op, *args, **attrs):
        shape = TABLE[op].shape([self.values[a].shape for a in args], attrs)
        out = self.leaf("inner", shape=shape)
        self.steps.append(Step(op, args, out, tuple(attrs.items())))
        return out

    def line(self, section, value, name="", commits=None):
        line = Line(
            f"{section[0]}{len(self.lines)}", section, name, "", self.values[value].shape, value, tuple(self.steps), commits=commits
        )
        self.lines.append(line)
        self.steps = []
        return value

    def plan(self, *, inputs, params, loss, states=(), w=None, dw=None, precision="float64", reports=()):
        section: Any = {s: tuple(line for line in self.lines if line.section == s) for s in ("forward", "gradient", "update")}
        return Plan("", tuple(self.values), tuple(inputs), tuple(params), tuple(states), **section, loss=loss, loss_text="", output=loss,
                    batch=4, precision=precision, reports=tuple(reports), update_w=w, update_dw=dw)  # fmt: skip


def regression(precision="float64", width=3, update="momentum"):
    """loss = sum((x @ w + b - y)^2) / N by hand, with `update` momentum or one that reduces over each param."""
    d = Draft()
    x, y = d.leaf("input", "x", ("N", width)), d.leaf("input", "y", ("N", 1))
    w, b = d.leaf("param", "w", (width, 1)), d.leaf("param", "b", (1,))
    n, two = d.leaf("symbol", "N"), d.const(2.0)
    error = d.line("forward", d.step("sub", d.step("add", d.step("matmul", x, w), b), y), "e")
    loss = d.line("forward", d.step("div", d.step("sum", d.step("pow", error, two), axes=(0, 1), keep=False), n), "loss")
    de = d.line("gradient", d.step("mul", error, d.step("div", two, n)), "de")
    dw_ = d.line("gradient", d.step("matmul", d.step("transpose", x), de), "dw")
    db = d.line("gradient", d.step("sum", de, axes=(0,), keep=False), "db")
    every, slope, v = d.leaf("param", "w", ("P",)), d.leaf("inner", "dw", ("P",)), d.leaf("state", "v", ("P",))
    step, rate = d.leaf("symbol", "step"), d.const(0.1)
    lr = d.line("update", d.step("div", rate, step), "lr")
    if update == "momentum":
        v1 = d.line("update", d.step("add", d.step("mul", d.const(0.9), v), slope), "v", commits=v)
        d.line("update", d.step("sub", every, d.step("mul", lr, v1)), "w", commits=every)
    else:
        size = d.line("update", d.step("sum", d.step("mul", slope, slope), axes=(0,), keep=False), "size")
        d.line("update", d.step("sub", every, d.step("div", slope, d.step("add", size, lr))), "w", commits=every)
    params = (ParamSpec("w", (width, 1), "zeros", (), "zeros", w, dw_), ParamSpec("b", (1,), "zeros", (), "zeros", b, db))
    return d.plan(inputs=(x, y), params=params, loss=loss, states=(StateSpec("v", 0.5, v),), w=every, dw=slope, precision=precision)


def expected(plan, x, y, params, state, step):
    """One step of `regression` with the reference, param for param: loss, gradients, new params, new state."""
    dtype = np.dtype(plan.precision)
    env = {v.id: np.array(v.number) for v in plan.values if v.role == "const"}
    env |= {v.id: np.array(float(len(x) if v.name == "N" else step)) for v in plan.values if v.role == "symbol"}
    env |= {plan.inputs[0]: x.astype(dtype), plan.inputs[1]: y.astype(dtype)}
    env |= {p.value: params[p.name].astype(dtype) for p in plan.params}
    env = evaluate(plan.steps("forward", "gradient"), env, len(x))
    new, velocity = {}, {}
    for p in plan.params:
        env |= {plan.update_w: env[p.value].ravel(), plan.update_dw: env[p.gradient].ravel(), plan.states[0].value: state[p.name]}
        for line in plan.update:
            env = evaluate(line.steps, env, len(x))
            if line.commits is not None:
                env[line.commits] = env[line.value]
        new[p.name], velocity[p.name] = env[plan.update_w].reshape(p.shape), env[plan.states[0].value]
    return env[plan.loss], {p.name: env[p.gradient] for p in plan.params}, new, velocity


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("update", ["momentum", "reducing"])
@pytest.mark.parametrize("reuse", [True, False])
def test_three_steps_are_the_reference_bit_for_bit(precision, update, reuse):
    plan = regression(precision, update=update)
    draws = np.random.default_rng(0)
    x, y = draws.normal(size=(5, 3)), draws.normal(size=(5, 1))
    arrays = allocate(plan, draws.normal(size=4))
    kernel = Kernel(plan, ("forward", "gradient", "update"), 5, arrays, reuse=reuse)
    kernel.inputs["x"][...], kernel.inputs["y"][...] = x, y
    params = {name: a.copy() for name, a in arrays.params.items()}
    state = {p.name: np.full(p.count, 0.5, precision) for p in plan.params}
    with pinned(1), np.errstate(all="ignore"):
        for step in (1, 2, 3):
            loss, gradients, params, state = expected(plan, x, y, params, state, step)
            arrays.symbols["step"][...] = step
            kernel.run()
            np.testing.assert_array_equal(kernel[plan.loss], loss, strict=True)
            for p in plan.params:
                np.testing.assert_array_equal(arrays.gradients[p.name], gradients[p.name], strict=True)
                np.testing.assert_array_equal(arrays.params[p.name], params[p.name], strict=True)
            np.testing.assert_array_equal(arrays.flat[STATES], np.concatenate(list(state.values())), strict=True)


def test_a_long_update_runs_in_pieces_and_gives_the_same_bits():
    width = 2 * PIECE + 5
    plan = regression(width=width)
    draws = np.random.default_rng(1)
    x, y = draws.normal(size=(2, width)), draws.normal(size=(2, 1))
    arrays = allocate(plan, draws.normal(size=width + 1))
    before = {name: a.copy() for name, a in arrays.params.items()}
    kernel = Kernel(plan, ("forward", "gradient", "update"), 2, arrays, keep=(plan.update[1].value,), inputs={"x": x, "y": y})
    state = {p.name: np.full(p.count, 0.5) for p in plan.params}
    with pinned(1), np.errstate(all="ignore"):
        _, _, params, velocity = expected(plan, x, y, before, state, 2)
        arrays.symbols["step"][...] = 2
        kernel.run()
    assert kernel.source.count("\n") > 3 * len(list(plan.steps("update")))
    assert kernel.layout.arena_bytes < 8 * width
    np.testing.assert_array_equal(arrays.params["w"], params["w"])
    np.testing.assert_array_equal(kernel[plan.update[1].value], np.concatenate([velocity["w"], velocity["b"]]))


def test_the_source_holds_no_word_of_the_users():
    plan = regression()
    source = Kernel(plan, ("forward", "gradient", "update"), 4, allocate(plan)).source
    words = set(re.findall(r"[A-Za-z_]\w*", source))
    assert {w for w in words if not re.fullmatch(r"[fv]\d+", w)} <= {"def", "run", "out", "axes", "keep"}


def test_a_float32_run_has_no_float64_but_the_scalar_cells():
    plan = regression("float32")
    arrays = allocate(plan, np.ones(4))
    kernel = Kernel(plan, ("forward", "gradient", "update"), 4, arrays)
    assert {a.dtype for a in (*arrays.flat, *kernel.inputs.values(), *kernel._storage.narrow.values())} == {np.dtype("float32")}
    assert {a.shape for a in kernel._storage.wide.values()} == {()}


def test_what_numbers_and_n_give_is_computed_when_built():
    plan = regression()
    source = Kernel(plan, ("forward", "gradient"), 4, allocate(plan)).source
    assert len(source.splitlines()) - 1 == sum(TABLE[s.op].kind != "view" for s in plan.steps("forward", "gradient")) - 1  # 2 / N


def tiny(build, params=1, precision="float64", shape=(2, 2)):
    """A plan of params `w0 w1 ..` and what `build(draft, params)` makes of them: the loss and the gradients."""
    d = Draft()
    leaves = [d.leaf("param", f"w{i}", shape) for i in range(params)]
    loss, gradients = build(d, *leaves)
    specs = [ParamSpec(f"w{i}", shape, "zeros", (), "", r, g) for i, (r, g) in enumerate(zip(leaves, gradients, strict=True))]
    every, slope = d.leaf("param", "w", ("P",)), d.leaf("inner", "dw", ("P",))
    d.line("update", d.step("sub", every, slope), "w", commits=every)
    return d.plan(inputs=(), params=specs, loss=loss, w=every, dw=slope, precision=precision)


def run(plan, numbers, keep=()):
    arrays = allocate(plan, np.array(numbers))
    kernel = Kernel(plan, ("forward", "gradient", "update"), 1, arrays, keep)
    with np.errstate(all="ignore"):
        kernel.run()
    return arrays, kernel


def test_one_gradient_of_two_params_reaches_both():
    def build(d, a, b):
        total = d.line("forward", d.step("add", a, b))
        loss = d.line("forward", d.step("sum", d.step("mul", total, total), axes=(0, 1), keep=False))
        slope = d.line("gradient", d.step("mul", total, d.const(2.0)))
        return loss, (slope, slope)

    arrays, _ = run(tiny(build, 2), [1.0] * 4 + [2.0] * 4)
    assert arrays.flat[1].tolist() == [6.0] * 8


def test_gradients_that_are_views_numbers_or_missing_have_their_place():
    def build(d, a, b, c):
        loss = d.line("forward", d.step("sum", d.step("mul", a, d.step("transpose", b)), axes=(0, 1), keep=False))
        da = d.line("gradient", d.step("transpose", b))
        return loss, (da, d.line("gradient", d.step("broadcast", d.const(3.0), shape=(2, 2))), None)

    arrays, _ = run(tiny(build, 3), np.arange(12.0))
    assert arrays.flat[1].tolist() == [4, 6, 5, 7, 3, 3, 3, 3, 0, 0, 0, 0]
    assert arrays.params["w0"].tolist() == [[-4, -5], [-3, -4]]


def test_a_reshape_that_is_no_view_is_copied_in_every_run():
    def build(d, a):
        flat = d.step("reshape", d.step("transpose", a), shape=(4,))
        return d.line("forward", d.step("sum", d.step("slice", flat, axis=0, start=1, stop=2), axes=(0,), keep=False)), (None,)

    plan = tiny(build)
    arrays, kernel = run(plan, np.arange(4.0))
    assert kernel[plan.loss] == 2.0
    arrays.params["w0"][1, 0] = 7.0
    kernel.run()
    assert kernel[plan.loss] == 7.0


def test_a_loss_that_is_a_param_or_a_view_of_one_is_that_before_the_update():
    for alias in (False, True):
        plan = tiny(lambda d, a, alias=alias: (d.line("forward", d.step("alias", a) if alias else a), (d.const(1.0),)), shape=())
        arrays, kernel = run(plan, [5.0])
        assert (kernel[plan.loss].item(), arrays.params["w0"].item()) == (5.0, 4.0)


def test_a_committed_value_is_seen_by_later_lines_and_an_earlier_view_is_not_changed():
    d = Draft()
    every, slope, m = d.leaf("param", "w", ("P",)), d.leaf("inner", "dw", ("P",)), d.leaf("state", "m", ("P",))
    w = d.leaf("param", "w0", (2,))
    old = d.line("update", d.step("alias", m))
    d.line("update", d.step("add", m, d.const(1.0)), "m", commits=m)
    d.line("update", d.step("add", d.step("mul", m, d.const(10.0)), old), "w", commits=every)
    plan = d.plan(inputs=(), params=(ParamSpec("w0", (2,), "zeros", (), "", w, None),), loss=d.const(0.0), w=every, dw=slope,
                  states=(StateSpec("m", 2.0, m),))  # fmt: skip
    arrays, _ = run(plan, [0.0, 0.0])
    assert (arrays.flat[STATES].tolist(), arrays.params["w0"].tolist()) == ([3.0, 3.0], [32.0, 32.0])


def test_a_step_that_reads_its_target_through_another_shape_does_not_write_into_it():
    d = Draft()
    every, slope, w = d.leaf("param", "w", ("P",)), d.leaf("inner", "dw", ("P",)), d.leaf("param", "w0", (3,))
    d.line("update", d.step("softmax", every), "w", commits=every)
    plan = d.plan(inputs=(), params=(ParamSpec("w0", (3,), "zeros", (), "", w, None),), loss=d.const(0.0), w=every, dw=slope)
    arrays, _ = run(plan, [1.0, 1.0, 1.0])
    assert arrays.params["w0"].tolist() == [1 / 3] * 3


OPS = ("neg", "exp", "tanh", "sigmoid", "add", "sub", "mul", "max", "lt", "where", "matmul", "transpose", "sum", "softmax", "broadcast")


@given(st.data(), st.sampled_from(["float64", "float32"]))
def test_random_straight_lines_are_the_reference_bit_for_bit(data, precision):
    d = Draft()
    x, n, step = d.leaf("input", "x", ("N", 3)), d.leaf("symbol", "N"), d.leaf("symbol", "step")
    w = d.leaf("param", "w0", (3, 3))
    squares, scalars = [w], [n, step, d.const(0.1), d.const(-2.0)]
    tall = [x]
    for op in data.draw(st.lists(st.sampled_from(OPS), min_size=1, max_size=20)):
        pool = squares if op in ("transpose", "sum") else data.draw(st.sampled_from([tall, squares, scalars]))
        one = data.draw(st.sampled_from(pool))
        other = data.draw(st.sampled_from(pool + scalars))
        if op in ("matmul", "softmax") and pool is scalars:
            continue
        if op == "matmul":
            made = d.step(op, one, data.draw(st.sampled_from(squares)))
        elif op == "sum":
            made, pool = d.step(op, one, axes=(0, 1), keep=False), scalars
        elif op == "broadcast":
            made, pool = d.step(op, data.draw(st.sampled_from(scalars)), shape=("N", 3)), tall
        elif op == "where":
            made = d.step(op, one, one, other)
        elif TABLE[op].symbol and op != "neg" or op in ("max",):
            made = d.step(op, one, other)
        else:
            made = d.step(op, one)
        pool.append(made)
    if not d.steps:
        return
    made = [s.out for s in d.steps]
    loss = d.line("forward", made[-1])
    plan = d.plan(inputs=(x,), params=(ParamSpec("w0", (3, 3), "zeros", (), "", w, None),), loss=loss, precision=precision)
    keep = data.draw(st.lists(st.sampled_from(made), max_size=3))
    draws = np.random.default_rng(data.draw(st.integers(0, 99)))
    rows, inputs = 4, draws.normal(size=(4, 3)).astype(precision)
    arrays = allocate(plan, draws.normal(size=9))
    kernel = Kernel(plan, ("forward",), rows, arrays, keep, inputs={"x": inputs})
    arrays.symbols["step"][...] = 3
    env = {v.id: np.array(v.number) for v in plan.values if v.role == "const"}
    env |= {x: inputs, w: arrays.params["w0"], n: np.array(4.0), step: np.array(3.0)}
    with np.errstate(all="ignore"):
        found = evaluate(plan.steps("forward"), env, rows)
        for _ in range(2):
            kernel.run()
            for register in (loss, *keep):
                np.testing.assert_array_equal(kernel[register], found[register])


def test_what_softmax_and_its_logarithm_share_is_computed_once():
    text = """data {
  x = [[1, 2], [3, 4]]
  y = [0, 1] |> onehot
}
model {
  p = dense(x, 2, softmax)
}
loss = mean(cross_entropy(p, y))
train {
  optimizer = sgd(lr = 0.1)
  epochs = 1
}
"""
    program = expand(mlpc.loads(text).plan, ("forward",), 2)
    made = [s.op for s in program.body if isinstance(s, Step)]
    assert {"softmax", "log_softmax"}.isdisjoint(made)
    assert [made.count(op) for op in ("max_over", "exp", "log")] == [1, 1, 1]


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_what_a_step_goes_along_begins_at_a_cache_line(precision):
    plan = regression(precision, width=7)
    for count in range(1, 9):  # where NumPy places an array by itself depends on what is free
        kernel = Kernel(plan, ("forward", "gradient", "update"), count, arrays := allocate(plan))
        begin = [a.ctypes.data % ALIGNMENT for a in (*arrays.flat, *kernel.inputs.values(), kernel.workspace)]
        assert begin == [0] * len(begin)
