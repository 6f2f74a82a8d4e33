"""Data from Python in place of a file, and what is called after each epoch."""

from __future__ import annotations

import datetime
import doctest
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpc
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import given

from .datasets import program, said

ROOT = Path(__file__).parent.parent
TEXT = """data {
  x = columns("a", "b") |> impute(mean) |> standardize
  k = k |> onehot
  y = y |> onehot
}
model {
  p = dense(concat(x, k), 2, softmax)
}
loss = mean(cross_entropy(p, y))
train {
  optimizer = adam(lr = 0.05)
  epochs = 4
}
"""
CSV = "a,b,k,y,seen\n1,2,u,no,1\n2,,v,yes,1\n4,3.5,u,yes,1\n3,5,,no,1\n0,1,v,no,1\n2,2,u,yes,1\n"
TABLE: dict[str, Any] = {
    "a": [1, 2, 4, 3, 0, 2],
    "b": [2.0, None, 3.5, 5.0, 1.0, 2.0],
    "k": ["u", "v", "u", None, "v", "u"],
    "y": ["no", "yes", "yes", "no", "no", "yes"],
    "seen": [datetime.datetime(2026, 1, d) for d in range(1, 7)],  # which no statement reads
}
DATES = "make numbers of them: days since a date, for example"


def weights(data: Any, text: str = TEXT) -> str:
    return mlpc.loads(text, data=data).train().weights_sha256


def column(cells: Any, *lines: str) -> list[list[float]]:
    from mlpc.runtime.data import read

    return read(program(*(lines or ("x = a",))), None, given=given.table({"a": cells})).splits["train"]["x"].tolist()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights that the same rows give as a .csv file."""
    folder = tmp_path_factory.mktemp("csv")
    (folder / "t.csv").write_text(CSV)
    return mlpc.loads(TEXT.replace("data {", 'data {\n  from "t.csv"'), folder).train().weights_sha256


# --- the same rows are the same numbers -------------------------------------------------------------------


def test_a_mapping_trains_as_the_file_does(expected: str, tmp_path: Path) -> None:
    assert weights(TABLE) == expected
    arrays = {name: np.array(cells, dtype=object) for name, cells in TABLE.items()}
    assert weights(arrays) == expected
    (tmp_path / "t.csv").write_text(CSV)
    assert weights(tmp_path / "t.csv") == expected
    assert weights(TABLE, TEXT.replace("data {", 'data {\n  from "not_there.csv"')) == expected


def test_frames_of_pandas_polars_and_pyarrow_train_as_the_file_does(expected: str, needs) -> None:
    for tool in ("narwhals", "pandas", "polars", "pyarrow"):
        needs(tool)
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    frame = pd.DataFrame(TABLE)
    nullable = frame.convert_dtypes().astype({"k": "category"})
    lazy = pl.DataFrame(TABLE)
    found = [frame, nullable, frame.set_index("seen"), lazy, lazy.with_columns(pl.col("k").cast(pl.Categorical)), pa.table(TABLE)]
    assert [weights(f) for f in found] == [expected] * len(found)
    assert weights({name: nullable[name] for name in TABLE}) == expected  # series, which hold pandas' own NA
    assert weights({name: lazy[name] for name in TABLE}) == expected
    with said("E0405 0: a LazyFrame has no rows yet | collect it first: frame.collect()"):
        weights(lazy.lazy())
    with said("E0405 0: the table: columns 1 and 2 are both named `a` | give every column a name of its own"):
        weights(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with said(
        "E0405 0: the table: the name of column 1 is 0, a int, not text | name the columns; a frame of pandas: frame.columns = [...]"
    ):
        weights(pd.DataFrame([[1, 2]]))
    with said("E0405 0: the table has 5 columns and 0 rows | give columns of as many rows"):
        weights(frame[:0])
    for dated, kind in ((frame, "Timestamp"), (lazy, "datetime")):
        with said(f"E0405 2: row 1, column `seen`: a {kind} is neither a number nor text | {DATES}"):
            weights(dated, TEXT.replace('"b"', '"seen"'))


def test_a_file_is_given_with_its_folder_and_its_folds(tmp_path: Path) -> None:
    (tmp_path / "m.mlp").write_text(TEXT)
    assert mlpc.load(tmp_path / "m.mlp", data=TABLE).train().weights_sha256 == weights(TABLE)
    plans = [mlpc.load(tmp_path / "m.mlp", data=TABLE).plan for _ in range(2)]
    assert str(plans[0]) == str(plans[1])
    text = TEXT.replace("k |> onehot", "a")  # labels that a fold alone has would be none
    (tmp_path / "m.mlp").write_text(text)
    assert [dict(m.dataset.schema.rows) for m in mlpc.load_folds(tmp_path / "m.mlp", 2, data=TABLE)] == [{"train": 3, "val": 3}] * 2


def test_arrays_are_those_of_npz_and_npy() -> None:
    x = np.arange(6.0).reshape(3, 2)
    text = "data {\n  x = X\n}\nmodel {\n  p = dense(x, 1)\n}\nloss = mean(p^2)\ntrain {\n  optimizer = sgd(lr = 0.1)\n  epochs = 1\n}\n"
    run = mlpc.loads(text, data={"X": x, "names": ["left", "right"]}).train()  # of other rows, and not read
    assert run.columns() == {"X": 2}
    assert run.predict(x).tobytes() == run.predict({"X": x.tolist()}).tobytes()
    assert mlpc.loads(text.replace("X", "data"), data=x).train().weights_sha256 == run.weights_sha256


# --- cells ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        [1, None, 3], [1.0, float("nan"), 3], np.array([1, np.nan, 3], "f4"), [True, None, 3], [np.int64(1), None, np.float32(3)],
        np.ma.MaskedArray([1, 2, 3], [False, True, False]), ["1", "", "3.0"], ["1", None, "3"], np.array(["1", " ", "3"]),
    ],
)  # fmt: skip
def test_what_is_missing_is_filled(cells: Any) -> None:
    assert column(cells, "x = a |> impute(-1)") == [[1], [-1], [3]]
    with said("E0404 2: row 2, column `a`: the cell is missing | `|> impute(median)` fills it, `|> drop_missing` leaves out the row"):
        column(cells)


def test_booleans_are_numbers() -> None:
    assert column([True, False]) == column(np.array([True, False])) == column([1, 0]) == [[1], [0]]


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        ([1, 2**53 + 1], "E0403 2: row 2, column `a`: 9007199254740993 is a whole number above 2^53, which float64 does not hold"
         " | if it is a label, save it as text: y.astype(str)"),
        ([None, 2**70], "E0403 2: row 2, column `a`: 1180591620717411303424 is a whole number above 2^53, which float64 does not hold"
         " | if it is a label, save it as text: y.astype(str)"),
        ([1, float("inf")], "E0403 2: row 2, column `a`: `inf` is not a number"
         " | only finite numbers can be trained on; correct the cell or leave out the row"),
        ([datetime.date(2026, 1, 1)], f"E0405 2: row 1, column `a`: a date is neither a number nor text | {DATES}"),
        (np.array(["2026-01-01"], "M8[D]"), f"E0405 2: column `a` holds datetime64[D], not numbers or text | {DATES}"),
        ([1j], "E0405 2: column `a` holds complex128, not numbers or text | make numbers or text of them"),
        (["x", b"y"], "E0405 2: row 2, column `a`: a bytes is neither a number nor text | make numbers or text of them"),
        ([], "E0405 2: column `a` is [0]: there is nothing in it | give rows and columns"),
        (np.zeros((2, 2, 2)), "E0405 2: column `a` has 3 axes, and data is [rows] or [rows, columns] | x.reshape(len(x), -1)"),
        ({1, 2}, "E0405 0: column `a` is a set, which has no rows in order | a column is a list or an array"),
    ],
)  # fmt: skip
def test_cells_at_fault(cells: Any, text: str) -> None:
    with said(text):
        column(cells)


def test_tables_at_fault() -> None:
    with said("E0405 0: the table has 0 columns and no row | give columns of as many rows"):
        weights({})
    with said("E0405 0: the table: column 1 has no name | give every column a name of its own"):
        weights({" ": [1]})
    with said("E0402 4: the table has no column `y` | there is a, b, k, seen, x"):
        weights({name: cells for name, cells in TABLE.items() if name != "y"})
    with said("E0409 2: `b` has 2 rows and `a` has 6 | columns that stand side by side have the same rows"):
        weights({**TABLE, "b": [1, 2]})
    with pytest.raises(MlpcError) as caught:
        weights(TABLE, TEXT[TEXT.index("model {") :])
    found = {d.code: d.message for d in caught.value.diagnostics}
    assert found["E0209"] == "data was given, and the model has no `data` section, which would read it"
    with pytest.raises(MlpcError, match="there is no `from`, and so there are no columns"):
        mlpc.loads(TEXT)


def test_without_narwhals_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with said("E0401 0: a object was given, and narwhals, which reads data frames, is not installed | pip install 'mlpc[frames]'"):
        weights(object())
    assert weights(TABLE)


def test_the_weights_say_where_the_data_came_from(tmp_path: Path) -> None:
    from safetensors import safe_open

    iris = mlpc.load(ROOT / "models/iris.mlp", ["train.epochs=1"])
    for model, origin in ((iris, "data/iris.csv"), (mlpc.loads(TEXT, data=TABLE), "dict")):
        model.train().save(tmp_path / "w.safetensors")
        assert (model.dataset.origin, mlpc.load_run(tmp_path / "w.safetensors").model.dataset.origin) == (origin, origin)
        with safe_open(tmp_path / "w.safetensors", "np") as file:
            assert [json.loads(text)["origin"] for text in file.metadata().values() if '"origin"' in text] == [origin]


# --- after each epoch -------------------------------------------------------------------------------------


def test_true_and_nothing_else_ends_the_training_after_the_epoch() -> None:
    model = mlpc.loads(TEXT, data=TABLE)
    whole = model.train()
    short = mlpc.loads(TEXT, overrides=["train.epochs=2"], data=TABLE).train()
    run = model.train(on_epoch=lambda entry: entry["epoch"] == 2)
    assert (run.stopped, run.epochs, run.weights_sha256) == ("on_epoch", 2, short.weights_sha256)
    assert run.history == short.history
    for other in (None, 1, "no", False):
        again = model.train(on_epoch=lambda _, other=other: other)
        assert (again.stopped, again.weights_sha256) == ("", whole.weights_sha256)


def test_what_is_done_to_a_row_changes_no_history() -> None:
    model = mlpc.loads(TEXT, data=TABLE)
    assert model.train(on_epoch=lambda entry: entry["loss"].clear()).history == model.train().history


@pytest.mark.parametrize("error", [ZeroDivisionError, StopIteration, KeyboardInterrupt])
def test_what_is_raised_comes_out_and_the_model_trains_again(error: type[BaseException]) -> None:
    model = mlpc.loads(TEXT, data=TABLE)
    expected = model.train().weights_sha256
    before = np.geterr()

    def failing(entry: dict[str, Any]) -> None:
        if entry["epoch"] == 2:
            raise error

    with pytest.raises(error):
        model.train(on_epoch=failing)
    assert np.geterr() == before
    assert model.train().weights_sha256 == expected


# --- the page ---------------------------------------------------------------------------------------------


def test_the_examples_of_the_page_run(monkeypatch: pytest.MonkeyPatch, needs) -> None:
    needs("narwhals")
    needs("pandas")
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs/python.md").read_text("utf-8")
    text = "\n".join(re.findall(r"^```pycon\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    told: list[str] = []
    example = doctest.DocTestParser().get_doctest(text, {}, "docs/python.md", None, None)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.DocTestRunner(optionflags=flags).run(example, out=told.append)
    assert (found.failed, found.attempted > 10) == (0, True), "".join(told)


def test_what_is_public_is_there_and_documented() -> None:
    assert {"Run", "load", "load_folds", "load_run", "loads"} <= set(mlpc.__all__)
    assert [name for name in mlpc.__all__ if name != "__version__" and not getattr(mlpc, name).__doc__] == []
