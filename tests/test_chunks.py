"""Rows in chunks: a row's numbers depend on no other row and on no place, and a split's loss and metrics are those of the whole plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import mlpc
from mlpc.compiler.plan import Plan
from mlpc.compiler.rowwise import parts, reads
from mlpc.runtime import measure
from mlpc.runtime.chunks import HEIGHT, Chunks
from mlpc.runtime.init import draw
from mlpc.runtime.kernel import Array, Arrays, Kernel, allocate
from mlpc.runtime.measure import Measures, measuring_bytes
from mlpc.runtime.threads import pinned

MODELS = sorted((Path(__file__).parent.parent / "models").glob("*.mlp"))
PLAN = """
data {{
  x = [[1, 2], [3, 5], [-1, 0.5]]
  y = [1, 2, 4]
}}
model {{
  h = dense(x, 3, tanh)
  {line}
  p = dense(h, 1)
}}
loss = {loss}
train {{
  optimizer = sgd(lr = 0.1)
  epochs = 1
}}
"""


def whole(plan: Plan, arrays: Arrays, data: dict[str, Array]) -> dict[int, Array]:
    """The reference: the plan at once over all rows."""
    rows = len(next(iter(data.values())))
    wanted = {plan.values[r].name for r in plan.inputs}
    kernel = Kernel(plan, ("forward",), rows, arrays, inputs={n: a for n, a in data.items() if n in wanted})
    kernel.run()
    return {r: np.array(kernel[r]) for r in (plan.loss, *(register for _, register in plan.reports))}


@pytest.mark.parametrize("file", MODELS, ids=lambda f: f.stem)
@pytest.mark.parametrize("rows", [1, HEIGHT - 1, HEIGHT, HEIGHT + 1, 250])
def test_a_split_in_chunks_has_the_loss_and_the_metrics_of_the_whole_plan(file: Path, rows: int) -> None:
    model = mlpc.load(file)
    plan = model.compilation.evaluation
    arrays = allocate(plan, draw(plan.params, 3), 3)
    data = {name: np.resize(a, (rows, a.shape[1])).astype(plan.precision) for name, a in model.dataset.splits["train"].items()}
    with pinned(1), np.errstate(all="ignore"):
        losses, metrics = Measures(plan, arrays, {"all": data}).run()
        expected = whole(plan, arrays, data)
    close = {"rtol": 1e-12 if plan.precision == "float64" else 1e-5, "atol": 1e-12}
    np.testing.assert_allclose(losses["all"], expected[plan.loss], **cast("Any", close))
    for name, register in plan.reports:
        np.testing.assert_allclose(metrics["all"][name], expected[register].squeeze() if rows else 0, **cast("Any", close))


@pytest.mark.parametrize(
    ("line", "loss", "added", "carried"),
    [
        ("", "mean((p - y)^2) + 1e-3 * l2(weights)", 1, 0),  # a mean of a number per row, and terms without rows
        ("", "sum((p - y)^2) + max(abs(p - y))", 1, 1),
        ("", "mean((p - mean(p))^2)", 1, 1),  # p itself
        ("c = h - mean(h, axis = batch)", "mean((p + sum(c, axis = features) - y)^2)", 1, 3),  # what no row alone makes runs at once
        ("", "mean(rank(p) * abs(y - p))", 0, 2),
        ("", "sum(abs(transpose(h) @ h)) + 0 * sum(p)", 1, 1),
    ],
)
@pytest.mark.parametrize("block", [measure.BLOCK, 96, 203, 7])
def test_what_is_carried_over_and_the_loss_it_gives(
    line: str, loss: str, added: int, carried: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "BLOCK", block)
    plan = mlpc.loads(PLAN.format(line=line, loss=loss)).compilation.evaluation
    rng = np.random.default_rng(0)
    data = {"x": rng.normal(size=(203, 2)), "y": rng.normal(size=(203, 1))}
    arrays = allocate(plan, draw(plan.params, 0), 0)
    found = parts(plan)
    assert (len(found.added), len(found.carried)) == (added, carried)
    assert sum(int(found.rows.values[r].shape[1]) for r in found.carried) <= 9
    with pinned(1):
        measured = Measures(plan, arrays, {"all": data}).run()[0]["all"]
        assert measured == pytest.approx(whole(plan, arrays, data)[plan.loss].item(), rel=1e-12)


def test_what_reads_its_own_row_alone() -> None:
    plan = mlpc.loads(PLAN.format(line="c = h - mean(h, axis = batch)", loss="mean((p - y)^2) + sum(c)")).prediction
    kinds = reads(mlpc.loads(PLAN.format(line="c = h - mean(h, axis = batch)", loss="mean((p - y)^2) + sum(c)")).compilation.evaluation)
    assert reads(plan)[plan.loss] == "row"
    assert set(kinds.values()) == {"fixed", "row", "whole"}


@pytest.mark.parametrize("file", MODELS, ids=lambda f: f.stem)
def test_a_row_has_the_same_bits_at_any_place_and_beside_any_others(file: Path) -> None:
    model = mlpc.load(file)
    plan = model.prediction
    rng = np.random.default_rng(5)
    rows = 200
    first = next(iter(model.dataset.splits["train"].values()))
    chosen = rng.integers(0, len(first), rows)
    data = {n: a[chosen].astype(plan.precision) for n, a in model.dataset.splits["train"].items()}
    arrays = allocate(plan, draw(plan.params, 3), 3)
    runner = Chunks(plan, (plan.loss,), arrays)
    width = cast("int", plan.values[plan.loss].shape[1])

    def predicted(which: Array) -> bytes:
        out = np.empty((len(which), width), plan.precision)
        runner.run(len(which), {n: a[which] for n, a in data.items()}, {plan.loss: out})
        return out.tobytes()

    with pinned(1), np.errstate(all="ignore"):
        together, size = predicted(np.arange(rows)), width * np.dtype(plan.precision).itemsize
        bits = [together[i * size : (i + 1) * size] for i in range(rows)]
        order = rng.permutation(rows)
        assert predicted(order) == b"".join(bits[i] for i in order)
        assert predicted(np.arange(150, rows)) == b"".join(bits[150:])
        for i in (0, 1, HEIGHT - 1, HEIGHT, 199):
            assert predicted(np.array([i])) == bits[i]


def test_memory_for_measuring_grows_with_the_numbers_carried_and_not_with_the_widths() -> None:
    plan = mlpc.loads(
        PLAN.format(line="w = dense(x, 500, tanh)", loss="mean((p + sum(w) - y)^2)").replace("sum(w)", "0")
    ).compilation.evaluation
    wide = mlpc.loads(PLAN.format(line="", loss="mean((p - y)^2)").replace("dense(x, 3", "dense(x, 500")).compilation.evaluation
    small, large = measuring_bytes(wide, 1_000), measuring_bytes(wide, 100_000)
    assert (large - small) / 99_000 <= 8  # and that as far as a block of rows goes
    assert measuring_bytes(wide, 10**9) == measuring_bytes(wide, measure.BLOCK)
    assert measuring_bytes(plan, 1_000) <= small
