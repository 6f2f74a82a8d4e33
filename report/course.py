"""How a training went, epoch by epoch: pictures of losses, metrics and whatever else the history holds; and the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ..runtime.record import Record
from ..runtime.run_folder import flat
from .figures import course_of, figure, number
from .markup import Markup, element, table
from .pictures import by_logarithm, curves

MOST = 50  # rows of the table of epochs


def course(record: Record, others: Mapping[str, list[float]]) -> list[Markup]:
    """A picture for the loss, for each metric, and for what follows from the step alone (`others`: the learning rate)."""
    made: list[Markup] = []
    if not record.history:
        return [element("p", "No epoch has ended yet.")]
    kept = record.kept_epoch if 0 < record.kept_epoch < record.epochs else 0
    for title, values in _curves(record, others):
        told = "; ".join(course_of(name, numbers) for name, numbers in values.items())
        told += f"; the weights of epoch {kept} were kept" * bool(kept) + "; on a logarithmic scale" * by_logarithm(values)
        made += [element("h3", title), figure(curves(title, values, kept), f"{told}.")]
    return made


def history_table(record: Record) -> Markup:
    """The numbers of the epochs: all, or some evenly taken with the first, the last and the one that was kept."""
    epochs = record.history
    count = len(epochs)
    shown = (
        range(count)
        if count <= MOST
        else sorted({round(i * (count - 1) / (MOST - 1)) for i in range(MOST)} | {max(record.kept_epoch, 1) - 1})
    )
    rows = [flat(epochs[i]) for i in shown]
    names = dict.fromkeys(name for found in rows for name in found)
    told = f"{len(rows)} of {count:,} epochs; all are in history.csv" if len(rows) < count else f"all {count:,} epochs"
    body = ([number(found[name]) if name in found else "" for name in names] for found in rows)
    return element("details", element("summary", told), table("losses and metrics by epoch", names, body, "numbers"))


def _curves(record: Record, others: Mapping[str, list[float]]) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """(title, name -> a number an epoch)."""
    rows = [flat(entry) for entry in record.history]
    names = dict.fromkeys(name for found in rows for name in found if "." in name)
    grouped: dict[str, dict[str, list[float]]] = {}
    for name in names:
        split, _, what = name.partition(".")
        grouped.setdefault(what, {})[split] = [found.get(name, float("nan")) for found in rows]
    yield from ((what, found) for what, found in grouped.items())
    yield from ((name, {name: values}) for name, values in others.items())
    yield from _watched(record)


def _watched(record: Record) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """What `--watch` has seen: the norms of all that was watched, and of each what its numbers lie between."""
    found = [entry.get("watch") or {} for entry in record.history]
    names = list(dict.fromkeys(name for seen in found for name in seen))

    def each(name: str, what: str) -> list[float]:
        return [math.nan if (x := seen.get(name, {}).get(what)) is None else float(x) for seen in found]

    if names:
        yield "norm", {name: each(name, "norm") for name in names}
    for name in names:
        yield f"numbers of {name}", {what: each(name, what) for what in ("max", "mean", "min")}
