"""`mlpc trace`: every number of one training step."""

from __future__ import annotations

import argparse

from ..compiler.render.trace import trace_document, trace_page
from ..runtime.watch import refuse_unknown
from .load import model_of, write_json
from .terminal import page_width, show


def command(args: argparse.Namespace) -> int:
    """Prints params, inputs and states before the step, and each line with its value. Status 0."""
    model = model_of(args)
    refuse_unknown(model.plan, args.values, "--values")
    found = model.trace(args.step, check=False if args.no_check else args.values or True, max_memory=args.max_memory)
    if args.json:
        write_json(trace_document(found, args.values))
    else:
        show(trace_page(found, args.values, args.rows, page_width()))
    return 0
