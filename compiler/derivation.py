"""Why a line is what it is: from what the user wrote, or from the chain rule's raw adjoint, rewrite by rewrite to what is printed."""

from __future__ import annotations

from msgspec import Struct

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, printable
from ..dsl.syntax import Program
from .cotangents import MECHANISMS
from .plan import Line, Plan
from .recompute import RECOMPUTED
from .render.page import Row, Shown

WRITTEN, DEFINITION, CHAIN, KNOWN, SHARED, WORDS = "as written", "definition", "chain rule", "known value", "shared", "words"
HOW = MECHANISMS | {
    WRITTEN: "what the model says",
    DEFINITION: "a function is what its text says, its parameters replaced by the arguments",
    CHAIN: "the gradient of a value is the sum, over all that read it, of the gradient that each sends back",
    KNOWN: "what a line above has computed is read, not computed again",
    SHARED: "what several lines read has a line of its own",
    WORDS: "no rewrite went through this call, so it stands as it was written",
    RECOMPUTED: "the value was not kept, as `recompute = on` allows, and is made once more by the same operations on the same numbers",
}


class Rewriting(Struct, frozen=True):
    """The right side of a line after `rule`, with the statement of that rule and the facts that license it here."""

    text: str
    rule: str
    statement: str
    facts: tuple[str, ...] = ()


class Derivation(Shown, Struct, frozen=True):
    """How a line comes about; the last step has the line's own text.

    `through` are the lines whose gradients a gradient gathers, `said` what the model says where the line is from.
    """

    plan: Plan
    line: Line
    steps: tuple[Rewriting, ...]
    through: tuple[Line, ...] = ()
    said: str = ""

    def page(self) -> list[Row]:
        """The page of `mlpc plan --why`."""
        from .render.derivation import derivation_rows

        return list(derivation_rows(self))

    def _repr_latex_(self) -> str:
        from .render.display import derivation_display

        return derivation_display(self, self.plan)


def called(plan: Plan, name: str) -> Line:
    """The line of an id or a name; of a name with several (a state and what it was) the last. MlpcError E0201 if there is none.

    What is computed again is called by its id.
    """
    found = [line for line in plan.lines if name == line.id or (name == line.target and not line.again)]
    if found:
        return found[-1]
    targets = [line.target for line in plan.lines]
    gradients = [g for g in (f"d{name}", f"d({name})") if g in targets]
    known = any(v.name == name for v in plan.values)
    hint = did_you_mean(name, targets) or "the names and ids of the lines of  mlpc plan"
    if known:
        hint = f"its gradient has one: --why {gradients[0]}" if gradients else "mlpc plan  lists the lines"
    what = "no line makes it: it is where the lines start" if known else "no line is called so"
    raise MlpcError(Diagnostic("E0201", None, f"--why {printable(name)}: {what}", hint))


def through(line: Line, plan: Plan) -> tuple[Line, ...]:
    """The forward lines between the value whose gradient this is and the next that have a gradient of their own, or the loss."""
    if line.section != "gradient" or line.again:
        return ()
    heard = {"loss"}  # what the loss depends on
    for x in reversed(plan.forward):
        heard |= set(x.needs) if x.target in heard else set()
    gradients = {g.target for g in plan.gradient}
    passing = {line.target[2:-1] if line.target.startswith("d(") else line.target[1:]}
    found: list[Line] = []
    for x in plan.forward:
        if x.target in heard and passing & set(x.needs):
            found.append(x)
            if not gradients & {f"d{x.target}", f"d({x.target})"}:
                passing.add(x.target)
    return tuple(found)


def source_line(line: Line, program: Program) -> str:
    """The line of the model that a forward line is from, on one line."""
    text = program.source.text.splitlines()[line.line - 1].strip() if (line.section == "forward" or line.again) and line.line else ""
    return f"{program.source.name}:{line.line}   {' '.join(text.split())}" if text else ""
