"""Which rows train, which validate and which test: `split = random(train = 0.8, test = 0.2)`."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..dsl.diagnostics import did_you_mean, fault
from ..dsl.syntax import Arg, Assign, Call, Expr, Name, Number, Span, Unary

NAMES = ("train", "val", "test")
KINDS = ("random", "stratified", "ordered", "grouped")
TOLERANCE = Fraction(1, 10**9)

MANY = 2**20  # rows; from there on their numbers are kept in four bytes, though NumPy wants eight where it takes by them

Indices = NDArray[np.signedinteger[Any]]


class Split(Struct, frozen=True):
    """`kind` is one of KINDS; `shares` are in the order of NAMES and sum to exactly 1; `group` is the column of `grouped`."""

    kind: str
    shares: tuple[tuple[str, Fraction], ...]
    span: Span
    group: Expr | None = None


def generator(seed: int, purpose: str) -> np.random.Generator:
    """The random stream of a seed for one purpose: none draws from another's, so that new code moves no old number."""
    digest = hashlib.sha256(purpose.encode()).digest()
    words = tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, len(digest), 4))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy=seed, spawn_key=words)))


def places(rows: int) -> Indices:
    """The numbers of so many rows: 0, 1, ..."""
    return np.arange(rows, dtype=f"i{place_bytes(rows)}")


def place_bytes(rows: int) -> int:
    """The bytes of one of `places`."""
    return 4 if MANY <= rows < 2**31 else 8


def shuffled(rows: int, stream: np.random.Generator) -> Indices:
    """The same order as `stream.permutation(rows)` gives, in `places`."""
    order = places(rows)
    stream.shuffle(order)
    return order


def read_split(statement: Assign) -> Split:
    """The split that a statement of `data` writes; E0205 for its function, E0206 for its arguments, E0406 for its shares."""
    call = statement.value
    if not isinstance(call, (Call, Name)):
        raise fault("E0206", call.span, "`split` needs a way to split", "split = random(train = 0.8, test = 0.2)")
    name = call.function if isinstance(call, Call) else call
    if name.id not in KINDS:
        raise fault("E0205", name.span, f"`{name.id}` is no way to split rows", did_you_mean(name.id, KINDS))
    args = call.args if isinstance(call, Call) else ()
    group = None
    example = f"{name.id}(train = 0.8, test = 0.2)"
    if name.id == "grouped":
        example = "grouped(column, train = 0.8, test = 0.2)"
        if not args or args[0].name is not None or isinstance(args[0].value, Number):
            raise fault("E0206", call.span, "`grouped` needs the column whose groups stay together", example)
        group, args = args[0].value, args[1:]
    shares: dict[str, Fraction] = {}
    for arg in args:
        key = _share_name(arg)
        if key in shares:
            raise fault("E0206", arg.span, f"the share of `{key}` is written twice", "leave one of them")
        shares[key] = _share(key, arg.value)
    if "train" not in shares:
        raise fault("E0406", call.span, f"`{name.id}` gives no rows to train", example)
    total = sum(shares.values(), Fraction(0))
    if abs(total - 1) > TOLERANCE:
        raise fault("E0406", call.span, f"the shares sum to {float(total):.12g}, and must sum to 1", example)
    return Split(name.id, tuple((key, shares[key] / total) for key in NAMES if key in shares), call.span, group)


def deal(split: Split, rows: int, labels: Indices | None, seed: int, purpose: str = "split") -> dict[str, Indices]:
    """The rows of each split, ascending. `labels` [rows] holds the class or the group of each row, `purpose` names the random stream.

    `stratified` deals each class by itself, `grouped` whole groups. E0406 where a split comes out without a row.
    """
    if split.kind == "grouped":
        assert labels is not None
        return _deal_groups(split, labels, generator(seed, purpose))
    order = places(rows) if split.kind == "ordered" else shuffled(rows, generator(seed, purpose))
    decks = [order]
    if split.kind == "stratified":
        assert labels is not None
        decks = [
            order[labels[order] == label] for label in np.unique(labels, return_counts=True)[0]
        ]  # without counts NumPy imports numpy.ma
    hands: dict[str, list[Indices]] = {name: [] for name, _ in split.shares}
    for deck in decks:
        stops = np.cumsum(counts(len(deck), [share for _, share in split.shares]))
        for (name, _), hand in zip(split.shares, np.split(deck, stops[:-1]), strict=True):
            hands[name].append(hand)
    dealt = {name: hand[0] if len(hand) == 1 else np.concatenate(hand) for name, hand in hands.items()}
    for name, share in split.shares:
        dealt[name].sort()
        if not len(dealt[name]):
            raise fault(
                "E0406",
                split.span,
                f"`{name}` gets none of the {rows} rows: its share is {float(share):.6g}",
                f"give `{name}` a larger share, or leave it out",
            )
    return dealt


def counts(rows: int, shares: list[Fraction]) -> list[int]:
    """`rows` cut by exact shares that sum to 1: whole parts first, then one each by largest remainder, the earlier of equals."""
    whole = [math.floor(share * rows) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: whole[i] - shares[i] * rows)
    for i in by_remainder[: rows - sum(whole)]:
        whole[i] += 1
    return whole


def _deal_groups(split: Split, labels: Indices, draw: np.random.Generator) -> dict[str, Indices]:
    """Whole groups, the largest first and equals shuffled, each to the split that has the least part of its rows so far."""
    groups, sizes = np.unique(labels, return_counts=True)
    shuffled = draw.permutation(len(groups))
    parts = [(name, share) for name, share in split.shares if share]
    if len(groups) < len(parts):
        count = f"{len(groups)} group{'s' * (len(groups) != 1)}"
        raise fault(
            "E0406",
            split.span,
            f"there {'is' if len(groups) == 1 else 'are'} {count}, and {len(parts)} splits need one each",
            "group by a column with more labels, or use fewer splits",
        )
    taken = {name: 0 for name, _ in parts}
    home = np.zeros(len(groups), dtype=np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
        name = min(parts, key=lambda part: Fraction(taken[part[0]]) / part[1])[0]
        taken[name] += int(sizes[group])
        home[group] = [key for key, _ in split.shares].index(name)
    found = home[np.searchsorted(groups, labels)]
    return {name: np.flatnonzero(found == i) for i, (name, _) in enumerate(split.shares)}


def _share_name(arg: Arg) -> str:
    if arg.name is None:
        raise fault("E0206", arg.span, "a share needs its name", "split = random(train = 0.8, test = 0.2)")
    if arg.name.id not in NAMES:
        raise fault("E0206", arg.name.span, f"there is no split `{arg.name.id}`", did_you_mean(arg.name.id, NAMES))
    return arg.name.id


def _share(name: str, value: Expr) -> Fraction:
    if isinstance(value, Unary) and isinstance(value.value, Number):
        raise fault("E0406", value.span, f"the share of `{name}` is negative", "shares lie between 0 and 1")
    if not isinstance(value, Number):
        raise fault("E0233", value.span, f"the share of `{name}` is not a number", f"{name} = 0.2")
    share = float(value.text)
    if not math.isfinite(share):
        raise fault("E0105", value.span, f"`{value.text}` is too large for a number", "shares lie between 0 and 1")
    return Fraction(repr(share))  # the decimal as written: 0.29 of 100 rows are 29, where floor(0.29 * 100) is 28
