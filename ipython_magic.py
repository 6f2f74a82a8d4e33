"""`%%mlp`: a model in a cell of a notebook. `%load_ext mlpc` makes it known.

    %%mlp iris
    data { ... }

compiles the cell, binds the `Model` to the name (`model` if none is given) and shows its plan.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .loading import loads
from .model import Model

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class _Options(argparse.ArgumentParser):
    """The line behind `%%mlp`; a cell has no exit status, so what is wrong with it is told as IPython tells such things."""

    def error(self, message: str) -> NoReturn:
        from IPython.core.error import UsageError

        raise UsageError(f"%%mlp: {message}; {self.format_usage().strip()}")


def register(shell: InteractiveShell) -> None:
    """Makes `%%mlp` known to a shell of IPython."""

    def cell_magic(line: str, cell: str) -> Model:
        return mlp(shell, line, cell)

    shell.magics_manager.register_function(cell_magic, "cell", "mlp")  # pyright: ignore[reportOptionalMemberAccess]


def mlp(shell: InteractiveShell, line: str, cell: str) -> Model:
    """The model of a cell, whose data is read beneath the current folder; bound to the name in `line`. Raises `MlpcError`."""
    options = _Options(prog="%%mlp", add_help=False, allow_abbrev=False)
    options.add_argument("name", nargs="?", default="model")
    options.add_argument("--set", dest="overrides", action="append", default=[], metavar="train.KEY=VALUE")
    given = options.parse_args(line.split())
    if not given.name.isidentifier():
        options.error(f"`{given.name}` is no name of Python's")
    model = loads(cell, Path.cwd(), given.overrides)
    user: dict[str, Any] = shell.user_ns  # pyright: ignore[reportUnknownMemberType]
    user[given.name] = model
    return model
