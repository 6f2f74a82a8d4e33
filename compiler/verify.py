"""Re-checks a plan by itself: single assignment, defined before use, every operation's attributes, every shape derived again by the op table.

What comes out of the compiler is held to it, and so is what comes out of the cache, where `fits` says whether it is of this data.
"""

from __future__ import annotations

import math
from typing import cast

from .compilation import Compilation
from .initializers import SIGNATURES
from .ops import TABLE
from .plan import Plan, Shape, Step, Tensor
from .schema import Schema
from .shapes import ShapeError, broadcast

ROLES = ("input", "param", "state", "const", "symbol", "line", "inner")
SYMBOLS = ("N", "step", "steps", "epoch", "epochs")
ANY = {"concat": 1}  # operations of any number of operands, and the fewest


def verify(plan: Plan) -> None:
    """Raises `AssertionError` where the plan is not what a plan must be: a bug in mlpc, not in the user's file."""
    for i, v in enumerate(plan.values):
        _hold(v.id == i and v.role in ROLES, f"register {i} is {v.id} and {v.role}")
        _hold(v.role != "symbol" or v.name in SYMBOLS, f"there is no symbol {v.name}")
        _hold(v.role != "const" or v.number is not None, f"constant {i} has no number")
        _hold(all(d in ("N", "P") if isinstance(d, str) else d >= 0 for d in v.shape), f"register {i} cannot be {v.shape}")
    known = {v.id for v in plan.values if v.role in {"input", "param", "state", "const", "symbol"}}
    states = [s.value for s in plan.states]
    _hold(known.issuperset(states), "a state of the update has no register")
    commits = {None, plan.update_w, plan.update_dw, *states}
    for line in plan.lines:
        for step in line.steps:
            _hold(step.op in TABLE and TABLE[step.op].numpy is not None, f"{line.id} {line.target}: there is no operation {step.op}")
            row = TABLE[step.op]
            missing = [a for a in step.args if a not in known]
            _hold(not missing, f"{line.id} {line.target}: reads {missing} before it is made")
            _hold(step.out not in known, f"{line.id} {line.target}: register {step.out} is assigned twice")
            _hold(0 <= step.out < len(plan.values), f"{line.id} {line.target}: there is no register {step.out}")
            shapes = [plan.values[a].shape for a in step.args]
            _hold(_called(step, shapes), f"{line.id} {line.target}: {step.op} cannot take {shapes} with {dict(step.attrs)}")
            shape = row.shape(shapes, dict(step.attrs))
            stated = plan.values[step.out].shape
            _hold(shape == stated, f"{line.id} {line.target}: {step.op} gives {shape}, not {stated}")
            known.add(step.out)
        _hold(bool(line.steps) and line.steps[-1].out == line.value, f"{line.id} {line.target}: its last step does not make it")
        _hold(line.commits in commits, f"{line.id} {line.target}: it overwrites what is no state")
    _hold(plan.loss in known, "the loss is not computed")
    _hold(all(s.next is None or s.next in known for s in plan.model_states), "a state of the model has no next value")
    for param in plan.params:
        fits = param.gradient is None or (param.gradient in known and plan.values[param.gradient].shape == param.shape)
        _hold(fits, f"d({param.name}) has another shape than {param.name}")


def fits(found: Compilation, schema: Schema) -> bool:
    """Whether both plans are plans, belong together, and read data of this schema. For what was not compiled just now."""
    training, evaluation = found.training, found.evaluation
    try:
        for plan in (training, evaluation):
            verify(plan)
            sections = [("forward", plan.forward), ("gradient", plan.gradient), ("update", plan.update)]
            _hold(all(line.section == name for name, lines in sections for line in lines), "a line stands in another section")
            _hold(plan.output in range(-1, len(plan.values)), "there is no such output")
            _hold(not plan.update or None not in (plan.update_w, plan.update_dw), "the update is of nothing")
            _hold(all(_tensor(plan, t) for t in (*plan.params, *plan.model_states)), "a param has no register")
            _hold(all(r in range(len(plan.values)) for r in (*plan.inputs, *(r for _, r in plan.reports))), "there is no such register")
            widths = {v.name: v.width for v in schema.values}
            read = [plan.values[r] for r in plan.inputs]
            _hold(all(v.role == "input" and v.shape == ("N", widths.get(v.name)) for v in read), "it reads other data")
        _hold(_declared(training) == _declared(evaluation), "the plans have other params")
        rest = (training.precision, training.batch, training.accumulate)
        _hold(rest == (evaluation.precision, found.settings.batch, found.settings.accumulate), "the settings are others")
        _hold(found.settings == found.settings.scheduled(schema.train_rows), "the steps are others")
        _hold(training.precision in {"float64", "float32"} and training.precision == found.settings.precision, "the precision is another")
    except (AssertionError, ShapeError, KeyError, IndexError, TypeError, ValueError):
        return False
    return True


def _tensor(plan: Plan, t: Tensor) -> bool:
    """Whether a param or state is in its register."""
    v = plan.values[t.value]
    if (v.name, v.shape) != (t.name, t.shape) or v.role not in {"param", "state"} or t.init not in SIGNATURES:
        return False
    required = [name for name, default in SIGNATURES[t.init].items() if default is None]
    numbers = all(isinstance(a, (int, float)) for a in t.init_args) or t.init == "values"
    return len(required) <= len(t.init_args) <= len(SIGNATURES[t.init]) and numbers


def _declared(plan: Plan) -> list[tuple[object, ...]]:
    return [(t.name, t.shape, t.init, t.init_args) for t in (*plan.params, *plan.model_states)]


def _called(step: Step, shapes: list[Shape]) -> bool:
    """Whether an operation may be called so: as many operands as its example has, the same attributes, and these in bounds."""
    operands, named = cast("tuple[tuple[object, ...], dict[str, object]]", TABLE[step.op].example)
    attrs = dict(step.attrs)
    count = len(shapes) >= ANY[step.op] if step.op in ANY else len(shapes) == len(operands)
    if not count or len(attrs) != len(step.attrs) or attrs.keys() != named.keys():
        return False
    axes = cast("tuple[object, ...]", attrs.get("axes", (attrs["axis"],) if "axis" in attrs else ()))
    if not all(type(a) is int and 0 <= a < len(shapes[0]) for a in axes) or len(set(axes)) != len(axes):
        return False
    if any(type(attrs[name]) is not int or cast("int", attrs[name]) < 0 for name in ("start", "stop", "size") if name in attrs):
        return False
    if "keep" in attrs and type(attrs["keep"]) is not bool or "stream" in attrs and type(attrs["stream"]) is not str:
        return False
    if "axis" in attrs:
        return _within(attrs, shapes[0][cast("int", attrs["axis"])])
    return "shape" not in attrs or _arranged(step.op, shapes[0], cast("Shape", attrs["shape"]))


def _within(attrs: dict[str, object], size: int | str) -> bool:
    """Of `slice` and `pad`: whether start:stop lies in the axis, or the axis from start on in the new size."""
    start, stop, new = (cast("int", attrs.get(name, 0)) for name in ("start", "stop", "size"))
    return isinstance(size, int) and (start < stop <= size if "stop" in attrs else start + size <= new)


def _arranged(op: str, old: Shape, new: Shape) -> bool:
    """Whether a shape can be arranged as another: of as many numbers, or, for `broadcast`, repeated."""
    if not all(type(d) is str or (type(d) is int and d >= 0) for d in new):
        return False
    if op == "broadcast":
        return broadcast([old, new]) == new
    count = [(math.prod(d for d in s if isinstance(d, int)), sorted(d for d in s if isinstance(d, str))) for s in (old, new)]
    return count[0] == count[1]


def _hold(condition: bool, message: str) -> None:
    """Raises what `assert` would, under `python -O` too."""
    if not condition:
        raise AssertionError(message)
