"""A plan without a gradient in parts: what a row's numbers alone make, sums over rows, and what takes all rows together.

The first part can run over any chunk of rows and gives each row the same numbers; the sums add up block by block; the rest runs once, over
what the first has made of every row. Of `mean(cross_entropy(p, y)) + 1e-4 * l2(weights)` nothing is kept of a row; of `roc_auc(p, y)`
two numbers are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from .ops import TABLE
from .plan import Line, Plan, Step, Value
from .shapes import batched

FIXED, ROW, WHOLE = "fixed", "row", "whole"  # reads no row of data; its own row; others too


class Parts(Struct, frozen=True):
    """`rows` runs chunk by chunk. Of it `sums` reads the registers `added`, and makes `totals` of any rows; `rest` reads the registers
    `carried`, of all rows, and the totals. What a part reads of another are its inputs, under their numbers as names.
    """

    rows: Plan
    added: tuple[int, ...]
    sums: Plan
    totals: tuple[int, ...]
    carried: tuple[int, ...]
    rest: Plan


def parts(plan: Plan) -> Parts:
    """The parts of an evaluation plan; its loss and reports are those of `rest`."""
    plan = _summed_by_row(plan)
    kinds = reads(plan)
    results = {plan.loss, *(register for _, register in plan.reports)}
    made = {s.out: s for line in plan.forward for s in line.steps}
    late = _needed(results, made, lambda r: kinds[r] != ROW)
    totals = tuple(sorted(r for r in late if r in made and _adds_rows(made[r], kinds)))
    added = tuple(sorted({made[r].args[0] for r in totals}))
    carried = tuple(sorted(r for r in {*results, *(a for r in late - {*totals} if r in made for a in made[r].args)} if kinds[r] == ROW))
    early = _needed((*added, *carried), made, lambda r: True)
    rows = _part(plan, early, tuple(r for r in plan.inputs if r in early), (*added, *carried)[:1], numbered=False)
    sums = _part(plan, totals, added, totals[:1])
    return Parts(rows, added, sums, totals, carried, _part(plan, late - {*totals}, (*carried, *totals)))


def _adds_rows(step: Step, kinds: dict[int, str]) -> bool:
    """Whether a step is a sum over the rows of what is of a row."""
    return step.op == "sum" and kinds[step.args[0]] == ROW and 0 in cast("tuple[int, ...]", dict(step.attrs)["axes"])


def reads(plan: Plan) -> dict[int, str]:
    """Of every register whether it reads no row of data (`fixed`), its own row alone (`row`), or other rows too (`whole`)."""
    kinds = {v.id: ROW if v.role == "input" else WHOLE if v.name == "N" and v.role == "symbol" else FIXED for v in plan.values}
    for line in plan.forward:
        for step in line.steps:
            kinds[step.out] = _kind(step, [kinds[a] for a in step.args], plan.values)
    return kinds


def chance(plan: Plan) -> Line | None:
    """The first line that draws random numbers."""
    return next((line for line in plan.forward for s in line.steps if TABLE[s.op].kind == "random"), None)


def _kind(step: Step, args: list[str], values: tuple[Value, ...]) -> str:
    if WHOLE in args:
        return WHOLE
    if ROW not in args:
        return ROW if batched(values[step.out].shape) else FIXED
    if not (batched(values[step.out].shape) and all(k == FIXED or batched(values[a].shape) for a, k in zip(step.args, args, strict=True))):
        return WHOLE
    axes = dict(step.attrs)
    by_row = {
        "elementwise": True,
        "rowwise": True,
        "random": True,
        "reduce": True,  # the rows are still there
        "matmul": args[-1] == FIXED,
        "move": True,
        "view": axes.get("axis") != 0,
    }
    return ROW if by_row.get(TABLE[step.op].kind, False) else WHOLE


def _summed_by_row(plan: Plan) -> Plan:
    """A reduction of everything to one number goes over the features first: so what stays of a row is one number."""
    values, lines = list(plan.values), list[Line]()
    kinds = reads(plan)
    for line in plan.forward:
        steps: list[Step] = []
        for step in line.steps:
            attrs = dict(step.attrs)
            x = values[step.args[0]] if step.args else None
            whole = x is not None and TABLE[step.op].kind == "reduce" and kinds[x.id] == ROW and attrs["axes"] == tuple(range(len(x.shape)))
            if x is not None and whole and x.shape[1:] != (1,):
                last = tuple(range(1, len(x.shape)))
                inner = Value(len(values), "", "inner", (x.shape[0], *(1 for _ in last)))
                values.append(inner)
                steps.append(Step(step.op, step.args, inner.id, (("axes", last), ("keep", True))))
                step = replace(step, args=(inner.id,))
            steps.append(step)
        lines.append(replace(line, steps=tuple(steps)))
    return replace(plan, values=tuple(values), forward=tuple(lines))


def _needed(roots: Iterable[int], made: dict[int, Step], through: Callable[[int], bool]) -> set[int]:
    """The registers that the roots are made of, themselves among them, no deeper than `through` lets pass."""
    found: set[int] = set()
    stack = list(roots)
    while stack:
        register = stack.pop()
        if register not in found and through(register):
            found.add(register)
            stack += made[register].args if register in made else ()
    return found


def _part(
    plan: Plan, needed: Collection[int], inputs: tuple[int, ...], results: tuple[int, ...] | None = None, numbered: bool = True
) -> Plan:
    """The plan with only the steps that make the `needed` registers, from these inputs; `results` in place of its loss and reports.

    `numbered`: the inputs have their numbers as names.
    """
    lines = [replace(line, steps=tuple(s for s in line.steps if s.out in needed)) for line in plan.forward]
    values = tuple(_leaf(v, inputs, numbered) for v in plan.values)
    found = replace(plan, values=values, inputs=inputs, forward=tuple(line for line in lines if line.steps))
    return found if results is None else replace(found, loss=next(iter(results), plan.loss), reports=())


def _leaf(v: Value, inputs: tuple[int, ...], numbered: bool) -> Value:
    """The value in a part with these inputs: one under its number if so asked, and no input if it is not among them."""
    if v.id in inputs:
        return replace(v, name=str(v.id), role="input") if numbered else v
    return replace(v, role="inner") if v.role == "input" else v
