"""Random optimizers through the kernel, which writes over states and params as early as it may, beside their own text on NumPy."""

import random
from typing import Any

import numpy as np
import pytest

import mlpc
from mlpc.runtime.kernel import Kernel, allocate
from mlpc.runtime.program import STATES

from .test_rule_pages import fired_in

MODEL = """\
update tried(w, dw) {
  state m ~ zeros
  state v ~ ones
  m' = %s
  v' = %s
  w' = %s
}
data {
  x = [[1, 2], [-1, 0.5], [0.25, -3]]
}
model {
  param a [2, 3] ~ normal(0.5)
  z = x @ a
}
loss = mean(sum(z^2))
train {
  optimizer = tried()
  epochs = 1
}
"""


NUMBERS = [
    "step",
    "(1 - 0.9^step)",
    "(1 - 0.5^step)",
    "0.25",
    "sqrt(step)",
    "(step + 2)",
    "1 / step",
]  # the same for all numbers of a param


def expression(rng: random.Random, names: list[str], depth: int = 3) -> str:
    """An expression in the language, and in Python."""
    if depth == 0 or rng.random() < 0.15:
        return rng.choice([*names, *names, *names, "0.5", "0.25"])
    a, b = expression(rng, names, depth - 1), expression(rng, names, depth - 1)
    s, c = rng.choice(NUMBERS), rng.choice(NUMBERS)
    each = [f"({a} + {b})", f"({a} - {b})", f"(0.5 * {a})", f"({a} * {b})", f"max({a}, {b})", f"abs({a})"]
    of_the_step = [
        f"({s} * {a})",
        f"({a} / {s})",
        f"{s} * ({c} * {a})",
        f"{s} * ({a} / {c})",
        f"({s} * {a} / (sqrt(abs({b}) / {c}) + {s}))",
    ]
    return rng.choice([*each, *of_the_step])


def stepped(seed: int) -> set[str]:
    """One step of a random optimizer, number for number; the rewrites that fired."""
    rng = random.Random(seed)
    m = expression(rng, ["m", "dw", "w", "v"])
    v = expression(rng, ["v", "dw", "m", "w", "m'"])
    w = f"w - 0.01 * {expression(rng, ['m', 'v', 'dw', 'w'])}" if seed % 2 else expression(rng, ["w", "m'", "v'", "dw", "m"])
    model = mlpc.loads(MODEL % (m, v, w))
    plan = model.plan
    arrays = allocate(plan, np.random.default_rng(seed).normal(size=6))
    for state in arrays.flat[STATES:]:
        state[...] = np.random.default_rng(seed + 1).normal(size=6)
    start, step = [a.copy() for a in arrays.flat], rng.randrange(1, 100)
    arrays.symbols["step"][...] = step
    kernel = Kernel(plan, ("forward", "gradient", "update"), 3, arrays)
    kernel.inputs["x"][...] = [[1, 2], [-1, 0.5], [0.25, -3]]
    with np.errstate(all="ignore"):
        kernel.run()
        scope: dict[str, Any] = {"w": start[0], "dw": arrays.flat[1], "step": np.float64(step), "__builtins__": {}}
        scope |= {"max": np.maximum, "abs": np.abs, "sqrt": np.sqrt}
        names = [s.name for s in plan.values if s.id in [state.value for state in plan.states]]
        scope |= dict(zip(names, start[STATES:], strict=True))
        for name, text in (("m", m), ("v", v), ("w", w)):
            scope[f"{name}1"] = np.broadcast_to(eval(text.replace("'", "1").replace("^", "**"), scope), (6,))  # the test's own text
    for name, found in zip(["w", *names], [arrays.flat[0], *arrays.flat[STATES:]], strict=True):
        np.testing.assert_allclose(found, scope[f"{name}1"], rtol=1e-12, atol=1e-12, err_msg=f"{name}' of {m} ; {v} ; {w}")
    return fired_in(model)


@pytest.mark.parametrize("start", range(0, 240, 40))
def test_a_random_optimizer_is_its_text(start: int) -> None:
    fired = [stepped(seed) for seed in range(start, start + 40)]
    for rewrite in ("numbers_first", "corrected_root"):
        assert any(rewrite in found for found in fired), rewrite


def test_what_the_commit_reads_itself_is_not_written_early() -> None:
    """`w - (m + 0.5 * w)`: 0.5 * w was written over w, which the difference still reads."""
    for seed in range(3):
        plan = mlpc.loads(MODEL % ("dw", "v", "w - 0.01 * (m' + 0.5 * w)")).plan
        arrays = allocate(plan, np.random.default_rng(seed).normal(size=6))
        before = arrays.flat[0].copy()
        kernel = Kernel(plan, ("forward", "gradient", "update"), 3, arrays)
        kernel.inputs["x"][...] = 1
        kernel.run()
        np.testing.assert_allclose(arrays.flat[0], before - 0.01 * (arrays.flat[1] + 0.5 * before), rtol=1e-14)
