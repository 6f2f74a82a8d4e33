"""k folds: the rows that a split trains and validates on, cut in k, each of which is held out once. Those that it tests on are in none.

Rows are dealt as the split deals them: each class by itself, whole groups, or shuffled, which is also what a file without a split gets.
The folds of `ordered` are blocks of neighbours: shuffled, a held-out row would have its neighbours in time among those trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from msgspec.structs import replace

from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Span
from .split import Indices, Split, deal, generator

BLOCKS = "the split is `ordered`, so each fold is a block of neighbouring rows; training sees what comes before it and what comes after"


def folds(
    count: int, dealt: Mapping[str, Indices], split: Split | None, labels: Indices | None, names: tuple[str, ...], seed: int
) -> list[dict[str, Indices]]:
    """The `train` and `val` rows of each fold, ascending; they and the order of folds follow from the seed.

    `dealt` are the rows of each split; `labels` [rows] and `names` are those of the classes or groups. E0406 for too many folds.
    """
    span = split.span if split else None
    pool = np.sort(np.concatenate([rows for name, rows in dealt.items() if name != "test"]))
    if len(pool) < count:
        raise fault("E0406", span, f"{count} folds need a row each, and {_those(dealt)} {len(pool)}", _fewer(len(pool)))
    held = _cut(count, pool, split, labels, names, seed, _those(dealt))
    return [{"train": np.setdiff1d(pool, rows, assume_unique=True), "val": np.sort(rows)} for rows in held]


def in_fold(error: MlpcError, number: int) -> MlpcError:
    """The faults of one fold, said to be of it: in another, where other rows train, there may be none."""
    return MlpcError(*(replace(d, message=f"in fold {number}, {d.message}") for d in error.diagnostics), status=error.status)


def _cut(
    count: int, pool: Indices, split: Split | None, labels: Indices | None, names: tuple[str, ...], seed: int, those: str
) -> list[Indices]:
    kind = split.kind if split else "random"
    if kind == "ordered":
        return np.array_split(pool, count)
    shuffled = generator(seed, "folds").permutation(pool)
    if split is None or kind == "random":
        return [shuffled[i::count] for i in range(count)]
    assert labels is not None
    found, sizes = np.unique(labels[pool], return_counts=True)
    if kind == "grouped":
        if len(found) < count:
            groups = f"{len(found)} group{'s' * (len(found) != 1)}"
            raise fault("E0406", split.span, f"{count} folds need a group each, and {those} {groups}", _fewer(len(found)))
        equal = tuple((str(i), Fraction(1, count)) for i in range(count))
        return [pool[rows] for rows in deal(replace(split, shares=equal), len(pool), labels[pool], seed, "folds").values()]
    rarest = int(sizes.argmin())
    if sizes[rarest] < count:
        raise _rare(split.span, count, names[found[rarest]], int(sizes[rarest]), those)
    # one class after the other, dealt around: the rows of a class, and all rows, come out equally many to within one
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return [by_class[i::count] for i in range(count)]


def _those(dealt: Mapping[str, Indices]) -> str:
    return "`train` and `val` together have" if "val" in dealt else "`train` has"


def _fewer(most: int) -> str:
    return f"--folds {most}, or fewer" if most > 1 else "there is nothing to hold out: train on more rows"


def _rare(span: Span, count: int, name: str, rows: int, those: str) -> MlpcError:
    message = f"each of {count} folds needs a row of every class, and {those} {rows} of `{name}`"
    return fault("E0406", span, message, f"{_fewer(rows)}; or split by random(...), which does not look at classes" if rows > 1 else
                 "split by random(...), which does not look at classes")  # fmt: skip
