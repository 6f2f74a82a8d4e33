"""The compiler on one screen: syntax and schema in, plans out."""

from __future__ import annotations

from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Program
from . import verify
from .assembly import evaluation_plan, prediction_plan, training_plan
from .compilation import Compilation, Known
from .graph import report_items, targets
from .ir import Node, Rules
from .lints import lints
from .lower import Lowering
from .plan import Plan
from .resolution import optimizer_numbers
from .schema import Schema
from .settings import Settings
from .simplify import RULES
from .statements import lower
from .stopping import direction, unwatchable
from .survey import Survey, survey, told
from .undisturbed import undisturbed
from .uses import Uses


def compile(program: Program, schema: Schema, rules: Rules = RULES, known: Survey | None = None) -> Compilation:
    """The plans of a program for data of this schema, by all rewrites or some. Raises `MlpcError` with every fault that can be found.

    `known`: the program's survey, if there is one already, for this compilation alone, which annotates its graph.
    """
    with undisturbed():
        known = known or survey(program)
        lib, graph, settings, faults = known.lib, known.graph, known.settings, list(known.faults)
        training = lower(program, schema, lib, graph, faults, training=True, rules=rules)
        evaluation = lower(program, schema, lib, graph, faults, training=False, rules=rules)
        if settings is not None:
            faults += unwatchable((settings.early_stop, settings.keep), evaluation, schema)
        if faults or settings is None:
            raise MlpcError(*told(program, faults))
        settings = settings.scheduled(schema.train_rows)
        annotate(graph, training)
        enough_rows(training, settings, schema)
        plan = training_plan(program, training, settings)
        measured = evaluation_plan(program, evaluation, settings)
        verify.verify(plan)
        verify.verify(measured)
        return Compilation(
            plan, measured, settings, tuple(lints(program, graph, training, plan)), lib.notes, names(graph),
            tuple(optimizer_numbers(program, lib, settings)), tuple((name, direction(item, lib)) for name, item in report_items(program)), graph,
        )  # fmt: skip


def compile_prediction(program: Program, schema: Schema, value: str | None = None) -> Plan:
    """The plan by which the output is predicted, or another `value` of the model. Raises as `compile` does."""
    with undisturbed():
        known = survey(program)
        faults = list(known.faults)
        low = lower(program, schema, known.lib, known.graph, faults, training=False)
        if faults or known.settings is None:
            raise MlpcError(*dict.fromkeys(faults))
        plan = prediction_plan(program, low, known.settings.scheduled(schema.train_rows), value)
        verify.verify(plan)
        return plan


def user_graph(program: Program, schema: Schema) -> Uses:
    """The graph of a program that compiles for this schema, with shapes and facts."""
    with undisturbed():
        known = survey(program)
        annotate(known.graph, lower(program, schema, known.lib, known.graph, list(known.faults), training=True))
        return known.graph


def enough_rows(low: Lowering, settings: Settings, schema: Schema) -> None:
    """Statistics of a batch need two rows in each, the last one of an epoch included."""
    rows, batch = schema.train_rows, settings.batch
    tail = rows % batch if batch else 0
    if low.several_rows is not None and rows and 1 in {batch, tail}:
        message = f"this needs more than one row in every batch, and {rows} training rows in batches of {batch} leave a batch of one"
        raise fault("E0409", low.several_rows, message, "choose a batch that leaves no row alone, or  batch = all")


def annotate(graph: Uses, low: Lowering) -> None:
    """Puts shape and facts on the nodes of the user's graph."""
    for name, attributes in graph.nodes.items():
        node = low.values.get(name)
        if isinstance(node, Node):
            attributes["shape"], attributes["facts"] = node.shape, node.facts.names()


def names(graph: Uses) -> tuple[Known, ...]:
    """What is known of each name of an annotated graph."""
    aims = targets(graph)
    return tuple(
        Known(name, d["kind"], d.get("facts", ()), name in aims, any(not edge["size_only"] for _, edge in graph.out_of(name)))
        for name, d in graph.nodes.items()
    )
