"""The arguments of a pipe beside its columns: numbers, and the words that some of them take instead."""

from __future__ import annotations

from collections.abc import Sequence

from ..compiler.constants import Number as Constant
from ..dsl.diagnostics import did_you_mean, fault
from ..dsl.syntax import Arg, Call, Name
from .frame import Frame, Pipe
from .pipes import PIPES


def arguments_of(node: Call, operands: Sequence[Frame | Constant]) -> dict[str, float | str]:
    """parameter -> number or word; `operands` are what the arguments come to that are expressions, without the columns. E0206, E0233."""
    name, pipe = node.function.id, PIPES[node.function.id]
    arguments: dict[str, float | str] = {}
    values = iter(operands)
    for i, arg in enumerate(node.args[1:], 1):
        key = _parameter(pipe, i, arg)
        said = word(name, i, arg)
        value = next(values) if said is None else said
        if key not in pipe.parameters or key in arguments:
            takes = f"`{name}` takes {' and '.join(pipe.parameters) or 'nothing but columns'}"
            raise fault("E0206", arg.span, takes, (did_you_mean(key, pipe.parameters) if key else "") or "leave this out")
        if isinstance(value, str) and value not in pipe.words.get(key, ()):
            raise fault("E0206", arg.value.span, f"`{name}` knows no `{value}`", _instead(value, pipe.words.get(key, ())))
        if isinstance(value, Frame):
            hint = f"{key} = 0" if key not in pipe.words else f"a number, or {', '.join(pipe.words[key])}"
            raise fault("E0233", arg.value.span, f"`{key}` of `{name}` is one number, and this has a row for each row", hint)
        arguments[key] = value if isinstance(value, str) else float(value)
    for key in pipe.parameters:
        if key not in arguments:
            example = pipe.words[key][0] if key in pipe.words else ", ".join(pipe.parameters)
            raise fault("E0206", node.function.span, f"`{name}` needs {key}", f"{name}({example})")
    return arguments


def word(name: str, i: int, arg: Arg) -> str | None:
    """The word that is given to a pipe which takes words, or None: then the argument is an expression."""
    pipe = PIPES.get(name)
    if pipe is None or i == 0 or not isinstance(arg.value, Name) or not pipe.words:
        return None
    return arg.value.id


def _parameter(pipe: Pipe, i: int, arg: Arg) -> str:
    """The parameter that the argument at a position, counted from the columns, is for; '' if there is none."""
    if arg.name is not None:
        return arg.name.id
    return pipe.parameters[i - 1] if i <= len(pipe.parameters) else ""


def _instead(said: str, known: tuple[str, ...]) -> str:
    hint = did_you_mean(said, known)
    return hint if hint.startswith("did") else f"a number, or {', '.join(known)}"
