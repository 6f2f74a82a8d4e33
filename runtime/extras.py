"""What only an extra of mlpc installs: the libraries of operations that NumPy has not. They are asked for before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from ..compiler.ops import TABLE
from ..compiler.plan import Plan
from ..dsl.diagnostics import Diagnostic, MlpcError
from ..dsl.syntax import Source, Span


def refuse_without_libraries(plans: Iterable[Plan], source: Source) -> None:
    """MlpcError E0504 with every line of the source whose operations need a library that is not there."""
    needed = {(step.op, line.line): None for plan in plans for line in plan.lines for step in line.steps if TABLE[step.op].library}
    missing = {library for library in sorted({TABLE[op].library for op, _ in needed}) if not _there(library)}
    faults = [_fault(op, _line(source, line)) for op, line in needed if TABLE[op].library in missing]
    if faults:  # a line that the compiler made by itself has no place; it stands for one that has
        raise MlpcError(*([f for f in faults if f.span] or faults))


def refuse_without_library(op: str) -> None:
    """MlpcError E0504 if an operation needs a library that is not there."""
    if TABLE[op].library and not _there(TABLE[op].library):
        raise MlpcError(_fault(op, None))


def install(extra: str) -> str:
    """What a user types to have an extra; quoted, since a shell may read brackets as a pattern."""
    return f"pip install 'mlpc[{extra}]'"


def _there(library: str) -> bool:
    try:
        import_module(library)
    except ImportError:
        return False
    return True


def _fault(op: str, span: Span | None) -> Diagnostic:
    extra = TABLE[op].library.partition(".")[0]
    return Diagnostic("E0504", span, f"this needs `{op}`, which {extra} computes, and {extra} is not installed", install(extra))


def _line(source: Source, line: int) -> Span | None:
    """What is written in a line, without its comment; None for no line."""
    if not line:
        return None
    text = source.line_text(line)
    start = source.line_starts[line - 1]
    return Span(source, start + len(text) - len(text.lstrip()), start + len(text.partition("#")[0].rstrip()))
