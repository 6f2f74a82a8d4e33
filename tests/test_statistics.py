"""What pipes learn, they learn block by block: of one block with NumPy's bits, of several with the numbers of exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest

from mlpc.runtime import frame
from mlpc.runtime.columns import Column, Rows
from mlpc.runtime.labels import codes, distinct
from mlpc.runtime.moments import moments

from .datasets import table

ROWS = Rows("t.npy", range(1, 10))


def exact(x):
    """Mean and deviation of a column, in fractions, rounded once."""
    numbers = [Fraction(float(v)) for v in x]
    mean = sum(numbers) / len(numbers)
    squares = sum((v - mean) ** 2 for v in numbers) / len(numbers)
    scale = 10**40  # a root of fractions, to 40 digits
    return float(mean), isqrt(int(squares * scale**2)) / scale


@pytest.mark.parametrize("width", [1, 2, 20])
def test_one_block_has_the_bits_of_numpy(width: int) -> None:
    x = np.random.default_rng(1).normal(3, 7, (1001, width))
    found = moments([x])
    assert found.mean.tolist() == x.mean(axis=0).tolist() and found.sd.tolist() == x.std(axis=0).tolist()
    assert moments([x[:, 0]]).mean == x[:, 0].mean()


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
@pytest.mark.parametrize("size", [1, 7, 100, 999])
def test_several_blocks_have_the_numbers_of_all_rows(size: int, scale: float) -> None:
    x = np.random.default_rng(2).normal(50, 1, (1000, 3)) * [1, 1e-3, 0]
    found = moments(x[i : i + size] * scale for i in range(0, 1000, size))
    for k in range(3):
        mean, sd = exact(x[:, k])
        assert found.mean[k] == pytest.approx(mean * scale, rel=1e-14) and found.sd[k] == pytest.approx(sd * scale, rel=1e-11, abs=0)
    assert found.low.tolist() == (x * scale).min(axis=0).tolist() and found.high.tolist() == (x * scale).max(axis=0).tolist()


def test_a_block_of_zeros_takes_nothing_from_one_of_small_numbers() -> None:
    found = moments([np.zeros((3, 1)), np.full((1, 1), 4e-310)])
    assert found.mean.tolist() == [1e-310] and found.sd[0] == pytest.approx(3**0.5 * 1e-310, rel=1e-6)


STATEMENTS = """
a = a |> standardize
b = b |> minmax
c = c |> impute(mean)
d = c |> impute(median)
e = e |> impute(most_frequent)
f = e |> impute(0) |> index
g = e |> onehot
"""


def test_what_is_learnt_does_not_depend_on_the_size_of_a_block_beyond_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    cells = [[f"{v:.3f}" for v in rng.normal(size=60)] for _ in "abc"] + [[str(v) for v in rng.integers(0, 5, 60)]]
    cells[2][5] = cells[3][7] = cells[3][59] = ""
    text = "\n".join(["a,b,c,e", *(",".join(row) for row in zip(*cells, strict=True))])
    whole = table(text, *STATEMENTS.split("\n")).fitted
    monkeypatch.setattr(frame, "BLOCK", 7)
    blocks = table(text, *STATEMENTS.split("\n")).fitted
    for name in "bdefg":
        assert blocks[name] == whole[name]
    for name in "ac":
        found, expected = (learnt[name][-1].statistics for learnt in (blocks, whole))
        assert found == {key: pytest.approx(value, rel=1e-14) for key, value in expected.items()}


def test_a_label_that_is_a_number_is_found_as_its_text_is() -> None:
    numbers = Column("n", np.array([2.0, -0.0, np.nan, 0.5, 0.0, 2.0]), ROWS)
    text = Column("n", numbers.cells, ROWS)
    assert numbers.cells == ("2", "-0", "", "0.5", "0", "2")
    every = np.arange(6)
    assert distinct(c for c in numbers.counted(every) if c) == distinct(c for c in text.cells if c) == (("-0", "0.5", "2"), True)
    known = ("-0", "0.5", "")
    assert codes(numbers, known).tolist() == codes(text, known).tolist() == [-1, 0, 2, 1, 0, -1]
    assert sum(numbers.counted(every).values()) == sum(text.counted(every).values()) == 6
