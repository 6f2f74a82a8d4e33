"""`mlpc trace`: every number of one training step."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from ..compiler.render.trace import trace_document, trace_page
from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean
from ..model import Model
from .load import model_of, write_json
from .terminal import page_width, show


def command(args: argparse.Namespace) -> int:
    """Prints params, inputs and states before the step, and each line with its value. Status 0."""
    model = model_of(args)
    _known(args.values, model)
    found = model.trace(args.step, check=False if args.no_check else args.values or True, max_memory=args.max_memory)
    if args.json:
        write_json(trace_document(found, args.values))
    else:
        show(trace_page(found, args.values, args.rows, page_width()))
    return 0


def _known(names: Iterable[str], model: Model) -> None:
    """E0201 for every name that no value of the trace has."""
    plan = model.plan
    known = [*(p.name for p in plan.params), *(plan.values[r].name for r in plan.inputs)]
    known += [s.name for s in (*plan.model_states, *plan.states)]
    known += [plan.values[plan.update_dw].name] if plan.update_dw is not None else []
    known += [name for line in plan.lines for name in (line.target, line.id)]
    unknown = [n for n in names if n not in known]
    if unknown:
        targets = [n for n in known if n not in {line.id for line in plan.lines}]
        raise MlpcError(
            *(Diagnostic("E0201", None, f"--values {n}: no value and no line is called so", did_you_mean(n, targets)) for n in unknown)
        )
