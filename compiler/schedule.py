"""Nodes to lines, in the order a person reads them and the machine runs them.

Forward lines in the order of the statements; then for each dX, from the loss back, the line of dX and after it the
params' gradients that are complete with it, in order of declaration; then the update, once for every param.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from .autodiff import Adjoint
from .ir import Node, ancestors
from .lower import Lowering
from .plan import Line, StateSpec
from .registers import Registers, numbered, shared
from .updates import Update


def gradient_names(adjoints: Mapping[Node, Adjoint], names: Mapping[Node, str]) -> dict[Node, str]:
    """What each gradient is written as: `dz2`; `d(h.W)` for a dotted name and where the short form is the user's."""
    taken = set(names.values())
    found: dict[Node, str] = {}
    for value, adjoint in adjoints.items():
        name = names[value]
        short = f"d{name}"
        if not adjoint.partial:
            found[adjoint.node] = short if "." not in name and short not in taken else f"d({name})"
    return found


def name_shared(needed: Sequence[Node], names: dict[Node, str]) -> None:
    """Names the shared values that nobody named t1, t2, ... in the order in which they are computed."""
    taken = set(names.values())
    n = 1
    for node in needed:
        if node in names:
            continue
        while f"t{n}" in taken:
            n += 1
        names[node] = f"t{n}"
        taken.add(f"t{n}")


def forward_and_gradient(
    low: Lowering, registers_of: Mapping[str, int], itemsize: int, roots: Sequence[Node], adjoints: Mapping[Node, Adjoint], start: int
) -> tuple[Registers, list[Line], list[Line]]:
    """The lines of both passes. `roots` are what the forward pass must give; nodes from id `start` on belong to the sweep."""
    gradients = [a.node for a in adjoints.values()]
    needed = ancestors([*roots, *gradients])
    names = {n: name for n, name in low.names.items()}
    user_named = [n for n in needed if n in names and n.args and n.id < start]
    forward = set(ancestors([*roots, *user_named]))
    names |= gradient_names(adjoints, low.names)
    common = shared(needed)
    name_shared([n for n in needed if n in common], names)
    registers = Registers(names, low.words, registers_of, itemsize)
    for node in low.names:
        if node.op in {"input", "param"} and node in set_of(needed):
            registers.leaf(node)
    forward_lines = [
        registers.line(n, names[n], "forward", line=low.line.get(n, 0), source=low.source.get(n, "")) for n in needed if n in names and n.args and n in forward
    ]
    later = [n for n in needed if n in names and n.args and n not in forward]
    gradient_lines = _gradient(low, registers, later, adjoints)
    return registers, numbered(forward_lines, "f"), numbered(gradient_lines, "g")


def set_of(nodes: Iterable[Node]) -> frozenset[Node]:
    """For membership."""
    return frozenset(nodes)


def _gradient(low: Lowering, registers: Registers, later: Sequence[Node], adjoints: Mapping[Node, Adjoint]) -> list[Line]:
    """The gradient lines by readiness: shared values and params' gradients as soon as they can be, else the next dX of the sweep."""
    params = {p.node: i for i, p in enumerate(low.params)}
    key: dict[Node, tuple[int, int]] = {}
    told: dict[Node, tuple[str, int]] = {}
    for order, (value, adjoint) in enumerate(adjoints.items()):
        key[adjoint.node] = (1, params[value]) if value in params else (2, order)
        line = low.line.get(value, next((p.line for p in low.params if p.node is value), 0) if value in params else 0)
        told[adjoint.node] = (adjoint.by, line)
    pending = set(later)
    readers: dict[Node, list[Node]] = {}
    waiting: dict[Node, int] = {}
    for node in later:
        reads = [r for r in registers.reads(node) if r in pending]
        waiting[node] = len(reads)
        for r in reads:
            readers.setdefault(r, []).append(node)
    ready = [(key.get(n, (0, n.id)), n.id, n) for n in later if not waiting[n]]
    heapq.heapify(ready)
    lines: list[Line] = []
    while ready:
        _, _, node = heapq.heappop(ready)
        by, line = told.get(node, ("shared", 0))
        lines.append(registers.line(node, registers.names[node], "gradient", by=by, line=line))
        for reader in readers.get(node, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, (key.get(reader, (0, reader.id)), reader.id, reader))
    return lines


def update_lines(low: Lowering, registers: Registers, update: Update, applies_to: tuple[str, ...]) -> tuple[list[Line], list[StateSpec], int, int]:
    """The lines of the update, the states, and the registers that stand for a param and its gradient.

    A prime overwrites its state at once if no later line reads the old value; else it is written `v'` until the end.
    """
    names: dict[Node, str] = {update.w: update.w_name, update.dw: update.dw_name}
    names |= {node: name for name, node, _ in update.states}
    old = {name: node for name, node, _ in update.states} | {update.w_name: update.w}
    roots = [(name, node, "number", None) for name, node in update.numbers] + [(name, node, "prime", span) for name, node, span in update.primes]
    needed = ancestors(node for _, node, _, _ in roots)
    in_use = set(needed)
    roots[len(update.numbers) : len(update.numbers)] = [
        (name, node, "local", span) for name, node, span in update.locals if node in in_use and node.args and not any(node is n for _, n, _, _ in roots)
    ]
    locals_and_numbers = {node: name for name, node, kind, _ in roots if kind != "prime"}
    primes = {node: name for name, node, kind, _ in roots if kind == "prime"}
    names |= {n: name for n, name in locals_and_numbers.items() if n not in names}
    plain = registers_for(names | {n: f"{p}'" for n, p in primes.items()}, registers, low)
    ordered = _in_order([node for _, node, _, _ in roots], plain)
    common = [n for n in needed if n in shared(needed) and n not in plain.names]
    mutable = dict(plain.names)
    name_shared(common, mutable)
    everything = _in_order([*common, *ordered], registers_for(mutable, registers, low))
    probe = registers_for(mutable, registers, low)
    for i, node in enumerate(everything):
        if node in primes:
            late = any(old[primes[node]] in probe.reads(later) for later in everything[i + 1 :])
            mutable[node] = f"{primes[node]}'" if late else primes[node]
    inner = registers_for(mutable, registers, low)
    inner.values, inner.of = registers.values, dict(registers.of)
    w, dw = inner.leaf(update.w), inner.leaf(update.dw)
    states = [StateSpec(name, float(start), inner.leaf(node)) for name, node, start in update.states]
    spans = {node: span for _, node, _, span in roots if span is not None and not span.source.name.startswith("std/")}
    lines: list[Line] = []
    commits: list[Line] = []
    for node in everything:
        line = inner.line(node, mutable[node], "update", line=spans[node].line if node in spans else 0)
        if node in primes:
            state = primes[node]
            register = inner.of[old[state]]
            if mutable[node] == state:
                line = replace(line, commits=register)
            else:
                alias = node.ir.make("alias", node)
                commits.append(replace(inner.line(alias, state, "update"), commits=register))
        lines.append(replace(line, applies_to=applies_to))
    lines += [replace(c, applies_to=applies_to) for c in commits]
    return numbered(lines, "u"), states, w, dw


def registers_for(names: Mapping[Node, str], like: Registers, low: Lowering) -> Registers:
    """Registers that write other names at the same sizes."""
    return Registers(names, low.words, like.sizes, like.itemsize)


def _in_order(nodes: Sequence[Node], registers: Registers) -> list[Node]:
    """The nodes so that each comes after those that it reads, else as given."""
    wanted = set(nodes)
    done: dict[Node, None] = {}
    for root in nodes:
        stack = [(root, False)]
        while stack:
            node, expanded = stack.pop()
            if node in done:
                continue
            if expanded:
                done[node] = None
                continue
            stack.append((node, True))
            stack.extend((r, False) for r in registers.reads(node) if r in wanted and r not in done)
    return list(done)
