"""Microseconds a training step beside hand-written NumPy, PyTorch and JAX. Run: python benchmarks/speed.py [--threads 1] [--json]

Same data, same weights to begin with, float32, one run: the contenders take turns (A B C A B C), and what counts is the median
over the rounds of the ratio to hand-written NumPy in the same round. First all must come to the same losses over 50 steps. PyTorch and JAX
are named where they are absent. The floor is the bare matrix products and the bare passes of the optimizer.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Epoch = Callable[[Any], Any]

CONTENDERS = {  # name -> (module, the library that it needs)
    "hand": ("hand_numpy", "numpy"),
    "mlpc": ("mlpc_plan", "numpy"),
    "torch": ("torch_eager", "torch"),
    "jax step": ("jax_step", "jax"),
    "jax scan": ("jax_scan", "jax"),
    "floor": ("floor", "numpy"),
}
PAUSE = 0.25  # seconds in which threads go to sleep that a library lets look for work in a loop: they would take a core of the next one
CHECKED = 50  # steps over which the losses must agree
GOALS = {
    (1, "iris"): 0.45,
    (1, "digits"): 0.42,
    (1, "mnist"): 0.88,
    (1, "wide"): 0.92,
    (1, "deep"): 0.72,
    (2, "mnist"): 0.78,
    (2, "wide"): 0.88,
}


@dataclass(frozen=True)
class Timed:
    """Of one work, by contender: median microseconds a step, and the median of the ratios to hand-written NumPy."""

    microseconds: dict[str, float]
    ratio: dict[str, float]
    deviation: float


def main() -> None:
    """Prints the table; with --json the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="*", default=[], metavar="WORK")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != str(given.threads):  # every library reads these once, as it is imported
        threads = {name: str(given.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        flags = f"--xla_cpu_multi_thread_eigen={'true' if given.threads > 1 else 'false'} intra_op_parallelism_threads={given.threads}"
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **threads, "XLA_FLAGS": flags})
    sys.path.insert(0, str(Path(__file__).parent))
    cores = sorted(os.sched_getaffinity(0))[: given.threads]
    os.sched_setaffinity(0, cores)  # XLA asks the system, not the flags

    from contenders.work import WORKS, order

    present = {name: module for name, (module, library) in CONTENDERS.items() if importlib.util.find_spec(library)}
    absent = [c for c in CONTENDERS if c not in present]
    found: dict[str, Timed] = {}
    for name, work in WORKS.items():
        if given.only and name not in given.only:
            continue
        prepared = {c: importlib.import_module(f"contenders.{module}").prepare for c, module in present.items()}
        deviation = _agree({c: make(work) for c, make in prepared.items() if c != "floor"}, order(work, CHECKED, 3), work.steps)
        epochs = {c: make(work) for c, make in prepared.items()}
        orders = [order(work, work.steps, 100 + i) for i in range(given.rounds + 1)]
        found[name] = _timed(epochs, orders, work.steps, deviation, PAUSE if given.threads > 1 else 0)
        if not given.json:
            _show(name, found[name], GOALS.get((given.threads, name)))
    if given.json:
        print(json.dumps({"threads": given.threads, "absent": absent, "works": {n: asdict(t) for n, t in found.items()}}, indent=1))
    elif absent:
        print(f"absent: {', '.join(absent)}; pip install torch jax")


def _agree(epochs: Mapping[str, Epoch], rows: Any, at_once: int) -> float:
    """The largest relative deviation of a loss from hand-written NumPy's; ends the run where it is no rounding."""
    found = {
        name: [float(x) for start in range(0, len(rows), at_once) for x in epoch(rows[start : start + at_once])]
        for name, epoch in epochs.items()
    }
    least = 0.05 * found["hand"][0]  # what is small beside the first loss is compared with that: Adam makes much of a rounding
    worst = max(abs(a - b) / max(abs(b), least) for losses in found.values() for a, b in zip(losses, found["hand"], strict=True))
    if worst > 0.01:
        sys.exit(f"the losses do not agree after {len(rows)} steps: { {name: losses[-1] for name, losses in found.items()} }")
    return worst


def _timed(epochs: Mapping[str, Epoch], orders: list[Any], steps: int, deviation: float, pause: float) -> Timed:
    """The contenders in turn, once for each order of the rows; the first warms up."""
    times: dict[str, list[float]] = {name: [] for name in epochs}
    for i, rows in enumerate(orders):
        for name, epoch in epochs.items():
            time.sleep(pause)
            start = time.perf_counter()
            epoch(rows)
            if i:
                times[name].append((time.perf_counter() - start) / steps * 1e6)
    ratios = {name: statistics.median(t / h for t, h in zip(found, times["hand"], strict=True)) for name, found in times.items()}
    return Timed({n: round(statistics.median(t), 1) for n, t in times.items()}, {n: round(r, 3) for n, r in ratios.items()}, deviation)


def _show(name: str, found: Timed, goal: float | None) -> None:
    """A line a contender."""
    print(f"{name}   losses agree to {found.deviation:.0e}" + (f" · goal for mlpc {goal}" if goal else ""))
    for contender, ratio in found.ratio.items():
        print(f"   {contender.ljust(9)} {found.microseconds[contender]:>12,.1f} µs a step   {ratio:6.2f}")


if __name__ == "__main__":
    main()
