"""The `data` section: numbers beside an independent formula, splits, and every diagnosis in its exact words."""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpc.compiler.facts import ONEHOT
from mlpc.compiler.schema import Schema
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.parse import parse
from mlpc.dsl.syntax import Source, Span
from mlpc.runtime.columns import matching, number
from mlpc.runtime.data import Dataset, read
from mlpc.runtime.split import counts, generator, read_split
from mlpc.runtime.table import parse_table

SPAN = Span(Source("t.mlp", ""), 0, 0)
MODELS = Path(__file__).parents[1] / "models"
TABLE = "a,b,kind\n1,10,u\n2,20,v\n3,60,u\n4,80,v\n"


def program(*lines: str, model: str = ""):
    return parse("data {\n" + "\n".join(lines) + "\n}\n" + (f"model {{\n{model}\n}}\n" if model else ""), "t.mlp")


def inline(*lines: str, **settings) -> Dataset:
    return read(program(*lines), None, **settings)


@pytest.fixture
def table(tmp_path: Path):
    """Reads the statements beside a file t.csv of the given content."""

    def from_table(content: str | bytes, *lines: str, model: str = "", **settings) -> Dataset:
        (tmp_path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(program('from "t.csv"', *lines, model=model), tmp_path, **settings)

    return from_table


def said(*texts: str) -> pytest.RaisesExc:
    """An MlpcError with exactly these diagnoses: `CODE line: message | hint`."""

    def same(error: MlpcError) -> bool:
        found = [f"{d.code} {d.span.line if d.span else 0}: {d.message} | {d.hint}" for d in error.diagnostics]
        assert found == list(texts)
        return True

    return pytest.raises(MlpcError, check=same)


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


def test_changing_a_test_row_changes_no_training_number(table) -> None:
    lines = ("x = concat(a |> standardize, b |> minmax)", "split = ordered(train = 0.75, test = 0.25)")
    before, after = table(TABLE, *lines), table(TABLE.replace("4,80", "400,-8000"), *lines)
    assert before.splits["train"]["x"].tolist() == after.splits["train"]["x"].tolist()
    assert before.fitted["x"] == after.fitted["x"]
    assert after.splits["test"]["x"].tolist() == [[(400 - 2) / np.sqrt(2 / 3), (-8000 - 10) / 50]]


def test_columns_in_order_of_patterns_then_file_and_each_once(table) -> None:
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


def test_a_name_assigned_above_is_the_value_and_on_its_own_right_side_the_column(table) -> None:
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


def test_onehot_of_several_columns_stands_side_by_side_without_the_fact(table) -> None:
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
def test_classes_are_sorted(table, cells: str, classes: tuple[str, ...]) -> None:
    assert table("k\n" + cells.replace(" ", "\n"), "y = k |> onehot").schema.values[0].classes == classes


def test_labels_of_an_aliased_value_stay(table) -> None:
    found = table(TABLE, "y = kind |> onehot", "t = y").schema.values
    assert (found[1].classes, found[1].facts) == (("u", "v"), ONEHOT)


def test_a_computed_column_can_be_labels() -> None:
    assert inline("y = ([1, 2, 3] - 1) |> onehot").schema.values[0].classes == ("0", "1", "2")


def test_unused_columns_are_never_converted(table) -> None:
    assert table("a,note\n1,\n2,1_000\n", "x = a").splits["train"]["x"].tolist() == [[1], [2]]


def test_a_separator_a_quote_and_any_newline(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes(b'"a\tb"\tc\r\n1\t"say ""x"""\r\n\r\n')
    found = read(program('from "t.tsv"', 'x = columns("a?b")', "y = c |> onehot"), tmp_path)
    assert found.splits["train"]["x"].tolist() == [[1]]
    assert found.schema.values[1].classes == ('say "x"',)


def test_fitted_transforms_are_plain_and_hold_their_operands(table) -> None:
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


def test_stratified_follows_the_target_among_several(table) -> None:
    content = "k,t\n" + "".join(f"{i % 4},{i % 2}\n" for i in range(16))
    lines = ("x = k |> onehot", "y = t |> onehot", "split = stratified(train = 0.75, test = 0.25)")
    found = table(content, *lines, targets=frozenset({"y"}))
    assert found.splits["test"]["y"].sum(axis=0).tolist() == [2, 2]
    with said("E0406 5: `stratified` keeps the shares of classes, and `x` and `y` have some: which to keep is not clear | use random(...)"):
        table(content, *lines)


# --- diagnoses: statements -----------------------------------------------------------------------

RANDOM = "random(train = 0.8, test = 0.2)"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("x = ages", "E0402 3: t.csv has no column `ages` | did you mean `age`?"),
        ('x = columns("agee*")', 'E0402 3: no column of t.csv matches "agee*" | did you mean `age`?'),
        ("x = columns(age)", 'E0206 3: `columns` takes patterns in quotes | columns("age")'),
        ("x = columns()", 'E0206 3: `columns` needs a pattern | columns("sepal_*")'),
        ("x = age |> standardise", "E0205 3: `standardise` is no function of the `data` section | did you mean `standardize`?"),
        ("x = age |> standardize(1)", "E0206 3: `standardize` takes nothing but columns | leave this out"),
        ("x = age |> clip(0)", "E0206 3: `clip` needs high | clip(low, high)"),
        ("x = age |> clip(0, hi = 1)", "E0206 3: `clip` takes low and high | did you mean `high`?"),
        ("x = age |> clip(2, 1)", "E0206 3: `clip` from 2 to 1 leaves nothing | the lower bound comes first: clip(low, high)"),
        ("x = age |> clip(0, age)", "E0233 3: `high` of `clip` is one number, and this has a row for each row | high = 0"),
        ("x = standardize()", "E0206 3: `standardize` needs columns | x = column |> standardize"),
        ("x = concat()", "E0206 3: `concat` needs values to put side by side | concat(a, b)"),
        ("x = concat(age, b = age)", "E0206 3: `concat` takes no named argument | concat(a, b)"),
        ('x = "age"', 'E0235 3: "age" is text, not a column | write columns("age")'),
        ("x = 3 * 4", "E0235 3: `3 * 4` is one number; a value of `data` has rows | write a column: [1, 2, 3]"),
        ("x = age + 1 / 0", "E0233 3: `1 / 0` is no finite number | "),
        ("x = age @ age", "E0107 3: `age @ age` does not belong in `data` | data is computed row by row, with + - * / ^ and pipes; "
                          "the rest belongs in `model`"),
        ("x = []", "E0405 3: `[]` holds no number | x = [[5.1, 1.4], [7.0, 4.7]]"),
        ("x = [[1, 2], [3]]", "E0409 3: row 2 has 1 number and row 1 has 2 | every row of a matrix is as long as the first"),
        ("x = [[1], 2]", "E0409 3: row 2 stands without brackets, and others have them | write [2]"),
        ("x = [1, age]", "E0233 3: `age` is not a number; a matrix in `data` holds nothing else | "
                         "write the number out; columns are computed outside the brackets"),
        ("x = [1, 2, 3] + age", "E0409 3: `age` has 2 rows and `[1, 2, 3]` has 3 | values that meet have the same rows"),
        ("x = [[1, 2], [3, 4]] + [[1, 2, 3], [4, 5, 6]]", "E0231 3: `+` meets 2 columns and 3 | both need as many, or one of them one"),
        ("x = kind", "E0403 3: t.csv:2, column `kind`: `u` is not a number; 2 cells of this column are none: also `v` (t.csv:3) | "
                     "`|> onehot` makes a column of each label"),
        ("x = kind |> standardize", "E0403 3: t.csv:2, column `kind`: `u` is not a number; 2 cells of this column are none: "
                                    "also `v` (t.csv:3) | `|> onehot` makes a column of each label"),
        ("x = age / (age - 31)", "E0403 3: t.csv:3, column `x`: the result is inf, not a finite number | "
                                 "leave out the row, or change the formula"),
        ("x = log(age - 30)", "E0403 3: t.csv:2, column `x`: `log` needs numbers above 0, and this is 0 | "
                              "add a number first, as in `log(x + 1)`, or leave out the row"),
        ("split = shuffled(train = 1)", "E0205 3: `shuffled` is no way to split rows | there is grouped, ordered, random, stratified"),
        ("split = 0.8", "E0206 3: `split` needs a way to split | split = random(train = 0.8, test = 0.2)"),
        ("split = random(0.8)", "E0206 3: a share needs its name | split = random(train = 0.8, test = 0.2)"),
        ("split = random(train = 0.8, tset = 0.2)", "E0206 3: there is no split `tset` | did you mean `test`?"),
        ("split = random(train = 0.5, train = 0.5)", "E0206 3: the share of `train` is written twice | leave one of them"),
        ("split = random(test = 1)", f"E0406 3: `random` gives no rows to train | {RANDOM}"),
        ("split = random(train = 0.8, test = 0.1)", f"E0406 3: the shares sum to 0.9, and must sum to 1 | {RANDOM}"),
        ("split = random(train = -1, test = 2)", "E0406 3: the share of `train` is negative | shares lie between 0 and 1"),
        ("split = random(train = age)", "E0233 3: the share of `train` is not a number | train = 0.2"),
        ("split = stratified(train = 0.5, test = 0.5)", "E0406 3: `stratified` keeps the shares of classes, and no value has classes | "
         "make the target one-hot, `y = column |> onehot`, or use random(...)"),
        ("split = random(train = 0.9, test = 0.1)", "E0406 3: `test` gets none of the 2 rows: its share is 0.1 | "
         "give `test` a larger share, or leave it out"),
        ("a = [1, 2, 3]", "E0409 4: `z` has 2 rows and `a` (line 3) has 3 | every value of `data` has the same rows"),
        ("z = age", "E0203 4: `z` is already assigned on line 3 | each name is assigned once: choose another"),
        ('from "t.csv"', "E0108 3: `from` stands on line 2 already | data comes from one file"),
    ],
)  # fmt: skip
def test_a_statement_at_fault(table, line: str, text: str) -> None:
    with said(text):
        table("age,kind\n30,u\n31,v\n", line, "z = age")


def test_all_faults_are_reported_and_none_twice(table) -> None:
    with said(
        "E0406 6: the shares sum to 0.5, and must sum to 1 | random(train = 0.8, test = 0.2)",
        "E0402 3: t.csv has no column `nothing` | there is a, b, kind",
        'E0402 5: no column of t.csv matches "q*" | there is a, b, kind',
        'E0402 5: no column of t.csv matches "r*" | there is a, b, kind',
    ):
        table(TABLE, "x = nothing", "y = x + 1", 'z = columns("q*", "r*")', "split = random(train = 0.5)")


def test_a_file_at_fault_is_reported_once(table) -> None:
    with said("E0405 2: t.csv is empty | a table has a line with the names of its columns, and rows below"):
        table("", "x = a", 'y = columns("b*")', "z = x + y")


def test_a_value_read_above_its_line() -> None:
    with said("E0202 2: `v` is assigned on line 3, below this use | move that line up"):
        inline("u = v", "v = [1]")


def test_columns_without_a_file() -> None:
    with said(
        "E0201 2: there is no value `age` above, and no `from` that would bring columns | ",
        'E0201 3: there is no `from`, and so there are no columns | from "data/iris.csv"',
    ):
        inline("x = age", 'y = columns("a")')


def test_a_column_that_is_input_and_target(table) -> None:
    lines = ('x = columns("a", "b")', "unread = b", "y = b |> standardize")
    with said(
        "E0410 3: the model reads column `b` in `x`, and the target `y` (line 5) is made of it: there is nothing to learn | "
        "leave `b` out of `x`"
    ):
        table(TABLE, *lines, model="p = x", targets=frozenset({"y"}))


def test_a_label_that_training_has_not_seen(table) -> None:
    with said(
        "E0407 3: t.csv:4, column `k`: `w` (2 rows) is in no training row; the classes there are u, v | "
        "`split = stratified(...)` gives every split its share of each class, if it has rows enough"
    ):
        table("k\nu\nv\nw\nw\n", "y = k |> onehot", "split = ordered(train = 0.5, test = 0.5)")


def test_onehot_of_ids_is_refused(table) -> None:
    with said("E0234 3: `onehot` would make 12000 columns of 12000 rows | is this column a label, or an id of the row?"):
        table("id\n" + "\n".join(str(i) for i in range(12000)), "x = id |> onehot")


# --- diagnoses: files ----------------------------------------------------------------------------

UTF8 = "save the file as UTF-8"
ONE_CELL = "every row has one cell a column; a cell with a comma in it stands in double quotes"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "t.csv is empty | a table has a line with the names of its columns, and rows below"),
        (b" \n\n", "t.csv is empty | a table has a line with the names of its columns, and rows below"),
        (b"a,b\n", "t.csv has a header and no row below it | add rows: there is nothing to train on"),
        (b"\xef\xbb\xbfa\n1\n", "t.csv:1 begins with a byte order mark | save the file as UTF-8 without a byte order mark (BOM)"),
        ("a\n1\n".encode("utf-16"), f"t.csv:1 begins with the mark of UTF-16 | {UTF8}"),
        ("a\n1\n".encode("utf-32"), f"t.csv:1 begins with the mark of UTF-32 | {UTF8}"),
        ("a\n1\n".encode("utf-16-le"), "t.csv:1 holds a NUL byte | save the file as UTF-8 text (it may be UTF-16)"),
        (b"a\n1\n\xff\n", f"t.csv:3 holds the byte 0xFF, which is not UTF-8 | {UTF8}"),
        (b"\na\n1\n", "t.csv:1: the first line is empty | the first line names the columns"),
        (b"a,b,a\n1,2,3\n", "t.csv:1: columns 1 and 3 are both named `a` | give every column a name of its own"),
        (b"a,,b\n1,2,3\n", "t.csv:1: column 2 has no name | the first line names every column"),
        (b"a;b\n1;2\n", "t.csv:1: the header is one cell, `a;b` | cells of a .csv are separated by commas, those of a .tsv by tabs"),
        (b"a,b\n1,2\n3\n4\n", "t.csv:3 has 1 cell and the header has 2: nothing stands for `b` (1 more row like it) "
         f"| {ONE_CELL}"),
        (b"a,b\n1,2,3\n", f"t.csv:2 has 3 cells and the header has 2: the last column is `b` | {ONE_CELL}"),
        (b"a\n1\n\n2\n", f"t.csv:3 is empty and the header has 1: nothing stands for `a` | {ONE_CELL}"),
        (b'a,b\n1,"2\n3"\n', "t.csv:2, column `b`: the cell goes on over the end of the line | "
         "close the quotes on the same line; a cell holds no newline"),
        (b'a\n1\n"2\n3\n', "t.csv:3 cannot be split into cells: unexpected end of data | "
         "a cell with a quote in it stands in double quotes, and the quote is doubled"),
        (b'a\n"1"2\n', "t.csv:2 cannot be split into cells: ',' expected after '\"' | "
         "a cell with a quote in it stands in double quotes, and the quote is doubled"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table(table, content: bytes, text: str) -> None:
    with said(f"E0405 2: {text}"):
        table(content, "x = a")


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("nan", "if `nan` stands for a missing cell, leave it empty: a missing cell is an empty one"),
        ("-Infinity", "only finite numbers can be trained on; correct the cell or leave out the row"),
        ("1e400", "the number is too large for float64 (about 1.8e308)"),
        ('"1,5"', "the decimal sign is a point: 1.5"),
        ("1_000", "digits are not grouped: 1000"),
        (" 1.5", "there is a space around the number: 1.5"),
        ("١٦", "correct the cell; if the column holds labels, `|> onehot` makes a column of each"),
        ("0x10", "correct the cell; if the column holds labels, `|> onehot` makes a column of each"),
    ],
)
def test_a_cell_that_is_no_number(table, cell: str, hint: str) -> None:
    with said(f"E0403 3: t.csv:3, column `a`: `{cell.strip(chr(34))}` is not a number | {hint}"):
        table(f"a\n1\n{cell}\n2\n", "x = a")


@given(st.text('a1,"\r\n\t\x0b\u2028 ', max_size=30).map(str.encode) | st.binary(max_size=30))
def test_any_bytes_are_a_table_or_a_diagnosis(content: bytes) -> None:
    try:
        found = parse_table(content, "t.csv", ",", SPAN)
    except MlpcError as error:
        assert [d.code for d in error.diagnostics] == ["E0405"]
    else:
        columns = [c for name in found.names for c in found.columns(name, SPAN)]
        assert {len(column.cells) for column in columns} == {len(columns[0].rows.lines)}


@pytest.mark.parametrize("pipe", ["", "|> standardize", "|> index"])
def test_a_missing_cell(table, pipe: str) -> None:
    with said("E0404 3: t.csv:3, column `a`: the cell is empty, and 1 more of this column | "
              "`|> impute(median)` fills it, `|> drop_missing` leaves out the row"):  # fmt: skip
        table("a,b\n1,1\n,2\n ,3\n", f"x = a {pipe}")


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1", 1.0), ("-.5", -0.5), ("+3.", 3.0), ("1e-3", 0.001), ("1e-400", 0.0),
     ("", None), (".", None), ("1e", None), ("1\n", None), ("½", None)],
)  # fmt: skip
def test_what_a_number_is(cell: str, value: float | None) -> None:
    assert number(cell) == value


# --- diagnoses: where the file is ----------------------------------------------------------------

OUTSIDE = "move the file beneath the model's folder, or allow another one with --data-root FOLDER"


def test_without_a_folder_there_are_no_files() -> None:
    with said("E0408 2: this model has no folder, so it cannot read `t.csv` | write the data as a matrix, or load the model from a file"):
        inline('from "t.csv"', "x = a")


@pytest.mark.parametrize("path", ["../out.csv", "/etc/passwd", "link.csv", "sub/../../out.csv", "../not_there.csv"])
def test_data_lies_beneath_the_model(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "out.csv").write_text("a\n1\n")
    os.symlink(tmp_path / "out.csv", folder / "link.csv")
    with said(f"E0408 2: `{path}` leads out of the model's folder | {OUTSIDE}"):
        read(program(f'from "{path}"', "x = a"), folder)


def test_data_root_widens_it(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "out.csv").write_text("a\n1\n")
    found = read(program('from "../out.csv"', "x = a"), folder, data_root=tmp_path)
    assert found.splits["train"]["x"].tolist() == [[1]]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("data/irs.csv", "there is no file `data/irs.csv` in the model's folder | did you mean `data/iris.csv`?"),
        ("dat/iris.csv", "there is no file `dat/iris.csv` in the model's folder | did you mean `data`?"),
        ("t" * 300 + ".csv", f"there is no file `{'t' * 300}.csv` in the model's folder | there is data"),
        ("data", "`data` is not a regular file | name a file of data, like data/iris.csv"),
        ("data/notes.xls", "`data/notes.xls` ends in none of .csv .tsv .npz .npy .parquet | save the table as .csv"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, path: str, text: str) -> None:
    (tmp_path / "data").mkdir()
    for name in ("iris.csv", "notes.xls"):
        (tmp_path / "data" / name).write_text("a\n1\n")
    with said(f"E0401 2: {text}"):
        read(program(f'from "{path}"', "x = a"), tmp_path)
