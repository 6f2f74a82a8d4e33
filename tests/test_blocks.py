"""Blocks own their weights and states; training and prediction are two plans."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlpc

DATA = "data {\n  x = [[1, 2], [3, 4], [5, 6], [1, 0], [2, 2], [0, 3]]\n  y = [0, 1, 0, 1, 1, 0] |> onehot\n}\n"
TRAIN = "loss = mean(cross_entropy(p, y))\ntrain {\n  optimizer = sgd(lr = 0.1)\n  epochs = 3\n  batch = all\n}\n"


def model(body: str, definitions: str = "", **settings: str) -> Any:
    overrides = [f"train.{k}={v}" for k, v in settings.items()]
    return mlpc.loads(definitions + DATA + "model {\n" + body + "\n  p = dense(h, 2, softmax)\n}\n" + TRAIN, overrides=overrides)


def traced(m: Any, step: int) -> dict[str, np.ndarray]:
    return {e.name: np.asarray(e.value) for e in m.trace(step).entries}


def test_repeat_chains_fresh_copies():
    block = "block up(x, width, act = relu) {\n  h = dense(x, width, act)\n  return x + dense(h, cols(x), init = zeros)\n}\n"
    m = model("  h = x |> repeat(2, up(width = 3, act = leaky_relu(0.1)))", block)
    assert [p.name for p in m.plan.params] == [
        "h.up1.dense1.W", "h.up1.dense1.b", "h.up1.dense2.W", "h.up1.dense2.b",
        "h.up2.dense1.W", "h.up2.dense1.b", "h.up2.dense2.W", "h.up2.dense2.b", "p.W", "p.b",
    ]  # fmt: skip
    assert all(v.verdict == "right" for v in m.check().params)


def test_a_function_in_a_block_is_passed_on():
    m = model("  h = tower(x, 2, dense(2, tanh))", "block tower(x, k, f) {\n  return repeat(x, k, f)\n}\n")
    assert [p.name for p in m.plan.params] == ["h.dense1.W", "h.dense1.b", "h.dense2.W", "h.dense2.b", "p.W", "p.b"]


def test_dropout_is_in_the_training_plan_only_and_renumbers_nothing():
    m = model("  h = dense(x, 64, relu) |> dropout(0.25)")
    plain = model("  h = dense(x, 64, relu)")
    assert [p.name for p in m.plan.params] == [p.name for p in plain.plan.params] == ["h.W", "h.b", "p.W", "p.b"]
    assert any("bernoulli(0.75" in line.text for line in m.plan.forward)
    assert [line.text for line in m.prediction.forward] == [line.text for line in plain.prediction.forward]
    first, second = (traced(m, step) for step in (1, 2))
    masks = [next(v for v in t.values() if set(np.unique(v)) == {0.0, 1.0} and v.shape == (6, 64)) for t in (first, second)]
    assert 0.6 < masks[0].mean() < 0.9
    assert not np.array_equal(masks[0], masks[1]), "every step draws anew"


@pytest.mark.parametrize("rate", ["0", "1 - 1"])
def test_dropout_of_nothing_is_nothing(rate):
    m = model(f"  h = dense(x, 4, relu) |> dropout({rate})")
    assert not any("bernoulli" in line.text for line in m.plan.forward)


def test_runs_with_dropout_are_the_same_bytes():
    runs = [model("  h = dense(x, 8, relu) |> dropout(0.5)").train() for _ in range(2)]
    assert runs[0].weights_sha256 == runs[1].weights_sha256
    other = model("  h = dense(x, 8, relu) |> dropout(0.5)", seed="5").train()
    assert other.weights_sha256 != runs[0].weights_sha256


def test_two_draws_of_one_block_differ():
    m = model("  a = x |> dropout(0.5) \n  b = x |> dropout(0.5)\n  h = concat(a, b)")
    t = traced(m, 1)
    assert not np.array_equal(t["a"], t["b"])
    assert set(np.unique(t["a"] / np.where(t["x"] == 0, 1, t["x"]))) <= {0.0, 2.0}


def test_batch_norm_is_pytorchs():
    m = model("  h = batch_norm(x)")
    x = np.array([[1, 2], [3, 4], [5, 6], [1, 0], [2, 2], [0, 3]], float)
    first, second = traced(m, 1), traced(m, 2)
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(first["h"], expected, rtol=1e-12)
    np.testing.assert_array_equal(first["h.mu"], [0, 0])
    np.testing.assert_array_equal(first["h.var"], [1, 1])
    np.testing.assert_allclose(second["h.mu"], 0.1 * x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(second["h.var"], 0.9 + 0.1 * x.var(0, ddof=1), rtol=1e-12)
    assert [line.text for line in m.prediction.forward][0] == "h.gain * (x - h.mu) / sqrt(h.var + 1e-05) + h.bias"
    assert all(v.verdict == "right" for v in m.check().params)


def test_measuring_uses_the_running_statistics():
    m = model("  h = batch_norm(x)", epochs="1")
    run = m.train()
    x = np.array([[1, 2], [3, 4], [5, 6], [1, 0], [2, 2], [0, 3]], float)
    mu, var = 0.1 * x.mean(0), 0.9 + 0.1 * x.var(0, ddof=1)
    h = run.params["h.gain"] * (x - mu) / np.sqrt(var + 1e-5) + run.params["h.bias"]
    z = h @ run.params["p.W"] + run.params["p.b"]
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    from mlpc.runtime.train import train

    measured = train(m.plan, m.compilation.evaluation, m.dataset, m.settings)
    assert measured.weights_sha256 == run.weights_sha256
    y = np.eye(2)[[0, 1, 0, 1, 1, 0]]
    reported = mlpc.loads(
        DATA + "model {\n  h = batch_norm(x)\n  p = dense(h, 2, softmax)\n}\n" + TRAIN.replace("epochs = 3", "epochs = 1")
        + "report ce = mean(cross_entropy(p, y))\n"
    ).train().metrics["train"]["ce"]  # fmt: skip
    assert reported == pytest.approx(-(y * log_p).sum(1).mean(), rel=1e-12)


def test_a_batch_of_one_row_is_refused_by_name():
    with pytest.raises(mlpc.MlpcError, match="6 training rows in batches of 5 leave a batch of one"):
        model("  h = batch_norm(x)", batch="5")


def test_a_state_of_the_model_counts_rows():
    m = model("  state seen ~ zeros\n  seen' = seen + rows(x)\n  h = x")
    assert float(traced(m, 1)["seen"]) == 0
    assert float(traced(m, 3)["seen"]) == 12


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("  state m [2] ~ zeros\n  h = x - m", "state `m` never changes"),
        ("  m' = mean(x, axis = batch)\n  h = x", "there is no"),
        ("  state m [2] ~ zeros\n  m' = mean(x)\n  h = x - m", "after the step it would be []"),
        ("  h = x |> dropout(2)", "a probability lies between 0 and 1"),
    ],
)
def test_faults_of_states_and_chance(body, said):
    with pytest.raises(mlpc.MlpcError) as error:
        model(body)
    assert said in str(error.value)
