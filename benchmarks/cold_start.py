"""Seconds of whole processes, from the shell and back: `mlpc run models/iris.mlp` beside what it imports, and the same task elsewhere.

Run: python benchmarks/cold_start.py [--python OTHER/bin/python] [--json]

The processes take turns (A B C A B C), each in a folder of its own, and what counts is the median over the rounds of mlpc's time
divided by the other's of the same round. A first run finds no plan in the cache and keeps one; a second finds it. The time of the processors
stands beside that of the clock: on a machine that others use it is the steadier of the two.
mlpc keeps its run's folder; the scripts save their weights. scikit-learn and PyTorch are looked for
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
FIRST, SECOND, IMPORTS = "first run", "second run", "imports"
PAIRS = ((FIRST, IMPORTS, 1.6), (SECOND, FIRST, 0.9), (FIRST, "scikit-learn", 0.3), (FIRST, "PyTorch", 0.1))  # of which, to which, at most


def main() -> None:
    """Prints the table; with --json the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help="a Python that may have scikit-learn or PyTorch")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    script = Path(sys.executable).parent / "mlpc"
    run = [*([str(script)] if script.exists() else [sys.executable, "-m", "mlpc"]), "run", str(ROOT / "models" / "iris.mlp")]
    processes = {FIRST: run, SECOND: run, IMPORTS: [sys.executable, "-c", "import numpy, lark, networkx"]}
    data = str(ROOT / "models" / "data" / "iris.csv")
    for name, (library, script) in SCRIPTS.items():
        python = next((p for p in (sys.executable, *given.python) if _has(p, library)), None)
        if python is not None:
            processes[name] = [python, str(ROOT / "benchmarks" / "contenders" / script), data, "weights"]
    absent = [name for name in SCRIPTS if name not in processes]
    times = _timed(processes, given.rounds)
    seconds = {name: [round(statistics.median(kind), 3) for kind in zip(*found, strict=True)] for name, found in times.items()}
    ratios = {
        f"{which} / {to}": [
            round(statistics.median(a[kind] / b[kind] for a, b in zip(times[which], times[to], strict=True)), 3) for kind in (0, 1)
        ]
        for which, to, _ in PAIRS
        if to in times
    }
    goals = {f"{which} / {to}": goal for which, to, goal in PAIRS}
    if given.json:
        print(json.dumps({"columns": ["clock", "processors"], "seconds": seconds, "ratio": ratios, "goal": goals, "absent": absent}))
        return
    shown = {FIRST: "mlpc run models/iris.mlp", SECOND: "the same again", IMPORTS: "import numpy, lark, networkx"}
    shown |= {name: f"the same task by {name}" for name in SCRIPTS}
    print(f"{'seconds'.ljust(32)}  clock  processors")
    for name, (clock, processors) in seconds.items():
        print(f"{shown[name].ljust(32)} {clock:6.3f}      {processors:6.3f}")
    print(f"\n{'ratio'.ljust(32)}  clock  processors   goal")
    for name, (clock, processors) in ratios.items():
        print(f"{name.ljust(32)} {clock:6.2f}      {processors:6.2f}   {goals[name]}")
    if absent:
        print(f"absent: {', '.join(absent)}; --python names a Python that has them")


def _has(python: str, library: str) -> bool:
    """Whether a Python finds a library."""
    asked = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({library!r}) is None)"
    return subprocess.run([python, "-c", asked], check=False).returncode == 0


def _timed(processes: Mapping[str, list[str]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(clock, processors) of the processes in turn; the first round warms up: byte code, the cache, and the files that the system has in memory."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}
    with tempfile.TemporaryDirectory() as kept:
        for i in range(rounds + 1):
            for name, words in processes.items():
                with tempfile.TemporaryDirectory() as folder, open(Path(folder, "errors"), "w+") as errors:
                    mine = environment | {"MLPC_CACHE_DIR": kept if name == SECOND else str(Path(folder, "cache"))}
                    start = time.perf_counter()
                    process = subprocess.Popen(words, cwd=folder, env=mine, stdout=subprocess.DEVNULL, stderr=errors)
                    _, status, used = os.wait4(process.pid, 0)
                    took = time.perf_counter() - start
                    process.returncode = os.waitstatus_to_exitcode(status)
                    if process.returncode:
                        errors.seek(0)
                        sys.exit(f"{' '.join(words)} failed:\n{errors.read()}")
                if i:
                    times[name].append((took, used.ru_utime + used.ru_stime))
    return times


if __name__ == "__main__":
    main()
