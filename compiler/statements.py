"""The statements of a program to nodes, in order, the faults of each collected so that the others can go on."""

from __future__ import annotations

from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..dsl.syntax import Arg, Assign, Check, Param, Prime, Program, State
from . import shapes
from .definitions import Library, value_names
from .graph import output_name
from .instances import Frame, Instance
from .ir import Interner, Node, Rules, ancestors
from .lower import Lowering
from .schema import Schema
from .simplify import RULES
from .survey import checked
from .unfold import call
from .units import in_own_units
from .uses import Uses


def lower(
    program: Program, schema: Schema, lib: Library, graph: Uses, faults: list[Diagnostic], *, training: bool, rules: Rules = RULES
) -> Lowering:
    """The statements of the model, the loss and the report as nodes; the faults of each are collected."""
    low = Lowering(Interner(rules), lib, schema, training)
    low.inputs()
    lost: set[str] = {n for n, d in graph.nodes.items() if d["broken"]}
    lost |= {n for n, d in graph.nodes.items() if d["kind"] == "data" and n not in low.values}
    body = program.model.body if program.model else ()
    statements: list[tuple[str, Assign | Param | State | Prime | Arg | Check]] = [("", s) for s in body if isinstance(s, Check)]
    statements += [(s.name.id + "'" * isinstance(s, Prime), s) for s in body if isinstance(s, (Assign, Param, State, Prime))]
    statements.sort(key=lambda pair: pair[1].span.start)
    statements += [(n, d["statement"]) for n, d in graph.nodes.items() if d["kind"] == "loss" or (d["kind"] == "report" and not training)]
    for name, statement in statements:
        if isinstance(statement, Check):
            if all(n.id in low.values for n in value_names(statement.call, lib)):
                checked(lambda s=statement: call(low, s.call, Frame(low.values)), faults)
            continue
        if name not in graph or graph.nodes[name]["statement"] is not statement:
            continue  # assigned twice: told already
        if name in lost or any(u in lost for u, _ in graph.into(name)):
            lost.add(name)
            continue
        try:
            if isinstance(statement, Arg):
                scope = in_own_units(low, graph, name, statement, output_name(program))
                low.values[f"report {name}"] = reported(low, low.node(statement.value, Frame(dict(scope))), statement)
            else:
                lower_statement(low, name, statement)
        except MlpcError as error:
            faults.extend(error.diagnostics)
            lost.add(name)
            low.pending.clear()
            low.ir.context = ()
    return low


def lower_statement(low: Lowering, name: str, statement: Assign | Param | State | Prime) -> None:
    """One statement of the model, or the loss, which must come to one number."""
    if name != "loss" or not isinstance(statement, Assign):
        low.statement(name, statement)
        return
    frame = Frame(low.values, instance=Instance("loss", "", None))
    loss = low.named("loss", statement.value, frame, statement.span.line)
    if loss.shape:
        per_row = "" if not shapes.batched(loss.shape) else ", a number per row" if loss.shape[1:] == (1,) else ", numbers per row"
        hint = "write mean(...) or sum(...) around it" if per_row else "sum(...) makes it one number"
        text = statement.value.span.words
        raise fault("E0232", statement.value.span, f"`{text}` is {shapes.show(loss.shape)}{per_row}", hint)
    if not any(n.op == "param" for n in ancestors([loss])):
        hint = "loss = mean(cross_entropy(p, y)), p being the model's output"
        raise fault("E0232", statement.value.span, "the loss depends on no param: there is nothing to train", hint)
    low.values["loss"] = loss


def reported(low: Lowering, node: Node, item: Arg) -> Node:
    """A report item: a number or a matrix; a number per row counts as its mean over the rows."""
    if not shapes.batched(node.shape):
        return node
    if node.shape[1:] != (1,):
        shown = f"`{' '.join(item.value.span.text.split())}` is {shapes.show(node.shape)}"
        raise fault(
            "E0235", item.span, f"{shown}: a report item is a number, a number per row, or a matrix", "mean(...) makes it one number"
        )
    total = low.ir.make("sum", node, axes=(0, 1), keep=False)
    return total / low.ir.leaf("symbol", (), name="N")
