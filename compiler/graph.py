"""The graph of the user's values: what is computed from what, as the file says it, before anything is lowered.

Nodes are names (data values, params and values of the model, `loss`, report items) with `kind`, `span` and `statement`;
an edge u -> v stands for each place where v's text reads u, with its `position` from the left, so `x * x` has two.
Circles are asked of networkx, which is given the same graph, with the same names and attributes.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, nearest
from ..dsl.syntax import Arg, Assign, Call, Check, Expr, Member, Name, Param, Prime, Program, Span, State, Text, walk
from .definitions import Library, applied_faults, expressions, taken, value_names
from .uses import Uses
from .vocabulary import BUILTINS, RESERVED

SIZES = ("cols", "rows", "classes", "counts")  # they ask for a size, and read no number
GROUPS = ("weights", "params")


def build(program: Program, lib: Library) -> tuple[Uses, list[Diagnostic]]:
    """The graph, and the faults of its names. A statement with a fault is marked `broken`, so that others can go on."""
    graph = Uses()
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
            if isinstance(s, (Assign, Param, State)):
                declare("param" if isinstance(s, Param) else "state" if isinstance(s, State) else "value", s.name, s)
            elif isinstance(s, Prime):
                declare("prime", replace(s.name, id=f"{s.name.id}'"), s)
        for s in program.model.body:
            if isinstance(s, State) and f"{s.name.id}'" not in known and graph.nodes.get(s.name.id, {}).get("statement") is s:
                faults.append(Diagnostic("E0209", s.name.span, f"state `{s.name.id}` never changes", f"add a line  {s.name.id}' = ..."))
    values = dict(known)
    seen = {n for n, d in graph.nodes.items() if d["kind"] == "data"}
    for name in list(graph.nodes):
        attributes = graph.nodes[name]
        if attributes["kind"] != "data":
            statement = attributes["statement"]
            faults.extend(_read(graph, name, expressions(statement), seen, values, lib))
            seen.add(name)
    faults.extend(_others(program, graph, values, lib))
    faults.extend(_missing(program))
    seen = set(values)
    if output_name(program) is None:  # whatever the loss reads, it is missing
        return graph, faults + _cycles(graph)
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


def _missing(program: Program) -> list[Diagnostic]:
    """What every file must have: a model with a value, and a loss."""
    faults: list[Diagnostic] = []
    if program.model is None:
        faults.append(Diagnostic("E0209", None, "the file has no `model` section", "model { p = dense(x, 3, softmax) }"))
    elif output_name(program) is None:
        hint = "its last line is its output: p = softmax(z)"
        faults.append(Diagnostic("E0209", program.model.keyword.span, "the model computes nothing", hint))
    if program.loss is None:
        faults.append(Diagnostic("E0209", None, "the file has no `loss`", "loss = mean(cross_entropy(p, y))"))
    return faults


def _others(program: Program, graph: Uses, values: dict[str, Span], lib: Library) -> list[Diagnostic]:
    """The faults of the model's statements that give no value."""
    faults: list[Diagnostic] = []
    for s in program.model.body if program.model else ():
        if isinstance(s, Check):
            scratch = graph.copy()
            scratch.add_node("", kind="check", span=s.span, statement=s, broken=False)
            faults += _read(scratch, "", (s.call,), {v for v, span in values.items() if span.start < s.span.start}, values, lib)
    return faults


def targets(graph: Uses) -> frozenset[str]:
    """The data values that the loss or the report reads and the model doesn't; to ask for their size is not to read them."""
    found: list[str] = []
    for name in (n for n, d in graph.nodes.items() if d["kind"] == "data"):
        kinds = {graph.nodes[r]["kind"] for r, edge in graph.out_of(name) if not edge["size_only"]}
        if kinds and kinds <= {"loss", "report"}:
            found.append(name)
    return frozenset(found)


def unused(graph: Uses, program: Program) -> list[str]:
    """The values that neither the loss, the output nor the report can feel, in the order written."""
    roots = [n for n, d in graph.nodes.items() if d["kind"] in {"loss", "report", "prime"}]
    output = output_name(program)
    roots += [output] if output is not None and output in graph else []
    used = graph.behind(roots)
    return [n for n, d in graph.nodes.items() if n not in used and d["kind"] in {"data", "value", "param"}]


def _read(graph: Uses, reader: str, exprs: Iterable[Expr], seen: set[str], values: dict[str, Span], lib: Library) -> list[Diagnostic]:
    """Adds an edge for every value that the expressions read; gives the faults of the names that they can't."""
    faults: list[Diagnostic] = []
    missing: list[str] = []
    position = 0
    for expr in exprs:
        calls = [e for e in walk(expr) if isinstance(e, Call)]
        broken = {c.function.id for c in calls} & lib.broken or any(n.id in lib.broken for n in walk(expr) if isinstance(n, Name))
        problems = [] if broken else list(applied_faults(expr, lib, values=values))
        faults.extend(problems)
        graph.nodes[reader]["broken"] |= bool(broken or problems)
        try:
            names = [] if broken else list(value_names(expr, lib))
        except MlpcError:  # arguments that do not fit: told already
            continue
        sized = {n.span for e in calls if e.function.id in SIZES for a in e.args for n in walk(a.value)}
        for e in walk(expr):
            if isinstance(e, Member):
                names.append(e.parts[0])
                if e.parts[0].id in values and (wrong := _member(e, graph)):
                    faults.append(wrong)
                    graph.nodes[reader]["broken"] = True
        for name in sorted(names, key=lambda n: n.span.start):
            if name.id in values:
                if name.id not in seen and name.id != reader:
                    graph.nodes[reader]["late"] = True
                graph.add_edge(name.id, reader, position=position, span=name.span, late=name.id not in seen, size_only=name.span in sized)
                position += 1
            elif name.id not in (*RESERVED, *missing):
                missing.append(name.id)
                faults.append(_unknown(name, [v for v in values if v in seen], lib, graph))
                graph.nodes[reader]["broken"] = True
    return faults


def _member(e: Member, graph: Uses) -> Diagnostic | None:
    """The fault of `deep.weights`, if it has one."""
    owner, last = e.parts[0], e.parts[-1]
    if graph.nodes[owner.id]["kind"] != "value":
        what = "a param itself" if graph.nodes[owner.id]["kind"] == "param" else "data"
        return Diagnostic(
            "E0201", e.span, f"`{owner.id}` is {what} and owns no params", f"l2({owner.id}), or l2(weights) of the whole model"
        )
    if len(e.parts) != 2 or last.id not in GROUPS:
        near = nearest(last.id, GROUPS)
        hint = f"did you mean `{owner.id}.{near}`?" if near else f"a statement has the groups {owner.id}.weights and {owner.id}.params"
        return Diagnostic("E0201", e.span, f"`{owner.id}` has no group `{'.'.join(p.id for p in e.parts[1:])}`", hint)
    return None


def _unknown(name: Name, above: Iterable[str], lib: Library, graph: Uses) -> Diagnostic:
    has_file = any(isinstance(e, Text) for d in graph.nodes.values() if d["kind"] == "data" for e in walk(d["statement"].value))
    if name.id not in above and (lib.find(name.id) or name.id in BUILTINS):
        return Diagnostic("E0235", name.span, f"`{name.id}` is a function, and a value is needed", f"call it: {name.id}(...)")
    if name.id.endswith("'"):
        return Diagnostic(
            "E0201", name.span, f"there is no `{name.id}`: only a state has a value after the step", f"did you mean `{name.id[:-1]}`?"
        )
    if name.id == "loss":
        return Diagnostic("E0201", name.span, "the loss is no value of the model", "it is measured on every split as it is: leave this out")
    hint = did_you_mean(name.id, above, RESERVED)
    kinds = [d["kind"] for d in graph.nodes.values()]
    if not hint.startswith("did") and "data" not in kinds:
        hint = "the file has no data: data { x = [[1, 2], [3, 4]] }"
    elif not hint.startswith("did") and has_file:
        hint = f'if it is a column, give it a name in `data`, as in  values = columns("{name.id}")'
    return Diagnostic("E0201", name.span, f"there is no value `{name.id}` here", hint)


def _cycles(graph: Uses) -> list[Diagnostic]:
    """A value read above its line: part of a cycle, or just too early."""
    if not any(edge["late"] for *_, edge in graph.edges):  # so the values stand in an order in which they can be computed
        return []
    import networkx as nx

    faults: list[Diagnostic] = []
    circular: set[str] = set()
    whole = graph.networkx()
    for component in sorted(nx.strongly_connected_components(whole), key=lambda c: min(graph.nodes[n]["span"].start for n in c)):
        first = min(component, key=lambda n: graph.nodes[n]["span"].start)
        if len(component) > 1 or whole.has_edge(first, first):
            cycle = [u for u, *_ in nx.find_cycle(whole.subgraph(component), first)]
            start = cycle.index(first) if first in cycle else 0
            path = cycle[start:] + cycle[:start]
            text = " -> ".join(f"`{n}` (line {graph.nodes[n]['span'].line})" for n in (*path, path[0]))
            hint = "compute one of them from values above it" if len(component) > 1 else f"read another value, or call this one {first}2"
            faults.append(Diagnostic("E0204", graph.nodes[first]["span"], f"{text}: no value can be computed from itself", hint))
            circular |= component
    for u, v, edge in whole.edges(data=True):
        if edge["late"] and not (u in circular and v in circular):
            line = graph.nodes[u]["span"].line
            faults.append(Diagnostic("E0202", edge["span"], f"`{u}` is assigned on line {line}, below this use", "move that line up"))
    for name in graph.nodes:
        if name in circular or graph.nodes[name].pop("late", False):
            graph.nodes[name]["broken"] = True
    return faults
