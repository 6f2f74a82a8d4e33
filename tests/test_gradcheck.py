"""`mlpc check`: planted wrong gradients are found and the right line is named; kinks and jumps are never called right or wrong."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

import mlpc
from mlpc.cli.main import main
from mlpc.compiler.ir import Node
from mlpc.compiler.ops import TABLE, call
from mlpc.runtime.gradcheck import RIGHT, UNKNOWN, WRONG, Report, measured
from mlpc.runtime.probe import SIDES, STRAIGHT, Forward

ROOT = Path(__file__).parents[1]
DATA = """data {
  x = [[0.5, -1.2], [0.3, 0.8], [-0.7, 0.4], [1.5, 0.2]]
  y = [0.3, 1, -0.5, 2]
}
"""
REST = """
train {
  optimizer = sgd(lr = 0.1)
  epochs = 1
  batch = all
  seed = 3
}
"""
HIDDEN = """  a = dense(x, 3)
  h = {0}
  p = dense(h, 1)"""


def model_of(body: str, loss: str = "mean(mse(p, y))", data: str = DATA) -> mlpc.Model:
    return mlpc.loads(f"{data}model {{\n{body}\n}}\nloss = {loss}\n{REST}")


def checked(body: str, loss: str = "mean(mse(p, y))", data: str = DATA) -> Report:
    return model_of(body, loss, data).check()


def plant(monkeypatch: pytest.MonkeyPatch, op: str, vjp) -> None:
    monkeypatch.setitem(TABLE, op, replace(TABLE[op], vjp=vjp))


def scaled(op: str, factor: str):
    """The op's vjp with the cotangent of its first operand times a number."""
    right = TABLE[op].vjp
    assert right is not None

    def vjp(g: Node, out: Node, *args: Node):
        first, *rest = right(g, out, *args)
        assert first is not None
        return (first * Fraction(factor), *rest)

    return vjp


@pytest.mark.parametrize("name", ["notebook", "iris", "xor"])
def test_the_shipped_models_are_right(name: str) -> None:
    report = mlpc.load(ROOT / "models" / f"{name}.mlp").check()
    assert [v.verdict for v in report.params] == [RIGHT] * 4
    assert all(max(v.differences) < 1e-8 for v in report.params)


# --- planted wrong gradients ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "vjp", "body", "line"),
    [
        ("tanh", lambda g, out, x: (g * (1 + out**2),), HIDDEN.format("tanh(a)"), "da"),
        ("tanh", lambda g, out, x: (g * (1 - out),), HIDDEN.format("tanh(a)"), "da"),
        ("exp", lambda g, out, x: (g * x,), HIDDEN.format("exp(a)"), "da"),
        ("max", lambda g, out, a, b: (g * call("ge", b, a), g), HIDDEN.format("relu(a)"), "da"),
        ("sigmoid", scaled("sigmoid", "1001/1000"), HIDDEN.format("sigmoid(a)"), "da"),
        ("sin", lambda g, out, x: (g * out,), HIDDEN.format("sin(a)"), "da"),
        ("matmul", lambda g, out, a, b: (g @ b.T * 2, a.T @ g), HIDDEN.format("tanh(a)"), "dh"),
        ("matmul", lambda g, out, a, b: (g @ b.T, a.T @ g * 2), HIDDEN.format("tanh(a)"), "d(p.W)"),
        ("mul", lambda g, out, a, b: (g, g * a), HIDDEN.format("a * sin(a)"), "da"),
        ("div", lambda g, out, a, b: (g / b, g * out / b), HIDDEN.format("1 / (2 + a^2)"), "da"),
        ("abs", lambda g, out, x: (g,), HIDDEN.format("abs(a)"), "da"),
        ("where", lambda g, out, c, a, b: (None, g, g), HIDDEN.format("where(a > 0, a, sin(a))"), "da"),
    ],
)
def test_a_planted_vjp_is_found_and_its_line_named(monkeypatch: pytest.MonkeyPatch, op: str, vjp, body: str, line: str) -> None:
    assert checked(body).having(WRONG) == ()
    plant(monkeypatch, op, vjp)
    report = checked(body)
    assert report.having(WRONG)
    assert report.line is not None and report.line.target == line


def test_a_line_is_right_when_it_only_reads_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "tanh", scaled("tanh", "2"))
    body = "  a = dense(x, 3)\n  h = tanh(a)\n  b = dense(h, 3)\n  k = sin(b)\n  p = dense(k, 1)"
    report = checked(body)
    assert report.line is not None and report.line.target == "da"
    assert report.having(WRONG) == ("a.W", "a.b")
    assert report.having(RIGHT) == ("b.W", "b.b", "p.W", "p.b")


def test_a_line_that_reads_what_could_not_be_judged_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "sin", scaled("sin", "-1"))  # a sign rides outside, and the shared product below it is nobody's gradient
    report = checked(HIDDEN.format("sin(a)"))
    assert report.having(WRONG) == ("a.W", "a.b")
    assert report.line is not None and {"t1", "t2"} & {*report.line.needs} and "could not be judged" in report.why


def test_a_wrong_kernel_is_found_beside_right_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(HIDDEN.format("tanh(a)"))
    from mlpc.runtime import gradcheck

    class Broken(gradcheck.Kernel):
        def __init__(self, plan, sections, rows, arrays, **more) -> None:
            super().__init__(plan, sections, rows, arrays, **more)
            run, target = self.run, arrays.gradients["p.W"]

            def broken() -> None:
                run()
                target[...] *= 2

            self.run = broken

    monkeypatch.setattr(gradcheck, "Kernel", Broken)
    report = model.check()
    assert report.having(WRONG) == ("p.W",)
    assert report.line is not None and report.line.target == "d(p.W)" and "kernel" in report.why


def test_a_wrong_gradient_is_status_70_with_a_reproducer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plant(monkeypatch, "tanh", scaled("tanh", "2"))
    names = []
    for _ in range(2):
        assert main(["check", str(ROOT / "models" / "xor.mlp"), "--json", "--set", "train.epochs=4", "--seed", "7"]) == 70
        found = json.loads(capsys.readouterr().out)
        assert (found["wrong"], found["line"]["target"]) == (2, "d(h.z)")
        names.append(found["reproducer"])
    assert names == ["mlpc-check-xor/source/xor.mlp", "mlpc-check-xor-2/source/xor.mlp"]
    text = (tmp_path / names[0]).read_text("utf-8")
    assert "seed: 7" in text and "d(h.z) = " in text
    assert "# in mlpc-check-xor/source: mlpc check xor.mlp --set train.epochs=4 --set train.seed=7\n" in text
    assert text.endswith((ROOT / "models" / "xor.mlp").read_text("utf-8"))


@pytest.mark.parametrize("data", ["data/../data/t.csv", "../other/t.csv"])
def test_a_reproducer_needs_no_file_but_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: str
) -> None:
    plant(monkeypatch, "tanh", scaled("tanh", "2"))
    project = tmp_path / "project" / "model"
    for path, text in {
        "wrong.mlp": f'import "parts/p.mlp"\ndata {{\n  from "{data}"\n  x = columns("a", "b")\n  y = c\n}}\n'
        f"model {{\n  p = layer(x) |> dense(1)\n}}\nloss = mean(mse(p, y))\n{REST}",
        "parts/p.mlp": "block layer(x) {\n  return dense(x, 3, tanh)\n}\n",
        data: "a,b,c\n1,2,0.5\n0.5,-1,0.25\n-1,0,1\n",
    }.items():
        place = Path(os.path.normpath(project / path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    root = ["--data-root", str(tmp_path / "project")] if data.startswith("..") else []
    assert main(["check", str(project / "wrong.mlp"), "--json", *root]) == 70
    found = Path(json.loads(capsys.readouterr().out)["reproducer"])
    shutil.rmtree(tmp_path / "project")
    folder, command = next(
        line.removeprefix("# in ").split(": ", 1) for line in found.read_text("utf-8").split("\n") if line.startswith("# in ")
    )
    monkeypatch.chdir(folder)
    assert main(shlex.split(command)[1:]) == 70
    assert "first wrong line" in capsys.readouterr().out


# --- kinks, jumps, and what cannot be judged -----------------------------------------------------


def test_a_relu_at_exactly_0_is_judged_elsewhere() -> None:
    data = "data {\n  x = [[0, 0], [0, 1], [1, 0], [1, 1]]\n  y = [0, 1, 1, 0]\n}\n"  # the first row gives relu(0) with no bias yet
    report = checked("  h = dense(x, 8, relu)\n  p = dense(h, 1)", data=data)
    assert [v.verdict for v in report.params] == [RIGHT] * 4


def test_a_convention_at_a_kink_is_no_wrong_gradient() -> None:
    # all weights 0: every relu and abs stands at its kink, where the gradient is 0 by convention and no slope exists
    report = checked("  param w [2, 3] ~ zeros\n  param v [3, 1] ~ ones\n  p = relu(x @ w) @ v + abs(x @ w) @ v")
    assert report.having(WRONG) == ()
    assert report.having(RIGHT) == ("w", "v")


def test_a_tie_in_a_maximum_over_an_axis_is_judged_elsewhere() -> None:
    report = checked("  param w [2, 3] ~ zeros\n  param v [1, 1] ~ ones\n  p = max(x @ w, axis = features) @ v")
    assert report.having(RIGHT) == ("w", "v")


def test_gradients_that_are_0_at_the_start_are_judged_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "  param w [2, 3] ~ normal(0, 1)\n  param v [3, 1] ~ zeros\n  p = tanh(x @ w) @ v"
    report = checked(body)
    assert all(v.verdict == RIGHT and v.gradient != 0 for v in report.params)
    plant(monkeypatch, "tanh", scaled("tanh", "2"))
    assert checked(body).having(WRONG) == ("w",)


def test_a_jump_however_near_is_listed_as_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = "  param w [2, 1] ~ normal(0, 1)\n  param b [1] ~ ones\n  p = floor(1e12 * (x @ w)) * 1e-12 + b"
    model = model_of(body)
    report = model.check()
    assert report.having(UNKNOWN) == ("w",) and report.having(RIGHT) == ("b",)
    path = tmp_path / "jumps.mlp"
    path.write_text(model.program.source.text, encoding="utf-8")
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "1 right · 0 wrong · 1 not judged: w" in out and "a kink or a jump" in out
    assert main(["check", str(path), "--strict"]) == 1


def test_a_loss_that_is_not_finite_judges_nothing() -> None:
    report = checked("  param w [2, 1] ~ zeros\n  p = x @ w", loss="mean(mse(p, y)) + sum(log(w * 0 - 1))")
    assert report.having(UNKNOWN) == ("w",)
    assert "nan" in report.params[0].why


def test_a_gradient_that_is_not_a_number_is_not_right(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "sin", lambda g, out, x: (g * call("log", 0 * x - 1),))
    report = checked(HIDDEN.format("sin(a)"))
    assert {"a.W", "a.b"} <= {*report.having(WRONG)}


@pytest.mark.parametrize(
    "body",
    [
        # a softmax over a billion: at any step but the smallest, differences see a hard maximum
        "  param w [2, 3] ~ ones\n  param b [3] ~ zeros\n  p = log(sum(exp((1000 * x @ w + b)^3), axis = features))",
        # two parts that cancel: the loss is smaller than the rounding of what it is made of
        "  param w [2, 1] ~ ones\n  param b ~ constant(-1)\n  p = b * (x @ w) + x @ w",
        # saturated: the loss does not change in any bit
        "  param w [2, 1] ~ ones\n  p = tanh(50 * (x @ w)) + erf(50 * (x @ w))",
        # the derivative of a root is infinite at 0, and 0 * infinity is not a number
        "  param w [2, 3] ~ ones\n  p = sum(sqrt(relu(x @ w)), axis = features)",
        "  param w [2, 1] ~ normal(0, 1)\n  p = sin(exp(13 * (x @ w) + 13))",
    ],
)
@pytest.mark.parametrize("loss", ["mean(mse(p, y))", "sum(p)", "1e6 * sum(p)"])
def test_what_is_hard_to_measure_is_never_called_wrong(body: str, loss: str) -> None:
    assert checked(body, loss).having(WRONG) == ()


def test_a_derivative_that_is_infinite_is_not_judged() -> None:
    report = checked("  param w [2, 3] ~ ones\n  param b [1] ~ zeros\n  p = sum(sqrt(relu(x @ w)), axis = features) + b")
    assert report.having(UNKNOWN) == ("w",) and report.having(RIGHT) == ("b",)
    assert "infinite" in report.params[0].why


def test_a_param_that_the_loss_cannot_feel_has_the_gradient_0() -> None:
    report = checked("  param idle [2] ~ ones\n  p = dense(x, 1)")
    assert report.having(WRONG) == report.having(UNKNOWN) == ()


@pytest.mark.parametrize("scale", ["1e-6", "1", "1e6"])
def test_losses_of_any_size_are_judged(scale: str) -> None:
    report = checked(HIDDEN.format("tanh(a)"), loss=f"{scale} * mean(mse(p, y))")
    assert report.having(WRONG) == report.having(UNKNOWN) == ()


def test_float32_is_checked_in_float64() -> None:
    model = mlpc.load(ROOT / "models" / "iris.mlp", ["train.precision=float32"])
    assert all(v.verdict == RIGHT and max(v.differences) < 1e-8 for v in model.check().params)


def test_every_discrete_operation_has_a_side() -> None:
    assert sorted(op for op, row in TABLE.items() if row.discrete and row.kind != "random") == sorted(SIDES)
    assert {*STRAIGHT} <= {*TABLE}


def test_the_same_numbers_every_time() -> None:
    first, second = (mlpc.load(ROOT / "models" / "iris.mlp").check() for _ in range(2))
    assert [v.differences for v in first.params] == [v.differences for v in second.params]
    assert np.isfinite([v.differences for v in first.params]).all()


# --- how far a difference runs -------------------------------------------------------------------


def layers(count: int) -> mlpc.Model:
    body = "\n".join(["  h0 = tanh(x)", *(f"  h{i + 1} = dense(h{i}, 2, tanh)" for i in range(count)), f"  p = dense(h{count}, 1)"])
    return model_of(body)


def test_the_work_grows_as_the_plan_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlpc.runtime import probe

    run, evaluate = [0], probe.evaluate

    def counted(steps, *args, **more):
        run[0] += len(steps)
        return evaluate(steps, *args, **more)

    monkeypatch.setattr(probe, "evaluate", counted)

    def steps_of(count: int) -> int:
        run[0] = 0
        assert len(layers(count).check().having(RIGHT)) == 2 * count + 2
        return run[0]

    assert steps_of(32) < 2.3 * steps_of(16)


@pytest.mark.parametrize("factor", [1, 2])
def test_slopes_that_are_taken_for_right_are_found_out_by_the_loss_itself(monkeypatch: pytest.MonkeyPatch, factor: int) -> None:
    from mlpc.runtime import gradcheck

    def misled(plan, point, seed) -> None:
        point.slopes.update(
            {r: factor * point.values[d] for d, r in gradcheck.sources(plan).items() if r not in {p.value for p in plan.params}}
        )

    monkeypatch.setattr(gradcheck, "_learn", misled)
    report = layers(3).check()
    assert report.having(RIGHT) == tuple(v.name for v in report.params)
    plant(monkeypatch, "tanh", scaled("tanh", "2"))
    assert layers(3).check().having(RIGHT) == ("p.W", "p.b")


def test_a_wrong_line_deep_in_a_chain_is_named_and_the_params_after_it_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "sin", scaled("sin", "1001/1000"))
    report = checked("  a = dense(x, 3, tanh)\n  b = dense(a, 3)\n  c = sin(b)\n  d = dense(c, 3, tanh)\n  p = dense(d, 1)")
    assert report.line is not None and report.line.target == "db"
    assert report.having(WRONG) == ("a.W", "a.b", "b.W", "b.b")
    assert report.having(RIGHT) == ("d.W", "d.b", "p.W", "p.b")


def test_a_loss_that_is_a_param_has_the_slope_1() -> None:
    """It was 0, and 0 was called right: no operation lies between the two."""
    model = model_of("  param s [] ~ ones\n  p = s * x", "s")
    (line,) = model.plan.gradient
    assert (line.target, line.text, line.by) == ("ds", "1", "the loss itself")
    (found,) = model.check().params
    assert (abs(found.gradient), found.verdict) == (1, RIGHT)  # along a direction, which may be -1
    point = Forward(model.plan, {"x": np.ones((4, 2))}, 4).point(np.ones(1))
    register = model.plan.params[0].value
    assert [measured("s", point, {register: np.ones(())}, slope).verdict for slope in (0.0, 1.0, 2.0)] == [WRONG, RIGHT, WRONG]
