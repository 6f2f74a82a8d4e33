"""Expressions in a frame to what they mean: most often a node, with a diagnosis in the user's words where shapes do not fit."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ..dsl.diagnostics import MlpcError, did_you_mean, fault
from ..dsl.syntax import Binary, Call, Expr, Matrix, Member, Name, Number, Slice, Text, Unary
from . import shapes, slices, unfold
from .constants import exact
from .instances import Applicable, Frame, Group, Meaning
from .ir import Node, literal_facts
from .ops import ShapeError
from .vocabulary import BUILTINS, RESERVED

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
        raise fault("E0235", e.span, f"`{meaning.text}` is a group of params, and one value is needed",
                    f"give it to a function: l2({meaning.text}) is the sum of l2 of each")  # fmt: skip
    what = "a function" if isinstance(meaning, Applicable) else "an initialiser"
    raise fault("E0235", e.span, f"`{e.span.text}` is {what}, and a value is needed",
                f"call it: {e.span.text}(...)" if isinstance(meaning, Applicable) else "it stands only after `~`")  # fmt: skip


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
            return operation(low, "neg", e, [(value, node(low, value, frame))], frame)
        case Binary(op="@", left=left, right=right):
            return product(low, e, (left, node(low, left, frame)), (right, node(low, right, frame)), frame)
        case Binary(op=op, left=left, right=right):
            return operation(low, BINARY[op], e, [(left, node(low, left, frame)), (right, node(low, right, frame))], frame)
        case Call():
            return unfold.call(low, e, frame)
        case Slice():
            return slices.columns_slice(low, e, frame)
        case Member(parts=parts):
            return member(low, e, parts, frame)
        case Matrix():
            return literal(low, e, frame)
        case Text():
            raise fault("E0235", e.span, "a text has no place here", "texts stand only in `from`, `import` and `columns(...)`")


def literal(low: Lowering, e: Matrix, frame: Frame) -> Node:
    """`[1, 2, 3]` is [3], `[[1, 2], [3, 4]]` is [2, 2]: exact numbers, unbatched."""
    if frame.symbols:
        raise fault(
            "E0235", e.span, "a literal matrix has no place here", "write one number: an update works on each number of a param by itself"
        )
    nested = [isinstance(item, Matrix) for item in e.items]
    rows = [item.items if isinstance(item, Matrix) else (item,) for item in e.items]
    if not all(rows) or not rows:
        raise fault("E0231", e.span, f"`{spoken(e, frame)}` holds no number", "[1, 2, 3] is a vector, [[1, 2], [3, 4]] a matrix")
    for i, (row, within) in enumerate(zip(rows, nested, strict=True)):
        if within != nested[0]:
            raise fault("E0231", e.items[i].span, f"a row in brackets and a number side by side in `{spoken(e, frame)}`",
                        "all items are numbers, or all are rows: [[1, 2], [3, 4]]")  # fmt: skip
        if len(row) != len(rows[0]):
            raise fault("E0231", e.items[i].span, f"row {i + 1} has {len(row)} number{'s' * (len(row) != 1)} and row 1 has {len(rows[0])}",
                        "every row of a matrix is as long as the first")  # fmt: skip
        if any(isinstance(number, Matrix) for number in row):
            raise fault("E0231", e.items[i].span, "a literal has at most two axes, rows and columns", "[[1, 2], [3, 4]]")
    numbers = tuple(tuple(low.constant(number, frame) for number in row) for row in rows)
    if nested[0]:
        return low.ir.leaf("literal", (len(rows), len(rows[0])), literal_facts(numbers), value=numbers)
    return low.ir.leaf("literal", (len(rows),), literal_facts((flat := tuple(row[0] for row in numbers),)), value=flat)


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
        raise fault("E0201", e.span, f"`{e.id}` has a value only in the optimizer's numbers and in an `update`",
                    "a schedule is a number of the optimizer: sgd(lr = cosine(0.1, 0.01))")  # fmt: skip
    if low.lib.find(e.id, frame.home) or e.id in BUILTINS:
        raise fault("E0235", e.span, f"`{e.id}` is a function, and a value is needed", f"call it: {e.id}(...)")
    hint = did_you_mean(e.id, frame.scope, () if e.id in RESERVED else RESERVED)
    if frame.symbols and not frame.scope and not hint.startswith("did"):
        hint = "the optimizer's numbers see only numbers, functions of them, step, steps, epoch, epochs and pi"
    raise fault("E0201", e.span, f"there is no value `{e.id}` here", hint)


def member(low: Lowering, e: Member, parts: tuple[Name, ...], frame: Frame) -> Meaning:
    """`deep.weights`: the params of one statement."""
    owner, last = parts[0].id, parts[-1].id
    if len(parts) == 2 and last in {"weights", "params"} and owner in low.owner:
        least = 2 if last == "weights" else 0
        return Group(tuple(n for n in low.owner[owner] if len(n.shape) >= least), f"{owner}.{last}")
    raise fault("E0201", e.span, f"`{e.span.text}` is not a value here", "a statement's params are  name.weights  and  name.params")


def operation(low: Lowering, op: str, e: Expr, operands: list[tuple[Expr, Node]], frame: Frame, **attrs: object) -> Node:
    """An elementwise operation on operands with their text, for the diagnosis if they do not fit."""
    for text, n in operands:
        if "N" in n.shape[1:]:
            raise transposed(text, n, frame)
    try:
        return low.ir.make(op, *(n for _, n in operands), **attrs)
    except ShapeError as error:
        raise misfit(low, e, operands, error, frame) from None


def transposed(e: Expr, n: Node, frame: Frame) -> MlpcError:
    """The diagnosis of a transposed batch where none can stand."""
    message = f"`{spoken(e, frame)}` is {shapes.show(n.shape)}: a transposed batch stands only left of `@`"
    return fault("E0231", e.span, message, "transpose(a) @ b")


def product(low: Lowering, e: Expr, left: tuple[Expr, Node], right: tuple[Expr, Node], frame: Frame) -> Node:
    """`a @ b`; a vector on the left is a row for the length of the product."""
    a, b = left[1], right[1]
    try:
        if len(a.shape) == 1 and len(b.shape) == 2 and a.shape[0] == b.shape[0]:
            row = low.ir.make("reshape", a, shape=(1, *a.shape))
            return low.ir.make("reshape", low.ir.make("matmul", row, b), shape=(b.shape[1],))
        return low.ir.make("matmul", a, b)
    except ShapeError as error:
        raise misfit(low, e, [left, right], error, frame) from None


def spoken(e: Expr, frame: Frame) -> str:
    """An expression in the user's words, on one line: a parameter of std's text is what it was given."""
    if frame.home == "std" and frame.caller is not None and isinstance(e, Name) and e.id in frame.given:
        return spoken(frame.given[e.id], frame.caller)
    flat = e.span.words
    if frame.home == "std" and frame.caller is not None:
        caller, given = frame.caller, frame.given
        flat = re.sub(r"[A-Za-z_]\w*", lambda m: spoken(given[m[0]], caller) if m[0] in given else m[0], flat)
    return flat if len(flat) <= 40 else flat[:37] + "..."


def misfit(low: Lowering, e: Expr, operands: list[tuple[Expr, Node]], error: ShapeError, frame: Frame) -> MlpcError:
    """The diagnosis of operands whose shapes do not fit, naming each with its shape and line."""
    told = [f"{spoken(text, frame)} is {shapes.show(n.shape)}{_where(low, text, n)}" for text, n in operands]
    return fault("E0231", e.span, f"{' and '.join(dict.fromkeys(told))}; {error}", _remedy(low, e, operands, frame))


def _remedy(low: Lowering, e: Expr, operands: list[tuple[Expr, Node]], frame: Frame) -> str:
    """What to change: the line of a param that is written by its name, else what would fit."""
    shown = [spoken(text, frame) for text, _ in operands]
    if isinstance(e, Call) and e.function.id == "concat":
        return "all of them need a row for each row of data: x + b gives b to each row"
    if isinstance(e, Call) and e.function.id == "onehot":
        return "`column |> index` makes one, and so does argmax(x)"
    if len(operands) == 1:
        return f"the value needs {'rows and columns' if isinstance(e, Call) and e.function.id == 'transpose' else 'a row of numbers'}"
    if isinstance(e, Binary) and e.op == "@":
        (_, a), (text, b) = operands
        if a.shape and b.op == "param" and (where := _line(low, text, b)) and "N" not in a.shape[1:]:
            wanted = (a.shape[-1], b.shape[1] if len(b.shape) == 2 else "k")
            what = "" if len(b.shape) == 2 else ", where k is the width of the product"
            return f"change {where} to  param {text.span.text} {shapes.show(wanted)}{what}"
        if len(a.shape) == 2 and b.shape[-1:] == a.shape[:1] and shapes.batched(b.shape):
            return f"write  {shown[1]} @ {shown[0]}"
        if shapes.batched(a.shape) and shapes.batched(b.shape):
            return f"{shown[0]} * {shown[1]} multiplies number by number; transpose({shown[0]}) @ {shown[1]} sums over the batch"
        return "`*` multiplies by a number" if not (a.shape and b.shape) else "give the right side as many rows as the left has columns"
    if any(shapes.batched(n.shape) for _, n in operands) and any(n.op == "literal" and n.shape[:-1] not in {(), (1,)} for _, n in operands):
        return "every row of the batch meets the same numbers, [1, 2]; those that belong to one row each stand in `data`"
    for i, (text, n) in enumerate(operands):
        other = max((m.shape for j, (_, m) in enumerate(operands) if j != i), key=len)
        if n.op == "param" and other and (where := _line(low, text, n)):
            wanted = other[-len(n.shape) :] if not shapes.batched(other) else other[-1:]
            return f"change {where} to  param {text.span.text} {shapes.show(wanted)}"
    widths = [n.shape[-1] for _, n in operands if n.shape and n.shape[-1] != 1]
    return f"give both the same width, {' or '.join(str(w) for w in dict.fromkeys(widths))}"


def _where(low: Lowering, e: Expr, n: Node) -> str:
    line = _line(low, e, n)
    return f" ({line})" if line else ""


def _line(low: Lowering, e: Expr, n: Node) -> str:
    """The line on which the model or the data gives this name this value, or ''."""
    if not isinstance(e, Name) or e.id not in low.spans or low.values.get(e.id) is not n:
        return ""
    span = low.spans[e.id]
    return span.told_from(span if e.span.source.of_std else e.span)
