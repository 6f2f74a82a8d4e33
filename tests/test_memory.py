"""What a step takes is known before it runs: predicted bytes of arrays against those that tracemalloc sees, and who may write where."""

from __future__ import annotations

import gc
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.lib import tracemalloc_domain

import mlpc
from mlpc.compiler import bound
from mlpc.compiler.ops import TABLE
from mlpc.compiler.plan import Step
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import buffers
from mlpc.runtime.held import SMALL
from mlpc.runtime.init import draw
from mlpc.runtime.kernel import Kernel, allocate
from mlpc.runtime.memory import step_parts
from mlpc.runtime.program import Copy
from mlpc.runtime.steps import steps
from mlpc.runtime.threads import pinned
from mlpc.runtime.train import columns, train_rows

from .deep_models import written
from .random_graphs import generate, to_mlp
from .test_plan_text import plan_of

MODELS = sorted((Path(__file__).parents[1] / "models").glob("*.mlp"))


# --- predicted and measured ----------------------------------------------------------------------


def arrays_now():
    """The bytes of all arrays that were made since tracemalloc began."""
    snapshot = tracemalloc.take_snapshot()
    return sum(t.size for t in snapshot.filter_traces([tracemalloc.DomainFilter(True, tracemalloc_domain)]).traces)


def predicted_and_measured(model):
    """Bytes of arrays beside the data: as predicted, and the peak over steps 2 and 3."""
    plan, rows = model.plan, train_rows(model.dataset)
    data, known = columns(model.dataset, plan.precision)["train"], model.settings.scheduled(rows)
    itemsize = np.dtype(plan.precision).itemsize
    count = sum(p.count for p in plan.params)
    predicted = (2 + len(plan.states)) * count * itemsize + sum(size for _, size in step_parts(plan, rows, known))
    start = draw(plan.params, known.seed, known.rng)
    peak = 0
    bound.forget()  # what other tests have had made and would be shared
    gc.collect()
    tracemalloc.start()
    try:
        with pinned(1), np.errstate(all="ignore"):
            arrays = allocate(plan, start.copy(), known.seed)
            for step in steps(plan, arrays, data, rows, known):
                if step.number == 2:
                    gc.collect()
                    held, before = arrays_now(), tracemalloc.get_traced_memory()[0]
                    tracemalloc.reset_peak()
                    peak = held - before
                step.run(plan.loss)
                if step.number == 3:
                    break
            return predicted, peak + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def judged(model):
    """The measured bytes; those predicted are never fewer, and at most 2 % and 64 KiB more."""
    predicted, measured = predicted_and_measured(model)
    assert measured <= predicted <= measured * 1.02 + 2**16, (predicted, measured)
    return measured


def sized(seed):
    """A deep model of a few hundred KB to some MB."""
    return mlpc.loads(written(seed, most=8, rows=(200, 1500), widths=(20, 200)), overrides=("train.steps=6",))


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_the_gallery_takes_what_is_predicted(path: Path) -> None:
    judged(mlpc.load(path, ("train.steps=4",)))


def test_deep_models_take_what_is_predicted() -> None:
    assert max(judged(sized(seed)) for seed in (1, 4, 5, 7, 17, 20, 24, 34)) > 4 * 10**6


def test_so_do_deep_models_that_compute_again() -> None:
    for seed in (1, 7):
        judged(mlpc.loads(written(seed, "recompute = on", most=8, rows=(200, 1500), widths=(20, 200)), overrides=("train.steps=6",)))


@pytest.mark.campaign
def test_200_models_take_what_is_predicted(seed: int) -> None:
    found = [judged(sized(s)) for s in range(1000 * seed, 1000 * seed + 200)]
    assert sum(size > 4 * 10**6 for size in found) >= 50


WORDS = """
data {
  from "rows.csv"
  x = columns("a", "b") |> standardize
  k = label |> index
  y = c |> standardize
}
model {
  e = embedding(k, 20)
  h = concat(x, e) |> dense(150, relu)
  w = where(h > 0.5, h, 0.1 * h)
  z = log(sum(exp(w), axis = features))
  yhat = dense(max(w, axis = features) * w[:, 10:90] + z, 1)
}
loss = mean((yhat - y)^2)
train {
  optimizer = adam(lr = 0.01)
  steps = 4
  batch = 700
}
"""


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_gathers_choices_and_reductions_take_what_is_predicted(precision: str, tmp_path: Path) -> None:
    rows = [f"{i % 97 / 10},{i % 31 / 10},{i % 29},c{i % 7}" for i in range(2000)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,label", *rows]))
    model = mlpc.loads(WORDS, tmp_path, (f"train.precision={precision}",))
    assert {"gather", "scatter_add", "where", "logsumexp", "concat", "pad", "max_over"} <= {
        s.op for s in model.plan.steps("forward", "gradient")
    }
    judged(model)


@pytest.mark.parametrize("op", [op for op, row in TABLE.items() if row.numpy and row.kind != "view" and row.example])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_an_operation_takes_no_more_than_its_row_says(op: str, precision: str) -> None:
    row = TABLE[op]
    if row.parts is not None:
        pytest.skip("it is run in parts")
    if row.library:
        pytest.importorskip(row.library.split(".")[0])
    assert row.example and row.numpy
    operands, attrs = row.example
    arrays = [np.asarray(a, precision) for a in operands]
    wide = [a for a in arrays if a.ndim == 2]
    arrays = [np.concatenate([a] * 20_000) if a.ndim == 2 and (op != "matmul" or a is wide[0]) else a for a in arrays]
    if op == "gather":
        arrays[0] = wide[0]
    if row.kind == "random":
        attrs = {"stream": np.random.default_rng(1)}
    shapes = [a.shape for a in arrays]
    shape = cast("tuple[int, ...]", row.shape(cast("Any", shapes), attrs))
    out, run = np.empty(shape, precision), partial(row.numpy, **attrs)
    with np.errstate(all="ignore"):
        run(*arrays, out=out)  # what is lent to all is made
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run(*arrays, out=out)
        taken = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
    assert taken <= row.scratch(shapes, shape, out.itemsize) + SMALL


# --- who may write where -------------------------------------------------------------------------


def random_plan(seed):
    """A random program's plan for batches of 32, and its arrays' names, or None where the compiler refuses it."""
    p = generate(seed, language=True)
    inputs = [(f"v{i}", 3, p.body[i].attrs["facts"]) for i in p.of("input")]
    try:
        return plan_of(to_mlp(p).replace("train {", f"train {{\n  recompute = {('off', 'on')[seed % 2]}"), inputs, 32)
    except MlpcError:
        return None


def needed_after(program):
    """For each register that a step makes, those whose memory is still needed then: by going backwards, from what is kept."""
    looks_at = {s.out: s.args[0] for s in program.body if isinstance(s, Step) and TABLE[s.op].kind == "view" and s.out not in program.own}

    def owner(register):
        while register in looks_at:
            register = looks_at[register]
        return register

    needed, found = {owner(r) for r in program.keep}, {}
    for s in reversed(program.body):
        if isinstance(s, Copy):
            needed |= {owner(s.source)}
            continue
        found[s.out] = set(needed)
        needed |= {owner(a) for a in s.args}
        if s.out not in looks_at:
            needed.discard(s.out)
    return found


def ran(plan, seed, poisoned):
    """Params, states and the loss after a step; in memory of its own for each value, or, `poisoned`, in the
    arena with NaN, after each operation, in every byte that nobody needs."""
    rng = np.random.default_rng(seed)
    arrays = allocate(plan, rng.normal(size=sum(p.count for p in plan.params)), 1)
    made: list[Kernel] = []
    needed: list[dict[int, set[int]]] = []

    def look(register, piece, value):
        if not made:
            return  # what is static is made before the kernel is
        kernel = made[0]
        program, offsets = kernel.program, kernel.layout.offsets
        here = program.pieces[register][piece] if register in program.pieces and register not in offsets else register
        free = np.ones(kernel.workspace.size, bool)
        for r in {here, *needed[0].get(here, ())}:
            if r in offsets:
                free[offsets[r] : offsets[r] + kernel[r].nbytes] = False
        kernel.workspace[free] = 255  # of eight (or four) such bytes the float is NaN

    kernel = Kernel(plan, ("forward", "gradient", "update"), 32, arrays, reuse=poisoned, look=look if poisoned else None)
    for array in kernel.inputs.values():
        array[...] = rng.dirichlet(np.ones(3), 32)
    kernel.workspace[...] = 255 if poisoned else 0
    made.append(kernel)
    needed.append(needed_after(kernel.program))
    with np.errstate(all="ignore"):
        kernel.run()
    return [np.where(np.isnan(a), np.nan, a).tobytes() for a in (kernel[plan.loss], *arrays.flat)]  # a NaN may have a sign


def unpoisoned(seeds):
    count = 0
    for seed in seeds:
        plan = random_plan(seed)
        if plan is not None:
            count += 1
            assert ran(plan, seed, True) == ran(plan, seed, False), seed
    assert count >= len(seeds) * 0.8


def test_nan_in_freed_memory_changes_nothing() -> None:
    unpoisoned(range(60))


def test_memory_that_is_freed_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def early(steps, keep, base):
        found = plain(steps, keep, base)
        return {r: at - (0 < at < len(steps)) for r, at in found.items()}

    plain = buffers.last_reads
    monkeypatch.setattr(buffers, "last_reads", early)
    with pytest.raises(AssertionError):
        unpoisoned(range(20))


@pytest.mark.campaign
def test_nan_in_freed_memory_of_2000_random_graphs_changes_nothing(seed: int) -> None:
    unpoisoned(range(10_000 * seed, 10_000 * seed + 2000))


def read_only(plan, arrays, inputs, rows):
    """Runs forward and gradient where nothing may write to inputs, params and states."""
    for array in (
        arrays.flat[0],
        arrays.flat[2],
        *arrays.flat[3:],
        *arrays.params.values(),
        *arrays.model_states.values(),
        *inputs.values(),
    ):
        array.flags.writeable = False
    kernel = Kernel(plan, ("forward", "gradient"), rows, arrays, inputs=inputs)
    with np.errstate(all="ignore"):
        kernel.run()


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
@pytest.mark.parametrize("word", ["off", "on"])
def test_forward_and_gradient_write_neither_inputs_nor_params(path: Path, word: str) -> None:
    model = mlpc.load(path, (f"train.recompute={word}",))
    data = columns(model.dataset, model.plan.precision)["train"]
    read_only(model.plan, allocate(model.plan), {n: a.copy() for n, a in data.items()}, train_rows(model.dataset))


def test_nor_do_those_of_random_graphs() -> None:
    for plan in filter(None, map(random_plan, range(60))):
        read_only(plan, allocate(plan), {plan.values[r].name: np.ones((32, 3)) for r in plan.inputs}, 32)
