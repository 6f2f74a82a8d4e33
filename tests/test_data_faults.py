"""Every diagnosis of the `data` section in its exact words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime.columns import number
from mlpc.runtime.data import read
from mlpc.runtime.table import parse_table

from .datasets import SPAN, inline, program, said, table

TABLE = "a,b,kind\n1,10,u\n2,20,v\n3,60,u\n4,80,v\n"

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
def test_a_statement_at_fault(line: str, text: str) -> None:
    with said(text):
        table("age,kind\n30,u\n31,v\n", line, "z = age")


def test_all_faults_are_reported_and_none_twice() -> None:
    with said(
        "E0406 6: the shares sum to 0.5, and must sum to 1 | random(train = 0.8, test = 0.2)",
        "E0402 3: t.csv has no column `nothing` | there is a, b, kind",
        'E0402 5: no column of t.csv matches "q*" | there is a, b, kind',
        'E0402 5: no column of t.csv matches "r*" | there is a, b, kind',
    ):
        table(TABLE, "x = nothing", "y = x + 1", 'z = columns("q*", "r*")', "split = random(train = 0.5)")


def test_a_file_at_fault_is_reported_once() -> None:
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


def test_a_column_that_is_input_and_target() -> None:
    lines = ('x = columns("a", "b")', "unread = b", "y = b |> standardize")
    with said(
        "E0410 3: the model reads column `b` in `x`, and the target `y` (line 5) is made of it: there is nothing to learn | "
        "leave `b` out of `x`"
    ):
        table(TABLE, *lines, model="p = x", targets=frozenset({"y"}))


def test_a_label_that_training_has_not_seen() -> None:
    with said(
        "E0407 3: t.csv:4, column `k`: `w` (2 rows) is in no training row; the classes there are u, v | "
        "`split = stratified(...)` gives every split its share of each class, if it has rows enough"
    ):
        table("k\nu\nv\nw\nw\n", "y = k |> onehot", "split = ordered(train = 0.5, test = 0.5)")


def test_onehot_of_ids_is_refused() -> None:
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
def test_a_file_that_is_no_table(content: bytes, text: str) -> None:
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
def test_a_cell_that_is_no_number(cell: str, hint: str) -> None:
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
def test_a_missing_cell(pipe: str) -> None:
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
