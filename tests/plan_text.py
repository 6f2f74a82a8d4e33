"""A plan's lines read back from what is printed: parsed by the language's own grammar and computed word by word."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from mlpc.compiler.library import standard
from mlpc.compiler.ops import TABLE
from mlpc.dsl.parse import parse_expression
from mlpc.dsl.syntax import Assign, Binary, Call, Matrix, Name, Number, Return, Slice, Unary

from .interpret import apply

DEFINITIONS = "()"  # the key of the user's own functions in a scope
BINARY = {"+": "add", "-": "sub", "*": "mul", "/": "div", "^": "pow", "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}


def names_in(text, names):
    """Those of `names` that a text speaks of: not as a function, not as an argument's name."""
    return set(re.findall(any_of(names), plain(text)))


def any_of(names):
    """A pattern of names, d(h.z) before h.z."""
    longest_first = sorted(names, key=len, reverse=True)
    return rf"(?<![\w.'])(?:{'|'.join(map(re.escape, longest_first))})(?![\w.'(])(?!\s*=[^=])"


def plain(text):
    """The text without the two signs that regular expressions take for letters."""
    return text.replace("π", "pi").replace("ᵀ", "†")


def word(name):
    return rf"(?<![\w.']){re.escape(name)}(?![\w.'(])(?!\s*=[^=])"


def execute(plan, given, symbols, *sections):
    """What each line's text comes to, by name; the arrays of inputs and params are given by name."""
    values = dict(given)
    targets = [line.target for line in plan.lines if line.section in sections]
    keys = {name: f"v{i}" for i, name in enumerate(dict.fromkeys([*given, *targets]))}
    for line in plan.lines:
        if line.section in sections:
            text = re.sub(any_of(keys), lambda found: keys[found[0]], plain(line.text))
            scope = {keys[name]: x for name, x in values.items()} | {k: np.asarray(float(v)) for k, v in symbols.items()}
            values[line.target] = value(parse_expression(transposed(text)), scope)
    return values


def transposed(text):
    """`A†` as `transpose(A)`, from the right, so that the inner ones come later."""
    while (end := text.rfind("†")) >= 0:
        start, depth = end, 0
        while start > 0 and (depth or text[start - 1] in ")]" or text[start - 1].isalnum() or text[start - 1] == "_"):
            start -= 1
            depth += (text[start] in ")]") - (text[start] in "([")
        text = f"{text[:start]}transpose({text[start:end]}){text[end + 1 :]}"
    return text


def op(name, *args, shape: Any = None, **attrs):
    sized = np.broadcast_shapes(*(np.shape(a) for a in args)) if shape is None else shape
    return apply(name, [np.asarray(a, float) for a in args], sized, attrs, {})


def value(e, scope) -> Any:
    match e:
        case Number(text=text):
            return np.asarray(float(text))
        case Name(id="pi"):
            return np.asarray(np.pi)
        case Name(id=name):
            return scope[name]
        case Matrix(items=items):
            return np.array([value(i, scope) for i in items])
        case Unary(value=inner):
            return op("neg", value(inner, scope))
        case Binary(op="@", left=left, right=right):
            return value(left, scope) @ value(right, scope)
        case Binary(op=symbol, left=left, right=right):
            return op(BINARY[symbol], value(left, scope), value(right, scope))
        case Slice(value=inner, subscripts=subscripts):
            bounds = [[None if b is None else int(value(b, scope)) for b in (s.start, s.stop)] for s in subscripts]
            return value(inner, scope)[tuple(slice(a, b) for a, b in bounds)]
        case Call(function=Name(id=name), args=args):
            by_name = {a.name.id: a.value for a in args if a.name}
            return called(name, [a.value for a in args if a.name is None], by_name, scope)
        case _:
            raise AssertionError(f"a plan does not say {e}")


def called(name, args, by_name, scope) -> Any:
    if name in {"same", "expect"}:
        return None
    if name in {"broadcast", "reshape"}:
        assert isinstance(args[1], Matrix)
        return TABLE[name].numpy(value(args[0], scope), tuple(int(value(d, scope)) for d in args[1].items))  # type: ignore[misc]
    if name in {"sum", "mean", "max", "min", "logsumexp"} and len(args) == 1:
        return reduced(name, value(args[0], scope), by_name, scope)
    given = [value(a, scope) for a in args]
    match name:
        case "pad":
            axis = int(value(by_name["axis"], scope)) if "axis" in by_name else given[0].ndim - 1
            start, size = int(given[1]), int(given[2])
            return np.pad(given[0], [(start, size - start - n) if i == axis else (0, 0) for i, n in enumerate(given[0].shape)])
        case "transpose":
            return given[0].T
        case "concat":
            return np.concatenate(given, axis=-1)
        case "cols":
            return np.asarray(float(given[0].shape[-1]))
        case "argmax":
            return op("argmax", given[0], shape=(*given[0].shape[:-1], 1))
        case "onehot":
            return op("onehot", given[0], shape=(*given[0].shape[:-1], int(given[1])), size=int(given[1]))
        case "gather":
            return op("gather", *given, shape=(*given[1].shape[:-1], given[0].shape[-1]))
        case "scatter_add":
            return op("scatter_add", *given[:2], shape=(int(given[2]), given[0].shape[-1]), size=int(given[2]))
        case _ if name in TABLE:
            return op(name, *given)
        case _:
            pass
    own = scope.get(DEFINITIONS, {})
    definition = (own.get(name) or standard()[name]).definition  # a call in the user's words: by the text of the function
    inner: dict[str, Any] = {DEFINITIONS: own}
    for i, parameter in enumerate(definition.parameters):
        key = parameter.name.id
        inner[key] = given[i] if i < len(given) else value(by_name[key], scope) if key in by_name else value(parameter.default, inner)
    for statement in definition.body:
        match statement:
            case Assign(name=target, value=e):
                inner[target.id] = value(e, inner)
            case Return(value=e):
                return value(e, inner)
            case _:
                pass
    raise AssertionError(f"{name} returns nothing")


def reduced(name, x, by_name, scope):
    match by_name.get("axis"):
        case None:
            axes, keep = tuple(range(x.ndim)), False
        case Name(id="features"):
            axes, keep = (x.ndim - 1,), True
        case Name(id="batch"):
            axes, keep = (0,), False
        case Matrix(items=items):
            axes, keep = tuple(int(value(i, scope)) for i in items), False
        case number:
            axes, keep = (int(value(number, scope)),), False
    keep = bool(value(by_name["keep"], scope)) if "keep" in by_name else keep
    count = int(np.prod([x.shape[i] for i in axes]))
    shape = np.sum(x, axis=axes, keepdims=keep).shape
    total = apply({"max": "max_over", "min": "min_over", "mean": "sum"}.get(name, name), [x], shape, {"axes": axes, "keep": keep}, {})
    return total / count if name == "mean" else total
