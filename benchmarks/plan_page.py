"""What it takes to print a plan, compiled already: 100 layers in under 0.5 s. Run: python benchmarks/plan_page.py

Folded, as `mlpc plan` prints it, and with --all; `blocks` are residual blocks of two layers each. The best of three.
"""

from __future__ import annotations

import time

import mlpc
from mlpc.compiler.footprint import Footprint
from mlpc.compiler.plan import Plan
from mlpc.compiler.render.text import plan_text

LAYERS = (10, 100, 1000)


def program(body: str) -> str:
    """A classifier of two rows."""
    return f"""data {{
  x = [[0, 1, 0, 1], [1, 2, 3, 4]]
  y = [0, 1] |> onehot
}}
model {{
  h = x |> dense(8, tanh) |> {body}
  p = dense(h, classes(y), softmax)
}}
loss = mean(cross_entropy(p, y)) + 1e-4 * l2(weights)
train {{
  optimizer = adam(lr = 0.01)
  epochs = 1
}}
"""


def seconds(plan: Plan, footprint: Footprint, *, every: bool) -> tuple[float, int]:
    """Of printing the page, and how many rows it has."""
    best, rows = float("inf"), 0
    for _ in range(3):
        start = time.perf_counter()
        rows = plan_text(plan, footprint, every=every).count("\n")
        best = min(best, time.perf_counter() - start)
    return best, rows


def main() -> None:
    """Prints the table."""
    print(f"{'layers':>14} {'lines':>7} {'rows':>6} {'seconds':>9} {'rows --all':>11} {'seconds':>9}")
    for layers in LAYERS:
        for kind, body in (("dense", f"repeat({layers}, dense(8, tanh))"), ("blocks", f"repeat({layers // 2}, residual(8, act = tanh))")):
            model = mlpc.loads(program(body))
            plan, footprint = model.plan, model.footprint
            folded, every = seconds(plan, footprint, every=False), seconds(plan, footprint, every=True)
            print(f"{layers:7d} {kind} {len(plan.lines):7d} {folded[1]:6d} {folded[0]:9.3f} {every[1]:11d} {every[0]:9.3f}")


if __name__ == "__main__":
    main()
