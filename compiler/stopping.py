"""What `keep` and `early_stop` watch: a number of a split, and whether a larger or a smaller one is better."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, fault, nearest
from ..dsl.syntax import Arg, Call, Expr, Member, Name, Program
from .definitions import Library
from .graph import report_items
from .ir import Node
from .lower import Lowering
from .schema import Schema
from .settings import Criterion

FORMS = {"keep": ("last", "best", "best(val.loss)"), "early_stop": ("off", "on", "on(val.loss, patience = 20)")}
LARGER = "std/metrics.mlp"  # a larger one is better of all that is defined there, a smaller one of what is in std's losses
SMALLER = "std/losses.mlp"


def criterion(key: str, e: Expr, program: Program, lib: Library) -> Criterion | None:
    """What the setting watches, or None for `last` and `off`. Faults: other forms, unknown names, a direction that is not known."""
    nothing, function, example = FORMS[key]
    if isinstance(e, Name) and e.id == nothing:
        return None
    if not isinstance(e, Call) or e.function.id != function:
        word = e.id if isinstance(e, Name) else e.function.id if isinstance(e, Call) else ""
        near = nearest(word, (nothing, function))
        hint = f"{key} = {nothing}" if near == nothing else f"{key} = {example}"
        raise fault("E0302", e.span, f"`{key}` is `{nothing}` or `{example}`, and this is `{_one_line(e)}`", hint)
    placed = [a.value for a in e.args if a.name is None]
    patience = _patience(key, e)
    watched = placed[0] if placed else None
    if not isinstance(watched, Member) or len(watched.parts) != 2 or len(placed) > 2:
        found = f"this is `{_one_line(e)}`"
        raise fault("E0302", e.span, f"`{function}` takes a split with `loss` or a name of the report, and {found}", f"{key} = {example}")
    split, name = watched.parts
    items = dict(report_items(program))
    if name.id != "loss" and name.id not in items:
        hint = did_you_mean(name.id, ("loss", *items))
        raise fault("E0302", name.span, f"`{name.id}` is neither `loss` nor a name of the report", hint)
    known = False if name.id == "loss" else direction(items[name.id], lib)
    said = _said(placed[1], key) if len(placed) == 2 else None
    shown = f"{split.id}.{name.id}"
    if known is None and said is None:
        hint = f"{key} = {example.replace('val.loss', f'{shown}, max')}, or {shown}, min"
        raise fault("E0302", watched.span, f"whether a larger or a smaller `{name.id}` is better is not known", hint)
    if known is not None and said is not None and known != said:
        hint = f"leave `{'max' if said else 'min'}` out"
        raise fault("E0302", placed[1].span, f"a {'larger' if known else 'smaller'} `{name.id}` is better", hint)
    return Criterion(split.id, name.id, bool(known if said is None else said), watched.span, patience_text=patience)


def direction(item: Arg, lib: Library) -> bool | None:
    """Whether a larger one is better: of a metric of std true, of a loss of std false, of one's own None."""
    found = lib.find(item.value.function.id) if isinstance(item.value, Call) else None
    place = found.definition.span.source.name if found is not None and found.home == "std" else ""
    return {LARGER: True, SMALLER: False}.get(place)


def unwatchable(criteria: Iterable[Criterion | None], low: Lowering, schema: Schema) -> Iterator[Diagnostic]:
    """The faults that only the data can show: a split that there is not, and a report item that is no number."""
    rows = dict(schema.rows)
    splits = ["train", *(s for s, n in rows.items() if n and s != "train")]
    for c in criteria:
        if c is None:
            continue
        if c.split not in splits:
            hint = did_you_mean(c.split, splits)
            if c.split in {"val", "test"} and not hint.startswith("did"):
                hint = f"in data: split = random(train = 0.8, {c.split} = 0.2)"
            yield Diagnostic("E0302", c.span, f"the data has no split `{c.split}`", hint)
        node = low.values.get(f"report {c.name}")
        if isinstance(node, Node) and any(size != 1 for size in node.shape):
            shape = ", ".join(map(str, node.shape))
            yield Diagnostic("E0302", c.span, f"`{c.name}` is [{shape}], and only a number can be better", "watch a number: val.loss")


def _said(e: Expr, key: str) -> bool:
    if isinstance(e, Name) and e.id in ("max", "min"):
        return e.id == "max"
    raise fault("E0302", e.span, f"this is `max` or `min`, and not `{_one_line(e)}`", f"{key} = {FORMS[key][2].replace('loss', 'x, max')}")


def _patience(key: str, call: Call) -> Expr | None:
    """The expression of `patience`, which `on` must have and `best` hasn't."""
    function, example = FORMS[key][1:]
    faults: list[Diagnostic] = []
    found: Expr | None = None
    for a in (a for a in call.args if a.name is not None):
        assert a.name is not None
        if a.name.id != "patience" or key == "keep":
            hint = did_you_mean(a.name.id, ("patience",)) if key == "early_stop" else f"{key} = {example}"
            faults.append(Diagnostic("E0302", a.name.span, f"`{function}` takes no `{a.name.id}`", hint))
        elif found is not None:
            faults.append(Diagnostic("E0302", a.name.span, "`patience` is given twice", "keep one of them"))
        else:
            found = a.value
    if key == "early_stop" and found is None and not faults:
        faults.append(Diagnostic("E0302", call.span, "`on` needs its `patience`: how many epochs may pass without a better one", example))
    if faults:
        raise MlpcError(*faults)
    return found


def _one_line(e: Expr) -> str:
    return e.span.words
