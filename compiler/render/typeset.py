"""Expressions as LaTeX mathematics (amsmath), in parts between which a line may be broken; nothing is reordered.

`*` is a dot where a side is one number (a space after a literal) and else ⊙; `@` is juxtaposition; a comparison stands in
brackets, for it is 0 or 1; a slice keeps its brackets. The gradient of a name has a ∂ before it, which no name contains.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ...dsl.syntax import Arg, Binary, Call, Expr, Matrix, Name, Number, Slice, Subscript, Text, Unary
from ..ops import TABLE
from ..plan import Shape
from .expression import PI
from .formula import (
    AT_PRODUCT,
    AT_SUM,
    ATOM,
    FURTHER,
    LOOSE,
    MATRIX,
    PRODUCT,
    SCRIPTED,
    SUM,
    UNARY,
    Formula,
    as_left,
    as_right,
    bound,
    fenced,
    joined,
    listed,
    piece,
    prefixed,
    suffixed,
)
from .letters import SCRIPT, escaped, name, width_of

FRACTION, CASES, ROOT = 40.0, 46.0, 24.0  # wider ones are written on one line, which can be broken
RELATIONS = {"<": "<", "<=": r"\le", ">": ">", ">=": r"\ge", "==": "=", "!=": r"\ne"}
KNOWN = {"exp", "log", "sin", "cos", "tanh", "max", "min"}  # operators that LaTeX has
REDUCTIONS = {"sum", "mean", "max", "min", "logsumexp"}
FENCES = {"abs": (r"\lvert ", r"\rvert "), "floor": (r"\lfloor ", r"\rfloor ")}


class Names(Struct, frozen=True):
    """What is known of the names in a text: their shapes, and of which value each gradient is (`dz2`: `z2`)."""

    shapes: Mapping[str, Shape]
    gradients: Mapping[str, str]


def typeset(e: Expr, names: Names, depth: int = 0) -> Formula:
    """The formula of an expression; in a fraction, a power or cases (`depth` > 0) it stays small."""
    match e:
        case Number(text=text):
            return _number(text)
        case Name(id=text):
            return typeset_name(text, names)
        case Text(text=text):
            return piece(rf"\text{{\texttt{{\textquotedbl{{}}{escaped(text)}\textquotedbl{{}}}}}}", len(text) + 2)
        case Unary(value=value):
            inner = bound(typeset(value, names, depth), UNARY)
            return replace(prefixed("-", 1.5, inner), level=UNARY, signed=True)
        case Binary(op="/"):
            return _quotient(e, names, depth)
        case Binary(op="^", left=left, right=right):
            exponent = typeset(right, names, 1)
            return suffixed(bound(typeset(left, names, depth), ATOM), f"^{{{exponent.latex}}}", SCRIPT * exponent.width, SCRIPTED)
        case Binary():
            return _binary(e, names, depth)
        case Slice(value=value, subscripts=subscripts):
            base = typeset(value, names, depth)
            plain = isinstance(value, Name) and value.id not in names.gradients
            written = [_subscript(s, names) for s in subscripts]
            latex, width = r",\,".join(w.latex for w in written), sum(w.width for w in written)
            return suffixed(base if plain else bound(base, ATOM), f"[{latex}]", width + len(written) + 1, ATOM)
        case Matrix(items=items):
            return fenced("[", listed([typeset(i, names, depth) for i in items]), "]")
        case Call(function=Name(id="transpose"), args=[Arg(name=None, value=value)]):
            return _transposed(value, names, depth)
        case Call(function=Name(id="where"), args=[condition, this, other]) if depth == 0:
            found = _cases(condition.value, this.value, other.value, names)
            return found if found.width <= CASES else _call(e, names, depth)
        case Call():
            return _call(e, names, depth)
        case _:
            raise AssertionError(f"a plan does not say {e}")


def typeset_name(text: str, names: Names) -> Formula:
    """A name, or ∂ and the name that it is the gradient of."""
    if text == PI:
        return piece(r"\pi ", 1.1)
    if text in names.gradients:
        of = name(names.gradients[text])
        return piece(rf"\partial {of.latex}", of.width + 1.2, SCRIPTED)
    found = name(text)
    return piece(found.latex, found.width, SCRIPTED if found.raised else ATOM)


# --- operations ----------------------------------------------------------------------------------


def _number(text: str) -> Formula:
    """`0.1`; `1e-08` as a power of ten."""
    found = re.fullmatch(r"(.+)[eE]([+-]?)0*(\d+)", text)
    if found is None:
        return piece(text, len(text))
    power = rf"10^{{{found[2].replace('+', '')}{found[3]}}}"
    width = 2 + SCRIPT * (len(found[2]) + len(found[3]))
    return piece(power, width, SCRIPTED) if found[1] == "1" else piece(rf"{found[1]} \times {power}", width + len(found[1]) + 2, PRODUCT)


def _binary(e: Binary, names: Names, depth: int) -> Formula:
    left, right = typeset(e.left, names, depth), typeset(e.right, names, depth)
    match e.op:
        case "+" | "-":
            return joined(bound(left, SUM), f" {e.op} ", 2.4, as_right(right, PRODUCT), SUM, AT_SUM)
        case "*":
            left, right = as_left(left, PRODUCT), as_right(right, MATRIX)
            if isinstance(e.left, Number) and not right.parts[0].latex[0].isdigit():
                return joined(left, r"\,", 0.4, right, PRODUCT, AT_PRODUCT + FURTHER)
            sign = r" \cdot " if _scalar(e.left, names) or _scalar(e.right, names) else r" \odot "
            return joined(left, sign, 2.2, right, PRODUCT, AT_PRODUCT)
        case "@":
            return joined(as_left(left, MATRIX), r"\,", 0.4, as_right(right, SCRIPTED), MATRIX, AT_PRODUCT)
        case _:
            compared = joined(bound(left, SUM), f" {RELATIONS[e.op]} ", 2.8, bound(right, SUM), LOOSE, AT_SUM)
            return fenced("[", compared, "]")


def _quotient(e: Binary, names: Names, depth: int) -> Formula:
    """A fraction; inside another, and where it would be too wide, on one line."""
    if depth == 0:
        above, below = typeset(e.left, names, 1), typeset(e.right, names, 1)
        width = max(above.width, below.width)
        if width <= FRACTION:
            return piece(rf"\frac{{{above.latex}}}{{{below.latex}}}", width + 0.8, SCRIPTED, 2)
    left, right = as_left(typeset(e.left, names, depth), PRODUCT), as_right(typeset(e.right, names, depth), SCRIPTED)
    return joined(left, " / ", 1.4, right, PRODUCT, AT_PRODUCT)


def _transposed(value: Expr, names: Names, depth: int) -> Formula:
    if isinstance(value, Name) and value.id not in names.gradients and value.id != PI:
        found = name(value.id, r"\top")
        return piece(found.latex, found.width, SCRIPTED)
    return suffixed(bound(typeset(value, names, depth), ATOM), r"^{\top}", 0.8, SCRIPTED)


def _cases(condition: Expr, this: Expr, other: Expr, names: Names) -> Formula:
    inner = [typeset(e, names, 1) for e in (this, condition, other)]
    if isinstance(condition, Binary) and condition.op in RELATIONS:  # bare of the brackets that make it a number
        sides = [typeset(s, names, 1) for s in (condition.left, condition.right)]
        test = f"{bound(sides[0], SUM).latex} {RELATIONS[condition.op]} {bound(sides[1], SUM).latex}"
    else:
        test = inner[1].latex
    latex = rf"\begin{{cases}} {inner[0].latex} & \text{{if }} {test} \\ {{}}{inner[2].latex} & \text{{otherwise}} \end{{cases}}"
    return piece(latex, max(inner[0].width, inner[2].width) + max(inner[1].width + 2, 8) + 3, LOOSE, 3)


def _call(e: Call, names: Names, depth: int) -> Formula:
    """A function and its arguments; a reduction has its axes below, and a root, a size and a floor their own signs."""
    word = e.function.id
    reduces = word in REDUCTIONS and [a.name is None for a in e.args].count(True) == 1
    inner = [_argument(a, names, depth) for a in e.args if not (reduces and a.name)]
    if reduces:
        return _reduction(word, inner[0], [a for a in e.args if a.name], names, depth)
    if word == "sqrt" and len(inner) == 1 and inner[0].width <= ROOT:
        return piece(rf"\sqrt{{{inner[0].latex}}}", inner[0].width + 1.5, SCRIPTED, inner[0].tall)
    if word in FENCES and len(inner) == 1:
        return fenced(FENCES[word][0], inner[0], FENCES[word][1])
    return prefixed(_operator(word), width_of(word), fenced("(", listed(inner), ")"))


def _argument(a: Arg, names: Names, depth: int) -> Formula:
    value = typeset(a.value, names, depth)
    if a.name is None:
        return value
    word = name(a.name.id)
    return prefixed(f"{word.latex} = ", word.width + 2.4, value)


def _reduction(word: str, inner: Formula, axes: Sequence[Arg], names: Names, depth: int) -> Formula:
    """Of a name, a power or a call a sum has no brackets."""
    below = r",\, ".join(_below(a, names) for a in axes)
    sign = (r"\sum" if word == "sum" else _operator(word)) + (f"_{{{below}}}" if below else "")
    under = SCRIPT * len(re.sub(r"\\[a-z]+|[{}]", "", below))
    limits = word in {"sum", "max", "min"} and depth == 0
    width = max(under, 2.0 if word == "sum" else width_of(word)) if limits else under + width_of(word)
    tall = max(inner.tall, (2 if below else 1) if limits else 0)
    if word == "sum" and inner.level >= SCRIPTED and not inner.open:
        return replace(prefixed(f"{sign} ", width + 0.3, inner), level=MATRIX, tall=tall, open=True)
    return replace(prefixed(sign, width, fenced("(", inner, ")")), tall=tall)


def _below(a: Arg, names: Names) -> str:
    value = rf"\mathrm{{{a.value.id}}}" if isinstance(a.value, Name) else typeset(a.value, names, 1).latex
    return value if a.name is None or a.name.id == "axis" else rf"\mathrm{{{a.name.id}}} = {value}"


def _operator(word: str) -> str:
    return f"\\{word}" if word in KNOWN else rf"\operatorname{{{word.replace('_', chr(92) + '_')}}}"


def _subscript(s: Subscript, names: Names) -> Formula:
    start, stop = (typeset(e, names, 1) if e is not None else piece("", 0) for e in (s.start, s.stop))
    return start if s.is_index else piece(f"{start.latex}{{:}}{stop.latex}", start.width + stop.width + 0.6)


def _scalar(e: Expr, names: Names) -> bool:
    """Whether a value is certainly one number."""
    match e:
        case Number():
            return True
        case Name(id=text):
            return text == PI or names.shapes.get(text) == ()
        case Unary(value=value):
            return _scalar(value, names)
        case Binary(op=op, left=left, right=right):
            return op != "@" and _scalar(left, names) and _scalar(right, names)
        case Call(function=Name(id=word), args=args) if word in REDUCTIONS and len(args) == 1:
            return True
        case Call(function=Name(id=word), args=args):
            return word in TABLE and TABLE[word].kind == "elementwise" and all(_scalar(a.value, names) for a in args)
        case _:
            return False
