"""`mlpc plan`: the lines that will run, and with --defaults every setting."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from ..compiler import shapes
from ..compiler.render.json import plan_document
from ..compiler.render.page import Part, columns, row
from ..compiler.settings import optimizer_text
from ..model import Model
from .load import model_of, write, write_json
from .terminal import page_width, show


def command(args: argparse.Namespace) -> int:
    """Prints the plan: of training, or of prediction, which has no settings. Status 0."""
    from ..compiler.render.derivation import derivation_document, derivation_rows
    from ..compiler.render.latex import derivation_latex, plan_latex
    from ..compiler.render.text import plan_page

    model = model_of(args)
    settings = list(settings_of(model))
    if args.why is not None:
        found = model.why(args.why)
        if args.json:
            write_json(derivation_document(found))
        elif args.latex:
            write(derivation_latex(found, model.plan).rstrip("\n"))
        else:
            show(derivation_rows(found))
        return 0
    plan, footprint = (model.prediction, None) if args.prediction else (model.plan, model.footprint)
    there = {value.name for value in plan.values} if args.prediction else model.graph.nodes
    facts = [(n, d) for n, d in model.graph.nodes(data=True) if "facts" in d and n in there]
    if args.json:
        told = {} if args.prediction else {"settings": [{"name": name, "value": value, "from": where} for name, value, where in settings]}
        write_json({**plan_document(plan, footprint), **told, "facts": {name: list(d["facts"]) for name, d in facts}})
        return 0
    if args.latex:
        write(plan_latex(plan, footprint).rstrip("\n"))
        return 0
    page = plan_page(plan, footprint, every=args.all, width=page_width())
    if args.facts:
        known = [(name, shapes.show(d["shape"]), ", ".join(d["facts"]) or "-") for name, d in facts]
        page += [row(), row(Part("facts", "heading")), *columns(known, ("target", "", "aside"))]
    if args.defaults:
        page += [row(), row(Part("settings", "heading")), *columns(settings, ("target", "", "aside"))]
    show(page)
    return 0


def settings_of(model: Model) -> Iterator[tuple[str, str, str]]:
    """(name, value, where from): settings as written, what follows from them, and the numbers of the optimizer."""
    found = model.settings
    for name, value, where in found.origins:
        yield name, optimizer_text(found.optimizer) if name == "optimizer" else value, where
        if name == "optimizer":
            yield from model.compilation.numbers
    rows = model.dataset.schema.train_rows
    written = {name for name, *_ in found.origins}
    if "steps" not in written:
        each = found.steps // max(found.epochs, 1)
        yield "steps", str(found.steps), f"{found.epochs} epochs of {each} step{'s' * (each != 1)}"
    if "epochs" not in written:
        batches = f"{found.accumulate} batches of " if found.accumulate > 1 else ""
        yield "epochs", str(found.epochs), f"{found.steps} steps of {batches}{found.batch} rows, of {rows}"
