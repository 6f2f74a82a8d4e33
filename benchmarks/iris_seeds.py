"""Iris with the shipped settings, split *and* weights drawn from the seed: the table of test accuracies of 100 seeds.

Run: python benchmarks/iris_seeds.py [seeds]. The goal: a mean of at least 0.94, and at least 0.90 on 90 of 100.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import mlpc

MODEL = Path(__file__).parent.parent / "models" / "iris.mlp"


def accuracy(seed: int) -> float:
    """Test accuracy of one training; nothing is held fixed but the file."""
    run = mlpc.load(MODEL, [f"train.seed={seed}"]).train()
    return float(run.metrics["test"]["accuracy"])


def main() -> None:
    """Prints how often each accuracy came out, the mean, and how many reach 0.90."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    start = time.perf_counter()
    found = [accuracy(seed) for seed in range(1, seeds + 1)]
    print("accuracy   seeds")
    for value, count in sorted(Counter(round(a, 4) for a in found).items(), reverse=True):
        print(f"{value:8.4f}   {count:5d}  {'#' * count}")
    good = sum(a >= 0.9 for a in found)
    print(f"mean {sum(found) / seeds:.4f}, at least 0.90 on {good} of {seeds}, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
