"""What a run came to, as text: a table of losses and metrics, the matrices, the losses drawn, what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..compiler.graph import report_items
from ..compiler.render.curve import losses as drawn
from ..compiler.render.text import amount
from ..compiler.settings import Criterion
from ..dsl.diagnostics import printable
from ..dsl.syntax import Name, walk
from ..model import Model
from ..run import Run
from ..runtime.measure import Losses, Metrics
from ..runtime.progress import Entry


def number(value: float) -> str:
    """Six significant digits, the same width for numbers of a size."""
    return f"{value:.6f}" if 1e-4 <= abs(value) < 1e4 or value == 0 else f"{value:.5e}"


def table(losses: Losses, metrics: Metrics) -> str:
    """Loss and metrics, a column a split. Matrices come later."""
    rows: dict[str, Callable[[str], Any]] = {"loss": losses.get}
    for name in next(iter(metrics.values()), {}):
        rows[name] = lambda split, name=name: metrics.get(split, {}).get(name)
    rows = {name: of for name, of in rows.items() if all(isinstance(of(s), float | None) for s in losses)}
    first = max(len(name) for name in rows)
    lines = ["  ".join(["".ljust(first), *(split.rjust(10) for split in losses)])]
    for name, of in rows.items():
        lines.append("  ".join([name.ljust(first), *(number(of(split)).rjust(max(10, len(split))) for split in losses)]))
    return "\n".join(lines)


def curve(history: Sequence[Entry]) -> str:
    """The losses over the epochs: train and the split that was held out, val before test; "" for fewer than two epochs."""
    held = [split for split in ("val", "test") if history and split in history[0]["loss"]][:1]
    return "\n".join(drawn({split: [entry["loss"][split] for entry in history] for split in ("train", *held)}))


def confusions(model: Model, metrics: Metrics) -> list[str]:
    """Every matrix of the report, for each split that was held out, or for train if that is all there is."""
    held = [split for split in metrics if split != "train"] or list(metrics)
    return [
        matrix(f"{name}, {split}", metrics[split][name], classes_of(model, name))
        for split in held
        for name, value in metrics[split].items()
        if isinstance(value, list)
    ]


def classes_of(model: Model, name: str) -> tuple[str, ...]:
    """The labels of the target that a report item reads; 0 and 1 for one that is a single column."""
    item = dict(report_items(model.program))[name]
    read = {e.id for e in walk(item.value) if isinstance(e, Name)}
    classes = [v.classes for v in model.dataset.schema.values if v.name in read and v.classes]
    return classes[0] if classes else ("0", "1")


def labelled(model: Model) -> dict[str, list[str]]:
    """The classes of every matrix of the report, by its name."""
    shapes = {v.id: v.shape for v in model.compilation.evaluation.values}
    matrices = [name for name, register in model.compilation.evaluation.reports if len(shapes[register]) == 2]
    return {name: list(classes_of(model, name)) for name in matrices}


def directions(model: Model) -> dict[str, str | None]:
    """Of the loss and of each item of the report whether a larger or a smaller one is better, None where nothing says so."""
    words = {True: "larger", False: "smaller", None: None}
    return {"loss": "smaller"} | {name: words[larger] for name, larger in model.compilation.better}


def matrix(title: str, rows: list[Any], labels: tuple[str, ...]) -> str:
    """A square matrix of counts with its classes, rows true and columns predicted; any other with numbers alone."""
    square = bool(rows) and all(isinstance(row, list) and len(row) == len(rows) for row in rows)
    if not square or len(labels) != len(rows):
        return "\n".join([title, *("  ".join(["", *(number(x).rjust(10) for x in (r if isinstance(r, list) else [r]))]) for r in rows)])
    shown = [_short(label) for label in labels]
    cells = [[f"{x:.0f}" if float(x).is_integer() else number(x) for x in row] for row in rows]
    widths = [max(len(shown[j]), *(len(row[j]) for row in cells)) for j in range(len(shown))]
    first = max(len(label) for label in (*shown, "true"))
    lines = [f"{title}: rows true, columns predicted"]
    lines.append("   ".join(["", "".ljust(first), *(label.rjust(w) for label, w in zip(shown, widths, strict=True))]))
    for label, row in zip(shown, cells, strict=True):
        lines.append("   ".join(["", label.ljust(first), *(cell.rjust(w) for cell, w in zip(row, widths, strict=True))]))
    return "\n".join(lines)


def _short(label: str) -> str:
    text = printable(label)
    return text if len(text) <= 16 else text[:15] + "…"


def closing(model: Model, run: Run) -> str:
    """Why it ended early, which epoch was kept, how long it took, and the weights in one number."""
    s = model.seconds
    took = f"{run.seconds['train']:.2f} s training, {s['data'] + s['compile']:.2f} s reading and compiling"
    why = {"early_stop": f"no better {_watched(model.settings.early_stop)}", "time": "its time was over"}
    told = [f"stopped after epoch {run.epochs} of {model.settings.epochs}: {why[run.stopped]}"] if run.stopped else []
    if model.settings.keep is not None:
        told.append(f"kept epoch {run.kept_epoch} of {run.epochs}, the best by {_watched(model.settings.keep)}")
    if run.not_finite:
        told.append(f"the loss was not finite in {run.not_finite} of {run.steps} steps")
    threads = f"{run.threads} thread{'s' * (run.threads != 1)}"
    cost = f"{took} · {threads} · {amount(model.footprint.peak)} of intermediate values"
    return "\n".join([*told, cost, f"weights sha256 {run.weights_sha256}"])


def watched_text(seen: dict[str, Any]) -> str:
    """What `--watch` says of a value: norm, range, mean, and ten even parts of the range as bars."""
    odd = f"  {seen['not_finite']} not finite" if seen["not_finite"] else ""
    if seen["norm"] is None:
        return f"no finite number{odd}"
    most = max(seen["histogram"])
    bars = "".join(" ▁▂▃▄▅▆▇█"[-(-8 * n // most)] for n in seen["histogram"])
    return "  ".join(f"{key} {seen[key]:<11.5g}" for key in ("norm", "min", "mean", "max")) + f"  {bars}{odd}"


def _watched(c: Criterion | None) -> str:
    return f"{c.split}.{c.name}" + (f" for {c.patience} epochs" if c.patience else "") if c else ""
