"""Compile time against the length of the plan: it grows in proportion. Run: python benchmarks/compile_time.py [--kind KIND] [--recompute] [--json]

Four kinds of models of about 1,000 to 20,000 printed lines each, from the text to what is called in every step: parsing, the plans to train
and to measure by, the bytes that they will take, and the kernels of both. Beside it the page of `mlpc plan --all`, with the costs on it. The
start of the process, imports and the tables of grammar and std, which it loads once, are excluded. The last row is iris, its file read too.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlpc
from mlpc.compiler.render.text import plan_text
from mlpc.runtime import memory
from mlpc.runtime.init import draw
from mlpc.runtime.kernel import allocate
from mlpc.runtime.measure import Measures
from mlpc.runtime.steps import steps
from mlpc.runtime.train import columns, train_rows

LENGTHS = (1_000, 2_500, 5_000, 10_000, 20_000)
IRIS = Path(__file__).parents[1] / "models" / "iris.mlp"
GOAL, GOAL_IRIS = 0.4, 30  # milliseconds a printed line; of iris


def deep(layers: int) -> str:
    """Dense layers, one after the other."""
    return "\n".join([f"h{i + 1} = dense(h{i}, 8, relu)" for i in range(layers)] + [f"h = h{layers}"])


def branches(count: int) -> str:
    """Layers beside each other, added up by the hundred."""
    lines = [f"b{i} = dense(h0, 8, tanh)" for i in range(count)]
    groups = range(0, count, 100)
    sums = [f"s{k} = " + " + ".join(f"b{i}" for i in range(k, min(k + 100, count))) for k in groups]
    return "\n".join([*lines, *sums, "h = h0 + " + " + ".join(f"s{k}" for k in groups)])


def elementwise(count: int) -> str:
    """Named values, each of two before it."""
    return "\n".join(["h1 = tanh(h0)", *(f"h{i} = sin(h{i - 1}) * h{i - 2} + 0.5" for i in range(2, count)), f"h = h{count - 1}"])


def blocks(count: int) -> str:
    """The same block again and again, normalised and thinned out."""
    return f"h = h0 |> repeat({count}, unit)"


KINDS: dict[str, tuple[Callable[[int], str], float]] = {  # and the printed lines of each layer, branch, value or block
    "deep": (deep, 6),
    "branches": (branches, 6),
    "elementwise": (elementwise, 3),
    "blocks": (blocks, 29),
}


def program(body: str, recompute: str = "off") -> str:
    """A classifier of four rows."""
    model = "".join(f"  {line}\n" for line in body.splitlines())
    return f"""data {{
  x = [[0, 1, 0, 1], [1, 2, 3, 4], [1, 0, 0, 1], [2, 2, 1, 1]]
  y = [0, 1, 2, 1] |> onehot
}}
block unit(x) {{
  h = x |> dense(8) |> batch_norm |> relu |> dropout(0.1)
  return x + dense(h, 8)
}}
model {{
  h0 = dense(x, 8, relu)
{model}  p = dense(h, classes(y), softmax)
}}
loss = mean(cross_entropy(p, y))
train {{
  optimizer = adam(lr = 0.01)
  batch = all
  epochs = 1
  recompute = {recompute}
}}
"""


@dataclass(frozen=True)
class Timed:
    """Printed lines, and seconds of the stages."""

    kind: str
    lines: int
    compile: float
    memory: float
    kernels: float
    page: float

    @property
    def total(self) -> float:
        """Seconds from the text to the first step."""
        return self.compile + self.memory + self.kernels

    @property
    def ms_a_line(self) -> float:
        """Milliseconds a printed line."""
        return self.total / self.lines * 1000


def measure(kind: str, load: Callable[[], Any], times: int) -> Timed:
    """The fastest of some."""
    found: list[Timed] = []
    for _ in range(times):
        gc.collect()  # so that the time is not that of freeing the one before
        marks = [time.perf_counter()]
        model = load()
        marks.append(time.perf_counter())
        plan, evaluation, settings, rows = model.plan, model.compilation.evaluation, model.settings, train_rows(model.dataset)
        memory.predict(plan, evaluation, dict(model.dataset.schema.rows), settings)
        marks.append(time.perf_counter())
        data = columns(model.dataset, plan.precision)
        arrays = allocate(plan, draw(plan.params, settings.seed, settings.rng), settings.seed)
        made = Measures(evaluation, arrays, data), next(steps(plan, arrays, data["train"], rows, settings.scheduled(rows)))
        marks.append(time.perf_counter())
        text = plan_text(plan, model.footprint, every=True)
        marks.append(time.perf_counter())
        lines = len(model.lines)
        found.append(Timed(kind, lines, *(b - a for a, b in zip(marks, marks[1:], strict=False))))
        del model, plan, evaluation, settings, data, arrays, made, text
    return min(found, key=lambda t: t.total)


def of_length(kind: str, lines: int, times: int, recompute: str = "off") -> Timed:
    """A model of the kind with about so many printed lines."""
    make, share = KINDS[kind]
    text = program(make(max(3, round(lines / share))), recompute)
    return measure(kind, lambda: mlpc.loads(text), times)


def main() -> None:
    """Prints the table; with --json the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--kind", choices=KINDS, action="append", help="one of the kinds; may come again")
    parser.add_argument("--lines", type=int, nargs="+", default=LENGTHS, metavar="N")
    parser.add_argument("--times", type=int, default=3, help="of which the fastest counts")
    parser.add_argument("--recompute", action="store_const", const="on", default="off", help="with `recompute = on` in `train`")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    of_length("blocks", 100, 1)
    found: list[Timed] = []
    if not given.json:
        print(f"{'':12} {'lines':>6} {'compile':>9} {'memory':>8} {'kernels':>8} {'total s':>8} {'ms a line':>10} {'page s':>8}")
    for kind in given.kind or KINDS:
        for lines in given.lines:
            t = of_length(kind, lines, given.times, given.recompute)
            found.append(t)
            if not given.json:
                parts = f"{t.compile:9.3f} {t.memory:8.3f} {t.kernels:8.3f} {t.total:8.3f} {t.ms_a_line:10.3f} {t.page:8.3f}"
                print(f"{kind:12} {t.lines:6d} {parts}", flush=True)
    iris = measure("iris", lambda: mlpc.load(IRIS), 10 * given.times)
    if given.json:
        rows = [asdict(t) | {"ms_a_line": round(t.ms_a_line, 4)} for t in found]
        json.dump({"format": 1, "timed": rows, "iris": asdict(iris), "goal": {"ms_a_line": GOAL, "iris_ms": GOAL_IRIS}}, sys.stdout)
        return
    print(f"a line: at most {max(t.ms_a_line for t in found):.3f} ms (goal: {GOAL})")
    print(f"iris: {iris.total * 1000:.1f} ms (goal: {GOAL_IRIS}), of which data and plans {iris.compile * 1000:.1f}")


if __name__ == "__main__":
    main()
