"""Compile time against the length of the plan: it grows in proportion. Run: python benchmarks/compile_time.py

Chains of dense layers, 500 to 8,000 printed lines; the best of three, process start and parsing of std excluded.
"""

from __future__ import annotations

import gc
import time

from mlpc.compiler.facts import NOTHING, ONEHOT
from mlpc.compiler.pipeline import compile as compile_program
from mlpc.compiler.schema import DataValue, Schema
from mlpc.dsl.parse import parse

LENGTHS = (500, 1000, 2000, 4000, 8000)


def program(layers: int) -> str:
    """A network of so many hidden layers: seven printed lines each."""
    body = "\n".join(f"  h{i + 1} = dense(h{i}, 8, relu)" for i in range(layers))
    return f"""data {{
  x = [[0, 1, 0, 1]]
  y = [0]
}}
model {{
  h0 = dense(x, 8, relu)
{body}
  p = dense(h{layers}, 3, softmax)
}}
loss = mean(cross_entropy(p, y))
train {{
  optimizer = adam(lr = 0.01)
  epochs = 1
}}
"""


def measure(layers: int) -> tuple[int, float]:
    """Printed lines, and seconds of parsing and compiling."""
    text = program(layers)
    best = float("inf")
    lines = 0
    for _ in range(3):
        start = time.perf_counter()
        parsed = parse(text, "deep.mlp")
        assert parsed.data is not None
        span = parsed.data.span
        x = DataValue("x", 4, NOTHING, (), (), span)
        y = DataValue("y", 3, ONEHOT, (), ("a", "b", "c"), span)
        plan = compile_program(parsed, Schema((x, y), (("train", 100),))).training
        best = min(best, time.perf_counter() - start)
        lines = len(plan.lines)
        del plan, parsed, x, y, span  # so that the next one's time is not that of freeing this one
        gc.collect()
    return lines, best


def main() -> None:
    """Prints the table."""
    measure(2)
    print(f"{'lines':>7} {'seconds':>9} {'ms a line':>10} {'times the one above':>20}")
    before = None
    for wanted in LENGTHS:
        lines, seconds = measure(max(1, wanted // 7 - 1))
        ratio = f"{seconds / before[1] * before[0] * 2 / lines:.2f}" if before else ""
        print(f"{lines:7d} {seconds:9.3f} {seconds / lines * 1000:10.3f} {ratio:>20}")
        before = (lines, seconds)


if __name__ == "__main__":
    main()
