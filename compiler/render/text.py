"""The plan as a page of text, at most 100 columns where its names allow, the same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from .. import shapes
from ..footprint import Footprint
from ..plan import Line, Plan
from ..undisturbed import undisturbed
from .breaking import MARGIN, Pieces, rows_of, target_width, width_of
from .copies import table
from .page import WIDTH, Part, Row, folded, plain, row
from .repeats import Repeat, printed, repeats
from .series import AND_SO_ON, elided

LEFT, LEFT_LEAST, LEFT_MOST, STEP = 58, 45, 70, 4  # columns of id, target and text, of a page of 100
REASON = 20  # columns that are left for the reasons of the gradient
READERS = 24  # columns for what stands under `needed by`, `kept` aside
PLACE = 10  # columns for the line of the file
LEGEND = "legend: dX = ∂loss/∂X · ᵀ transpose · * elementwise · kept = stored for the gradient"
EVEN = "⋮ ⋯ = and so on in even steps, up to what follows"
SUMS = "sum(...) of a matrix, or of few numbers = a product with ones: mlpc explain sum"
NOT_KEPT = "recomputed = not kept, and made again by the same line, to the same bits"
AGAIN = "again = once more, with each row's names in place of the first's · --all prints every line"


class Frame(Struct, frozen=True):
    """Where the columns of forward and gradient stand: ids, targets (of each section), shapes and what follows them."""

    numbers: int
    pads: tuple[int, int]
    column: int
    size: int
    width: int


def plan_text(plan: Plan, footprint: Footprint | None = None, *, every: bool = False) -> str:
    """The page without colours: header, forward, gradient, update, cost and legend; each line as it runs."""
    return plain(plan_page(plan, footprint, every=every)) + "\n"


@undisturbed()
def plan_page(plan: Plan, footprint: Footprint | None = None, *, every: bool = False, width: int = WIDTH) -> list[Row]:
    """The rows of the page. Lines that come again under other names, and the middle of long sums, are folded but for `every`."""
    runs = [() if every else repeats(plan, lines) for lines in (plan.forward, plan.gradient)]
    shown = [list(printed(lines, found)) for lines, found in zip((plan.forward, plan.gradient), runs, strict=True)]
    if not every:
        shown = [[replace(x, text=elided(x.text)) if isinstance(x, Line) else x for x in items] for items in shown]
    frame = _frame(plan, [[line for line in items if isinstance(line, Line)] for items in shown], width)
    sections = [header(plan, width), forward(plan, shown[0], frame)]
    if plan.gradient:
        sections.append(gradient(plan, shown[1], frame))
    if plan.update:
        sections.append(update(plan, width))
    if plan.model_states and plan.update:
        sections.append(states(plan))
    closing = [cost(footprint)] if footprint else []
    closing += [threaded(footprint)] if footprint and footprint.threads > 1 else []
    closing += [LEGEND] if plan.gradient else []
    notes = (
        [SUMS] * any("sum(" in line.text for line in plan.lines)
        + [NOT_KEPT] * any(line.again for line in plan.gradient)
        + [AGAIN] * any(runs[0] + runs[1])
        + [EVEN] * any(map(_in_even_steps, [*shown[0], *shown[1]]))
    )
    closing += [(" " * len("legend: ") if i or plan.gradient else "legend: ") + note for i, note in enumerate(notes)]
    sections.append([row(Part(part, "aside")) for text in closing for part in _within(text, width)])
    return [r for i, rows in enumerate(s for s in sections if s) for r in ([row()] if i else []) + rows]


def header(plan: Plan, width: int) -> list[Row]:
    """The model in one line, or a line for each thing to say of it."""
    count, tensors = sum(p.count for p in plan.params), len(plan.params)
    facts = [f"{count:,} parameter{'s' * (count != 1)} in {tensors} tensor{'s' * (tensors != 1)}", "batch N"]
    facts.append(f"loss = {plan.loss_text}" if plan.loss_text else "prediction")
    if plan.output >= 0:
        value = plan.values[plan.output]
        facts.append(f"output {value.name} {shapes.show(value.shape)}")
    title = Part(plan.title, "heading")
    whole = row(title, f"   {' · '.join(facts)}")
    if width_of(whole) <= width:
        return [whole]
    below = [f"{'   ' if i == 0 else '      '}{part}" for fact in facts[2:] for i, part in enumerate(folded(fact, width - 6))]
    return [row(title, f"   {' · '.join(facts[:2])}"), *map(row, below)]


def forward(plan: Plan, shown: Sequence[Line | Repeat], frame: Frame) -> list[Row]:
    """The forward lines: shape, readers, kept or not, and the line of the file."""
    tail_width = _tail_width(plan)
    heads = "shape".ljust(frame.size) + "needed by".ljust(tail_width) + "  mlp line"
    rows = [row(Part("forward", "heading"), Part(" " * (frame.column - len("forward")) + heads, "aside"))]
    for line in shown:
        if isinstance(line, Repeat):
            rows.extend(table(line, [x.id for x in plan.forward], frame.width))
            continue
        readers, kept, below = _tail(line)
        room = tail_width - len(readers) - len(kept)
        place = str(line.line).rjust(room + PLACE) if line.line else ""
        rows += _line(line, frame.pads[0], frame, Part(readers, "aside"), Part(kept, "kept"), Part(place, "aside"))
        rows += _below(below, frame.width)
    return rows


def gradient(plan: Plan, shown: Sequence[Line | Repeat], frame: Frame) -> list[Row]:
    """The gradient lines: shape and reason."""
    heads = " " * (frame.column - len("gradient")) + "shape".ljust(frame.size) + "by"
    rows = [row(Part("gradient", "heading"), Part(heads, "aside"))]
    for line in shown:
        if isinstance(line, Repeat):
            rows.extend(table(line, [x.id for x in plan.gradient], frame.width))
            continue
        first, *more = _reasons(line, frame.width - frame.column - frame.size)
        rows += _line(line, frame.pads[1], frame, Part(first, "aside"))
        rows += [row(" " * (frame.column + frame.size), Part(part, "aside")) for part in more]
    return rows


def update(plan: Plan, width: int) -> list[Row]:
    """The update lines, once for every param."""
    w = plan.values[plan.update_w].name if plan.update_w is not None else "w"
    names = [p.name for p in plan.params]
    told = " ".join(names)
    if len(told) > width - 20:
        some = names[:1]
        while len(" ".join(names[: len(some) + 1])) < width - 40:
            some = names[: len(some) + 1]
        told = f"{' '.join(some)} and {len(names) - len(some)} more"
    head = f"   every {w} of {told}"
    if plan.accumulate > 1 and plan.update_dw is not None:
        dw = plan.values[plan.update_dw].name
        head = f"   after {plan.accumulate} batches, {dw} being their mean by rows: every {w} of {told}"
    pad = max(len(line.target) for line in plan.update)
    rows = [row(Part("update", "heading"), head)]
    for line in plan.update:
        made = rows_of(line, _numbers(plan.update), pad, width - 2)
        if line.whole:
            made[-1].append(Part("      once, over all params together", "aside"))
        rows += [row(*pieces) for pieces in made]
        rows += _below(line.note, width)
    return rows


def states(plan: Plan) -> list[Row]:
    """What becomes of the states of the model: all at once, after the update."""
    pad = max(len(s.name) for s in plan.model_states)
    told = [(s, plan.values[s.next]) for s in plan.model_states if s.next is not None]
    lines = [row(f"{MARGIN}    ", Part(s.name.ljust(pad), "target"), f" = {value.name}") for s, value in told]
    return [row(Part("state", "heading"), "    after the update"), *lines]


def cost(f: Footprint) -> str:
    """Flops and memory of a step, in one line."""
    memory = f"kept {amount(f.kept)} · peak {amount(f.peak)}, without reuse {amount(f.unshared)}"
    return f"a step at N = {f.rows}: {f.flops:,} flops · {memory}"


def threaded(f: Footprint) -> str:
    """How many threads a step runs on, and which sums depend on it."""
    sums = f"; sums of theirs may round otherwise than on one, in {' '.join(f.summed)}" if f.summed else ""
    return f"on {f.threads} threads, which share what is large{sums}"


def amount(size: int) -> str:
    """Bytes for people: `512 B`, `1.5 KiB`."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{size:,} B" if unit == "B" else f"{value:,.1f} {unit}"


def _line(line: Line, pad: int, frame: Frame, *rest: Part) -> list[Row]:
    """A line of forward or gradient; its shape and the rest stand at its end, or below it where it is too long for that."""
    made: list[Pieces] = rows_of(line, frame.numbers, pad, frame.column - 2)
    if width_of(made[-1]) > frame.column - 2:
        made.append([])
    last = made[-1]
    shape = " " * (frame.column - width_of(last)) + shapes.show(line.shape).ljust(frame.size)
    return [*(row(*pieces) for pieces in made[:-1]), row(*last, shape, *rest)]


def _below(note: str, width: int) -> list[Row]:
    """A note under its line."""
    return [row(Part(f"{MARGIN}     # {part}", "aside")) for part in folded(note, width - 8)]


def _tail(line: Line) -> tuple[str, str, str]:
    """What stands under `needed by`: readers, or a note, and `kept`; and the note that stands below if it finds no place there."""
    readers = list(line.needed_by)
    if not readers:
        return (line.note, "", "") if len(line.note) <= READERS else ("", "", line.note)
    most = next(n for n in (6, 5, 4, 3, 2, 1) if n == 1 or len(_readers(readers, n)) <= READERS)
    shown = _readers(readers, most)
    return (shown.ljust(10) + " ", "kept", line.note) if line.kept else (shown, "", line.note)


def _readers(readers: Sequence[str], most: int) -> str:
    return " ".join(readers if len(readers) <= most else [*readers[: most - 1], f"+{len(readers) - most + 1}"])


def _tail_width(plan: Plan) -> int:
    return max([len("needed by"), *(len(readers) + len(kept) for readers, kept, _ in map(_tail, plan.forward))])


def _reasons(line: Line, width: int) -> Sequence[str]:
    return folded(line.by, max(width, REASON)) or [""]


def _frame(plan: Plan, printed: Sequence[Sequence[Line]], width: int) -> Frame:
    """The columns that need the fewest rows; of equals the narrowest."""
    lines = [line for section in printed for line in section]
    numbers = _numbers(lines)
    size = max([len("shape"), *(len(shapes.show(line.shape)) for line in lines)]) + 3
    most = min(LEFT_MOST - WIDTH + width, width - size - max(_tail_width(plan) + PLACE, REASON))
    limits = list(range(LEFT - WIDTH + width, most + 1, STEP)) or [max(most, LEFT_LEAST - WIDTH + width)]
    found: list[tuple[int, Frame]] = []
    for limit in limits:
        counts, pads = zip(*(target_width(section, numbers, limit - 2) for section in printed), strict=True)
        ends = [
            width_of(r) for section, pad in zip(printed, pads, strict=True) for x in section for r in rows_of(x, numbers, pad, limit - 2)
        ]
        column = min(max(LEFT_LEAST - WIDTH + width, max(ends, default=0) + 2) + 1, limit)
        reasons = sum(len(_reasons(line, width - column - size)) - 1 for line in printed[1])
        found.append((sum(counts) + reasons, Frame(numbers, pads, column, size, width)))
    return min(found, key=lambda f: f[0])[1]


def _numbers(lines: Sequence[Line]) -> int:
    """Columns of the longest id."""
    return max([3, *(len(line.id) for line in lines)])


def _in_even_steps(item: Line | Repeat) -> bool:
    return AND_SO_ON in item.text if isinstance(item, Line) else None in item.rows or any(map(_in_even_steps, item.inside))


def _within(text: str, width: int) -> list[str]:
    return [text] if len(text) <= width else folded(text, width)
