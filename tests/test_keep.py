"""`keep` and `early_stop`: which epoch is kept, when a training ends, and what of it is told."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.compiler.stopping import Criterion
from mlpc.dsl.syntax import Source, Span
from mlpc.runtime.train import sha256

TEXT = """
data {
  x = [[1], [2], [3], [4], [5], [6]]
  y = [1, 2.5, 2, 9, 8, 7]
  split = ordered(train = 0.5, val = 0.5)
}
model {
  param w [1, 1] ~ constant(0)
  state seen [] ~ zeros
  yhat = x @ w
  seen' = seen + 1
}
loss = mean((yhat - y)^2)
train {
  optimizer = sgd(lr = 0.11)
  epochs = 12
  batch = all
  SETTINGS
}
report mae(yhat, y), r2(yhat, y), own = mean(yhat)
"""


def model(settings):
    return mlpc.loads(TEXT.replace("SETTINGS", settings))


def by_hand(epochs):
    """The params after each epoch, and val's loss, r2 and mean prediction."""
    x, y = np.array([[1.0], [2], [3]]), np.array([[1.0], [2.5], [2]])
    held, target = np.array([[4.0], [5], [6]]), np.array([[9.0], [8], [7]])
    w, found = 0.0, []
    for _ in range(epochs):
        w -= 0.11 * np.mean(2 * (x * w - y) * x)
        p = held * w
        r2 = 1 - np.sum((target - p) ** 2) / np.sum((target - target.mean()) ** 2)
        found.append((w, np.mean((p - target) ** 2), r2, np.mean(p)))
    return found


@pytest.mark.parametrize(
    ("setting", "column", "best"),
    [("val.loss", 1, np.argmin), ("val.r2", 2, np.argmax), ("val.own, max", 3, np.argmax), ("val.own, min", 3, np.argmin)],
)
def test_the_best_epoch_is_kept_with_its_params_and_states(setting, column, best) -> None:
    epochs = by_hand(12)
    expected = int(best([e[column] for e in epochs]))
    run = model(f"keep = best({setting})").train()
    assert (run.kept_epoch, run.epochs, len(run.history)) == (expected + 1, 12, 12)
    np.testing.assert_allclose(run.params["w"], [[epochs[expected][0]]], rtol=1e-13)
    assert run.states["seen"] == expected + 1
    assert run.losses == run.history[expected]["loss"]
    assert run.metrics == run.history[expected]["metrics"]
    assert run.weights_sha256 == sha256(run.params["w"].ravel())


def test_without_keep_it_is_the_last() -> None:
    run = model("").train()
    assert (run.kept_epoch, run.epochs, run.states["seen"]) == (12, 12, 12)
    assert run.weights_sha256 == model("keep = last").train().weights_sha256


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_a_training_stops_after_so_many_epochs_without_a_strictly_better_one(patience) -> None:
    losses = [e[1] for e in by_hand(12)]
    best, expected = math.inf, 12
    since = 0
    for epoch, loss in enumerate(losses, 1):
        since = 0 if loss < best else since + 1
        best = min(best, loss)
        if since == patience:
            expected = epoch
            break
    run = model(f"early_stop = on(val.loss, patience = {patience})").train()
    assert expected < 12
    assert (run.epochs, run.kept_epoch, run.steps) == (expected, expected, expected)


def test_an_equal_one_is_not_better() -> None:
    settings = "early_stop = on(val.r2, patience = 4)\n  keep = best(val.r2)"
    run = mlpc.loads(TEXT.replace("SETTINGS", settings).replace("lr = 0.11", "lr = 0")).train()
    assert (run.epochs, run.kept_epoch) == (5, 1)


def test_nan_is_better_than_nothing_and_anything_is_better_than_nan() -> None:
    c = Criterion("val", "loss", False, Span(Source("", ""), 0, 0))
    assert not c.better(math.nan, math.nan)
    assert c.better(math.inf, math.nan)
    assert not c.better(math.nan, math.inf)
    assert (c.better(1, 2), c.better(2, 2), c.better(3, 2)) == (True, False, False)


def test_run_tells_which_epoch_was_kept(tmp_path, capsys) -> None:
    path = tmp_path / "m.mlp"
    path.write_text(TEXT.replace("SETTINGS", "keep = best(val.loss)\n  early_stop = on(val.loss, patience = 3)"))
    run = mlpc.load(path).train()
    assert main(["run", str(path), "--no-out"]) == 0
    out = capsys.readouterr().out
    assert f"stopped after epoch {run.epochs} of 12: no better val.loss for 3 epochs\n" in out
    assert f"kept epoch {run.kept_epoch} of {run.epochs}, the best by val.loss\n" in out
    assert main(["run", "--json", str(path), "--no-out"]) == 0
    assert f'"kept_epoch": {run.kept_epoch}' in capsys.readouterr().out
    assert main(["plan", "--defaults", str(path)]) == 0
    assert "early_stop    on(val.loss, patience = 3)  line 19" in capsys.readouterr().out


def test_defaults_are_off_and_last(tmp_path, capsys) -> None:
    path = tmp_path / "m.mlp"
    path.write_text(TEXT.replace("SETTINGS", ""))
    assert main(["plan", "--defaults", str(path)]) == 0
    out = capsys.readouterr().out
    assert "early_stop    off" in out
    assert "keep          last" in out
