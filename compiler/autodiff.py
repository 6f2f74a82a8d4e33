"""One reverse sweep over the nodes: d loss / d value for every named value and every param.

The sweep carries (scalar, node), whose arithmetic is `cotangents`. The scalar is put back at a named value, at a value with
several readers, and before what is not elementwise (a product, a sum over the batch).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from . import shapes
from .cotangents import Scalar, Term, chosen_sides, combine, peel, put_back
from .ir import Node, ancestors
from .ops import TABLE, call

SILENT = {"neg", "add", "sub", "sum", "mul", "div", "broadcast", "reshape"}  # say so only where nothing else gives a reason


class Adjoint(Struct, frozen=True):
    """The gradient of a value: its node, why, and whether rules bypassed the value (then this is a part of its derivative only)."""

    node: Node
    by: str
    partial: bool


def gradients(loss: Node, params: Iterable[Node], names: Mapping[Node, str]) -> dict[Node, Adjoint]:
    """The adjoint of every named value and param between the params and the loss, in the order of the sweep.

    `loss` is []; adjoints have the shape of their value. A param that the loss can't feel is absent.
    """
    wanted = set(params)
    reach = ancestors([loss])
    active: set[Node] = set()
    for node in reach:
        if node in wanted or any(a in active for a in node.args):
            active.add(node)
    terms: dict[Node, list[Term]] = {loss: [Term(Scalar(), loss.ir.const(1), loss.id, ())]}
    found: dict[Node, Adjoint] = {}
    crossed = set(loss.ir.crossed)  # by the rules of the forward pass; those of the sweep bypass nothing that the loss reads
    used: set[Node] = set()  # the gradients that have a name, which stay whole
    last: dict[Node, Node] = {}  # what has several names, to the alias that the last of them stands for
    for node in reversed(reach):
        arrived = terms.pop(node, None)
        if arrived is None or node not in active:
            continue
        named = node in wanted or (node in names and node is not loss)
        scalar, cotangent, reasons = combine(arrived, used)
        if named or len(arrived) > 1 or TABLE[node.op].kind not in {"elementwise", "rowwise", "reduce", "view"}:
            scalar, cotangent = Scalar(), put_back(scalar, cotangent, used)
        if named:
            if cotangent.shape != node.shape:
                cotangent = call("broadcast", cotangent, shape=node.shape)
            if cotangent in used or not cotangent.args or cotangent in names:
                first, cotangent = cotangent, cotangent.ir.make("alias", last.get(cotangent, cotangent))
                while cotangent in used:  # a third name for the same numbers
                    cotangent = cotangent.ir.make("alias", cotangent)
                last[first] = cotangent
            used.add(cotangent)
            found[node] = Adjoint(cotangent, "the loss itself" if node is loss else explain(arrived), node in crossed)
            reasons = ()
        for term_target, term in send(node, scalar, cotangent, reasons, active, names, used):
            terms.setdefault(term_target, []).append(term)
    return found


def send(
    node: Node, scalar: Scalar, g: Node, reasons: tuple[str, ...], active: set[Node], names: Mapping[Node, str], kept: set[Node]
) -> list[tuple[Node, Term]]:
    """What a node sends to each of its arguments, un-broadcast to their shapes."""
    vjp = TABLE[node.op].vjp
    if vjp is None or not node.args:
        return []
    full = g if g.shape == node.shape else call("broadcast", g, shape=node.shape)
    choices, full = chosen_sides(full, kept) if TABLE[node.op].kind == "elementwise" else ((), full)
    sent: list[tuple[Node, Term]] = []
    mark = len(node.ir.fired)
    for i, (arg, part) in enumerate(zip(node.args, vjp(full, node, *node.args), strict=True)):
        if part is None or arg not in active:
            continue
        factor, bare = peel(part, kept)
        total = scalar * factor
        for condition, side in choices:
            bare = call("where", condition, *((bare, 0), (0, bare))[side])
        spread = sums_over_batch(bare, arg)
        if spread:
            total, bare = Scalar(), put_back(total, bare, kept)
        bare = unbroadcast(bare, arg)
        more, bare = peel(bare, kept) if not spread else (Scalar(), bare)
        why = (*reason(node, i, spread), *facts_used(node.ir.fired[mark:], names))
        sent.append((arg, Term(total * more, bare, node.id, tuple(dict.fromkeys((*why, *reasons))))))
    return sent


def sums_over_batch(part: Node, arg: Node) -> bool:
    """Whether un-broadcasting `part` to the shape of `arg` sums over the rows of the batch."""
    return "N" in part.shape and "N" not in arg.shape


def unbroadcast(part: Node, arg: Node) -> Node:
    """Sums a cotangent over the axes along which `arg` was repeated, or repeats it to the shape of `arg`."""
    if part.shape == arg.shape:
        return part
    try:
        fits = shapes.broadcast([part.shape, arg.shape]) == arg.shape
    except shapes.ShapeError:
        fits = False
    if fits:
        return call("broadcast", part, shape=arg.shape)
    lead = len(part.shape) - len(arg.shape)
    if lead:
        part = call("sum", part, axes=tuple(range(lead)), keep=False)
    ones = tuple(i for i, (d, e) in enumerate(zip(part.shape, arg.shape, strict=True)) if d != e)
    return call("sum", part, axes=ones, keep=True) if ones else part


def reason(node: Node, position: int, spread: bool) -> tuple[str, ...]:
    """Why a cotangent passes: the user's functions that the node came from, or the operation."""
    if spread:
        return ("broadcast over batch",)
    if node.op == "matmul":
        return ("matmul, right factor" if position else "matmul, left factor",)
    origin = node.ir.origin.get(node, ())
    if origin:
        return origin
    title = TABLE[node.op].title
    return (title,) if title and node.op not in SILENT else ()


def facts_used(fired: Iterable[tuple[str, Node]], names: Mapping[Node, str]) -> tuple[str, ...]:
    """The facts that licensed a rewrite of the cotangent, as `, y one-hot`."""
    told: list[str] = []
    for rule, subject in fired:
        if rule == "rows_sum_to_one":
            what = names.get(subject, "the target")
            facts = subject.facts
            told.append(
                f", {what} one-hot"
                if facts.onehot
                else f", {what} a distribution"
                if facts.simplex
                else f", rows of {what} sum to {facts.row_sum}"
            )
    return tuple(told)


def explain(terms: Iterable[Term]) -> str:
    """The reasons of a gradient in words: functions from the value towards the loss, then the facts that were used."""
    told: dict[frozenset[str], str] = {}
    for term in sorted(terms, key=lambda t: t.reader):
        functions = [r for r in term.reasons if not r.startswith(",")]
        facts = [r for r in term.reasons if r.startswith(",")]
        told.setdefault(frozenset(functions), " and ".join(functions) + "".join(facts))
    return "; ".join(t for t in told.values() if t) or "sum"
