"""Expressions in a frame to what they mean: most often a node, with a diagnosis in the user's words where shapes do not fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..dsl.diagnostics import MlpcError, did_you_mean, fault
from ..dsl.syntax import Binary, Call, Expr, Matrix, Member, Name, Number, Slice, Text, Unary
from . import builtins, shapes, unfold
from .constants import exact
from .instances import Frame, Group, Meaning
from .ir import Node
from .ops import ShapeError
from .vocabulary import BUILTINS

if TYPE_CHECKING:
    from .lower import Lowering

BINARY = {"+": "add", "-": "sub", "*": "mul", "/": "div", "^": "pow", "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
DEEPEST = 1500  # levels of unfolding
TRAIN_ONLY = ("step", "steps", "epoch", "epochs")


def node(low: Lowering, e: Expr, frame: Frame) -> Node:
    """The node of an expression. Raises E0235 where it is a function or a group instead."""
    meaning = expr(low, e, frame)
    if isinstance(meaning, Node):
        return meaning
    if isinstance(meaning, Group):
        raise fault("E0235", e.span, f"`{meaning.text}` is a group of {len(meaning.members)} params, and one value is needed",
                    f"give it to a function: l2({meaning.text}) is the sum of l2 of each")  # fmt: skip
    raise fault("E0235", e.span, f"`{e.span.text}` is a function, and a value is needed")


def expr(low: Lowering, e: Expr, frame: Frame) -> Meaning:
    """What an expression means in a frame."""
    if low.depth >= DEEPEST:
        raise fault("E0104", e.span, f"unfolded, this is more than {DEEPEST} levels deep", "give the parts names of their own")
    low.depth += 1
    try:
        return _expr(low, e, frame)
    finally:
        low.depth -= 1


def _expr(low: Lowering, e: Expr, frame: Frame) -> Meaning:
    match e:
        case Number(text=text):
            return low.ir.const(exact(text))
        case Name():
            return name(low, e, frame)
        case Unary(value=value):
            return operation(low, "neg", e, [(value, node(low, value, frame))])
        case Binary(op="@", left=left, right=right):
            return product(low, e, (left, node(low, left, frame)), (right, node(low, right, frame)))
        case Binary(op=op, left=left, right=right):
            return operation(low, BINARY[op], e, [(left, node(low, left, frame)), (right, node(low, right, frame))])
        case Call():
            return unfold.call(low, e, frame)
        case Slice():
            return builtins.columns_slice(low, e, frame)
        case Member(parts=parts):
            return member(low, e, parts, frame)
        case Matrix():
            raise fault("E0235", e.span, "a literal matrix stands in `data`, or in  param w [..] ~ values([[..]])")
        case Text():
            raise fault("E0235", e.span, "a text stands only in `from`, `import` and `columns(...)`")


def name(low: Lowering, e: Name, frame: Frame) -> Meaning:
    """What a bare name means."""
    if e.id in frame.scope:
        return frame.scope[e.id]
    if e.id in frame.symbols:
        return frame.symbols[e.id]
    if e.id == "pi":
        return low.ir.const(math.pi)
    if e.id == "training":
        return low.ir.const(int(low.training))
    if e.id in {"weights", "params"} and not frame.symbols:
        least = 2 if e.id == "weights" else 0
        return Group(tuple(p.node for p in low.params if len(p.node.shape) >= least), e.id)
    if e.id in TRAIN_ONLY:
        raise fault("E0201", e.span, f"`{e.id}` has a value only in the numbers of `train` and in an `update`")
    if low.lib.find(e.id, frame.home) or e.id in BUILTINS:
        raise fault("E0235", e.span, f"`{e.id}` is a function, and a value is needed", f"call it: {e.id}(...)")
    raise fault("E0201", e.span, f"there is no value `{e.id}` here", did_you_mean(e.id, frame.scope))


def member(low: Lowering, e: Member, parts: tuple[Name, ...], frame: Frame) -> Meaning:
    """`deep.weights`: the params of one statement."""
    owner, last = parts[0].id, parts[-1].id
    if len(parts) == 2 and last in {"weights", "params"} and owner in low.owner:
        least = 2 if last == "weights" else 0
        return Group(tuple(n for n in low.owner[owner] if len(n.shape) >= least), f"{owner}.{last}")
    raise fault("E0201", e.span, f"`{e.span.text}` is not a value here", "a statement's params are  name.weights  and  name.params")


def operation(low: Lowering, op: str, e: Expr, operands: list[tuple[Expr, Node]], **attrs: object) -> Node:
    """An elementwise operation on operands with their text, for the diagnosis if they do not fit."""
    for text, n in operands:
        if "N" in n.shape[1:]:
            raise fault("E0231", text.span, f"`{text.span.text}` is {shapes.show(n.shape)}: a transposed batch stands only left of `@`",
                        "transpose(a) @ b")  # fmt: skip
    try:
        return low.ir.make(op, *(n for _, n in operands), **attrs)
    except ShapeError as error:
        raise misfit(low, e, operands, error) from None


def product(low: Lowering, e: Expr, left: tuple[Expr, Node], right: tuple[Expr, Node]) -> Node:
    """`a @ b`; a vector on the left is a row for the length of the product."""
    a, b = left[1], right[1]
    try:
        if len(a.shape) == 1 and len(b.shape) == 2 and a.shape[0] == b.shape[0]:
            row = low.ir.make("reshape", a, shape=(1, *a.shape))
            return low.ir.make("reshape", low.ir.make("matmul", row, b), shape=(b.shape[1],))
        return low.ir.make("matmul", a, b)
    except ShapeError as error:
        raise misfit(low, e, [left, right], error) from None


def misfit(low: Lowering, e: Expr, operands: list[tuple[Expr, Node]], error: ShapeError) -> MlpcError:
    """The diagnosis of operands whose shapes do not fit, naming each with its shape and line."""
    told = [f"{_short(text.span.text)} is {shapes.show(n.shape)}{_where(low, text)}" for text, n in operands]
    hint = ""
    text, n = operands[-1]
    first = operands[0][1].shape
    if isinstance(text, Name) and n.op == "param" and text.id in low.spans and len(operands) == 2 and first:
        wanted = (first[-1], n.shape[1]) if len(n.shape) == 2 and isinstance(e, Binary) and e.op == "@" else first[-1:]
        hint = f"change line {low.spans[text.id].line} to  param {text.id} {shapes.show(wanted)}"
    return fault("E0231", e.span, f"{' and '.join(told)}; {error}", hint)


def _where(low: Lowering, e: Expr) -> str:
    return f" (line {low.spans[e.id].line})" if isinstance(e, Name) and e.id in low.spans else ""


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 40 else flat[:37] + "..."
