"""Seconds of whole processes, from the shell and back: `mlpc run models/iris.mlp` beside what it imports, and the same task elsewhere.

Run: python benchmarks/cold_start.py [--python OTHER/bin/python] [--json]

The processes take turns (A B C A B C), each in a folder of its own, and what counts is the median over the rounds of mlpc's time
divided by the other's of the same round. mlpc keeps its run's folder; the scripts save their weights. scikit-learn and PyTorch are looked for
in this Python and in those that --python names, and named where they are absent. Byte code is kept, as it is after an installation.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPTS = {"scikit-learn": ("sklearn", "iris_scikit_learn.py"), "PyTorch": ("torch", "iris_torch.py")}  # the library, and what uses it
IMPORTS = "imports"
GOALS = {IMPORTS: 1.6, "scikit-learn": 0.3, "PyTorch": 0.1}


def main() -> None:
    """Prints the table; with --json the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help="a Python that may have scikit-learn or PyTorch")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    processes = {
        "mlpc": [sys.executable, "-m", "mlpc", "run", str(ROOT / "models" / "iris.mlp")],
        IMPORTS: [sys.executable, "-c", "import numpy, lark, networkx"],
    }
    data = str(ROOT / "models" / "data" / "iris.csv")
    for name, (library, script) in SCRIPTS.items():
        python = next((p for p in (sys.executable, *given.python) if _has(p, library)), None)
        if python is not None:
            processes[name] = [python, str(ROOT / "benchmarks" / "contenders" / script), data, "weights"]
    absent = [name for name in SCRIPTS if name not in processes]
    times = _timed(processes, given.rounds)
    ratios = {
        name: statistics.median(m / t for m, t in zip(times["mlpc"], found, strict=True)) for name, found in times.items() if name != "mlpc"
    }
    seconds = {name: round(statistics.median(found), 3) for name, found in times.items()}
    if given.json:
        print(json.dumps({"seconds": seconds, "ratio": {n: round(r, 3) for n, r in ratios.items()}, "goal": GOALS, "absent": absent}))
        return
    print(f"mlpc run models/iris.mlp         {seconds['mlpc']:6.3f} s")
    shown = {IMPORTS: "import numpy, lark, networkx"} | {name: f"the same task by {name}" for name in SCRIPTS}
    for name, ratio in ratios.items():
        print(f"{shown[name].ljust(32)} {seconds[name]:6.3f} s   mlpc takes {ratio:5.2f} of it (goal: at most {GOALS[name]})")
    if absent:
        print(f"absent: {', '.join(absent)}; --python names a Python that has them")


def _has(python: str, library: str) -> bool:
    """Whether a Python finds a library."""
    asked = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({library!r}) is None)"
    return subprocess.run([python, "-c", asked], check=False).returncode == 0


def _timed(processes: Mapping[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """The processes in turn; the first round warms up: byte code, and the files that the system has in memory."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {name: [] for name in processes}
    for i in range(rounds + 1):
        for name, words in processes.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                found = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
                took = time.perf_counter() - start
            if found.returncode:
                sys.exit(f"{' '.join(words)} failed:\n{found.stderr}")
            if i:
                times[name].append(took)
    return times


if __name__ == "__main__":
    main()
