"""The plan as a page of text, at most 100 columns where its names allow, the same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence

from ...dsl.diagnostics import printable
from .. import shapes
from ..footprint import Footprint
from ..plan import Line, Plan

WIDTH = 100
LEFT, LEFT_LEAST = 58, 45  # columns of id, target and text
MARGIN = " "
LONGEST_TARGET = 20


def plan_text(plan: Plan, footprint: Footprint | None = None) -> str:
    """Header, forward, gradient, update, cost and legend; each line as it runs."""
    sections = [[header(plan)]]
    column = _column(plan)
    sections.append(forward(plan, column))
    if plan.gradient:
        sections.append(gradient(plan, column))
    if plan.update:
        sections.append(update(plan))
    if plan.model_states and plan.update:
        sections.append(states(plan))
    closing = [cost(footprint)] if footprint else []
    if plan.gradient:
        closing.append("legend: dX = ∂loss/∂X · ᵀ transpose · * elementwise · kept = stored for the gradient")
    sections.append(closing)
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def header(plan: Plan) -> str:
    """The model in one line."""
    count, tensors = sum(p.count for p in plan.params), len(plan.params)
    facts = [f"{count:,} parameter{'s' * (count != 1)} in {tensors} tensor{'s' * (tensors != 1)}", "batch N"]
    facts.append(f"loss = {plan.loss_text}" if plan.loss_text else "prediction")
    if plan.output >= 0:
        value = plan.values[plan.output]
        facts.append(f"output {value.name} {shapes.show(value.shape)}")
    text = f"{printable(plan.title)}   {' · '.join(facts)}"
    if len(text) > WIDTH:
        text = f"{printable(plan.title)}   {' · '.join(facts[:2])}\n   " + "\n   ".join(facts[2:])
    return text


def forward(plan: Plan, column: int) -> list[str]:
    """The forward lines: shape, readers, kept or not, and the line of the file."""
    widest = max((len(line.target) for line in plan.forward if line.target != "loss" and len(line.target) <= LONGEST_TARGET), default=1)
    pad = 4 if widest == 3 else widest  # `loss` may stick out of the row of equals signs, but not by one
    size = _shape_width(plan)
    tails = [_tail(line) for line in plan.forward]
    tail_width = max([len("needed by"), *(len(t) for t, _ in tails)])
    rows = ["forward".ljust(column) + "shape".ljust(size) + "needed by".ljust(tail_width) + "  mlp line"]
    for line, (tail, below) in zip(plan.forward, tails, strict=True):
        *first, last = _left(line, pad, column)
        rows.extend(first)
        place = str(line.line).rjust(10) if line.line else ""
        rows.append((last.ljust(column - 2) + "  " + shapes.show(line.shape).ljust(size) + tail.ljust(tail_width) + place).rstrip())
        rows.extend(f"{MARGIN}     # {part}" for part in _folded(below, WIDTH - 8))
    return rows


def gradient(plan: Plan, column: int) -> list[str]:
    """The gradient lines: shape and reason."""
    pad = max((len(line.target) for line in plan.gradient if len(line.target) <= LONGEST_TARGET), default=1)
    size = _shape_width(plan)
    rows = ["gradient".ljust(column) + "shape".ljust(size) + "by"]
    for line in plan.gradient:
        *first, last = _left(line, pad, column)
        rows.extend(first)
        reasons = _folded(line.by, max(WIDTH - column - size, 30)) or [""]
        rows.append((last.ljust(column - 2) + "  " + shapes.show(line.shape).ljust(size) + reasons[0]).rstrip())
        rows.extend(" " * (column + size) + more for more in reasons[1:])
    return rows


def update(plan: Plan) -> list[str]:
    """The update lines, once for every param."""
    w = plan.values[plan.update_w].name if plan.update_w is not None else "w"
    names = [p.name for p in plan.params]
    told = " ".join(names)
    if len(told) > WIDTH - 20:
        some = names[:1]
        while len(" ".join(names[: len(some) + 1])) < WIDTH - 40:
            some = names[: len(some) + 1]
        told = f"{' '.join(some)} and {len(names) - len(some)} more"
    pad = max(len(line.target) for line in plan.update)
    rows = [f"update   every {w} of {told}"]
    if plan.accumulate > 1 and plan.update_dw is not None:
        dw = plan.values[plan.update_dw].name
        rows = [f"update   after {plan.accumulate} batches, {dw} being their mean by rows: every {w} of {told}"]
    for line in plan.update:
        rows.extend(_left(line, pad, WIDTH))
        if line.whole:
            rows[-1] += "      once, over all params together"
    return rows


def states(plan: Plan) -> list[str]:
    """What becomes of the states of the model: all at once, after the update."""
    pad = max(len(s.name) for s in plan.model_states)
    told = [(s, plan.values[s.next]) for s in plan.model_states if s.next is not None]
    return ["state    after the update", *(f"{MARGIN}    {s.name.ljust(pad)} = {value.name}" for s, value in told)]


def cost(f: Footprint) -> str:
    """Flops and memory of a step, in one line."""
    memory = f"kept {amount(f.kept)} · peak {amount(f.peak)}, without reuse {amount(f.unshared)}"
    return f"a step at N = {f.rows}: {f.flops:,} flops · {memory}"


def amount(size: int) -> str:
    """Bytes for people: `512 B`, `1.5 KiB`."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{size:,} B" if unit == "B" else f"{value:,.1f} {unit}"


def _tail(line: Line) -> tuple[str, str]:
    """What stands under `needed by`, and the note that stands below the line if it finds no place there."""
    readers = list(line.needed_by)
    if not readers:
        return (line.note, "") if len(line.note) <= 24 else ("", line.note)
    shown = " ".join(readers if len(readers) <= 6 else [*readers[:5], f"+{len(readers) - 5}"])
    return shown.ljust(10) + " kept" if line.kept else shown, line.note


def _left(line: Line, pad: int, column: int) -> list[str]:
    """Id, target and text, on as many lines as it takes."""
    start = f"{MARGIN}{line.id}".ljust(4) + " " + f"{line.target.ljust(pad)} = "
    room = column - 2
    if len(start) + len(line.text) <= room:
        return [start + line.text]
    indent = " " * min(len(start), 24)
    if len(start) > 24 and len(start) + 24 > room:  # a long name stands alone, its text below it
        return [start.rstrip(), *(indent + p for p in _broken(line.text, room - len(indent), room - len(indent)))]
    parts = _broken(line.text, room - len(start), room - len(indent))
    return [start + parts[0], *(indent + p for p in parts[1:])]


def _broken(text: str, first: int, rest: int) -> list[str]:
    """A text broken before operators, the loosest that helps; a piece without one stays whole."""
    lines: list[str] = []
    room = max(first, 12)
    while len(text) > room:
        cut = _cut(text, room)
        if cut <= 0:
            break
        lines.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
        room = max(rest, 12)
    return [*lines, text]


def _cut(text: str, room: int) -> int:
    """Where to break: before the last operator that fits, as far out of the brackets as there is one."""
    depth = 0
    best: dict[int, int] = {}
    for i, c in enumerate(text):
        depth += (c in "([") - (c in ")]")
        if c == " " and 0 < i <= room and i + 1 < len(text) and text[i + 1] in "+-*/@<>" and text[i + 2 : i + 3] in " =":
            rank = 3 * depth + {"+": 0, "-": 0}.get(text[i + 1], 1)
            best[rank] = i
        elif c == "," and 0 < i < room:
            best[3 * depth + 2] = i + 1
    useful = {rank: i for rank, i in best.items() if i >= room // 3} or best
    if useful:
        return useful[min(useful)]
    later = [i for i in (text.find(f" {op} ", room) for op in "+-*/@") if i > 0]
    return min(later, default=0)


def _column(plan: Plan) -> int:
    """Where the shapes stand: beyond every text, long ones broken as if there were room to `LEFT`."""
    lengths = [len(piece) + 2 for line in (*plan.forward, *plan.gradient) for piece in _left(line, 4, LEFT)]
    return min(max([LEFT_LEAST, *lengths]) + 1, LEFT)


def _shape_width(plan: Plan) -> int:
    return max([len("shape"), *(len(shapes.show(line.shape)) for line in (*plan.forward, *plan.gradient))]) + 3


def _folded(text: str, width: int) -> Sequence[str]:
    """A sentence on lines of a width, broken at spaces."""
    lines: list[str] = []
    for word in printable(text).split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
