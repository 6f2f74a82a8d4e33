"""What a training came to, with the model that it was of: to look at, to predict by, to save."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compiler.graph import output_name
from .compiler.render.json import numbers, plain
from .runtime import fitted, sources, weights
from .runtime.diagnosis import NotFinite
from .runtime.kernel import Array
from .runtime.run_folder import flat
from .runtime.train import Trained

if TYPE_CHECKING:
    from .model import Model
    from .runtime.columns import Table
    from .runtime.heads import Head
    from .runtime.new_rows import Evaluation


class Run(Trained, frozen=True, eq=False, kw_only=True):
    """A training's outcome and its `model`; what else there is, `Trained` says. `mlpc.load_run` gives one whose model has no rows of data."""

    model: Model

    def __repr__(self) -> str:
        numbers = flat({"epoch": self.epochs, "step": self.steps, "loss": self.losses, "metrics": self.metrics})
        shown = "".join(f", {name} {value:.6g}" for name, value in numbers.items() if "." in name)
        return f"<Run of {self.model.plan.title}: epoch {self.kept_epoch} of {self.epochs}, {self.steps} steps{shown}>"

    def predict(self, X: Any, *, proba: bool = False, value: str | None = None) -> Array:
        """The output for raw rows, in the labels and units of the target: [rows], or [rows, columns] where it has several.

        `X` is a path, a mapping of columns, a data frame of pandas or polars, or an array [rows, columns] with the columns in the order
        of `columns()`; a table may hold them in any order, and others. `proba`: the probability of each class, [rows, classes].
        `value`: another value of the model than its output. MlpcError E02xx, E04xx, E0511; a row's bits depend on that row alone.
        """
        from .runtime import given
        from .runtime.new_rows import predicted

        head = self.head(value)
        tables = given.tables(X, self.columns(value))
        return predicted(self.model.program, self.model.dataset, head, self.params | self.states, tables, proba)

    def predictions(self, head: Head, tables: Iterable[Table]) -> Iterator[tuple[Table, Array]]:
        """Every table with the head's numbers for its rows, [rows, width], as the model computes them."""
        from .runtime.new_rows import predictions

        return predictions(self.model.program, self.model.dataset, head, self.params | self.states, tables)

    def evaluate(self, data: Any) -> Evaluation:
        """The `rows`, `loss` and `metrics` of raw rows, which have their targets: in the same units as those of the run's own splits."""
        from .runtime import given

        return self.evaluate_tables(given.tables(data, self.measured_columns()))

    def evaluate_tables(self, tables: Iterable[Table]) -> Evaluation:
        """As `evaluate`, of tables whose rows stand one below the other."""
        from .runtime.new_rows import evaluation

        model = self.model
        return evaluation(model.program, model.dataset, model.compilation.evaluation, self.params | self.states, tables)

    def head(self, value: str | None = None) -> Head:
        """The output, or another value of the model, as something to predict. MlpcError E0201 or E0511 if it is none."""
        from .compiler.pipeline import compile_prediction
        from .runtime.heads import head, unknown_value

        model = self.model
        output = output_name(model.program) or ""
        name = output if value is None else value
        values = [known.name for known in model.compilation.names if known.kind == "value"]
        if name not in values:
            raise unknown_value(name, values)
        plan = compile_prediction(model.program, model.dataset.schema, name)
        return head(model.program, model.compilation, model.dataset, plan, name, output)

    def columns(self, value: str | None = None) -> dict[str, int]:
        """The columns of a table that predicting reads, each with how many numbers of a row it holds."""
        from .runtime.replay import raw_columns

        return raw_columns(self.model.dataset, self.head(value).inputs)

    def measured_columns(self) -> dict[str, int]:
        """As `columns`, of what `evaluate` reads."""
        from .runtime.replay import raw_columns

        plan = self.model.compilation.evaluation
        return raw_columns(self.model.dataset, [plan.values[r].name for r in plan.inputs])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the weights with all that predicting by them needs into one safetensors file. OSError if that fails."""
        weights.save(Path(path), weights.Weights(document(self), self.params | self.states))


def run_of(model: Model, trained: Trained) -> Run:
    """The run that a training of `model` was."""
    return Run(*(getattr(trained, name) for name in Trained.__struct_fields__), model=model)


@contextmanager
def of(model: Model) -> Generator[None]:
    """Lets an error that holds what a training came to hold the run of `model` instead."""
    try:
        yield
    except NotFinite as error:
        error.trained = run_of(model, error.trained)
        raise


def document(run: Run) -> dict[str, Any]:
    """What stands beside the weights: the texts of the program, what was learnt of its data, and what it came to."""
    from . import __version__

    model, plan = run.model, run.model.plan
    return {
        "format": weights.FORMAT,
        "mlpc": __version__,
        "title": plan.title,
        "files": sources.texts(model.program),
        "overrides": list(model.overrides),
        **fitted.document(model.dataset),
        "precision": plan.precision,
        "params": [{"name": p.name, "shape": list(p.shape), "init": p.init_text} for p in plan.params],
        "states": [{"name": s.name, "shape": list(s.shape), "init": s.init_text} for s in plan.model_states],
        "trained": {
            "epochs": run.epochs,
            "steps": run.steps,
            "kept_epoch": run.kept_epoch,
            "loss": plain(run.losses),
            "metrics": plain(run.metrics),
            "weights_sha256": run.weights_sha256,
            "threads": run.threads,
            "stopped": run.stopped,
        },
    }


def trained_of(
    found: Mapping[str, Any], params: dict[str, Array], states: dict[str, Array], history: tuple[dict[str, Any], ...]
) -> Trained:
    """What a training came to, from what stands beside the weights; how long it took is not there."""
    return Trained(
        history=history,
        params=params,
        losses=numbers(found["loss"]),
        metrics=numbers(found["metrics"]),
        epochs=found["epochs"],
        steps=found["steps"],
        seconds={},
        weights_sha256=found["weights_sha256"],
        threads=found["threads"],
        kept_epoch=found["kept_epoch"],
        states=states,
        stopped=found["stopped"],
    )
