"""`mlpc trace`: every number of one training step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np

from ..compiler.plan import Line
from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, printable
from ..model import Model
from .load import model_of, write, write_json

WIDTH = 100
PAGE = 40  # rows of a matrix that are printed in full
EDGE = 10  # rows at each end of a longer one


def command(args: argparse.Namespace) -> int:
    """Prints params, inputs and states before the step, and each line with its value. Status 0."""
    model = model_of(args)
    _known(args.values, model)
    found = model.trace(args.step, max_memory=args.max_memory)
    values = [v for v in found["values"] if not args.values or {v["name"], v["id"]} & {*args.values}]
    if args.json:
        shown = [{**v, "value": v["value"].tolist()} for v in values]
        write_json({"title": model.plan.title, "step": found["step"], "epoch": found["epoch"], "loss": found["loss"], "values": shown})
        return 0
    steps = model.settings.steps
    write(f"{printable(model.plan.title)}   step {found['step']} of {steps} · loss = {_matrix(np.asarray(found['loss']))}")
    for text in _page(values, {line.id: line for line in model.plan.lines}):
        write(text)
    return 0


def _known(names: Iterable[str], model: Model) -> None:
    """E0201 for every name that no value of the trace has."""
    plan = model.plan
    known = [*(p.name for p in plan.params), *(plan.values[r].name for r in plan.inputs), *(s.name for s in plan.states)]
    known += [name for line in plan.lines for name in (line.target, line.id)]
    unknown = [n for n in names if n not in known]
    if unknown:
        targets = [n for n in known if n not in {line.id for line in plan.lines}]
        raise MlpcError(
            *(Diagnostic("E0201", None, f"--values {n}: no value and no line is called so", did_you_mean(n, targets)) for n in unknown)
        )


def _page(values: list[dict[str, Any]], lines: dict[str, Line]) -> Iterator[str]:
    """A heading for each section; a line of the plan as the plan prints it, its matrix below."""
    for section, entries in groupby(values, key=lambda v: v["section"]):
        yield f"\n{section}"
        for key, group in groupby(entries, key=lambda v: v["id"]):
            parts = list(group)
            line = lines.get(key)
            if line is not None:
                yield f" {line.id}  {line.target} = {line.text}"
            for v in parts:
                shape = f"[{', '.join(str(d) for d in v['shape'])}]"
                if "param" in v:
                    yield f"   {v['name']} of {v['param']} {shape}"
                elif line is not None:
                    yield f"   {shape}"
                else:
                    yield f" {v['name']} {shape}"
                yield _indented(_matrix(v["value"]))


def _matrix(value: Any) -> str:
    """As NumPy prints it, with 8 decimals; the middle rows of a long one left out."""
    long = value.ndim > 0 and len(value) > PAGE
    return np.array2string(
        value, precision=8, suppress_small=True, max_line_width=WIDTH - 4, threshold=0 if long else sys.maxsize, edgeitems=EDGE
    )


def _indented(text: str) -> str:
    return "\n".join(f"   {row}" for row in text.split("\n"))
