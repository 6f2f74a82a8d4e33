"""Whole models: the plan's steps against autograd, and the plan's text, read back and computed, against its steps."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from mlpc.compiler.facts import NOTHING, ONEHOT
from mlpc.compiler.pipeline import compile
from mlpc.compiler.schema import DataValue, Schema
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.parse import parse

from .interpret import run
from .plan_text import execute, names_in
from .random_graphs import TOLERANCE, deviation, expected_gradients, generate, loss_as_written, to_mlp

MODELS = Path(__file__).parents[1] / "models"


def plan_of(text, inputs, rows):
    """The training plan of a text; inputs are (name, width, facts)."""
    program = parse(text, "model.mlp")
    assert program.data is not None
    values = tuple(
        DataValue(n, k, facts, (), tuple("abcdefgh"[:k]) if facts == ONEHOT else (), program.data.span) for n, k, facts in inputs
    )
    return compile(program, Schema(values, (("train", rows),))).training


@functools.cache
def random_models(start):
    """(seed, random program, its plan, arrays of inputs and params by name) of twenty seeds."""
    found = []
    for seed in range(start, start + 20):
        p = generate(seed, language=True)
        inputs = [(f"v{i}", 3, p.body[i].attrs["facts"]) for i in p.of("input")]
        try:
            plan = plan_of(to_mlp(p), inputs, p.rows)
        except MlpcError as error:  # such as sum(softmax(z)): it is refused, and rightly
            assert "depends on no param" in str(error), seed
            assert all(np.abs(g).max() < 1e-12 for g in expected_gradients(p).values())
            continue
        found.append((seed, p, plan, {f"v{i}": x for i, x in p.values.items()}))
    assert len(found) >= 18
    return found


def text_is_what_runs(plan, given, rows):
    """Every line's text gives its register's numbers, and `needs` are the names in it."""
    symbols = {"N": rows}
    registers = run(plan, given, symbols, "forward", "gradient")
    printed = execute(plan, given, symbols, "forward", "gradient")
    known = {*given, *(line.target for line in plan.lines)}
    for line in (*plan.forward, *plan.gradient):
        expected = registers[line.value]
        assert printed[line.target].shape == expected.shape, line
        np.testing.assert_allclose(printed[line.target], expected, rtol=1e-12, atol=1e-13, err_msg=f"{line.target} = {line.text}")
        assert set(line.needs) == names_in(line.text, known), line
        assert len(set(line.needs)) == len(line.needs)


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_random_models_against_autograd(start):
    for seed, p, plan, given in random_models(start):
        registers = run(plan, given, {"N": p.rows}, "forward", "gradient")
        assert deviation(registers[plan.loss], np.asarray(loss_as_written(p, p.values))) <= TOLERANCE, seed
        expected = expected_gradients(p)
        assert [s.name for s in plan.params] == [f"v{i}" for i in expected]
        for spec, (i, g) in zip(plan.params, expected.items(), strict=True):
            assert spec.gradient is not None
            assert deviation(registers[spec.gradient], g) <= TOLERANCE, (seed, i)


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_the_text_of_random_plans_is_what_runs(start):
    for _, p, plan, given in random_models(start):
        text_is_what_runs(plan, given, p.rows)


def arrays_for(plan, rows, onehot=()):
    rng = np.random.default_rng(5)
    given = {s.name: rng.normal(size=s.shape) for s in plan.params}
    for v in plan.values:
        if v.role == "input":
            k = int(v.shape[1])
            given[v.name] = np.eye(k)[rng.integers(0, k, rows)] if v.name in onehot else rng.normal(size=(rows, k))
    return given


@pytest.mark.parametrize(
    ("model", "inputs", "onehot"),
    [
        ("notebook", [("x", 2, NOTHING), ("y", 3, ONEHOT)], ["y"]),
        ("iris", [("x", 4, NOTHING), ("y", 3, ONEHOT)], ["y"]),
        ("xor", [("x", 2, NOTHING), ("y", 1, NOTHING)], []),
    ],
)
def test_the_text_of_the_gallery_is_what_runs(model, inputs, onehot):
    plan = plan_of((MODELS / f"{model}.mlp").read_text("utf-8"), inputs, 5)
    text_is_what_runs(plan, arrays_for(plan, 5, onehot), 5)


BLOCKS = """
fn mish(x) = x * tanh(log(1 + exp(x)))
block res(x, width, act = relu) {
  h = dense(x, width, act)
  return x + dense(h, cols(x), init = zeros)
}
data {
  x = a
  y = b
}
model {
  deep = x |> dense(4) |> res(5, act = mish) |> res(6, act = leaky_relu(0.2))
  q = concat(deep, x)
  a = -q[:, 1:3]
  z = dense(a, 3)
  p = softmax(z - max(z, axis = features))
}
loss = LOSS
train {
  optimizer = momentum(lr = 0.1)
  epochs = 3
}
"""


@pytest.mark.parametrize(
    "loss",
    [
        "mean(mse(z, y)) + 0.1 * l1(deep.weights)", "mean(cross_entropy(p, y)) + 1e-4 * l2(weights)", "sum((p - y)^2) / 3 - mean(log(p))",
        "mean(mae(p, y)) + sum(mean(z, axis = batch)^2)", "log(sum(exp(transpose(z) @ y)))", "mean(max(z, axis = features)) + max(z) - min(deep)",
    ],
)  # fmt: skip
def test_the_text_of_blocks_is_what_runs(loss):
    for facts in (NOTHING, ONEHOT):
        if facts == NOTHING and "cross_entropy" in loss:
            continue
        plan = plan_of(BLOCKS.replace("LOSS", loss), [("x", 2, NOTHING), ("y", 3, facts)], 4)
        text_is_what_runs(plan, arrays_for(plan, 4, ["y"]), 4)
