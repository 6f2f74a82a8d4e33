"""What a program compiles to: its plans, and what is known of its names when all of it has been read. A value that can be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from ..dsl.diagnostics import Diagnostic
from .plan import Plan
from .settings import Settings

if TYPE_CHECKING:
    from .uses import Uses


class Known(Struct, frozen=True):
    """A name of the user's graph: its `kind` there, the `facts` of its value in words, whether it is a target, whether its numbers are read."""

    name: str
    kind: str
    facts: tuple[str, ...]
    target: bool
    read: bool


class Compilation(Struct, frozen=True):
    """The plan to train, the plan to measure by, the settings as they come out for the data, and all that is said of the program.

    `names` are those of the graph in its order. `numbers` are the optimizer's: (name, value, where from). `better`: of each item of the
    report whether a larger one is, None where nothing says so. `graph` is the user's, with shapes and facts; None where it was not built.
    """

    training: Plan
    evaluation: Plan
    settings: Settings
    warnings: tuple[Diagnostic, ...]
    notes: tuple[str, ...]
    names: tuple[Known, ...]
    numbers: tuple[tuple[str, str, str], ...]
    better: tuple[tuple[str, bool | None], ...]
    graph: Uses | None = None
