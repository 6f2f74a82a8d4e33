"""`mlpc explain`: the page of a code; the text, derivative and picture of a function; the statement of a rewrite."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from ..compiler.definitions import VALUE, Function
from ..compiler.library import standard
from ..compiler.render.curve import curve
from ..compiler.simplify import KEEPS, LICENCE, REASSOCIATES, STABILISES
from ..compiler.vocabulary import BUILTINS
from ..dsl.diagnostics import TITLES, Diagnostic, MlpcError, did_you_mean, printable
from ..model import loads
from .load import write, write_json

PAGES = files("mlpc.dsl") / "pages"
REACH, POINTS = 6, 121  # a picture goes from -6 to 6
RULES = {rule.__name__: (re.sub(r"\s+", " ", rule.__doc__ or ""), licence) for rule, licence in LICENCE.items()}
LICENCES = {
    KEEPS: "every bit but the sign of a zero stays",
    REASSOCIATES: "the same in exact arithmetic; the last bits may differ",
    STABILISES: "right where the written form overflows or cancels",
}
Lines = tuple[tuple[str, str], ...]
SAMPLE = """data {{
  unread = [[0]]
}}
model {{
  param {x} [{shape}] ~ values({values})
  {g}
  {h} = {function}({x})
  output = unread
}}
loss = {loss}
train {{
  optimizer = sgd(lr = 0)
  steps     = 1
}}
"""


@dataclass(frozen=True, slots=True)
class Derived:
    """A function of one value as it runs and as derived, each line (target, text); and its numbers at `x`, () unless it is elementwise."""

    forward: Lines
    gradient: Lines
    x: tuple[float, ...] = ()
    value: tuple[float, ...] = ()
    derivative: tuple[float, ...] = ()


def command(args: argparse.Namespace) -> int:
    """Prints what is known of a word. MlpcError E0201 for one that means nothing."""
    word: str = args.word
    code = word.upper()
    if code in TITLES:
        document: dict[str, object] = {"code": code, "title": TITLES[code], "page": page(code)}
        text = page(code).rstrip("\n")
    elif word in standard() or word in BUILTINS or word in RULES:
        document, text = _of_name(word)
    else:
        known = [*standard(), *BUILTINS, *RULES]
        hint = did_you_mean(code, TITLES) if re.fullmatch(r"[EW]\d+", code) else did_you_mean(word, known)
        hint = hint or "mlpc explain gelu, or mlpc explain E0231"
        raise MlpcError(Diagnostic("E0201", None, f"`{printable(word)}` is no code, no function of std and no rewrite", hint))
    if args.json:
        write_json(document)
    else:
        write(text)
    return 0


def page(code: str) -> str:
    """What a code means: what, why, a bad example and the good one, as Markdown."""
    return (PAGES / f"{code}.md").read_text("utf-8")


def _of_name(name: str) -> tuple[dict[str, object], str]:
    """All that bears the name, as a document and as a page."""
    document: dict[str, object] = {"name": name}
    parts: list[str] = []
    function = standard().get(name)
    if function is not None:
        d = function.definition
        place = f"{d.span.source.name}:{d.span.line}"
        document |= {"kind": d.kind, "doc": d.doc, "text": d.span.text, "from": place}
        parts += [f"{d.kind} {name}".ljust(40) + place.rjust(44), *([d.doc] if d.doc else []), _indented(d.span.text)]
    elif name in BUILTINS:
        written = f"{name}({', '.join(p if not default else f'{p} = {default}' for p, default in BUILTINS[name].items())})"
        document |= {"kind": "builtin", "text": written}
        parts.append(f"{written}\n\nA function of the language itself.")
    derived = None
    try:
        derived = derive(name, function)
    except MlpcError as error:  # no library, no picture: said in its place
        document["missing"] = error.diagnostics[0].hint
        parts.append(f"{error.diagnostics[0].message}; its derivative and picture need it: {error.diagnostics[0].hint}")
    if derived is not None:
        document |= {"forward": _lines(derived.forward), "gradient": _lines(derived.gradient)}
        parts += ["as it runs\n" + _shown(derived.forward)] if derived.forward else []
        given = " (dh: the gradient of its value)" if any(re.search(r"\bdh\b", text) for _, text in derived.gradient) else ""
        parts.append(f"derivative, as derived{given}\n{_shown(derived.gradient)}")
        if derived.x:
            document["curve"] = {"x": derived.x, "value": derived.value, "derivative": derived.derivative}
            parts.append("\n".join([*curve(derived.x, derived.value, derived.derivative), " " * 11 + "line: value · dots: derivative"]))
    if name in RULES:
        statement, licence = RULES[name]
        document["rewrite"] = {"statement": statement, "licence": licence}
        parts.append(f"rewrite {name}\n  {statement}\n  {licence}: {LICENCES[licence]}")
    return document, "\n\n".join(parts)


def derive(name: str, function: Function | None) -> Derived | None:
    """What a function of std or of the language makes of one value, derived by the compiler; None if it takes more, or owns params.

    MlpcError E0504 if its numbers, without which nothing is known of it, need a library that is not installed.
    """
    parameter = _one_value(name, function)
    if parameter is None:
        return None
    x = [-REACH + 2 * REACH * i / (POINTS - 1) for i in range(POINTS)]
    try:
        column, row = (_run(name, parameter, x, shape) for shape in ((POINTS, 1), (1, POINTS)))
        if not column.value or not row.value:
            return None
        if len(column.value) > 1 and all(a == b or math.isnan(a) and math.isnan(b) for a, b in zip(column.value, row.value, strict=True)):
            return column
        return replace(_run(name, parameter, [0.0] * 6, (2, 3), weighted=len(row.value) > 1), x=())
    except MlpcError as error:
        if error.diagnostics[0].code == "E0504":
            raise
        return None  # it is made for other values than a matrix of numbers


def _one_value(name: str, function: Function | None) -> str | None:
    """The parameter of a function that has one, beside those with a default."""
    if function is not None:
        parameters = function.definition.parameters
        alone = function.definition.kind == "fn" and parameters and all(p.default is not None for p in parameters[1:])
        first = parameters[0].name.id if parameters else ""
        return first if alone and parameters[0].default is None and function.kinds.get(first) == VALUE else None
    signature: Mapping[str, str | None] = BUILTINS.get(name, {})
    first, *rest = [*signature.items()] or [("", None)]
    return first[0] if first[0] == "x" and all(default is not None for _, default in rest) else None


def _run(name: str, parameter: str, x: Sequence[float], shape: tuple[int, int], weighted: bool = False) -> Derived:
    """The lines and numbers of a tiny model of the function. `weighted`: whatever the gradient of its value is, instead of 1."""
    rows, columns = shape
    h = "value" if parameter == "h" else "h"
    numbers = ", ".join(str(list(x[i * columns : (i + 1) * columns])) for i in range(rows))
    model = loads(
        SAMPLE.format(
            x=parameter, h=h, function=name, shape=f"{rows}, {columns}", values=f"[{numbers}]",
            g=f"param g [{rows}, {columns}] ~ ones" if weighted else "", loss=f"sum(g * {h})" if weighted else f"sum({h})",
        )
    )  # fmt: skip
    one = re.compile(rf"broadcast\(([^(),]+), \[{rows}, {columns}\]\)")
    forward, gradient = (
        tuple((line.target, one.sub(r"\1", line.text)) for line in lines if line.target not in {"loss", "dg", f"d{h}"})
        for lines in (model.plan.forward, model.plan.gradient)
    )
    found = {v["name"]: v["value"] for v in model.trace()["values"]}
    value = found.get(h, found[parameter])  # the identity has no line
    return Derived(forward, gradient, tuple(x), tuple(value.ravel().tolist()), tuple(found[f"d{parameter}"].ravel().tolist()))


def _lines(lines: Lines) -> list[dict[str, str]]:
    return [{"target": target, "text": text} for target, text in lines]


def _shown(lines: Lines) -> str:
    width = max((len(target) for target, _ in lines), default=0)
    return "\n".join(f"  {target.ljust(width)} = {text}" for target, text in lines)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n"))
