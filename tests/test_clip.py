"""`clip = norm(c)`: the gradients of all params together are scaled to a norm of at most c, in lines that are printed and run."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.compiler import footprint
from mlpc.runtime.init import draw

from .interpret import run as interpreted

TEXT = """
update plain(w, g, lr = 0.1) {
  state norm ~ zeros
  norm' = 0.5 * norm + g
  w' = w - lr * norm'
}
data {
  x = [[1, 2], [3, 4], [-5, 6], [2, 0.5], [1, 1]]
  y = [1, 20, 3, -4, 2]
}
model {
  param a [2, 3] ~ normal(0, 0.5)
  param b [3] ~ zeros
  param c [3, 1] ~ normal(0, 0.5)
  yhat = tanh(x @ a + b) @ c
}
loss = mean((yhat - y)^2)
train {
  optimizer = OPTIMIZER
  clip = CLIP
  epochs = 6
  batch = 2
  shuffle = off
  seed = 4
}
"""
X = np.array([[1, 2], [3, 4], [-5, 6], [2, 0.5], [1, 1]])
Y = np.array([[1.0], [20], [3], [-4], [2]])


def model(clip, optimizer="sgd(lr = 0.1)", more=""):
    return mlpc.loads(TEXT.replace("CLIP", clip + more).replace("OPTIMIZER", optimizer))


def gradients(w, x, y):
    """Of a, b and c, one flat array."""
    a, b, c = w[:6].reshape(2, 3), w[6:9], w[9:].reshape(3, 1)
    h = np.tanh(x @ a + b)
    out = 2 * (h @ c - y) / len(x)
    z = (out @ c.T) * (1 - h**2)
    return np.concatenate([(x.T @ z).ravel(), z.sum(0), (h.T @ out).ravel()])


def by_hand(most, rule):
    """The params after training: `most(step)` is c, `rule(w, g, state, step)` gives the new w."""
    w = draw(model("off").plan.params, 4, "default")
    state, step, norms = {}, 0, []
    for _ in range(6):
        for start in (0, 2, 4):
            step += 1
            g = gradients(w, X[start : start + 2], Y[start : start + 2])
            norm = np.sqrt(np.sum(g**2))
            norms.append(norm / most(step))
            w = rule(w, g * min(1, most(step) / norm), state, step)
    assert min(norms) < 1 < max(norms)  # some steps are clipped, some are not
    return w


def sgd(w, g, state, step):
    return w - 0.1 * g


def plain(w, g, state, step):
    state["v"] = 0.5 * state.get("v", 0) + g
    return w - 0.1 * state["v"]


def adam(w, g, state, step):
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * g**2
    return w - 0.05 * state["m"] / (1 - 0.9**step) / (np.sqrt(state["v"] / (1 - 0.999**step)) + 1e-8)


def flat(run):
    return np.concatenate([p.ravel() for p in run.params.values()])


@pytest.mark.parametrize("piece", [16384, 4])
@pytest.mark.parametrize(("rule", "optimizer"), [(sgd, "sgd(lr = 0.1)"), (plain, "plain"), (adam, "adam(lr = 0.05)")])
def test_training_is_that_of_a_loop_by_hand(rule, optimizer, piece, monkeypatch) -> None:
    monkeypatch.setattr(footprint, "PIECE", piece)
    np.testing.assert_allclose(flat(model("norm(8)", optimizer).train()), by_hand(lambda step: 8, rule), rtol=1e-11)


def test_the_norm_may_follow_a_schedule() -> None:
    found = flat(model("norm(linear_decay(30, 2))").train())
    np.testing.assert_allclose(found, by_hand(lambda step: 30 - 28 * (step - 1) / 17, sgd), rtol=1e-11)


def test_float32_stays_float32() -> None:
    run = model("norm(8)", more="\n  precision = float32").train()
    assert {p.dtype for p in run.params.values()} == {np.dtype("float32")}
    np.testing.assert_allclose(flat(run), by_hand(lambda step: 8, sgd), rtol=2e-3)


def test_a_gradient_of_zero_stays_zero() -> None:
    run = mlpc.loads(
        "model { param w [2, 1] ~ zeros\n v = w * w }\nloss = sum(v)\ntrain { optimizer = sgd\n epochs = 2\n clip = norm(1) }"
    ).train()
    assert not run.params["w"].any()


def test_a_norm_that_is_never_reached_changes_no_bit() -> None:
    assert model("norm(1e9)").train().weights_sha256 == model("off").train().weights_sha256


def test_the_plan_shows_its_lines_and_runs_them(tmp_path, capsys) -> None:
    path = tmp_path / "m.mlp"
    path.write_text(TEXT.replace("CLIP", "norm(8)").replace("OPTIMIZER", "plain"))
    assert main(["plan", "--defaults", str(path)]) == 0
    out = capsys.readouterr().out
    assert (
        """update   every w of a b c
 u1  norm2 = sqrt(sum(g^2))      once, over all params together
 u2  g     = g * min(1, 8 / norm2)
 u3  norm  = 0.5 * norm + g
 u4  w     = w - 0.1 * norm
"""
        in out
    )
    assert "clip          norm(8)  " in out
    assert main(["plan", "--json", str(path)]) == 0
    update = json.loads(capsys.readouterr().out)["update"]
    assert [(u["target"], u["over_all"], u["needed_by"]) for u in update] == [
        ("norm2", True, ["u2"]), ("g", False, ["u3"]), ("norm", False, ["u4"]), ("w", False, []),
    ]  # fmt: skip


def test_the_lines_mean_what_runs() -> None:
    plan = model("norm(8)", "adam(lr = 0.05)").plan
    assert plan.update_w is not None
    names = {v.id: v.name for v in plan.values}
    w = draw(plan.params, 4, "default")
    given = {names[plan.update_w]: w, "dw": gradients(w, X[:2], Y[:2])} | {s.name: np.full(12, s.init) for s in plan.states}
    found = interpreted(plan, given, {"step": 1, "steps": 18, "epoch": 1, "epochs": 6, "N": 2}, "update")
    np.testing.assert_allclose(
        found[plan.update[-1].value], adam(w, given["dw"] * min(1, 8 / np.linalg.norm(given["dw"])), {}, 1), rtol=1e-12
    )


def test_a_trace_shows_the_gradients_before_and_after() -> None:
    made = model("norm(8)")
    entries = made.trace().entries
    expected = gradients(draw(made.plan.params, 4, "default"), X[:2], Y[:2])
    before = np.concatenate([np.ravel(e.value) for e in entries if e.section == "gradient" and e.name in ("da", "db", "dc")][::-1])
    after = np.concatenate([np.ravel(e.value) for e in entries if e.section == "update" and e.name == "dw"])
    norm = np.linalg.norm(expected)
    assert norm > 8
    np.testing.assert_allclose(sorted(before), sorted(expected), rtol=1e-12)
    np.testing.assert_allclose(after, expected * 8 / norm, rtol=1e-12)
