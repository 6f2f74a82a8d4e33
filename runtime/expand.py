"""From a plan to the program that runs: the update unrolled over pieces of the flat arrays, and what must be copied.

The update is written once, for `P` numbers: it is unrolled here over pieces of a size that stays in the cache, or, where a line
reduces over `P`, over the params.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping

from msgspec.structs import replace

from ..compiler.footprint import piece
from ..compiler.ops import TABLE
from ..compiler.plan import Attrs, Line, Plan, Shape, Step, Value
from .program import GRADIENTS, MODEL_STATES, PARAMS, STATES, Copy, Place, Program, ranges, state_ranges


def expand(plan: Plan, sections: Collection[str], rows: int, keep: Collection[int] = (), ranks: int = 1) -> Program:
    """The program of the `sections` for a batch of `rows`; the registers `keep` can be read when it has run. `ranks` share each step."""
    spans = ranges(plan)
    total = spans[-1][1] if spans else 0
    known = {"N": rows, "P": total}
    ordered = sorted(plan.values, key=lambda v: v.id)
    shapes = {shape: _shape(shape, known) for shape in {v.shape for v in ordered}}
    program = Program(rows, {v.id: Value(v.id, v.name, v.role, shapes[v.shape], v.number) for v in ordered})
    for p, (start, stop) in zip(plan.params, spans, strict=True):
        program.places[p.value] = Place(PARAMS, start, stop)
    for s, (start, stop) in zip(plan.model_states, state_ranges(plan), strict=True):
        program.places[s.value] = Place(MODEL_STATES, start, stop)
    flat = [(plan.update_w, PARAMS), (plan.update_dw, GRADIENTS), *((s.value, STATES + k) for k, s in enumerate(plan.states))]
    for register, array in flat:
        if register is not None:
            program.places[register] = Place(array, 0, total)
    for v in ordered:
        constant = v.role == "const" or (v.role == "symbol" and v.name == "N")
        program.kinds[v.id] = "static" if constant else "scalar" if v.role == "symbol" and v.id not in program.places else "array"
    for line in (*plan.forward, *plan.gradient):
        if line.section in sections:
            program.turn = line.again
            for step in line.steps:
                program.append(_resolved(step, known))
    if "gradient" in sections:
        _collect_gradients(program, plan, spans)
    kept = set(keep)
    _own_kept_params(program, kept)
    if "update" in sections:
        if any(line.commits is not None and line.commits == plan.update_dw for line in plan.update):
            _own_kept_gradients(program, kept)
        _unroll(program, plan, spans, kept, ranks)
        program.body += [Copy(s.next, s.value) for s in plan.model_states if s.next is not None]
    program.keep = tuple(r for k in sorted(kept) for r in program.pieces.get(k, (k,)))
    _own_stale_views(program)
    return program


def _shape(shape: Shape, known: Mapping[str, int]) -> Shape:
    return tuple(known[d] if isinstance(d, str) else d for d in shape)


def _resolved(step: Step, known: Mapping[str, int]) -> Step:
    """The step with numbers for the symbols in its attributes."""
    return replace(step, attrs=_attrs(step.attrs, known)) if step.attrs else step


def _attrs(attrs: Attrs, known: Mapping[str, int]) -> Attrs:
    def number(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(number(v) for v in value)  # pyright: ignore[reportUnknownVariableType]
        return known[value] if isinstance(value, str) and value in known else value

    return tuple((name, number(value)) for name, value in attrs)


def _collect_gradients(program: Program, plan: Plan, spans: list[tuple[int, int]]) -> None:
    """Lets the step that makes a param's gradient write into the flat array; a gradient that no step makes is copied there."""
    made = {s.out for s in program.calls if s.out not in program.roots}
    for p, (start, stop) in zip(plan.params, spans, strict=True):
        if p.gradient is None:
            continue
        place = Place(GRADIENTS, start, stop)
        if p.gradient in made and p.gradient not in program.places and program.values[p.gradient].shape == p.shape:
            program.places[p.gradient] = place
        else:
            program.body.append(Copy(p.gradient, program.fresh(program.values[p.gradient], p.shape, place)))


def _own_kept_params(program: Program, kept: set[int]) -> None:
    """A kept register that is a param itself is read before the update: it is copied first."""
    for register in sorted(kept & set(program.places)):
        if program.values[register].role == "param" and program.places[register].array == PARAMS:
            copy = program.fresh(program.values[register], program.values[register].shape)
            program.own.add(copy)
            program.pieces[register] = (copy,)
            program.body.insert(0, Copy(register, copy))


def _own_kept_gradients(program: Program, kept: set[int]) -> None:
    """A kept register that is a param's gradient is read before the update, which overwrites it: it is copied first."""
    for register in sorted(kept & set(program.places)):
        if program.places[register].array == GRADIENTS:
            copy = program.fresh(program.values[register], program.values[register].shape)
            program.own.add(copy)
            program.pieces[register] = (copy,)
            program.body.append(Copy(register, copy))


def _unroll(program: Program, plan: Plan, spans: list[tuple[int, int]], kept: set[int], ranks: int) -> None:
    """The update lines: what does not depend on a param, and what is of all params together, once; the rest for every piece.

    What is once is first: of the flat arrays it may read only what no line has overwritten, the gradients as they were derived.
    """
    each = {r for r in (plan.update_w, plan.update_dw, *(s.value for s in plan.states)) if r is not None}
    wide = {v.id for v in plan.values if "P" in v.shape}
    reduces = False
    for step in (s for line in plan.update if not line.whole for s in line.steps):
        if step.out in wide or any(a in each for a in step.args):
            each.add(step.out)
            reduces |= step.out not in wide or TABLE[step.op].kind not in ("elementwise", "view")
    total = spans[-1][1] if spans else 0
    for step in (s for line in plan.update for s in line.steps):
        if step.out not in each:
            program.append(_resolved(step, {"N": 0, "P": total}))
    shapes = {v.id: v.shape for v in plan.values}
    pieces = [s for s in spans if s[0] < s[1]] if reduces else _cut(total, ranks)
    begin = len(program.body)
    clones: dict[int, list[int]] = {r: [] for r in sorted(each)}
    leaves = [(r, place) for r, place in program.places.items() if r in each]
    for start, stop in pieces:
        names: dict[int, int] = {}
        for register, place in leaves:
            names[register] = program.fresh(program.values[register], (stop - start,), replace(place, start=start, stop=stop))
        for line in plan.update:
            _piece(program, line, each, names, shapes, {"N": 0, "P": stop - start})
        for register in clones:
            if register in names:
                clones[register].append(names[register])
    program.pieces.update((r, tuple(c)) for r, c in clones.items() if r not in program.pieces)
    _write_early(program, begin, {c for r in kept for c in program.pieces.get(r, (r,))})


def _cut(total: int, ranks: int) -> list[tuple[int, int]]:
    """The flat arrays in pieces of even size, each of a piece for every rank."""
    size = ranks * piece(-(-total // ranks))
    return [(start, min(start + size, total)) for start in range(0, total, size)]


def _piece(
    program: Program, line: Line, each: set[int], names: dict[int, int], shapes: Mapping[int, Shape], known: Mapping[str, int]
) -> None:
    """One line of the update for one piece; `names` are the registers that stand for the plan's there."""
    last: Step | None = None
    for step in line.steps:
        if step.out in each:
            names[step.out] = program.fresh(program.values[step.out], _shape(shapes[step.out], known))
            last = replace(_resolved(step, known), args=tuple(names.get(a, a) for a in step.args), out=names[step.out])
            program.append(last)
    if line.commits is None:
        return
    source, target = names.get(line.value, line.value), names[line.commits]
    if last is not None and last.out == source and _may_overwrite(program, last, target):
        program.places[source] = program.places[target]
    elif source != target:
        program.body.append(Copy(source, target))


def _may_overwrite(program: Program, step: Step, target: int) -> bool:
    """Whether the step may write its result into `target`: it reads nothing of it, or reads it number by number."""
    row, place, seen = TABLE[step.op], program.places[target], program.roots
    if program.kinds[step.out] != "array" or step.out in seen or step.out in program.places:
        return False
    if program.values[step.out].shape != program.values[target].shape:
        return False
    met = [a for a in step.args if (p := program.places.get(seen.get(a, a))) is not None and p.meets(place)]
    return all(row.inplace and a not in seen and program.places[a] == place for a in met)


def _write_early(program: Program, begin: int, kept: set[int]) -> None:
    """Lets the last step that reads what will be overwritten write there already: `0.9 * m`, of `m = 0.9 * m + 0.1 * dw`.

    Its value must have been read when the new one is written, and nothing may look at the place in between.
    """
    body, seen = program.body, {*program.roots.values()}
    reads: dict[int, int] = {}
    reader: dict[Place, tuple[int, int]] = {}  # place -> the last step so far that reads it, and the register that it reads
    commits: list[tuple[int, int, int]] = []
    for index in range(begin, len(body)):
        step = body[index]
        read = (step.source,) if isinstance(step, Copy) else step.args
        written = program.places.get(step.target if isinstance(step, Copy) else step.out)
        if written not in {program.places.get(r) for r in read} and written in reader and isinstance(step, Step) and TABLE[step.op].inplace:
            commits.append((index, *reader[written]))
        reads.update(dict.fromkeys(read, index))
        reader.update((program.places[r], (index, r)) for r in read if r in program.places)
    for index, early, target in commits:
        step = body[early]
        if not isinstance(step, Step) or not _may_overwrite(program, step, target):
            continue
        if step.out not in kept and not seen & {target, step.out} and reads.get(step.out, index) <= index:
            program.places[step.out] = program.places[target]


def _own_stale_views(program: Program) -> None:
    """Makes a copy of a view of a param or a state that is read after its number has changed."""
    written: dict[int, list[tuple[int, Place]]] = {}
    reads: dict[int, int] = {}
    for index, step in enumerate(program.body):
        target = step.target if isinstance(step, Copy) else step.out
        if target in program.places:
            written.setdefault(program.places[target].array, []).append((index, program.places[target]))
        reads.update(dict.fromkeys((step.source,) if isinstance(step, Copy) else step.args, index))
    reads.update(dict.fromkeys(program.keep, len(program.body)))
    views = [(i, s) for i, s in enumerate(program.body) if isinstance(s, Step) and s.out in program.roots]
    for _, step in reversed(views):  # a view is read when a view of it is
        reads[step.args[0]] = max(reads[step.args[0]], reads.get(step.out, 0))
    for index, step in views:
        place = program.places.get(program.roots[step.out])
        if place is not None:
            later = written.get(place.array, [])
            between = later[bisect_right(later, index, key=_at) : bisect_left(later, reads.get(step.out, 0), key=_at)]
            if any(place.meets(w) for _, w in between):
                program.own.add(step.out)


def _at(write: tuple[int, Place]) -> int:
    return write[0]
