"""One reverse sweep over the nodes: d loss / d value for every named value and every param.

The sweep carries (scalar, node): every vjp is linear, so signs, constants and 1/N ride outside, and cotangents that
meet with the same |scalar| add inside it. The scalar is put back at a named value, at a value with several readers,
and before what is not elementwise (a product, a sum over the batch): a difference is swapped if negative, then the
number, then `/ N`, a division because times 1/N differs in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from . import shapes
from .constants import Number
from .ir import Node, ancestors
from .ops import TABLE, call

SILENT = {"neg", "add", "sub", "sum", "mul", "div", "broadcast", "reshape"}  # say so only where nothing else gives a reason


@dataclass(frozen=True, slots=True)
class Scalar:
    """`number * N**rows`."""

    number: Number = Fraction(1)
    rows: int = 0

    def __mul__(self, other: Scalar) -> Scalar:
        return Scalar(self.number * other.number, self.rows + other.rows)

    @property
    def key(self) -> tuple[Number, int]:
        """What must agree for two cotangents to add inside."""
        return abs(self.number), self.rows

    @property
    def negative(self) -> bool:
        """Whether the number is below 0."""
        return self.number < 0


@dataclass(frozen=True, slots=True)
class Term:
    """A contribution to a cotangent: scalar times node, through which reader, and why."""

    scalar: Scalar
    node: Node
    reader: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Adjoint:
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
    for node in reversed(reach):
        arrived = terms.pop(node, None)
        if arrived is None or node not in active:
            continue
        named = node is not loss and (node in names or node in wanted)
        scalar, cotangent, reasons = combine(arrived, used)
        if named or len(arrived) > 1 or TABLE[node.op].kind not in {"elementwise", "rowwise", "reduce", "view"}:
            scalar, cotangent = Scalar(), put_back(scalar, cotangent, used)
        if named:
            if cotangent.shape != node.shape:
                cotangent = call("broadcast", cotangent, shape=node.shape)
            if cotangent in used or not cotangent.args or cotangent in names:
                cotangent = cotangent.ir.make("alias", cotangent)
                while cotangent in used:  # a third name for the same numbers
                    cotangent = cotangent.ir.make("alias", cotangent)
            used.add(cotangent)
            found[node] = Adjoint(cotangent, explain(arrived), node in crossed)
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
    sent: list[tuple[Node, Term]] = []
    mark = len(node.ir.fired)
    for i, (arg, part) in enumerate(zip(node.args, vjp(full, node, *node.args), strict=True)):
        if part is None or arg not in active:
            continue
        factor, bare = peel(part, kept)
        total = scalar * factor
        spread = sums_over_batch(bare, arg)
        if spread:
            total, bare = Scalar(), put_back(total, bare, kept)
        bare = unbroadcast(bare, arg)
        more, bare = peel(bare, kept) if not spread else (Scalar(), bare)
        why = (*reason(node, i, spread), *facts_used(node.ir.fired[mark:], names))
        sent.append((arg, Term(total * more, bare, node.id, tuple(dict.fromkeys((*why, *reasons))))))
    return sent


def combine(terms: list[Term], kept: Collection[Node] = ()) -> tuple[Scalar, Node, tuple[str, ...]]:
    """The sum of the terms as one (scalar, node), in the order of their readers in the forward pass."""
    ordered = sorted(terms, key=lambda t: t.reader)
    reasons = tuple(dict.fromkeys(r for t in ordered for r in t.reasons))
    groups: dict[tuple[Number, int], list[Term]] = {}
    for term in ordered:
        groups.setdefault(term.scalar.key, []).append(term)
    sums: list[tuple[Scalar, Node]] = []
    for group in groups.values():
        first = next((t for t in group if not t.scalar.negative), group[0])
        total, sign = first.node, first.scalar
        for term in group:
            if term is not first:
                total = total + term.node if term.scalar.negative == sign.negative else total - term.node
        sums.append((sign, total))
    if len(sums) == 1:
        return *sums[0], reasons
    sums.sort(key=lambda s: s[0].negative)
    total = put_back(*sums[0], kept)
    for scalar, node in sums[1:]:
        if scalar.negative:
            total = total - put_back(Scalar(-scalar.number, scalar.rows), node, kept)
        else:
            total = total + put_back(scalar, node, kept)
    return Scalar(), total, reasons


def peel(node: Node, kept: Collection[Node] = ()) -> tuple[Scalar, Node]:
    """The constant factors of a product, and what is left: -(2 * x) / N gives (-2, N^-1) and x. What is `kept` stays whole."""
    if node in kept:
        return Scalar(), node
    known = as_scalar(node)
    if known is not None:
        return known, node.ir.const(1)
    match node.op:
        case "neg":
            scalar, rest = peel(node.args[0], kept)
            return Scalar(Fraction(-1)) * scalar, rest
        case "mul":
            (s, a), (t, b) = peel(node.args[0], kept), peel(node.args[1], kept)
            if s == Scalar() and t == Scalar():
                return Scalar(), node
            return s * t, a * b
        case "div":
            (s, a), below = peel(node.args[0], kept), as_scalar(node.args[1])
            if below is not None and below.number != 0:
                return s * Scalar(1 / below.number, -below.rows), a
            return (s, a / node.args[1]) if s != Scalar() else (s, node)
        case "broadcast" | "reshape" | "transpose" | "pad" | "slice" | "alias":
            scalar, rest = peel(node.args[0], kept)
            if scalar == Scalar() or node.op == "alias":
                return Scalar(), node
            return scalar, rest.ir.make(node.op, rest, **dict(node.attrs))
        case _:
            return Scalar(), node


def as_scalar(node: Node) -> Scalar | None:
    """The scalar that a node of constants and N is, if it is one."""
    if node.op == "const" and node.value is not None and math.isfinite(node.value):
        return Scalar(node.value)
    if node.op == "symbol" and node.attr("name") == "N":
        return Scalar(Fraction(1), 1)
    if node.op == "mul" and not node.shape:
        a, b = as_scalar(node.args[0]), as_scalar(node.args[1])
        return a * b if a and b else None
    return None


def put_back(scalar: Scalar, node: Node, kept: Collection[Node] = ()) -> Node:
    """scalar * node as a textbook writes it: `(p - y) / N`, `0.0002 * w`, `2 * d / (3 * N)`."""
    number, ir = scalar.number, node.ir
    if node.op == "broadcast" and node not in kept:
        return ir.make("broadcast", put_back(scalar, node.args[0], kept), **dict(node.attrs))
    if number < 0 and node.op == "sub" and node not in kept:
        node, number = node.args[1] - node.args[0], -number
    if number < 0 and (abs(number) == 1 or isinstance(number, Fraction) and not _terminates(number)):
        node, number = -node, -number
    top, bottom = number, Fraction(1)
    if isinstance(number, Fraction) and not _terminates(number):
        top, bottom = Fraction(number.numerator), Fraction(number.denominator)
        if _terminates(1 / number) and len(repr(float(1 / number))) <= len(f"{top}{bottom}"):
            top, bottom = Fraction(1), 1 / number  # `x / 0.7` rather than `10 * x / 7`
    if top != 1:
        node = ir.const(top) * node
    n = ir.leaf("symbol", (), name="N")
    for _ in range(scalar.rows):
        node = n * node
    below = ir.const(bottom)
    for _ in range(-scalar.rows):
        below = below * n
    return node / below


def _terminates(number: Fraction) -> bool:
    """Whether the decimal of a fraction ends soon, so that it reads as a number."""
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1 and len(repr(float(number))) <= 12


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
