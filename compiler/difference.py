"""What separates two plans, as a value: names, what the files say, tensors, lines and cost. It runs nothing.

Lines are compared by what they compute and how they read, never by their ids, which shift when a line is put in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from .footprint import Footprint
from .matching import ORDINAL, Named, form_of, longest_rising, match, names_of
from .plan import NUMBERED, Line, Plan, Shape
from .render.page import Row, Shown

NAME = re.compile(r"(?<![\w.'])(?:d\([\w.']+\)|[A-Za-z_][\w.']*(?!\())(?!\s*=[^=])", re.ASCII)  # but for functions and keywords
MODEL, UPDATE = ("forward", "gradient"), ("update",)


class Subject(Struct, frozen=True):
    """One of the two: a plan under a name, what it costs, and what its file says beside the lines: (section, name, text)."""

    name: str
    plan: Plan
    footprint: Footprint | None = None
    said: tuple[tuple[str, str, str], ...] = ()


class Rename(Struct, frozen=True):
    """A name that became another; `within` are the dotted names that changed with it. `scope`: model | update."""

    scope: str
    before: str
    after: str
    within: tuple[str, ...] = ()


class Saying(Struct, frozen=True):
    """A statement or setting of the files; None where one does not have it."""

    section: str
    name: str
    before: str | None
    after: str | None


class Held(Struct, frozen=True):
    """A tensor that lines read and do not make. `role`: input | param | state | optimizer."""

    role: str
    name: str
    shape: Shape
    init: str = ""
    becomes: str = ""


class TensorChange(Struct, frozen=True):
    """A tensor that is not the same; None where a plan does not have it. `what`: of shape, init, becomes, order."""

    before: Held | None
    after: Held | None
    what: tuple[str, ...] = ()


class LineChange(Struct, frozen=True):
    """A line that is not the same; None where a plan does not have it.

    `what`: of text, steps, shape, by, kept, order. `ran`: what both compute, where the text alone doesn't say it.
    """

    before: Line | None
    after: Line | None
    what: tuple[str, ...] = ()
    ran: tuple[str, str] | None = None

    @property
    def section(self) -> str:
        """forward | gradient | update."""
        line = self.after or self.before
        return line.section if line else ""


class Difference(Shown, Struct, frozen=True):
    """From one plan to another. `lines` in the order of the second, what is removed after the line it came after.

    `same_lines`: how many lines did not change. `renumbered`: shared values (t1 t2 ...) of changed lines under other numbers.
    `names`: (scope, before, after) of every name that lines write otherwise, gradients and numbered values too.
    """

    before: Subject
    after: Subject
    renames: tuple[Rename, ...]
    sayings: tuple[Saying, ...]
    tensors: tuple[TensorChange, ...]
    lines: tuple[LineChange, ...]
    renumbered: tuple[tuple[str, str], ...]
    same_lines: int
    names: tuple[tuple[str, str, str], ...]

    def page(self) -> list[Row]:
        """The page of `mlpc diff`."""
        from .render.difference import difference_rows

        return list(difference_rows(self))

    @property
    def same(self) -> bool:
        """There is none."""
        return not (self.renames or self.sayings or self.tensors or self.lines)


def difference(before: Subject, after: Subject) -> Difference:
    """What changed from one to the other: where a call was put between others of its statement, the shorter way to tell it."""
    known, other = names_of(before.plan, MODEL), names_of(after.plan, MODEL)
    found = _difference(before, after, match(known, other))
    if known.keys() != other.keys() and any(ORDINAL.search(n) for n in known):
        return min(found, _difference(before, after, match(known, other, ordinals=False)), key=_length)
    return found


def _length(d: Difference) -> int:
    return len(d.renames) + len(d.tensors) + len(d.lines)


def _difference(before: Subject, after: Subject, model: Mapping[str, str]) -> Difference:
    a, b = before.plan, after.plan
    known, updated = names_of(a, MODEL), names_of(a, UPDATE)
    seeds = [(a.values[x].name, b.values[y].name) for x, y in ((a.update_w, b.update_w), (a.update_dw, b.update_dw))
             if x is not None and y is not None]  # fmt: skip
    update = match(updated, names_of(b, UPDATE), seeds)
    lines = (*_lines(a, b, MODEL[:1], model), *_lines(a, b, MODEL[1:], model), *_lines(a, b, UPDATE, update))
    scopes = (("model", model, known), ("update", update, updated))
    names = tuple((scope, x, y) for scope, to, _ in scopes for x, y in to.items() if x != y)
    shown = {(scope_of(c.section), n) for c in lines if c.before and "text" in c.what for n in (c.before.target, *c.before.needs)}
    numbered = {(scope, x) for scope, _, of in scopes for x, e in of.items() if e.role == "shared"}
    return Difference(
        before=before, after=after, renames=tuple(r for scope, to, of in scopes for r in _renames(scope, to, of)),
        sayings=tuple(_sayings(before.said, after.said, model)),
        tensors=(*_tensors(_held(a), _held(b), model), *_tensors(_optimizer(a), _optimizer(b), update)), lines=lines,
        renumbered=tuple((x, y) for scope, x, y in names if (scope, x) in shown and (scope, x) in numbered and NUMBERED.fullmatch(y)),
        same_lines=len(a.lines) - sum(c.before is not None for c in lines), names=names,
    )  # fmt: skip


def scope_of(section: str) -> str:
    """Names of forward and gradient are of the model; the update has its own."""
    return "update" if section == "update" else "model"


def translated(text: str, names: Mapping[str, str]) -> str:
    """A text with its names replaced, all at once; with a name goes what begins with it and a dot (deep.weights)."""

    def new(name: str) -> str:
        end = len(name)
        while end > 0 and name[:end] not in names:
            end = name.rfind(".", 0, end)
        return names[name[:end]] + name[end:] if end > 0 else name

    return NAME.sub(lambda found: new(found[0]), text)


def _lines(a: Plan, b: Plan, sections: Sequence[str], names: Mapping[str, str]) -> Iterator[LineChange]:
    """The lines of some sections that are not the same."""
    old, new = ([line for line in plan.lines if line.section in sections] for plan in (a, b))
    place = {line.target: i for i, line in enumerate(new)}
    to = {i: place[names[line.target]] for i, line in enumerate(old) if names.get(line.target) in place}
    of = {j: i for i, j in to.items()}
    stays = longest_rising(list(to.values()))
    left = iter([(i, line) for i, line in enumerate(old) if i not in to])
    waiting = next(left, None)
    for j, line in enumerate(new):
        i = of.get(j)
        while waiting and i is not None and waiting[0] < i:
            yield LineChange(waiting[1], None)
            waiting = next(left, None)
        if i is None:
            yield LineChange(None, line)
            continue
        what = _what(a, b, old[i], line, names) + (() if j in stays else ("order",))
        if what:
            told = (_spelled(a, old[i]), _spelled(b, line)) if "steps" in what and "text" not in what else None
            yield LineChange(old[i], line, what, told)
    while waiting:
        yield LineChange(waiting[1], None)
        waiting = next(left, None)


def _what(a: Plan, b: Plan, old: Line, new: Line, names: Mapping[str, str]) -> tuple[str, ...]:
    """What differs between two lines that make the same value, names aside."""
    (ours, reads), (theirs, others) = form_of(a, old), form_of(b, new)
    alike = ours == theirs and old.whole == new.whole and [names.get(n, n) for n in reads] == list(others)
    within = {n: names.get(n, n) for n in old.needs}
    found = {
        "text": translated(old.text, within) != new.text,
        "steps": not alike,
        "shape": old.shape != new.shape,
        "by": old.by != new.by and translated(old.by, names) != new.by,
        "kept": old.kept != new.kept,
    }
    return tuple(word for word, differs in found.items() if differs)


def _spelled(plan: Plan, line: Line) -> str:
    """What a line computes, without the words of the user's: every step a call."""
    form, reads = form_of(plan, line)
    names = iter(reads)
    written: list[str] = []
    for op, attrs, args in form:
        parts = [written[a] if isinstance(a, int) else next(names) if isinstance(a, str) else a[1].removesuffix(".0") for a in args]
        written.append(f"{op}({', '.join([*parts, *(f'{k} = {v}' for k, v in attrs)])})")
    return written[-1]


def _renames(scope: str, names: Mapping[str, str], of: Mapping[str, Named]) -> Iterator[Rename]:
    """The renames, those of a dotted family (h, h.z, h.W) as one. Gradients go with their values; numbered values have no name."""
    changed = {x: y for x, y in names.items() if x != y and not (x in of and of[x].role == "gradient")}
    families: dict[tuple[str, str], list[str]] = {}
    for x in (n for n in of if n in changed):
        if of[x].role == "shared" and NUMBERED.fullmatch(changed[x]):
            continue
        families.setdefault(_family(x, changed[x], names), []).append(x)
    for (x, y), members in families.items():
        yield Rename(scope, x, y, tuple(m for m in members if m != x))


def _family(x: str, y: str, names: Mapping[str, str]) -> tuple[str, str]:
    """The shortest pair of dotted beginnings that every name below has changed with."""
    ours, theirs = x.split("."), y.split(".")
    common = 0
    while common < min(len(ours), len(theirs)) - 1 and ours[-1 - common] == theirs[-1 - common]:
        common += 1
    for cut in range(common, 0, -1):
        p, q = ".".join(ours[:-cut]), ".".join(theirs[:-cut])
        if all(m == q + n[len(p) :] for n, m in names.items() if n == p or n.startswith(f"{p}.")):
            return p, q
    return x, y


def _sayings(old: Sequence[tuple[str, str, str]], new: Sequence[tuple[str, str, str]], names: Mapping[str, str]) -> Iterator[Saying]:
    """What the files say differently, names aside."""
    ours = {(section, names.get(name, name)): text for section, name, text in old}
    theirs = {(section, name): text for section, name, text in new}
    for key in dict.fromkeys((*ours, *theirs)):
        before, after = ours.get(key), theirs.get(key)
        if before is None or after is None or (before != after and translated(before, names) != after):
            yield Saying(*key, before, after)


def _tensors(old: Sequence[Held], new: Sequence[Held], names: Mapping[str, str]) -> Iterator[TensorChange]:
    """The tensors that are not the same, in the order of the second plan, what is gone first."""
    place = {(h.role, h.name): i for i, h in enumerate(new)}
    of = {place[key]: h for h in old if (key := (h.role, names.get(h.name, h.name))) in place}
    stays = longest_rising(list(of))
    yield from (TensorChange(h, None) for h in old if (h.role, names.get(h.name, h.name)) not in place)
    for i, h in enumerate(new):
        before = of.get(i)
        if before is None:
            yield TensorChange(None, h)
            continue
        differs = {
            "shape": before.shape != h.shape,
            "init": before.init != h.init,
            "becomes": names.get(before.becomes, before.becomes) != h.becomes,
            "order": i not in stays and h.role in {"param", "state"},
        }
        if any(differs.values()):
            yield TensorChange(before, h, tuple(word for word, d in differs.items() if d))


def _held(plan: Plan) -> list[Held]:
    inputs = [Held("input", plan.values[r].name, plan.values[r].shape) for r in plan.inputs]
    params = [Held("param", p.name, p.shape, p.init_text) for p in plan.params]
    return inputs + params + [
        Held("state", s.name, s.shape, s.init_text, plan.values[s.next].name if s.next is not None else "") for s in plan.model_states
    ]  # fmt: skip


def _optimizer(plan: Plan) -> list[Held]:
    return [Held("optimizer", s.name, ("P",), f"{s.init:g}") for s in plan.states]
