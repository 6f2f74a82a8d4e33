"""The combinations of settings that a sweep runs: what `--set` lists, cut at its commas, and all of them compiled before one is trained."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ..compiler.pipeline import compile
from ..compiler.resolution import override
from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..loading import load, load_folds
from ..model import Model
from ..runtime import memory
from ..runtime.split import generator
from ..runtime.threads import suitable
from .plan import settings_of

MOST = 10_000  # combinations of a sweep
OPEN, SHUT, QUOTES = "([{", ")]}", "\"'"
EXAMPLE = "--set train.optimizer.lr=0.1,0.01"

Values = tuple[tuple[str, str], ...]  # key -> value, both as written


class Grid(Struct, frozen=True):
    """The keys of --set with their values, in the order written."""

    axes: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def size(self) -> int:
        """The number of combinations."""
        return math.prod(len(values) for _, values in self.axes)

    @property
    def swept(self) -> tuple[str, ...]:
        """The keys that have several values."""
        return tuple(key for key, values in self.axes if len(values) > 1)

    def at(self, number: int) -> Values:
        """A combination, counted from 0; that of the last key changes first."""
        found: list[tuple[str, str]] = []
        for key, values in reversed(self.axes):
            number, i = divmod(number, len(values))
            found.append((key, values[i]))
        return tuple(reversed(found))


class Combination(Struct, frozen=True):
    """One run of a sweep: its `number`, from 1, in the grid; what its plan needs of the machine. `values` are those of all keys."""

    number: int
    values: Values
    threads: int
    bytes: int

    @property
    def overrides(self) -> list[str]:
        """As --set takes them."""
        return [f"{key}={value}" for key, value in self.values]


def grid(assignments: Sequence[str]) -> Grid:
    """The grid of `KEY=a,b,c` texts. MlpcError E0301 or E0302 for one that is none, or where there is nothing to choose from."""
    axes: dict[str, tuple[str, ...]] = {}
    for text in assignments:
        key, equals, listed = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise fault("E0301", None, f"`--set {text}` does not name a setting", EXAMPLE)
        if key in axes:
            raise fault(
                "E0301", None, f"`--set {key}` is written twice", f"all its values in one: --set {key}={','.join(axes[key])},{listed}"
            )
        values = tuple(pieces(listed))
        if not all(values):
            raise fault("E0302", None, f"`--set {text}` has a comma with no value before or after it", EXAMPLE)
        again = next((v for i, v in enumerate(values) if v in values[:i]), None)
        if again is not None:
            raise fault("E0302", None, f"`--set {text}` lists {again} twice", "each run would be the same again: leave one of them")
        axes[key] = values
    found = Grid(tuple(axes.items()))
    if found.size == 1:
        raise fault("E0301", None, "there is nothing to choose from: no --set has two values", EXAMPLE)
    return found


def pieces(listed: str) -> Iterator[str]:
    """The text cut at the commas that stand in no brackets and in no quotes, without blanks around."""
    depth, quote, start = 0, "", 0
    for i, c in enumerate(listed):
        if quote:
            quote = "" if c == quote else quote
        elif c in QUOTES:
            quote = c
        elif c in OPEN:
            depth += 1
        elif c in SHUT:
            depth -= 1
        elif c == "," and depth <= 0:
            yield listed[start:i].strip()
            start = i + 1
    yield listed[start:].strip()


def chosen(found: Grid, count: int | None, seed: int) -> list[int]:
    """The numbers of the combinations to run, from 0, ascending: all, or `count` of them drawn by the seed. E0302 for too many."""
    many = found.size if count is None else min(count, found.size)
    if many > MOST or found.size >= 2**62:
        raise fault(
            "E0302", None, f"these are {found.size:,} combinations, and a sweep has at most {MOST:,}", "--random 100 draws some of them"
        )
    if many == found.size:
        return list(range(many))
    return sorted(generator(seed, "sweep").choice(found.size, many, replace=False).tolist())


def checked(args: argparse.Namespace, found: Grid, tell: Callable[[Model], None]) -> tuple[list[Combination], list[Model]]:
    """The combinations to run, each compiled on its data, and the models of the first. MlpcError with the faults of all of them.

    `tell` is called with the first model that there is.
    """
    read: dict[str, tuple[Model, ...]] = {}
    same: dict[object, int] = {}
    faults: dict[object, tuple[Diagnostic, list[int]]] = {}
    runs: list[Combination] = []
    first: list[Model] = []
    status = 1
    picks = chosen(found, args.random, args.random_seed)
    for pick in picks:
        values = found.at(pick)
        try:
            models = _compiled(args, values, read)
            for model in models:
                model.refuse_what_cannot_run(args.max_memory)
                if args.init is not None:
                    model.beginning(args.init)
        except MlpcError as error:
            status = max(status, error.status)
            for d in error.diagnostics:
                place = d.span and (d.span.source.name, d.span.source.text, d.span.start, d.span.end)
                faults.setdefault((d.code, d.message, place), (d, []))[1].append(pick)
            continue
        if not first:
            first = list(models)
            tell(first[0])
        before = same.setdefault(tuple((name, value) for name, value, _ in settings_of(models[0])), pick)
        if before != pick:
            message = f"{text(found, before)} and {text(found, pick)} come to the same settings"
            hint = "a later --set of a whole setting replaces what an earlier one says of its parts"
            faults[message] = Diagnostic("E0302", None, message, hint), []
            continue
        needed = max(
            memory.predict(m.plan, m.compilation.evaluation, dict(m.dataset.schema.rows), m.settings, m.dataset.stored).total
            for m in models
        )
        runs.append(Combination(pick + 1, values, args.threads or max(suitable(m.plan) for m in models), needed))
    if faults:
        raise MlpcError(*(_placed(d, at, found, len(picks)) for d, at in faults.values()), status=status)
    return runs, first


def text(found: Grid, number: int) -> str:
    """What a combination has that others have not: `optimizer.lr = 0.1, batch = 8`."""
    return ", ".join(f"{short(key)} = {value}" for key, value in found.at(number) if key in found.swept)


def short(key: str) -> str:
    """The key as a heading: without `train.`."""
    return key.removeprefix("train.")


def _compiled(args: argparse.Namespace, values: Values, read: dict[str, tuple[Model, ...]]) -> tuple[Model, ...]:
    """The model of each fold, or the one. The data is read once for a seed, which deals its rows to the splits."""
    words = [f"{key}={value}" for key, value in values]
    seed = dict(values).get("train.seed", "")
    if seed not in read:
        path = Path(args.file)
        folds = args.folds is not None
        read[seed] = (
            load_folds(path, args.folds, words, data_root=args.data_root) if folds else (load(path, words, data_root=args.data_root),)
        )
        return read[seed]
    program = override(read[seed][0].program, words)
    return tuple(replace(m, program=program, compilation=compile(program, m.dataset.schema), overrides=tuple(words)) for m in read[seed])


def _placed(d: Diagnostic, at: list[int], found: Grid, of: int) -> Diagnostic:
    """The fault, with the combinations that have it where others have not."""
    if not at or len(at) == of:
        return d
    more = f", and with {len(at) - 1} other{'s' * (len(at) > 2)} of {of} combinations" if len(at) > 1 else ""
    return replace(d, message=f"{d.message}\nwith {text(found, at[0])}{more}")
