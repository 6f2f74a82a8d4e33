"""Arrays of .npz and .npy and columns of .parquet: read like a table, and nothing in them is ever unpickled or run."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import arrays

from .datasets import SPAN, said, table

X = np.array([[1.0, 2], [3, 4], [5, 6]])


def npy(array: np.ndarray, **settings) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), **settings)
    return file.getvalue()


def npz(**members: np.ndarray | bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member if isinstance(member, bytes) else npy(member))
    return file.getvalue()


def read_npz(*lines: str, **members: np.ndarray | bytes):
    return table(npz(**members), *lines, name="t.npz")


# --- arrays --------------------------------------------------------------------------------------


def test_a_bare_name_is_an_array_and_a_vector_a_column() -> None:
    found = read_npz("x = x / 2", "y = y |> onehot", x=X, y=np.array([7, 10, 7]))
    assert found.splits["train"]["x"].tolist() == [[0.5, 1], [1.5, 2], [2.5, 3]]
    assert [(v.width, v.labels, v.classes) for v in found.schema.values] == [(2, ("x1", "x2"), ()), (2, ("7", "10"), ("7", "10"))]
    assert found.splits["train"]["y"].tolist() == [[1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<f2", "<i8", "<u8", ">i4", "u1", "i2", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_plain_type_and_order(dtype: str, order: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype, order=order)  # type: ignore[call-overload]
    assert read_npz("z = x", x=array).splits["train"]["z"].tolist() == [[0, 1, 1], [1, 0, 1]]


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_header(version: tuple[int, int]) -> None:
    assert read_npz("z = x", x=npy(X, version=version)).splits["train"]["z"].tolist() == X.tolist()


def test_text_is_labels() -> None:
    found = read_npz("z = y |> onehot", y=np.array(["ß", "a", "a"]))
    assert found.schema.values[0].classes == ("a", "ß")


def test_columns_and_kinds_go_by_array() -> None:
    members = {"x": X, "x_more": X[:, :1] * 10, "town": np.array(["u", "v", "u"])}
    assert read_npz('z = columns("x*")', **members).schema.values[0].labels == ("x1", "x2", "x_more")
    assert read_npz("z = numeric", "t = categorical |> onehot", **members).schema.values[0].width == 3


def test_npy_has_the_name_data() -> None:
    assert table(npy(X), "z = data |> minmax", name="t.npy").splits["train"]["z"].tolist() == [[0, 0], [0.5, 0.5], [1, 1]]


def test_unread_arrays_are_not_looked_at() -> None:
    assert read_npz("z = x", x=X, images=np.zeros((3, 8, 8)), junk=b"no array").schema.values[0].width == 2


def test_nan_is_a_missing_cell() -> None:
    gaps = np.array([[1, np.nan], [3, 4], [np.nan, 6]])
    with said(
        "E0404 3: t.npz, row 3, column `x1`: the cell is missing | `|> impute(median)` fills it, `|> drop_missing` leaves out the row",
        "E0404 3: t.npz, row 1, column `x2`: the cell is missing | `|> impute(median)` fills it, `|> drop_missing` leaves out the row",
    ):
        read_npz("z = x", x=gaps)
    assert read_npz("z = x |> impute(mean)", x=gaps).splits["train"]["z"].tolist() == [[1, 5], [3, 4], [2, 6]]
    assert read_npz("z = x |> drop_missing", "w = y", x=gaps, y=np.arange(3)).splits["train"]["w"].tolist() == [[1]]


def test_digits_are_what_the_readme_says() -> None:
    path = Path(__file__).parents[1] / "models/data/digits.npz"
    found = table(path.read_bytes(), "x = x", "y = y |> onehot", name="digits.npz")
    with np.load(path) as plain:
        assert found.splits["train"]["x"].tolist() == plain["x"].tolist()
    assert found.schema.rows == (("train", 1797),)
    assert found.splits["train"]["y"].sum(axis=0).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


PLAIN = npy(X)
OBJECTS = npy(np.array([1, "a"], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((2, 8, 8)), "E0405 3: t.npz, array `x` is [2, 8, 8], and data is [rows] or [rows, columns] | "
         "make rows of it when you save it: x.reshape(2, -1)"),
        (np.array(1.0), "E0405 3: t.npz, array `x` is [], and data is [rows] or [rows, columns] | "
         "save an array with a row for each row of data"),
        (np.zeros((0, 3)), "E0405 3: t.npz, array `x` is [0, 3]: there is nothing in it | save an array with rows and columns"),
        (OBJECTS, "E0405 3: t.npz, array `x` holds Python objects, which only unpickling could read, not numbers or text | "
         "save plain numbers: np.savez(file, x=x.astype(float))"),
        (np.array([1j]), "E0405 3: t.npz, array `x` holds complex numbers, not numbers or text | "
         "save the real and the imaginary part as two columns"),
        (np.array([b"a"]), "E0405 3: t.npz, array `x` holds bytes, not numbers or text | save them as text: y.astype(str)"),
        (np.zeros(2, dtype=[("a", "f8")]), "E0405 3: t.npz, array `x` holds records, not numbers or text | save one array a column, or a .csv"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "E0405 3: t.npz, array `x` holds dates, not numbers or text | "
         "save them as numbers: days since a date, for example"),
        (np.array([1.0, np.inf]), "E0403 3: t.npz, row 2, column `x`: `inf` is not a number | "
         "only finite numbers can be trained on; correct the cell or leave out the row"),
        (np.array([1, 2**53 + 1]), "E0403 3: t.npz, row 2, column `x`: 9007199254740993 is a whole number above 2^53, which float64 does not hold | "
         "if it is a label, save it as text: y.astype(str)"),
        (PLAIN[:-8], "E0405 3: t.npz, array `x` is cut off: [3, 2] needs 48 bytes, and here are 40 | save the file again"),
        (b"", "E0405 3: t.npz, array `x` does not begin as a .npy file does | write it with np.save(file, x)"),
        (PLAIN.replace(b"<f8", b"<f3"), "E0405 3: t.npz, array `x` holds numbers of an unknown type, `f3` | save it as float64: x.astype(float)"),
        (PLAIN.replace(b"'shape'", b"'sharp'"), "E0405 3: t.npz, array `x` has a header that says no type and shape | write it with np.save(file, x)"),
        (PLAIN.replace(b"(3, 2), }   ", b"(3000000000, 2), }"), "E0234 3: t.npz, array `x` takes 48,000,000,000 bytes unpacked, and "
         "17,179,869,184 is the most | save it as it is, np.savez(file, x=x), or as .npy: then it stays in the file, and rows are read as they are needed"),
        (np.array(["a", "b"]), "E0403 3: t.npz, row 1, column `x`: `a` is not a number; 2 cells of this column are none: "
         "also `b` (t.npz, row 2) | `|> onehot` makes a column of each label"),
    ],
)  # fmt: skip
def test_an_array_at_fault(array: np.ndarray | bytes, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "available", lambda: 2**40)
    with said(text):
        read_npz("z = x", x=array)


def test_arrays_of_unequal_rows() -> None:
    with said("E0409 4: `w` has 2 rows and `z` (line 3) has 3 | every value of `data` has the same rows"):
        read_npz("z = x", "w = y", x=X, y=np.arange(2))
    with said("E0409 3: `y` has 2 rows and `x1` has 3 | columns that stand side by side have the same rows"):
        read_npz('z = columns("x", "y")', x=X, y=np.arange(2))


def test_a_label_that_is_rare_in_an_array() -> None:
    with said("E0407 3: t.npz, row 3, column `y`: `2` (1 row) is in no training row; the classes there are 0, 1 | "
              "`split = stratified(...)` gives every split its share of each class, if it has rows enough"):  # fmt: skip
        read_npz("z = y |> onehot", "split = ordered(train = 0.67, test = 0.33)", y=np.array([0, 1, 2]))


def test_files_that_are_no_arrays() -> None:
    hint = "write it with np.savez_compressed(file, x=x, y=y)"
    with said(f"E0405 2: t.npz is no .npz file: File is not a zip file | {hint}"):
        table(b"PK nothing", "z = x", name="t.npz")
    with said(f"E0405 2: t.npz holds no array | {hint}"):
        read_npz("z = x")
    with said("E0402 3: t.npz has no column `z` | there is x, y"):
        read_npz("z = z", x=X, y=X)
    with said("E0402 3: t.npy has no column `t` | there is data"):
        table(npy(X), "z = t", name="t.npy")


def test_a_member_that_is_damaged() -> None:
    whole = npz(x=np.arange(1000.0))
    at = whole.index(b"x.npy") + 60
    with pytest.raises(MlpcError, match=r"t\.npz, array `x` cannot be unpacked: "):
        table(whole[:at] + bytes(b ^ 255 for b in whole[at : at + 40]) + whole[at + 40 :], "z = x", name="t.npz")


def test_a_shape_without_its_comma_is_no_shape() -> None:  # found by the test below
    damaged = PLAIN.replace(b"(3, 2)", b"(3 2) ")
    assert damaged != PLAIN
    with pytest.raises(MlpcError, match="has a header that says no type and shape"):
        arrays.columns(damaged, "t.npy", "data", SPAN)


@given(st.binary(max_size=60), st.integers(0, len(PLAIN)), st.integers(0, 8))
def test_any_bytes_are_an_array_or_a_diagnosis(noise: bytes, at: int, cut: int) -> None:
    try:
        found = arrays.columns(PLAIN[:at] + noise + PLAIN[at + cut :], "t.npy", "data", SPAN)
    except MlpcError as error:
        assert {d.code for d in error.diagnostics} <= {"E0403", "E0405"}
    else:
        assert len({len(c.cells) for c in found}) == 1


@given(st.binary(max_size=40), st.integers(0, 600), st.integers(0, 20))
def test_any_archive_is_read_or_a_diagnosis(noise: bytes, at: int, cut: int) -> None:
    whole = npz(x=X, y=np.array(["u", "v", "u"]))
    try:
        table(whole[:at] + noise + whole[at + cut :], "z = x", "w = y |> onehot", name="t.npz")
    except MlpcError as error:
        assert {d.code for d in error.diagnostics} <= {"E0402", "E0403", "E0405", "E0409", "E0234"}


# --- parquet -------------------------------------------------------------------------------------


def parquet(**columns: object) -> bytes:
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def test_parquet_has_numbers_labels_and_gaps() -> None:
    content = parquet(a=[1, None, 3], b=[0.5, 1.5, float("nan")], k=["u", "v", None], t=[True, False, True], gone=[None] * 3)
    found = table(content, 'x = columns("a", "b") |> impute(0)', "c = k |> onehot", "t = t", name="t.parquet")
    assert found.splits["train"]["x"].tolist() == [[1, 0.5], [0, 1.5], [3, 0]]
    assert found.schema.values[1].classes == ("u", "v", "(missing)")
    assert found.splits["train"]["t"].tolist() == [[1], [0], [1]]
    with said(
        "E0404 3: t.parquet, row 2, column `a`: the cell is missing | `|> impute(median)` fills it, `|> drop_missing` leaves out the row"
    ):
        table(content, "x = a", name="t.parquet")
    with said("E0404 3: t.parquet, row 1, column `gone`: the cell is missing, and 2 more of this column | "
              "`|> impute(most_frequent)` fills it, `|> drop_missing` leaves out the row"):  # fmt: skip
        table(content, "x = gone", name="t.parquet")


def test_a_dictionary_of_labels() -> None:
    import pyarrow

    content = parquet(k=pyarrow.array(["u", "v", "u"]).dictionary_encode())
    assert table(content, "y = k |> onehot", name="t.parquet").splits["train"]["y"].tolist() == [[1, 0], [0, 1], [1, 0]]


def test_parquet_at_fault() -> None:
    import datetime

    content = parquet(day=[datetime.date(2020, 1, 1)], nested=[[1, 2]], record=[{"a": 1}], large=[2**53 + 1])
    hint = "write it as a number or as text, or leave it out of the model"
    with said(f"E0405 3: t.parquet, column `day` holds date32[day], not numbers or text | {hint}"):
        table(content, "x = day", name="t.parquet")
    for name in ("nested", "record"):
        with pytest.raises(MlpcError, match=f"t.parquet, column `{name}` holds "):
            table(content, f"x = {name}", name="t.parquet")
    with said("E0403 3: t.parquet, row 1, column `large`: 9007199254740993 is a whole number above 2^53, which float64 does not hold | "
              "if it is a label, write it as text"):  # fmt: skip
        table(content, "x = large", name="t.parquet")
    with pytest.raises(MlpcError, match=r"t\.parquet is no \.parquet file: "):
        table(b"PAR1 nothing", "x = a", name="t.parquet")
    with said("E0405 2: t.parquet has 1 columns and 0 rows | add rows: there is nothing to train on"):
        table(parquet(a=[]), "x = a", name="t.parquet")


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with said("E0401 2: t.parquet is a .parquet file, and pyarrow, which reads those, is not installed | pip install 'mlpc[parquet]'"):
        table(b"PAR1", "x = a", name="t.parquet")


def test_pyarrow_is_imported_for_parquet_alone() -> None:
    import subprocess

    code = "import sys, mlpc; mlpc.load(sys.argv[1]); print('pyarrow' in sys.modules)"
    model = Path(__file__).parents[1] / "models/digits.mlp"
    assert subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=True).stdout == "False\n"
