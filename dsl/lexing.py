"""From bytes to a `Source`: decoding, newlines, characters that have no place, and which newlines count."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from .diagnostics import Diagnostic, fault
from .syntax import Source, Span

if TYPE_CHECKING:
    from lark import Token

NESTING = 100  # brackets inside brackets; far below any recursion limit of those who walk the syntax
SOURCE: ContextVar[Source] = ContextVar("SOURCE")  # the text being parsed: Lark's callbacks are made once, for all texts

_NEWLINES = re.compile("\r\n|[\r\x85\u2028\u2029]")
_PLAIN = re.compile(r"[\n\t -~]*")
_ODD = re.compile(r"[^\n\t -~]")
_PIECES = re.compile(
    r"""(?P<comment>[#][^\n]*)
      | (?P<string>"[^"\n]*"?)
      | (?P<quoted>[“”„«»][^"“”„«»\n]*[“”«»"])
      | (?P<word>(?:(?![0-9])\w)\w*)
      | (?P<odd>[^\n\t -~])""",
    re.VERBOSE,
)
_LOOKALIKES = {
    **dict.fromkeys("−–—‐‑‒﹣", "-"), **dict.fromkeys("×✕✖·⋅∙∗•", "*"), **dict.fromkeys("÷∕⁄", "/"),
    **dict.fromkeys("“”„«»″", '"'), **dict.fromkeys("‘’′‛", "'"), **dict.fromkeys("ˆ↑", "^"),
    **dict.fromkeys("←≔", "="), **dict.fromkeys("→⇒▷", "|>"), "≤": "<=", "⩽": "<=", "≥": ">=", "⩾": ">=", "≠": "!=", "≡": "==",
    "∼": "~", "∘": "@", "⊗": "@", "⊙": "*", "∑": "sum", "Σ": "sum", "√": "sqrt", "∂": "d", "∇": "grad", "∞": "inf",
    "²": "^2", "³": "^3", "¹": "^1", "⁻": "^-", "ᵀ": "transpose", "⊤": "transpose", "，": ",", "；": ";", "、": ",",
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ı": "i", "λ": "lambda",
}  # fmt: skip


def read_source(text: str | bytes, name: str, path: Path | None = None) -> Source:
    """The text with `\\n` as its only newline; MlpcError (E0101) if the bytes are not UTF-8."""
    if isinstance(text, str):
        return Source(name, _NEWLINES.sub("\n", text), path)
    try:
        return Source(name, _NEWLINES.sub("\n", text.decode("utf-8")), path)
    except UnicodeDecodeError as error:
        place = len(_NEWLINES.sub("\n", text[: error.start].decode("utf-8")))
        source = Source(name, _NEWLINES.sub("\n", text.decode("utf-8", "replace")), path)
        utf16 = text[:2] in {b"\xff\xfe", b"\xfe\xff"}
        raise fault(
            "E0101",
            Span(source, place, place + 1),
            f"byte {error.start} is 0x{text[error.start]:02X}, which is not UTF-8",
            "this looks like UTF-16: save the file as UTF-8 without BOM" if utf16 else "save the file as UTF-8 without BOM",
        ) from None


def clean(source: Source) -> tuple[str, list[Diagnostic]]:
    """The text as the parser may read it, of the same length, and the faults of single characters.

    What is at fault is replaced by what was probably meant, so that it does not lead to further faults.
    """
    text = source.text
    if _PLAIN.fullmatch(text):
        return text, []
    found = _controls(source)
    spaced = _ODD.sub(lambda m: " " if _forbidden(m[0]) else m[0], text)
    pieces: list[str] = []
    done = 0
    for match in _PIECES.finditer(spaced):
        piece = match[0]
        if match.lastgroup in {"comment", "string"} or piece.isascii():
            continue
        span = Span(source, match.start(), match.end())
        pieces += [spaced[done : match.start()], _stand_in(match.lastgroup or "", piece)]
        done = match.end()
        found.append(_misfit(match.lastgroup or "", piece, span))
    return "".join(pieces) + spaced[done:], found


class Newlines:
    """Lark's postlex: a newline inside ( ) or [ ] ends nothing, so the parser never sees it."""

    always_accept = ("_NL",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens without the newlines inside brackets; MlpcError (E0104) when the brackets nest too deep."""
        depth = 0
        for token in stream:
            if token.type in {"LPAR", "LSQB"}:
                depth += 1
                if depth > NESTING:
                    start = token.start_pos or 0
                    raise fault(
                        "E0104",
                        Span(SOURCE.get(), start, start + 1),
                        f"this is bracket {depth} inside another; {NESTING} is the most",
                        "give the inner parts names of their own",
                    )
            elif token.type in {"RPAR", "RSQB"}:
                depth -= 1
            if token.type != "_NL" or depth <= 0:
                yield token


def _forbidden(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs"}


def _controls(source: Source) -> list[Diagnostic]:
    """One fault for each kind of control or format character, at the first of its kind."""
    places: dict[str, list[int]] = {}
    for match in _ODD.finditer(source.text):
        if _forbidden(match[0]):
            places.setdefault(match[0], []).append(match.start())
    found: list[Diagnostic] = []
    for char, offsets in places.items():
        if char == "\ufeff" and offsets[0] == 0:
            message = "the file begins with a byte order mark (U+FEFF)"
            hint = "save the file as UTF-8 without BOM"
        else:
            kind = {"Cs": "a lone surrogate", "Cf": "a format character", "Cc": "a control character"}[unicodedata.category(char)]
            title = unicodedata.name(char, "")
            times = f", {len(offsets)} times" if len(offsets) > 1 else ""
            message = f"U+{ord(char):04X}{' ' + title if title else ''} is {kind}{times}; it does not show, and may hide what a text says"
            hint = "delete it, also in comments and strings"
        found.append(Diagnostic("E0101", Span(source, offsets[0], offsets[0] + 1), message, hint))
    return found


def _ascii(char: str) -> str:
    """The ASCII text that looks or is named like `char`, or ''."""
    if char in _LOOKALIKES:
        return _LOOKALIKES[char]
    folded = "".join(c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c))
    if folded.isascii() and folded.isprintable():
        return folded
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    words = unicodedata.name(char, "").split()
    return words[3].lower() if words[:1] == ["GREEK"] and words[2:3] == ["LETTER"] and len(words) > 3 else ""


def _raised(char: str) -> bool:
    """A superscript: part of a word for Unicode, an operation for who writes it."""
    return unicodedata.decomposition(char).startswith("<super>")


def _misfit(kind: str, piece: str, span: Span) -> Diagnostic:
    if kind == "quoted":
        return Diagnostic("E0102", span, 'the quotes of a string are `"`', f'write "{piece[1:-1]}"')
    odd = next(c for c in piece if not c.isascii())
    instead = "".join(c if c.isascii() else _ascii(c) for c in piece)
    complete = all(c.isascii() or _ascii(c) for c in piece)
    if kind == "word" and not _raised(odd):
        what = f"`{odd}` is U+{ord(odd):04X}" if piece == odd else f"`{piece}` holds `{odd}` (U+{ord(odd):04X})"
        message = f"{what}; names are made of the letters a-z, A-Z, digits and `_`"
    else:
        title = unicodedata.name(odd, "").lower()
        message = f"`{odd}` is U+{ord(odd):04X}{' ' + title if title else ''}; outside comments and strings a text is ASCII"
    if odd in "ᵀ⊤" and len(piece) > 1:
        instead = f"transpose({piece[:-1]})"
    if instead == " ":
        return Diagnostic("E0102", span, message, "write a plain space")
    otherwise = "write it in ASCII" if kind == "word" else "leave it out"
    return Diagnostic("E0102", span, message, f"write `{instead}`" if complete else otherwise)


def _stand_in(kind: str, piece: str) -> str:
    """ASCII of the same length that is read as what was meant."""
    if kind == "quoted":
        return f'"{piece[1:-1]}"'
    if kind == "word":
        return "".join(c if c.isascii() else " " if _raised(c) else _ascii(c) if c.isdecimal() else "_" for c in piece)
    likely = _ascii(piece)
    return likely if len(likely) == 1 else {"<=": "<", ">=": ">", "!=": "<", "==": "<", "|>": "*"}.get(likely, " ")
