"""`mlpc run --overfit N`: whether the model can learn a few rows."""

from __future__ import annotations

from msgspec.structs import asdict

from ..dsl.diagnostics import printable
from ..model import Model
from ..runtime.overfit import Overfit
from .load import write, write_json

FAULT = 1


def answer(model: Model, rows: int, json: bool) -> int:
    """Prints yes or no, with the loss reached and, for no, what to look at. Status 0 or 1."""
    found = model.overfit(rows)
    if json:
        write_json({"title": model.plan.title, "overfit": asdict(found)})
    else:
        write(text(found))
    return 0 if found.learnt else FAULT


def text(found: Overfit) -> str:
    """The answer, and what to look at, a line each."""
    rows = f"{found.rows} row{'s' * (found.rows != 1)}"
    if found.learnt:
        return f"yes: it can learn {rows}: the loss fell from {found.first:.4g} to {found.loss:.2g} in {found.step} steps"
    lines = [
        f"no: it has not learnt {rows}: the loss began at {found.first:.4g} and came to {found.loss:.4g} at best, in step {found.step} of",
        f"    {found.steps}; {found.needed:.2g} was needed. Look at:",
        *(f"  - {printable(line)}" for line in found.look_at),
    ]
    return "\n".join(lines)
