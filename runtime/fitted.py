"""What training has learnt of its data, as a document without rows: schema, column types, fitted statistics. It is kept with the weights.

Its numbers are written so that they are read back to the last bit, and `restored` gives the same dataset without its rows.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ..compiler.facts import Facts
from ..compiler.render.json import plain
from ..compiler.schema import DataValue, Schema
from ..dsl.syntax import Source, Span
from .data import Dataset
from .expressions import Transform
from .frame import Statistics


def document(dataset: Dataset) -> dict[str, Any]:
    """The dataset without its rows, in what JSON can hold: `schema`, `columns` of the file, `fitted` and `origin`, each as `Dataset` has it."""
    return {
        "schema": schema_document(dataset.schema),
        "columns": [{"name": name, "kind": kind} for name, kind in dataset.columns.items()],
        "fitted": {name: [_transform_document(t) for t in steps] for name, steps in dataset.fitted.items()},
        "origin": dataset.origin,
    }


def schema_document(schema: Schema) -> dict[str, Any]:
    """All that the compiler knows of the data, in what JSON can hold."""
    return {"values": [_value_document(v) for v in schema.values], "rows": [[split, count] for split, count in schema.rows]}


def restored(found: dict[str, Any], source: Source) -> Dataset:
    """The dataset of a document, with no row in any split; `source` is the text that its spans are places in."""
    values = tuple(_value(v, source) for v in found["schema"]["values"])
    fitted = {name: tuple(_transform(t) for t in steps) for name, steps in found["fitted"].items()}
    columns = {c["name"]: c["kind"] for c in found["columns"]}
    schema = Schema(values, tuple((split, count) for split, count in found["schema"]["rows"]))
    return Dataset(schema, {}, fitted, columns=columns, origin=found.get("origin", ""))


def _value_document(v: DataValue) -> dict[str, Any]:
    facts: dict[str, Any] = {name: getattr(v.facts, name) for name in Facts.__struct_fields__}
    return {
        "name": v.name,
        "width": v.width,
        "facts": facts | {"row_sum": None if v.facts.row_sum is None else str(v.facts.row_sum)},
        "labels": list(v.labels),
        "classes": list(v.classes),
        "counts": list(v.counts),
        "span": [v.span.start, v.span.end],
        "undo": [[[op, plain(number)] for op, number in column] for column in v.undo],  # a range may be infinite
    }


def _value(found: dict[str, Any], source: Source) -> DataValue:
    total = found["facts"]["row_sum"]
    return DataValue(
        name=found["name"],
        width=found["width"],
        facts=Facts(**found["facts"] | {"row_sum": None if total is None else Fraction(total)}),
        labels=tuple(found["labels"]),
        classes=tuple(found["classes"]),
        counts=tuple(found["counts"]),
        span=Span(source, *found["span"]),
        undo=tuple(tuple((op, float(number)) for op, number in column) for column in found["undo"]),
    )


def _transform_document(t: Transform) -> dict[str, Any]:
    statistics = {key: [list(x) if isinstance(x, tuple) else x for x in entries] for key, entries in t.statistics.items()}
    return {"name": t.name, "of": list(t.of), "statistics": statistics, "width": t.width}


def _transform(found: dict[str, Any]) -> Transform:
    statistics: Statistics = {key: tuple(tuple(x) if isinstance(x, list) else x for x in xs) for key, xs in found["statistics"].items()}  # type: ignore[misc]
    return Transform(found["name"], tuple(found["of"]), statistics, found["width"])
