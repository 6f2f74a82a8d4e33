"""The page of a function of std, of a file or of the language: its text, its derivative as derived, a picture of both."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..compiler.definitions import VALUE, Function
from ..compiler.library import standard
from ..compiler.render.curve import curve
from ..compiler.vocabulary import BUILTINS
from ..dsl.diagnostics import MlpcError
from ..loading import loads
from .defined import Defined
from .example import Lines, shown
from .page import Page

REACH, POINTS = 6, 121  # a picture goes from -6 to 6
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


class Derived(Struct, frozen=True):
    """A function of one value as it runs and as derived, each line (target, text); and its numbers at `x`, () unless it is elementwise."""

    forward: Lines
    gradient: Lines
    x: tuple[float, ...] = ()
    value: tuple[float, ...] = ()
    derivative: tuple[float, ...] = ()


def page(name: str, of: Defined | None = None) -> Page:
    """The page of a function: what is written, what it runs as, its derivative, and the curves of one of one number.

    `of` a file: what is defined there, or imported; else of std or of the language.
    """
    document: dict[str, object] = {"name": name}
    parts: list[str] = []
    function = of.functions[name] if of is not None else standard().get(name)
    if function is not None:
        d = function.definition
        place = f"{d.span.source.name}:{d.span.line}"
        document |= {"kind": d.kind, "doc": d.doc, "text": d.span.text, "from": place}
        parts += [f"{d.kind} {name}".ljust(40) + place.rjust(44), *([d.doc] if d.doc else []), _indented(d.span.text)]
    else:
        written = f"{name}({', '.join(p if not default else f'{p} = {default}' for p, default in BUILTINS[name].items())})"
        document |= {"kind": "builtin", "text": written}
        parts.append(f"{written}\n\nA function of the language itself.")
    derived = None
    try:
        derived = derive(name, function, of)
    except MlpcError as error:  # no library, no picture: said in its place
        document["missing"] = error.diagnostics[0].hint
        parts.append(f"{error.diagnostics[0].message}; its derivative and picture need it: {error.diagnostics[0].hint}")
    if derived is not None:
        document |= {"forward": _lines(derived.forward), "gradient": _lines(derived.gradient)}
        parts += ["as it runs\n" + _indented(shown(derived.forward))] if derived.forward else []
        given = " (dh: the gradient of its value)" if any(re.search(r"\bdh\b", text) for _, text in derived.gradient) else ""
        parts.append(f"derivative, as derived{given}\n{_indented(shown(derived.gradient))}")
        if derived.x:
            document["curve"] = {"x": derived.x, "value": derived.value, "derivative": derived.derivative}
            parts.append("\n".join([*curve(derived.x, derived.value, derived.derivative), " " * 11 + "line: value · dots: derivative"]))
    return Page("function", document, "\n\n".join(parts))


def derive(name: str, function: Function | None, of: Defined | None = None) -> Derived | None:
    """What a function of std, `of` a file or of the language makes of one value, derived by the compiler; None if it takes more, or owns params.

    MlpcError E0504 if its numbers, without which nothing is known of it, need a library that is not installed.
    """
    parameter = _one_value(name, function)
    if parameter is None:
        return None
    x = [-REACH + 2 * REACH * i / (POINTS - 1) for i in range(POINTS)]
    try:
        column, row = (_run(name, parameter, x, shape, of) for shape in ((POINTS, 1), (1, POINTS)))
        if not column.value or not row.value:
            return None
        if len(column.value) > 1 and all(a == b or math.isnan(a) and math.isnan(b) for a, b in zip(column.value, row.value, strict=True)):
            return column
        return replace(_run(name, parameter, [0.0] * 6, (2, 3), of, weighted=len(row.value) > 1), x=())
    except MlpcError as error:
        if error.diagnostics[0].code == "E0504":
            raise
        return None  # it is made for other values than a matrix of numbers


def _one_value(name: str, function: Function | None) -> str | None:
    """The parameter of a function that has one, beside those with a default."""
    if function is not None:
        parameters = function.definition.parameters
        alone = function.kind == "fn" and parameters and all(p.default is not None for p in parameters[1:])
        first = parameters[0].name.id if parameters else ""
        return first if alone and parameters[0].default is None and function.kinds.get(first) == VALUE else None
    signature: Mapping[str, str | None] = BUILTINS.get(name, {})
    first, *rest = [*signature.items()] or [("", None)]
    return first[0] if first[0] == "x" and all(default is not None for _, default in rest) else None


def _run(name: str, parameter: str, x: Sequence[float], shape: tuple[int, int], of: Defined | None, weighted: bool = False) -> Derived:
    """The lines and numbers of a tiny model of the function. `weighted`: whatever the gradient of its value is, instead of 1."""
    rows, columns = shape
    h = "value" if parameter == "h" else "h"
    numbers = ", ".join(str(list(x[i * columns : (i + 1) * columns])) for i in range(rows))
    text = SAMPLE.format(
        x=parameter, h=h, function=name, shape=f"{rows}, {columns}", values=f"[{numbers}]",
        g=f"param g [{rows}, {columns}] ~ ones" if weighted else "", loss=f"sum(g * {h})" if weighted else f"sum({h})",
    )  # fmt: skip
    model = loads(of.text + text, of.folder, data_root=of.data_root) if of is not None else loads(text)
    one = re.compile(rf"broadcast\(([^(),]+), \[{rows}, {columns}\]\)")
    forward, gradient = (
        tuple((line.target, one.sub(r"\1", line.text)) for line in lines if line.target not in {"loss", "dg", f"d{h}"})
        for lines in (model.plan.forward, model.plan.gradient)
    )
    found = model.trace()
    value = found[h if h in found else parameter]  # the identity has no line
    return Derived(forward, gradient, tuple(x), tuple(value.ravel().tolist()), tuple(found[f"d{parameter}"].ravel().tolist()))


def _lines(lines: Lines) -> list[dict[str, str]]:
    return [{"target": target, "text": text} for target, text in lines]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n"))
