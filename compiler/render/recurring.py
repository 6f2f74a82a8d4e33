"""What of a difference may come again under other names: each change with its names, for `repeats` to judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..difference import Difference, LineChange
from .repeats import Item, item_of


def line_items(d: Difference, changes: Sequence[LineChange]) -> Iterator[Item]:
    """Each change as what may come again: both of its lines, and what changed."""
    for c in changes:
        sides = [item_of(plan, line) for plan, line in ((d.before.plan, c.before), (d.after.plan, c.after)) if line]
        target, text = " ".join(s.target for s in sides), " ".join(s.text for s in sides)
        told = (c.before is None, c.after is None, c.what, tuple(s.kind for s in sides))
        yield Item(target, text, tuple(n for s in sides for n in s.names), told)
