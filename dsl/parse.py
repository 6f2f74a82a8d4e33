"""Text to syntax: `parse` a whole file, `read_program` for all of it that can be read, `parse_expression` for a setting of the command line."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import cast

from lark import Lark, UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.parsers.lalr_parser_state import ParserState
from msgspec import Struct
from msgspec.structs import replace

from .build import span_of
from .checks import Item, checked, checked_value, missing_returns, placed
from .diagnostics import Diagnostic, MlpcError
from .lexing import SOURCE, clean, read_source
from .syntax import Assign, Definition, Expr, Import, Program, Section, Source
from .tables import shipped

FAULTS = 20  # syntax faults after which reading on tells a user nothing more


def parse(text: str | bytes, name: str, path: Path | None = None) -> Program:
    """The program that `text` writes down; MlpcError with every fault found. `name` is what diagnoses call it."""
    program, faults = read_program(text, name, path)
    if faults:
        raise MlpcError(*faults)
    return program


def read_program(text: str | bytes, name: str, path: Path | None = None) -> tuple[Program, list[Diagnostic]]:
    """What could be read of a text, without the definitions that are at fault, and every fault; MlpcError (E0101) if it is no text.

    Where all faults are of statements out of place, the program lacks just these, and has the faults as its own: it can be read on.
    """
    source = read_source(text, name, path)
    reading = _read(source, "program")
    items = cast(tuple[Item, ...], reading.value or ())
    kept = tuple(i for i in items if not (isinstance(i, Definition) and i.span.start in reading.stand_ins))
    broken = {d.span.start for d in reading.faults if d.span}
    whole = tuple(i for i in kept if isinstance(i, Definition) and not any(i.span.start <= b < i.span.end for b in broken))
    faults = [*reading.faults, *checked(kept), *missing_returns(whole)]
    if not items and not faults:
        faults = [Diagnostic("E0106", None, f"{name} holds no statement", "a model has `data`, `model`, `loss` and `train`")]
    at_fault = [d.span.start for d in faults if d.span]
    sound = tuple(i for i in kept if not isinstance(i, Definition) or not any(i.span.start <= at < i.span.end for at in at_fault))
    if faults and len(sound) == len(kept) and all(d.code in {"E0107", "E0108"} for d in faults):
        items, lost = placed(sound)
        return replace(_program(source, items), faults=tuple(faults), lost=lost), faults
    return _program(source, sound), faults


def parse_definition(source: Source, start: int, end: int) -> Definition:
    """The one definition in [start, end) of a text, with its places in the whole of it; MlpcError with the faults of the text."""
    token = SOURCE.set(source)
    try:
        items = parser().parse(" " * start + source.text[start:end] + "\n", start="program")
    except UnexpectedInput:
        parse(source.text, source.name, source.path)
        raise
    finally:
        SOURCE.reset(token)
    (found,) = cast(tuple[Definition], items)
    return found


def parse_expression(text: str, name: str = "--set") -> Expr:
    """One expression, as on the right of `=`; MlpcError with every fault found."""
    reading = _read(read_source(text, name), "setting")
    value = cast(Expr | None, reading.value)
    faults = [*reading.faults, *(checked_value(value) if value else ())]
    if faults or value is None:
        raise MlpcError(*faults)
    return value


@cache
def parser() -> Lark:
    """The one parser of the process. Its tables come with mlpc: what Lark itself caches would be an unpickled file."""
    return shipped()


class _Reading(Struct, frozen=True):
    """What could be read (None: nothing), the faults, and the offsets at which stand-ins were read instead."""

    value: object
    faults: list[Diagnostic]
    stand_ins: frozenset[int]


def _read(source: Source, start: str) -> _Reading:
    """Parse; after a fault take its statement out and parse again, so that every fault of the text is found."""
    text, faults = clean(source)
    odd_lines = {d.span.line for d in faults if d.span}
    stand_ins: frozenset[int] = frozenset()
    token = SOURCE.set(source)
    try:
        while len(faults) < FAULTS:
            try:
                return _Reading(parser().parse(text + "\n", start=start), faults, stand_ins)
            except UnexpectedInput as error:
                from .faults import can_end, expected_at, syntax_fault
                from .recovery import marks_of, place_of, repaired

                marks = marks_of(text)
                offset = _offset(error, text)
                place = place_of(marks, offset)
                expected = expected_at(_before(error, text, start))
                if offset > place.found.start:  # within `**` or `==`: what could follow its first half helps nobody
                    expected = {"EQUAL"} if place.found.text == "==" else set[str]()
                new = syntax_fault(source, place, expected)
                told = {d.span.start for d in faults if d.span}  # a second fault of one place follows from how the first was mended,
                if new.span and new.span.start not in told and new.span.line not in odd_lines:  # and one beside a stand-in from a guess
                    faults.append(new)
                again = repaired(text, marks, place, can_end(expected))
            except MlpcError as error:
                from .recovery import marks_of, place_of, repaired

                faults.extend(error.diagnostics)
                marks = marks_of(text)
                again = repaired(text, marks, place_of(marks, _start(error)), False)
            if again is None or again.text == text or start == "setting":
                break
            text, stand_ins = again.text, stand_ins | again.stand_ins
    finally:
        SOURCE.reset(token)
    return _Reading(None, faults, stand_ins)


def _before(error: UnexpectedInput, text: str, start: str) -> ParserState[int]:
    """The parser as it was when it met what it did not expect: the error's own has gone on to what that could have ended."""
    reading = parser().parse_interactive(text + "\n", start)
    end = None if isinstance(error, UnexpectedToken) and error.token.type == "$END" else error.pos_in_stream
    with suppress(UnexpectedInput):  # what no state knows is found by the lexer
        for token in reading.lexer_thread.lex(reading.parser_state):
            if token.start_pos == end:
                break
            reading.feed_token(token)
    return reading.parser_state


def _offset(error: UnexpectedInput, text: str) -> int:
    """Where the visible text of what was not expected begins."""
    if isinstance(error, UnexpectedCharacters):
        return error.pos_in_stream
    assert isinstance(error, UnexpectedToken)
    return len(text) if error.token.type == "$END" else span_of(error.token).start


def _start(error: MlpcError) -> int:
    span = error.diagnostics[0].span
    return span.start if span else 0


def _program(source: Source, items: tuple[Item, ...]) -> Program:
    sections = {i.keyword.id: i for i in items if isinstance(i, Section)}
    return Program(
        source,
        tuple(i for i in items if isinstance(i, Import)),
        tuple(i for i in items if isinstance(i, Definition)),
        sections.get("data"),
        sections.get("model"),
        next((i for i in items if isinstance(i, Assign)), None),
        sections.get("train"),
        tuple(arg for i in items if isinstance(i, tuple) for arg in i),
    )
