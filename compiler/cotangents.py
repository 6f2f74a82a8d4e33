"""Arithmetic on cotangents, which the sweep carries as (scalar, node): every vjp is linear, so signs, constants and 1/N ride outside.

Cotangents that meet add inside a scalar that they share, and what all of them begin with is factored out: `dh * t + dh * u`
is `dh * (t + u)`. The scalar is put back as a textbook writes it: a difference is swapped if negative, then the number,
then `/ N`, a division because times 1/N differs in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction

from msgspec import Struct

from .constants import Number, settle
from .ir import Node
from .ops import call

SCALARS, CHOICE, FACTOR = "scalars", "choice", "factor"
MECHANISMS = {  # what the sweep does beside the rules of `simplify`, in words
    SCALARS: "signs, numbers and 1 / N are carried beside the cotangent, since every vjp is linear, and written once: -(a - b) is b - a",
    CHOICE: "f(where(c, g, 0)) -> where(c, f(g), 0), since every vjp is linear: nothing, not 0 * inf, goes to the other side",
    FACTOR: "g * a + g * b -> g * (a + b)  and  where(c, g * a, g * b) -> g * where(c, a, b), g being what all terms begin with",
}
LONG = 10**6  # a fraction of longer numbers than this is written as a decimal


class Scalar(Struct, frozen=True):
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


class Term(Struct, frozen=True):
    """A contribution to a cotangent: scalar times node, through which reader, and why."""

    scalar: Scalar
    node: Node
    reader: int
    reasons: tuple[str, ...]


def combine(terms: list[Term], kept: Collection[Node] = ()) -> tuple[Scalar, Node, tuple[str, ...]]:
    """The sum of the terms as one (scalar, node), in the order of their readers in the forward pass."""
    reasons = tuple(dict.fromkeys(r for t in sorted(terms, key=lambda t: t.reader) for r in t.reasons))
    ordered = sorted(terms, key=lambda t: t.reader)
    barred = ordered[0].node.ir.barred
    if SCALARS not in barred:
        ordered = counted(ordered)
    common = common_factor([t.node for t in ordered], kept) if len(ordered) > 1 and FACTOR not in barred else None
    if common is not None:
        rest = [Term(t.scalar, without(t.node, common), -1 if t.node is common else t.reader, ()) for t in ordered]  # a 1 stands first
        scalar, total, _ = combine(rest, kept)
        return scalar, common * total, reasons
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
        return sums[0][0], choice_factored(sums[0][1], kept), reasons
    sums.sort(key=lambda s: s[0].negative)
    rows = {s.rows for s, _ in sums}
    outside = Scalar(rows=rows.pop()) if len(rows) == 1 else Scalar()
    total = put_back(Scalar(sums[0][0].number, sums[0][0].rows - outside.rows), sums[0][1], kept)
    for scalar, node in sums[1:]:
        if scalar.negative:
            total = total - put_back(Scalar(-scalar.number, scalar.rows - outside.rows), node, kept)
        else:
            total = total + put_back(Scalar(scalar.number, scalar.rows - outside.rows), node, kept)
    return outside, choice_factored(total, kept), reasons


def counted(terms: list[Term]) -> list[Term]:
    """The terms, those of one node and power of N as one: x and x is 2 * x, to the bit."""
    found: dict[tuple[Node, int], Term] = {}
    for term in terms:
        key = (term.node, term.scalar.rows)
        first = found.get(key)
        number = term.scalar.number + first.scalar.number if first else term.scalar.number
        if number == 0:  # x - x is not 0 where x is not finite
            return terms
        found[key] = Term(Scalar(number, term.scalar.rows), term.node, first.reader if first else term.reader, ())
    return list(found.values())


def common_factor(nodes: Sequence[Node], kept: Collection[Node]) -> Node | None:
    """The longest product or quotient that all of the nodes begin with, shaped like them: g / b of g / b * x and g / b."""
    chains = [list(beginnings(n, kept)) for n in nodes]
    shared = [n for n in chains[0] if n.op != "const" and all(n in chain for chain in chains)]
    return shared[0] if shared and all(n.shape == shared[0].shape for n in nodes) else None


def beginnings(node: Node, kept: Collection[Node]) -> Iterator[Node]:
    """g * a / b, g * a, g: the node and what it multiplies or divides from the left on."""
    yield node
    while node.op in {"mul", "div"} and node not in kept and node.args[0].shape == node.shape:
        node = node.args[0]
        yield node


def without(node: Node, factor: Node) -> Node:
    """What the node multiplies that beginning of it by."""
    if node is factor:
        return node.ir.const(1)
    return node.ir.make(node.op, without(node.args[0], factor), node.args[1])


def chosen_sides(g: Node, kept: Collection[Node]) -> tuple[tuple[tuple[Node, int], ...], Node]:
    """The choices around a cotangent, outermost last, and what is chosen: where(c, a, 0) gives ((c, 0),) and a.

    Every vjp is linear, so that an elementwise one can work on what is chosen, and nothing (not 0 * inf) is sent to the other side.
    """
    choices: list[tuple[Node, int]] = []
    while g.op == "where" and g not in kept and CHOICE not in g.ir.barred:
        condition, *sides = g.args
        taken = [i for i, side in enumerate(sides) if side.value != 0]
        if len(taken) != 1:
            break
        choices.append((condition, taken[0]))
        g = call("broadcast", sides[taken[0]], shape=g.shape)
    return tuple(reversed(choices)), g


def choice_factored(node: Node, kept: Collection[Node]) -> Node:
    """where(c, g * a, g * b)  ->  g * where(c, a, b)."""
    if node.op != "where" or node in kept or FACTOR in node.ir.barred:
        return node
    condition, *sides = node.args
    common = common_factor(sides, kept)
    if common is None or common.shape != node.shape:
        return node
    return common * call("where", condition, *(without(s, common) for s in sides))


def peel(node: Node, kept: Collection[Node] = ()) -> tuple[Scalar, Node]:
    """The constant factors of a product, and what is left: -(2 * x) / N gives (-2, N^-1) and x. What is `kept` stays whole."""
    if node in kept or SCALARS in node.ir.barred:
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
    if scalar == Scalar():
        return node
    if settle(number) is None:  # no float64 holds it: the step is to say so, not the plan
        number = math.inf if number > 0 else -math.inf
    if node.op == "broadcast" and node not in kept:
        return ir.make("broadcast", put_back(scalar, node.args[0], kept), **dict(node.attrs))
    if number < 0 and node.op == "sub" and node not in kept:
        node, number = node.args[1] - node.args[0], -number
    if number < 0 and (abs(number) == 1 or isinstance(number, Fraction) and not _terminates(number)):
        node, number = -node, -number
    top, bottom = number, Fraction(1)
    if isinstance(number, Fraction) and not _terminates(number) and max(abs(number.numerator), number.denominator) < LONG:
        top, bottom = Fraction(number.numerator), Fraction(number.denominator)
        if _terminates(1 / number) and len(repr(float(1 / number))) <= len(f"{top}{bottom}"):
            top, bottom = Fraction(1), 1 / number  # `x / 0.7` rather than `10 * x / 7`
    if top != 1:
        node = _times(ir.const(top), node, kept)
    n = ir.leaf("symbol", (), name="N")
    for _ in range(scalar.rows):
        node = n * node
    below = ir.const(bottom)
    for _ in range(-scalar.rows):
        below = below * n
    return node if below.value == 1 else node / below


def _times(number: Node, node: Node, kept: Collection[Node]) -> Node:
    """number * node, before the first factor: `2 * a * b` rather than `2 * (a * b)`."""
    if node.op == "mul" and node not in kept and node.args[0].shape == node.shape:
        return _times(number, node.args[0], kept) * node.args[1]
    return number * node


def _terminates(number: Fraction) -> bool:
    """Whether the decimal of a fraction ends soon, so that it reads as a number."""
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1 and len(repr(float(number))) <= 12
