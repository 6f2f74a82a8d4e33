"""Derivations, made: the compiler's own work with its rules switched on one after the other.

Each step is the line as the same code derives it with one rule more, so that the last is the line of the plan and nothing is
explained that does not happen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from ..dsl.diagnostics import Diagnostic, MlpcError
from ..dsl.syntax import Program
from .assembly import passes, training_plan, value_of
from .autodiff import Adjoint, facts_used, gradients
from .cotangents import CHOICE, FACTOR, MECHANISMS, SCALARS
from .definitions import Library
from .derivation import CHAIN, DEFINITION, HOW, KNOWN, SHARED, WORDS, WRITTEN, Derivation, Rewriting, source_line, through
from .ir import Node, Rule
from .lower import Lowering
from .notation import Notation
from .plan import Plan
from .recompute import RECOMPUTED
from .registers import STATEMENTS
from .schedule import gradient_names
from .schema import Schema
from .settings import Settings
from .simplify import RULES
from .statements import lower
from .survey import survey
from .undisturbed import undisturbed
from .updates import Update, arguments, lower_update
from .uses import Uses

READING = ("fold", "chosen", "same_shape")  # a size, and the side of a `where` that is built, are settled as a model is read
FIRST = (
    "broadcast",
    "same_shape",
    "fold",
    "times_one",
    "plus_zero",
    "neg_neg",
    SCALARS,
    CHOICE,
)  # of the gradient: what makes the rest readable
LAST = ("rows_sum_to_one", FACTOR)


def derive(program: Program, schema: Schema) -> tuple[Plan, dict[str, Derivation]]:
    """The plan to train by and, by id, how each of its lines comes about. Raises as `compile` does."""
    with undisturbed():
        known = survey(program)
        if known.faults or known.settings is None:
            raise MlpcError(*dict.fromkeys(known.faults))
        return derivations(program, schema, known.lib, known.graph, known.settings.scheduled(schema.train_rows))


def derivations(program: Program, schema: Schema, lib: Library, graph: Uses, settings: Settings) -> tuple[Plan, dict[str, Derivation]]:
    """The training plan and, by id, the derivation of each of its lines."""

    def lowered(rules: Mapping[str, Sequence[Rule]]) -> Lowering:
        faults: list[Diagnostic] = []
        return lower(program, schema, lib, graph, faults, training=True, rules=rules)

    low = lowered(RULES)
    made = passes(program, low, settings)
    plan = training_plan(program, lowered(RULES), settings)
    history = {line.id: History(plan) for line in plan.lines}
    fired = fired_forward(low, settings)
    for i, rule in enumerate((DEFINITION, *fired)):
        stage = lowered(only({*READING, *fired[:i]}))
        update = lower_update(stage, settings)
        names, updating = printed_names(stage, plan), update_names(update, plan)
        nodes, updated = by_name(names), by_name(updating)
        for line in plan.forward:
            if line.target in nodes:
                if not i:
                    history[line.id].write(nodes[line.target], Notation(names, stage.words), WRITTEN)
                history[line.id].write(nodes[line.target], Notation(names, {}), rule, definitions(history[line.id], lib) if not i else "")
        for line in plan.update:
            if line.target in updated:
                told = "" if i else in_the_text(updated[line.target], update, settings, lib)
                history[line.id].write(updated[line.target], Notation(updating, {}), rule, told)
    names = printed_names(low, plan) | {n: name for n, name in made.registers.names.items() if n.id < made.start}
    for rule, adjoints, log in sweeps(low):
        gradient = gradient_names(adjoints, low.names)
        nodes = by_name(gradient)
        for line in plan.gradient:
            if line.target in nodes:
                history[line.id].write(nodes[line.target], Notation(names | gradient, {}), rule, fired=log)
    names, nodes = made.registers.names, {name: node for node, name in made.registers.names.items()}
    for line in (x for x in (*plan.forward, *plan.gradient) if not x.again):
        if not history[line.id].steps:
            undrafted(history[line.id], nodes[line.target], names)
        history[line.id].write(nodes[line.target], Notation(names, {}), SHARED)
        history[line.id].write(nodes[line.target], Notation(names, low.words), WORDS)
    for line in plan.update:
        history[line.id].append(line.text, line.needs, SHARED)
    for line in (x for x in plan.gradient if x.again):
        again = Rewriting(line.text, RECOMPUTED, HOW[RECOMPUTED], (f"{line.target} is {line.again}",))
        history[line.id].steps = [*history[line.again].steps, again]
    return plan, {
        line.id: Derivation(plan, line, tuple(history[line.id].steps), through(line, plan), source_line(line, program))
        for line in plan.lines
    }


class History:
    """The steps of one line as they are found; what changes nothing is no step."""

    def __init__(self, plan: Plan) -> None:
        self.steps: list[Rewriting] = []
        self.needs: tuple[str, ...] = ()
        self.ids = {line.target: line.id for line in reversed(plan.lines)}

    def write(self, node: Node, notation: Notation, rule: str, said: str = "", fired: Sequence[tuple[str, Node]] = ()) -> None:
        """Adds the text of a node, with the facts that the rule used in it."""
        text, needs = notation.right_side(node)
        before = self.steps[-1].text if self.steps else ""
        used = [(r, n) for r, n in fired if r == rule and notation.names.get(n, "") in before]
        self.append(text, needs, rule, said, tuple(dict.fromkeys(f.removeprefix(", ") for f in facts_used(used, notation.names))))

    def append(self, text: str, needs: tuple[str, ...], rule: str, said: str = "", facts: tuple[str, ...] = ()) -> None:
        """Adds a text, if it is new."""
        if self.steps and self.steps[-1].text == text:
            return
        if rule in {KNOWN, SHARED}:
            facts = tuple(f"{name} is {self.ids[name]}" for name in needs if name not in self.needs and name in self.ids)
        self.steps.append(Rewriting(text, rule, said or HOW.get(rule) or STATEMENTS[rule], facts))
        self.needs = needs


# --- forward and update: lowered again and again, each time by one rule more ---------------------------------------


def only(rules: Iterable[str]) -> dict[str, tuple[Rule, ...]]:
    """The table of rewrites with these alone."""
    kept = set(rules)
    return {op: tuple(r for r in tried if r.__name__ in kept) for op, tried in RULES.items()}


def fired_forward(low: Lowering, settings: Settings) -> tuple[str, ...]:
    """The rules that the forward pass and the update need, in the order of the tables."""
    with low.ir.under(RULES):
        lower_update(low, settings)
        fired = {rule for rule, _ in low.ir.fired}
    return tuple(r for r in in_order() if r in fired and r not in READING)


def in_order() -> list[str]:
    """All rules, in the order of the tables."""
    return list(dict.fromkeys(r.__name__ for r in chain.from_iterable(RULES.values())))


def printed_names(low: Lowering, plan: Plan) -> dict[Node, str]:
    """The names of the values that have lines, or that the lines start from."""
    printed = {line.target for line in plan.forward} | {v.name for v in plan.values if v.role in {"input", "param", "state"}}
    return {node: name for node, name in low.names.items() if name in printed}


def by_name(names: Mapping[Node, str]) -> dict[str, Node]:
    """The computed nodes by what they are called."""
    return {name: node for node, name in names.items() if node.args}


def definitions(history: History, lib: Library) -> str:
    """The text of the functions that the line calls, or where it stands if it is long."""
    told: list[str] = []
    for word in dict.fromkeys(re.findall(r"\b([A-Za-z_]\w*)\(", history.steps[-1].text)):
        function = lib.find(word)
        if function is not None and function.definition.kind == "fn":
            span = function.definition.span
            short = span.text.removeprefix("fn ") if "\n" not in span.text else function.name
            told.append(f"{' '.join(short.split())} ({span.source.name}:{span.line})")
    return "; ".join(told)


def update_names(update: Update, plan: Plan) -> dict[Node, str]:
    """What the lines of the update call its nodes."""
    targets = {line.target for line in plan.update}
    names = {update.w: update.w_name, update.dw: update.dw_name} | {node: name for name, node, _ in update.states}
    names |= {node: name for name, node in update.numbers} | {node: name for name, node, _ in update.locals if node.args}
    names |= {node: f"{name}'" if f"{name}'" in targets else name for name, node, _ in update.primes}
    return {node: name for node, name in names.items() if not node.args or name in targets}


def in_the_text(node: Node, update: Update, settings: Settings, lib: Library) -> str:
    """What the text of the optimizer or of `train` says, and where."""
    for name, made, span in (*update.locals, *update.primes):
        if made is node:
            said = span.words
            clip = settings.clip is not None and span is settings.clip.span
            return f"{f'clip = norm({said})' if clip else said if '=' in said else f'{name} = {said}'} ({span.source.name}:{span.line})"
    given = arguments(settings, lib)
    for name, made in update.numbers:
        if made is node and name in given:
            span = given[name].span
            return f"{name} = {' '.join(span.text.split())} ({span.source.name}:{span.line})"
    return ""


# --- gradient: the same sweep over the same forward pass, each time by one rule or mechanism more -------------------


def sweeps(low: Lowering) -> Iterator[tuple[str, dict[Node, Adjoint], list[tuple[str, Node]]]]:
    """(rule, adjoints, what fired) from the chain rule alone to the sweep as it runs; rules that change nothing are left out."""
    loss, params, ir = value_of(low, "loss"), [p.node for p in low.params], low.ir

    def swept() -> tuple[dict[Node, Adjoint], list[tuple[str, Node]]]:
        mark = len(ir.fired)
        return gradients(loss, params, low.names), ir.fired[mark:]

    with ir.under(RULES):
        needed = {rule for rule, _ in swept()[1]} | set(MECHANISMS)
    middle = [r for r in in_order() if r not in {*FIRST, *LAST}]
    order = [r for r in (*FIRST, *middle, *LAST) if r in needed]
    for i in range(len(order) + 1):
        on = set(order[:i])
        with ir.under(only(on), set(MECHANISMS) - on, known=False):
            yield (order[i - 1] if i else CHAIN, *swept())
    with ir.under(RULES):
        yield (KNOWN, *swept())


def undrafted(history: History, root: Node, names: Mapping[Node, str]) -> None:
    """The steps of a value that nobody named: as it was before the rewrites, and after each."""
    drafts = root.ir.drafts
    inside = [root]
    for node in inside:
        below = [*node.args, *(drafts[node][1].args if node in drafts else ())]
        inside += [a for a in below if a.args and a not in names and a not in inside]
    rewritten = sorted((n for n in inside if n in drafts), key=lambda n: n.id)
    for i in range(len(rewritten) + 1):
        before = {n: drafts[n][1] for n in rewritten[i:]}
        history.write(root, Notation(names, {}, before), drafts[rewritten[i - 1]][0] if i else SHARED)
