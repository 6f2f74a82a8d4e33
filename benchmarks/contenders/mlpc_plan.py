"""mlpc: the kernel of the training plan, fed as `mlpc run` feeds it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

import mlpc
from mlpc.runtime.kernel import Kernel, allocate
from mlpc.runtime.reading import filling
from mlpc.runtime.team import Team

from .work import Floats, Ints, Work, data, weights

SECTIONS = ("forward", "gradient", "update")


def text(work: Work) -> str:
    """The model file."""
    *hidden, classes = work.sizes[1:]
    layers = "".join(f"  h{i + 1} = dense({f'h{i}' if i else 'x'}, {k}, relu)\n" for i, k in enumerate(hidden))
    last = f"h{len(hidden)}" if hidden else "x"
    return (
        f'data {{\n  from "work.npz"\n  x = features\n  y = label |> onehot\n}}\n\nmodel {{\n{layers}'
        f"  p = dense({last}, {classes}, softmax)\n}}\n\nloss = mean(cross_entropy(p, y))\n\ntrain {{\n"
        f"  optimizer = {work.optimizer}(lr = {work.rate})\n  batch     = {work.batch}\n  epochs    = 1\n  precision = float32\n}}\n"
    )


def load(work: Work) -> Any:
    """The model on the work's data."""
    x, labels = data(work)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "work.npz", features=x, label=labels)
        (Path(folder) / f"{work.name}.mlp").write_text(text(work), "utf-8")
        return mlpc.load(Path(folder) / f"{work.name}.mlp")


def prepare(work: Work) -> Callable[[Ints], Floats]:
    """Training by the plan's kernel."""
    model = load(work)
    plan = model.plan
    x, labels = data(work)
    onehot = np.eye(work.classes, dtype=np.float32)[labels]
    team = Team(int(os.environ["OMP_NUM_THREADS"]))
    arrays = allocate(plan, ranks=team.ranks)
    for name, value in zip([p.name for p in plan.params], [p for layer in weights(work) for p in layer], strict=True):
        arrays.params[name][...] = value
    kernel = Kernel(plan, SECTIONS, work.batch, arrays, team=team)
    fill = filling(kernel, {"x": x, "y": onehot}, team)
    blas = ThreadpoolController()  # `mlpc run` holds BLAS to one thread for all of its steps
    with blas.limit(limits=1, user_api="blas"):
        team.begin()
    step, run, loss = arrays.symbols["step"], kernel.run, plan.loss

    number = 0

    def epoch(order: Ints) -> Floats:
        nonlocal number
        losses = np.empty(len(order), np.float32)
        with blas.limit(limits=1, user_api="blas"), np.errstate(all="ignore"):
            for i, index in enumerate(order):
                fill(index)
                number += 1
                step[...] = number
                run()
                losses[i] = kernel[loss]
        return losses

    return epoch
