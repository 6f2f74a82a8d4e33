"""Compile time grows in proportion to the plan, counted in calls of functions, which are the same in every run."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

import mlpc
from mlpc.compiler.ir import Interner
from mlpc.compiler.render.text import plan_text
from mlpc.runtime import memory
from mlpc.runtime.kernel import Kernel, allocate

ROOT = Path(__file__).parents[1]
BENCHMARK = runpy.run_path(str(ROOT / "benchmarks" / "compile_time.py"))
STAGES = ("compile", "memory", "kernels", "page")


def calls_of(text):
    """The printed lines of a model, and how many calls each stage takes, of Python's functions and C's."""
    count = 0

    def counted(frame, event, argument):
        nonlocal count
        count += event in {"call", "c_call"}

    def made(work):
        nonlocal count
        count = 0
        sys.setprofile(counted)
        try:
            return work(), count
        finally:
            sys.setprofile(None)

    model, compiling = made(lambda: mlpc.loads(text))
    plan, evaluation = model.plan, model.compilation.evaluation
    _, predicting = made(lambda: memory.predict(plan, evaluation, {"train": 4}, model.settings))
    arrays = allocate(plan)
    _, building = made(lambda: Kernel(plan, ("forward", "gradient", "update"), 4, arrays))
    _, printing = made(lambda: plan_text(plan, model.footprint, every=True))
    return len(model.lines), dict(zip(STAGES, (compiling, predicting, building, printing), strict=True))


@pytest.mark.parametrize("kind", BENCHMARK["KINDS"])
def test_four_times_the_lines_take_four_times_the_calls(kind):
    make, share = BENCHMARK["KINDS"][kind]
    mlpc.loads(BENCHMARK["program"](make(3)))  # what a process does once
    (few, less), (many, more) = (calls_of(BENCHMARK["program"](make(round(lines / share)))) for lines in (200, 800))
    assert 3.7 < many / few < 4.3
    for stage in STAGES:
        assert more[stage] / many < 1.15 * less[stage] / few, stage


def test_the_last_of_many_names_of_one_gradient_is_not_looked_for_among_them(monkeypatch):
    make = Interner.make
    aliases = []
    monkeypatch.setattr(Interner, "make", lambda self, op, *a, **k: (aliases.append(op == "alias"), make(self, op, *a, **k))[1])

    def made(branches):
        aliases.clear()
        mlpc.loads(BENCHMARK["program"](BENCHMARK["branches"](branches)))
        return sum(aliases)

    assert made(80) - made(60) == made(60) - made(40) == 20
