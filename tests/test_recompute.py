"""`recompute = on`: the same bits for less memory and more operations; what stands in the plan for it."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest

import mlpc
from mlpc.compiler import recompute
from mlpc.compiler.derivation import called
from mlpc.compiler.ops import TABLE
from mlpc.compiler.plan import Step
from mlpc.compiler.recompute import RECOMPUTED, live_peak
from mlpc.compiler.render.json import plan_document
from mlpc.compiler.render.text import plan_text

from .deep_models import written
from .plan_text import names_in
from .random_graphs import to_mlp
from .test_plan_text import plan_of, random_models, text_is_what_runs

ROOT = Path(__file__).parents[1]
MODELS = sorted((ROOT / "models").glob("*.mlp"))
CHAIN = """
data {
  x = DATA
  y = CLASSES |> onehot
}
model {
  h0 = dense(x, 8)
LAYERS
  p = dense(h6, 2, softmax)
}
loss = mean(cross_entropy(p, y))
train {
  optimizer = sgd(lr = 0.1)
  steps     = 5
  MORE
}
"""
ON = ("train.recompute=on",)


def text_of(more, layer="dense(8, tanh)", layers=6, rows=64):
    body = "\n".join(f"  h{i} = h{i - 1} |> {layer}" for i in range(1, layers + 1))
    x, y = np.linspace(-1, 1, 2 * rows).reshape(rows, 2).round(3).tolist(), [i % 3 % 2 for i in range(rows)]
    made = CHAIN.replace("DATA", str(x)).replace("CLASSES", str(y)).replace("LAYERS", body).replace("h6,", f"h{layers},")
    return made.replace("MORE", more)


def chain(more="batch = 64\n  recompute = on", **sizes):
    return mlpc.loads(text_of(more, **sizes))


def trained(model):
    """The bits that a training comes to: weights, states and every loss."""
    run = model.train(threads=1)
    states = {name: a.tobytes() for name, a in run.states.items()}
    return run.weights_sha256, states, [repr(h["loss"]) for h in run.history]


def same_bits_for_less(off, on):
    """Both are trained; where lines come again there is less at the peak, and else the plans are one."""
    assert trained(off) == trained(on)
    again = [line for line in on.lines if line.again]
    if again:
        assert on.footprint.peak < off.footprint.peak
        assert on.footprint.flops > off.footprint.flops
    else:
        assert on.plan == off.plan
    return len(again)


# --- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_the_gallery_trains_to_the_same_bits(path: Path) -> None:
    few = ("train.steps=4",)
    same_bits_for_less(mlpc.load(path, few), mlpc.load(path, (*few, *ON)))


def deep(seeds):
    found = [same_bits_for_less(mlpc.loads(written(seed)), mlpc.loads(written(seed, "recompute = on"))) for seed in seeds]
    assert sum(map(bool, found)) > len(found) / 2
    return found


def test_deep_models_train_to_the_same_bits() -> None:
    deep(range(16))


@pytest.mark.campaign
def test_200_deep_models_train_to_the_same_bits(seed: int) -> None:
    deep(range(1000 * seed + 16, 1000 * seed + 216))


def test_a_draw_that_is_computed_again_is_the_same_draw() -> None:
    layer = "dense(8, tanh) |> dropout(0.4) |> batch_norm"
    off, on = (chain(f"batch = 32\n  accumulate = 2\n  recompute = {word}", layer=layer) for word in ("off", "on"))
    again = {s.op for line in on.lines if line.again for s in line.steps}
    assert "bernoulli" in again
    same_bits_for_less(off, on)


def test_random_plans_say_what_runs() -> None:
    count = 0
    for _, p, _, given in random_models(0):
        inputs = [(f"v{i}", 3, p.body[i].attrs["facts"]) for i in p.of("input")]
        text = to_mlp(p).replace("train {", "train {\n  recompute = on")
        plan = plan_of(text, inputs, 32)
        count += any(line.again for line in plan.lines)
        text_is_what_runs(plan, given, p.rows)
    assert count, "no random model is worth it"


# --- what is printed -----------------------------------------------------------------------------


def test_lines_come_again_under_their_names_before_the_first_that_reads_them() -> None:
    plan = chain().plan
    forward = {line.id: line for line in plan.forward}
    shown = [(line.target, line.text) for line in plan.gradient if line.again]
    assert shown
    assert all((forward[line.again].target, forward[line.again].text) == (line.target, line.text) for line in plan.gradient if line.again)
    assert {line.by for line in plan.gradient if line.again} == {RECOMPUTED}
    known = {line.target for line in plan.lines} | {v.name for v in plan.values if v.role in {"input", "param"}}
    latest: dict[str, str] = {}
    readers: dict[str, list[str]] = {}
    for line in (*plan.forward, *plan.gradient):
        assert set(line.needs) == names_in(line.text, known)
        for name in line.needs:
            readers.setdefault(latest.get(name) or name, []).append(line.id)
        latest[line.target] = line.id
    params = {p.gradient for p in plan.params}
    for line in (*plan.forward, *plan.gradient):
        assert list(line.needed_by) == readers.get(line.id, []) or line.value in params
        assert line.kept == (line.section == "forward" and any(r.startswith("g") for r in line.needed_by))


def test_only_checkpoints_are_kept() -> None:
    off, on = chain("batch = 64\n  recompute = off"), chain()
    kept, fewer = ({line.target for line in m.plan.forward if line.kept} for m in (off, on))
    again = {line.target for line in on.plan.gradient if line.again}
    assert fewer < kept
    assert not fewer & again
    assert kept - fewer <= again
    assert on.footprint.kept < off.footprint.kept


def test_the_page_and_its_document() -> None:
    model = chain()
    page = plan_text(model.plan, model.footprint, every=True)
    line = next(line for line in model.plan.gradient if line.again)
    assert f" {line.id}" in page
    assert "recomputed = not kept, and made again by the same line, to the same bits" in page
    assert "recomputed =" not in plan_text(chain("batch = 64\n  recompute = off").plan)
    document = json.loads(json.dumps(plan_document(model.plan, model.footprint)))
    assert [x["again"] for x in document["gradient"] if "again" in x] == [x.again for x in model.plan.gradient if x.again]
    assert model.plan._repr_latex_()


def test_why_a_line_comes_again() -> None:
    model = chain()
    line = next(line for line in model.plan.gradient if line.again)
    found = model.why(line.id)
    assert found.line == line
    assert found.steps[-1].rule == RECOMPUTED
    assert found.steps[-1].text == line.text
    assert found.steps[-1].facts == (f"{line.target} is {line.again}",)
    assert called(model.plan, line.target).id == line.again  # by its name it is the line that makes it


def test_what_the_setting_changes_is_the_difference_of_the_plans() -> None:
    off, on = chain("batch = 64\n  recompute = off"), chain()
    found = off.diff(on)
    added = [c.after.id for c in found.lines if c.before is None and c.after]
    assert added == [line.id for line in on.lines if line.again]
    assert {w for c in found.lines if c.before and c.after for w in c.what} == {"kept"}
    assert not [c for c in found.lines if c.after is None]
    assert on.diff(chain()).same


def test_gradients_are_checked_and_traced() -> None:
    model = chain(layer="dense(8, tanh) |> dropout(0.4)")
    assert model.check().having("right") == tuple(p.name for p in model.plan.params)
    trace = model.trace(2, check=True)
    first = {e.name: e for e in reversed(trace.entries)}
    for line in (x for x in model.plan.gradient if x.again):
        (entry,) = (e for e in trace.entries if e.id == line.id)
        assert np.array_equal(entry.value, first[line.target].value)
        assert entry.comparison is None
    assert {e.comparison.verdict for e in trace.entries if e.comparison} == {"right"}


# --- when it pays --------------------------------------------------------------------------------


def test_a_hundred_layers_take_a_fraction() -> None:
    off, on = (chain(f"batch = 256\n  recompute = {word}", layer="dense(64, tanh)", layers=100, rows=256) for word in ("off", "on"))
    assert on.footprint.kept < off.footprint.kept / 5
    assert on.footprint.peak < off.footprint.peak / 5
    assert on.footprint.flops < off.footprint.flops * 4 / 3


def test_the_table_of_the_documents_is_what_the_plans_say() -> None:
    memory = runpy.run_path(str(ROOT / "benchmarks" / "memory.py"))
    rows = [memory["row"](n, word, mlpc.loads(memory["text"](n, word)).footprint) for n in memory["LAYERS"][:3] for word in ("off", "on")]
    document = (ROOT / "docs" / "performance.md").read_text("utf-8")
    table = document.partition("<!-- memory -->\n")[2].partition("<!-- end -->")[0].splitlines()
    assert table[0] == memory["HEAD"]
    assert table[2:8] == rows


@pytest.mark.parametrize(("rows", "layers"), [(64, 1), (4, 6)])  # there is nothing between; the update takes more
def test_what_does_not_pay_is_not_done(rows, layers) -> None:
    off, on = (chain(f"batch = {rows}\n  recompute = {word}", rows=rows, layers=layers) for word in ("off", "on"))
    assert off.plan == on.plan


def test_the_peak_of_a_chain_by_hand() -> None:
    steps = [Step("exp", (0,), 1), Step("tanh", (1,), 2), Step("matmul", (2, 1), 3), Step("transpose", (3,), 4), Step("add", (4, 2), 5)]
    assert live_peak(steps, {0: 0, 1: 8, 2: 8, 3: 4, 4: 4, 5: 8}, [5]) == 20  # at the product: 1, 2 and 3
    assert live_peak(steps, {0: 0, 1: 8, 2: 8, 3: 4, 4: 4, 5: 9}, [5]) == 21  # at the sum, which 2 has no room for


def live_forward(steps, sizes, after):
    """The same peak step by step from the first on, all last reads known before."""
    base, last = {}, {}
    for i, step in enumerate(steps):
        if TABLE[step.op].kind == "view":
            base[step.out] = base.get(step.args[0], step.args[0])
        last |= {base.get(r, r): i for r in (*step.args, step.out)}
    last |= {base.get(r, r): len(steps) for r in after}
    live, most = set(), 0
    for i, step in enumerate(steps):
        live |= {step.out} - base.keys()
        dying = {r for r in live if last[r] == i}
        over = TABLE[step.op].inplace and any(sizes[r] == sizes[step.out] for r in dying & {*step.args})
        most = max(most, sum(sizes[r] for r in live) - (sizes[step.out] if over else 0))
        live -= dying
    return most


@pytest.mark.parametrize("seed", range(6))
def test_the_peak_that_is_sought_is_that_of_the_lines_that_come_of_it(seed, monkeypatch) -> None:
    found = []

    def peaks(*given):
        peak = candidates(*given)

        def kept(order, bound):
            found.append((given, order, peak(order, math.inf)))
            return peak(order, bound)

        return kept

    candidates = recompute._candidates
    monkeypatch.setattr(recompute, "_candidates", peaks)
    mlpc.loads(written(seed, "recompute = on"))
    for (forward, gradient, sizes, after), order, peak in found:
        made, copies = recompute._again(forward, gradient, order, len(sizes))
        steps = [s for line in (*forward, *made) for s in line.steps]
        of = sizes | {copy: sizes[r] for r, copy in copies.items()}
        assert peak == live_peak(steps, of, after) == live_forward(steps, of, after)
    assert found


def test_what_it_may_be() -> None:
    with pytest.raises(mlpc.MlpcError, match="`recompute` is `on` or `off`"):
        chain("recompute = yes")
