"""`mlpc run`: train, measure, report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from ..compiler.graph import report_items
from ..compiler.render.text import amount
from ..compiler.settings import optimizer_text
from ..compiler.stopping import Criterion
from ..dsl.diagnostics import printable
from ..dsl.syntax import Name, walk
from ..model import Model
from ..run import Run
from ..runtime.run_folder import flat
from ..runtime.train import Entry, OnEpoch
from .environment import environment
from .load import model_of, write, write_json
from .plan import settings_of


def command(args: argparse.Namespace) -> int:
    """Trains and prints what came of it. Status 0; 3 with E0503 if the loss is not finite."""
    model = model_of(args)
    if args.json:
        run = model.train(threads=args.threads, max_memory=args.max_memory)
        write_json(document(model, run, args.every))
        return 0
    write(header(model))
    with _progress(model, args.every) as on_epoch:
        run = model.train(on_epoch=on_epoch, threads=args.threads, max_memory=args.max_memory)
    for block in (table(run), *confusions(model, run), closing(model, run)):
        write("\n" + block)
    return 0


def document(model: Model, run: Run, every: int | None) -> dict[str, Any]:
    """The run for scripts; the history only of the epochs that were asked for."""
    made: dict[str, Any] = {
        "title": model.plan.title,
        "parameters": sum(p.count for p in model.plan.params),
        "rows": dict(model.dataset.schema.rows),
        "settings": [{"name": name, "value": value, "from": where} for name, value, where in settings_of(model)],
        "epochs": run.epochs,
        "steps": run.steps,
        "kept_epoch": run.kept_epoch,
        "loss": run.losses,
        "metrics": run.metrics,
        "seconds": {**model.seconds, **run.seconds},
        "threads": run.threads,
        "weights_sha256": run.weights_sha256,
        "environment": environment(),
    }
    if every:
        made["history"] = [entry for entry in run.history if entry["epoch"] % every == 0 or entry["epoch"] == run.epochs]
    return made


def header(model: Model) -> str:
    """What is trained, on what, how."""
    plan, s = model.plan, model.settings
    count = sum(p.count for p in plan.params)
    rows = ", ".join(f"{n} {split}" for split, n in model.dataset.schema.rows)
    batches = f"{s.accumulate} batches of " if s.accumulate > 1 else ""
    lines = [
        f"{printable(plan.title)}   {count:,} parameter{'s' * (count != 1)} · {f'rows {rows}' if rows else 'no data'} · {plan.precision}",
        f"   loss = {plan.loss_text}",
        f"   {optimizer_text(s.optimizer)} · {s.epochs} epochs, {s.steps} steps of {batches}{s.batch} rows · seed {s.seed}",
    ]
    changed = [f"{name} = {value}" for name, value, where in settings_of(model) if where == "command line"]
    if changed:
        lines.append(f"   from the command line: {', '.join(changed)}")
    return "\n".join(lines) + "\n"


@contextmanager
def _progress(model: Model, every: int | None) -> Generator[OnEpoch | None]:
    """A bar on a terminal; lines of some epochs elsewhere, and wherever they are asked for."""
    if sys.stdout.isatty() and not every:
        from .progress import bar

        with bar(model.settings.epochs) as on_epoch:
            yield on_epoch
    else:
        yield _lines(model.settings.epochs, every)


def _lines(epochs: int, every: int | None) -> OnEpoch:
    """Prints epochs 1, 2, 5, 10, 20, 50 ... or each `every`-th, and the last."""
    headed: list[str] = []

    def on_epoch(entry: Entry) -> None:
        epoch = entry["epoch"]
        if not (epoch == epochs or (epoch % every == 0 if every else _round(epoch))):
            return
        numbers = {name: value for name, value in flat(entry).items() if name not in {"epoch", "step"}}
        if not headed:
            headed.extend(numbers)
            write("  ".join(["epoch".rjust(6), *(name.rjust(10) for name in numbers)]))
        write("  ".join([str(epoch).rjust(6), *(number(v).rjust(max(10, len(name))) for name, v in numbers.items())]))
        sys.stdout.flush()

    return on_epoch


def _round(epoch: int) -> bool:
    """1, 2 or 5 times a power of ten."""
    text = str(epoch)
    return text[0] in "125" and not text[1:].strip("0")


def number(value: float) -> str:
    """Six significant digits, the same width for numbers of a size."""
    return f"{value:.6f}" if 1e-4 <= abs(value) < 1e4 or value == 0 else f"{value:.5e}"


def table(run: Run) -> str:
    """Loss and metrics, a column a split. Matrices come later."""
    rows: dict[str, Callable[[str], Any]] = {"loss": lambda split: run.losses.get(split)}
    for name in next(iter(run.metrics.values()), {}):
        rows[name] = lambda split, name=name: run.metrics.get(split, {}).get(name)
    rows = {name: of for name, of in rows.items() if all(isinstance(of(s), float | None) for s in run.losses)}
    first = max(len(name) for name in rows)
    lines = ["  ".join(["".ljust(first), *(split.rjust(10) for split in run.losses)])]
    for name, of in rows.items():
        lines.append("  ".join([name.ljust(first), *(number(of(split)).rjust(max(10, len(split))) for split in run.losses)]))
    return "\n".join(lines)


def confusions(model: Model, run: Run) -> list[str]:
    """Every matrix of the report, for each split that was held out, or for train if that is all there is."""
    held = [split for split in run.metrics if split != "train"] or list(run.metrics)
    return [
        matrix(f"{name}, {split}", run.metrics[split][name], classes_of(model, name))
        for split in held
        for name, value in run.metrics[split].items()
        if isinstance(value, list)
    ]


def classes_of(model: Model, name: str) -> tuple[str, ...]:
    """The labels of the target that a report item reads; 0 and 1 for one that is a single column."""
    item = dict(report_items(model.program))[name]
    read = {e.id for e in walk(item.value) if isinstance(e, Name)}
    classes = [v.classes for v in model.dataset.schema.values if v.name in read and v.classes]
    return classes[0] if classes else ("0", "1")


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
    """Which epoch was kept, how long it took, and the weights in one number."""
    s = model.seconds
    took = f"{run.seconds['train']:.2f} s training, {s['data'] + s['compile']:.2f} s reading and compiling"
    stopped = f"stopped after epoch {run.epochs} of {model.settings.epochs}: no better {_watched(model.settings.early_stop)}"
    kept = f"kept epoch {run.kept_epoch} of {run.epochs}, the best by {_watched(model.settings.keep)}"
    told = [stopped] * (run.epochs < model.settings.epochs) + [kept] * (model.settings.keep is not None)
    threads = f"{run.threads} thread{'s' * (run.threads != 1)}"
    cost = f"{took} · {threads} · {amount(model.footprint.peak)} of intermediate values"
    return "\n".join([*told, cost, f"weights sha256 {run.weights_sha256}"])


def _watched(c: Criterion | None) -> str:
    return f"{c.split}.{c.name}" + (f" for {c.patience} epochs" if c.patience else "") if c else ""
