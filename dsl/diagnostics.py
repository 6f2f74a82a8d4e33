"""The one form in which mlpc says that something is wrong.

A fault of the user's is raised as `MlpcError`, which carries one or more `Diagnostic`s; `render` makes
the text. A pass that can go on after a fault collects the diagnostics of several and raises once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from msgspec import Struct

from .syntax import Span

WIDTH = 100

TITLES: dict[str, str] = {
    # text and syntax
    "E0101": "the file cannot be read as text",
    "E0102": "a character that has no place here",
    "E0103": "syntax",
    "E0104": "nested too deep",
    "E0105": "the number is too large",
    "E0106": "the file is empty",
    "E0107": "this does not belong here",
    "E0108": "written twice",
    "E0109": "the file cannot be imported",
    # names
    "E0201": "unknown name",
    "E0202": "used before it is assigned",
    "E0203": "assigned twice",
    "E0204": "a cycle",
    "E0205": "unknown function",
    "E0206": "the arguments do not fit",
    "E0207": "this name is taken",
    "E0208": "definitions call each other in a circle",
    "E0209": "something is missing",
    # shapes and values
    "E0231": "shapes do not fit",
    "E0232": "the loss is not one number",
    "E0233": "a constant was needed",
    "E0234": "this is too large",
    "E0235": "a value of another kind was needed",
    "E0236": "the axis does not exist",
    "E0237": "the slice does not fit",
    "E0238": "an expectation does not hold",
    # settings
    "E0301": "unknown setting",
    "E0302": "the setting has no such value",
    "E0303": "a setting is missing",
    # data
    "E0401": "the data file cannot be read",
    "E0402": "unknown column",
    "E0403": "a cell that is not a number",
    "E0404": "a missing cell",
    "E0405": "the table is not a table",
    "E0406": "the split does not work out",
    "E0407": "a label that training has not seen",
    "E0408": "data outside the model's folder",
    "E0409": "the rows do not fit",
    "E0410": "a column that is both given and asked for",
    # warnings
    "W0101": "a value that nothing uses",
    "W0102": "a param without a gradient",
    "W0103": "softmax twice",
    "W0104": "an output that is never negative",
    "W0105": "a constant column",
    "W0106": "an input that is not scaled",
    # running
    "E0501": "not enough memory",
    "E0502": "the file cannot be read",
    "E0503": "the loss is not a finite number",
    "E0504": "a library is not installed",
    "E0505": "the run cannot be used",
    "E0506": "the place is taken",
    "E0507": "the run cannot go on",
    "E0508": "another process trains in the run's folder",
    "E0510": "the file is there already",
    "E0511": "this cannot be predicted",
    "E0512": "a process of the training is gone",
}


class Diagnostic(Struct, frozen=True):
    """One fault: its code (`E0231`), where it is (None: the file as a whole), what was found and needed, what to do."""

    code: str
    span: Span | None
    message: str
    hint: str = ""
    severity: str = "error"

    @property
    def title(self) -> str:
        """The fixed words of the code."""
        return TITLES[self.code]


class MlpcError(Exception):
    """The input is at fault. `diagnostics` says how; `str()` is the rendered text."""

    def __init__(self, *diagnostics: Diagnostic, status: int = 1) -> None:
        super().__init__(diagnostics)
        self.diagnostics = diagnostics
        self.status = status

    def __str__(self) -> str:
        return render_all(self.diagnostics)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the diagnosis, for the calls between are not the user's."""
        return str(self).split("\n")


def fault(code: str, span: Span | None, message: str, hint: str = "") -> MlpcError:
    """The exception for one fault: `raise fault("E0201", name.span, "...")`."""
    return MlpcError(Diagnostic(code, span, message, hint))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None when none is near: first by letter case, then one slip of a finger away."""
    import difflib

    candidates = sorted(set(known))
    folded = [w for w in candidates if w.lower() == word.lower()]
    slips = (
        [] if folded else sorted((w for w in candidates if _one_slip(word, w)), key=lambda w: (sorted(w) != sorted(word), -_alike(word, w)))
    )
    found = folded or slips or difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return found[0] if found else None


def _one_slip(word: str, other: str) -> bool:
    """One letter dropped, added or replaced, or two neighbours swapped (Damerau 1964); of two letters, one must be right."""
    if abs(len(word) - len(other)) > 1 or min(len(word), len(other)) < 2 - (len(word) != len(other)):
        return False
    start = 0
    while start < min(len(word), len(other)) and word[start] == other[start]:
        start += 1
    a, b = word[start:], other[start:]
    return a[1:] == b or a == b[1:] or a[1:] == b[1:] or (a[1::-1] == b[:2] and a[2:] == b[2:])


def _alike(word: str, other: str) -> float:
    import difflib

    return difflib.SequenceMatcher(None, word, other).ratio()


def did_you_mean(word: str, known: Iterable[str], also: Iterable[str] = ()) -> str:
    """A hint with the nearest known word, else the nearest of `also`, or the list of the known when it is short, or ''."""
    names = sorted(set(known))
    near = nearest(word, names) or nearest(word, also)
    if near:
        return f"did you mean `{near}`?"
    return f"there is {', '.join(names)}" if 0 < len(names) <= 13 else ""


def printable(text: str) -> str:
    """`text` with every control, format and surrogate character spelled as <U+XXXX>; a tab becomes a space."""
    if text.isprintable():  # then no character has one of these categories
        return text
    return "".join(
        " " if c == "\t" else f"<U+{ord(c):04X}>" if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text
    )


def render(diagnostic: Diagnostic) -> str:
    """The diagnosis as text: title and place, the line with a caret, the message, the hint."""
    head = f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.title}"
    lines: list[str] = []
    span = diagnostic.span
    if span is None:
        lines.append(head)
    else:
        place = f"{printable(span.source.name)}:{span.line}:{span.column}"
        lines.append(head + place.rjust(max(WIDTH - len(head), len(place) + 3)))
        lines.extend(_excerpt(span))
    lines.extend("   " + printable(part) for part in diagnostic.message.split("\n") if part)
    hint = f"   hint: {printable(diagnostic.hint)}" if diagnostic.hint else ""
    more = f"more: mlpc explain {diagnostic.code}"
    if len(hint) + 3 + len(more) <= WIDTH:
        lines.append(hint + more.rjust(WIDTH - len(hint)))
    else:
        lines += [hint, more.rjust(WIDTH)]
    return "\n".join(lines)


def render_all(diagnostics: Iterable[Diagnostic]) -> str:
    """All diagnoses, a blank line between, file by file in the order of the text; those of no place first."""
    found = dict.fromkeys(diagnostics)
    files = {source: i for i, source in enumerate(dict.fromkeys(d.span.source for d in found if d.span))}
    ordered = sorted(
        found, key=lambda d: (files[d.span.source], d.span.start, d.code, d.message) if d.span else (-1, -1, d.code, d.message)
    )
    return "\n\n".join(render(d) for d in ordered)


def _excerpt(span: Span) -> list[str]:
    """The line of the span with carets under it; a long line is cut around the place."""
    text = span.source.line_text(span.line)
    start = span.column - 1
    stop = max(start + 1, min(start + span.end - span.start, len(text)))
    left = max(0, start - 60)
    right = min(len(text), max(left + 88, start + 1))
    before, marked, after = text[left:start], text[start : min(stop, right)], text[min(stop, right) : right]
    prefix = "…" if left else ""
    shown = prefix + printable(before) + printable(marked) + printable(after) + ("…" if right < len(text) else "")
    carets = " " * len(prefix + printable(before)) + "^" * max(1, len(printable(marked)))
    return [f"{span.line:5d} | {shown}".rstrip(), f"      | {carets}"]
