"""Nodes to whole plans: one to train by, one to measure by, one to predict by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from ..dsl.syntax import Program
from .autodiff import Adjoint, gradients
from .graph import output_name
from .ir import Node
from .lower import Lowering
from .plan import Line, ModelState, ParamSpec, Plan
from .recompute import recomputed, update_peak
from .registers import Registers, connected, numbered
from .schedule import forward_and_gradient
from .settings import Settings
from .update_schedule import update_lines
from .updates import lower_update

ITEMSIZE = {"float64": 8, "float32": 4}


class Passes(Struct, frozen=True, eq=False):
    """The forward and the gradient pass as lines, the registers that they use, and the adjoints that they compute.

    Nodes from id `start` on belong to the sweep.
    """

    start: int
    adjoints: dict[Node, Adjoint]
    registers: Registers
    forward: list[Line]
    gradient: list[Line]


def passes(program: Program, low: Lowering, settings: Settings) -> Passes:
    """Both passes of training; a param that the loss can't feel has zeros for a gradient."""
    loss, output = value_of(low, "loss"), _output(program, low)
    start = len(low.ir.nodes)
    params = [p.node for p in low.params]
    adjoints = gradients(loss, params, low.names)
    for p in params:
        if p not in adjoints:
            adjoints[p] = zero_adjoint(p)
    sizes = {"N": settings.batch, "P": sum(p.count for p in param_specs(low, {}))}
    roots = [loss, output, *low.primes.values()]
    registers, forward, gradient = forward_and_gradient(low, sizes, ITEMSIZE[settings.precision], roots, adjoints, start)
    for node in (*params, *(d.node for d in low.states)):
        registers.leaf(node)
    return Passes(start, adjoints, registers, forward, gradient)


def training_plan(program: Program, low: Lowering, settings: Settings) -> Plan:
    """Forward, gradient and update."""
    made = passes(program, low, settings)
    adjoints, registers, forward, gradient = made.adjoints, made.registers, made.forward, made.gradient
    loss, output = value_of(low, "loss"), _output(program, low)
    names = tuple(p.name for p in low.params)
    update, states, w, dw = update_lines(low, registers, lower_update(low, settings), names, program.source)
    specs = param_specs(low, {d.node: (registers.of[d.node], registers.of[adjoints[d.node].node]) for d in low.params})
    if settings.recompute:
        own = [s.gradient for s in specs if s.gradient is not None]
        after = [registers.of[loss], *own, *(registers.of[n] for n in low.primes.values())]
        least = update_peak(update, registers.values, specs, registers.itemsize)
        gradient = numbered(recomputed(forward, gradient, registers.values, registers.bytes, own, after, least), "g")
    lines = connected([*forward, *gradient])
    gradient_of = {line.value: line.id for line in gradient}
    readers = tuple(u.id for u in update if any(dw in step.args for step in u.steps))
    param_lines = {gradient_of[s.gradient] for s in specs if s.gradient in gradient_of}
    lines = [line if line.id not in param_lines else with_readers(line, readers) for line in lines]
    return Plan(
        title=program.source.name, values=tuple(registers.values), inputs=inputs_of(low, registers.of), params=specs, states=tuple(states),
        forward=tuple(x for x in lines if x.section == "forward"), gradient=tuple(x for x in lines if x.section == "gradient"),
        update=tuple(connected(update)), loss=registers.of[loss], loss_text=loss_text(program), output=registers.of.get(output, -1), batch=settings.batch,
        precision=settings.precision, update_w=w, update_dw=dw, model_states=model_states(low, registers.of),
        several_rows=low.several_rows is not None, accumulate=settings.accumulate,
    )  # fmt: skip


def evaluation_plan(program: Program, low: Lowering, settings: Settings) -> Plan:
    """The prediction's forward lines with the loss and the report."""
    reports: list[tuple[str, Node]] = []
    for key, node in low.values.items():
        if key.startswith("report ") and isinstance(node, Node):
            name = key.removeprefix("report ")
            low.names.setdefault(node, name)
            reports.append((name, node))
    loss = value_of(low, "loss")
    return _forward_plan(program, low, settings, loss, [loss, _output(program, low), *(n for _, n in reports)], reports)


def prediction_plan(program: Program, low: Lowering, settings: Settings, value: str | None = None) -> Plan:
    """The lines from the inputs to the output or another `value`, as prediction runs them; its `loss` is that, and has no text."""
    wanted = value_of(low, value) if value is not None else _output(program, low)
    return replace(_forward_plan(program, low, settings, wanted, [wanted], []), loss_text="")


def _forward_plan(
    program: Program, low: Lowering, settings: Settings, loss: Node, roots: Sequence[Node], reports: Sequence[tuple[str, Node]]
) -> Plan:
    """A plan without a gradient. Every param and state has its register, read or not."""
    sizes = {"N": settings.batch, "P": 0}
    registers, forward, _ = forward_and_gradient(low, sizes, ITEMSIZE[settings.precision], roots, {}, len(low.ir.nodes))
    for node in (*(d.node for d in (*low.params, *low.states)), *(n for n in (loss, *(n for _, n in reports)) if not n.args)):
        registers.leaf(node)
    return Plan(
        title=program.source.name, values=tuple(registers.values), inputs=inputs_of(low, registers.of),
        params=param_specs(low, {p.node: (registers.of[p.node], None) for p in low.params}), states=(),
        forward=tuple(connected(forward)), gradient=(), update=(), loss=registers.of[loss],
        loss_text=loss_text(program), output=registers.of.get(_output(program, low), -1), batch=settings.batch, precision=settings.precision,
        reports=tuple((name, registers.of[node]) for name, node in reports), model_states=model_states(low, registers.of),
    )  # fmt: skip


def value_of(low: Lowering, name: str) -> Node:
    """The node of a value of the model, or of the loss."""
    node = low.values[name]
    assert isinstance(node, Node)
    return node


def _output(program: Program, low: Lowering) -> Node:
    return value_of(low, output_name(program) or "")


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


def model_states(low: Lowering, of: dict[Node, int]) -> tuple[ModelState, ...]:
    """The states of the model in order of declaration; only training changes them."""
    found: list[ModelState] = []
    for d in low.states:
        becomes = of[low.primes[d.node]] if low.training else None
        shape = cast("tuple[int, ...]", d.node.shape)
        found.append(ModelState(d.name, shape, d.init.name, d.init.args, d.init.text, of[d.node], becomes))
    return tuple(found)


def loss_text(program: Program) -> str:
    """The loss as the user wrote it, on one line."""
    return program.loss.value.span.words if program.loss else ""
