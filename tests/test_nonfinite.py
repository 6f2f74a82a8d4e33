"""A number that is not finite is traced to the line that made it: planted at every line of random graphs, and met in models."""

from __future__ import annotations

import functools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import mlpc
from mlpc.compiler.facts import ONEHOT
from mlpc.compiler.pipeline import compile
from mlpc.compiler.plan import Line, Plan, Step, Value
from mlpc.compiler.schema import DataValue, Schema
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.parse import parse
from mlpc.runtime import health, nonfinite
from mlpc.runtime.data import Dataset
from mlpc.runtime.diagnosis import NotFinite
from mlpc.runtime.kernel import Kernel, allocate
from mlpc.runtime.nonfinite import first
from mlpc.runtime.observe import Observer, joined
from mlpc.runtime.train import train

from .random_graphs import generate, to_mlp

GRAPHS, STEPS, PLANTED = 50, 4, 3  # the planted fault strikes in one step of several
OPTIMIZERS = ("sgd(lr = 1e-9)", "adam(lr = 1e-9)", "momentum(lr = 1e-9)")


@functools.cache
def graphs() -> list[tuple[int, Any, Any, Any, Any]]:
    """(seed, compilation, dataset, arrays of the params, batch size) of random programs that can be trained."""
    found = []
    for seed in range(GRAPHS * 2):
        p = generate(seed, language=True)
        text = to_mlp(p).replace("sgd(lr = 0.1)", OPTIMIZERS[seed % 3]).replace("epochs = 1", f"steps = {STEPS}")
        if seed % 4 == 0:
            text = text.replace("batch = all", "batch = all\n  clip = norm(1)")
        if seed % 4 == 1 and p.rows > 1:
            text = text.replace("batch = all", "batch = 1\n  accumulate = 2\n  shuffle = off")
        program = parse(text, "model.mlp")
        assert program.data is not None
        span = program.data.span
        facts = {i: p.body[i].attrs["facts"] for i in p.of("input")}
        values = tuple(DataValue(f"v{i}", 3, f, (), ("a", "b", "c") if f == ONEHOT else (), span) for i, f in facts.items())
        schema = Schema(values, (("train", p.rows),))
        try:
            compilation = compile(program, schema)
        except MlpcError:  # as for sum(softmax(z)), which depends on no param
            continue
        dataset = Dataset(schema, {"train": {f"v{i}": p.values[i] for i in facts}}, {})
        plan = compilation.training
        start = {s.name: p.values[int(s.name[1:])] for s in plan.params}
        try:
            train(plan, compilation.evaluation, dataset, compilation.settings, start=start)
        except NotFinite:  # by itself: nothing is to be planted there
            continue
        found.append((seed, compilation, dataset, start, p.rows))
        if len(found) == GRAPHS:
            break
    assert len(found) == GRAPHS
    return found


def plant(plan: Plan, at: int, kind: str) -> Plan:
    """The plan with operations behind the last step of line `at`, by which it makes what is not finite, or nothing but underflow."""
    line = plan.lines[at]
    values = list(plan.values)

    def fresh(role: str, shape: Any = (), number: float | None = None, name: str = "") -> int:
        values.append(Value(len(values), name, role, shape, number))
        return values[-1].id

    def do(op: str, a: int, b: int, shape: Any = (), out: int | None = None) -> int:
        steps.append(Step(op, (a, b), fresh("inner", shape) if out is None else out))
        return steps[-1].out

    steps = list(line.steps)
    shape = values[line.value].shape
    last = fresh("inner", shape)
    steps[-1] = replace(steps[-1], out=last)
    if kind == "underflow":
        small = fresh("const", number=1e-200)
        do("mul", do("mul", last, small, shape), small, shape, line.value)
    else:
        symbol = next((v.id for v in values if v.role == "symbol" and v.name == "step"), None)
        far = do("sub", fresh("symbol", name="step") if symbol is None else symbol, fresh("const", number=float(PLANTED)))
        square = do("mul", far, far)
        factor = (
            do("div", square, square)
            if kind == "nan"
            else do("max", do("div", fresh("const", number=1.0), square), fresh("const", number=1.0))
        )
        do("mul", last, factor, shape, line.value)
    changed = replace(line, steps=tuple(steps))
    sections: dict[str, tuple[Line, ...]] = {
        name: tuple(changed if other is line else other for other in getattr(plan, name)) for name in ("forward", "gradient", "update")
    }
    return replace(plan, values=tuple(values), **sections)


def strike(graph: Any, at: int, kind: str) -> str:
    """Trains with a fault planted in a line: "stopped" if the error names that line and step, "went on" if nothing of it was ever read."""
    seed, compilation, dataset, start, rows = graph
    line, plan = compilation.training.lines[at], plant(compilation.training, at, kind)
    try:
        run = train(plan, compilation.evaluation, dataset, compilation.settings, start=start)
    except NotFinite as error:
        found = error.document
        assert found is not None, (seed, line.id)
        assert (found["id"], found["step"]) == (line.id, PLANTED), (seed, line.id, str(error))
        assert f"   {line.id}  {line.target} = " in str(error)
        assert error.trained.steps == PLANTED - 1
        assert all(np.isfinite(a).all() for a in error.trained.params.values())
        return "stopped"
    assert all(np.isfinite(a).all() for a in run.params.values())
    (origin, _) = observed(plan, dataset, start, rows, line.value)
    assert origin.id == line.id, (seed, line.id)
    return "went on"


def observed(plan: Plan, dataset: Dataset, start: Any, rows: int, register: int) -> Any:
    """The line and operation that the numbers of a register which are not finite come from, in the step where they are planted."""
    arrays = allocate(plan)
    for name, array in start.items():
        arrays.params[name][...] = array
    arrays.symbols["step"][...] = PLANTED
    seen = Observer(plan)
    kernel = Kernel(plan, ("forward", "gradient", "update"), rows, arrays, inputs=dataset.splits["train"], look=seen)
    seen.begin(arrays, kernel)
    with np.errstate(all="ignore"):
        kernel.run()
    return first(plan, seen, [register])


def campaign(kinds: tuple[str, ...], every: int) -> None:
    """Faults at each `every`-th line of all graphs, the kinds in turn or, at every line, each of them."""
    told: Counter[str] = Counter()
    for graph in graphs():
        for at in range(graph[0] % every, len(graph[1].training.lines), every):
            for kind in kinds if every == 1 else [kinds[at // every % len(kinds)]]:
                told[strike(graph, at, kind)] += 1
    print(dict(told))
    assert told["stopped"] > 5 * told["went on"]


def test_the_line_named_is_the_one_where_it_was_planted():
    campaign(("nan", "infinity"), 4)


@pytest.mark.campaign
def test_at_every_line():
    campaign(("nan", "infinity"), 1)


def underflowing(plan: Plan, dataset: Dataset, start: Any, rows: int) -> tuple[list[str], set[int]]:
    """The lines that underflow in the first step, and the registers that have a number which is neither 0 nor nearly."""
    arrays = allocate(plan)
    for name, array in start.items():
        arrays.params[name][...] = array
    arrays.symbols["step"][...] = 1
    seen = Observer(plan)
    kernel = Kernel(plan, ("forward", "gradient", "update"), rows, arrays, inputs=dataset.splits["train"], look=seen)
    seen.begin(arrays, kernel)
    small = health.Small(plan)
    with np.errstate(all="ignore"):
        health.step(plan, arrays, dataset.splits["train"], rows, small)
        kernel.run()
    depends = {v.id for v in plan.values if v.role in {"input", "param", "state"}}  # on more than numbers and the step's
    for step in (s for line in plan.lines for s in line.steps):
        depends |= {step.out} if depends & {*step.args} else set()
    normal = {line.value for line in plan.lines if line.value in depends and joined(seen.of(line.value)).far > 1e-100}
    return [line.id for line, _ in small.lines()], normal


def test_underflow_is_told_of_the_line_where_it_was_planted():
    told = 0
    for seed, compilation, dataset, start, rows in graphs():
        before, normal = underflowing(compilation.training, dataset, start, rows)
        for at, line in enumerate(compilation.training.lines):
            if line.value in normal:
                after, _ = underflowing(plant(compilation.training, at, "underflow"), dataset, start, rows)
                assert line.id in after and [i for i in after if i != line.id] == before, (seed, line.id, before, after)
                told += 1
    assert told > 500


# --- models whose numbers run away, and what is said of it ---------------------------------------


def model(
    loss="mean((w * x - y)^2)", body="param w ~ ones", train="optimizer = sgd(lr = 0.1)\n  epochs = 5\n  batch = 2", x="[1, 2, 0, 4]"
):
    return f"data {{\n  x = {x}\n  y = [2, 4, 6, 8]\n}}\nmodel {{\n  {body}\n  p = w * x\n}}\nloss = {loss}\ntrain {{\n  {train}\n}}\n"


def stopped(text: str) -> NotFinite:
    with pytest.raises(NotFinite) as caught:
        mlpc.loads(text).train()
    assert (caught.value.status, caught.value.diagnostics[0].code) == (3, "E0503")
    return caught.value


def test_a_logarithm_of_0_names_its_row():
    error = stopped(model("mean(log(w * x) - y)", train="optimizer = sgd(lr = 0.1)\n  epochs = 5\n  batch = 2\n  shuffle = off"))
    assert str(error) == LOG_OF_0
    assert error.document is not None
    assert error.document | {"made": 0, "needs": 0, "norms": 0} == {
        "step": 2, "epoch": 1, "id": "f2", "name": "loss", "text": "mean(log(p) - y)", "line": 9, "operation": "log",
        "made": 0, "needs": 0, "rows": ["row 3"], "params": [], "norms": 0,
    }  # fmt: skip
    assert error.trained.steps == 1 and error.trained.model.plan.title == "model.mlp"


LOG_OF_0 = """error[E0503]: the loss is not a finite number
   the loss is infinite at step 2 of 10, in epoch 1 of 5
   the first line that made such a number:
      f2  loss = mean(log(p) - y)   (line 9)
   the logarithm of 0: 1.281, 1 of 2 infinite
      p: 0 to 3.6
      y: 6 to 8
   in row 3
   all numbers were good after step 1
   hint: log(x + 1e-8), or a loss that is computed from its logits: cross_entropy(softmax(z), y)
                                                                            more: mlpc explain E0503"""


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        ("mean(exp(1000 * w * x))", "`exp` of 4000 is more than 1.8e+308, the largest number: "),
        ("mean(y / (w * x))", "a division by 0: "),
        ("mean(sqrt(-w * x))", "the square root of a negative number, -4: "),
        ("mean(log(w * x - 2))", "the logarithm of a negative number, -2: "),
        ("mean((w * x * 1e200)^2)", "a power is more than 1.8e+308, the largest number: "),
        ("mean((w * x * 1e200) * (x + 1e200))", "a product is more than 1.8e+308, the largest number: "),
        ("mean((w * x - 2)^0.5)", "a negative number, -2, to a power that is not whole: "),
        ("mean((w * x)^(-w))", "0 to a negative power: "),
    ],
)
def test_the_reason(loss, reason):
    error = stopped(model(loss, train="optimizer = sgd(lr = 0.1)\n  epochs = 1\n  batch = all"))
    assert reason in str(error), str(error)


def test_weights_that_run_away_are_told_by_their_length():
    text = str(stopped(model(train="optimizer = sgd(lr = 1e60)\n  epochs = 50\n  batch = all")))
    assert "the length of all params was 1 at the beginning, and " in text and "clip = norm(1)" in text


def test_an_update_that_spoils_the_params_is_named_in_its_own_step():
    """A gradient that is finite, and lr * dw that is not, in the last step of all: no loss has seen it."""
    error = stopped(model("mean((w * x * 1e100 - y)^2)", train="optimizer = sgd(lr = 1e200)\n  steps = 1\n  batch = all"))
    assert str(error).splitlines()[1:4] == [
        "   the params are not finite after step 1 of 1, in epoch 1 of 1",
        "   the first line that made such a number:",
        "      u1  w = w - 1e+200 * dw",
    ]
    assert "of w" in str(error)


def test_numbers_that_float32_does_not_hold():
    error = stopped(model(body="param w ~ constant(1e300)", train="optimizer = sgd(lr = 0.1)\n  epochs = 1\n  precision = float32"))
    assert str(error).splitlines()[1] == "   `w` begins with numbers that are not finite: infinite"
    error = stopped(model("mean(exp(w * x * 100))", train="optimizer = sgd(lr = 0.1)\n  epochs = 1\n  precision = float32"))
    assert "`exp` of 400 is more than 3.4e+38, the largest number" in str(error)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_warned_of_once_it_goes_on_to_the_same_numbers(accumulate):
    """The term has no gradient, and is infinite with the third row: weights, shuffles and draws are those of a training without it."""
    train = f"optimizer = adam(lr = 0.01)\n  epochs = 6\n  batch = 1\n  accumulate = {accumulate}"
    body = "param w ~ ones\n  d = dropout(w * x, 0.5)"
    told: list[MlpcError] = []
    expected = mlpc.loads(model("mean((d - y)^2)", body, train)).train()
    run = mlpc.loads(model("mean((d - y)^2) + 0 * sum(floor(log(x)))", body, train)).train(on_nan=told.append)
    assert (len(told), run.not_finite, run.steps) == (1, 6, expected.steps)
    assert run.weights_sha256 == expected.weights_sha256
    assert "the logarithm of 0" in str(told[0]) and "row 3" in str(told[0])


def test_the_copy_to_begin_again_from_is_taken_now_and_then(monkeypatch):
    """With one after every step the same line, step and weights are found as with the one at the start."""
    text = model(train="optimizer = momentum(lr = 30)\n  epochs = 300\n  batch = 3")
    seldom = stopped(text)
    monkeypatch.setattr(nonfinite, "PAUSE", 0.0)
    monkeypatch.setattr(nonfinite, "SHARE", math.inf)
    often = stopped(text)
    assert str(often) == str(seldom)
    assert often.trained.weights_sha256 == seldom.trained.weights_sha256 == mlpc.loads(text, overrides=[
        "train.epochs=0", f"train.steps={seldom.trained.steps}"]).train().weights_sha256  # fmt: skip


def test_an_infinity_that_was_compared_is_named_and_not_what_came_of_it():
    """Nothing equals a maximum that overflowed, so its gradient divides 0 by 0; the loss stays finite."""
    graph = next(g for g in graphs() if g[0] == 17)
    assert graph[1].training.lines[0].text == "max(v4)"
    assert strike(graph, 0, "infinity") == "stopped"
