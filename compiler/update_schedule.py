"""The lines of the update, once for every param, in an order in which they can overwrite the states as they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ..dsl.syntax import Source
from .ir import Node, ancestors
from .lower import Lowering
from .plan import Line, StateSpec
from .registers import Registers, numbered, shared
from .schedule import name_shared
from .updates import Update


def update_lines(
    low: Lowering, registers: Registers, update: Update, applies_to: tuple[str, ...], source: Source
) -> tuple[list[Line], list[StateSpec], int, int]:
    """The lines, the states, and the registers that stand for a param and its gradient. A line of `source` says where it stands in it.

    A prime overwrites its state at once if no later line reads the old value; else it is written `v'` until the end.
    """
    old = {name: node for name, node, _ in update.states} | {update.w_name: update.w}
    if update.norm is not None:  # the gradient is overwritten with what is left of it
        old[update.dw_name] = update.dw
    primes = {node: name for name, node, _ in update.primes}
    needed = ancestors(primes)
    used = set(needed)
    named = {node: name for name, node in update.numbers if node in used}
    named |= {node: name for name, node, _ in update.locals if node in used and node.args and node not in named and node not in primes}
    names = {node: name for name, node in old.items()} | {update.dw: update.dw_name} | named | {n: f"{p}'" for n, p in primes.items()}
    common = shared(needed)
    between = [n for n in needed if n in common and n not in names]
    name_shared(between, names, registers.names.values())  # those of the model too: t1 is one line of a plan
    lines_of = _in_order([*named, *primes, *between], _like(registers, names, low))
    names |= _at_once(lines_of, primes, old, _like(registers, names, low))

    inner = _like(registers, names, low)
    inner.values, inner.of = registers.values, dict(registers.of)
    w, dw = inner.leaf(update.w), inner.leaf(update.dw)
    states = [StateSpec(name, float(start), inner.leaf(node)) for name, node, start in update.states]
    places = {node: span.line for _, node, span in (*update.locals, *update.primes) if span.source is source}
    lines: list[Line] = []
    commits: list[Line] = []
    for node in lines_of:
        line = inner.line(node, names[node], "update", line=places.get(node, 0))
        line = replace(line, whole=node is update.norm)
        if node in primes:
            state, register = primes[node], inner.of[old[primes[node]]]
            if names[node] == state:
                line = replace(line, commits=register)
            else:
                commits.append(replace(inner.line(node.ir.make("alias", node), state, "update"), commits=register))
        lines.append(line)
    return numbered([replace(x, applies_to=applies_to) for x in (*lines, *commits)], "u"), states, w, dw


def _at_once(lines: Sequence[Node], primes: Mapping[Node, str], old: Mapping[str, Node], registers: Registers) -> dict[Node, str]:
    """The primes that may overwrite their state where they stand: no line after them reads the old value."""
    last_read: dict[Node, int] = {}
    for i, node in enumerate(lines):
        for read in registers.reads(node):
            last_read[read] = i
    return {n: primes[n] for i, n in enumerate(lines) if n in primes and last_read.get(old[primes[n]], -1) <= i}


def _like(registers: Registers, names: Mapping[Node, str], low: Lowering) -> Registers:
    """Registers that write other names at the same sizes."""
    return Registers(names, low.words, registers.sizes, registers.itemsize)


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
