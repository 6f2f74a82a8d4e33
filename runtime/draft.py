"""The model file that `mlpc new` writes: a text with a comment on each choice, made from a table and the name of its target.

Every number in a comment is counted in the table; every rule that chooses one is said where its number stands.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct

from ..compiler.vocabulary import RESERVED
from ..dsl.diagnostics import fault, printable
from ..dsl.format import formatted
from ..dsl.layout import WIDTH
from .columns import Table, matching
from .goal import FAR, UNEVEN, Goal, goal
from .kinds import EMBEDDED, LABELS, NUMBER, OUT, WIDEST, Kind, kinds, named
from .partition import Partition, partition
from .selection import KINDS

HIDDEN = (8, 128)  # the least and the most hidden units
A_UNIT = 8  # training rows for each hidden unit
AN_INPUT = 4  # hidden units for each input
DEEP = 1000  # training rows from which on there are two hidden layers
BATCHES = (16, 256)
STEPS = 3000  # about so many are trained
EPOCHS = (10, 200)
PATIENCE = 20
SHORT = 9  # names that begin alike, from which on one pattern stands for them
CONFUSABLE = 20  # classes up to which a confusion matrix is read


class Draft(Struct, frozen=True, eq=False):
    """The text of the file, and what it says of the columns."""

    text: str
    goal: Goal
    kinds: tuple[Kind, ...]


def draft(table: Table, target: str | None, path: str, title: str) -> Draft:
    """The model file called `title` whose `from` says `path`, in the layout of `mlpc fmt`.

    MlpcError: E0209 without a target, E0402 to E0405 for one that cannot be predicted, E0209 if no column is left to predict it from.
    """
    g = goal(table, target)
    split, found = partition(g, kinds(table, g.name, g.columns, g.kept))
    if all(k.role == OUT for k in found):
        why = "".join(f"\n`{named(k.name)}`: {k.why}" for k in found[:20])
        raise fault("E0209", None, f"no column of {table.file} is left to predict `{g.name}` from{why}", "add columns of numbers or labels")
    head = [
        *_comment(f"{title}: predicts {named(g.name)} of {table.file} from its other columns. Drafted by `mlpc new`: change what you like."),
        *_data(table, g, found, split, path), "",
        *_model(g, found, split), "",
        *_loss(g), "",
        *_train(split), "",
        *_report(g),
    ]  # fmt: skip
    return Draft(formatted("\n".join(head) + "\n", title), g, found)


def _comment(text: str, indent: str = "") -> list[str]:
    """A comment as wide as a line may be."""
    return textwrap.wrap(printable(text), WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False)


def _remark(text: str) -> list[str]:
    return ["", *_comment(text, "  ")]


# --- data ----------------------------------------------------------------------------------------


def _data(table: Table, g: Goal, found: Sequence[Kind], split: Partition, path: str) -> Iterator[str]:
    yield from ("data {", f'from "{path}"')
    values = _values(found)
    for name, kind in values:
        yield from _remark(_about(kind))
        yield f"{name} = {_columns(kind, table)} |> {_pipes(kind[0])}"
    for i, k in enumerate(k for k in found if k.role == OUT):
        yield from [""] * (i == 0) + _comment(f"{named(k.name)} is left out: {k.why}", "  ")
    yield from _remark(_about_target(g))
    yield f"y = {_target(g, [name for name, _ in values])}"
    yield from _remark(_about_split(g, split))
    yield from ([f"split = {split.written}"] if split.split else []) + ["}"]


def _values(found: Sequence[Kind]) -> list[tuple[str, list[Kind]]]:
    """The values of `data` that the model reads, and of what columns: numbers, numbers with gaps, labels; each code is one of its own."""
    whole = [k for k in found if k.role == NUMBER and not k.gaps]
    patchy = [k for k in found if k.role == NUMBER and k.gaps]
    labels = [k for k in found if k.role == LABELS]
    coded = [k for k in found if k.role == EMBEDDED]
    groups = [("numbers", whole), ("filled", patchy), ("labels", labels)]
    made = [(name, group) for name, group in groups if group] + [(f"code{i}", [k]) for i, k in enumerate(coded, 1)]
    return [("x", made[0][1])] if len(made) == 1 and not coded else made


def _columns(group: Sequence[Kind], table: Table) -> str:
    """`columns("a", "b")`, with one pattern where many names begin alike and are all that begin so."""
    own = {k.name for k in group}
    written: dict[str, None] = {}
    for k in group:
        stem, *rest = re.split(r"[0-9]|(?<=[_. -])", k.name, maxsplit=1)
        alike = matching(table.names, f"{stem}*") if rest and k.pattern == k.name and not set(stem) & set("*?") else []
        written[f"{stem}*" if len(alike) >= SHORT and own.issuperset(alike) else k.pattern] = None
    quoted = [f'"{p}"' for p in written]
    return f"columns({', '.join(quoted)})"


def _pipes(k: Kind) -> str:
    if k.role == NUMBER:
        return "impute(median) |> standardize" if k.gaps else "standardize"
    if k.role == LABELS:
        return "onehot"
    return "impute(most_frequent) |> index" if k.gaps else "index"


def _about(group: Sequence[Kind]) -> str:
    first, gaps = group[0], sum(k.gaps for k in group)
    patches = f"{_count(gaps, 'cell')} {'is' if gaps == 1 else 'are'} missing"
    if first.role == NUMBER and gaps:
        return f"numbers; {patches}: filled with the column's median, then mean 0 and deviation 1, both of the training rows"
    if first.role == NUMBER:
        return "numbers, brought to mean 0 and deviation 1 by the training rows"
    if first.role == LABELS:
        more = f"; {patches}: a label of its own" if gaps else ""
        return f"few labels: a column of 0 and 1 for each, {sum(k.width for k in group):,} in all{more}"
    more = f"; {patches}: the commonest label fills them" if gaps else ""
    return f"{named(first.name)} has {len(set(first.codes) - {-1}):,} labels: each gets a trained row of numbers, in `model`{more}"


def _about_target(g: Goal) -> str:
    gaps = f"; {_count(g.gaps, 'row')} without it {'is' if g.gaps == 1 else 'are'} left out" if g.gaps else ""
    if g.classes:
        kind = "whole numbers, and few" if g.columns[0].numbers is not None else "text"
        low, high = min(g.counts), max(g.counts)
        rows = f"{low:,} rows each" if low == high else f"{low:,} to {high:,} rows each"
        again = "; as a quantity it would be `|> standardize`" if g.columns[0].numbers is not None else ""
        return f"to predict: {named(g.name)} is {kind}, so its {len(g.classes):,} labels are classes, of {rows}{gaps}{again}"
    return f"to predict: {named(g.name)} is a quantity; predictions and metrics come back in its own units{gaps}"


def _target(g: Goal, assigned: Sequence[str]) -> str:
    taken = {*RESERVED, *KINDS, *assigned}
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", g.name, re.ASCII) and g.name not in taken
    pipes = (["drop_missing"] if g.gaps else []) + ["onehot" if g.classes else "standardize"]
    return " |> ".join([g.name if plain else f'columns("{g.pattern}")', *pipes])


def _about_split(g: Goal, split: Partition) -> str:
    if split.split is None:
        return f"no split: {_count(g.rows, 'row')} are too few to hold some back, so nothing shows how it does on others"
    rows = ", ".join(f"{count:,} {part}" for part, count in split.rows.items())
    how = ", every class with the same share of each" if split.split.kind == "stratified" else ""
    why = "val says when to stop, test how good it is" if split.watched else f"{_count(g.rows, 'row')} are too few for a val part too"
    return f"rows: {rows}{how}; {why}"


# --- model, loss, train, report ------------------------------------------------------------------


def _model(g: Goal, found: Sequence[Kind], split: Partition) -> Iterator[str]:
    values = _values(found)
    inputs = sum(k.width for k in found if k.role != OUT)
    yield "model {"
    parts: list[str] = []
    for name, (k, *_) in values:
        if k.role == EMBEDDED:
            yield from _comment(
                f"{_count(k.width, 'number')} for each label of {named(k.name)}: the root of how many there are, {WIDEST} at most", "  "
            )
            yield f"row{name[4:]} = embedding({name}, {k.width})"
        parts.append(f"row{name[4:]}" if k.role == EMBEDDED else name)
    if parts != ["x"]:
        yield f"x = concat({', '.join(parts)})" if len(parts) > 1 else f"x = {parts[0]}"
    width = _power(min(split.rows["train"] // A_UNIT, AN_INPUT * inputs), HIDDEN)
    deep = split.rows["train"] >= DEEP
    layers = (
        f"two layers, for there are {DEEP:,} training rows or more" if deep else f"one layer, for there are under {DEEP:,} training rows"
    )
    yield from _remark(f"hidden units: the power of two from {HIDDEN[0]} to {HIDDEN[1]} that is at most {AN_INPUT} times the {_count(inputs, 'input')} "
                       f"and an eighth of the {_count(split.rows['train'], 'training row')}; {layers}")  # fmt: skip
    yield f"h = dense(x, {width}, relu)" + (f" |> dense({width}, relu)" if deep else "")
    yield "p = dense(h, classes(y), softmax)" if g.classes else f"yhat = dense(h, {len(g.columns)})"
    yield "}"


def _loss(g: Goal) -> Iterator[str]:
    if g.classes:
        uneven = f", each weighed by its rarity, for the commonest has over {UNEVEN} times the rows of the rarest" if g.uneven else ""
        yield from _comment(f"classes: cross-entropy{uneven}; a little l2 keeps the weights small")
        yield f"loss = mean(cross_entropy(p, y{', weight = balanced(y)' if g.uneven else ''})) + 1e-3 * l2(weights)"
    elif g.far:
        yield from _comment(f"a quantity of which {_count(g.far, 'number')} {'lies' if g.far == 1 else 'lie'} more than {FAR} interquartile ranges from the "
                            "quartiles: huber, which is straight far out and follows them less than mse; a little l2 keeps the weights small")  # fmt: skip
        yield "loss = mean(huber(yhat, y)) + 1e-3 * l2(weights)"
    else:
        yield from _comment("a quantity without numbers far out: the mean squared error; a little l2 keeps the weights small")
        yield "loss = mean(mse(yhat, y)) + 1e-3 * l2(weights)"


def _train(split: Partition) -> Iterator[str]:
    rows = split.rows["train"]
    batch = min(_power(max(rows // 32, 1), BATCHES), rows)
    steps = math.ceil(rows / batch)
    epochs = min(max(round(STEPS / steps), EPOCHS[0]), EPOCHS[1])
    yield "train {"
    yield "optimizer = adam(lr = cosine(0.01, 0.0001))  # large steps first, small ones at the end"
    yield f"batch = {batch}  # rows a step: {_count(steps, 'step')} an epoch"
    yield f"epochs = {epochs}  # {epochs * steps:,} steps; the rule is about {STEPS:,}, in {EPOCHS[0]} to {EPOCHS[1]} epochs"
    if split.watched:
        yield f"early_stop = on(val.loss, patience = {PATIENCE})  # no better for so many epochs: stop"
        yield "keep = best(val.loss)  # the weights of the best epoch"
    why = "of the split, the weights and the order" if split.seed == 1 else "the first with which training meets every label and class"
    yield from (f"seed = {split.seed}  # {why}", "}")


def _report(g: Goal) -> Iterator[str]:
    if g.classes:
        most = max(g.counts)
        label = named(g.classes[g.counts.index(most)])
        uneven = "; f1 counts every class alike" if g.uneven else ""
        yield from _comment(f"to compare: who always says {label} is right in {100 * most / g.rows:.1f} % of the rows{uneven}")
        shown = ["accuracy(p, y)", *(["f1(p, y)"] if g.uneven else []), *(["confusion(p, y)"] if len(g.classes) <= CONFUSABLE else [])]
    else:
        x = g.columns[0].numbers
        with np.errstate(over="ignore", invalid="ignore"):
            sd = float(np.std(x)) if x is not None else math.nan
        if len(g.columns) == 1 and math.isfinite(sd):
            yield from _comment(f"to compare: who always says the mean has an rmse of {sd:.6g} and an r2 of 0")
        shown = ["mae(yhat, y)", "rmse(yhat, y)", "r2(yhat, y)"]
    yield f"report {', '.join(shown)}"


def _power(n: int, bounds: tuple[int, int]) -> int:
    """The largest power of two up to n, within bounds that are such themselves."""
    return min(max(2 ** (max(n, 1).bit_length() - 1), bounds[0]), bounds[1])


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
