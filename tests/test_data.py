"""The `data` section: numbers beside an independent formula, and splits."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpc.compiler.facts import ONEHOT
from mlpc.compiler.schema import Schema
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.parse import parse
from mlpc.runtime.columns import matching
from mlpc.runtime.data import read
from mlpc.runtime.split import counts, generator, read_split

from .datasets import inline, program, said, table

MODELS = Path(__file__).parents[1] / "models"
TABLE = "a,b,kind\n1,10,u\n2,20,v\n3,60,u\n4,80,v\n"


def iris_columns() -> tuple[np.ndarray, np.ndarray]:
    with (MODELS / "data" / "iris.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([[float(c) for c in row[:4]] for row in rows]), np.array([row[4] for row in rows])


IRIS = ('from "data/iris.csv"', 'x = columns("sepal_*", "petal_*") |> standardize', "y = species |> onehot")

# --- values --------------------------------------------------------------------------------------


def test_no_data_section_is_an_empty_schema() -> None:
    found = read(parse("loss = 1\n", "t.mlp"), None)
    assert (found.schema, found.splits) == (Schema(), {})


def test_literals_are_matrices_and_columns() -> None:
    found = inline("x = [[5.1, -1.4], [7, .5]]", "y = [0, 1] |> onehot", "z = [3, -4]")
    train = found.splits["train"]
    assert train["x"].tolist() == [[5.1, -1.4], [7.0, 0.5]]
    assert train["y"].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert train["z"].tolist() == [[3.0], [-4.0]]
    assert [(v.name, v.width, v.labels, v.classes) for v in found.schema.values] == [
        ("x", 2, ("x1", "x2"), ()), ("y", 2, ("0", "1"), ("0", "1")), ("z", 1, ("z",), ())]  # fmt: skip
    assert found.schema.rows == (("train", 2),)
    assert all(a.dtype == np.float64 and a.flags.c_contiguous for a in train.values())


def test_iris_is_the_corrected_copy() -> None:
    x, species = iris_columns()
    assert x.shape == (150, 4)
    assert np.round(x.sum(axis=0), 1).tolist() == [876.5, 458.6, 563.7, 179.9]  # the sums of R's and Fisher's table
    assert x[[34, 37]].tolist() == [[4.9, 3.1, 1.5, 0.2], [4.9, 3.6, 1.4, 0.1]]  # the two that UCI's file has wrong
    assert {s: int((species == s).sum()) for s in sorted(set(species))} == {"setosa": 50, "versicolor": 50, "virginica": 50}


def test_iris_without_a_split_beside_the_plain_formula() -> None:
    x, species = iris_columns()
    found = read(program(*IRIS), MODELS)
    np.testing.assert_allclose(found.splits["train"]["x"], (x - x.mean(axis=0)) / x.std(axis=0), rtol=0, atol=1e-14)
    assert (found.splits["train"]["y"] == (species[:, None] == np.unique(species))).all()
    assert found.schema.values[1].facts == ONEHOT
    assert found.schema.values[1].classes == ("setosa", "versicolor", "virginica")


def test_stratified_iris_is_40_and_10_a_class_in_the_order_of_the_file_with_statistics_of_training_rows() -> None:
    x, _ = iris_columns()
    found = read(program(*IRIS, "split = stratified(train = 0.8, test = 0.2)"), MODELS, seed=1)
    assert found.schema.rows == (("train", 120), ("test", 30))
    assert found.splits["train"]["y"].sum(axis=0).tolist() == [40, 40, 40]
    assert found.splits["test"]["y"].sum(axis=0).tolist() == [10, 10, 10]
    assert (np.diff(found.splits["train"]["y"].argmax(axis=1)) >= 0).all()  # the file is in the order of the species
    statistics = found.fitted["x"][-1].statistics
    mean, sd = np.array(statistics["mean"]), np.array(statistics["sd"])
    back = np.concatenate([found.splits[part]["x"] * sd + mean for part in ("train", "test")])
    assert sorted(np.round(back, 6).tolist()) == sorted(x.tolist())
    train = np.round(back[:120], 6)
    np.testing.assert_allclose(mean, train.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(sd, train.std(axis=0), rtol=1e-12)


def test_changing_a_test_row_changes_no_training_number() -> None:
    lines = ("x = concat(a |> standardize, b |> minmax)", "split = ordered(train = 0.75, test = 0.25)")
    before, after = table(TABLE, *lines), table(TABLE.replace("4,80", "400,-8000"), *lines)
    assert before.splits["train"]["x"].tolist() == after.splits["train"]["x"].tolist()
    assert before.fitted["x"] == after.fitted["x"]
    assert after.splits["test"]["x"].tolist() == [[(400 - 2) / np.sqrt(2 / 3), (-8000 - 10) / 50]]


def test_columns_in_order_of_patterns_then_file_and_each_once() -> None:
    found = table("b1,a1,b2,a2\n1,2,3,4\n", 'x = columns("a*", "?1", "b2")')
    assert found.schema.values[0].labels == ("a1", "a2", "b1", "b2")
    assert found.splits["train"]["x"].tolist() == [[2, 4, 1, 3]]


def test_globs_know_two_marks_and_nothing_else() -> None:
    names = ("a[1]", "A1", "a1", "a.1")
    assert matching(names, "a[1]") == ["a[1]"]
    assert matching(names, "a*") == ["a[1]", "a1", "a.1"]
    assert matching(names, "?1") == ["A1", "a1"]
    assert matching(names, "*") == ["a[1]", "A1", "a1", "a.1"]
    assert matching(names, "*.*1*") == ["a.1"]


def test_a_name_assigned_above_is_the_value_and_on_its_own_right_side_the_column() -> None:
    found = table(TABLE, "a = a * 10", "c = a + 1")
    assert found.splits["train"]["c"].tolist() == [[11], [21], [31], [41]]


def test_arithmetic_is_row_by_row_and_a_column_meets_many() -> None:
    found = inline("u = [[1, 2], [3, 4]]", "v = [10, 20]", "w = -u ^ 2 / v + (3 - 1) * u - 2 ^ -1")
    u, v = np.array([[1.0, 2], [3, 4]]), np.array([[10.0], [20]])
    np.testing.assert_allclose(found.splits["train"]["w"], -(u**2) / v + 2 * u - 0.5, rtol=1e-15)
    assert found.schema.values[2].labels == ("w1", "w2")


def test_pipes_beside_their_formulas() -> None:
    found = inline("v = [1, 2, 4]", "m = v |> minmax", "l = log(v)", "c = v |> clip(0, high = 3)", "o = concat(v, v |> onehot)")
    train = found.splits["train"]
    assert train["m"].tolist() == [[0], [1 / 3], [1]]
    assert train["l"].tolist() == np.log([[1.0], [2], [4]]).tolist()
    assert train["c"].tolist() == [[1], [2], [3]]
    assert train["o"].tolist() == [[1, 1, 0, 0], [2, 0, 1, 0], [4, 0, 0, 1]]
    assert [v.facts.names() for v in found.schema.values] == [(), (), (), (">= 0", "bounded"), ()]


@pytest.mark.parametrize("column", ["[0.1, 0.1, 0.1]", "[7]", "[-3e300, -3e300]", "[0, 0]"])
def test_a_constant_column_has_deviation_1(column: str) -> None:
    found = inline(f"x = {column} |> standardize", f"m = {column} |> minmax")
    assert found.fitted["x"][-1].statistics["sd"] == (1.0,)
    assert not found.splits["train"]["x"].any()
    assert not found.splits["train"]["m"].any()


@pytest.mark.parametrize("scale", ["1e200", "1e-200", "1e300", "5e-324"])
def test_standardize_of_the_very_large_and_small(scale: str) -> None:
    found = inline(f"x = [-{scale}, {scale}] |> standardize").splits["train"]["x"]
    assert found.tolist() == [[-1], [1]]


def test_onehot_of_several_columns_stands_side_by_side_without_the_fact() -> None:
    found = table(TABLE, 'x = columns("kind", "a") |> onehot').schema.values[0]
    assert (found.labels, found.classes) == (("kind=u", "kind=v", "a=1", "a=2", "a=3", "a=4"), ())
    assert found.facts.names() == (">= 0", "integer", "bounded")


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        ("10 9 1e1 9.0", ("9", "10")),  # numbers sort as numbers; the first way one is written stands for it
        ("b B é a", ("B", "a", "b", "é")),  # text by code point
        ("10 9 x 010", ("010", "10", "9", "x")),  # one text makes all of them text
    ],
)
def test_classes_are_sorted(cells: str, classes: tuple[str, ...]) -> None:
    assert table("k\n" + cells.replace(" ", "\n"), "y = k |> onehot").schema.values[0].classes == classes


def test_labels_of_an_aliased_value_stay() -> None:
    found = table(TABLE, "y = kind |> onehot", "t = y").schema.values
    assert (found[1].classes, found[1].facts) == (("u", "v"), ONEHOT)


def test_a_computed_column_can_be_labels() -> None:
    assert inline("y = ([1, 2, 3] - 1) |> onehot").schema.values[0].classes == ("0", "1", "2")


def test_unused_columns_are_never_converted() -> None:
    assert table("a,note\n1,\n2,1_000\n", "x = a").splits["train"]["x"].tolist() == [[1], [2]]


def test_a_separator_a_quote_and_any_newline(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(b'"a\tb"\tc\r\n1\t"say ""x"""\r\n\r\n')
    found = read(program('from "t.tsv"', 'x = columns("a?b")', "y = c |> onehot"), tmp_path)
    assert found.splits["train"]["x"].tolist() == [[1]]
    assert found.schema.values[1].classes == ('say "x"',)


def test_fitted_transforms_are_plain_and_hold_their_operands() -> None:
    found = table(TABLE, "x = concat(a, kind |> onehot) * 2").fitted["x"]
    assert [(t.name, t.of, t.statistics) for t in found] == [
        ("columns", (), {"names": (("a",),)}),
        ("columns", (), {"names": (("kind",),)}),
        ("onehot", (1,), {"classes": (("u", "v"),)}),
        ("concat", (0, 2), {}),
        ("number", (), {"value": (2.0,)}),
        ("*", (3, 4), {}),
    ]


# --- splits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "shares", "expected"),
    [
        (10, "train = 0.8, test = 0.2", [8, 2]),
        (100, "train = 0.29, test = 0.71", [29, 71]),  # 0.29 * 100 < 29 in float64
        (10, "train = 0.7, val = 0.15, test = 0.15", [7, 2, 1]),  # equal remainders: the earlier
        (7, "train = 0.333333333, val = 0.333333333, test = 0.333333334", [2, 2, 3]),
        (3, "test = 0.5, train = 0.5", [2, 1]),
    ],
)
def test_counts_are_by_largest_remainder(rows: int, shares: str, expected: list[int]) -> None:
    data = program(f"split = ordered({shares})").data
    assert data is not None
    split = read_split(data.body[0])  # type: ignore[arg-type]
    assert counts(rows, [share for _, share in split.shares]) == expected


@given(st.integers(1, 60), st.integers(0, 2**64), st.sampled_from(["random", "stratified", "ordered"]))
def test_every_row_is_in_one_split_in_the_order_of_the_file(rows: int, seed: int, kind: str) -> None:
    values = ", ".join(str(i) for i in range(rows + 2))
    labels = ", ".join(str(i % 2) for i in range(rows + 2))
    shares = "train = 0.5, val = 0.25, test = 0.25"
    try:
        found = inline(f"i = [{values}]", f"y = [{labels}] |> onehot", f"split = {kind}({shares})", seed=seed)
    except MlpcError as error:
        assert {d.code for d in error.diagnostics} <= {"E0406", "E0407"}  # few rows: a split or a class comes out empty
        return
    assert list(found.splits) == ["train", "val", "test"]
    parts = [part["i"][:, 0].tolist() for part in found.splits.values()]
    assert all(part == sorted(part) for part in parts)
    assert sorted(sum(parts, [])) == list(range(rows + 2))


@given(st.text("abcdefgh", min_size=1, max_size=8), st.integers(0, 1000))
def test_renaming_values_moves_no_row(name: str, seed: int) -> None:
    body = "= [0, 1, 2, 3, 4, 5, 6, 7]"
    split = "split = random(train = 0.5, test = 0.5)"
    plain = inline(f"x {body}", split, seed=seed).splits
    renamed = inline("dead = [1, 1, 1, 1, 1, 1, 1, 1]", f"{name}_ {body}", split, seed=seed).splits
    assert [v["x"].tolist() for v in plain.values()] == [v[f"{name}_"].tolist() for v in renamed.values()]


def test_the_seed_and_nothing_else_decides_the_split() -> None:
    lines = (*IRIS, "split = random(train = 0.8, test = 0.2)")
    first, again, other = (read(program(*lines), MODELS, seed=seed).splits["test"]["x"].tobytes() for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_each_purpose_has_a_stream_of_its_own() -> None:
    words = np.frombuffer(hashlib.sha256(b"split").digest(), dtype="<u4").tolist()
    plain = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy=1, spawn_key=tuple(words))))
    draws = plain.permutation(50).tolist()
    assert generator(1, "split").permutation(50).tolist() == draws
    assert generator(1, "shuffle").permutation(50).tolist() != draws
    assert inline(f"i = {list(range(50))}", "split = random(train = 0.5, test = 0.5)", seed=1).splits["test"]["i"][:, 0].tolist() == sorted(
        draws[25:]
    )


def test_stratified_follows_the_target_among_several() -> None:
    content = "k,t\n" + "".join(f"{i % 4},{i % 2}\n" for i in range(16))
    lines = ("x = k |> onehot", "y = t |> onehot", "split = stratified(train = 0.75, test = 0.25)")
    found = table(content, *lines, targets=frozenset({"y"}))
    assert found.splits["test"]["y"].sum(axis=0).tolist() == [2, 2]
    with said("E0406 5: `stratified` keeps the shares of classes, and `x` and `y` have some: which to keep is not clear | use random(...)"):
        table(content, *lines)
