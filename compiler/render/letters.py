"""Names and words in LaTeX: `name` for mathematics, `escaped` for text. Two different ones never look alike."""

from __future__ import annotations

import re

from msgspec import Struct

from ...dsl.diagnostics import printable

SCRIPT = 0.75  # the width of a sub- or superscript, of what it is on the line
# The letters that no Latin letter looks like, but Sigma and Pi, which stand for sums and products, and pi, the number.
GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
    "Gamma", "Delta", "Theta", "Lambda", "Xi", "Upsilon", "Phi", "Psi", "Omega",
}  # fmt: skip
_WORD = re.compile(r"([A-Za-z]+?)([0-9]*)", re.ASCII)
_PATH = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*'?", re.ASCII)
_TEXT = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': r"\textquotedbl{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    "π": r"$\pi$", "ᵀ": r"$^{\top}$", "∂": r"$\partial$", "·": r"\textperiodcentered{}", "×": r"$\times$",
}  # fmt: skip


class Letters(Struct, frozen=True):
    """A name as mathematics. `raised`: it has a superscript, beside which a power would not stand."""

    latex: str
    width: float
    raised: bool


def name(text: str, exponent: str = "") -> Letters:
    """A name of the language, or of a report in typewriter; `exponent` is set beside its own superscript."""
    if not _PATH.fullmatch(text):
        written = rf"\text{{\texttt{{{escaped(text)}}}}}"
        return Letters(f"{written}^{{{exponent}}}" if exponent else written, len(text) + bool(exponent), bool(exponent))
    *path, last = text.removesuffix("'").split(".")
    base = _word(last)
    above = r"\prime" if text.endswith("'") else ""
    width = base.width + (0.4 if above else 0)
    if path:
        around = [_word(p) for p in path]
        above += f"({'.'.join(w.latex for w in around)})"
        width += SCRIPT * (sum(w.width for w in around) + 0.5 * len(around) + 1)
    above += exponent
    return Letters(base.latex + (f"^{{{above}}}" if above else ""), width + 0.7 * bool(exponent), bool(above))


def width_of(word: str) -> float:
    """Of upright or slanted letters, one being that of an `a`."""
    return sum(0.75 if c in "fijlrst" else 1.6 if c in "mw" else 1.4 if c.isupper() else 1.05 for c in word)


def escaped(text: str) -> str:
    """Text as it stands, without ligatures; what the fonts of LaTeX may lack as <U+4E2D>."""
    return re.sub(r"([-,])(?=\1)", r"\1{}", "".join(_character(c) for c in printable(text)))


def _word(text: str) -> Letters:
    """A name without dots: a letter, a Greek one, or upright letters; digits at its end below."""
    found = _WORD.fullmatch(text)
    if found is None:
        return Letters(rf"\mathrm{{{text.replace('_', chr(92) + '_')}}}", width_of(text), False)
    letters, digits = found[1], found[2]
    latex = letters if len(letters) == 1 else f"\\{letters}" if letters in GREEK else rf"\mathrm{{{letters}}}"
    width = 1.1 if letters in GREEK else width_of(letters)
    return Letters(latex + (f"_{{{digits}}}" if digits else ""), width + SCRIPT * len(digits), False)


def _character(c: str) -> str:
    if c in _TEXT:
        return _TEXT[c]
    if c.isascii() or "À" <= c <= "ÿ":
        return c
    return escaped(f"<U+{ord(c):04X}>")
