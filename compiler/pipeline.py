"""The compiler on one screen: syntax and schema in, plans out."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..dsl.syntax import Arg, Assign, Check, Param, Program
from . import shapes, verify
from .autodiff import Adjoint, gradients
from .definitions import Library, value_names
from .graph import Graph, output_name, unused
from .instances import Frame, Instance
from .ir import Interner, Node, ancestors
from .lower import Lowering
from .plan import Line, ParamSpec, Plan
from .registers import connected
from .schedule import forward_and_gradient
from .schema import Schema
from .settings import Settings
from .simplify import RULES
from .survey import checked, survey
from .unfold import call
from .update_schedule import update_lines
from .updates import lower_update

ITEMSIZE = {"float64": 8, "float32": 4}


@dataclass(frozen=True, slots=True)
class Compilation:
    """What a program compiles to: the user's graph with shapes and facts, the plan to train and the plan to measure by."""

    graph: Graph
    training: Plan
    evaluation: Plan
    settings: Settings
    warnings: tuple[Diagnostic, ...]
    notes: tuple[str, ...]


def compile(program: Program, schema: Schema) -> Compilation:
    """The plans of a program for data of this schema. Raises `MlpcError` with every fault that can be found."""
    with undisturbed():
        known = survey(program)
        lib, graph, settings, faults = known.lib, known.graph, known.settings, list(known.faults)
        training = lower(program, schema, lib, graph, faults, training=True)
        evaluation = lower(program, schema, lib, graph, faults, training=False)
        if faults or settings is None:
            raise MlpcError(*dict.fromkeys(faults))
        settings = settings.scheduled(schema.train_rows)
        annotate(graph, training)
        plan = training_plan(program, schema, training, settings)
        measured = evaluation_plan(program, schema, evaluation, settings)
        verify.verify(plan)
        verify.verify(measured)
        return Compilation(graph, plan, measured, settings, tuple(warnings(program, graph, plan)), lib.notes)


def lower(program: Program, schema: Schema, lib: Library, graph: Graph, faults: list[Diagnostic], *, training: bool) -> Lowering:
    """The statements of the model, the loss and the report as nodes; the faults of each are collected."""
    low = Lowering(Interner(RULES), lib, schema, training)
    low.inputs()
    lost: set[str] = {n for n, d in graph.nodes(data=True) if d["broken"]}
    lost |= {n for n, d in graph.nodes(data=True) if d["kind"] == "data" and n not in low.values}
    body = program.model.body if program.model else ()
    statements: list[tuple[str, Assign | Param | Arg | Check]] = [("", s) for s in body if isinstance(s, Check)]
    statements += [(s.name.id, s) for s in body if isinstance(s, (Assign, Param))]
    statements.sort(key=lambda pair: pair[1].span.start)
    statements += [
        (n, d["statement"]) for n, d in graph.nodes(data=True) if d["kind"] == "loss" or (d["kind"] == "report" and not training)
    ]
    for name, statement in statements:
        if isinstance(statement, Check):
            if all(n.id in low.values for n in value_names(statement.call, lib)):
                checked(lambda s=statement: call(low, s.call, Frame(low.values)), faults)
            continue
        if name not in graph or graph.nodes[name]["statement"] is not statement:
            continue  # assigned twice: told already
        if name in lost or any(u in lost for u in graph.predecessors(name)):
            lost.add(name)
            continue
        try:
            lower_statement(low, name, statement)
        except MlpcError as error:
            faults.extend(error.diagnostics)
            lost.add(name)
            low.pending.clear()
            low.ir.context = ()
    return low


def lower_statement(low: Lowering, name: str, statement: Assign | Param | Arg) -> None:
    """One statement; the loss must come to one number."""
    if isinstance(statement, Arg):
        low.values[f"report {name}"] = reported(low, low.node(statement.value, Frame(low.values)), statement)
        return
    if name != "loss" or isinstance(statement, Param):
        low.statement(name, statement)
        return
    frame = Frame(low.values, instance=Instance("loss", "", None))
    loss = low.named("loss", statement.value, frame, statement.span.line)
    if loss.shape:
        per_row = "" if not shapes.batched(loss.shape) else ", a number per row" if loss.shape[1:] == (1,) else ", numbers per row"
        hint = "write mean(...) or sum(...) around it" if per_row else "sum(...) makes it one number"
        text = " ".join(statement.value.span.text.split())
        raise fault(
            "E0232", statement.value.span, f"`{text}` is {shapes.show(loss.shape)}{per_row}", hint
        )
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


def training_plan(program: Program, schema: Schema, low: Lowering, settings: Settings) -> Plan:
    """Forward, gradient and update."""
    loss, output = low.values["loss"], low.values[output_name(program) or ""]
    assert isinstance(loss, Node) and isinstance(output, Node)
    start = len(low.ir.nodes)
    params = [p.node for p in low.params]
    adjoints = gradients(loss, params, low.names)
    for p in params:
        if p not in adjoints:
            adjoints[p] = zero_adjoint(p)
    total = sum(p.count for p in param_specs(low, {}))
    itemsize = ITEMSIZE[settings.precision]
    sizes = {"N": settings.batch, "P": total}
    registers, forward, gradient = forward_and_gradient(low, sizes, itemsize, [loss, output], adjoints, start)
    for node in params:
        registers.leaf(node)
    names = tuple(p.name for p in low.params)
    update, states, w, dw = update_lines(low, registers, lower_update(low, settings), names)
    specs = param_specs(low, {p: (registers.of[p], registers.of[adjoints[p].node]) for p in params})
    producers = {line.target: line.id for line in (*forward, *gradient)}
    lines = connected([*forward, *gradient], producers)
    gradient_of = {line.value: line.id for line in gradient}
    readers = tuple(u.id for u in update if any(dw in step.args for step in u.steps))
    param_lines = {gradient_of[s.gradient] for s in specs if s.gradient in gradient_of}
    lines = [line if line.id not in param_lines else with_readers(line, readers) for line in lines]
    own = connected(update, {line.target: line.id for line in update})
    return Plan(
        title=program.source.name, values=tuple(registers.values), inputs=inputs_of(low, registers.of), params=specs, states=tuple(states),
        forward=tuple(x for x in lines if x.section == "forward"), gradient=tuple(x for x in lines if x.section == "gradient"),
        update=tuple(own), loss=registers.of[loss], loss_text=loss_text(program), output=registers.of.get(output, -1), batch=settings.batch,
        precision=settings.precision, update_w=w, update_dw=dw,
    )  # fmt: skip


def evaluation_plan(program: Program, schema: Schema, low: Lowering, settings: Settings) -> Plan:
    """The prediction's forward lines with the loss and the report."""
    loss, output = low.values["loss"], low.values[output_name(program) or ""]
    assert isinstance(loss, Node) and isinstance(output, Node)
    reports: list[tuple[str, Node]] = []
    for key, node in low.values.items():
        if key.startswith("report ") and isinstance(node, Node):
            name = key.removeprefix("report ")
            low.names.setdefault(node, name)
            reports.append((name, node))
    roots = [loss, output, *(n for _, n in reports)]
    registers, forward, _ = forward_and_gradient(
        low, {"N": settings.batch, "P": 0}, ITEMSIZE[settings.precision], roots, {}, len(low.ir.nodes)
    )
    for node in (*(p.node for p in low.params), *(n for _, n in reports if not n.args)):
        registers.leaf(node)
    specs = param_specs(low, {p.node: (registers.of[p.node], None) for p in low.params})
    return Plan(
        title=program.source.name, values=tuple(registers.values), inputs=inputs_of(low, registers.of), params=specs, states=(),
        forward=tuple(connected(forward, {line.target: line.id for line in forward})), gradient=(), update=(), loss=registers.of[loss],
        loss_text=loss_text(program), output=registers.of.get(output, -1), batch=settings.batch, precision=settings.precision,
        reports=tuple((name, registers.of[node]) for name, node in reports),
    )  # fmt: skip


def zero_adjoint(param: Node) -> Adjoint:
    """The gradient of a param that the loss can't feel."""
    return Adjoint(
        param.ir.make("alias", param.ir.make("broadcast", param.ir.const(0), shape=param.shape)), "the loss does not depend on it", False
    )


def with_readers(line: Line, readers: tuple[str, ...]) -> Line:
    """The line, also needed by these."""
    return replace(line, needed_by=(*line.needed_by, *readers))


def inputs_of(low: Lowering, of: dict[Node, int]) -> tuple[int, ...]:
    """The registers of the data values that are read."""
    return tuple(of[n] for n in low.names if n.op == "input" and n in of)


def param_specs(low: Lowering, registers: dict[Node, tuple[int, int | None]]) -> tuple[ParamSpec, ...]:
    """The params in order of declaration."""
    return tuple(
        ParamSpec(p.name, p.node.shape, p.init.name, p.init.args, p.init.text, *registers.get(p.node, (-1, None)), p.line)  # type: ignore[arg-type]
        for p in low.params
    )


def loss_text(program: Program) -> str:
    """The loss as the user wrote it, on one line."""
    return " ".join(program.loss.value.span.text.split()) if program.loss else ""


def annotate(graph: Graph, low: Lowering) -> None:
    """Puts shape and facts on the nodes of the user's graph."""
    for name, attributes in graph.nodes(data=True):
        node = low.values.get(name)
        if isinstance(node, Node):
            attributes["shape"], attributes["facts"] = node.shape, node.facts.names()


def warnings(program: Program, graph: Graph, plan: Plan) -> Iterator[Diagnostic]:
    """What is allowed and most likely not meant: params without a gradient, values that nothing uses."""
    for name in unused(graph, program):
        if graph.nodes[name]["kind"] != "param":
            yield Diagnostic("W0101", graph.nodes[name]["span"], f"nothing uses `{name}`", "remove it, or read it in the loss", "warning")
    idle = {line.value for line in plan.gradient if line.by == "the loss does not depend on it"}
    for p in plan.params:
        if p.gradient in idle:
            span = graph.nodes[p.name]["span"] if p.name in graph else None
            yield Diagnostic("W0102", span, f"the loss does not depend on the param `{p.name}`: it will not train", "", "warning")


@contextmanager
def undisturbed(frames: int = 20_000) -> Generator[None]:
    """Room for expressions as deep as `evaluate.DEEPEST` allows (Python frames cost no C stack), and no garbage collection.

    A compilation keeps nearly all that it makes; walks of the collector over it would make its time grow faster than the plan.
    """
    before, collecting = sys.getrecursionlimit(), gc.isenabled()
    sys.setrecursionlimit(max(before, frames))
    gc.disable()
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
        if collecting:
            gc.enable()
