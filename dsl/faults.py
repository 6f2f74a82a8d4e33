"""What a syntax fault says: what was found, what could stand there, and what was probably meant."""

from __future__ import annotations

from collections.abc import Collection

from lark.parsers.lalr_analysis import Shift
from lark.parsers.lalr_parser_state import ParserState

from .diagnostics import Diagnostic, did_you_mean, nearest, printable
from .recovery import CLOSERS, Mark, Place
from .slips import HINTS, ITEMS, STATEMENTS, WORDS
from .syntax import Source, Span

_OPERATOR = frozenset(("PLUS", "MINUS", "STAR", "SLASH", "AT", "CARET", "PIPE", "LSQB"))
_GROUPS = (  # terminals that come together, and have one word
    (frozenset(("NAME", "NUMBER", "STRING", "PRIMED", "LPAR", "LSQB", "MINUS")), "a value"),
    (_OPERATOR | {"COMPARE"}, "an operator"),
    (_OPERATOR, "an operator that does not compare"),
    (frozenset(word.upper() for word in ITEMS), f"one of {', '.join(ITEMS)}"),
    (frozenset(("NAME", "PRIMED", *(word.upper() for word in STATEMENTS))), "a statement"),
)
_WORDS = {
    "PLUS": "`+`", "MINUS": "`-`", "STAR": "`*`", "SLASH": "`/`", "AT": "`@`", "CARET": "`^`", "COMPARE": "a comparison", "PIPE": "`|>`",
    "EQUAL": "`=`", "TILDE": "`~`", "LPAR": "`(`", "LSQB": "`[`", "DOT": "`.`", "COLON": "`:`", "COMMA": "`,`", "NAME": "a name",
    "STRING": 'a text in "..."', "RPAR": "`)`", "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`", "_NL": "the end of the line",
    "$END": "the end of the text",
}  # fmt: skip


def can_end(expected: set[str]) -> bool:
    """A `}` could stand here: by itself, or (it swallows the newlines before it) where a statement could."""
    return bool(expected & {"RBRACE", "RETURN"})


def syntax_fault(source: Source, place: Place, expected: set[str]) -> Diagnostic:
    """The diagnosis (E0103; E0102 for a character that has no meaning at all, E0107 for a misplaced statement)."""
    return (
        _word_fault(source, place)
        or _bracket_fault(source, place, expected)
        or _shape_fault(source, place, expected)
        or _plain_fault(source, place, expected)
    )


def in_words(terminals: Collection[str]) -> str:
    """What can stand at a place, for people: other terminals, another text (tests/test_parse_states.py)."""
    rest = set(terminals)
    parts: list[str] = []
    for group, word in _GROUPS:
        if group <= rest:
            parts.append(word)
            rest -= group
    *most, last = [*parts, *(word for terminal, word in _WORDS.items() if terminal in rest)] or [""]
    return f"{', '.join(most)} or {last}" if most else last


def expected_at(state: ParserState[int]) -> set[str]:
    """The terminals that can really come next: the table alone also lists some that a reduction would lead astray."""
    conf = state.parse_conf
    possible: set[str] = set()
    for terminal in conf.states[state.position]:
        stack = list(state.state_stack)
        while terminal.isupper() or terminal == "$END":
            action = conf.states[stack[-1]].get(terminal)
            if action is None:
                break
            if action[0] is Shift:
                possible.add(terminal)
                break
            del stack[len(stack) - len(action[1].expansion) :]
            stack.append(conf.states[stack[-1]][action[1].origin.name][1])
            if stack[-1] == conf.end_state:
                possible.add(terminal)
                break
    return possible


# --- brackets and braces


def _bracket_fault(source: Source, place: Place, expected: set[str]) -> Diagnostic | None:
    found, last = place.found, place.brackets[-1] if place.brackets else None
    if found.kind == "unclosed":
        return _fault(source, found, "this text is not closed on its line", 'end it with `"`')
    if found.kind == "end" and place.brace and can_end(expected):
        name = _title(place.header)
        return _fault(source, place.brace, f"the `{{` of {name} is never closed", "put a `}` on a line of its own after its last statement")
    if found.text == "}" and place.brace is None:
        return _fault(source, found, "this `}` closes nothing", "remove it, or write the `{` that it belongs to")
    if found.text == "{" and place.brace and not place.assigned:
        where = f"the `{{` of {_title(place.header)} on line {Span(source, place.brace.start, place.brace.end).line}"
        what = f"a `{{` inside {where}; braces do not nest"
        return _fault(source, found, what, "is a `}` missing above this line? Otherwise move it out of those braces")
    if place.brace and place.inner_item:
        where = f"the `{{` of {_title(place.header)} on line {Span(source, place.brace.start, place.brace.end).line}"
        what = f"`{place.before[0].text}` stands at the top of a file, and this is inside {where}"
        return _fault(source, place.before[0], what, "is a `}` missing above this line? Otherwise move it out of those braces")
    if found.kind == "close" and last is None:
        return _fault(source, found, f"this `{found.text}` closes nothing", "remove it, or write the bracket that it belongs to")
    if found.kind == "close" and last and CLOSERS[last.text] != found.text:
        line = Span(source, last.start, last.end).line
        return _fault(source, found, f"this `{found.text}` stands where the `{last.text}` of line {line} needs its `{CLOSERS[last.text]}`")
    if last and _never_closed(place):
        line = Span(source, found.start, found.end).line
        here = f"line {line}" if line > Span(source, last.start, last.end).line else f"the `{found.text}`"
        ended = "the end of the text" if found.kind == "end" else here
        what = f"this `{last.text}` is not closed before {ended}"
        return _fault(source, last, what, f"write the `{CLOSERS[last.text]}` that ends it")
    return None


def _never_closed(place: Place) -> bool:
    """No closing bracket follows in the statement, and what was found begins something else."""
    found = place.found
    if found.kind == "brace":
        return place.brace is None or found.text == "}" or place.on_new_line
    return found.kind == "end" or (found.kind == "word" and place.on_new_line and not place.closed)


def _title(header: tuple[Mark, ...]) -> str:
    """`model`, or `block residual`."""
    words = [m.text for m in header[:2] if m.kind == "word"]
    return f"`{' '.join(words)}`" if words else "this body"


# --- the shape of a statement


def _word_fault(source: Source, place: Place) -> Diagnostic | None:
    """A word of other languages that was meant as a keyword: what follows it, or where it stands, tells it from a name."""
    found, before = place.found, place.before
    if not before:
        return None
    at = None
    if found.text in WORDS:
        at = found
    elif before[-1].text in WORDS and (found.kind in {"word", "number", "string"} or found.text == ":"):
        at = before[-1]
    elif before[0].text in WORDS and found.text in {"{", ":"}:
        at = before[0]
    return _fault(source, at, f"`{at.text}` has no meaning here", WORDS[at.text]) if at else None


def _shape_fault(source: Source, place: Place, expected: set[str]) -> Diagnostic | None:
    found, before = place.found, place.before
    if not before and "DATA" in expected:
        return _top_level(source, place, expected)
    if before and before[-1].kind == "number" and before[-1].end == found.start and (found.kind in {"word", "number"} or found.text == "."):
        return _number_fault(source, before[-1], found, place)
    if found.text in {"<", "<=", ">", ">=", "==", "!="} and "PLUS" in expected and "COMPARE" not in expected:
        return _fault(source, found, "comparisons do not chain", "(a < b) * (b < c) is 1 where both hold")
    first = before[0] if before else found
    if len(before) == 1 and first.kind == "word" and first.text not in STATEMENTS and place.brace and found.kind in {"word", "string"}:
        near = nearest(first.text, STATEMENTS)
        if near:
            return _fault(source, first, f"`{first.text}` is no statement that the language has", f"did you mean `{near}`?")
    return None


def _top_level(source: Source, place: Place, expected: set[str]) -> Diagnostic:
    """The first word of a line outside all braces is none of the allowed ones."""
    found, after = place.found, place.after
    if found.kind != "word":
        return _plain_fault(source, place, expected)
    if found.text in STATEMENTS:
        where = {"from": "`data`", "param": "`model` or a `block`", "state": "a `block` or an `update`", "return": "a `fn` or a `block`"}
        return Diagnostic("E0107", _span(source, found), f"`{found.text}` stands inside {where[found.text]}, not at the top of a file")
    if found.text in WORDS:
        return _fault(source, found, f"`{found.text}` begins nothing that the language has", WORDS[found.text])
    near = nearest(found.text, ITEMS)
    if after and after[0].text in {"=", "("} and not near:
        kind = "a value gets its name" if after[0].text == "=" else "a call stands"
        return Diagnostic(
            "E0107",
            _span(source, found),
            f"{kind} inside `data`, `model`, `train` or a definition, not at the top of a file",
            f"the words that begin something here are {', '.join(ITEMS)}",
        )
    hint = did_you_mean(found.text, ITEMS)
    return _fault(source, found, f"`{found.text}` begins nothing that the language has", hint)


def _number_fault(source: Source, number: Mark, found: Mark, place: Place) -> Diagnostic:
    end = found.end
    for mark in place.after:
        if mark.start != end or mark.kind not in {"word", "number"}:
            break
        end = mark.end
    text = source.text[number.start : end]
    span = Span(source, number.start, end)
    if text.endswith("."):
        hint = f"write {text}0 or {text[:-1]}"
    elif "_" in text and text.replace("_", "").isdigit():
        hint = f"write {text.replace('_', '')}"
    elif found.kind == "word" and found.text not in {"e", "E"} and not found.text.startswith("_") and number.text != "0":
        hint = f"a product is written {number.text} * {found.text}; a name does not begin with a digit"
    else:
        hint = "numbers are written like 12, 0.5 or 1e-3"
    return Diagnostic("E0103", span, f"`{text}` is not a number", hint)


# --- everything else


def _plain_fault(source: Source, place: Place, expected: set[str]) -> Diagnostic:
    found, before = place.found, place.before
    needed = in_words(expected)
    after = f" after `{printable(_last(before))}`" if before else ""
    if found.kind == "sign" and found.text in {"$", "?", "`", "\\"} and found.text not in HINTS:
        what = "a backtick" if found.text == "`" else f"`{found.text}`"
        return Diagnostic("E0102", _span(source, found), f"{what} has no meaning in the language", f"needed here: {needed}")
    what = {"newline": "the end of the line", "end": "the end of the text"}.get(found.kind, f"`{printable(found.text)}`")
    message = f"found {what}{after}{'; needed: ' if needed else ''}{needed}"
    return _fault(source, found, message, _hint(place, expected))


def _last(before: tuple[Mark, ...]) -> str:
    """The last piece as it is written; a prime belongs to its name."""
    match before:
        case (*_, Mark(kind="word", text=name, end=end), Mark(text="'", start=start)) if start == end:
            return f"{name}'"
        case _:
            return before[-1].text


def _hint(place: Place, expected: set[str]) -> str:
    found, before = place.found, place.before
    last = before[-1].text if before else ""
    if found.kind == "newline" and last == ",":
        return "a statement goes on over the end of the line only inside ( ) or [ ]"
    if "LBRACE" in expected and "EQUAL" not in expected:
        return "the `{` stands at the end of this line" if found.kind == "newline" else f"its statements stand in braces: {last} {{ ... }}"
    if "TILDE" in expected:
        return "say how it begins: `~ zeros`, `~ constant(3)` or another initialiser"
    if expected == {"STRING"} and found.kind in {"word", "number"}:
        return f'the name of a file stands in quotes: {last} "file"'
    if "|>" in {m.text for m in before[-2:]} and found.text not in HINTS:
        return "a pipe leads to a function: x |> f, or x |> f(a)"
    if found.text == ":" and place.brackets and place.brackets[-1].text == "[":
        return "a slice has two bounds and no step: h[:, 1:3]"
    if found.text == "=":
        return _equals_hint(place)
    if found.text in HINTS:
        return HINTS[found.text]
    if found.text == "," and not place.brackets:
        return "each value has a statement of its own"
    if len(before) == 1 and before[0].kind == "word" and "EQUAL" in expected:
        return f"write `{before[0].text} = ...`"
    if "PLUS" in expected and found.text == "(":
        return "only a name can be called"
    if "PLUS" in expected and found.kind in {"word", "number", "string", "open"}:
        return "is a `,` or an operator missing?" if place.brackets else "an operator is missing, or a new line: it ends a statement"
    return ""


def _equals_hint(place: Place) -> str:
    last = place.before[-1].text if place.before else ""
    if last == ")" and not place.brackets:
        return "a function is written `fn name(x) = ...`, at the top of the file"
    if place.brackets:
        return "an argument is given by `name = value`, and `==` compares"
    return "`=` stands once, after one plain name; `==` compares"


def _span(source: Source, mark: Mark) -> Span:
    """A newline and the end are shown as the place behind the last character."""
    size = len(source.text)
    return Span(source, min(mark.start, size), min(max(mark.end, mark.start), size))


def _fault(source: Source, mark: Mark, message: str, hint: str = "") -> Diagnostic:
    return Diagnostic("E0103", _span(source, mark), message, hint)
