"""The examples of pages: small models of which only what matters is written, and what becomes of them."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

from ..compiler.ir import Rules
from ..compiler.pipeline import compile
from ..compiler.plan import Plan
from ..compiler.simplify import RULES
from ..loading import loads
from ..model import Model

Lines = tuple[tuple[str, str], ...]  # (target, text)
FENCE = re.compile(r"^```(\w+)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
ASSIGNED = re.compile(r"^  (\w+) *=", re.MULTILINE)
DATA = "data {\n  unread = [[0]]\n}\n"
TRAIN = "train {\n  optimizer = sgd(lr = 0)\n  batch     = all\n  steps     = 1\n}\n"


class Example(Struct, frozen=True):
    """A model as a page writes it, the lines that the page says it has, and whether the page says that the rule stays away."""

    text: str
    lines: Lines
    away: bool


def examples(page: str) -> list[Example]:
    """The examples of a page: each ```mlp with the ```plan below it."""
    found: list[Example] = []
    away = False
    for part in re.split(r"^## ", page, flags=re.MULTILINE):
        away = part.startswith("Not here")
        for kind, text in FENCE.findall(part):
            if kind == "mlp":
                found.append(Example(text, (), away))
            elif kind == "plan" and found:
                found[-1] = replace(found[-1], lines=split(text))
    return found


def split(text: str) -> Lines:
    """The lines of a ```plan: what stands before the first equals sign, and after it."""
    pairs = (line.partition(" = ") for line in text.split("\n"))
    return tuple((target.strip(), right.strip()) for target, _, right in pairs)


def completed(text: str) -> str:
    """The whole file: the sum of the last value is the loss, and one step is trained, whose learning rate is 0."""
    body = text[text.index("model {") :]
    last = ASSIGNED.findall(body)[-1]
    loss = "" if re.search(r"^loss =", text, re.MULTILINE) else f"loss = sum({last})\n"
    data = "" if text.startswith("data {") else DATA
    train = "" if re.search(r"^train {", text, re.MULTILINE) else TRAIN
    return f"{data}{text}\n{loss}{train}"


def load(example: str) -> Model:
    """The model of an example."""
    return loads(completed(example))


def without(rule: str) -> Rules:
    """All rewrites but one."""
    return {op: tuple(r for r in chain if r.__name__ != rule) for op, chain in RULES.items()}


def compiled_without(model: Model, rule: str) -> Model:
    """The model as it would be if a rewrite were not there. MlpcError where it cannot be compiled then."""
    return replace(model, compilation=compile(model.program, model.dataset.schema, without(rule)))


def written(plan: Plan) -> Lines:
    """The lines of a plan."""
    return tuple((line.target, line.text) for line in plan.lines)


def only_in(these: Lines, those: Lines) -> Lines:
    """The lines of the first that the second has not."""
    others = set(those)  # asked for membership only
    return tuple(line for line in these if line not in others)


def shown(lines: Lines) -> str:
    """The lines as a plan prints them, aligned."""
    width = max((len(target) for target, _ in lines), default=0)
    return "\n".join(f"{target.ljust(width)} = {text}" for target, text in lines)
