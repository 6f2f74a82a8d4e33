"""What a training says of a model that is hurt in silence, what `--watch` shows of it, and whether it can learn eight rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import health
from mlpc.runtime.watch import numbers

MODELS = Path(__file__).parents[1] / "models"


def small(model="h = relu(x @ w + b)\n  p = h @ v", params="param w [1, 3] ~ values([[1, -1, -1]])\n  param b [3] ~ zeros\n  param v [3, 1] ~ ones",
          loss="mean(mse(p, y))", train="optimizer = sgd(lr = 0.01)\n  epochs = 3\n  batch = 2", y="[2, 4, 6, 8]"):  # fmt: skip
    return f"data {{\n  x = [1, 2, 3, 4]\n  y = {y}\n}}\nmodel {{\n  {params}\n  {model}\n}}\nloss = {loss}\ntrain {{\n  {train}\n}}\n"


def notes(text):
    return mlpc.loads(text).train().notes


def test_units_that_are_never_on_are_counted():
    assert notes(small()) == ("2 of 3 units of h (f1) are 0 for every training row, and cannot learn any more",)
    one_batch_off = small(params="param w [1, 3] ~ values([[1, 1, 1]])\n  param b [3] ~ values([0, -2.5, -9])\n  param v [3, 1] ~ ones")
    assert notes(one_batch_off) == ("1 of 3 units of h (f1) is 0 for every training row, and cannot learn any more",)
    assert notes(small("h = where(x @ w + b > 0, x @ w + b, 0)\n  p = h @ v"))[0].startswith("2 of 3 units of h (f3)")
    assert notes(small("h = leaky_relu(x @ w + b)\n  p = h @ v")) == ()


def test_of_many_rows_some_are_looked_at_spread_over_all(monkeypatch):
    """2 of 3 units are dead; the third is on in one row of 400, which only those see who look at all."""
    rows = ", ".join("1" if i == 217 else "-1" for i in range(400))
    text = small().replace("x = [1, 2, 3, 4]", f"x = [{rows}]").replace("y = [2, 4, 6, 8]", f"y = [{', '.join(['0'] * 400)}]")
    text = text.replace("values([[1, -1, -1]])", "values([[1, 0, 0]])").replace("lr = 0.01", "lr = 1e-9")
    assert notes(text) == ("2 of 3 units of h (f1) are 0 for every training row, and cannot learn any more",)
    monkeypatch.setattr(health, "HEIGHT", 5)
    monkeypatch.setattr(health, "MANY", 20)
    assert notes(text) == ("3 of 3 units of h (f1) are 0 for every training row of 20, spread over all, and cannot learn any more",)
    assert list(health._starts(100, 10, 10)) == [10, 90]
    assert list(health._starts(25, 10, 5)) == [10, 15, 20]


def test_units_that_see_the_other_rows_of_a_batch():
    body = "h = relu(batch_norm(x @ w) + b)\n  p = h @ v"
    assert notes(small(body, "param w [1, 3] ~ ones\n  param b [3] ~ values([0, -9, 0])\n  param v [3, 1] ~ ones"))[0].startswith(
        "1 of 3 units"
    )


def test_an_update_that_underflows():
    rule = "\n\nupdate own(w, dw, lr) {\n  state m ~ zeros\n  m' = m + (EACH * dw)^2\n  w' = w - lr * dw - m\n}\n"
    train = "optimizer = own(lr = 1e-9)\n  epochs = 1\n  precision = float32"
    text = small("p = x @ w @ v", "param w [1, 1] ~ ones\n  param v [1, 1] ~ ones", train=train)
    assert notes(text + rule.replace("EACH", "1e-4")) == ()
    (found,) = notes(text + rule.replace("EACH", "1e-25"))
    assert found == "all of m' (u1) is 0 or nearly: by `pow`: its numbers are smaller than 1.2e-38, the least of the precision"


def test_a_hinge_that_is_never_broken_is_no_dead_unit():
    assert notes(small("p = x @ w @ v", "param w [1, 1] ~ ones\n  param v [1, 1] ~ ones", "mean(max(0, -1 - p)) + 1e-9 * sum(v^2)")) == ()


def test_gradients_that_vanish_or_explode_are_named():
    body, params = "p = tanh(40 * tanh(50 * x @ w)) @ v", "param w [1, 1] ~ ones\n  param v [1, 1] ~ ones"
    (found,) = notes(small(body, params))
    assert found.startswith("dw (g") and "vanishes" in found and "another gradient's is" in found
    (found, *_) = notes(small("p = x @ w @ v", params, "1e5 * mean(mse(p, y))", "optimizer = sgd(lr = 1e-12)\n  epochs = 1"))
    assert "explodes: its length is" in found


def test_a_value_that_underflows_is_named_with_its_operation():
    (found,) = notes(small("h = exp(x @ w - 800)\n  p = h @ v + x", "param w [1, 1] ~ ones\n  param v [1, 1] ~ ones"))[:1]
    assert found == "all of h (f1) is 0 or nearly: by `exp`: its numbers are smaller than 2.2e-308, the least of the precision"


def test_the_look_changes_no_weight():
    model = mlpc.loads(small())
    first, again = model.train(), model.train()
    assert first.weights_sha256 == again.weights_sha256
    assert all((first.params[name] == again.params[name]).all() for name in first.params)


@pytest.mark.parametrize("name", ["iris", "xor", "diabetes", "spiral", "penguins", "two_heads"])
def test_the_gallery_is_well(name):
    assert mlpc.load(MODELS / f"{name}.mlp").train().notes == ()


def test_the_numbers_of_a_value():
    found = numbers(np.array([[0.0, 1.0], [2.0, 10.0], [np.nan, np.inf]]))
    assert found["norm"] == pytest.approx(105**0.5)
    assert {**found, "norm": 0} == {
        "norm": 0, "min": 0, "max": 10, "mean": 3.25, "not_finite": 2, "histogram": [1, 1, 1, 0, 0, 0, 0, 0, 0, 1],
    }  # fmt: skip
    assert numbers(np.array([7.0])) == {"norm": 7, "min": 7, "max": 7, "mean": 7, "not_finite": 0, "histogram": [1, *[0] * 9]}
    assert numbers(np.array([np.nan]))["norm"] is None
    assert sum(numbers(np.array([-1.7e308, 1.7e308]))["histogram"]) == 2


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_is_watched_is_what_trace_shows(accumulate):
    model = mlpc.loads(small(train=f"optimizer = adam(lr = 0.01)\n  epochs = 2\n  batch = 2\n  accumulate = {accumulate}\n  shuffle = off"))
    names = ["h", "dh", "g1", "x", "w", "m", "u1"]
    run = model.train(watch=names)
    last = run.steps
    trace = model.trace(last)
    seen = run.history[-1]["watch"]
    assert list(seen) == names
    for name in ("h", "dh", "g1", "x"):
        assert seen[name]["norm"] == pytest.approx(np.linalg.norm(trace[name]), rel=1e-14), name
        assert seen[name]["mean"] == pytest.approx(np.mean(trace[name]), rel=1e-12, abs=1e-15), name
    u1 = np.concatenate([a.ravel() for a in trace["u1"].values()])
    assert seen["u1"]["norm"] == seen["m"]["norm"] == pytest.approx(np.linalg.norm(u1), rel=1e-14)
    assert seen["w"] == numbers(run.params["w"])  # as the last step has left it
    assert model.train().weights_sha256 == run.weights_sha256


def test_an_unknown_name_to_watch():
    with pytest.raises(MlpcError) as caught:
        mlpc.loads(small()).train(watch=["dhh"])
    assert caught.value.diagnostics[0].message == "watch dhh: no value and no line is called so"
    assert caught.value.diagnostics[0].hint == "did you mean `dh`?"


def test_eight_rows():
    found = mlpc.loads(small("p = x @ w", "param w [1, 1] ~ zeros")).overfit()
    assert (found.rows, found.learnt, found.look_at, found.floor) == (4, True, (), 0)
    assert found.loss <= found.needed == 0.01 * found.first
    slow = mlpc.loads(small("p = x @ w", "param w [1, 1] ~ zeros", train="optimizer = sgd(lr = 1e-4)\n  epochs = 3")).overfit(2)
    assert (slow.rows, slow.steps, slow.learnt) == (2, 1000, False)
    assert "the loss was still falling: it wants more steps, or a larger learning rate" in slow.look_at


def test_what_stands_in_the_way_of_eight_rows():
    twice = small("p = x @ w", "param w [1, 1] ~ zeros", loss="mean(mse(p, y)) + 0.1 * l2(w)").replace("[1, 2, 3, 4]", "[1, 2, 3, 1]")
    found = mlpc.loads(twice).overfit()
    assert not found.learnt
    assert found.look_at[0] == "row 1 and row 4 have the same inputs and different targets"
    assert any("of the params alone" in line for line in found.look_at)
    dead = mlpc.loads(small(params="param w [1, 3] ~ constant(-1)\n  param b [3] ~ zeros\n  param v [3, 1] ~ ones")).overfit()
    assert dead.look_at[0].startswith("3 of 3 units of h (f1) are 0")
    below = mlpc.loads(small("p = x @ w", "param w [1, 1] ~ zeros", loss="mean(mse(p, y)) - 1e3")).overfit()
    assert not below.learnt and below.look_at[0].startswith("the loss begins at -970")


def test_on_the_command_line(tmp_path, capsys):
    file = tmp_path / "m.mlp"
    file.write_text(small(), "utf-8")
    assert main(["run", str(file), "--no-out", "--watch", "dh", "--every", "2"]) == 0
    out, err = capsys.readouterr()
    assert sum(line.lstrip().startswith("dh  norm ") for line in out.splitlines()) == 2  # after epochs 2 and 3
    assert "note: 2 of 3 units of h (f1)" in err
    assert main(["run", str(file), "--no-out", "--watch", "h", "--json"]) == 0
    out, _ = capsys.readouterr()
    found = json.loads(out)
    assert [row["epoch"] for row in found["watch"]] == [1, 2, 3] and found["watch"][0]["h"]["min"] == 0
    assert found["notes"] == ["2 of 3 units of h (f1) are 0 for every training row, and cannot learn any more"]
    assert main(["run", str(file), "--out", str(tmp_path / "not"), "--watch", "hh"]) == 1
    assert not (tmp_path / "not").exists()
    capsys.readouterr()
    assert main(["run", str(file), "--overfit", "8"]) == 0
    assert capsys.readouterr().out.startswith("yes: it can learn 4 rows: the loss fell from ")
    assert main(["run", str(file), "--overfit", "2", "--json", "--set", "train.optimizer=sgd(lr = 1e-9)"]) == 1
    assert json.loads(capsys.readouterr().out)["overfit"]["learnt"] is False


def test_a_run_that_is_stopped_keeps_its_last_good_weights(tmp_path, capsys):
    file, folder = tmp_path / "m.mlp", tmp_path / "run"
    file.write_text(small("p = x @ w", "param w [1, 1] ~ zeros", train="optimizer = sgd(lr = 1e10)\n  epochs = 90\n  batch = 2"), "utf-8")
    assert main(["run", str(file), "--out", str(folder), "--json"]) == 3
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err.startswith("error[E0503]") and found["stopped"] == "not_finite"
    assert found["not_finite"]["step"] == found["steps"] + 1
    run = mlpc.load_run(folder)
    assert (run.weights_sha256, run.stopped) == (found["weights_sha256"], "not_finite")
    assert all(np.isfinite(a).all() for a in run.params.values())
    assert main(["run", str(file), "--no-out", "--on-nan", "warn"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("warning[E0503]") and "the loss was not finite in " in out
