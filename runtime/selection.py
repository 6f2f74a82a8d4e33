"""Where frames begin: columns of the file, by name, by pattern or by kind, and literal matrices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, fault, nearest
from ..dsl.syntax import Arg, Assign, Call, Expr, Matrix, Name, Number, Program, Text, Unary, walk
from .columns import Column, Rows, Table, matching
from .frame import Frame

KINDS = ("numeric", "categorical")


class Selection(Struct, frozen=True, eq=False):
    """Columns of a file that are asked for under one or several names; `kept` says which of its rows were not dropped (None: all)."""

    table: Table
    kept: NDArray[np.bool_] | None = None

    def frame(self, names: tuple[str, ...], node: Expr) -> Frame:
        """The columns of these names side by side."""
        found = [remaining(column, self.kept) for name in names for column in self.table.columns(name, node.span)]
        short = next((c for c in found if len(c.rows.lines) != len(found[0].rows.lines)), None)
        if short is not None:
            raise fault("E0409", node.span, f"`{short.name}` has {len(short.rows.lines)} rows and `{found[0].name}` has {len(found[0].rows.lines)}",
                        "columns that stand side by side have the same rows")  # fmt: skip
        return Frame(tuple(c.name for c in found), found[0].rows, node.span, cells=tuple(found), sources=names)


def remaining(column: Column, kept: NDArray[np.bool_] | None) -> Column:
    """The column without the rows that were dropped."""
    return column.only(kept) if kept is not None and len(kept) == len(column.rows.lines) else column


def by_pattern(node: Call, table: Table | None, table_at_fault: bool) -> tuple[str, ...]:
    """`columns("sepal_*", ...)`: each name once, in the order of the patterns, then of the file."""
    faults: list[Diagnostic] = []
    found: dict[str, None] = {}
    for arg in node.args:
        if not _is_pattern(arg):
            hint = f'columns("{arg.value.id}")' if isinstance(arg.value, Name) else 'columns("sepal_*")'
            faults.append(Diagnostic("E0206", arg.span, "`columns` takes patterns in quotes", hint))
            continue
        assert isinstance(arg.value, Text)
        pattern = arg.value.text
        hits = matching(table.names, pattern) if table else []
        if table and not hits:
            near = nearest(pattern, table.names) or nearest(pattern.strip("*?_ "), table.names)
            hint = f"did you mean `{near}`?" if near else did_you_mean(pattern, table.names)
            faults.append(Diagnostic("E0402", arg.span, f'no column of {table.file} matches "{pattern}"', hint))
        found |= dict.fromkeys(hits)
    if not node.args:
        faults.append(Diagnostic("E0206", node.span, "`columns` needs a pattern", 'columns("sepal_*")'))
    elif table is None and not table_at_fault:
        faults.append(Diagnostic("E0201", node.span, "there is no `from`, and so there are no columns", 'from "data/iris.csv"'))
    if faults or table is None:
        raise MlpcError(*faults)
    return tuple(found)


def by_kind(node: Name, table: Table, taken: frozenset[str]) -> tuple[str, ...]:
    """`numeric` or `categorical`: the names of that kind that no other statement writes (`taken`)."""
    wanted = node.id == "numeric"
    free = [name for name in table.names if name not in taken]
    found = tuple(name for name in free if all(c.is_numeric for c in table.columns(name, node.span)) == wanted)
    if not found:
        left = f"{', '.join(free[:12])} {'are' if len(free) > 1 else 'is'} left" if free else "none is left"
        raise fault("E0402", node.span, f"no column of {table.file} is {node.id} that no other statement names: {left}",
                    f"leave `{node.id}` out, or name the columns")  # fmt: skip
    return found


def without(program: Program, faults: Iterable[Diagnostic]) -> Program | None:
    """The program without the values of `data` that are at fault, to find what else is wrong; None if that could not be told apart."""
    if program.data is None:
        return None
    spans = [d.span for d in faults]
    at_fault = [s for s in program.data.body if isinstance(s, Assign) and s.name.id != "split"
                and any(p and s.span.start <= p.start < s.span.end for p in spans)]  # fmt: skip
    rest = [s for s in program.data.body if s not in at_fault]
    elsewhere = any(p is None or not any(s.span.start <= p.start < s.span.end for s in at_fault) for p in spans)
    if elsewhere or any(isinstance(e, Name) and e.id in KINDS for s in rest if isinstance(s, Assign) for e in walk(s.value)):
        return None
    lost = program.lost | {s.name.id for s in at_fault}
    return replace(program, data=replace(program.data, body=tuple(rest)), faults=(*program.faults, *faults), lost=lost)


def named(statements: Mapping[str, Assign], table: Table) -> dict[str, frozenset[str]]:
    """statement -> the names of the file's columns that the others write."""
    own = {key: frozenset(written(s.value, table)) for key, s in statements.items()}
    return {key: frozenset().union(*(names for other, names in own.items() if other != key)) for key in own}


def written(expr: Expr, table: Table) -> Iterator[str]:
    """The names of the file's columns that an expression writes, or may mean by a pattern."""
    for e in walk(expr):
        if isinstance(e, Name) and e.id in table.names:
            yield e.id
        elif isinstance(e, Call) and e.function.id == "columns":
            for arg in e.args:
                yield from matching(table.names, arg.value.text) if isinstance(arg.value, Text) else ()


def _is_pattern(arg: Arg) -> bool:
    return arg.name is None and isinstance(arg.value, Text)


def literal(node: Matrix, name: str, kept: NDArray[np.bool_] | None = None) -> Frame:
    """`[[1, 2], [3, 4]]` is [2, 2]; `[1, 2, 3]` is a column [3, 1]."""
    nested = any(isinstance(item, Matrix) for item in node.items)
    rows = [item.items if isinstance(item, Matrix) else (item,) for item in node.items]
    if not rows or not rows[0]:
        raise fault("E0405", node.span, f"`{node.span.text}` holds no number", f"{name} = [[5.1, 1.4], [7.0, 4.7]]")
    for i, (item, row) in enumerate(zip(node.items, rows, strict=True)):
        if nested and not isinstance(item, Matrix):
            raise fault("E0409", item.span, f"row {i + 1} stands without brackets, and others have them", f"write [{item.span.text}]")
        if len(row) != len(rows[0]):
            raise fault(
                "E0409",
                item.span,
                f"row {i + 1} has {len(row)} number{'s' * (len(row) != 1)} and row 1 has {len(rows[0])}",
                "every row of a matrix is as long as the first",
            )
    width = len(rows[0])
    labels = labels_of(name, width)
    cells = [[_cell(item) for item in row] for row in rows]
    where = Rows("", range(1, len(rows) + 1))
    columns = [Column(label, tuple(column), where) for label, column in zip(labels, zip(*cells, strict=True), strict=True)]
    columns = [remaining(column, kept) for column in columns]
    return Frame(labels, columns[0].rows, node.span, cells=tuple(columns))


def labels_of(name: str, width: int) -> tuple[str, ...]:
    """Names for columns that have none: that of the statement, numbered if there are several."""
    return (name,) if width == 1 else tuple(f"{name}{i + 1}" for i in range(width))


def _cell(item: Expr) -> str:
    match item:
        case Number(text=text):
            return text
        case Unary(value=Number(text=text)):
            return f"-{text}"
        case _:
            raise fault(
                "E0233",
                item.span,
                f"`{item.span.text}` is not a number; a matrix in `data` holds nothing else",
                "write the number out; columns are computed outside the brackets",
            )
