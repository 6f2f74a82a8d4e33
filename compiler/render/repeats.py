"""Lines that come again under other names, as those of `repeat(k, ...)` do: found in the plan, and held to it line for line.

A copy is said by a table: in the lines that are printed, put the name in a copy's row in place of the name above it. What
`substitute` then makes of target and text is what the plan says, or the lines are not folded; their steps, shapes, reasons,
costs and whether they are kept are the same too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from ..matching import form_of
from ..plan import Line, Plan
from .series import even

T = TypeVar("T")
NAME = re.compile(r"(?<![\w.'])(?:d\([\w.']+\)|[A-Za-z_][\w.']*)", re.ASCII)
INSTANCE = re.compile(r"(.+\.[A-Za-z_]\w*?)(\d+)", re.ASCII)  # deep.residual2: a path and its ordinal
ABSENT = "-"  # in the row of a copy whose lines do not speak of the name
STRETCH = 4  # copies in even steps, of which the middle ones need no row


class Copy(Struct, frozen=True):
    """Lines `start` to `stop` of a section, and what stands in them in place of each label."""

    start: int
    stop: int
    cells: tuple[str, ...]


class Repeat(Struct, frozen=True):
    """Lines `start` to `stop`, printed, and the copies of them that follow without a gap; the last may lack their end.

    `rows` are the copies to print; None stands for those between its neighbours, whose numbers go on in even steps.
    """

    start: int
    stop: int
    labels: tuple[str, ...]
    copies: tuple[Copy, ...]
    rows: tuple[Copy | None, ...]
    inside: tuple[Repeat, ...] = ()

    @property
    def end(self) -> int:
        """The first line after the copies."""
        return self.copies[-1].stop


class Item(Struct, frozen=True):
    """What may come again: its target and text, the names in it in order, and all that must be equal of two that are copies."""

    target: str
    text: str
    names: tuple[str, ...]
    kind: object


def repeats(plan: Plan, lines: Sequence[Line]) -> tuple[Repeat, ...]:
    """The runs of copies among the lines of a section that are worth folding, from the top; runs inside a printed copy too."""
    return repeats_among([item_of(plan, line) for line in lines], plan)


def repeats_among(items: Sequence[Item], *plans: Plan) -> tuple[Repeat, ...]:
    """The same of anything that is said of these plans."""
    return tuple(_Section(plans, items).found(0, len(items)))


def item_of(plan: Plan, line: Line, *more: object) -> Item:
    """A line of a plan, and what more must be equal."""
    form, reads = form_of(plan, line)
    sizes = tuple(plan.values[r].shape for step in line.steps for r in (*step.args, step.out))
    kind = (form, sizes, line.shape, line.by, line.note, line.kept, line.line, line.flops, line.bytes, *more)
    return Item(line.target, line.text, (line.target, *reads), kind)


def printed(shown: Sequence[T], runs: Sequence[Repeat], start: int = 0, stop: int | None = None) -> Iterator[T | Repeat]:
    """What of these is printed, and each run after those of it that are."""
    for run in runs:
        yield from shown[start : run.start]
        yield from printed(shown, run.inside, run.start, run.stop)
        yield run
        start = run.end
    yield from shown[start:stop]


def substitute(text: str, names: Mapping[str, str]) -> str:
    """A text with other names: of a value, of all that begins with it and a dot, and of its gradient."""
    return NAME.sub(lambda found: _renamed(found[0], names), text)


def _renamed(name: str, names: Mapping[str, str]) -> str:
    if name in names:
        return names[name]
    if name.startswith("d("):
        inner = _renamed(name[2:-1], names)
        return name if inner == name[2:-1] else _gradient_of(inner)
    if name[0] == "d" and name[1:] in names:
        return _gradient_of(names[name[1:]])
    end = name.rfind(".")
    while end > 0:
        if name[:end] in names:
            return names[name[:end]] + name[end:]
        end = name.rfind(".", 0, end)
    return name


def _gradient_of(name: str) -> str:
    return f"d({name})" if "." in name else f"d{name}"


class _Section:
    """The items of a section with what must be equal of two that are copies: a number, and the names in order."""

    def __init__(self, plans: Sequence[Plan], items: Sequence[Item]) -> None:
        self.items = items
        self.params = {p.name for plan in plans for p in plan.params}
        self.gradients = {line.target for plan in plans for line in plan.gradient if line.target[0] == "d"}
        self.names = [item.names for item in items]
        known: dict[object, int] = {}
        self.kinds = [known.setdefault(item.kind, len(known)) for item in items]

    def found(self, start: int, stop: int) -> Iterator[Repeat]:
        """The runs between two lines, from the top, each the longest that begins where it does."""
        places: dict[int, list[int]] = {}
        for i in range(start, stop):
            places.setdefault(self.kinds[i], []).append(i)
        while start < stop:
            runs = (self._run(start, period, stop) for period in self._periods(start, stop, places))
            run = next((r for r in runs if r), None)
            if run:
                run = self._run(start + self._lead(run), run.stop - run.start, stop) or run
                yield run
            start = run.end if run else start + 1

    def _periods(self, start: int, stop: int, places: Mapping[int, Sequence[int]]) -> list[int]:
        """Lengths that a copy beginning here may have, the one that folds most lines first."""
        found: list[tuple[int, int]] = []
        most = 0
        for other in places[self.kinds[start]]:
            period = other - start
            if period > 0 and stop - other > most:
                same = 0
                while other + same < stop and self.kinds[start + same] == self.kinds[other + same]:
                    same += 1
                if same >= period:
                    found.append((-same, period))
                    most = max(most, same)
        return [period for _, period in sorted(found)]

    def _run(self, start: int, period: int, stop: int) -> Repeat | None:
        """The copies of these lines that follow, as far as one table can say them; None if that saves too little."""
        said: list[tuple[int, dict[str, str]]] = []
        for first in range(start + period, stop, period):
            size, names = min(period, stop - first), None
            while size and (names := self._table(start, first, size, len(said) + 1, said)) is None:
                size -= 1
            if names and (size == period or 2 * size > period):
                said.append((size, names))
            if size < period:
                break
        found = dict.fromkeys(label for _, names in said for label in names)
        labels = tuple(sorted(found, key=lambda label: (not self._owns(label, start, start + period), *_order(label))))
        copies: list[Copy] = []
        for k, (size, names) in enumerate(said):
            first = start + (k + 1) * period
            spoken = [n for line in self.names[start : start + size] for n in line]
            cells = tuple(_renamed(x, names) if any(_renamed(n, {x: ""}) != n for n in spoken) else ABSENT for x in labels)
            if not self._exact(start, first, size, _as_said(labels, cells)):
                break
            copies.append(Copy(first, first + size, cells))
        rows = _shown(copies)
        folded = copies[-1].stop - copies[0].start if copies else 0
        if folded < 2 * (len(rows) + 1):
            return None
        return Repeat(start, start + period, labels, tuple(copies), rows, tuple(self.found(start, start + period)))

    def _owns(self, label: str, start: int, stop: int) -> bool:
        """Whether a param in these lines is one of the instance."""
        return any(name.startswith(f"{label}.") for names in self.names[start:stop] for name in names if name in self.params)

    def _lead(self, run: Repeat) -> int:
        """How many of the printed lines are still of the instance before, so that copies can begin where instances do."""
        paths = {path for label, cell in zip(run.labels, run.copies[0].cells, strict=True) if (path := _path(label, cell, 1))}
        block = re.compile("|".join(rf"{re.escape(stem)}(\d+)(?![\w])" for stem, _ in paths), re.ASCII)
        owners: list[tuple[int, str]] = []
        for i in range(run.start, run.stop):
            target, *reads = self.names[i]
            named = [n for n in reads if n in self.params] + ([] if self._is_gradient(target) else [target])
            owners += [(i, found[0]) for n in named if (found := block.match(n))][:1]
        last = [i for i, owner in owners if owner == owners[0][1]]
        return last[-1] + 1 - run.start if len({owner for _, owner in owners}) > 1 else 0

    def _table(
        self, start: int, first: int, size: int, ordinal: int, before: Sequence[tuple[int, dict[str, str]]]
    ) -> dict[str, str] | None:
        """What to put in place of which name to have the `ordinal`-th copy, or None if it is no copy."""
        if self.kinds[start : start + size] != self.kinds[first : first + size]:
            return None
        pairs: dict[str, str] = {}
        for ours, theirs in zip(self.names[start : start + size], self.names[first : first + size], strict=True):
            for a, b in zip(ours, theirs, strict=True):
                if pairs.setdefault(a, b) != b:
                    return None
        names: dict[str, str] = {}
        for a, b in pairs.items():
            if _renamed(a, names) != b:
                label, cell = self._stem(a, b)
                if names.setdefault(label, cell) != cell:
                    return None
        instances = {path for label, cell in names.items() if (path := _path(label, cell, ordinal))}
        owned = {_path(*self._stem(a, b), ordinal) for a, b in pairs.items() if a != b and a in self.params}
        if not instances or owned - instances or len(owned) > 1 or (before and not instances & self._paths(before[0][1])):
            return None
        return names if self._exact(start, first, size, names) else None

    def _paths(self, names: Mapping[str, str]) -> set[tuple[str, float]]:
        return {path for label, cell in names.items() if (path := _path(label, cell, 1))}

    def _stem(self, a: str, b: str) -> tuple[str, str]:
        """Two names without what is the same in both: `d(...)` around them, and the ends of two that are equally deep."""
        if self._is_gradient(a) and self._is_gradient(b):
            a, b = (n[2:-1] if n[1] == "(" else n[1:] for n in (a, b))
        ours, theirs = a.split("."), b.split(".")
        while len(ours) == len(theirs) > 1 and ours[-1] == theirs[-1]:
            ours, theirs = ours[:-1], theirs[:-1]
        return ".".join(ours), ".".join(theirs)

    def _is_gradient(self, name: str) -> bool:
        return name.startswith("d(") or name in self.gradients

    def _exact(self, start: int, first: int, size: int, names: Mapping[str, str]) -> bool:
        """Whether the table makes the targets and texts of the copy."""
        return all(
            substitute(ours.target, names) == theirs.target and substitute(ours.text, names) == theirs.text
            for ours, theirs in zip(self.items[start : start + size], self.items[first : first + size], strict=True)
        )


def _path(label: str, cell: str, ordinal: int) -> tuple[str, float] | None:
    """The path of two instances of one block, and by how much their ordinals differ from copy to copy; None if they are none."""
    ours, theirs = INSTANCE.fullmatch(label), INSTANCE.fullmatch(cell)
    if ours is None or theirs is None or ours[1] != theirs[1]:
        return None
    return ours[1], (int(theirs[2]) - int(ours[2])) / ordinal


def _as_said(labels: Iterable[str], cells: Iterable[str]) -> dict[str, str]:
    return {label: cell for label, cell in zip(labels, cells, strict=True) if cell != ABSENT}


def _order(label: str) -> tuple[bool, int, str]:
    """Names of people first, then those that the compiler numbers, in order."""
    numbered = re.fullmatch(r"t(\d+)", label)
    return (True, int(numbered[1]), label) if numbered else (False, 0, "")


def _shown(copies: Sequence[Copy]) -> tuple[Copy | None, ...]:
    """The copies with None for the middle of each stretch in even steps."""
    shown: list[Copy | None] = []
    i = 0
    while i < len(copies):
        end = i + 2
        while end < len(copies) and even(*map(_said, copies[end - 2 : end + 1])):
            end += 1
        if end - i >= STRETCH:
            shown += [copies[i], copies[i + 1], None, copies[end - 1]]
            i = end
        else:
            shown.append(copies[i])
            i += 1
    return tuple(shown)


def _said(copy: Copy) -> str:
    return " ".join((str(copy.start), str(copy.stop), *copy.cells))
