"""`accumulate = k`: the gradients of k batches, averaged by rows, make one update, which is one step."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.runtime.init import draw

X = np.array([[1, 2], [3, 4], [-5, 6], [2, 0.5], [1, 1], [0, 3], [2, -2]])
Y = np.array([[1.0], [20], [3], [-4], [2], [5], [1]])
TEXT = f"""
data {{
  x = {X.tolist()}
  y = {Y.ravel().tolist()}
}}
model {{
  param w [2, 1] ~ normal(0, 0.5)
  state seen [2] ~ zeros
  yhat = x @ w
  seen' = 0.5 * seen + mean(x, axis = batch)
}}
loss = mean((yhat - y)^2)
train {{
  optimizer = OPTIMIZER
  MORE
  seed = 4
}}
"""


def model(optimizer, more):
    return mlpc.loads(TEXT.replace("OPTIMIZER", optimizer).replace("MORE", more))


def by_hand(batch, k, epochs, rule, most=np.inf):
    """(params, state, each epoch's loss, steps) of a loop over groups of k batches in the file's order."""
    w, seen, state, step, losses = draw(model("sgd", "epochs = 1").plan.params, 4, "default")[:, None], np.zeros(2), {}, 0, []
    for _ in range(epochs):
        summed = 0.0
        starts = list(range(0, len(X), batch))
        for group in (starts[i : i + k] for i in range(0, len(starts), k)):
            step += 1
            parts = [(X[s : s + batch], Y[s : s + batch]) for s in group]
            rows = sum(len(x) for x, _ in parts)
            g = sum(len(x) / rows * (2 * x.T @ (x @ w - y) / len(x)) for x, y in parts)
            summed += sum(((x @ w - y) ** 2).sum() for x, y in parts)
            seen = sum(len(x) / rows * (0.5 * seen + x.mean(0)) for x, _ in parts)
            w = rule(w, g * min(1, most / np.linalg.norm(g)), state, step)
        losses.append(summed / len(X))
    return w, seen, losses, step


def sgd(w, g, state, step):
    return w - 0.01 * g


def adam(w, g, state, step):
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * g**2
    return w - 0.05 * state["m"] / (1 - 0.9**step) / (np.sqrt(state["v"] / (1 - 0.999**step)) + 1e-8)


@pytest.mark.parametrize(("batch", "k"), [(1, 3), (2, 2), (2, 3), (3, 2), (2, 9), (3, 1), (7, 2)])
@pytest.mark.parametrize(("rule", "optimizer"), [(sgd, "sgd(lr = 0.01)"), (adam, "adam(lr = 0.05)")])
def test_training_is_that_of_a_loop_by_hand(batch, k, rule, optimizer) -> None:
    w, seen, losses, steps = by_hand(batch, k, 3, rule)
    run = model(optimizer, f"batch = {batch}\n  accumulate = {k}\n  epochs = 3\n  shuffle = off").train()
    assert run.steps == steps
    np.testing.assert_allclose(run.params["w"], w, rtol=1e-12)
    np.testing.assert_allclose(run.states["seen"], seen, rtol=1e-12)
    np.testing.assert_allclose([h["loss"]["train"] for h in run.history], losses, rtol=1e-12)


def test_the_mean_is_clipped_and_not_its_parts() -> None:
    run = model("sgd(lr = 0.01)", "batch = 2\n  accumulate = 2\n  epochs = 3\n  shuffle = off\n  clip = norm(30)").train()
    np.testing.assert_allclose(run.params["w"], by_hand(2, 2, 3, sgd, 30)[0], rtol=1e-12)


def test_it_is_a_larger_batch() -> None:
    several = model("adam", "batch = 2\n  accumulate = 2\n  epochs = 5").train()
    large = model("adam", "batch = 4\n  epochs = 5").train()
    assert several.steps == large.steps == 10
    np.testing.assert_allclose(several.params["w"], large.params["w"], rtol=1e-12)


def test_steps_are_updates_and_schedules_count_them() -> None:
    made = model("sgd(lr = linear_decay(0.01))", "batch = 2\n  accumulate = 2\n  steps = 3\n  shuffle = off")
    run = made.train()
    assert (made.settings.steps, made.settings.epochs, run.steps, run.epochs) == (3, 2, 3, 2)
    assert [h["step"] for h in run.history] == [2, 3]
    expected = by_hand(2, 2, 2, lambda w, g, state, step: w - 0.01 * max(1 - (step - 1) / 2, 0) * g)[0]
    np.testing.assert_allclose(run.params["w"], expected, rtol=1e-12)


def test_float32_stays_float32() -> None:
    run = model("sgd(lr = 0.01)", "batch = 2\n  accumulate = 2\n  epochs = 3\n  shuffle = off\n  precision = float32").train()
    assert run.params["w"].dtype == np.float32
    np.testing.assert_allclose(run.params["w"], by_hand(2, 2, 3, sgd)[0], rtol=1e-4)


def test_plans_and_runs_tell_it(tmp_path, capsys) -> None:
    path = tmp_path / "m.mlp"
    path.write_text(TEXT.replace("OPTIMIZER", "sgd").replace("MORE", "batch = 2\n  accumulate = 3\n  epochs = 2"))
    assert main(["plan", "--defaults", str(path)]) == 0
    out = capsys.readouterr().out
    assert "\nupdate   after 3 batches, dw being their mean by rows: every w of w\n" in out
    place = path.read_text().splitlines().index("  accumulate = 3") + 1
    assert ["accumulate", "3", "line", str(place)] in [line.split() for line in out.splitlines()]
    assert main(["plan", "--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["accumulate"] == 3
    assert main(["run", str(path), "--no-out"]) == 0
    assert "2 epochs, 4 steps of 3 batches of 2 rows" in capsys.readouterr().out


def test_a_trace_shows_the_last_batch_and_the_update_by_the_mean() -> None:
    """Step 2 of an epoch of 7 rows in groups of 2 batches of 2 rows: rows 4 and 5, then row 6."""
    made = model("sgd(lr = 0.01)", "batch = 2\n  accumulate = 2\n  epochs = 1\n  shuffle = off")
    found = made.trace(2, check=True)
    (before,) = (e.value for e in found.entries if (e.name, e.section) == ("w", "param"))
    parts = [(X[4:6], Y[4:6]), (X[6:], Y[6:])]
    slopes = [2 * x.T @ (x @ before - y) / len(x) for x, y in parts]
    mean = (2 * slopes[0] + slopes[1]) / 3
    assert (found.rows, found.batches) == (1, 2)
    np.testing.assert_array_equal(found["x"], X[6:])
    np.testing.assert_allclose(found["g2"], slopes[1], rtol=1e-12)
    (accumulated,) = (e for e in found.entries if (e.name, e.section) == ("dw", "update"))
    np.testing.assert_allclose(np.asarray(accumulated.value), mean, rtol=1e-12)
    np.testing.assert_allclose(found["u1"]["w"], before - 0.01 * mean, rtol=1e-12)
    assert found.loss == pytest.approx(sum(((x @ before - y) ** 2).sum() for x, y in parts) / 3)
    assert {e.comparison.verdict for e in found.entries if e.comparison} == {"right"}
    assert "of the last of 2 batches" in str(found) and "dw   the mean of the 2 batches' gradients by rows" in str(found)


def test_tracing_does_not_change_the_training() -> None:
    made = model("adam(lr = 0.05)", "batch = 2\n  accumulate = 2\n  epochs = 3\n  clip = norm(2)")
    np.testing.assert_array_equal(made.trace(6)["u6"]["w"], made.train().params["w"])
