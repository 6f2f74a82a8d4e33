"""The words of the language itself: its functions with their parameters, the words they take, the names it keeps."""

from __future__ import annotations

# The functions of the language itself: their parameters, `*` taking any number, a default making one optional.
BUILTINS: dict[str, dict[str, str | None]] = {
    **{name: {"x": None} for name in ("exp", "log", "abs", "sign", "floor", "sqrt", "tanh", "sin", "cos", "erf")},
    "where": {"condition": None, "a": None, "b": None},
    "concat": {"*values": None},
    "transpose": {"x": None},
    "argmax": {"x": None},
    "rank": {"x": None},
    "onehot": {"index": None, "size": None},
    "cols": {"x": None},
    "rows": {"x": None},
    "classes": {"y": None},
    "counts": {"y": None},
    "same": {"a": None, "b": None},
    "expect": {"x": None, "*facts": None},
    "repeat": {"x": None, "k": None, "f": None},
    "bernoulli": {"q": None, "x": None},
    "sum": {"x": None, "axis": "all"},
    "mean": {"x": None, "axis": "all"},
    "max": {"x": None, "b": "", "axis": "all"},
    "min": {"x": None, "b": "", "axis": "all"},
}
# The parameters of the language's functions that are functions themselves.
FUNCTIONS: dict[str, tuple[str, ...]] = {"repeat": ("f",)}
# Parameters of the language's functions that take words.
WORDS: dict[str, tuple[str, ...]] = {"axis": ("features", "batch"), "*facts": ("simplex", "onehot", "integer", "bounded", "several_rows")}
RESERVED = ("training", "step", "steps", "epoch", "epochs", "weights", "params", "pi")
