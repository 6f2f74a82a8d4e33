"""The plan as a JSON document, `format` 1. Scripts rely on these names."""

from __future__ import annotations

import math
from typing import Any

from ..footprint import Footprint
from ..plan import Line, Plan

FORMAT = 1


def plan_document(plan: Plan, footprint: Footprint | None = None) -> dict[str, Any]:
    """Params and lines of a plan; sizes are numbers, the rows of a batch "N", the numbers of a param "P"."""
    params = [{"name": p.name, "shape": list(p.shape), "count": p.count, "init": p.init_text} for p in plan.params]
    document: dict[str, Any] = {
        "format": FORMAT,
        "title": plan.title,
        "parameters": sum(p.count for p in plan.params),
        "batch": plan.batch,
        "accumulate": plan.accumulate,
        "precision": plan.precision,
        "loss": plan.loss_text,
        "output": plan.values[plan.output].name if plan.output >= 0 else None,
        "inputs": [{"name": v.name, "shape": list(v.shape)} for v in map(plan.values.__getitem__, plan.inputs)],
        "params": params,
    }
    for section, lines in (("forward", plan.forward), ("gradient", plan.gradient), ("update", plan.update)):
        document[section] = [line_document(line) for line in lines]
    if plan.update_w is not None and plan.update_dw is not None:
        document["update_names"] = {"param": plan.values[plan.update_w].name, "gradient": plan.values[plan.update_dw].name}
        document["update_state"] = [{"name": s.name, "init": plain(s.init)} for s in plan.states]
    if plan.model_states:
        document["state"] = [
            {
                "name": s.name,
                "shape": list(s.shape),
                "init": s.init_text,
                "becomes": plan.values[s.next].name if s.next is not None else None,
            }
            for s in plan.model_states
        ]
    if footprint is not None:
        document["memory"] = {"kept": footprint.kept, "peak": footprint.peak, "without_reuse": footprint.unshared}
        document["flops"] = footprint.flops
        document["threads"] = {"count": footprint.threads, "summed": list(footprint.summed)}
    return document


def line_document(line: Line) -> dict[str, Any]:
    """One line; `again`: the forward line that it repeats; for update lines only `applies_to`, and `over_all` if it is made once, of all of these together."""
    document: dict[str, Any] = {
        "id": line.id, "target": line.target, "text": line.text, "shape": list(line.shape), "by": line.by, "line": line.line or None,
        "needs": list(line.needs), "needed_by": list(line.needed_by), "kept": line.kept, "flops": line.flops, "bytes": line.bytes,
        "note": line.note,
    }  # fmt: skip
    if line.again:
        document["again"] = line.again
    if line.section == "update":
        document["applies_to"] = list(line.applies_to)
        document["over_all"] = line.whole
    return document


def plain(value: object) -> object:
    """A value that JSON can hold: numbers that are not finite become "NaN", "Infinity", "-Infinity"; tuples become lists."""
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}  # type: ignore[misc]
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]  # type: ignore[misc]
    return value


def numbers(value: Any) -> Any:
    """What `plain` was made of, if that was numbers and nothing else beside the keys: its words are numbers again."""
    if isinstance(value, str):
        return float(value)
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [numbers(v) for v in value]
    return value
