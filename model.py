"""A model file, loaded: its graph, its data, its plans, and what can be done with them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from .compiler.compilation import Compilation
from .compiler.footprint import Footprint
from .compiler.plan import Line, Plan
from .compiler.render.page import Row, Shown
from .compiler.settings import Settings
from .dsl.diagnostics import Diagnostic, MlpcError, fault
from .dsl.syntax import Program
from .run import Run, of, run_of
from .runtime import memory, run_folder, weights
from .runtime.data import Dataset
from .runtime.extras import refuse_without_libraries
from .runtime.kernel import Array
from .runtime.lints import lints
from .runtime.progress import Snapshot
from .runtime.train import OnEpoch, OnStep, train

if TYPE_CHECKING:  # what a training does not need is imported by the methods that do
    import networkx as nx

    from .compiler.derivation import Derivation
    from .compiler.difference import Difference
    from .compiler.trace import Trace
    from .runtime.checkpoint import Checkpoints
    from .runtime.gradcheck import Report
    from .runtime.overfit import Overfit

MOST_MEMORY = "80%"


class Model(Shown, Struct, frozen=True, eq=False):
    """What a `.mlp` file says, compiled for its data. `seconds`: how long reading the data and compiling took; `overrides`: as in `train.epochs=5`."""

    program: Program
    dataset: Dataset
    compilation: Compilation
    seconds: dict[str, float]
    overrides: tuple[str, ...] = ()

    @property
    def graph(self) -> nx.MultiDiGraph[str]:
        """The user's values as a `networkx.MultiDiGraph`, made anew each time."""
        if self.compilation.graph is not None:
            return self.compilation.graph.networkx()
        from .compiler.pipeline import user_graph

        return user_graph(self.program, self.dataset.schema).networkx()

    @property
    def plan(self) -> Plan:
        """Forward, gradient and update, as they run."""
        return self.compilation.training

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines of the plan in the order they run."""
        return self.plan.lines

    def page(self) -> list[Row]:
        """The page of `mlpc plan`."""
        from .compiler.render.text import plan_page

        return plan_page(self.plan, self.footprint)

    def _repr_latex_(self) -> str:
        from .compiler.render.display import plan_display

        return plan_display(self.plan)

    @property
    def prediction(self) -> Plan:
        """The lines from the inputs to the output, as prediction runs them."""
        from .compiler.pipeline import compile_prediction

        return compile_prediction(self.program, self.dataset.schema)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What is allowed and most likely not meant, in the program and in its data."""
        return (*self.compilation.warnings, *lints(self.compilation.names, self.dataset))

    @property
    def settings(self) -> Settings:
        """What `train` comes to, with `--set` and defaults."""
        return self.compilation.settings

    @property
    def footprint(self) -> Footprint:
        """What a step of the plan costs at its batch."""
        return memory.footprint(self.plan)

    def diff(self, other: Model, *, prediction: bool = False) -> Difference:
        """What separates this model's plan, settings and data from another's. `prediction`: only the lines from the inputs to the output."""
        from .compiler.difference import Subject, difference
        from .compiler.sayings import sayings

        def subject(model: Model) -> Subject:
            said = tuple(sayings(model.program, model.settings, model.dataset.schema))
            if prediction:
                return Subject(model.plan.title, model.prediction, None, tuple(s for s in said if s[0] == "data"))
            return Subject(model.plan.title, model.plan, model.footprint, said)

        return difference(subject(self), subject(other))

    def why(self, name: str) -> Derivation:
        """How a line of the plan, called by its name or its id, comes about. MlpcError E0201 if there is no such line."""
        from .compiler.derivation import called
        from .compiler.derive import derive

        plan, found = derive(self.program, self.dataset.schema)
        return found[called(plan, name).id]

    def train(
        self,
        *,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
        threads: int | None = None,
        max_memory: str = MOST_MEMORY,
        init: str | os.PathLike[str] | Mapping[str, Array] | None = None,
        max_seconds: float = math.inf,
        since: Snapshot | None = None,
        checkpoints: Checkpoints | None = None,
        stop: Callable[[], bool] | None = None,
        on_nan: Callable[[MlpcError], None] | None = None,
        watch: Collection[str] = (),
    ) -> Run:
        """Trains from the start. `threads` None: as many as the plan is worth. `max_memory`: `2GB`, or a share of what is available.

        `on_epoch({epoch, step, loss, metrics})` is called after each, and what it returns `True` for is the last: then `stopped` is
        "on_epoch". `on_step(number)` is called after each step. What they raise ends the training, and the model may train again.
        `init`: a run's folder, a file of weights or params and states by name, to begin with. After `max_seconds` it ends as if that
        were its last step.
        `since`: a snapshot of this training, to go on from; `checkpoints` take one where it is due, and where `stop()` is true, which is
        asked between batches and ends it by `Interrupted`.
        `watch`: values or lines whose norms and histograms `history` has. MlpcError E0201, E0501, E0504 or E0505 before it starts;
        E0503 when the loss is not finite, with `.trained`, the run as it last was: `on_nan(error)` is called instead, once, if it is given.
        E0512 when a process is ended that shares the training: on several threads there are as many.
        """
        self.refuse_what_cannot_run(max_memory)
        start = None if init is None else self.beginning(init)
        with of(self):
            return run_of(self, train(
                self.plan, self.compilation.evaluation, self.dataset, self.settings, on_epoch=on_epoch, on_step=on_step,
                threads=threads, start=start, max_seconds=max_seconds, since=since, checkpoints=checkpoints, stop=stop,
                on_nan=on_nan, watch=watch,
            ))  # fmt: skip

    def overfit(self, rows: int = 8) -> Overfit:
        """Whether it can learn so many training rows alone, and what to look at if not."""
        from .runtime.overfit import overfit

        return overfit(
            self.plan,
            self.compilation.evaluation,
            self.dataset,
            self.settings,
            frozenset(k.name for k in self.compilation.names if k.target),
            rows,
        )

    def beginning(self, init: str | os.PathLike[str] | Mapping[str, Array]) -> dict[str, Array]:
        """The params and states of a run's folder, a file of weights or a mapping, if they are this model's; else MlpcError E0505."""
        if isinstance(init, Mapping):
            return weights.fitting(self.plan, init, "`init`")
        return weights.fitting(self.plan, weights.load(run_folder.weights_in(Path(init))).tensors, str(init))

    def trace(self, step: int = 1, *, check: bool | Collection[str] = False, max_memory: str = MOST_MEMORY) -> Trace:
        """Every number of one training step: printed, it is the page of `mlpc trace`; `trace["dz2"]` is an array.

        `check`: whether to compare the gradients with central differences, or the names or ids of those to compare.
        """
        from .runtime.trace import trace

        self.refuse_what_cannot_run(max_memory)
        return trace(self.plan, self.dataset, self.settings, step, check)

    def check(self, *, max_memory: str = MOST_MEMORY) -> Report:
        """Every param's gradient beside central differences."""
        from .runtime.gradcheck import check

        self.refuse_what_cannot_run(max_memory)
        return check(self.plan, self.dataset, self.settings)

    def refuse_what_cannot_run(self, max_memory: str) -> None:
        """MlpcError E0504 if a library is missing that computes a line, E0501 if a training would take more memory than that.

        E0505 for the model of a run, whose rows are not there.
        """
        if self.dataset.schema.rows and not self.dataset.splits:
            raise fault(
                "E0505", None, f"{self.plan.title} comes from a run, without the rows that it was trained on", "mlpc.load(FILE) reads them"
            )
        weights.refuse_unwritable(self.plan)
        refuse_without_libraries((self.plan, self.compilation.evaluation), self.program.source)
        predicted = _predicted(self.plan, self.compilation.evaluation, self.dataset.schema.rows, self.settings, self.dataset.stored)
        memory.refuse_if_over(predicted, memory.parse_size(max_memory))


@lru_cache(maxsize=1)
def _predicted(plan: Plan, evaluation: Plan, rows: tuple[tuple[str, int], ...], settings: Settings, stored: bool) -> memory.Prediction:
    """What a training takes. A command asks before it makes a folder, and the training asks again."""
    return memory.predict(plan, evaluation, dict(rows), settings, stored)
