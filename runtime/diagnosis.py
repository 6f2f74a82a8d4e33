"""A number that is not finite in words: which line made it, of what, in which rows, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..compiler.settings import Settings
from ..dsl.diagnostics import Diagnostic, MlpcError
from .nonfinite import Finding
from .observe import Range

GROWN = 1e3  # times as long as at the beginning: the params have run away
SHOWN = 5  # rows, or params, that are named

Place = Callable[[int], str]  # of a row of the train split


def diagnosis(loss: float, step: int, epoch: int, settings: Settings, found: Finding | None, place: Place) -> Diagnostic:
    """E0503: the loss of `step` is not finite or, where it is, the params after it are not."""
    what = "the loss is not a number" if math.isnan(loss) else "the loss is infinite" if math.isinf(loss) else "the params are not finite"
    lines = [
        f"{what} {'at' if not math.isfinite(loss) else 'after'} step {step} of {settings.steps}, in epoch {epoch} of {settings.epochs}"
    ]
    if step == 0:
        lines = []
    if found is None:
        return Diagnostic("E0503", None, "\n".join(lines), f"a look at the numbers:  mlpc trace FILE --step {step}")
    if found.line is None and not found.step:
        lines.append(f"`{found.name}` begins with numbers that are not finite: {told(found.made)}")
        return Diagnostic("E0503", None, "\n".join(lines), "another initialiser, or numbers that the precision holds")
    when = "" if found.step == step else f" in step {found.step}, in epoch {found.epoch}"
    if found.line is None:
        lines.append(f"the first such number is in `{found.name}`{when}: {told(found.made)}")
    else:
        place_ = f"   (line {found.line.line})" if found.line.line else ""
        lines.append(f"the first line that made such a number{when}:")
        lines.append(f"   {found.line.id}  {found.line.target} = {found.line.text}{place_}")
        lines.append(f"{reason(found)}: {told(found.made)}")
        lines += [f"   {name}: {told(r)}" for name, r in found.needs]
    if found.params:
        lines.append(f"of {_several(list(found.params))}")
    if found.rows:
        every = len(found.rows) == found.batch
        lines.append(
            f"in every row of the batch, {place(found.rows[0])} first" if every else f"in {_several([place(r) for r in found.rows])}"
        )
    start, before = found.norms
    if grown(found):
        lines.append(f"the length of all params was {start:.3g} at the beginning, and {before:.3g} before this step")
    lines.append(f"all numbers were good after step {found.step - 1}" if found.step > 1 else "all numbers that it began with were good")
    return Diagnostic("E0503", None, "\n".join(lines), hint(found))


def document(found: Finding, place: Place) -> dict[str, Any]:
    """The same for JSON."""
    line, operation = found.line, found.operation
    return {
        "step": found.step,
        "epoch": found.epoch,
        "id": line.id if line is not None else None,
        "name": found.name,
        "text": line.text if line is not None else None,
        "line": line.line if line is not None else None,
        "operation": operation.op if operation is not None else None,
        "made": _numbers(found.made),
        "needs": [{"name": name, **_numbers(r)} for name, r in found.needs],
        "rows": [place(row) for row in found.rows],
        "params": list(found.params),
        "norms": list(found.norms),
    }


def told(r: Range) -> str:
    """`-3 to 12.5`, and how many are not finite: `0 to 0.98, and 3 of 48 are NaN`."""
    parts: list[str] = []
    if not math.isnan(r.least) and r.nans + r.infinite < r.size:
        parts.append(f"{r.least:.4g}" if r.least == r.greatest else f"{r.least:.4g} to {r.greatest:.4g}")
    for count, word in ((r.nans, "NaN"), (r.infinite, "infinite")):
        if count:
            parts.append(word if count == r.size == 1 else f"all {r.size} {word}" if count == r.size else f"{count} of {r.size} {word}")
    return ", ".join(parts)


def reason(found: Finding) -> str:
    """What the operation did to operands that were all finite."""
    args, most = found.args, f"{_most(found):.2g}"
    match found.operation.op if found.operation is not None else "", args:
        case "div", [_, Range(zeros=zeros)] if zeros:
            return "a division by 0"
        case ("log" | "log1p") as op, [x]:
            least = x.least + (op == "log1p")
            return "the logarithm of 0" if least == 0 else f"the logarithm of a negative number, {least:.4g}"
        case "sqrt", [x] if x.least < 0:
            return f"the square root of a negative number, {x.least:.4g}"
        case "pow", [a, b] if a.zeros and b.least < 0:
            return "0 to a negative power"
        case "pow", [a, _] if a.least < 0 and found.made.nans:
            return f"a negative number, {a.least:.4g}, to a power that is not whole"
        case ("exp" | "expm1") as op, [x]:
            return f"`{op}` of {x.greatest:.4g} is more than {most}, the largest number"
        case ("add" | "sub" | "mul" | "div" | "pow" | "matmul" | "sum") as op, _:
            word = {"add": "a sum", "sub": "a difference", "mul": "a product", "div": "a quotient", "pow": "a power", "matmul": "a product"}
            return f"{word.get(op, 'a sum')} is more than {most}, the largest number"
        case op, _:
            return f"`{op}` gave it"


def hint(found: Finding) -> str:
    """What to do: against params that ran away, else against what the operation did."""
    if grown(found):
        return "a smaller learning rate, clip = norm(1), or inputs that are standardized"
    match reason(found).split(" of ")[0].split(",")[0]:
        case "a division by 0":
            return "keep the divisor away from 0: x / (y + 1e-8), or where(y > 0, x / y, 0)"
        case "the logarithm":
            return "log(x + 1e-8), or a loss that is computed from its logits: cross_entropy(softmax(z), y)"
        case "the square root":
            return "sqrt(max(x, 0)), or sqrt(x + 1e-8)"
        case "`exp`" | "`expm1`":
            return "smaller numbers into it: inputs that are standardized, a smaller learning rate; softmax and sigmoid do not overflow"
        case _:
            return f"a smaller learning rate, inputs that are standardized, or a look:  mlpc trace FILE --step {found.step}"


def grown(found: Finding) -> bool:
    """Whether the params are far longer than at the beginning."""
    start, before = found.norms
    return before > GROWN * max(start, 1.0)


class NotFinite(MlpcError):
    """E0503, status 3. `found` says where it began, `document` the same for JSON, if that is known; `trained` is the last good state."""

    def __init__(self, said: Diagnostic, found: dict[str, Any] | None = None, trained: Any = None) -> None:
        super().__init__(said, status=3)
        self.document, self.trained = found, trained


def _most(found: Finding) -> float:
    """The largest number of the precision that the operation has."""
    return float(np.finfo(np.float32 if found.single else np.float64).max)


def _several(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _numbers(r: Range) -> dict[str, Any]:
    known = not math.isnan(r.least)
    return {"min": r.least if known else None, "max": r.greatest if known else None, "nan": r.nans, "infinite": r.infinite, "size": r.size}
