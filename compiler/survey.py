"""What can be said of a program before its data is known: definitions, names and settings, and all that is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct

from ..dsl.diagnostics import Diagnostic, MlpcError
from ..dsl.syntax import Program
from .definitions import Library
from .graph import build
from .ir import Interner
from .library import collect
from .lower import Lowering
from .resolution import resolve
from .schema import Schema
from .settings import Settings
from .simplify import RULES
from .updates import lower_update
from .uses import Uses

T = TypeVar("T")


class Survey(Struct, frozen=True, eq=False):
    """`settings` is None if they are at fault; `faults` are in no order."""

    lib: Library
    graph: Uses
    settings: Settings | None
    faults: tuple[Diagnostic, ...]


def survey(program: Program) -> Survey:
    """The library, the graph of names and the settings of a program, with every fault in them."""
    lib, faults = collect(program)
    faults += program.faults
    graph, found = build(program, lib)
    faults += found
    settings = checked(lambda: resolve(program, lib), faults)
    if settings is not None and settings.optimizer.function.id not in lib.broken:
        trial = settings.scheduled(1)
        checked(lambda: lower_update(Lowering(Interner(RULES), lib, Schema()), trial), faults)
    if lib.unread:
        faults = [d for d in faults if d.code != "E0205" or d.span is None or lib.find(d.span.text) is not None]
    return Survey(lib, graph, settings, told(program, faults))


def told(program: Program, faults: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Each fault once, without those that only follow from the statements that are left out."""
    return tuple(d for d in dict.fromkeys(faults) if d.code != "E0201" or d.span is None or d.span.text not in program.lost)


def checked(work: Callable[[], T], faults: list[Diagnostic]) -> T | None:
    """The result of `work`, or None with its faults collected."""
    try:
        return work()
    except MlpcError as error:
        faults.extend(error.diagnostics)
        return None
