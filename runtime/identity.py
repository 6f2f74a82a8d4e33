"""What a training is of, as a document: model, settings, precision and data. Only of the same can it go on to the same bits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..compiler.plan import Line, Plan
from ..compiler.settings import Settings
from ..dsl.diagnostics import fault
from .data import Dataset
from .later import Later, Values, made

LENGTH = ("epochs", "steps")  # what may be another: how long it goes on, if no line of the plan reads it


def identity(
    plan: Plan, evaluation: Plan, settings: Settings, dataset: Dataset, threads: int, environment: Mapping[str, str]
) -> dict[str, Any]:
    """The document. It reads every number of the data."""
    return {
        "title": plan.title,
        "model": _digest(_forward(plan), _forward(evaluation), evaluation.reports),
        "plan": _digest(plan.values, [_run(line) for line in plan.lines], plan.model_states, plan.states),
        "settings": {name: value for name, value, _ in settings.origins},
        "precision": plan.precision,
        "data": {split: {name: _array(a) for name, a in values.items()} for split, values in dataset.splits.items()},
        "threads": threads,
        "environment": dict(environment),
    }


def refuse_another(before: dict[str, Any], now: dict[str, Any], whose: str) -> None:
    """MlpcError E0507 with all in which what is to go on differs from what was begun; `whose` is what a message calls that."""
    found = list(_differences(before, now, whose))
    if found:
        hint = "the run goes on with what it was begun with; for anything else  mlpc run FILE  begins another"
        raise fault("E0507", None, "\n".join(found), hint)


def other_environment(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What the bits of the rest may depend on and has changed, as a note; or ""."""
    pairs = [(name, old, now["environment"].get(name, "")) for name, old in before["environment"].items()]
    pairs.append(("threads", str(before["threads"]), str(now["threads"])))
    told = [f"{name} {old} then, {new} now" for name, old, new in pairs if old != new]
    return f"its last bits may be others than those of a run without a break: {'; '.join(told)}" if told else ""


def reads_length(before: dict[str, Any], now: dict[str, Any], plan: Plan) -> bool:
    """Of two that differ in nothing but their length: whether a line of the plan reads it, in the update as a number, else as a symbol."""
    return before["plan"] != now["plan"] or any(v.role == "symbol" and v.name in LENGTH for v in plan.values)


def _differences(before: dict[str, Any], now: dict[str, Any], whose: str) -> Iterator[str]:
    if before["model"] != now["model"]:
        yield f"another model: {now['title']} does not compute what {before['title']} of {whose} does"
    if before["precision"] != now["precision"]:
        yield f"another precision: {whose} is in {before['precision']}, and this would be in {now['precision']}"
    for name in dict.fromkeys((*before["settings"], *now["settings"])):
        old, new = (found["settings"].get(name, "not set") for found in (before, now))
        if old != new and name not in (*LENGTH, "precision"):
            yield f"another setting: `{name}` is {old} in {whose}, and this would be with {new}"
    if before["settings"].get("seed") == now["settings"].get("seed"):  # which deals the rows to the splits
        yield from _data_differences(before["data"], now["data"], whose)
    same = all(before[key] == now[key] for key in ("model", "precision", "settings", "data"))  # the length too, which a plan may read
    if same and before["plan"] != now["plan"]:
        versions = f"mlpc {before['environment'].get('mlpc')} began it, and this is mlpc {now['environment'].get('mlpc')}"
        yield f"another plan: the lines of gradient or update are not those of {whose}; {versions}"


def _data_differences(before: Mapping[str, Any], now: Mapping[str, Any], whose: str) -> Iterator[str]:
    for split in dict.fromkeys((*before, *now)):
        old, new = before.get(split, {}), now.get(split, {})
        for name in dict.fromkeys((*old, *new)):
            if name not in old or name not in new:
                yield f"other data: `{name}` of {split} is not in {'what is read now' if name not in new else whose}"
            elif old[name]["shape"] != new[name]["shape"]:
                yield f"other data: `{name}` of {split} was {old[name]['shape']}, and what is read now is {new[name]['shape']}"
            elif old[name] != new[name]:
                yield f"other data: the numbers of `{name}` in {split} are not those that {whose} was begun with"


def _forward(plan: Plan) -> object:
    params = [(p.name, p.shape, p.value) for p in (*plan.params, *plan.model_states)]
    used = {r for s in plan.steps("forward") for r in (*s.args, s.out)} | {*plan.inputs}
    values = [v for v in plan.values if v.id in used]
    return values, plan.inputs, params, [_run(line) for line in plan.forward], plan.loss, plan.several_rows


def _run(line: Line) -> object:
    """What a line does, not how it reads or where it stands in the file."""
    return line.section, line.target, line.value, line.steps, line.commits, line.whole


def _array(a: Values) -> dict[str, Any]:
    digest = hashlib.sha256()
    for part in (a,) if not isinstance(a, Later) else (part["a"] for part in made({"a": a}, range(len(a)))):
        digest.update(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).data)
    return {"shape": list(a.shape), "sha256": digest.hexdigest()}


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
