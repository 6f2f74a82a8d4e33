"""The standard library: the compiler knows none of its names, and its formulas are NumPy's and PyTorch's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import Struct

from mlpc.compiler import library
from mlpc.compiler.facts import NOTHING, ONEHOT, SIMPLEX
from mlpc.compiler.pipeline import compile
from mlpc.compiler.schema import DataValue, Schema
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.parse import parse
from mlpc.dsl.syntax import Assign, Call, Name, Param, Prime, Source, State, walk

from .interpret import run

ROOT = Path(__file__).parents[1]
STD = sorted((ROOT / "std").glob("*.mlp"))
GALLERY = {
    "notebook": [("x", 2, NOTHING), ("y", 3, ONEHOT)],
    "iris": [("x", 4, NOTHING), ("y", 3, ONEHOT)],
    "xor": [("x", 2, NOTHING), ("y", 1, NOTHING)],
}
WIDER = """
data {
  x = a
  y = b
}
model {
  h = x |> dense(4, leaky_relu(0.2)) |> dense(5, act = sigmoid)
  p = dense(h, 3, softmax)
}
loss = mean(mse(p, y)) + sum(mae(p, y)) + 0.01 * l1(weights) + 0.1 * l2(h.weights)
train {
  optimizer = momentum(lr = cosine(0.1, 0.001))
  epochs = 3
}
report accuracy(p, y), confusion(p, y)
"""


def compiled(text, inputs, rows=40):
    """Both plans of a text; inputs are (name, width, facts)."""
    program = parse(text, "model.mlp")
    assert program.data is not None
    labels = {n: tuple("abcde"[:k]) if f == ONEHOT else () for n, k, f in inputs}
    values = tuple(DataValue(n, k, f, (), labels[n], program.data.span) for n, k, f in inputs)
    return compile(program, Schema(values, (("train", rows),)))


# --- no name of std is known to the compiler -----------------------------------------------------


def renamed(text, defined):
    """The text with every function of std called by another name, in definitions, calls and where a function is passed."""
    program = parse(text, "text.mlp")
    places: set[int] = set()
    values = {p.name.id for d in program.definitions for p in d.parameters}
    for d in program.definitions:
        places |= {d.name.span.start} if d.name.id in defined else set()
    sections = [s for d in program.definitions for s in d.body] + [s for part in (program.model, program.train) if part for s in part.body]
    values |= {s.name.id for s in sections if isinstance(s, (Assign, Param, Prime, State))}
    expressions: list[Any] = [
        e for s in sections for e in (getattr(s, "value", None), getattr(s, "call", None), getattr(s, "init", None)) if e
    ]
    expressions += [p.default for d in program.definitions for p in d.parameters if p.default]
    expressions += [e.value for e in (*program.report, *([program.loss] if program.loss else []))]
    for e in expressions:
        for inner in walk(e):
            if isinstance(inner, Call) and inner.function.id in defined:
                places.add(inner.function.span.start)
            elif isinstance(inner, Name) and inner.id in defined and inner.id not in values:
                places.add(inner.span.start)
    source = program.source.text
    for start in sorted(places, reverse=True):
        end = start
        while end < len(source) and (source[end].isalnum() or source[end] == "_"):
            end += 1
        source = f"{source[:end]}_renamed{source[end:]}"
    return source


def essence(plan):
    """What a plan computes, its names aside."""
    values = [(v.role, v.shape, v.number) for v in plan.values]
    lines = [(entry.section, entry.shape, entry.value, entry.steps, entry.commits) for entry in plan.lines]
    return (
        values,
        lines,
        plan.inputs,
        [(p.shape, p.init, p.gradient) for p in plan.params],
        plan.loss,
        plan.output,
        [r for _, r in plan.reports],
    )


@pytest.fixture
def renaming(tmp_path, monkeypatch):
    """From a text, the text for a compiler whose std has other names; the old names are gone."""
    defined = {d.name.id for path in STD for d in parse(path.read_text("utf-8"), path.name).definitions}
    for path in STD:
        (tmp_path / path.name).write_text(renamed(path.read_text("utf-8"), defined), "utf-8")

    def use(text):
        monkeypatch.setattr(library, "files", lambda package: tmp_path)
        library.standard.cache_clear()
        assert set(library.standard()) == {f"{name}_renamed" for name in defined}
        return renamed(text, defined)

    yield use
    monkeypatch.undo()
    library.standard.cache_clear()


@pytest.mark.parametrize("model", [*GALLERY, "wider"])
def test_with_every_function_of_std_renamed_the_plans_are_the_same(model, renaming):
    text = WIDER if model == "wider" else (ROOT / "models" / f"{model}.mlp").read_text("utf-8")
    inputs = [("x", 2, NOTHING), ("y", 3, ONEHOT)] if model == "wider" else GALLERY[model]
    before = compiled(text, inputs)
    changed = renaming(text)
    assert "_renamed(" in changed
    after = compiled(changed, inputs)
    assert essence(after.training) == essence(before.training)
    assert essence(after.evaluation) == essence(before.evaluation)


# --- std is read where it is reached ------------------------------------------------------------


def shape(value):
    """Syntax with all its places, as nested tuples that can be compared; a source as its name and its text."""
    if isinstance(value, Source):
        return value.name, value.text
    if isinstance(value, Struct):
        return type(value).__name__, *(shape(getattr(value, name)) for name in value.__struct_fields__)
    return tuple(map(shape, value)) if isinstance(value, tuple) else value


@pytest.fixture
def fresh():
    library.standard.cache_clear()
    yield library.standard
    library.standard.cache_clear()


def read_of(std):
    return {name for name, f in std.items() if "_read" in vars(f)}


def test_a_definition_read_alone_is_that_of_the_whole_file(fresh):
    whole = [d for path in STD for d in parse(path.read_text("utf-8"), f"std/{path.name}").definitions]
    assert list(fresh()) == [d.name.id for d in whole], "the index knows each, in order"
    eager, faults, broken = library._collect(whole, "std", {})
    assert (faults, broken) == ([], set())
    for d in whole:
        found = fresh()[d.name.id]
        assert shape(found.definition) == shape(d)
        assert found.definition.span.line == d.span.line
        assert (found.name, found.kind, found.home, dict(found.kinds)) == (d.name.id, d.kind, "std", dict(eager[d.name.id].kinds))


def test_only_what_a_file_reaches_is_read(fresh):
    compiled((ROOT / "models" / "iris.mlp").read_text("utf-8"), GALLERY["iris"])
    assert read_of(fresh()) == {
        "accuracy", "adam", "confusion", "cosine", "cross_entropy", "dense", "half_cosine", "l2", "relu", "softmax",
    }  # fmt: skip


def test_what_is_reached_takes_along_what_it_calls(fresh):
    assert dict(fresh()["hard_swish"].kinds) == {"x": "value"}
    assert read_of(fresh()) == {"hard_swish", "hard_sigmoid", "relu6"}


def test_names_are_known_without_reading_what_they_mean(fresh):
    shadowing = "fn gelu(x) = x\n" + WIDER
    note = compiled(shadowing, [("x", 2, NOTHING), ("y", 3, ONEHOT)]).notes
    assert note == ("`gelu` here shadows the standard library's",)
    with pytest.raises(MlpcError, match="did you mean `softplus`"):
        compiled(WIDER.replace("act = sigmoid", "act = softpluss"), [("x", 2, NOTHING), ("y", 3, ONEHOT)])
    assert not read_of(fresh()) & {"gelu", "softplus"}


def test_a_fault_in_the_text_of_std_is_told_with_its_line(fresh, tmp_path, monkeypatch):
    for path in STD:
        text = path.read_text("utf-8")
        (tmp_path / path.name).write_text(text.replace("fn gelu(x) = x *", "fn gelu(x) = x * *"), "utf-8")
    monkeypatch.setattr(library, "files", lambda package: tmp_path)
    line = (ROOT / "std" / "activations.mlp").read_text("utf-8").split("fn gelu(")[0].count("\n") + 1
    with pytest.raises(MlpcError) as caught:
        _ = fresh()["gelu"].definition
    assert [(d.code, d.span and (d.span.source.name, d.span.line)) for d in caught.value.diagnostics] == [
        ("E0103", ("std/activations.mlp", line))
    ]


# --- formulas against NumPy ----------------------------------------------------------------------

X = np.array([[-3.0, -0.5, 0.0], [0.25, 1.0, 4.0], [2.0, 2.0, -7.0], [0.1, -0.2, 0.3]])
P = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]])
Y = np.eye(3)[[2, 1, 1, 0]]
Q = np.array([[0.2], [0.7], [0.6], [0.4]])
B = np.array([[0.0], [1.0], [0.0], [1.0]])


def erf(x):
    return np.vectorize(math.erf)(x)


def forward(formula):
    """The value of a formula of x p y q b, through the plan of a model."""
    text = (
        "data {\n x = a\n p = b\n y = c\n q = d\n b = e\n}\nmodel {\n param w [3] ~ zeros\n"
        f" value = {formula}\n}}\nloss = sum(value) + sum(w)\ntrain {{\n optimizer = sgd(lr = 0.1)\n epochs = 1\n}}\n"
    )
    plan = compiled(text, [("x", 3, NOTHING), ("p", 3, SIMPLEX), ("y", 3, ONEHOT), ("q", 1, NOTHING), ("b", 1, NOTHING)], 4).training
    registers = run(plan, {"x": X, "p": P, "y": Y, "q": Q, "b": B, "w": np.zeros(3)}, {"N": 4}, "forward")
    return registers[next(entry.value for entry in plan.forward if entry.target == "value")]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("identity(x) * 2", 2 * X),
        ("relu(x)", np.where(X > 0, X, 0)),
        ("leaky_relu(x)", np.where(X > 0, X, 0.01 * X)),
        ("leaky_relu(x, 0.2)", np.where(X > 0, X, 0.2 * X)),
        ("leaky_relu(x, slope = 0.3)", np.where(X > 0, X, 0.3 * X)),
        ("sigmoid(x)", 1 / (1 + np.exp(-X))),
        ("softmax(x)", np.exp(X) / np.exp(X).sum(1, keepdims=True)),
        ("cross_entropy(p, y)", -np.log(P[np.arange(4), Y.argmax(1)])[:, None]),
        ("binary_cross_entropy(q, b)", -(B * np.log(Q) + (1 - B) * np.log(1 - Q))),
        ("binary_cross_entropy(p, y)", -(Y * np.log(P) + (1 - Y) * np.log(1 - P)).mean(1, keepdims=True)),
        ("mse(x, y)", ((X - Y) ** 2).mean(1, keepdims=True)),
        ("mae(x, y)", np.abs(X - Y).mean(1, keepdims=True)),
        ("l1(x) * 1.5", np.abs(X).sum() * 1.5),
        ("l2(x) * 1.5", (X**2).sum() * 1.5),
    ],
)
def test_a_function_of_std_is_its_formula(formula, expected):
    actual = forward(formula)
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=1e-14, atol=1e-16)


def test_dense_is_a_product_a_bias_and_an_activation():
    text = "data {\n x = a\n}\nmodel {\n h = dense(x, 5, relu)\n}\nloss = sum(h)\ntrain {\n optimizer = sgd(lr = 0.1)\n epochs = 1\n}\n"
    plan = compiled(text, [("x", 3, NOTHING)], 4).training
    assert [(p.name, p.shape, p.init) for p in plan.params] == [("h.W", (3, 5), "glorot_uniform"), ("h.b", (5,), "zeros")]
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(3, 5)), rng.normal(size=5)
    registers = run(plan, {"x": X, "h.W": weights, "h.b": bias}, {"N": 4}, "forward")
    np.testing.assert_allclose(registers[plan.output], np.maximum(X @ weights + bias, 0), rtol=1e-14)


def metric(formula, columns):
    """A report's value over P, Y or Q, B."""
    k = columns
    facts = (NOTHING, NOTHING) if k == 1 else (SIMPLEX, ONEHOT)
    text = (
        "data {\n p = a\n y = b\n}\nmodel {\n param w [1] ~ zeros\n out = p + w\n}\nloss = sum(out)\n"
        f"train {{\n optimizer = sgd(lr = 0.1)\n epochs = 1\n}}\nreport {formula}\n"
    )
    plan = compiled(text, [("p", k, facts[0]), ("y", k, facts[1])], 4).evaluation
    given = {"p": Q, "y": B} if k == 1 else {"p": P, "y": Y}
    return run(plan, given | {"w": np.zeros(1)}, {"N": 4}, "forward")[plan.reports[0][1]]


def test_accuracy_and_confusion_of_classes():
    truth, found = Y.argmax(1), P.argmax(1)
    counts = np.zeros((3, 3))
    np.add.at(counts, (truth, found), 1)
    np.testing.assert_array_equal(metric("accuracy(p, y)", 3), (truth == found).mean())
    np.testing.assert_array_equal(metric("confusion(p, y)", 3), counts)


def test_accuracy_and_confusion_of_a_probability():
    np.testing.assert_array_equal(metric("accuracy(p, y)", 1), 0.5)
    np.testing.assert_array_equal(metric("confusion(p, y)", 1), [[1, 1], [1, 1]])


# --- optimizers, 200 steps -----------------------------------------------------------------------


def trained(optimizer, gradient, steps=200):
    """The numbers after each step of the update lines, from w = 1, -2, 0.5; `gradient(w, step)` is what the loss would send."""
    text = (
        "data {\n x = a\n}\nmodel {\n param k [1, 3] ~ zeros\n out = x @ transpose(k)\n}\nloss = mean(out)\n"
        f"train {{\n optimizer = {optimizer}\n steps = {steps}\n}}\n"
    )
    plan = compiled(text, [("x", 3, NOTHING)], 4).training
    names = {v.id: v.name for v in plan.values}
    assert plan.update_w is not None
    assert plan.update_dw is not None
    held: dict[int, Any] = {plan.update_w: np.array([1.0, -2.0, 0.5])} | {s.value: np.full(3, s.init) for s in plan.states}
    found = []
    for step in range(1, steps + 1):
        given = {names[i]: x for i, x in held.items()} | {names[plan.update_dw]: gradient(held[plan.update_w], step)}
        registers = run(plan, given, {"step": step, "steps": steps, "epoch": 1, "epochs": 1, "N": 4}, "update")
        held = held | {entry.commits: registers[entry.value] for entry in plan.update if entry.commits is not None}
        found.append(held[plan.update_w])
    return np.array(found)


def slope(w, step):
    """A gradient that turns and changes its size, so that every term of an optimizer counts."""
    return np.array([1.0, 10.0, 1e-3]) * w + np.sin(step * np.array([0.1, 0.7, 2.0]))


def expected(rule):
    """200 steps of a rule (w, g, step, memory) -> w, written by hand."""
    w, memory = np.array([1.0, -2.0, 0.5]), {"m": np.zeros(3), "v": np.zeros(3)}
    found = []
    for step in range(1, 201):
        w = rule(w, slope(w, step), step, memory)
        found.append(w)
    return np.array(found)


def sgd(w, g, step, memory):
    return w - 0.05 * g


def momentum(w, g, step, memory):
    """torch.optim.SGD(momentum=0.8): the buffer of the first step is the gradient itself."""
    memory["m"] = g.copy() if step == 1 else 0.8 * memory["m"] + g
    return w - 0.01 * memory["m"]


def adam(w, g, step, memory):
    """torch.optim.Adam: epsilon after the bias correction."""
    memory["m"] = 0.9 * memory["m"] + (1 - 0.9) * g
    memory["v"] = 0.999 * memory["v"] + (1 - 0.999) * g * g
    denominator = np.sqrt(memory["v"]) / math.sqrt(1 - 0.999**step) + 1e-8
    return w - 0.02 / (1 - 0.9**step) * memory["m"] / denominator


def adam_on_a_cosine(w, g, step, memory):
    lr = 0.001 + (0.05 - 0.001) * (1 + math.cos(math.pi * (step - 1) / 199)) / 2
    return adam(w, g, step, memory) if lr == 0.02 else w + (adam(w, g, step, memory) - w) * lr / 0.02


@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        ("sgd(lr = 0.05)", sgd), ("momentum(lr = 0.01, beta = 0.8)", momentum), ("adam(lr = 0.02)", adam),
        ("adam(lr = cosine(0.05, 0.001))", adam_on_a_cosine),
    ],
)  # fmt: skip
def test_200_steps_of_an_optimizer_are_pytorchs(optimizer, rule):
    np.testing.assert_allclose(trained(optimizer, slope), expected(rule), rtol=1e-11, atol=1e-12)


def test_the_schedule_begins_and_ends_where_it_says():
    """With a gradient of 1, sgd's steps are the schedule itself."""
    w = trained("sgd(lr = cosine(0.5, 0.125))", lambda w, step: np.ones(3))
    rates = -np.diff(np.vstack([[1.0, -2.0, 0.5], w]), axis=0)[:, 0]
    assert rates[0] == pytest.approx(0.5, rel=1e-14)
    assert rates[-1] == pytest.approx(0.125, rel=1e-12)
    assert (np.diff(rates) < 0).all()
