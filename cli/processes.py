"""The runs of a sweep, each `mlpc run --json` in a process of its own, and what they came to."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from msgspec import Struct

from ..compiler.render.json import numbers
from ..runtime.run_folder import flat
from .grid import Combination
from .signals import SWEEP
from .sweep_folder import begun

ASKED = 0.2  # seconds between two looks at whether it is to stop
DONE, STOPPED, NOT_BEGUN = 0, (129, 130, 143), -1
NUMBERS = ("loss", "metrics", "mean", "sd")  # of the document, in which JSON has words for what is not finite


class Outcome(Struct, frozen=True):
    """What a run came to: its exit status, what `mlpc run --json` printed, and in a sentence why there is none."""

    run: Combination
    status: int
    document: Mapping[str, Any]
    reason: str = ""

    @property
    def scores(self) -> dict[str, float]:
        """Its numbers under `split.name`; of folds, their mean."""
        if self.status != DONE:
            return {}
        if "mean" in self.document:
            return dict(self.document["mean"])
        found = flat({"epoch": 0, "step": 0, "loss": self.document["loss"], "metrics": self.document["metrics"]})
        return {name: value for name, value in found.items() if "." in name}


def outcomes(
    args: argparse.Namespace,
    runs: Sequence[Combination],
    folder: Path | None,
    jobs: int,
    wish: Callable[[], bool],
    changed: Callable[[], str],
    progress: Callable[[Outcome, int], None],
) -> list[Outcome]:
    """Every run in a process of its own, so many at a time; what they came to, in the order of the grid.

    Once `wish()` is true none begins, and those that run are told to save and stop; none begins either once `changed()` names a file.
    """
    processes: dict[int, subprocess.Popen[str]] = {}
    ended: dict[int, Outcome] = {}

    def work(run: Combination) -> Outcome:
        if wish():
            return Outcome(run, NOT_BEGUN, {}, "not begun")
        if path := changed():
            return Outcome(run, NOT_BEGUN, {}, f"not begun: {path} has changed since the sweep began")
        process = subprocess.Popen(
            _words(args, run, folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
            env={**os.environ, "PYTHONUTF8": "1", SWEEP: str(os.getpid())},
            process_group=0,
        )  # fmt: skip  a group of its own: Ctrl-C is for us, who pass it on once
        processes[run.number] = process
        out, err = process.communicate()
        return _outcome(run, process.returncode, out, err)

    with ThreadPoolExecutor(jobs) as pool:
        pending: set[Future[Outcome]] = {pool.submit(work, run) for run in runs}
        told: set[int] = set()
        try:
            while pending:
                done, pending = wait(pending, ASKED, FIRST_COMPLETED)
                for outcome in sorted((future.result() for future in done), key=lambda o: o.run.number):
                    ended[outcome.run.number] = outcome
                    if outcome.status != NOT_BEGUN:
                        progress(outcome, sum(o.status != NOT_BEGUN for o in ended.values()))
                for number, process in list(processes.items()) if wish() else ():
                    if number not in told:
                        told.add(number)
                        process.terminate()
        finally:  # a second Ctrl-C, or a bug: nothing goes on behind our back
            for future in pending:
                future.cancel()
            for process in list(processes.values()):
                process.kill()
    return [ended[run.number] for run in runs]


def _words(args: argparse.Namespace, run: Combination, folder: Path | None) -> list[str]:
    """The command of one run, which goes on where it was begun before. `-P`: modules that lie in the current folder are none of ours."""
    words = [sys.executable, "-P", "-m", "mlpc", "run", "--json", "--max-memory", args.max_memory]
    if folder is not None and begun(folder / str(run.number)):
        return [*words, "--resume", str(folder / str(run.number))]
    words += [args.file, *(word for text in run.overrides for word in ("--set", text))]
    words += ["--out", str(folder / str(run.number))] if folder is not None else ["--no-out"]
    for option in ("threads", "folds", "data_root", "init"):
        value = getattr(args, option)
        words += [f"--{option.replace('_', '-')}", str(value)] if value is not None else []
    return words


def _outcome(run: Combination, status: int, out: str, err: str) -> Outcome:
    try:
        found = json.loads(out) if out else {}
    except ValueError:  # killed while it wrote
        found = {}
    found |= {name: numbers(found[name]) for name in NUMBERS if name in found}
    if status == DONE and found:
        return Outcome(run, DONE, found)
    if status in STOPPED or status == -signal.SIGTERM:  # it was still starting
        return Outcome(run, STOPPED[-1] if status < 0 else status, found, "stopped")
    if status < 0:
        return Outcome(run, 128 - status, found, f"killed by signal {-status}")
    return Outcome(run, status, found, reason(err) or f"status {status}")


def reason(err: str) -> str:
    """The first sentence of the diagnosis in what a run wrote to stderr, or its last line."""
    lines = iter(err.splitlines())
    code = next((line[6:11] for line in lines if line.startswith("error[")), "")
    said = next((line.strip() for line in lines if line.startswith("   ") and " | " not in line[:8]), "")
    return f"{code}: {said}" if code and said else next((line.strip() for line in reversed(err.splitlines()) if line.strip()), "")
