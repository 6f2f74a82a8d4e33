"""Every setting of `train` with its value and where it came from. `Settings.scheduled(rows)` knows how many steps there are."""

from __future__ import annotations

import math

from msgspec import Struct
from msgspec.structs import replace

from ..dsl.layout import one_line
from ..dsl.syntax import Call, Expr, Span

KEYS = (
    "optimizer",
    "epochs",
    "steps",
    "batch",
    "shuffle",
    "seed",
    "rng",
    "precision",
    "accumulate",
    "clip",
    "early_stop",
    "keep",
    "recompute",
)
DEFAULTS = {
    "batch": "32", "shuffle": "on", "seed": "0", "rng": "default", "precision": "float64", "accumulate": "1", "clip": "off",
    "early_stop": "off", "keep": "last", "recompute": "off",
}  # fmt: skip


class Criterion(Struct, frozen=True):
    """`split.name`, where name is `loss` or a report item's. `patience`: the epochs without a better one after which to stop."""

    split: str
    name: str
    larger: bool
    span: Span
    patience: int = 0
    patience_text: Expr | None = None  # as written, until the settings have read it

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`. A NaN is better than nothing, and anything else is better than it."""
        return not math.isnan(a) and (math.isnan(b) or (a > b if self.larger else a < b))


class Settings(Struct, frozen=True):
    """`epochs` and `steps` are totals once `scheduled`; before, the one not given is 0. `batch` 0 means all rows.

    `accumulate` is how many batches make a step; `recompute` whether forward values are computed again rather than kept.
    `clip` is the c of `norm(c)`; it and `early_stop` None are off, `keep` None is the last epoch.
    `origins`: (key, value as text, where from) for every setting, in the order of `KEYS`.
    """

    optimizer: Call
    epochs: int
    steps: int
    batch: int
    shuffle: bool
    seed: int
    rng: str
    precision: str
    origins: tuple[tuple[str, str, str], ...]
    early_stop: Criterion | None = None
    keep: Criterion | None = None
    clip: Expr | None = None
    accumulate: int = 1
    recompute: bool = False

    def scheduled(self, rows: int) -> Settings:
        """With epochs, steps and batch as they come out for so many training rows."""
        batch = rows if self.batch == 0 else min(self.batch, max(rows, 1))
        an_epoch = math.ceil(math.ceil(rows / batch) / self.accumulate) if batch else 0
        steps = self.steps or self.epochs * an_epoch
        epochs = self.epochs or math.ceil(steps / max(an_epoch, 1))
        return replace(self, batch=batch, steps=steps, epochs=epochs)


def optimizer_text(call: Call) -> str:
    """The optimizer with its numbers, those of the command line included."""
    args = [(f"{a.name.id} = " if a.name else "") + one_line(a.value.span.text) for a in call.args]
    return f"{call.function.id}({', '.join(args)})"


def span_of(settings: Settings) -> Span:
    """Where the optimizer is written."""
    return settings.optimizer.span
