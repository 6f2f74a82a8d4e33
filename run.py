"""What a training came to, with the model that it was of: to look at, to predict by, to save."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compiler.render.json import numbers, plain
from .runtime import fitted, sources, weights
from .runtime.kernel import Array
from .runtime.train import Trained

if TYPE_CHECKING:
    from .model import Model


@dataclass(frozen=True, slots=True, eq=False)
class Run(Trained):
    """A training's outcome and its `model`; what else there is, `Trained` says. `mlpc.load_run` gives one whose model has no rows of data."""

    model: Model = field(kw_only=True)

    def predict(self, X: Any) -> Any:
        """The output for raw rows, in the labels and units of the target."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the weights with all that predicting by them needs into one safetensors file. OSError if that fails."""
        weights.save(Path(path), weights.Weights(document(self), self.params | self.states))


def run_of(model: Model, trained: Trained) -> Run:
    """The run that a training of `model` was."""
    return Run(*(getattr(trained, f.name) for f in fields(Trained)), model=model)


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
