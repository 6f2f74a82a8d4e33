"""The numbers of a step as a page of text: what it starts from, and each line of the plan with its matrix. Runs nothing."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby, zip_longest
from typing import Any

from .. import shapes
from ..plan import Line
from ..trace import RIGHT, UNKNOWN, WRONG, Comparison, Entry, Trace
from .breaking import MARGIN, rows_of, target_width, width_of
from .matrix import matrix, number
from .page import WIDTH, Part, Row, folded, plain, row

ROWS = 6  # of a matrix that are shown
TEXT = 44  # columns of id, target and text
INDENT = "     "
BETWEEN = 3  # columns between blocks side by side
TITLES = {"param": "params", "input": "inputs", "state": "states", "forward": "forward", "gradient": "gradient", "update": "update"}
AGREE = "central differences agree"


def trace_text(trace: Trace, names: Collection[str] = (), rows: int | None = ROWS) -> str:
    """The page without colours, or only the values and lines of these names or ids. `rows`: how many of a matrix, None: all."""
    return plain(trace_page(trace, names, rows)) + "\n"


def trace_page(trace: Trace, names: Collection[str] = (), rows: int | None = ROWS, width: int = WIDTH) -> list[Row]:
    """The rows of the page: a section each for params, inputs, states, forward, gradient and update."""
    entries = _named(trace, names)
    sections = [_header(trace, width)]
    for section, group in groupby(entries, key=lambda e: e.section):
        found = list(group)
        lines = _lines(trace, found, rows, width) if section in ("forward", "gradient", "update") else _bands(found, rows, width)
        sections.append([_heading(trace, section, found), *lines])
    sections.append(_closing(entries, width))
    return [r for i, made in enumerate(s for s in sections if s) for r in ([row()] if i else []) + made]


def trace_document(trace: Trace, names: Collection[str] = ()) -> dict[str, Any]:
    """The same for JSON; values as nested lists, states and updates of a param with the key `param`."""
    values: list[dict[str, Any]] = []
    for e in _named(trace, names):
        value: dict[str, Any] = {"id": e.id, "name": e.name, "section": e.section}
        value |= {"param": e.param} if e.param else {}
        value |= {"shape": list(e.value.shape), "dtype": str(e.value.dtype), "value": e.value.tolist()}
        if (c := e.comparison) is not None:
            value["differences"] = {
                "verdict": c.verdict, "compared": c.compared, "judged": c.judged, "largest": c.largest if c.judged else None,
                "at": list(c.at) if c.judged else None, "why": c.why,
            }  # fmt: skip
        values.append(value)
    return {
        "title": trace.plan.title, "step": trace.step, "epoch": trace.epoch, "loss": trace.loss, "rows": trace.rows,
        "batches": trace.batches, "precision": trace.plan.precision, "symbols": trace.symbols, "values": values,
    }  # fmt: skip


def _named(trace: Trace, names: Collection[str]) -> list[Entry]:
    return [e for e in trace.entries if not names or {e.name, e.id} & {*names}]


def _header(trace: Trace, width: int) -> list[Row]:
    """Which step it is, and its loss."""
    steps, epochs = (f"{trace.symbols[name]}" for name in ("steps", "epochs"))
    rows = f"{trace.rows:,} row{'s' * (trace.rows != 1)}"
    batch = f"batch of {rows}" if trace.batches == 1 else f"{trace.batches} batches, the last of {rows}"
    facts = [f"step {trace.step} of {steps}", f"epoch {trace.epoch} of {epochs}", batch, trace.plan.precision]
    several = f", the mean of its {trace.batches} batches by rows" if trace.batches > 1 else ""
    made = [row(Part(trace.plan.title, "heading"), f"   {' · '.join(facts)}")]
    if width_of(made[0]) > width:
        made = [row(Part(trace.plan.title, "heading")), *(row(f"   {part}") for part in folded(" · ".join(facts), width - 3))]
    made.append(row(Part(f"   loss = {number(trace.loss)}{several}", "" if math.isfinite(trace.loss) else "wrong")))
    odd = next((e for e in trace.entries if _odd(e)), None)
    if odd is not None:
        name = odd.name if odd.id == odd.name else f"{odd.id}  {odd.name}"
        of = f" of {odd.param}" if odd.param else ""
        made.append(row(Part(f"   ! not finite, and first in  {name}{of}", "wrong")))
    return made


def _heading(trace: Trace, section: str, entries: Sequence[Entry]) -> Row:
    """The name of a section, and what is to be known of all its numbers."""
    told: list[str] = []
    if section in ("param", "state"):
        told.append("before the update")
    if section in ("input", "forward", "gradient") and trace.batches > 1:
        told.append(f"of the last of {trace.batches} batches")
    if section == "gradient" and any(e.comparison is not None for e in entries):
        told.append("each beside central differences of the loss")
    if section == "update":
        read = {v.name for v in trace.plan.values if v.role == "symbol"}
        told += [f"{name} = {value}" for name, value in trace.symbols.items() if name in read]
    title = TITLES[section]
    return row(Part(title, "heading"), Part(" " * (11 - len(title)) + " · ".join(told), "aside"))


def _lines(trace: Trace, entries: Sequence[Entry], rows: int | None, width: int) -> Iterator[Row]:
    """Lines as the plan prints them, their matrices beside them where these have room, else below."""
    lines = {line.id: line for line in trace.plan.lines}
    shown = [lines[key] for key in dict.fromkeys(e.id for e in entries) if key in lines]
    numbers = max([3, *(len(line.id) for line in shown)])
    pad = target_width(shown, numbers, TEXT)[1] if shown else 0
    column = _column([(lines[e.id], e) for e in entries if e.id in lines and not e.param], numbers, pad)
    for key, group in groupby(entries, key=lambda e: e.id):
        parts = list(group)
        if key not in lines:
            told = f"   the mean of the {trace.batches} batches' gradients by rows"
            yield row(MARGIN, Part(parts[0].name, "target"), Part(told, "aside"))
        elif parts[0].param:
            yield from (row(*pieces) for pieces in rows_of(lines[key], numbers, pad, width))
        else:
            yield from _line(lines[key], parts[0], (numbers, pad, column), rows, width)
            continue
        yield from _bands(parts, rows, width)


def _line(line: Line, entry: Entry, frame: tuple[int, int, int], rows: int | None, width: int) -> Iterator[Row]:
    """One line with its one matrix. `frame`: columns of ids and of targets, and where the matrix begins."""
    numbers, pad, column = frame
    left = rows_of(line, numbers, pad, TEXT)
    shape = _shape(entry)
    left[-1].append(Part(" " * max(column - 3 - width_of(left[-1]) - len(shape), 2) + shape, "aside"))
    for role, told in (("wrong", _nonfinite(entry)), *_compared(entry.comparison)):
        left += [[Part(INDENT + part, role)] for part in folded(told, column - 3 - len(INDENT))]
    beside = _matrix(entry, width - column, rows, whole=True)
    if beside and max(map(width_of, left)) < column:
        for words, numbers_ in zip_longest(left, beside, fillvalue=()):
            yield row(*words, " " * (column - width_of(words)), *numbers_)
    else:
        yield from (row(*words) for words in left)
        yield from (row(INDENT, *part) for part in _matrix(entry, width - len(INDENT), rows))


def _column(shown: Iterable[tuple[Line, Entry]], numbers: int, pad: int) -> int:
    """Where the matrices of lines begin: beyond their texts and shapes, long texts broken, and what is said of the gradients."""
    ends = [width_of(rows_of(line, numbers, pad, TEXT)[-1]) + 2 + len(_shape(entry)) for line, entry in shown]
    return max([len(INDENT) + len(f"{AGREE} to 1e-11"), *(end for end in ends if end <= TEXT + 12)]) + 3


def _bands(entries: Sequence[Entry], rows: int | None, width: int) -> Iterator[Row]:
    """Matrices below their names, as many side by side as fit."""
    band: list[list[Row]] = []
    for entry in entries:
        block = _block(entry, rows, width)
        if band and sum(map(_width, band)) + BETWEEN * len(band) + _width(block) > width:
            yield from _side_by_side(band)
            band = []
        band.append(block)
    yield from _side_by_side(band)


def _block(entry: Entry, rows: int | None, width: int) -> list[Row]:
    name = entry.name if not entry.param else entry.param if entry.section == "update" else f"{entry.name} of {entry.param}"
    head: Row = (Part(MARGIN), Part(name, "target"), Part(f" {_shape(entry)}", "aside"))
    odd = [(Part(INDENT + text, "wrong"),) for text in folded(_nonfinite(entry), width)]
    return [head, *odd, *((Part(INDENT), *part) for part in _matrix(entry, width - len(INDENT), rows))]


def _side_by_side(band: Sequence[Sequence[Row]]) -> Iterator[Row]:
    for parts in zip_longest(*band, fillvalue=()):
        cells = [(*part, Part(" " * (_width(block) + BETWEEN - width_of(part)))) for part, block in zip(parts, band, strict=True)]
        yield row(*(p for cell in cells for p in cell))


def _width(block: Sequence[Row]) -> int:
    return max(map(width_of, block))


def _matrix(entry: Entry, room: int, rows: int | None, *, whole: bool = False) -> list[Row]:
    """The rows of its matrix, those with a number that is none in the colour of what is wrong."""
    texts = matrix(entry.value, room, rows, whole=whole)
    return [(Part(text, "wrong" if {"NaN", "inf", "-inf"} & {*text.split()} else ""),) for text in texts]


def _shape(entry: Entry) -> str:
    return shapes.show(entry.value.shape) if entry.value.shape else ""


def _compared(c: Comparison | None) -> Iterator[tuple[str, str]]:
    """(role, sentence): what the comparison with central differences came to."""
    if c is None:
        return
    if c.verdict == UNKNOWN:
        yield "aside", f"central differences do not tell: {c.why}" if c.compared else ""
        return
    if c.verdict == WRONG:
        there = f"at {list(c.at)}: {number(c.gradient)} here, {number(c.measured)} there"
        yield "wrong", f"! central differences DIFFER by {c.largest:.1e}, {there}"
    else:
        yield "aside", f"{AGREE} to {c.largest:.0e}" if c.largest else f"{AGREE} exactly"
    if c.compared < c.count:
        yield "aside", f"in {c.compared:,} of {c.count:,} entries"
    if c.judged < c.compared:
        yield "aside", f"not told in {c.compared - c.judged}: {c.why}"


def _nonfinite(entry: Entry) -> str:
    """How many of the numbers are none."""
    if not _odd(entry):
        return ""
    numbers: list[float] = entry.value.reshape(-1).tolist()
    found = ((sum(map(math.isnan, numbers)), "NaN"), (sum(map(math.isinf, numbers)), "infinite"))
    if len(numbers) in (count for count, _ in found):
        return f"! all {next(word for count, word in found if count)}" if len(numbers) > 1 else "! not finite"
    return f"! {', '.join(f'{count:,} {word}' for count, word in found if count)} of {len(numbers):,}"


def _odd(entry: Entry) -> bool:
    """Whether some number is not finite."""
    value = entry.value
    return 0 not in value.shape and not (math.isfinite(float(value.min())) and math.isfinite(float(value.max())))


def _closing(entries: Sequence[Entry], width: int) -> list[Row]:
    """What the comparisons came to all together, and how they were made."""
    compared = [(e, e.comparison) for e in entries if e.comparison is not None]
    if not compared:
        return []
    right = [(e, c) for e, c in compared if c.verdict == RIGHT]
    told = f"{len(right)} of {len(compared)} gradients agree with central differences"
    if right:
        entry, worst = max(right, key=lambda found: found[1].largest)
        told += f", at worst to {worst.largest:.0e} ({entry.name})" if worst.largest else " exactly"
    made = [row(told)]
    for verdict, role, word in ((WRONG, "wrong", "! wrong (mlpc check says more)"), (UNKNOWN, "aside", "not told")):
        names = [e.name for e, c in compared if c.verdict == verdict]
        made += [row(Part(f"{word}: {' '.join(names)}", role))] if names else []
    rest = [e.name for e in entries if e.section == "gradient" and e.comparison is None]
    made += [row(Part(f"not the gradient of one value, so not compared: {' '.join(rest)}", "aside"))] if rest else []
    sampled = ", some of a large matrix, drawn by the seed" if any(c.compared < c.count for _, c in compared) else ""
    how = f"a central difference: (loss(v + h) - loss(v - h)) / 2h, entry by entry{sampled}, in float64"
    return [*made, *(row(Part(part, "aside")) for part in folded(how, width))]
