"""Training, tracing and the memory that both need, on a small regression made by hand."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mlpc.compiler.ops import TABLE
from mlpc.compiler.plan import Line, ParamSpec, Plan, Step, Value
from mlpc.compiler.schema import Schema
from mlpc.compiler.settings import Settings
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.syntax import Call, Name, Source, Span
from mlpc.runtime import threads
from mlpc.runtime.data import Dataset
from mlpc.runtime.kernel import allocate
from mlpc.runtime.memory import Prediction, available, parse_size, predict, refuse_if_over
from mlpc.runtime.steps import steps
from mlpc.runtime.trace import trace
from mlpc.runtime.train import train

RATE = 0.1


def build(lines, leaves) -> tuple[Any, Any, Any]:
    """(values, lines by section): `lines` are (section, name, commits, steps); a step is (name, op, operands, attrs)."""
    values = [Value(i, v.name, v.role, v.shape, v.number) for i, v in enumerate(leaves)]
    number = {key.name or str(key.number): i for i, key in enumerate(leaves)}
    made = {"forward": [], "gradient": [], "update": []}
    for section, name, commits, body in lines:
        steps_ = []
        for out, op, operands, attrs in body:
            args = tuple(number[a] for a in operands)
            values.append(Value(len(values), out, "inner", TABLE[op].shape([values[a].shape for a in args], attrs)))
            number[out] = len(values) - 1
            steps_.append(Step(op, args, number[out], tuple(attrs.items())))
        value = steps_[-1].out
        line = Line(f"{section[0]}{len(made[section]) + 1}", section, name, "", values[value].shape, value, tuple(steps_), flops=10)
        made[section].append(replace(line, commits=number[commits] if commits else None))
    return tuple(values), {k: tuple(v) for k, v in made.items()}, number


def plans(precision="float64", rate=RATE, init="normal"):
    """loss = sum((x @ w - y)^2) / N + 0 * step, by gradient descent, and the plan that measures it, with the report `mae`."""
    leaves = [
        Value(0, "x", "input", ("N", 2)),
        Value(0, "y", "input", ("N", 1)),
        Value(0, "w", "param", (2, 1)),
        Value(0, "N", "symbol", ()),
        Value(0, "", "const", (), 2.0),
        Value(0, "", "const", (), rate),
        Value(0, "every", "param", ("P",)),
        Value(0, "slope", "inner", ("P",)),
    ]
    whole = {"axes": (0, 1), "keep": False}
    forward = [
        ("forward", "e", None, [("p", "matmul", "xw", {}), ("e", "sub", ("p", "y"), {})]),
        ("forward", "loss", None, [("q", "mul", "ee", {}), ("s", "sum", "q", whole), ("loss", "div", ("s", "N"), {})]),
    ]
    rest = [
        ("gradient", "de", None, [("c", "div", ("2.0", "N"), {}), ("de", "mul", ("e", "c"), {})]),
        ("gradient", "dw", None, [("xT", "transpose", "x", {}), ("dw", "matmul", ("xT", "de"), {})]),
        ("update", "w", "every", [("d", "mul", ("slope", str(rate)), {}), ("w1", "sub", ("every", "d"), {})]),
    ]
    mae = [("forward", "mae", None, [("a", "abs", "e", {}), ("t", "sum", "a", whole), ("mae", "div", ("t", "N"), {})])]
    values, lines, number = build(forward + rest, leaves)
    param = ParamSpec("w", (2, 1), init, (), init, number["w"], number["dw"])
    plan = Plan("", values, (0, 1), (param,), (), **lines, loss=number["loss"], loss_text="", output=number["p"], batch=4,
                precision=precision, update_w=number["every"], update_dw=number["slope"])  # fmt: skip
    values, lines, number = build(forward + mae, leaves)
    evaluation = Plan("", values, (0, 1), (replace(param, gradient=None),), (), **lines, loss=number["loss"], loss_text="",
                      output=number["p"], batch=4, precision=precision,
                      reports=(("mae", number["mae"]), ("errors", number["e"])))  # fmt: skip
    return plan, evaluation


def dataset(rows=10, test=3):
    draws = np.random.default_rng(0)
    x = draws.normal(size=(rows + test, 2))
    y = x @ [[1.0], [-2.0]] + 0.1
    splits = {"train": {"x": x[:rows], "y": y[:rows]}, "test": {"x": x[rows:], "y": y[rows:]}}
    return Dataset(Schema(), splits, {})


def settings(**changed):
    nowhere = Span(Source("test.mlp", ""), 0, 1)
    call = Call(Name("sgd", nowhere), (), False, nowhere)  # what an optimizer is does not matter here
    given: dict[str, Any] = {"epochs": 2, "steps": 0, "batch": 4, "shuffle": True, "seed": 0, "rng": "default", "precision": "float64"}
    return Settings(optimizer=call, origins=(), **given | changed)


def by_hand(data, orders, w, rate=RATE):
    """Gradient descent over batches of rows: (weights, the loss of each batch before its update)."""
    losses = []
    for rows in orders:
        x, y = data["x"][rows], data["y"][rows]
        e = x @ w - y
        losses.append((e**2).sum() / len(rows))
        w = w - rate * (x.T @ (e * (2 / len(rows))))
    return w, losses


def test_batches_in_file_order_with_a_ragged_last_one():
    plan, evaluation = plans(init="zeros")
    data = dataset()
    run = train(plan, evaluation, data, settings(shuffle=False, epochs=1))
    w, losses = by_hand(data.splits["train"], [range(0, 4), range(4, 8), range(8, 10)], np.zeros((2, 1)))
    np.testing.assert_allclose(run.params["w"], w, rtol=1e-13)
    assert run.losses["train"] == pytest.approx((4 * losses[0] + 4 * losses[1] + 2 * losses[2]) / 10, rel=1e-13)
    assert (run.epochs, run.steps, len(run.history), run.threads) == (1, 3, 1, 1)
    test = data.splits["test"]
    error = test["x"] @ w - test["y"]
    assert run.losses["test"] == pytest.approx((error**2).mean(), rel=1e-13)
    assert run.metrics["test"]["mae"] == pytest.approx(abs(error).mean(), rel=1e-13)
    assert isinstance(run.metrics["test"]["mae"], float)
    np.testing.assert_allclose(run.metrics["test"]["errors"], error.tolist(), rtol=1e-13)
    whole = data.splits["train"]
    assert run.metrics["train"]["mae"] == pytest.approx(abs(whole["x"] @ w - whole["y"]).mean(), rel=1e-13)


def test_a_batch_of_all_rows_keeps_the_files_order_and_is_not_copied():
    plan, _ = plans()
    data = dataset().splits["train"]
    step = next(steps(plan, allocate(plan), data, 10, settings(batch=0).scheduled(10)))
    assert step.kernel.inputs["x"] is data["x"]


def test_every_epoch_is_shuffled_anew_and_takes_every_row_once():
    plan, _ = plans()
    data = dataset().splits["train"]
    seen = []
    for step in steps(plan, allocate(plan), data, 10, settings().scheduled(10)):
        seen += [int(np.flatnonzero((data["x"] == row).all(axis=1))[0]) for row in step.kernel.inputs["x"]]
        assert (step.kernel.inputs["y"] == data["y"][seen[-step.kernel.rows :]]).all()
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:] and seen[:10] != list(range(10))


def test_steps_end_a_training_within_an_epoch():
    plan, evaluation = plans()
    run = train(plan, evaluation, dataset(), settings(epochs=0, steps=4))
    assert (run.steps, run.epochs, [h["step"] for h in run.history]) == (4, 2, [3, 4])


def test_the_caller_is_told_of_every_epoch():
    plan, evaluation = plans()
    told = []
    steps_told = []
    run = train(plan, evaluation, dataset(), settings(), on_epoch=told.append, on_step=steps_told.append)
    assert told == list(run.history)
    assert [entry["epoch"] for entry in told] == [1, 2]
    assert steps_told == [1, 2, 3, 4, 5, 6]


def test_a_loss_that_is_not_finite_stops_and_is_named():
    plan, evaluation = plans(rate=1e200)
    with pytest.raises(MlpcError) as caught:
        train(plan, evaluation, dataset(), settings(epochs=9))
    assert (caught.value.status, caught.value.diagnostics[0].code) == (3, "E0503")
    assert caught.value.diagnostics[0].message.startswith("the loss is infinite at step 2 of 27, in epoch 1 of 9\n")


def test_float32_trains_in_float32():
    plan, evaluation = plans("float32")
    run = train(plan, evaluation, dataset(), settings(precision="float32"))
    assert run.params["w"].dtype == np.float32
    assert np.float32(run.losses["test"]) == run.losses["test"]


def test_two_processes_give_the_same_weights_bit_for_bit():
    text = f"import runpy; m = runpy.run_path({__file__!r}); "
    text += "print(m['train'](*m['plans'](), m['dataset'](), m['settings']()).weights_sha256)"
    found = {subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True).stdout for _ in range(2)}
    plan, evaluation = plans()
    assert found == {train(plan, evaluation, dataset(), settings()).weights_sha256 + "\n"}
    assert found != {train(plan, evaluation, dataset(), settings(seed=1)).weights_sha256 + "\n"}


def test_a_trace_holds_every_line_and_the_params_before_the_update():
    plan, _ = plans(init="ones")
    data = dataset(rows=3)
    found = trace(plan, data, settings(batch=0))
    x, y = data.splits["train"]["x"], data.splits["train"]["y"]
    error = x @ np.ones((2, 1)) - y
    slope = x.T @ (error * (2 / 3))
    expected = {
        ("w", "param"): np.ones((2, 1)), ("x", "input"): x, ("y", "input"): y, ("e", "forward"): error,
        ("loss", "forward"): (error**2).sum() / 3, ("de", "gradient"): error * (2 / 3), ("dw", "gradient"): slope, ("w", "update"): 1 - RATE * slope,
    }  # fmt: skip
    assert [(e.name, e.section) for e in found.entries] == list(expected)
    for e in found.entries:
        np.testing.assert_allclose(np.asarray(e.value), expected[e.name, e.section], rtol=1e-13)
        assert e.value.dtype == np.float64
    assert (found.step, found.loss) == (1, pytest.approx((error**2).sum() / 3))
    assert [e.id for e in found.entries] == ["w", "x", "y", "f1", "f2", "g1", "g2", "u1"]


def test_a_trace_of_step_four_is_the_training_s_fourth_step():
    plan, evaluation = plans()
    data = dataset()
    after_three = train(plan, evaluation, data, settings(epochs=1)).params["w"]
    found = trace(plan, data, settings(), steps=4)
    assert (found.step, found.epoch) == (4, 2)
    assert found["w"].tolist() == after_three.tolist()


def test_memory_is_predicted_from_the_plan_alone():
    plan, evaluation = plans()
    found = dict(predict(plan, evaluation, {"train": 10, "test": 3}, settings()).parts)
    assert found["params and gradients"] == 2 * 2 * 8
    assert found["a step on 4 rows"] >= 4 * 3 * 8
    assert list(found) == ["params and gradients", "states of the optimizer", "drawing the params", "a step on 4 rows", "a step on 2 rows",
                           "the order of the rows", "measuring 10 rows", "the last good state"]  # fmt: skip
    huge = replace(plan, params=(replace(plan.params[0], shape=(10**6, 10**6)),))
    assert predict(huge, evaluation, {"train": 10}, settings()).total > 10**13


def test_too_much_memory_is_refused_by_name():
    refuse_if_over(Prediction((("a", 10),)), 10)
    with pytest.raises(MlpcError) as caught:
        refuse_if_over(Prediction((("params and gradients", 9 * 10**9), ("a step on 4 rows", 10**9), ("none", 0))), 2 * 10**9)
    told = caught.value.diagnostics[0]
    assert (told.code, caught.value.status) == ("E0501", 1)
    assert told.message == "the run needs 10 GB and may take 2 GB: 9 GB for params and gradients, 1 GB for a step on 4 rows"
    assert told.hint.endswith("--max-memory 11GB")


@pytest.mark.parametrize(("text", "size"), [("2GB", 2 * 10**9), ("1.5 MiB", 3 * 2**19), ("512", 512), ("80%", 800), ("1kb", 1000)])
def test_sizes(text, size):
    assert parse_size(text, 1000) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1e9", "2 XB", "1_000", "١GB", "%"])
def test_what_is_no_size_is_the_command_lines_fault(text):
    with pytest.raises(MlpcError) as caught:
        parse_size(text)
    assert (caught.value.status, caught.value.diagnostics[0].code) == (2, "E0302")


def test_there_is_memory():
    assert available() > 10**6


def test_threads_follow_from_the_flops_that_they_would_share():
    """Of a line at a batch at which it is dealt out; at a small one it is not, whatever it takes."""
    plan, _ = plans()

    def with_flops(flops, batch):
        return replace(plan, batch=batch, forward=(replace(plan.forward[0], flops=flops), *plan.forward[1:]))

    found = [threads.suitable(with_flops(flops, 10**5)) for flops in (threads.TWO // 2, threads.TWO, threads.FOUR // 2, threads.FOUR)]
    assert found == [1, 2, 2, 4]
    assert threads.suitable(plan) == threads.suitable(with_flops(threads.FOUR, plan.batch)) == 1
