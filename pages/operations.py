"""The page of an operation: its derivative, shapes, facts and an example, all read from its row of the table."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from msgspec import Struct

from ..compiler import shapes
from ..compiler.facts import NOTHING, ONEHOT, SIMPLEX, Facts
from ..compiler.ir import Interner, Node
from ..compiler.notation import Notation
from ..compiler.ops import TABLE, Op, ShapeError
from ..compiler.plan import Shape
from ..compiler.simplify import RULES
from ..dsl.diagnostics import MlpcError
from ..runtime.extras import refuse_without_library
from . import gallery
from .example import Lines, shown
from .page import Page

HEADING = re.compile(r"^## ([^\n]+)\n\n(.*?)(?=\n## |\Z)", re.MULTILINE | re.DOTALL)
SYMBOLS = {"ᵀ": ("transpose",)} | {
    s: tuple(op for op, row in TABLE.items() if row.symbol == s) for s in {r.symbol: 0 for r in TABLE.values()} if s
}
ROW: Shape = ("N", 3)
OPERANDS: tuple[tuple[tuple[Shape, ...], ...], ...] = (  # by how many there are
    (((),), ((3,),), (ROW,), (("N", 1),), ((2, 3),)),
    ((ROW, ROW), (ROW, (3,)), (ROW, ("N", 1)), (ROW, ()), (("N", 1), (3,)), (ROW, (4,)), (ROW, (2, 3))),
    ((ROW, ROW, ROW), (("N", 1), ROW, ()), (("N", 1), (3,), (3,)), (ROW, (4,), ROW)),
)
PRODUCTS: tuple[tuple[Shape, ...], ...] = (
    (("N", 4), (4, 3)),
    ((2, 4), (4, 3)),
    ((4,), (4, 3)),
    ((4, "N"), ROW),
    (("N", 4), (3, 4)),
    (("N", 4), (4,)),
)
ALIKE: tuple[tuple[Shape, ...], ...] = ((ROW, ("N", 2)), ((2, 3), (2, 1)), (ROW, (2, 3)))
MATRICES: tuple[tuple[Shape, ...], ...] = ((ROW,), ((2, 3),), ((3,),))
REDUCED: dict[str, dict[str, object]] = {
    "": {"axes": (0, 1), "keep": False}, "axis = features": {"axes": (1,), "keep": True}, "axis = batch": {"axes": (0,), "keep": False},
}  # fmt: skip
KNOWN: dict[str, Facts] = {
    "anything": NOTHING, ">= 0": Facts(nonnegative=True), "> 0": Facts(nonnegative=True, positive=True), "integer": Facts(integer=True),
    "bounded": Facts(bounded=True), "simplex": SIMPLEX, "onehot": ONEHOT,
}  # fmt: skip


class Derivative(Struct, frozen=True):
    """How an operation is written, and what it sends to each operand, dh being the gradient of its value h."""

    written: str
    sent: Lines


def page(op: str) -> Page:
    """The page of an operation."""
    row = TABLE[op]
    document: dict[str, Any] = {"name": op, "kind": row.kind, "why": reasons()[op], "flops": row.flops}
    parts = [f"# operation {op}", f"## Why\n\n{reasons()[op]}"]
    if row.kind != "leaf":
        found = derivative(op)
        document |= {"written": found.written, "derivative": dict(found.sent), "shapes": list(shape_table(op)), "facts": fact_table(op)}
        each = "of the operand" if row.kind == "reduce" else "of the result"
        cost = f"{row.flops} floating-point operation{'s' * (row.flops != 1)} a number {each}" if row.flops else "no arithmetic"
        cost = "as many multiplications and additions as pairs of numbers that meet" if row.kind == "matmul" else cost
        parts[0] += f"\n\nWritten `{found.written}`: {KINDS[row.kind]}; {cost}."
        sent = shown(found.sent) if found.sent else "nothing: it has no derivative, or one of 0"
        parts.append(f"## Derivative\n\n```plan\n{sent}\n```")
        parts.append("## Shapes\n\n```text\n" + aligned([(*case["operands"], case["result"]) for case in shape_table(op)]) + "\n```")
        if fact_table(op):
            parts.append("## Facts\n\n```text\n" + aligned([(f"of {of}:", found) for of, found in fact_table(op).items()]) + "\n```")
        try:
            ran = applied(op)
            document["example"] = {name: np.asarray(value).tolist() for name, value in ran.items()}
            parts.append("## Example\n\n```text\n" + aligned([(name, "=", numbers(value)) for name, value in ran.items()]) + "\n```")
        except MlpcError as error:
            document["missing"] = error.diagnostics[0].hint
            parts.append(f"{error.diagnostics[0].message}: {error.diagnostics[0].hint}")
        lines = gallery.computed_by(op)
        document["gallery"] = gallery.document(lines)
        parts.append(gallery.section(lines, "No model of the gallery computes it."))
    return Page("operation", document, "\n\n".join(parts))


KINDS = {
    "elementwise": "elementwise", "rowwise": "made row by row", "columns": "made column by column", "reduce": "a reduction",
    "matmul": "a product of matrices", "view": "another arrangement, without a copy", "move": "a copy to other places", "random": "a draw",
}  # fmt: skip


@cache
def reasons() -> dict[str, str]:
    """Why each derivative holds, as written in operations.md."""
    text = (files("mlpc.pages") / "operations.md").read_text("utf-8")
    return {op: why.strip() for heading, why in HEADING.findall(text) for op in heading.split(", ")}


def operands(row: Op) -> list[str]:
    """The names of the operands: those of the table's rule for the derivative."""
    given, _ = row.example or ((), {})
    own = list(inspect.signature(row.vjp).parameters.values())[2:] if row.vjp else []
    if own and own[0].kind is own[0].VAR_POSITIONAL or len(own) != len(given):
        return ["x"] if len(given) == 1 else ["q", "x"] if row.kind == "random" else ["a", "b"]
    return [p.name for p in own]


def derivative(op: str) -> Derivative:
    """The derivative of an operation, as its row makes it and as the rewrites leave it."""
    row = TABLE[op]
    given, attrs = row.example or ((), {})
    ir, names = Interner(RULES), operands(row)
    leaves = [ir.leaf("input", np.shape(value), name=name) for name, value in zip(names, given, strict=True)]
    out = ir.make(op, *leaves, **attrs)
    g = ir.leaf("input", out.shape, name="dh")
    called: dict[Node, str] = dict(zip(leaves, names, strict=True))
    written = Notation(called, {}).right_side(out)[0]
    notation = Notation(called | {out: "h", g: "dh"}, {})
    parts = row.vjp(g, out, *leaves) if row.vjp else ()
    return Derivative(written, tuple((f"d{n}", notation.right_side(p)[0]) for n, p in zip(names, parts, strict=False) if p is not None))


def shape_table(op: str) -> Iterator[dict[str, Any]]:
    """Operand shapes, and the shape of the result or why there is none, by the table's rule."""
    row = TABLE[op]
    given, attrs = row.example or ((), {})
    for case, more, said in _cases(row, len(given), attrs):
        try:
            result = shapes.show(row.shape(case, more))
        except ShapeError as error:
            result = f"refused: {error}"
        yield {"operands": [*map(shapes.show, case), *([said] if said else [])], "result": result}


def _cases(row: Op, arity: int, attrs: Mapping[str, object]) -> Iterator[tuple[tuple[Shape, ...], Mapping[str, object], str]]:
    if row.kind == "reduce":
        yield from (((shape,), how, said or "all axes") for said, how in REDUCED.items() for shape in (ROW, (2, 3)))
        return
    if row.shape is shapes.matmul or row.shape is shapes.concat:
        chosen = PRODUCTS if row.kind == "matmul" else ALIKE
    elif row.shape is shapes.transpose or (row.kind in {"rowwise", "columns"} and not attrs):
        chosen = MATRICES
    elif attrs and row.kind != "random":
        chosen = (tuple(np.shape(value) for value in (row.example or ((), {}))[0]),)
    elif row.shape is shapes.broadcast or row.kind == "random":
        chosen = OPERANDS[arity - 1]
    else:
        chosen = (tuple(np.shape(value) for value in (row.example or ((), {}))[0]),)
    said = ", ".join(f"{k} = {_attribute(v)}" for k, v in attrs.items()) if row.kind != "random" else ""
    yield from ((case, attrs, said) for case in chosen)


def _attribute(value: object) -> str:
    return shapes.show(value) if isinstance(value, tuple) else str(value)  # pyright: ignore[reportArgumentType]  a tuple is a shape


def fact_table(op: str) -> dict[str, str]:
    """What is known of the result, by what is known of every operand; what follows of anything is said once."""
    row = TABLE[op]
    given, attrs = row.example or ((), {})
    found: dict[str, str] = {}
    for of, facts in KNOWN.items():
        ir = Interner({})
        leaves = [ir.leaf("input", np.shape(value), facts, name=str(i)) for i, value in enumerate(given)]
        if facts.row_sum is not None and any(leaf.shape[-1:] in {(), (1,)} for leaf in leaves):
            continue  # a number has no row to sum
        known = ir.make(op, *leaves, **attrs).facts.names()
        if known and ", ".join(known) != found.get("anything"):
            found[of] = ", ".join(known)
    return found


def applied(op: str) -> dict[str, Any]:
    """The example of a row: its operands by name, and `h`. MlpcError E0504 where the library that computes it is not installed."""
    row = TABLE[op]
    given, attrs = row.example or ((), {})
    assert row.numpy is not None
    refuse_without_library(op)
    arrays = [np.asarray(value, float) for value in given]
    more: dict[str, Any] = {k: np.random.default_rng(0) if k == "stream" else v for k, v in attrs.items()}
    if row.kind != "view":
        more["out"] = np.empty([int(d) for d in row.shape([a.shape for a in arrays], attrs)])
    return {**dict(zip(operands(row), arrays, strict=True)), "h": row.numpy(*arrays, **more)}


def numbers(value: Any) -> str:
    """`[[0.3, -1.2], [1, 2]]`, six digits of each."""
    if np.ndim(value):
        return "[" + ", ".join(numbers(v) for v in value) + "]"
    return f"{float(value):.6g}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns below each other; a short row ends early."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False)).rstrip() for row in rows)
