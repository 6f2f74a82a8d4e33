"""Signs and words that other languages have and this one writes otherwise, each with what to write."""

from __future__ import annotations

ITEMS = ("data", "model", "train", "loss", "report", "fn", "block", "update", "import")
STATEMENTS = ("from", "param", "state", "return")
HINTS = {
    "**": "a power is written `^`: x^2",
    ";": "a new line ends a statement: remove the `;`",
    "'": 'strings are written "..."; a prime stands directly after a name that is a `state`',
    "%": "there is no remainder; a - b * floor(a / b) is one",
    "!": "there is no `!`; 1 - a negates a comparison",
    "->": "a function is written `fn name(x) = ...`; a value goes on to the next function with `|>`",
    "=>": "a function is written `fn name(x) = ...`; at least is `>=`",
    "&": "the product of two comparisons is their `and`: (a > 0) * (b > 0)",
    "&&": "the product of two comparisons is their `and`: (a > 0) * (b > 0)",
    "|": "max(a, b) of two comparisons is their `or`; a pipe is `|>`",
    "||": "max(a, b) of two comparisons is their `or`; a pipe is `|>`",
    ":=": "a value gets its name with `=`",
    "{": "braces hold the body of a section or definition; a matrix is written [[1, 2], [3, 4]]",
    ":": "`:` stands in slices only, h[:, 1:3]; an argument is given by `name = value`, a body by { }",
    "~": "`~` gives a param or state its initial value: param w [2, 3] ~ zeros",
    "==": "`==` compares; a value gets its name with `=`",
    "\\": "a statement goes on over the end of the line inside ( ) or [ ], or with `|>` on the next line",
    **dict.fromkeys(("+=", "-=", "*=", "/=", "@="), "each name is assigned once: give the new value a new name"),
}
_NO_LOOPS = "there are no loops: operations work on whole arrays, and repeat(x, k, f) chains copies of a block"
_NO_IF = "there is no `if`; where(condition, a, b) chooses"
_FUNCTION = "a function is written `fn name(x) = ...`"
_BLOCK = "what owns params is written `block name(x) { ... }`"
_ASSIGNED = "no keyword is needed: name = value"
WORDS = {
    "if": _NO_IF, "else": _NO_IF, "elif": _NO_IF, "then": _NO_IF,
    "for": _NO_LOOPS, "while": _NO_LOOPS, "loop": _NO_LOOPS,
    "lambda": f"{_FUNCTION} and passed by its name",
    "def": _FUNCTION, "function": _FUNCTION, "func": _FUNCTION, "fun": _FUNCTION, "define": _FUNCTION, "activation": _FUNCTION,
    "layer": _BLOCK, "class": _BLOCK, "module": _BLOCK, "struct": _BLOCK,
    "network": "the network is written `model { ... }`", "net": "the network is written `model { ... }`",
    "optimizer": "an optimizer is chosen in `train` and defined by `update name(w, dw) { ... }`",
    "let": _ASSIGNED, "var": _ASSIGNED, "const": _ASSIGNED, "val": _ASSIGNED, "set": _ASSIGNED,
    "and": HINTS["&&"], "or": HINTS["||"], "not": "1 - a negates a comparison", "in": _NO_LOOPS,
    "include": 'another file is read by `import "file.mlp"`', "use": 'another file is read by `import "file.mlp"`',
}  # fmt: skip
