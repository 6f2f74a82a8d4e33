"""The graph of the user's values: what is computed from what, as the file says it, before anything is lowered.

Nodes are names (data values, params and values of the model, `loss`, report items) with `kind`, `span` and `statement`;
an edge u -> v stands for each place where v's text reads u, with its `position` from the left, so `x * x` has two.
Order, cycles, unused values and reachability are asked of networkx.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import networkx as nx

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, fault
from ..dsl.syntax import Arg, Assign, Call, Expr, Member, Name, Param, Program, Span, walk
from .definitions import Library, expressions, taken, value_names
from .vocabulary import BUILTINS, RESERVED

Graph: TypeAlias = "nx.MultiDiGraph[str]"
SIZES = ("cols", "rows", "classes")  # they ask for a size, and read no number


def build(program: Program, lib: Library) -> tuple[Graph, list[Diagnostic]]:
    """The graph, and the faults of its names. A statement with a fault is marked `broken`, so that others can go on."""
    graph: Graph = nx.MultiDiGraph()
    faults: list[Diagnostic] = []
    known: dict[str, Span] = {}

    def declare(kind: str, name: Name, statement: object) -> None:
        problems = list(taken(name, ()))
        if name.id == "loss":
            problems.append(Diagnostic("E0207", name.span, "`loss` is the name of the loss itself", "choose another name for this value"))
        elif name.id in known:
            hint = "each name is assigned once: choose another"
            problems.append(Diagnostic("E0203", name.span, f"`{name.id}` is already assigned on line {known[name.id].line}", hint))
        faults.extend(problems)
        if not problems:
            known[name.id] = name.span
            graph.add_node(name.id, kind=kind, span=name.span, statement=statement, broken=False)

    if program.data is not None:
        for s in program.data.body:
            if isinstance(s, Assign) and s.name.id != "split":
                declare("data", s.name, s)
    if program.model is not None:
        for s in program.model.body:
            if isinstance(s, (Assign, Param)):
                declare("param" if isinstance(s, Param) else "value", s.name, s)
    values = dict(known)
    seen = {n for n, d in graph.nodes(data=True) if d["kind"] == "data"}
    for name in list(graph.nodes):
        attributes = graph.nodes[name]
        if attributes["kind"] != "data":
            statement = attributes["statement"]
            faults.extend(_read(graph, name, expressions(statement), seen, values, lib))
            seen.add(name)
    seen = set(values)
    if program.loss is not None:
        graph.add_node("loss", kind="loss", span=program.loss.span, statement=program.loss, broken=False)
        faults.extend(_read(graph, "loss", (program.loss.value,), seen, values, lib))
    for name, item in report_items(program):
        if name in graph:
            faults.append(Diagnostic("E0203", item.span, f"`{name}` is taken: a report item needs a name of its own", f"{name}2 = ..."))
            continue
        graph.add_node(name, kind="report", span=item.span, statement=item, broken=False)
        faults.extend(_read(graph, name, (item.value,), seen, values, lib))
    faults.extend(_cycles(graph))
    return graph, faults


def report_items(program: Program) -> list[tuple[str, Arg]]:
    """The report's items by name: the one written, or the function called, with an ordinal where it comes again."""
    found: list[tuple[str, Arg]] = []
    for item in program.report:
        base = item.name.id if item.name else item.value.function.id if isinstance(item.value, Call) else item.span.text
        count = sum(1 for name, _ in found if name.rstrip("0123456789") == base)
        found.append((base if not count else f"{base}{count + 1}", item))
    return found


def output_name(program: Program) -> str | None:
    """The model's last line is its output."""
    assigned = [s.name.id for s in program.model.body if isinstance(s, Assign)] if program.model else []
    return assigned[-1] if assigned else None


def targets(graph: Graph) -> frozenset[str]:
    """The data values that the loss or the report reads and the model doesn't; to ask for their size is not to read them."""
    found: list[str] = []
    for name in (n for n, d in graph.nodes(data=True) if d["kind"] == "data"):
        kinds = {graph.nodes[r]["kind"] for _, r, edge in graph.out_edges(name, data=True) if not edge["size_only"]}
        if kinds and kinds <= {"loss", "report"}:
            found.append(name)
    return frozenset(found)


def unused(graph: Graph, program: Program) -> list[str]:
    """The values that neither the loss, the output nor the report can feel, in the order written."""
    roots = [n for n, d in graph.nodes(data=True) if d["kind"] in {"loss", "report"}]
    output = output_name(program)
    roots += [output] if output in graph else []
    used = set(roots).union(*(nx.ancestors(graph, r) for r in roots))
    return [n for n, d in graph.nodes(data=True) if n not in used and d["kind"] in {"data", "value", "param"}]


def _read(graph: Graph, reader: str, exprs: Iterable[Expr], seen: set[str], values: dict[str, Span], lib: Library) -> list[Diagnostic]:
    """Adds an edge for every value that the expressions read; gives the faults of the names that they can't."""
    faults: list[Diagnostic] = []
    position = 0
    for expr in exprs:
        try:
            names = list(value_names(expr, lib))
            for call in (e for e in walk(expr) if isinstance(e, Call)):
                _callable(call, lib)
        except MlpcError as error:
            faults.extend(error.diagnostics)
            graph.nodes[reader]["broken"] = True
            continue
        sized = {n.span for e in walk(expr) if isinstance(e, Call) and e.function.id in SIZES for a in e.args for n in walk(a.value)}
        names += [e.parts[0] for e in walk(expr) if isinstance(e, Member)]
        for name in sorted(names, key=lambda n: n.span.start):
            if name.id in values:
                if name.id not in seen and name.id != reader:
                    graph.nodes[reader]["late"] = True
                graph.add_edge(name.id, reader, position=position, span=name.span, late=name.id not in seen, size_only=name.span in sized)
                position += 1
            elif name.id not in RESERVED:
                faults.append(_unknown(name, values, lib))
                graph.nodes[reader]["broken"] = True
    return faults


def _callable(call: Call, lib: Library) -> None:
    name = call.function
    function = lib.find(name.id)
    if function is None and name.id not in BUILTINS:
        raise lib.unknown(name, "fn", "block", "builtin")
    if function is not None and function.definition.kind == "update":
        raise fault("E0205", name.span, f"`{name.id}` is an update; it stands only in  optimizer = {name.id}(...)")


def _unknown(name: Name, values: dict[str, Span], lib: Library) -> Diagnostic:
    hint = did_you_mean(name.id, values)
    if lib.find(name.id):
        hint = f"`{name.id}` is a function: call it, {name.id}(...)"
    return Diagnostic("E0201", name.span, f"there is no value `{name.id}` here", hint)


def _cycles(graph: Graph) -> list[Diagnostic]:
    """A value read above its line: part of a cycle, or just too early."""
    faults: list[Diagnostic] = []
    circular: set[str] = set()
    for component in sorted(nx.strongly_connected_components(graph), key=lambda c: min(graph.nodes[n]["span"].start for n in c)):
        first = min(component, key=lambda n: graph.nodes[n]["span"].start)
        if len(component) > 1 or graph.has_edge(first, first):
            cycle = [u for u, *_ in nx.find_cycle(graph.subgraph(component), first)]
            start = cycle.index(first) if first in cycle else 0
            path = cycle[start:] + cycle[:start]
            text = " -> ".join(f"`{n}` (line {graph.nodes[n]['span'].line})" for n in (*path, path[0]))
            faults.append(Diagnostic("E0204", graph.nodes[first]["span"], f"{text}: no value can be computed from itself"))
            circular |= component
    for u, v, edge in graph.edges(data=True):
        if edge["late"] and not (u in circular and v in circular):
            line = graph.nodes[u]["span"].line
            faults.append(Diagnostic("E0202", edge["span"], f"`{u}` is assigned on line {line}, below this use", "move that line up"))
    for name in graph.nodes:
        if name in circular or graph.nodes[name].pop("late", False):
            graph.nodes[name]["broken"] = True
    return faults
