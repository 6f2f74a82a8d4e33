"""mlpc, a declarative computation-graph compiler.

    model = mlpc.load("models/iris.mlp")
    run = model.train()
    run.metrics["test"]["accuracy"]
    run.predict("new.csv")
    run.save("iris.safetensors")
    run = mlpc.load_run("iris.safetensors")
    mlpc.load("models/iris.mlp", data=frame)      # a data frame, a mapping of columns or an array in place of the file's `from`

What is wrong raises `MlpcError`. More is in docs/python.md.

Names are found when they are first asked for, so that `import mlpc` and `mlpc --version` cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .compiler.plan import Plan
    from .dsl.diagnostics import MlpcError
    from .loading import load, load_folds, load_run, loads
    from .model import Model
    from .run import Run

__all__ = ["MlpcError", "Model", "Plan", "Run", "__version__", "load", "load_folds", "load_run", "loads"]

__version__ = "0.1.0"  # the one place of it: pyproject.toml reads it here, and asking for installed metadata takes 10 ms

_HOMES = {
    "MlpcError": "dsl.diagnostics", "Model": "model", "Plan": "compiler.plan", "Run": "run", "load": "loading", "load_folds": "loading",
    "load_run": "loading", "loads": "loading",
}  # fmt: skip


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """`%load_ext mlpc` in a notebook: the cell magic `%%mlp`."""
    from .ipython_magic import register

    register(ipython)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlpc' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
