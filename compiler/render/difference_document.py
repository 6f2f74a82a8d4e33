"""A difference as JSON."""

from __future__ import annotations

from typing import Any

from ..difference import Difference, Held, LineChange
from ..footprint import Footprint
from .difference import role_of
from .json import line_document


def difference_document(d: Difference) -> dict[str, Any]:
    """Everything that differs. A change has `before` and `after`, null where a file does not have it, and `what` changed."""
    return {
        "before": d.before.name, "after": d.after.name, "same": d.same, "same_lines": d.same_lines,
        "renamed": [{"scope": r.scope, "before": r.before, "after": r.after, "within": list(r.within)} for r in d.renames],
        "said": [{"section": s.section, "name": s.name, "before": s.before, "after": s.after} for s in d.sayings],
        "tensors": [{"role": role_of(c), "before": _held(c.before), "after": _held(c.after), "what": list(c.what)} for c in d.tensors],
        **{section: [_changed(c) for c in d.lines if c.section == section] for section in ("forward", "gradient", "update")},
        "renumbered": [{"before": x, "after": y} for x, y in d.renumbered],
        "cost": {"before": _footprint(d.before.footprint), "after": _footprint(d.after.footprint)},
    }  # fmt: skip


def _changed(c: LineChange) -> dict[str, Any]:
    before, after = (line_document(line) if line else None for line in (c.before, c.after))
    return {"before": before, "after": after, "what": list(c.what), "ran": list(c.ran) if c.ran else None}


def _held(h: Held | None) -> dict[str, Any] | None:
    return {"name": h.name, "shape": list(h.shape), "init": h.init or None, "becomes": h.becomes or None} if h else None


def _footprint(f: Footprint | None) -> dict[str, Any] | None:
    return {"rows": f.rows, "flops": f.flops, "kept": f.kept, "peak": f.peak, "without_reuse": f.unshared} if f else None
