"""Missing cells: filled, dropped, a category of their own, or a diagnosis; labels as whole numbers; splits by groups; columns by kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlpc
from mlpc.runtime.data import Dataset

from .datasets import inline, said, table

GAPS = "a,b,k\n1,10,u\n,20,v\n3,,\n6,40,v\n"


def column(found: Dataset, name: str, split: str = "train") -> list[float]:
    return found.splits[split][name][:, 0].tolist()


# --- impute --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [1, 10 / 3, 3, 6]),
        ("median", [1, 3, 3, 6]),
        ("most_frequent", [1, 1, 3, 6]),  # of equally frequent numbers the smallest
        ("0", [1, 0, 3, 6]),
        ("fill = -1.5", [1, -1.5, 3, 6]),
    ],
)
def test_impute_fills_what_is_missing(how: str, expected: list[float]) -> None:
    assert column(table(GAPS, f"x = a |> impute({how})"), "x") == expected


def test_statistics_that_fill_come_from_the_training_rows_alone() -> None:
    found = table('a\n1\n3\n""\n100\n', "x = a |> impute(mean)", "split = ordered(train = 0.5, test = 0.5)")
    assert column(found, "x", "test") == [2, 100]
    assert found.fitted["x"][-1].statistics == {"fill": (2.0,)}


def test_the_most_frequent_label_fills_text_and_then_has_no_category_of_its_own() -> None:
    found = table(GAPS, "x = k |> impute(most_frequent) |> onehot")
    assert found.splits["train"]["x"].tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]
    assert found.fitted["x"][1].statistics == {"fill": (("v",),)}


def test_numbers_filled_from_large_ones_stay_finite() -> None:
    assert column(table('a\n1.5e308\n""\n1.5e308\n', "x = a |> impute(mean)"), "x")[1] == 1.5e308


def test_numbers_and_text_are_filled_side_by_side() -> None:
    found = table(GAPS, 'x = columns("a", "k") |> impute(most_frequent) |> onehot')
    assert found.schema.values[0].labels == ("a=1", "a=3", "a=6", "k=u", "k=v")


# --- drop_missing: rule 45 -----------------------------------------------------------------------


def test_rows_are_dropped_from_every_value_before_the_split() -> None:
    found = table(GAPS, "x = b |> impute(0)", "y = a |> drop_missing |> standardize", "split = ordered(train = 0.67, test = 0.33)")
    assert found.schema.rows == (("train", 2), ("test", 1))
    assert column(found, "x") == [10, 0]
    assert column(found, "y") == [-1, 1]
    assert column(found, "y", "test") == [4]  # (6 - 2) / 1: the statistics are of the two training rows
    assert found.notes == ("1 of 4 rows dropped: a cell of a is missing",)


def test_rows_are_dropped_for_several_columns_and_places_stay_those_of_the_file() -> None:
    content = "a,b,c\n,1,1\n2,,1\n3,3,1\n4,4,oops\n"
    with said("E0403 5: t.csv:5, column `c`: `oops` is not a number | correct the cell; if the column holds labels, "
              "`|> onehot` makes a column of each"):  # fmt: skip
        table(content, "x = a |> drop_missing", "y = b |> drop_missing", "z = c")
    found = table(content, 'x = columns("a", "b") |> drop_missing')
    assert found.splits["train"]["x"].tolist() == [[3, 3], [4, 4]]
    assert found.notes == ("2 of 4 rows dropped: a cell of a, b is missing",)


def test_a_second_drop_below_a_dropped_value() -> None:
    found = table("a,b\n1,\n,2\n3,3\n", "x = a |> drop_missing", "y = concat(x, b |> drop_missing)")
    assert found.splits["train"]["y"].tolist() == [[3, 3]]


def test_a_literal_beside_a_file_loses_its_row_too() -> None:
    assert column(table('a\n1\n""\n3\n', "x = a |> drop_missing", "y = [10, 20, 30]"), "y") == [10, 30]


def test_nothing_to_drop_is_no_note() -> None:
    assert inline("x = [1, 2] |> drop_missing").notes == ()


def test_a_file_of_gaps() -> None:
    with said("E0404 3: every row has a missing cell in `a` and `b`: none is left | `|> impute(...)` fills cells instead"):
        table("a,b\n1,\n,2\n", 'x = columns("a", "b") |> drop_missing')


# --- onehot: rule 47 -----------------------------------------------------------------------------


def test_a_missing_label_of_an_input_is_a_category_if_training_has_one() -> None:
    found = table("k,y\nu,1\n,2\nv,3\n,4\n", "x = k |> onehot", "split = ordered(train = 0.75, test = 0.25)")
    assert found.schema.values[0].classes == ("u", "v", "(missing)")
    assert found.splits["test"]["x"].tolist() == [[0, 0, 1]]
    assert found.schema.values[0].facts.onehot


def test_a_missing_label_first_seen_in_the_test_rows() -> None:
    with said("E0407 3: t.csv:4, column `k`: the cell is missing (1 row), and no training row's is; the classes there are u, v | "
              "`|> impute(most_frequent)` before it fills the cell, `|> drop_missing` leaves out the row"):  # fmt: skip
        table("k,y\nu,1\nv,2\n,3\n", "x = k |> onehot", "split = ordered(train = 0.6, test = 0.4)")


@pytest.mark.parametrize("lines", [("y = k |> onehot",), ("t = k |> onehot", "y = t"), ("y = concat(a, k |> onehot)",)])
def test_a_missing_label_of_a_target(lines: tuple[str, ...]) -> None:
    line = 2 + next(i for i, text in enumerate(lines, 1) if "onehot" in text)
    with said(f"E0404 {line}: t.csv:3, column `k`: the cell is empty | "
              "a target has no class of missing labels: `|> drop_missing` before it leaves out the row"):  # fmt: skip
        table("a,k\n1,u\n2,\n3,v\n", *lines, targets=frozenset({"y"}))
    kept = table("a,k\n1,u\n2,\n3,v\n", "y = k |> drop_missing |> onehot", targets=frozenset({"y"}))
    assert kept.splits["train"]["y"].tolist() == [[1, 0], [0, 1]]


# --- index ---------------------------------------------------------------------------------------


def test_index_counts_the_sorted_labels_from_0() -> None:
    found = table("k\n10\n9\nx\n9\n", "x = k |> index").schema.values[0]
    assert found.classes == ("10", "9", "x")  # one text makes all of them text
    assert found.facts.names() == (">= 0", "integer", "bounded")
    assert column(table("k\n10\n9\n9\n", "x = k |> index"), "x") == [1, 0, 0]


def test_index_of_several_columns_is_as_wide_and_has_no_classes() -> None:
    found = table("k,l\nu,b\nv,a\n", 'x = columns("k", "l") |> index')
    assert found.splits["train"]["x"].tolist() == [[0, 1], [1, 0]]
    assert found.schema.values[0].classes == ()


def test_index_gives_a_missing_or_unseen_label_no_number() -> None:
    with said(
        "E0404 3: t.csv:3, column `k`: the cell is empty | `|> impute(most_frequent)` fills it, `|> drop_missing` leaves out the row"
    ):
        table("k,y\nu,1\n,2\n", "x = k |> index")
    with said("E0407 3: t.csv:3, column `k`: `v` (1 row) is in no training row; the classes there are u | "
              "`split = stratified(...)` gives every split its share of each class, if it has rows enough"):  # fmt: skip
        table("k\nu\nv\n", "x = k |> index", "split = ordered(train = 0.5, test = 0.5)")


def test_stratified_keeps_the_shares_of_an_index() -> None:
    found = table("k\n" + "u\nv\n" * 8, "y = k |> index", "split = stratified(train = 0.75, test = 0.25)")
    assert sorted(column(found, "y", "test")) == [0, 0, 1, 1]


# --- grouped -------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), min_size=3, max_size=40), st.integers(0, 2**32))
def test_a_group_never_straddles_splits(groups: list[int], seed: int) -> None:
    shares = "train = 0.6, val = 0.2, test = 0.2"
    content = "g,i\n" + "".join(f"{g},{i}\n" for i, g in enumerate(groups))
    try:
        found = table(content, "i = i", f"split = grouped(g, {shares})", seed=seed)
    except mlpc.MlpcError as error:
        assert [d.code for d in error.diagnostics] == ["E0406"]
        assert len(set(groups)) < 3
        return
    parts = {split: [int(i) for i in column(found, "i", split)] for split in found.splits}
    homes = [{groups[i] for i in rows} for rows in parts.values()]
    assert sum(len(home) for home in homes) == len(set(groups))
    assert sorted(sum(parts.values(), [])) == list(range(len(groups)))
    assert all(rows == sorted(rows) and rows for rows in parts.values())


def test_groups_come_close_to_the_shares_and_follow_the_seed() -> None:
    content = "g,i\n" + "".join(f"g{i // 5},{i}\n" for i in range(100))
    lines = ("i = i", "split = grouped(g, train = 0.8, test = 0.2)")
    found = [table(content, *lines, seed=seed) for seed in (1, 1, 2)]
    assert found[0].schema.rows == (("train", 80), ("test", 20))
    assert column(found[0], "i") == column(found[1], "i") != column(found[2], "i")


@pytest.mark.parametrize(
    ("split", "text"),
    [
        ("grouped(train = 1)", "E0206 4: `grouped` needs the column whose groups stay together | grouped(column, train = 0.8, test = 0.2)"),
        ("grouped", "E0206 4: `grouped` needs the column whose groups stay together | grouped(column, train = 0.8, test = 0.2)"),
        ("grouped(h, train = 1)", "E0402 4: t.csv has no column `h` | there is a, g, x"),
        ("grouped(g, test = 1)", "E0406 4: `grouped` gives no rows to train | grouped(column, train = 0.8, test = 0.2)"),
        ("grouped(a, train = 0.5, test = 0.5)", "E0406 4: there is 1 group, and 2 splits need one each | "
         "group by a column with more labels, or use fewer splits"),
        ('grouped(columns("a", "g"), train = 0.5, test = 0.5)', 'E0231 4: `columns("a", "g")` is 2 columns, and groups stand in one | '
         "grouped(column, ...)"),
        ("grouped(g, train = 0.5, test = 0.5)", "E0404 4: t.csv:4, column `g`: the cell is empty | "
         "every row belongs to a group: fill the cell, or drop its row with `|> drop_missing`"),
    ],
)  # fmt: skip
def test_groups_at_fault(split: str, text: str) -> None:
    with said(text):
        table("a,g\n1,u\n1,v\n1,\n", "x = a", f"split = {split}")


# --- numeric, categorical: rule 49 ---------------------------------------------------------------


def test_kinds_are_the_columns_that_no_other_statement_names() -> None:
    content = "id,age,height,sex,town,price\n1,30,1.7,f,A,5\n2,,1.8,f,A,6\n"
    lines = ("x = numeric |> impute(0)", "c = categorical |> onehot", "y = price", "split = grouped(id, train = 0.5, test = 0.5)")
    found = table(content, *lines)
    assert [v.labels for v in found.schema.values][0] == ("age", "height")  # a column with missing cells is numeric
    found = table(content, "x = numeric |> impute(0)", 'y = columns("pr*", "i?") |> standardize', "c = categorical |> onehot")
    assert found.schema.values[0].labels == ("age", "height")
    assert found.schema.values[2].labels == ("sex=f", "town=A")


def test_a_kind_without_a_column() -> None:
    with said("E0402 3: no column of t.csv is categorical that no other statement names: a is left | "
              "leave `categorical` out, or name the columns"):  # fmt: skip
        table("a,b\n1,2\n", "x = categorical |> onehot", "y = b")
    with said(
        "E0402 3: no column of t.csv is numeric that no other statement names: none is left | leave `numeric` out, or name the columns"
    ):
        table("a\n1\n", "x = numeric", "y = a")


# --- diagnoses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("x = a |> impute", "E0206 3: `impute` needs fill | impute(mean)"),
        ("x = a |> impute(medain)", "E0206 3: `impute` knows no `medain` | did you mean `median`?"),
        ("x = a |> impute(b)", "E0206 3: `impute` knows no `b` | a number, or mean, median, most_frequent"),
        ("x = a |> impute(a + 1)", "E0404 3: t.csv:3, column `a`: the cell is empty | `|> impute(median)` fills it, `|> drop_missing` leaves out the row"),
        ("x = a |> impute(mean, median)", "E0206 3: `impute` takes fill | leave this out"),
        ("x = a |> impute(how = mean)", "E0206 3: `impute` takes fill | there is fill"),
        ("x = k |> impute(mean)", "E0403 3: t.csv:2, column `k`: `u` is not a number; 3 cells of this column are none: "
                                  "also `v` (t.csv:3), `v` (t.csv:5) | correct the cell; if the column holds labels, `|> onehot` makes a column of each"),
        ("x = k |> impute(0)", "E0403 3: t.csv:2, column `k`: `u` is not a number; 3 cells of this column are none: "
                               "also `v` (t.csv:3), `v` (t.csv:5) | correct the cell; if the column holds labels, `|> onehot` makes a column of each"),
        ("x = none |> impute(mean)", "E0404 3: column `none`: every training row's cell is missing, so there is no mean to fill it with | "
                                     "leave out the column, or give a number: impute(0)"),
    ],
)  # fmt: skip
def test_a_pipe_at_fault(line: str, text: str) -> None:
    content = "\n".join(row + "," for row in GAPS.rstrip().split("\n")).replace("a,b,k,", "a,b,k,none")
    with said(text):
        table(content, line)


@pytest.mark.parametrize("cell", ["NA", "n/a", "nan", "?", "NULL"])
def test_another_way_to_write_a_missing_cell_is_told(cell: str) -> None:
    with said(f"E0403 3: t.csv:3, column `a`: `{cell}` is not a number | "
              f"if `{cell}` stands for a missing cell, leave it empty: a missing cell is an empty one"):  # fmt: skip
        table(f"a\n1\n{cell}\n", "x = a |> impute(mean)")


def test_penguins_keep_their_gaps() -> None:
    from pathlib import Path

    content = (Path(__file__).parents[1] / "models/data/penguins.csv").read_bytes()
    found = table(content, 'x = columns("bill_*", "flipper_length_mm") |> impute(median) |> standardize', "c = sex |> onehot",
                  "y = body_mass_g |> drop_missing |> standardize", targets=frozenset({"y"}))  # fmt: skip
    assert found.notes == ("2 of 344 rows dropped: a cell of body_mass_g is missing",)
    assert found.splits["train"]["c"].sum(axis=0).tolist() == [165, 168, 9]
    assert found.schema.values[1].classes == ("female", "male", "(missing)")
    assert np.isclose(found.fitted["y"][-1].statistics["mean"][0], 4201.754386)  # type: ignore[arg-type]
