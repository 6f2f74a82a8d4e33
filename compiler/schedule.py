"""Nodes to lines, in the order a person reads them and the machine runs them.

Forward lines in the order of the statements; then for each dX, from the loss back, the line of dX and after it the
params' gradients that are complete with it, in order of declaration. The update is `update_schedule`'s.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from .autodiff import Adjoint
from .ir import Node, ancestors
from .lower import Lowering
from .plan import Line
from .registers import Registers, numbered, shared


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


def name_shared(needed: Sequence[Node], names: dict[Node, str], others: Iterable[str] = ()) -> None:
    """Names the shared values that nobody named t1, t2, ... in the order in which they are computed; `others` have their names too."""
    taken = {*names.values(), *others}
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
    names = dict(low.names.items())
    user_named = [n for n in needed if n in names and n.args and n.id < start]
    forward = set(ancestors([*roots, *user_named]))
    names |= gradient_names(adjoints, low.names)
    common = shared(needed)
    name_shared([n for n in needed if n in common], names)
    registers = Registers(names, low.words, registers_of, itemsize)
    for node in needed:
        if node.op in {"input", "param"}:
            registers.leaf(node)
    forward_lines = [
        registers.line(n, names[n], "forward", line=low.line.get(n, 0), source=low.source.get(n, ""))
        for n in needed
        if n in names and n.args and n in forward
    ]
    later = [n for n in needed if n in names and n.args and n not in forward]
    gradient_lines = _gradient(low, registers, later, adjoints)
    return registers, numbered(forward_lines, "f"), numbered(gradient_lines, "g")


def _gradient(low: Lowering, registers: Registers, later: Sequence[Node], adjoints: Mapping[Node, Adjoint]) -> list[Line]:
    """The gradient lines by readiness: shared values and params' gradients as soon as they can be, else the next dX of the sweep."""
    params = {p.node: i for i, p in enumerate(low.params)}
    declared = {p.node: p.line for p in low.params}
    key: dict[Node, tuple[int, int]] = {}
    told: dict[Node, tuple[str, int]] = {}
    for order, (value, adjoint) in enumerate(adjoints.items()):
        key[adjoint.node] = (1, params[value]) if value in params else (2, order)
        line = declared.get(value) or low.line.get(value, 0)
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
