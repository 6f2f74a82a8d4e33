"""Equations alone: a plan or a derivation as one `aligned`, for a notebook's MathJax."""

from __future__ import annotations

from collections.abc import Iterable

from ..derivation import Derivation
from ..plan import Plan
from ..undisturbed import undisturbed
from .latex import equation, names_of, names_of_update
from .letters import escaped

ROOM = 70.0  # letters of an equation beside which a reason stands


def plan_display(plan: Plan) -> str:
    """The lines of a plan between `$$`, in their order."""
    with undisturbed():
        names, updating = names_of(plan), names_of_update(plan)
        lines = [(line, names) for line in (*plan.forward, *plan.gradient)] + [(line, updating) for line in plan.update]
        return aligned(row for line, known in lines for row in equation(line.target, line.text, known))


def derivation_display(found: Derivation, plan: Plan) -> str:
    """The steps of a derivation between `$$`: a chain of equalities, behind each the name of its rule."""
    with undisturbed():
        names = names_of_update(plan) if found.line.section == "update" else names_of(plan)
        rows: list[str] = []
        for number, step in enumerate(found.steps):
            first, *rest = equation(found.line.target, step.text, names, ROOM)
            _, sign, right = first.partition("&=")
            shown = first if not sign or not number else f"&={right}"
            rows += [shown, *rest] if sign or not number else [f"&={r.removeprefix('&')}" if not i else r for i, r in enumerate(rest)]
            rows[-1] += rf" && \text{{{escaped('; '.join((step.rule, *step.facts)))}}}"
        return aligned(rows)


def aligned(rows: Iterable[str]) -> str:
    """The rows as one display."""
    body = " \\\\\n".join(rows)
    return f"$$\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n$$"
