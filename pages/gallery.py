"""Where a rewrite, an operation or a word of a derivation is met in the gallery: the models that come with mlpc, compiled when it is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from ..compiler.derivation import Derivation
from ..compiler.derive import derive
from ..compiler.plan import Line
from ..dsl.diagnostics import MlpcError
from ..loading import load
from ..model import Model
from ..runtime.gradcheck import sources
from .example import compiled_without

SHOWN, WIDTH = 2, 100  # lines a model on a page; the document of --json has all
Found = dict[str, list[Line]]


@cache
def gallery() -> dict[str, Model]:
    """Every model of the gallery that can be loaded here (one may need a library of an extra), by the name of its file."""
    return dict(_loaded())


def _loaded() -> Iterator[tuple[str, Model]]:
    for path in sorted(Path(str(files("mlpc.models"))).glob("*.mlp")):
        try:
            yield path.name, load(path)
        except MlpcError as error:
            if error.diagnostics[0].code not in {"E0401", "E0504"}:
                raise


def changed_by(rule: str) -> Found:
    """The lines that would be others without the rewrite; of a model that does not compile without it, all."""
    found: Found = {}
    for name, model in gallery().items():
        try:
            others = {_unnumbered(line) for line in compiled_without(model, rule).plan.lines}  # asked for membership only
        except MlpcError:
            others = set()
        found[name] = [line for line in model.plan.lines if _unnumbered(line) not in others]
    return {name: lines for name, lines in found.items() if lines}


def _unnumbered(line: Line) -> str:
    """A line without the numbers of t1, t2, ..., which are others as soon as one comes or goes."""
    return re.sub(r"\bt[0-9]+\b", "t", f"{line.target} = {line.text}")


def computed_by(op: str) -> Found:
    """The lines that compute an operation."""
    return _those(lambda _, line: any(s.op == op for s in line.steps))


def said_to_be(reason: str) -> Found:
    """The gradient lines that say so of themselves, in the column `by`."""
    return _those(lambda _, line: line.section == "gradient" and reason in line.by)


def derived_by(word: str) -> Found:
    """The lines in whose derivation a step is called so, as `mlpc plan --why` prints it."""
    return _those(lambda name, line: any(step.rule == word for step in _derivations()[name][line.id].steps))


def with_several_readers() -> Found:
    """The gradients of values that several forward lines read."""

    def several(name: str, line: Line) -> bool:
        plan = gallery()[name].plan
        felt = {plan.loss}  # by the loss
        for step in reversed([*plan.steps("forward")]):
            felt |= {*step.args} if step.out in felt else set[int]()
        of = sources(plan).get(line.value)
        return of is not None and sum(x.value in felt and any(of in s.args for s in x.steps) for x in plan.forward) > 1

    return _those(several)


def turned_round(models: Mapping[str, Model] | None = None) -> Found:
    """The gradient lines with a difference that is the other way round forward."""
    models = models if models is not None else gallery()

    def turned(name: str, line: Line) -> bool:
        forward = [s.args for s in models[name].plan.steps("forward") if s.op == "sub"]
        return line.section == "gradient" and any(s.op == "sub" and s.args[::-1] in forward for s in line.steps)

    return _those(turned, models)


def passed_by() -> Found:
    """The named lines that depend on a param and have no gradient of their own."""

    def passed(name: str, line: Line) -> bool:
        plan = gallery()[name].plan
        felt = {p.value for p in plan.params}
        for step in plan.steps("forward"):
            felt |= {step.out} if felt.intersection(step.args) else set[int]()
        own = {plan.loss, *sources(plan).values()}
        return line.section == "forward" and line.value in felt - own and not re.fullmatch(r"t[0-9]+", line.target)

    return _those(passed)


def _those(wanted: Callable[[str, Line], bool], models: Mapping[str, Model] | None = None) -> Found:
    models = models if models is not None else gallery()
    found = {name: [line for line in model.plan.lines if wanted(name, line)] for name, model in models.items()}
    return {name: lines for name, lines in found.items() if lines}


@cache
def _derivations() -> dict[str, dict[str, Derivation]]:
    return {name: derive(model.program, model.dataset.schema)[1] for name, model in gallery().items()}


def document(found: Found) -> dict[str, list[dict[str, str]]]:
    """The lines for --json, by model."""
    return {name: [{"id": line.id, "target": line.target, "text": line.text} for line in lines] for name, lines in found.items()}


def section(found: Found, nowhere: str) -> str:
    """The lines as a section of a page, a few of each model."""
    if not found:
        return f"## In the gallery\n\n{nowhere}"
    width = max(map(len, found))
    rows: list[str] = []
    for name, lines in found.items():
        for i, line in enumerate(lines[:SHOWN]):
            text = f"{name if i == 0 else '':<{width}}  {line.id:<4} {line.target} = {line.text}"
            rows.append(text if len(text) <= WIDTH else text[: WIDTH - 1] + "…")
        if len(lines) > SHOWN:
            rows.append(f"{'':<{width}}  and {len(lines) - SHOWN} more")
    return "## In the gallery\n\n```text\n" + "\n".join(rows) + "\n```"
