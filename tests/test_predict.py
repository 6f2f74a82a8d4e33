"""Rows that training has not seen: replayed, predicted in the user's labels and units, measured as a split is."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import mlpc
from mlpc.cli.main import main
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import given
from mlpc.runtime import predictions as sampled
from mlpc.runtime.replay import raw_columns, replay

from .datasets import SPAN, said

MODELS = Path(__file__).parent.parent / "models"
DATA = MODELS / "data"
FILES = {
    "iris": "iris.csv", "penguins": "penguins.csv", "diabetes": "diabetes.csv", "digits": "digits.npz", "spiral": "spiral.csv",
    "two_heads": "penguins.csv", "wide_and_deep": "penguins.csv", "autoencoder": "digits.npz", "mileage": "mileage.csv",
}  # fmt: skip
SMALL = """
data {{
  from "t.csv"
  {data}
}}
model {{
  {model}
}}
loss = {loss}
train {{
  optimizer = adam(lr = 0.05)
  epochs = 3
}}
"""
ROWS = "a,b,c,k,y\n1,2,3,u,no\n2,1,1,v,yes\n4,3,0,u,yes\n3,5,2,w,no\n0,1,2,v,no\n2,2,2,w,yes\n"


@pytest.fixture(scope="module")
def runs() -> dict[str, mlpc.Run]:
    return {name: mlpc.load(MODELS / f"{name}.mlp", ["train.epochs=3"]).train() for name in FILES}


@pytest.fixture
def small(tmp_path: Path):
    """small(data, model, loss) -> the run of a model beside t.csv."""

    def trained(data: str, model: str = "p = dense(x, 1)", loss: str = "mean(mse(p, y))", rows: str = ROWS) -> mlpc.Run:
        (tmp_path / "t.csv").write_text(rows)
        return mlpc.loads(SMALL.format(data=data, model=model, loss=loss), tmp_path).train()

    return trained


def cells(name: str) -> list[dict[str, str]]:
    with open(DATA / name, newline="") as file:
        return list(csv.DictReader(file))


def written(rows: list[dict[str, str]], columns: list[str] | None = None) -> str:
    made = io.StringIO()
    table = csv.DictWriter(made, columns or list(rows[0]), lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    return made.getvalue()


# --- replay: the same pipes on the same rows are the same numbers -------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_that_replaying_the_rows_of_training_gives_its_numbers_to_the_bit(name: str, tmp_path: Path) -> None:
    model = mlpc.load(MODELS / f"{name}.mlp", ["train.epochs=1"])
    run = model.train()
    run.save(tmp_path / "w.safetensors")
    again = mlpc.load_run(tmp_path / "w.safetensors").model
    wanted = [v.name for v in model.dataset.schema.values]
    needed = raw_columns(again.dataset, wanted)
    found = replay(again.program, again.dataset, next(given.tables(DATA / FILES[name], needed)), wanted, dropping=True)
    together = {n: np.concatenate([model.dataset.splits[s][n] for s in model.dataset.splits]) for n in wanted}
    assert found.rows == sum(n for _, n in model.dataset.schema.rows)
    for n in wanted:  # training has dealt the rows: both in the order of their numbers
        assert sorted(map(bytes, found.values[n])) == sorted(map(bytes, together[n]))


def test_columns_in_any_order_others_beside_them_and_no_target(runs: dict[str, mlpc.Run], tmp_path: Path) -> None:
    rows = cells("penguins.csv")
    expected = runs["penguins"].predict(DATA / "penguins.csv")
    columns = [c for c in reversed(rows[0]) if c not in {"body_mass_g", "year"}]
    (tmp_path / "t.csv").write_text(written([{**r, "id": str(i)} for i, r in enumerate(rows)], ["id", *columns]))
    assert runs["penguins"].predict(tmp_path / "t.csv").tobytes() == expected.tobytes()
    assert len(expected) == 344  # a row whose target is missing is predicted too


# --- bits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_row_is_predicted_to_the_same_bits_permuted_split_and_alone(name: str, runs: dict[str, mlpc.Run]) -> None:
    run = runs[name]
    needed = run.columns()
    table = next(given.tables(DATA / FILES[name], needed))
    columns = {n: [c.written for c in table.columns(n, None)] for n in needed}

    def predicted(which: list[int]) -> bytes:
        part: dict[str, Any] = {}
        for n, parts in columns.items():
            taken = [[c[i] for i in which] if isinstance(c, tuple) else c[which] for c in parts]
            part[n] = np.column_stack(taken) if len(taken) > 1 else taken[0]
        head = run.head()
        return np.concatenate([raw for _, raw in run.predictions(head, given.tables(part, needed))]).tobytes()

    rows = len(next(iter(columns.values()))[0])
    everything = predicted(list(range(rows)))
    size = len(everything) // rows
    bits = [everything[i * size : (i + 1) * size] for i in range(rows)]
    order = np.random.default_rng(0).permutation(rows).tolist()
    assert predicted(order) == b"".join(bits[i] for i in order)
    assert predicted(list(range(rows // 3, rows))) == b"".join(bits[rows // 3 :])
    for i in (0, 1, rows // 2, rows - 1):
        assert predicted([i]) == bits[i]


def test_a_text_is_read_in_batches_and_a_row_keeps_its_bits_and_its_line(runs: dict[str, mlpc.Run], tmp_path: Path, monkeypatch) -> None:
    whole = runs["iris"].predict(DATA / "iris.csv", proba=True)
    monkeypatch.setattr(given, "BATCH", 7)
    assert runs["iris"].predict(DATA / "iris.csv", proba=True).tobytes() == whole.tobytes()
    lines = (DATA / "iris.csv").read_text().splitlines()
    lines[100] = lines[100].replace(lines[100].split(",")[0], "tall")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n\n\n")
    with pytest.raises(MlpcError, match="t.csv:101, column `sepal_length`: `tall` is not a number"):
        runs["iris"].predict(tmp_path / "t.csv")


@pytest.mark.parametrize("lines", [3, 8])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,2", "t.csv:{at} has 2 cells and the header has 4"), ("", "t.csv:{at} is empty and the header has 4"),
        ("1,2,3,\0", "t.csv:{at} holds a NUL byte"), ("1,2,3,\udcff", "t.csv:{at} holds the byte 0xFF, which is not UTF-8"),
        ('1,2,3,"4', "t.csv:{at} cannot be split into cells"), ('1,"2\n",3,4', "the cell goes on over the end of the line"),
    ],
)  # fmt: skip
def test_a_text_that_breaks_off_somewhere_is_refused_by_line(lines: int, row: str, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(given, "BATCH", 4)
    text = "a,b,c,d\n" + "1,2,3,4\n" * lines + row + "\n1,2,3,4\n"
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(MlpcError) as caught:
        list(given.tables(tmp_path / "t.csv", {}))
    assert message.format(at=lines + 2) in caught.value.diagnostics[0].message


# --- labels and units -------------------------------------------------------------------------------------------


def test_a_prediction_by_hand_in_grams(runs: dict[str, mlpc.Run]) -> None:
    """An oracle: the residual network of penguins.mlp in a few lines of NumPy, from raw cells."""
    run = runs["penguins"]
    steps = {t.name: t.statistics for t in run.model.dataset.fitted["x"]}
    y = run.model.dataset.fitted["y"][-1].statistics
    p, rows = run.params, cells("penguins.csv")[:20]

    def standard(r: dict[str, str]) -> list[float]:
        raw = [r[c] for c in ("bill_length_mm", "bill_depth_mm", "flipper_length_mm")]
        filled = [float(c) if c else steps["impute"]["fill"][i] for i, c in enumerate(raw)]
        return [(c - steps["standardize"]["mean"][i]) / steps["standardize"]["sd"][i] for i, c in enumerate(filled)]  # type: ignore[operator]

    onehot = [
        [float(r[c] == k) for c, known in zip(("species", "island", "sex"), steps["onehot"]["classes"], strict=True) for k in known]
        for r in rows
    ]  # type: ignore[union-attr]
    x = np.concatenate([[standard(r) for r in rows], onehot], axis=1)

    def mish(v):
        return v * np.tanh(np.log1p(np.exp(v)))

    h = x @ p["deep.dense1.W"] + p["deep.dense1.b"]
    for i in (1, 2, 3):
        inner = mish(h @ p[f"deep.residual{i}.dense1.W"] + p[f"deep.residual{i}.dense1.b"])
        h = h + inner @ p[f"deep.residual{i}.dense2.W"] + p[f"deep.residual{i}.dense2.b"]
    wide = x @ p["wide.W"] + p["wide.b"]
    yhat = np.concatenate([h, wide], axis=1) @ p["yhat.W"] + p["yhat.b"]
    expected = yhat[:, 0] * y["sd"][0] + y["mean"][0]  # type: ignore[operator]
    np.testing.assert_allclose(run.predict(DATA / "penguins.csv")[:20], expected, rtol=2e-5)


def test_labels_are_those_of_the_file_and_probabilities_have_a_column_each(runs: dict[str, mlpc.Run]) -> None:
    labels, shares = runs["iris"].predict(DATA / "iris.csv"), runs["iris"].predict(DATA / "iris.csv", proba=True)
    assert labels.shape == (150,)
    assert set(labels) <= {"setosa", "versicolor", "virginica"}
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)
    assert [("setosa", "versicolor", "virginica")[i] for i in shares.argmax(axis=1)] == labels.tolist()
    digits = runs["digits"].predict(DATA / "digits.npz")  # labels that are numbers are numbers
    assert digits.dtype == np.float64
    assert (digits == np.load(DATA / "digits.npz")["y"]).mean() > 0.8


@pytest.mark.parametrize("pipe", ["", "|> standardize", "|> minmax", "|> log", "|> log |> standardize"])
def test_numbers_come_back_in_their_own_units(small, pipe: str) -> None:
    run = small(f'x = columns("a", "c")\n  z = columns("b") {pipe}', loss="mean(mse(p, z))", model="p = dense(x, 1)")
    raw = np.concatenate([r for _, r in run.predictions(run.head(), given.tables({"a": [1, 2], "c": [3, 4]}, run.columns()))])[:, 0]
    b = np.array([float(line.split(",")[1]) for line in ROWS.splitlines()[1:]])
    undo = {
        "": lambda r: r,
        "|> standardize": lambda r: r * b.std() + b.mean(),
        "|> minmax": lambda r: r * (b.max() - b.min()) + b.min(),
        "|> log": np.exp,
        "|> log |> standardize": lambda r: np.exp(r * np.log(b).std() + np.log(b).mean()),
    }[pipe]
    np.testing.assert_allclose(run.predict({"a": [1, 2], "c": [3, 4]}), undo(raw), rtol=1e-12)
    assert run.head().columns == ("b",)


@pytest.mark.parametrize(
    ("data", "model", "loss", "form", "columns", "shares", "note"),
    [
        ("y = y |> index", "p = dense(x, 1, sigmoid)", "mean(binary_cross_entropy(p, y))", "labels", ("y",), ("y=no", "y=yes"), ""),
        ("y = y |> onehot", "p = dense(x, 2)", "mean(cross_entropy_with_logits(p, y))", "labels", ("y",), (), ""),
        ("y = y |> index", "p = dense(x, 1)", "mean(binary_cross_entropy_with_logits(p, y))", "raw", ("p",), (),
         "`p` is one column and not known to be a probability: its numbers are those of the model, not labels"),
        ("y = k |> index", "p = dense(x, 3, softmax)", "mean(cross_entropy(p, onehot(y, 3)))", "labels", ("k",), ("k=u", "k=v", "k=w"), ""),
        ("u = a |> standardize\n  v = b |> standardize", "p = dense(x, 1)", "mean(mse(p, u)) + mean(mse(p, v))", "raw", ("p",), (),
         "`u` and `v` are both as wide as `p`: its numbers are those of the model, in no target's units"),
        ('u = columns("a", "b") |> standardize', "p = dense(x, 2)", "mean(mse(p, u))", "numbers", ("a", "b"), (), ""),
        ("y = y |> onehot", "h = dense(x, 2)\n  p = softmax(h)\n  z = dense(p, 1)", "mean(cross_entropy(p, y))", "raw", ("z",), (),
         "no target is as wide as `z`: its numbers are those of the model"),
        ("", "p = dense(x, 1)", "mean(mse(p, x))", "raw", ("p",), (), ""),
    ],
)  # fmt: skip
def test_what_a_head_predicts(small, data, model, loss, form, columns, shares, note) -> None:
    head = small(f"x = c |> standardize\n  {data}", model, loss).head()
    assert (head.form, head.columns, head.shares, head.note) == (form, columns, shares, note)


def test_two_heads_as_wide_are_each_in_the_units_of_their_own_target(small) -> None:
    model = "p = dense(x, 1)\n  q = dense(x, 1)\n  r = dense(x, 1)"
    loss = "mean(mse(p, u)) + mean(mse(q, v)) + 1e-3 * mean(r^2)"
    run = small("x = c |> standardize\n  u = a |> standardize\n  v = b |> standardize", model, loss)
    assert [(run.head(n).form, run.head(n).columns, run.head(n).note) for n in "pq"] == [("numbers", ("a",), ""), ("numbers", ("b",), "")]
    beside = {t.target.name: t.value for t in sampled.predicted(run.model.program, run.model.compilation, run.model.dataset)}
    assert beside == {"u": "p", "v": "q"}  # as predictions.json, and so the report, has it
    assert run.head("r").note == "`u` and `v` are both as wide as `r`: its numbers are those of the model, in no target's units"


def test_what_is_read_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(MODELS / "iris.mlp"), "--out", "r", "--set", "train.epochs=1"]) == 0
    Path("d.csv").write_bytes((DATA / "iris.csv").read_bytes())
    Path("link.csv").symlink_to("d.csv")
    before = Path("d.csv").read_bytes(), Path("r/weights.safetensors").read_bytes()
    for place in ("d.csv", str(tmp_path / "d.csv"), "link.csv", "r/weights.safetensors"):
        capsys.readouterr()
        assert main(["predict", "r", "d.csv", "-o", place]) == 1
        assert f"{place} is what is read here, and would be gone" in capsys.readouterr().err
    assert (Path("d.csv").read_bytes(), Path("r/weights.safetensors").read_bytes()) == before
    assert main(["predict", "r", "d.csv", "-o", "nowhere/out.csv"]) == 74
    assert "No such file or directory: 'nowhere/out.csv'" in capsys.readouterr().err
    Path("d.csv").write_text("a,b\n")
    assert main(["predict", "r", "d.csv"]) == 1
    assert "add rows: there is nothing to read" in capsys.readouterr().err


def test_a_value_that_only_a_penalty_reads_is_in_no_target_s_units(small) -> None:
    run = small("x = c |> standardize\n  u = a |> standardize", "h = dense(x, 1)\n  p = dense(h, 1)", "mean(mse(p, u)) + 1e-3 * mean(h^2)")
    assert (run.head("h").form, run.head("p").form) == ("raw", "numbers")


def test_one_column_is_judged_at_a_half_as_the_metrics_do(small) -> None:
    run = small("x = c |> standardize\n  y = y |> index", "p = dense(x, 1, sigmoid)", "mean(binary_cross_entropy(p, y))")
    shares = run.predict({"c": [0, 1, 2, 9]}, proba=True)
    assert shares.shape == (4, 2)
    assert run.predict({"c": [0, 1, 2, 9]}).tolist() == [("no", "yes")[int(s > 0.5)] for s in shares[:, 1]]


def test_other_heads_and_hidden_values_by_name(runs: dict[str, mlpc.Run]) -> None:
    run = runs["two_heads"]
    assert run.head("mass").columns == ("body_mass_g",)
    assert 2500 < run.predict(DATA / "penguins.csv", value="mass").mean() < 6000
    assert run.head("trunk").form == "raw"
    assert run.predict(DATA / "penguins.csv", value="trunk").shape == (344, 16)


# --- faults -----------------------------------------------------------------------------------------------------


def test_each_fault_says_where_what_and_what_to_do(small, tmp_path: Path) -> None:
    run = small('x = concat(columns("a", "b") |> standardize, k |> onehot)\n  y = c |> drop_missing')
    later = "fill the cell, or take the row out of the table: prediction leaves no row out"
    with said(f"E0404 4: row 2, column `b`: the cell is missing | {later}"):
        run.predict({"a": [1, 2], "b": [1, None], "k": ["u", "v"]})
    with said("E0407 4: row 2, column `k`: `x` (1 row) is in no training row; the classes there are u, v, w"
              " | the model knows these and no others: take the row out, or train again with rows of it"):  # fmt: skip
        run.predict({"a": [1, 2], "b": [1, 2], "k": ["u", "x"]})
    with said("E0402 4: the table has no column `b`, which the model was trained on | did you mean `B`?",
              "E0402 4: the table has no column `k`, which the model was trained on | it has a, B"):  # fmt: skip
        run.predict({"a": [1], "B": [1]})
    with said("E0403 4: row 1, column `a`: `one` is not a number | `|> onehot` makes a column of each label"):
        run.predict({"a": ["one"], "b": [1], "k": ["u"]})
    with said("E0201 0: the model has no value `q` | there is p"):
        run.predict({}, value="q")
    with said(
        "E0511 0: `p` predicts no classes, so it has no probabilities | p = softmax(z), or sigmoid(z) of one column, as the model's last line"
    ):
        run.predict({"a": [1], "b": [1], "k": ["u"]}, proba=True)
    with said("E0409 4: `b` has 2 rows and `a` has 1 | columns that stand side by side have the same rows"):
        run.predict({"a": [1], "b": [1, 2], "k": ["u"]})
    with said("E0405 0: the table has 0 columns and no row | give columns of as many rows"):
        run.predict({})
    with said("E0405 0: a int is no table | give a path, an array, a mapping of columns, or a frame of pandas or polars"):
        run.predict(3)
    with said("E0402 0: the array has 2 columns, and 3 are needed | in this order: a, b, k; or give a mapping of columns"):
        run.predict(np.zeros((4, 2)))
    with said("E0401 0: `t.txt` ends in none of .csv .tsv .npz .npy .parquet | save the table as .csv"):
        run.predict("t.txt")
    with pytest.raises(MlpcError) as caught:
        run.predict(tmp_path / "none.csv")
    assert caught.value.status == 74


def test_a_row_that_a_drop_missing_leaves_out_of_training_is_refused_in_prediction_and_left_out_in_evaluation(small) -> None:
    run = small("x = a |> drop_missing |> standardize\n  y = c |> drop_missing")
    with said("E0404 4: row 2, column `a`: the cell is missing"
              " | fill the cell, or take the row out of the table: prediction leaves no row out"):  # fmt: skip
        run.predict({"a": [1, None]})
    assert run.predict({"a": [1, 2]}).shape == (2,)  # the target's cells are not read
    found = run.evaluate({"a": [1, None, 3, 2], "c": [1, 2, None, 3]})
    assert (found.rows, found.notes) == (2, ("2 of 4 rows dropped: a cell of a, c is missing",))
    assert found.loss == pytest.approx(run.evaluate({"a": [1, 2], "c": [1, 3]}).loss, rel=1e-15)


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        ("c = x - mean(x, axis = batch)\n  p = dense(c, 1)", None,
         "`p` depends on the other rows of a batch, by `c = x - mean(x, axis = batch)` (line 8)"),
        ("h = x * bernoulli(0.5, x)\n  p = dense(h, 1)", None, "`p` depends on chance, by `h = x * bernoulli(0.5, x)` (line 8)"),
        ("m = mean(x)\n  p = dense(x, 1) + m", "m", "`m` is [], and has no row for each row of data"),
    ],
)  # fmt: skip
def test_what_no_row_alone_decides_is_not_predicted(small, model: str, name: str | None, message: str) -> None:
    run = small("x = a |> standardize\n  y = c", model)
    with pytest.raises(MlpcError) as caught:
        run.predict({"a": [1, 2]}, value=name)
    assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].message) == ("E0511", message)


def test_facts_that_the_plan_rests_on_are_verified_on_every_row(small, monkeypatch) -> None:
    run = small("x = clip(a, 0, 4)\n  y = c")
    from mlpc.runtime import pipes

    monkeypatch.setitem(
        pipes.PIPES, "clip", pipes.Pipe(("low", "high"), pipes._fit_clip, lambda frame, statistics, span: frame, numeric=True)
    )
    assert run.predict({"a": [1, 2]}).shape == (2,)
    with said("E0238 4: row 2: `x` was >= 0 for every row of training, and is not here"
              " | the algebra of the plan rests on it: the model must be trained again for such rows"):  # fmt: skip
        run.predict({"a": [1, -2]})


# --- evaluation and leakage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["iris", "penguins", "diabetes", "two_heads"])
def test_evaluating_the_rows_of_a_split_gives_what_the_run_measured(name: str, runs: dict[str, mlpc.Run], tmp_path: Path) -> None:
    run, rows = runs[name], cells(FILES[name])
    dataset = run.model.dataset
    places = [dataset.place("test", i) for i in range(dict(dataset.schema.rows)["test"])]
    (tmp_path / "test.csv").write_text(written([rows[int(p.rpartition(":")[2]) - 2] for p in places]))
    found = run.evaluate(tmp_path / "test.csv")
    assert found.rows == len(places)
    assert found.loss == run.losses["test"]
    assert found.metrics == run.metrics["test"]


def test_that_test_rows_change_no_statistic_and_no_weight(tmp_path: Path) -> None:
    """Leakage: other numbers, other labels, other gaps and another order in the rows of test (and of val but for what watches it)."""
    rows = cells("penguins.csv")
    text = (MODELS / "penguins.mlp").read_text().replace("data/penguins.csv", "t.csv")
    text = text.replace("random(train = 0.7, val = 0.15, test = 0.15)", "ordered(train = 0.7, test = 0.3)")  # fmt: skip
    text = text.replace("early_stop = on(val.loss, patience = 20)", "").replace("keep       = best(val.loss)", "")
    rows = [r for r in rows if r["body_mass_g"]]
    held = round(0.7 * len(rows))
    np.random.default_rng(0).shuffle(rows)  # type: ignore[arg-type]

    def trained(test: list[dict[str, str]]) -> mlpc.Run:
        (tmp_path / "t.csv").write_text(written(rows[:held] + test))
        return mlpc.loads(text, tmp_path, ["train.epochs=3"]).train()

    before = trained(rows[held:])
    assert dict(before.model.dataset.schema.rows)["train"] == held
    changes = [
        list(reversed(rows[held:])),
        [{**r, "bill_length_mm": "1000", "body_mass_g": "1"} for r in rows[held:]],
        [{**r, "bill_depth_mm": "", "sex": "male", "species": "Adelie"} for r in rows[held:]],
    ]
    for test in changes:
        after = trained(test)
        assert after.weights_sha256 == before.weights_sha256
        assert after.model.dataset.fitted == before.model.dataset.fitted
        schemas = [[replace(v, span=SPAN) for v in run.model.dataset.schema.values] for run in (before, after)]
        assert schemas[0] == schemas[1]
        assert after.losses["train"] == before.losses["train"]


# --- what may be given --------------------------------------------------------------------------------------------


def test_frames_mappings_arrays_and_files_are_one(runs: dict[str, mlpc.Run], tmp_path: Path, needs) -> None:
    for tool in ("pandas", "polars", "pyarrow", "narwhals"):
        needs(tool)
    import pandas as pd
    import polars as pl

    run = runs["penguins"]
    expected = run.predict(DATA / "penguins.csv").tobytes()
    frame = pd.read_csv(DATA / "penguins.csv")
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    mapping = {name: frame[name].to_numpy() for name in frame.columns}
    nullable = frame.convert_dtypes().astype({"species": "category"})
    found = [
        frame,
        nullable,
        pl.read_csv(DATA / "penguins.csv", null_values=["", "NA"]),
        tmp_path / "t.parquet",
        tmp_path / "t.tsv",
        mapping,
    ]
    assert [run.predict(x).tobytes() == expected for x in found] == [True] * len(found)
    digits = np.load(DATA / "digits.npz")["x"]
    np.save(tmp_path / "x.npy", digits)
    run, expected = runs["digits"], runs["digits"].predict(DATA / "digits.npz").tobytes()
    named = {f"x{i + 1}": digits[:, i] for i in range(64)}  # as a .csv of it would have them
    found = [digits, digits.astype(int), {"x": digits}, {"x": digits.tolist()}, named, tmp_path / "x.npy"]
    assert [run.predict(x).tobytes() == expected for x in found] == [True] * len(found)


def test_without_narwhals_the_extra_is_named(runs: dict[str, mlpc.Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with said("E0401 0: a object was given, and narwhals, which reads data frames, is not installed | pip install 'mlpc[frames]'"):
        runs["iris"].predict(object())
    assert runs["iris"].predict({"sepal_length": [5.1], "sepal_width": [3.5], "petal_length": [1.4], "petal_width": [0.2]}).tolist() == [
        "setosa"
    ]


# --- the commands -------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runs: dict[str, mlpc.Run]):
    monkeypatch.chdir(tmp_path)
    for name in ("iris", "penguins", "two_heads"):
        runs[name].save(tmp_path / f"{name}.safetensors")

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(argv)
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def test_predict_writes_a_table(ask, tmp_path: Path, runs: dict[str, mlpc.Run]) -> None:
    labels = runs["iris"].predict(DATA / "iris.csv").tolist()
    status, out, err = ask("predict", "iris.safetensors", str(DATA / "iris.csv"))
    assert (status, out.split("\n"), err) == (0, ["species", *labels, ""], "note: iris.csv: not read: species\n")
    assert ask("predict", "iris.safetensors", str(DATA / "iris.csv"), "-o", "-")[1] == out
    status, printed, err = ask("predict", "iris.safetensors", str(DATA / "iris.csv"), "-o", "out.csv")
    assert (status, printed, err.splitlines()[-1]) == (0, "", "150 rows predicted in out.csv")
    assert (tmp_path / "out.csv").read_text() == out
    _, shares, _ = ask("predict", "iris.safetensors", str(DATA / "iris.csv"), "--proba")
    table = list(csv.reader(io.StringIO(shares)))
    assert table[0] == ["species=setosa", "species=versicolor", "species=virginica"]
    assert (
        np.array(table[1:], float).tobytes() == runs["iris"].predict(DATA / "iris.csv", proba=True).tobytes()
    )  # every digit that there is
    _, grams, _ = ask("predict", "two_heads.safetensors", str(DATA / "penguins.csv"), "--value", "mass")
    assert grams.startswith("body_mass_g\n")
    ask("predict", "iris.safetensors", str(DATA / "iris.csv"), "--proba", "-o", "out.tsv")
    assert (tmp_path / "out.tsv").read_text().splitlines()[0].count("\t") == 2


def test_predict_reads_csv_from_stdin(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    class Standard:
        buffer = io.BytesIO((DATA / "iris.csv").read_bytes())

    monkeypatch.setattr(sys, "stdin", Standard)
    assert ask("predict", "iris.safetensors", "-")[1].count("\n") == 151


def test_predict_in_json(ask, tmp_path: Path, runs: dict[str, mlpc.Run]) -> None:
    found = json.loads(ask("predict", "penguins.safetensors", str(DATA / "penguins.csv"), "--json")[1])
    assert found.pop("predictions") == {"body_mass_g": runs["penguins"].predict(DATA / "penguins.csv").tolist()}
    told = {
        "format": 1,
        "title": "penguins.mlp",
        "value": "yhat",
        "target": "y",
        "form": "numbers",
        "columns": ["body_mass_g"],
        "rows": 344,
    }
    assert found == told
    found = json.loads(ask("predict", "penguins.safetensors", str(DATA / "penguins.csv"), "--json", "-o", "out.csv")[1])
    assert found == {**told, "out": "out.csv"}


def test_a_fault_on_the_way_leaves_the_file_as_it_was(ask, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(given, "BATCH", 20)
    lines = (DATA / "iris.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("\n".join([*lines[:100], "1,2,3,,x"]) + "\n")
    (tmp_path / "out.csv").write_text("before")
    status, out, err = ask("predict", "iris.safetensors", "t.csv", "-o", "out.csv")
    assert (status, out) == (1, "")
    assert "t.csv:101, column `petal_width`: the cell is empty" in err
    assert (tmp_path / "out.csv").read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    assert ask("predict", "iris.safetensors", str(DATA / "iris.csv"), "-o", "none/out.csv")[0] == 74


@pytest.mark.parametrize("written_to", ["in place", "replaced", "not at all"])
def test_a_table_that_is_written_to_while_it_is_read_is_refused(small, tmp_path, written_to: str) -> None:
    run, path, seen = small('x = columns("a", "c")\n  y = b', loss="mean(mse(p, y))"), tmp_path / "new.csv", list[int]()
    path.write_text(ROWS)

    def tables(needed: dict[str, int]) -> Any:
        for table in given.tables(path, needed, 2):
            seen.append(1)
            yield table
            if len(seen) == 1 and written_to == "in place":
                path.write_text(ROWS + "1,1,1,u,no\n")
            elif len(seen) == 1 and written_to == "replaced":
                (tmp_path / "other.csv").write_text(ROWS)
                (tmp_path / "other.csv").replace(path)

    for read in (
        lambda: run.evaluate_tables(tables(run.measured_columns())),
        lambda: list(run.predictions(run.head(), tables(run.columns()))),
    ):
        seen.clear()
        if written_to == "not at all":
            read()
            assert len(seen) == 3
        else:
            with pytest.raises(MlpcError, match="was written to while it was read") as caught:
                read()
            assert caught.value.diagnostics[0].code == "E0401" and len(seen) == 1
        path.write_text(ROWS)


def test_evaluate_prints_a_table_and_the_matrices(ask, runs: dict[str, mlpc.Run]) -> None:
    status, out, err = ask("evaluate", "iris.safetensors", str(DATA / "iris.csv"))
    found = runs["iris"].evaluate(DATA / "iris.csv")
    assert (status, err) == (0, "")
    assert out.startswith("iris.mlp   150 rows of iris.csv\n\n")
    assert f"loss        {found.loss:.6f}\naccuracy    {found.metrics['accuracy']:.6f}\n" in out
    assert "confusion, iris.csv: rows true, columns predicted" in out
    status, out, err = ask("evaluate", "penguins.safetensors", str(DATA / "penguins.csv"), "--json")
    told = json.loads(out)
    assert (told["rows"], told["metrics"]) == (342, runs["penguins"].evaluate(DATA / "penguins.csv").metrics)
    assert err == "note: penguins.csv: not read: year\nnote: 2 of 344 rows dropped: a cell of body_mass_g is missing\n"
    status, _, err = ask("evaluate", "iris.safetensors", "none.csv")
    assert status == 74
