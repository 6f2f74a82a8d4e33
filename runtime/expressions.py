"""Expressions of the `data` section, evaluated without recursion: columns, literals, arithmetic row by row, pipes, `concat`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..compiler.constants import Number as Constant
from ..compiler.constants import exact, fold
from ..compiler.facts import Facts
from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, fault, nearest
from ..dsl.syntax import Binary, Call, Expr, Matrix, Name, Number, Text, Unary
from .pipes import PIPES, Array, Frame, Indices, Statistics, computed, numeric
from .table import Column, Rows, Table, matching

ARITHMETIC = {
    "+": ("add", np.add), "-": ("sub", np.subtract), "*": ("mul", np.multiply), "/": ("div", np.divide), "^": ("pow", np.power),
}  # fmt: skip
FUNCTIONS = ("columns", "concat", *PIPES)


@dataclass(frozen=True, slots=True)
class Transform:
    """A step on the way to a value: a pipe, `+ - * / ^`, `concat`, or a beginning: `columns`, `value`, `literal`, `number`.

    `of` are the positions of its operands among the steps before it; `statistics` are plain: names, labels, numbers.
    """

    name: str
    of: tuple[int, ...]
    statistics: Statistics


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """What a statement sees.

    `values` are those above it (None: at fault, and reported), `assigned` the lines of all. `table` is None without
    `from`, or if its file is at fault (`table_at_fault`). `train`: the rows that statistics may see; None is all.
    """

    name: str
    table: Table | None
    table_at_fault: bool
    values: Mapping[str, Frame | None]
    assigned: Mapping[str, int]
    train: Indices | None


Made = tuple[Frame | Constant, str, Statistics]
KNOWN_FAULT = MlpcError()  # what a statement raises that reads a value whose fault is reported already


def evaluate(expr: Expr, scope: Scope) -> tuple[Frame, tuple[Transform, ...]]:
    """The numbers of a statement and the steps that made them; MlpcError (E02xx, E04xx) for what has none."""
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
        result, name, statistics = _make(node, [results[i] for i in of], scope)
        place[node] = len(results)
        results.append(result)
        steps.append(Transform(name, of, statistics))
    return numeric(_frame(results[-1], expr)), tuple(steps)


def _operands(node: Expr) -> tuple[Expr, ...]:
    """The expressions that must have a value before `node` has."""
    match node:
        case Call(function=Name(id=name)) if name != "columns" and name in FUNCTIONS:
            return tuple(arg.value for arg in node.args)
        case Unary(value=value):
            return (value,)
        case Binary(op=op, left=left, right=right) if op in ARITHMETIC:
            return (left, right)
        case _:
            return ()


def _make(node: Expr, operands: list[Frame | Constant], scope: Scope) -> Made:
    match node:
        case Number(text=text):
            return exact(text), "number", {"value": (float(text),)}
        case Name():
            return _named(node, scope)
        case Matrix():
            frame = _literal(node, scope.name)
            return frame, "literal", {"names": (frame.labels,)}
        case Unary() | Binary() if operands:
            return _arithmetic(node, operands, scope)
        case Call(function=Name(id="columns")):
            return _columns(node, scope)
        case Call(function=Name(id="concat")):
            return _concat(node, operands)
        case Call(function=Name(id=name)) if name in PIPES:
            return _piped(node, operands, scope)
        case Call(function=function):
            hint = did_you_mean(function.id, FUNCTIONS)
            raise fault("E0205", function.span, f"`{function.id}` is no function of the `data` section", hint)
        case Text(text=text):
            raise fault("E0235", node.span, f'"{text}" is text, not a column', f'write columns("{text}")')
        case _:
            raise fault("E0107", node.span, f"`{node.span.text}` does not belong in `data`",
                        "data is computed row by row, with + - * / ^ and pipes; the rest belongs in `model`")


def _named(node: Name, scope: Scope) -> Made:
    """The value assigned above by that name, else the column."""
    name, table = node.id, scope.table
    if name in scope.values:
        frame = scope.values[name]
        if frame is None:
            raise KNOWN_FAULT
        return replace(frame, span=node.span), "value", {"names": ((name,),)}
    if table is not None and name in table.columns:
        return _of_columns([table.columns[name]], node, table)
    if scope.table_at_fault:
        raise KNOWN_FAULT
    if name in scope.assigned and name != scope.name:
        raise fault("E0202", node.span, f"`{name}` is assigned on line {scope.assigned[name]}, below this use", "move that line up")
    if name in {"numeric", "categorical"}:
        raise fault("E0201", node.span, f"`{name}` cannot be used yet", 'name the columns: columns("sepal_*", ...)')
    if table is None:
        raise fault("E0201", node.span, f"there is no value `{name}` above, and no `from` that would bring columns",
                    did_you_mean(name, scope.values))
    raise fault("E0402", node.span, f"{table.rows.file} has no column `{name}`", did_you_mean(name, [*table.columns, *scope.values]))


def _columns(node: Call, scope: Scope) -> Made:
    """`columns("sepal_*", ...)`: each column once, in the order of the patterns, then of the file."""
    table = scope.table
    faults: list[Diagnostic] = []
    found: dict[str, Column] = {}
    for arg in node.args:
        if arg.name is not None or not isinstance(arg.value, Text):
            hint = f'columns("{arg.value.id}")' if isinstance(arg.value, Name) else 'columns("sepal_*")'
            faults.append(Diagnostic("E0206", arg.span, "`columns` takes patterns in quotes", hint))
            continue
        pattern = arg.value.text
        hits = matching(table, pattern) if table else []
        if table and not hits:
            near = nearest(pattern, table.columns) or nearest(pattern.strip("*?_ "), table.columns)
            hint = f"did you mean `{near}`?" if near else did_you_mean(pattern, table.columns)
            faults.append(Diagnostic("E0402", arg.span, f'no column of {table.rows.file} matches "{pattern}"', hint))
        found |= {column.name: column for column in hits}
    if not node.args:
        faults.append(Diagnostic("E0206", node.span, "`columns` needs a pattern", 'columns("sepal_*")'))
    elif table is None and not scope.table_at_fault:
        faults.append(Diagnostic("E0201", node.span, "there is no `from`, and so there are no columns", 'from "data/iris.csv"'))
    if faults or table is None:
        raise MlpcError(*faults)
    return _of_columns(list(found.values()), node, table)


def _of_columns(columns: list[Column], node: Expr, table: Table) -> Made:
    names = tuple(column.name for column in columns)
    return Frame(names, table.rows, node.span, cells=tuple(columns), sources=names), "columns", {"names": (names,)}


def _literal(node: Matrix, name: str) -> Frame:
    """`[[1, 2], [3, 4]]` is [2, 2]; `[1, 2, 3]` is a column [3, 1]."""
    nested = any(isinstance(item, Matrix) for item in node.items)
    rows = [item.items if isinstance(item, Matrix) else (item,) for item in node.items]
    if not rows or not rows[0]:
        raise fault("E0405", node.span, f"`{node.span.text}` holds no number", f"{name} = [[5.1, 1.4], [7.0, 4.7]]")
    for i, (item, row) in enumerate(zip(node.items, rows, strict=True)):
        if nested and not isinstance(item, Matrix):
            raise fault("E0409", item.span, f"row {i + 1} stands without brackets, and others have them", f"write [{item.span.text}]")
        if len(row) != len(rows[0]):
            raise fault("E0409", item.span, f"row {i + 1} has {len(row)} number{'s' * (len(row) != 1)} and row 1 has {len(rows[0])}",
                        "every row of a matrix is as long as the first")
    width = len(rows[0])
    labels = _labels(name, width)
    cells = [[_cell(item) for item in row] for row in rows]
    where = Rows("", range(1, len(rows) + 1))
    columns = (Column(label, tuple(column), where) for label, column in zip(labels, zip(*cells, strict=True), strict=True))
    return Frame(labels, where, node.span, cells=tuple(columns))


def _cell(item: Expr) -> str:
    match item:
        case Number(text=text):
            return text
        case Unary(value=Number(text=text)):
            return f"-{text}"
        case _:
            raise fault("E0233", item.span, f"`{item.span.text}` is not a number; a matrix in `data` holds nothing else",
                        "write the number out; columns are computed outside the brackets")


def _arithmetic(node: Unary | Binary, operands: list[Frame | Constant], scope: Scope) -> Made:
    word, ufunc = ("neg", np.negative) if isinstance(node, Unary) else ARITHMETIC[node.op]
    constants: list[Constant] = [x for x in operands if not isinstance(x, Frame)]
    frames = [numeric(x) for x in operands if isinstance(x, Frame)]
    if not frames:
        value: Constant | None = -constants[0] if word == "neg" else fold(word, constants)
        if value is None:
            raise fault("E0233", node.span, f"`{node.span.text}` is no finite number")
        return value, node.op, {}
    _same_rows(frames)
    widths = [len(frame.labels) for frame in frames]
    if 1 < min(widths) < max(widths):
        raise fault("E0231", node.span, f"`{node.op}` meets {widths[0]} columns and {widths[1]}", "both need as many, or one of them one")
    remaining = iter(frames)
    arrays: list[Array] = [_array(next(remaining)) if isinstance(x, Frame) else np.array(float(x)) for x in operands]
    with np.errstate(all="ignore"):
        array = ufunc(*arrays)
    merged = replace(frames[0], sources=_sources(frames))
    return computed(merged, array, node.span, labels=_labels(scope.name, max(widths))), node.op, {}


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
    array = np.column_stack([_array(numeric(frame)) for frame in frames])
    return Frame(labels, frames[0].rows, node.span, array, facts=kept, sources=sources), "concat", {}


def _piped(node: Call, operands: list[Frame | Constant], scope: Scope) -> Made:
    name, pipe = node.function.id, PIPES[node.function.id]
    if not operands or node.args[0].name is not None:
        raise fault("E0206", node.span, f"`{name}` needs columns", f"x = column |> {name}")
    arguments: dict[str, float] = {}
    for i, (arg, value) in enumerate(zip(node.args[1:], operands[1:], strict=True)):
        key = arg.name.id if arg.name else pipe.parameters[i] if i < len(pipe.parameters) else ""
        if key not in pipe.parameters or key in arguments:
            takes = f"`{name}` takes {' and '.join(pipe.parameters) or 'nothing but columns'}"
            raise fault("E0206", arg.span, takes, (did_you_mean(key, pipe.parameters) if key else "") or "leave this out")
        if isinstance(value, Frame):
            raise fault("E0233", arg.value.span, f"`{key}` of `{name}` is one number, and this has a row for each row")
        arguments[key] = float(value)
    for key in pipe.parameters:
        if key not in arguments:
            raise fault("E0206", node.function.span, f"`{name}` needs {key}", f"{name}({', '.join(pipe.parameters)})")
    frame = _frame(operands[0], node.args[0].value)
    train = np.arange(len(frame.rows.lines)) if scope.train is None else scope.train
    statistics = pipe.fit(frame, train, arguments, node.function.span)
    return pipe.apply(frame, statistics, node.function.span), name, statistics


def _frame(value: Frame | Constant, expr: Expr) -> Frame:
    if isinstance(value, Frame):
        return value
    raise fault("E0235", expr.span, f"`{expr.span.text}` is one number; a value of `data` has rows", "write a column: [1, 2, 3]")


def _same_rows(frames: list[Frame]) -> None:
    for frame in frames[1:]:
        if len(frame.rows.lines) != len(frames[0].rows.lines):
            raise fault("E0409", frame.span, f"`{frame.span.text}` has {len(frame.rows.lines)} rows and "
                        f"`{frames[0].span.text}` has {len(frames[0].rows.lines)}", "values that meet have the same rows")


def _labels(name: str, width: int) -> tuple[str, ...]:
    """Names for columns that have none: that of the statement, numbered if there are several."""
    return (name,) if width == 1 else tuple(f"{name}{i + 1}" for i in range(width))


def _sources(frames: list[Frame]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for frame in frames for name in frame.sources))


def _array(frame: Frame) -> Array:
    assert frame.array is not None
    return frame.array
