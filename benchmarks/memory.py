"""What `recompute = on` takes and gives: memory and operations of a step of deep networks. Run: python benchmarks/memory.py

Chains of dense layers of 64 units, tanh, at a batch of 256 in float64. All but the last two columns is computed from the plan
(`docs/performance.md` has it); these are of this machine: milliseconds a step, the least of five times twenty, and the same bits or not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

import mlpc
from mlpc.compiler.footprint import Footprint
from mlpc.compiler.plan import Plan
from mlpc.runtime.init import draw
from mlpc.runtime.kernel import Array, Kernel, allocate
from mlpc.runtime.steps import SECTIONS
from mlpc.runtime.threads import pinned

LAYERS = (10, 30, 100, 300)
HEAD = "| layers | recompute | kept | peak | without reuse | Mflops |"


def text(layers: int, word: str) -> str:
    """The network of so many layers; its rows don't matter."""
    x = np.linspace(-1, 1, 1024).reshape(256, 4).round(3).tolist()
    return f"""
data {{
  x = {x}
  y = {[i % 3 for i in range(256)]} |> onehot
}}
model {{
  h = x |> dense(64, tanh) |> repeat({layers - 1}, dense(64, tanh))
  p = dense(h, 3, softmax)
}}
loss = mean(cross_entropy(p, y))
train {{
  optimizer = adam(lr = 0.001)
  steps     = 1
  batch     = 256
  recompute = {word}
}}
"""


def row(layers: int, word: str, f: Footprint) -> str:
    """What the plan says of a network, as a row of the table."""
    sizes = " | ".join(f"{size / 2**20:,.1f} MiB" for size in (f.kept, f.peak, f.unshared))
    return f"| {layers} | {word} | {sizes} | {f.flops / 1e6:,.0f} |"


def timed(plan: Plan, inputs: Mapping[str, Array]) -> tuple[float, bytes]:
    """Milliseconds a step, and the params after a hundred."""
    arrays = allocate(plan, draw(plan.params, 0), 0)
    kernel = Kernel(plan, SECTIONS, plan.batch, arrays)
    for name, array in kernel.inputs.items():
        array[...] = inputs[name]
    times: list[float] = []
    with pinned(1), np.errstate(all="ignore"):
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(20):
                kernel.run()
            times.append((time.perf_counter() - began) / 20 * 1000)
    return min(times), arrays.flat[0].tobytes()


def main() -> None:
    """Prints the table, with two columns of what runs here."""
    print(f"{HEAD} ms a step | |\n{'|---' * 8}|")
    for layers in LAYERS:
        bits: list[bytes] = []
        for word in ("off", "on"):
            found = mlpc.loads(text(layers, word))
            spent, params = timed(found.plan, found.dataset.splits["train"])
            bits.append(params)
            print(
                f"{row(layers, word, found.footprint)} {spent:.1f} | {'the same bits' if len(set(bits)) == 1 else 'OTHER BITS'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
