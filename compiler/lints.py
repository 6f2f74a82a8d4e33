"""What is allowed and most likely not meant: each a warning with its code."""

from __future__ import annotations

from collections.abc import Iterator

from ..dsl.diagnostics import Diagnostic
from ..dsl.syntax import Program
from .graph import output_name, targets, unused
from .ir import Node, ancestors
from .lower import Lowering
from .plan import Plan
from .uses import Uses

WARNING = "warning"


def lints(program: Program, graph: Uses, low: Lowering, plan: Plan) -> Iterator[Diagnostic]:
    """All warnings of a program, as lowered for training."""
    yield from _unused(program, graph)
    yield from _without_gradient(graph, plan)
    yield from _softmax_twice(graph, low)
    yield from _output_never_negative(program, graph, low)


def _unused(program: Program, graph: Uses) -> Iterator[Diagnostic]:
    for name in unused(graph, program):
        if graph.nodes[name]["kind"] != "param":
            yield Diagnostic("W0101", graph.nodes[name]["span"], f"nothing uses `{name}`", "remove it, or read it in the loss", WARNING)


def _without_gradient(graph: Uses, plan: Plan) -> Iterator[Diagnostic]:
    idle = {line.value for line in plan.gradient if line.by == "the loss does not depend on it"}
    for p in plan.params:
        if p.gradient in idle:
            span = graph.nodes[p.name]["span"] if p.name in graph else None
            yield Diagnostic("W0102", span, f"the loss does not depend on the param `{p.name}`: it will not train", "", WARNING)


def _softmax_twice(graph: Uses, low: Lowering) -> Iterator[Diagnostic]:
    """At the first statement that has it."""
    found = [(name, d["span"], node) for name, d in graph.nodes.items() if isinstance(node := low.values.get(name), Node)]
    twice = [n for n in ancestors(node for _, _, node in found) if n.op in {"softmax", "log_softmax"} and n.args[0].op == "softmax"]
    if not twice:
        return
    reached = ((span, n) for _, span, node in found for n in ancestors([node]) if n in twice)
    for span, n in reached:
        shown = low.names.get(n.args[0])
        what = f"`{shown}` is a softmax already, and goes" if shown else "what comes from a softmax goes"
        hint = "leave one out; a loss that ends in _with_logits has one of its own"
        yield Diagnostic("W0103", span, f"{what} through another one, which makes it nearly uniform", hint, WARNING)
        return


def _output_never_negative(program: Program, graph: Uses, low: Lowering) -> Iterator[Diagnostic]:
    """The output is max(z, 0), and a target may be negative."""
    name = output_name(program)
    output = low.values.get(name) if name else None
    if name is None or not isinstance(output, Node) or output.op != "max" or not any(a.value == 0 for a in output.args):
        return
    wanted = [t for t in sorted(targets(graph)) if isinstance(v := low.values.get(t), Node) and not v.facts.nonnegative]
    if wanted:
        message = f"the output `{name}` is never below 0, and the target `{wanted[0]}` may be; a row that is at 0 has no gradient"
        yield Diagnostic("W0104", graph.nodes[name]["span"], message, "leave the activation of the last layer out", WARNING)
