"""Programs and what they compile to as JSON, and back to the same values: what the cache of plans holds.

Every value is a frozen struct of the table below, and is written as its class's name with its fields in order. Reading holds each
field to the type that its class states: what is not known, missing or of another type is a `Misfit`, and nothing is ever executed.
Texts and programs, which several values share, stand in tables of their own.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from ..dsl import syntax
from ..dsl.diagnostics import TITLES, Diagnostic
from ..dsl.syntax import Import, Program, Source, Span
from . import compilation, plan, settings
from .compilation import Compilation

CLASSES: dict[str, type[Struct]] = {
    name: cls
    for module in (syntax, plan, settings, compilation)
    for name, cls in vars(module).items()
    if isinstance(cls, type) and issubclass(cls, Struct) and cls.__module__ == module.__name__ and cls not in (Source, Span)
} | {"Diagnostic": Diagnostic}
NAMES = {
    "Diagnostic": Diagnostic,
    "Uses": types.NoneType,
    "Row": object,
    "Shown": object,
}  # in annotations, and known to the type checker alone

Reader = Callable[[Any, "_Tables"], Any]


class Misfit(ValueError):
    """What was read is not what is written here."""


class _Tables(Struct):
    """The texts and the programs that others refer to by number."""

    sources: list[Source] = []
    programs: list[Program] = []


def encoded(program: Program, compilations: Mapping[str, Compilation]) -> dict[str, Any]:
    """A document of a program with its plans by name.

    Misfit for what cannot be written, RecursionError for an expression that is nested too deep.
    """
    writer = _Writer()
    writer.program(program)
    return {
        "plans": {name: writer.value(found) for name, found in compilations.items()},
        "programs": writer.programs,
        "sources": [[s.name, s.text, None if s.path is None else str(s.path)] for s in writer.sources],
    }


def decoded(document: Any, path: Path | None) -> tuple[Program, dict[str, Compilation]]:
    """The program and its plans. `path`: where the program's own text lies now. Misfit, RecursionError."""
    _hold(type(document) is dict, "a document")
    tables = _Tables()
    for entry in _sequence(document.get("sources")):
        name, text, place = _sequence(entry, 3)
        _hold(type(name) is str and type(text) is str and (place is None or type(place) is str), "a text")
        tables.sources.append(Source(name, text, None if place is None else Path(place)))
    listed = _sequence(document.get("programs"))
    _hold(bool(listed) and bool(tables.sources), "a program")
    tables.sources[0] = Source(tables.sources[0].name, tables.sources[0].text, path)
    for entry in listed:
        tables.programs.append(_instance(Program)(entry, tables))
    _hold(tables.programs[-1].source is tables.sources[0], "the program's text")
    plans = document.get("plans")
    _hold(type(plans) is dict, "plans")
    return tables.programs[-1], {name: _instance(Compilation)(entry, tables) for name, entry in plans.items()}  # type: ignore[union-attr]


class _Writer:
    """Writes values, and the tables on the way; the first text is that of the program that is written first."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.programs: list[object] = []
        self._source: dict[Source, int] = {}
        self._program: dict[int, int] = {}

    def program(self, found: Program) -> int:
        """The number of a program; those that it imports have smaller ones."""
        if id(found) not in self._program:
            self.source(found.source)
            written = self.fields(found)
            self._program[id(found)] = len(self.programs)
            self.programs.append(written)
        return self._program[id(found)]

    def source(self, found: Source) -> int:
        """The number of a text."""
        if found not in self._source:
            self._source[found] = len(self.sources)
            self.sources.append(found)
        return self._source[found]

    def fields(self, found: Any) -> list[object]:
        """A struct: its name, and its fields in order."""
        cls = type(found)
        if CLASSES.get(cls.__name__) is not cls:
            raise Misfit(f"a {cls.__name__}")
        return [cls.__name__, *[self.value(getattr(found, name)) for name in cls.__struct_fields__]]

    def value(self, found: Any) -> object:
        """Anything that a field may hold."""
        kind = type(found)
        if found is None or kind in (str, int, bool):
            return found
        if kind is Span:
            return [self.source(found.source), found.start, found.end]
        if kind is tuple:
            return [self.value(x) for x in found]
        if kind is float and math.isfinite(found):
            return found
        if kind is Source:
            return self.source(found)
        if kind is Program:
            return self.program(found)
        if kind is frozenset:
            return sorted(found)
        return self.fields(found)


@cache
def _instance(cls: type[Struct]) -> Reader:
    """What reads a value of a class, strictly."""
    names = cls.__struct_fields__
    hints = get_type_hints(cls, localns=NAMES)
    readers = [_reader(hints[name]) for name in names]

    def read(found: Any, tables: _Tables) -> Any:
        _hold(type(found) is list and len(found) == len(names) + 1 and found[0] == cls.__name__, cls.__name__)
        made = cls(*[reader(x, tables) for reader, x in zip(readers, found[1:], strict=True)])
        if isinstance(made, Diagnostic):
            _hold(made.code in TITLES, "a code")
        return made

    return read


@cache
def _reader(hint: Any) -> Reader:
    """What reads a value of a type."""
    if hint is Span:
        return _span
    if hint is Source:
        return lambda found, tables: _numbered(found, tables.sources)
    if hint is Program:
        return lambda found, tables: _numbered(found, tables.programs)
    if isinstance(hint, type) and issubclass(hint, Struct):
        return lambda found, tables: _instance(hint)(found, tables)  # looked up when it is wanted: expressions hold expressions
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple and args[-1] is Ellipsis:
        each = _reader(args[0])
        return lambda found, tables: tuple([each(x, tables) for x in _sequence(found)])
    if origin is tuple:
        readers = [_reader(a) for a in args]
        return lambda found, tables: tuple([r(x, tables) for r, x in zip(readers, _sequence(found, len(readers)), strict=True)])
    if origin is frozenset:
        return lambda found, tables: frozenset(_word(x, tables) for x in _sequence(found))
    if origin in (Union, types.UnionType):
        return _one_of(args)
    if hint is object:
        return lambda found, tables: _plain(found)
    kinds = {str: (str,), int: (int,), bool: (bool,), float: (float, int), types.NoneType: (types.NoneType,)}.get(hint)
    if kinds is None:
        raise TypeError(f"the codec knows no {hint}")

    def read(found: Any, tables: _Tables) -> Any:
        _hold(type(found) in kinds, hint.__name__)
        return found

    return read


def _one_of(hints: tuple[Any, ...]) -> Reader:
    """What reads a value of one of several types: structs by their name, all else by what JSON has."""
    named = {h.__name__: h for h in hints if isinstance(h, type) and issubclass(h, Struct) and h not in (Span, Source, Program)}
    others = [h for h in hints if h not in named.values()]

    def read(found: Any, tables: _Tables) -> Any:
        if type(found) is list and found and type(found[0]) is str and found[0] in named:
            return _instance(named[found[0]])(found, tables)
        for hint in others:
            try:
                return _reader(hint)(found, tables)
            except Misfit:
                continue
        raise Misfit(f"one of {hints}")

    return read


_word = _reader(str)


def _span(found: Any, tables: _Tables) -> Span:
    place, start, end = _sequence(found, 3)
    source = _numbered(place, tables.sources)
    _hold(type(start) is int and type(end) is int and 0 <= start <= end <= len(source.text) + 1, "a place")
    return Span(source, start, end)


def _numbered(found: Any, table: list[Any]) -> Any:
    _hold(type(found) is int and 0 <= found < len(table), "a number of a table")
    return table[found]


def _plain(found: Any) -> object:
    """Numbers, words and tuples of them."""
    if type(found) is list:
        return tuple([_plain(x) for x in found])
    _hold(found is None or type(found) in (str, int, float, bool), "a number or a word")
    return found


def _sequence(found: Any, length: int | None = None) -> list[Any]:
    _hold(type(found) is list and (length is None or len(found) == length), "a list")
    return found


def _hold(condition: bool, what: str) -> None:
    if not condition:
        raise Misfit(f"{what} was needed")


def imported(program: Program) -> list[tuple[Import, Program]]:
    """Every import of a program and of its imports, with the program that imports it, each program once."""
    seen: dict[int, Program] = {id(program): program}
    found: list[tuple[Import, Program]] = []
    for file in (queue := [program]):
        for i in file.imports:
            found.append((i, file))
            if i.program is not None and id(i.program) not in seen:
                seen[id(i.program)] = i.program
                queue.append(i.program)
    return found
