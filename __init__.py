"""mlpc, a declarative computation-graph compiler.

    model = mlpc.load("models/iris.mlp")
    run = model.train()
    run.metrics["test"]["accuracy"]

Names are found when they are first asked for, so that `import mlpc` and `mlpc --version` cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compiler.plan import Plan
    from .dsl.diagnostics import MlpcError
    from .model import Model, load, loads

    __version__: str

__all__ = ["MlpcError", "Model", "Plan", "__version__", "load", "loads"]

_HOMES = {"MlpcError": "dsl.diagnostics", "Model": "model", "Plan": "compiler.plan", "load": "model", "loads": "model"}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("mlpc")
    if name not in _HOMES:
        raise AttributeError(f"module 'mlpc' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
