"""Expressions of the `data` section, evaluated without recursion: columns, literals, arithmetic row by row, pipes, `concat`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import cast

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from ..compiler.constants import Number as Constant
from ..compiler.constants import exact, fold
from ..compiler.facts import Facts
from ..dsl.diagnostics import MlpcError, did_you_mean, fault
from ..dsl.syntax import Binary, Call, Expr, Matrix, Name, Number, Text, Unary
from .arguments import arguments_of, word
from .columns import Table
from .frame import Array, Frame, Indices, Pieces, Statistics, block_rows, computed, in_blocks, numbers, numeric
from .missing import Drop, dropped
from .pipes import PIPES
from .selection import KINDS, Selection, by_kind, by_pattern, labels_of, literal
from .split import KINDS as SPLITS

ARITHMETIC = {
    "+": ("add", np.add), "-": ("sub", np.subtract), "*": ("mul", np.multiply), "/": ("div", np.divide), "^": ("pow", np.power),
}  # fmt: skip
FUNCTIONS = ("columns", "concat", *PIPES)


class Transform(Struct, frozen=True):
    """A step on the way to a value: a pipe, `+ - * / ^`, `concat`, or a beginning: `columns`, `value`, `literal`, `number`.

    `of` are the positions of its operands among the steps before it; `statistics` are plain: names, labels, numbers.
    `width` is the number of columns that it makes, 0 for a number.
    """

    name: str
    of: tuple[int, ...]
    statistics: Statistics
    width: int


class Scope(Struct, frozen=True, eq=False):
    """What a statement sees.

    `values` are those above it (None: at fault, and reported), `assigned` the lines of all. `table` is None without
    `from`, or if its file is at fault (`table_at_fault`); `taken` are its columns that other statements name. `train`: the
    rows that statistics may see; None is all. `kept`: the rows of the file that were not dropped; None is all. `drops` collects
    the rows to drop; None: none may be dropped. `fitted`: the steps that the statement was in training, which new rows go through again.
    `blocks`: where the table is a sample of one that stays in its file, an expression, which consists of these steps, at all rows that
    train, of which so many come at a time.
    """

    name: str
    table: Table | None
    table_at_fault: bool
    values: Mapping[str, Frame | None]
    assigned: Mapping[str, int]
    taken: frozenset[str]
    train: Indices | None
    kept: NDArray[np.bool_] | None
    drops: list[Drop] | None
    fitted: tuple[Transform, ...] | None = None
    blocks: Callable[[Expr, tuple[Transform, ...], int], Iterator[Frame]] | None = None

    def pieces(self, frame: Frame, expr: Expr, steps: tuple[Transform, ...]) -> Pieces:
        """The rows that train, of an expression that is `frame` and was made in these steps."""
        if self.blocks is not None:
            return ((block, slice(None)) for block in self.blocks(expr, steps, block_rows(frame)))
        return in_blocks(frame, np.arange(len(frame.rows.lines)) if self.train is None else self.train)


Steps = Callable[[], tuple[Transform, ...]]
Made = tuple[Frame | Constant, str, Statistics]
KNOWN_FAULT = MlpcError()  # what a statement raises that reads a value whose fault is reported already


def evaluate(expr: Expr, scope: Scope) -> tuple[Frame, tuple[Transform, ...]]:
    """The numbers of a statement and the steps that made them; MlpcError (E02xx, E04xx) for what has none."""
    frame, steps = unconverted(expr, scope)
    return numeric(frame), steps


def unconverted(expr: Expr, scope: Scope) -> tuple[Frame, tuple[Transform, ...]]:
    """The columns of an expression, as text if no pipe made numbers of them, and the steps that made them."""
    order: list[Expr] = []
    stack = [expr]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(_operands(node))
    place: dict[Expr, int] = {}
    results: list[Frame | Constant] = []
    steps: list[Transform] = []
    for node in reversed(order):
        of = tuple(place[operand] for operand in _operands(node))
        before = scope.fitted[len(results)] if scope.fitted is not None else None
        result, name, statistics = _make(node, [results[i] for i in of], scope, before, lambda of=of: _tree(steps, of[0]))
        place[node] = len(results)
        results.append(result)
        steps.append(Transform(name, of, statistics, len(result.labels) if isinstance(result, Frame) else 0))
        if before is not None and steps[-1].width != before.width:
            found = f"`{node.span.words}` is {steps[-1].width} columns here, and was {before.width} in training"
            raise fault("E0231", node.span, found, "the table must have the columns that the model was trained on")
    return _frame(results[-1], expr), tuple(steps)


def _tree(steps: list[Transform], at: int) -> tuple[Transform, ...]:
    """The step there and all that it is made of, which stand before it."""
    first = at
    while steps[first].of:
        first = min(steps[first].of)
    return tuple(steps[first : at + 1])


def _operands(node: Expr) -> tuple[Expr, ...]:
    """The expressions that must have a value before `node` has."""
    match node:
        case Call(function=Name(id=name)) if name != "columns" and name in FUNCTIONS:
            return tuple(arg.value for i, arg in enumerate(node.args) if word(name, i, arg) is None)
        case Unary(value=value):
            return (value,)
        case Binary(op=op, left=left, right=right) if op in ARITHMETIC:
            return (left, right)
        case _:
            return ()


def _make(node: Expr, operands: list[Frame | Constant], scope: Scope, before: Transform | None, steps: Steps) -> Made:
    """What a node comes to; `before`: the step that it was in training, whose columns and statistics stay. `steps`: of its first operand."""
    if before is not None and before.name in {"columns", "literal"}:  # the numbers of a literal are those of training rows
        return _of_table(cast("tuple[str, ...]", before.statistics["names"][0]), node, scope)
    match node:
        case Number(text=text):
            return exact(text), "number", {"value": (float(text),)}
        case Name():
            return _named(node, scope)
        case Matrix():
            frame = literal(node, scope.name, scope.kept)
            return frame, "literal", {"names": (frame.labels,)}
        case Unary() | Binary() if operands:
            return _arithmetic(node, operands, scope)
        case Call(function=Name(id="columns")):
            return _of_table(by_pattern(node, scope.table, scope.table_at_fault), node, scope)
        case Call(function=Name(id="concat")):
            return _concat(node, operands)
        case Call(function=Name(id=name)) if name in PIPES:
            return _piped(node, operands, scope, before, steps)
        case Call(function=function):
            hint = f"split = {function.id}(...)" if function.id in SPLITS else did_you_mean(function.id, FUNCTIONS)
            raise fault("E0205", function.span, f"`{function.id}` is no function of the `data` section", hint)
        case Text(text=text):
            raise fault("E0235", node.span, f'"{text}" is text, not a column', f'write columns("{text}")')
        case _:
            raise fault(
                "E0107",
                node.span,
                f"`{node.span.text}` does not belong in `data`",
                "data is computed row by row, with + - * / ^ and pipes; the rest belongs in `model`",
            )


def _named(node: Name, scope: Scope) -> Made:
    """The value assigned above by that name, else the column."""
    name, table = node.id, scope.table
    if name in scope.values:
        frame = scope.values[name]
        if frame is None:
            raise KNOWN_FAULT
        return replace(frame, span=node.span), "value", {"names": ((name,),)}
    if table is not None and name in KINDS:
        return _of_table(by_kind(node, table, scope.taken), node, scope)
    if table is not None and name in table.names:
        return _of_table((name,), node, scope)
    if scope.table_at_fault:
        raise KNOWN_FAULT
    if name in scope.assigned and name != scope.name:
        raise fault("E0202", node.span, f"`{name}` is assigned on line {scope.assigned[name]}, below this use", "move that line up")
    if table is None:
        raise fault(
            "E0201",
            node.span,
            f"there is no value `{name}` above, and no `from` that would bring columns",
            did_you_mean(name, scope.values),
        )
    raise fault("E0402", node.span, f"{table.file} has no column `{name}`", did_you_mean(name, [*table.names, *scope.values], KINDS))


def _arithmetic(node: Unary | Binary, operands: list[Frame | Constant], scope: Scope) -> Made:
    word, ufunc = ("neg", np.negative) if isinstance(node, Unary) else ARITHMETIC[node.op]
    constants: list[Constant] = [x for x in operands if not isinstance(x, Frame)]
    frames = [numeric(x) for x in operands if isinstance(x, Frame)]
    if not frames:
        value: Constant | None = -constants[0] if word == "neg" else fold(word, constants)
        if value is None:
            raise fault("E0233", node.span, f"`{node.span.text}` is no finite number")
        return value, node.op, {"value": (float(value),)}
    _same_rows(frames)
    widths = [len(frame.labels) for frame in frames]
    if 1 < min(widths) < max(widths):
        raise fault("E0231", node.span, f"`{node.op}` meets {widths[0]} columns and {widths[1]}", "both need as many, or one of them one")
    remaining = iter(frames)
    arrays: list[Array] = [numbers(next(remaining)) if isinstance(x, Frame) else np.array(float(x)) for x in operands]
    with np.errstate(all="ignore"):
        array = ufunc(*arrays)
    merged = replace(frames[0], sources=_sources(frames))
    return computed(merged, array, node.span, labels=labels_of(scope.name, max(widths))), node.op, {}


def _concat(node: Call, operands: list[Frame | Constant]) -> Made:
    """Columns side by side; text stays text as long as all of them are."""
    for arg in node.args:
        if arg.name is not None:
            raise fault("E0206", arg.span, "`concat` takes no named argument", "concat(a, b)")
    if not operands:
        raise fault("E0206", node.span, "`concat` needs values to put side by side", "concat(a, b)")
    frames = [_frame(x, arg.value) for x, arg in zip(operands, node.args, strict=True)]
    _same_rows(frames)
    labels, sources = tuple(label for frame in frames for label in frame.labels), _sources(frames)
    if all(frame.array is None for frame in frames):
        cells = tuple(column for frame in frames for column in frame.cells)
        return Frame(labels, frames[0].rows, node.span, cells=cells, sources=sources), "concat", {}
    facts = [frame.facts for frame in frames]
    kept = Facts(
        nonnegative=all(f.nonnegative for f in facts),
        positive=all(f.positive for f in facts),
        integer=all(f.integer for f in facts),
        bounded=all(f.bounded for f in facts),
    )
    array = np.column_stack([numbers(numeric(frame)) for frame in frames])
    gap = next((frame.gap for frame in frames if frame.gap), None)
    return Frame(labels, frames[0].rows, node.span, array, facts=kept, sources=sources, gap=gap), "concat", {}


def _piped(node: Call, operands: list[Frame | Constant], scope: Scope, before: Transform | None, steps: Steps) -> Made:
    name, pipe = node.function.id, PIPES[node.function.id]
    if not operands or node.args[0].name is not None:
        raise fault("E0206", node.span, f"`{name}` needs columns", f"x = column |> {name}")
    arguments = arguments_of(node, operands[1:])
    frame = _frame(operands[0], node.args[0].value)
    if name == "drop_missing" and scope.drops is not None and scope.train is None:
        frames = iter([frame]) if scope.blocks is None else scope.blocks(node.args[0].value, steps(), block_rows(frame))
        drop = dropped(frames, node.function.span)
        if drop.columns:
            scope.drops.append(drop)
            raise KNOWN_FAULT  # the statement is evaluated again without these rows
    frame = numeric(frame) if pipe.numeric else frame
    statistics = before.statistics if before is not None else {}
    if before is None:
        trained = ((numeric(f) if pipe.numeric else f, rows) for f, rows in scope.pieces(frame, node.args[0].value, steps()))
        with closing(trained) as pieces:
            statistics = pipe.fit(pieces, arguments, node.function.span)
    return pipe.apply(frame, statistics, node.function.span), name, statistics


def _of_table(names: tuple[str, ...], node: Expr, scope: Scope) -> Made:
    assert scope.table is not None
    frame = Selection(scope.table, scope.kept).frame(names, node)
    return frame, "columns", {"names": (names,)}


def _frame(value: Frame | Constant, expr: Expr) -> Frame:
    if isinstance(value, Frame):
        return value
    raise fault("E0235", expr.span, f"`{expr.span.text}` is one number; a value of `data` has rows", "write a column: [1, 2, 3]")


def _same_rows(frames: list[Frame]) -> None:
    for frame in frames[1:]:
        if len(frame.rows.lines) != len(frames[0].rows.lines):
            raise fault(
                "E0409",
                frame.span,
                f"`{frame.span.text}` has {len(frame.rows.lines)} rows and `{frames[0].span.text}` has {len(frames[0].rows.lines)}",
                "values that meet have the same rows",
            )


def _sources(frames: list[Frame]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for frame in frames for name in frame.sources))
