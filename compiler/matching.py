"""Which name of one plan is which of another: equal names first, then equal steps among equal neighbours.

A name that only one plan has may be the other's under a new name. It is if its line makes the same steps of names that
are known to be the same, or if it is read in the same place of a line that is. A gradient goes with the value it belongs
to, and the shared values that the compiler numbers (t1, t2 ...) are known by their steps alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from .plan import Line, Plan, Shape

HOLE = "name"
UNSEEN = frozenset({"stream", "shape"})  # attributes that shift with other lines, or that a line's own shape says
ORDINAL = re.compile(r"\.[A-Za-z_]\w*?[0-9]+(?:\.|$)", re.ASCII)  # deep.dense2.W: which of the calls of a statement

Argument = int | str | tuple[str, str]  # a step of the line, a hole for a name, a number or symbol
Form = tuple[tuple[str, tuple[tuple[str, object], ...], tuple[Argument, ...]], ...]


class Named(Struct, frozen=True):
    """A name of a plan. `role`: input | param | state, or of a line forward | gradient | update, or shared for one that nobody named.

    `form` is what its line computes, with a hole for every reading of a name, and `reads` are these names in order.
    """

    name: str
    role: str
    section: str
    shape: Shape
    form: Form = ()
    reads: tuple[str, ...] = ()

    @property
    def rough(self) -> object:
        """The form without its numbers."""
        return tuple((op, tuple(a if isinstance(a, (int, str)) else a[0] for a in args)) for op, _, args in self.form)


def names_of(plan: Plan, sections: Sequence[str]) -> dict[str, Named]:
    """Every name that these sections of a plan speak of: leaves, then what their lines make."""
    found: dict[str, Named] = {}
    if "forward" in sections:
        for role, registers in (
            ("input", plan.inputs),
            ("param", [p.value for p in plan.params]),
            ("state", [s.value for s in plan.model_states]),
        ):
            for value in (plan.values[r] for r in registers if r >= 0):
                found[value.name] = Named(value.name, role, role, value.shape)
    else:
        own = [plan.update_w, plan.update_dw, *(s.value for s in plan.states)]
        for value in (plan.values[r] for r in own if r is not None):
            found[value.name] = Named(value.name, "state", "update", value.shape)
    for line in plan.lines:
        if line.section in sections and not line.again:
            role = "state" if line.commits is not None else "shared" if line.unnamed else line.section
            found[line.target] = Named(line.target, role, line.section, line.shape, *form_of(plan, line))
    return found


def form_of(plan: Plan, line: Line) -> tuple[Form, tuple[str, ...]]:
    """What a line computes, names aside, and the names in the order of their reading."""
    own: dict[int, int] = {}
    reads: list[str] = []
    form: list[tuple[str, tuple[tuple[str, object], ...], tuple[Argument, ...]]] = []
    for step in line.steps:
        args: list[Argument] = []
        for register in step.args:
            value = plan.values[register]
            if register in own:
                args.append(own[register])
            elif value.role in {"const", "symbol"}:
                args.append((value.role, value.name or repr(value.number)))
            else:
                args.append(HOLE)
                reads.append(value.name)
        own[step.out] = len(form)
        form.append((step.op, tuple((k, v) for k, v in step.attrs if k not in UNSEEN), tuple(args)))
    return tuple(form), tuple(reads)


def match(
    a: Mapping[str, Named], b: Mapping[str, Named], known: Iterable[tuple[str, str]] = (), *, ordinals: bool = True
) -> dict[str, str]:
    """The names of `a` that are in `b`, each with its name there: a bijection. `known` are pairs to begin with.

    Without `ordinals` the second call of a statement need not be the second call of the other: steps tell which it is.
    """
    found = _Bijection(a, b)
    for x, y in known:
        found.add(x, y)
    for name, entity in a.items():
        if (
            name in b
            and entity.role == b[name].role
            and entity.role not in {"gradient", "shared"}
            and (ordinals or not ORDINAL.search(name))
        ):
            found.add(name, name)
    attempts: tuple[Callable[[], bool], ...] = (
        lambda: _by_steps(found, alike=True),
        lambda: _by_readers(found, alike=True),
        lambda: _by_steps(found, alike=False),
        lambda: _by_readers(found, alike=False),
    )
    turn = 0
    while turn < len(attempts):
        turn = 0 if attempts[turn]() else turn + 1
    for name, entity in a.items():  # gradients of what one of the plans does not name, and calls that nothing told apart
        if entity.role != "shared" and name in b and b[name].role == entity.role:
            found.add(name, name)
    return found.to


def longest_rising(places: Sequence[int]) -> set[int]:
    """The most numbers of a sequence that rise, so that only the others have moved."""
    ends: list[int] = []
    at: list[int] = []
    before: dict[int, int] = {}
    for i, place in enumerate(places):
        k = bisect_left(ends, place)
        ends[k : k + 1], at[k : k + 1] = [place], [i]
        before[i] = at[k - 1] if k else -1
    found: set[int] = set()
    i = at[-1] if at else -1
    while i >= 0:
        found.add(places[i])
        i = before[i]
    return found


class _Bijection:
    """Pairs of names, one to one."""

    def __init__(self, a: Mapping[str, Named], b: Mapping[str, Named]) -> None:
        self.a, self.b = a, b
        self.to: dict[str, str] = {}
        self.back: dict[str, str] = {}

    def add(self, x: str, y: str) -> bool:
        """Whether the pair is new; with a value goes its gradient."""
        if x in self.to or y in self.back:
            return False
        self.to[x], self.back[y] = y, x
        ours, theirs = _gradient(self.a, x), _gradient(self.b, y)
        if ours and theirs:
            self.add(ours, theirs)
        return True

    def open(self) -> list[Named]:
        """What is not paired yet, and has a line; gradients wait for their values."""
        return [e for e in self.a.values() if e.name not in self.to and e.form and e.role != "gradient"]


def _gradient(names: Mapping[str, Named], of: str) -> str | None:
    return next((n for n in (f"d{of}", f"d({of})") if n in names and names[n].role == "gradient"), None)


def _by_steps(found: _Bijection, *, alike: bool) -> bool:
    """Pairs lines of equal steps that read equal names. `alike`: of equal shapes too."""
    places: dict[object, list[Named]] = {}
    for e in found.b.values():
        if e.name not in found.back and e.form and e.role != "gradient":
            places.setdefault((e.section, e.form, e.shape if alike else ()), []).append(e)
    changed = False
    for e in found.open():
        for other in places.get((e.section, e.form, e.shape if alike else ()), ()):
            pairs = None if other.name in found.back else _unified(found, e, other, alike)
            if pairs is not None:
                for x, y in pairs.items():
                    changed |= found.add(x, y)
                break
    return changed


def _unified(found: _Bijection, e: Named, other: Named, alike: bool) -> dict[str, str] | None:
    """The new pairs under which two lines are one, or None. A leaf may be new; the lines that are read must be known."""
    pairs = {e.name: other.name}
    for x, y in zip(e.reads, other.reads, strict=True):
        if found.to.get(x, pairs.get(x)) == y:
            continue
        if x in pairs or y in pairs.values() or not _may_pair(found, x, y, alike) or found.a[x].form:
            return None
        pairs[x] = y
    return pairs


def _by_readers(found: _Bijection, *, alike: bool) -> bool:
    """Pairs what two lines known to be the same read in the same place; what the forward lines read says more than the gradient's."""
    changed = False
    known = [(found.a[x], found.b[y]) for x, y in found.to.items() if x in found.a and y in found.b]
    for later in (False, True):
        for e, other in known:
            if e.form and (e.section == "gradient") == later and e.rough == other.rough:
                for p, q in zip(e.reads, other.reads, strict=True):
                    if _may_pair(found, p, q, alike):
                        changed |= found.add(p, q)
        if changed:
            break
    return changed


def _may_pair(found: _Bijection, x: str, y: str, alike: bool) -> bool:
    """Whether two names that nobody has paired are of one kind."""
    if x in found.to or y in found.back or x not in found.a or y not in found.b:
        return False
    ours, theirs = found.a[x], found.b[y]
    same_kind = ours.section == theirs.section and "gradient" not in {ours.role, theirs.role}
    return same_kind and (ours.shape == theirs.shape if alike else len(ours.shape) == len(theirs.shape))
