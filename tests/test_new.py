"""`mlpc new`: what it drafts compiles, trains and beats what is known without it; what it copies runs; what is there stays."""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import mlpc
from mlpc.cli.main import main
from mlpc.dsl.format import formatted
from mlpc.runtime.draft import PATIENCE
from mlpc.runtime.goal import FAR, FEW, ROWS_A_CLASS, UNEVEN, goal
from mlpc.runtime.kinds import MOST_ONEHOT, NOWHERE, ROWS_A_LABEL, kinds, pattern
from mlpc.runtime.partition import SEEDS, SHARES
from mlpc.runtime.table import parse_table

ROOT = Path(__file__).parents[1]
GALLERY, TABLES = ROOT / "models" / "data", ROOT / "tests" / "data"
FOLDER_OF = {"iris": GALLERY, "penguins": GALLERY, "diabetes": GALLERY, "wine": TABLES, "breast_cancer": TABLES, "cars": TABLES}

ABOVE = 0.25  # accuracy of the test rows, above the share of the commonest class
BELOW = 0.85  # rmse of the test rows, over that of predicting the mean


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]):
    """ask(DATA, ...) -> (status, stdout, stderr)."""

    def call(*argv: object) -> tuple[int, str, str]:
        status = main(["new", *map(str, argv)])
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def put(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def column(path: Path, name: str) -> list[str]:
    with open(path, encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file) if row[name]]


def roles(text: str, target: str) -> dict[str, str]:
    """What becomes of the columns of a table: the role, or why it is left out."""
    table = parse_table(text.encode(), "t.csv", ",", NOWHERE)
    g = goal(table, target)
    return {k.name: k.why or k.role for k in kinds(table, target, g.columns, g.kept)}


def csv_of(**columns: Sequence[object]) -> str:
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"


# --- public tables -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("iris", "species"), ("penguins", "species"), ("penguins", "body_mass_g"), ("diabetes", "progression"),
        ("wine", "cultivar"), ("breast_cancer", "diagnosis"), ("cars", "Miles per Gallon"),
    ],
)  # fmt: skip
def test_the_draft_of_a_public_table_trains_without_an_edit(ask, tmp_path: Path, name: str, target: str) -> None:
    data = tmp_path / f"{name}.csv"
    data.write_bytes((FOLDER_OF[name] / data.name).read_bytes())
    status, out, err = ask(data, "--target", target)
    model = tmp_path / f"{name}.mlp"
    assert (status, err) == (0, "") and f"wrote {model}\n" in out and out.endswith(f"next: mlpc run {model}\n")
    assert main(["fmt", "--check", str(model)]) == 0
    loaded = mlpc.load(model)
    assert [w.code for w in loaded.warnings] == []
    reached = loaded.train().metrics["test"]
    cells = column(data, target)
    if "accuracy" in reached:
        assert reached["accuracy"] >= max(Counter(cells).values()) / len(cells) + ABOVE
    else:
        assert reached["rmse"] <= BELOW * np.std([float(cell) for cell in cells])


@pytest.mark.parametrize(("name", "target"), [("iris", "species"), ("cars", "Miles per Gallon")])
def test_the_text_of_a_draft(ask, name: str, target: str) -> None:
    status, out, _ = ask(FOLDER_OF[name] / f"{name}.csv", "--target", target, "--dry-run")
    assert status == 0
    pinned = ROOT / "tests" / "drafts" / f"{name}.mlp"
    if os.environ.get("MLPC_PIN"):
        pinned.write_text(out, encoding="utf-8")
    assert out == pinned.read_text(encoding="utf-8")


# --- columns -------------------------------------------------------------------------------------


def test_what_becomes_of_a_column() -> None:
    n = 40
    text = csv_of(
        y=[i * i % 17 + i / 8 for i in range(n)],
        number=[i * 7 % 13 / 4 for i in range(n)],
        gaps=["" if i % 5 == 0 else i % 7 for i in range(n)],
        few=["ab"[i % 2] for i in range(n)],
        often=[f"l{i % 30}" for i in range(n)],
        different=[f"n{i}" for i in range(n)],
        counted=range(1, n + 1),
        user_id=[i * 37 % 101 for i in range(n)],
        shop_id=[i % 4 for i in range(n)],
        constant=["same"] * n,
        nought=[0] * n,
        absent=[""] * n,
        only_some=["yes" if i % 3 else "" for i in range(n)],
        day=[f"2024-01-{i % 28 + 1:02}" for i in range(n)],
        at=[f"{i % 24}:30" for i in range(n)],
        typo=["?" if i == 3 else i % 6 for i in range(n)],
        again=[i * i % 17 + i / 8 for i in range(n)],
    )
    assert roles(text, "y") == {
        "number": "number",
        "gaps": "number",
        "few": "labels",
        "often": "30 labels in 40 rows: too few of each to learn from",
        "different": "it is different in every row",
        "counted": "it numbers the rows",
        "user_id": "it is different in every row",
        "shop_id": "labels",
        "constant": "it is `same` in every row",
        "nought": "it is 0 in every row that has it",
        "absent": "no cell is there",
        "only_some": "labels",
        "day": "dates or times; put numbers in their place: the year, the month, the days since the first",
        "at": "dates or times; put numbers in their place: the year, the month, the days since the first",
        "typo": "one of its cells is no number: `?`, t.csv:5; a missing cell is an empty one",
        "again": "it says what `y` is, row by row",
    }


def test_a_code_of_the_class_is_left_out_unless_it_is_all_there_is() -> None:
    labels = ["red", "green", "blue"] * 10
    code = [{"red": 7, "green": 3, "blue": 5}[label] for label in labels]
    other = [i % 7 for i in range(30)]
    assert roles(csv_of(y=labels, code=code, other=other), "y") == {"code": "it says what `y` is, row by row", "other": "number"}
    assert roles(csv_of(y=labels, code=code), "y") == {"code": "number"}


def test_many_labels_get_a_trained_row_each(ask, tmp_path: Path) -> None:
    n = 300
    town = [f"town{i * 7 % 30}" if i % 50 else "" for i in range(n)]
    data = put(tmp_path, csv_of(y=[i % 11 + i / n for i in range(n)], town=town, z=[i % 9 for i in range(n)]))
    assert ask(data, "--target", "y")[0] == 0
    text = (tmp_path / "t.mlp").read_text("utf-8")
    assert 'code1 = columns("town") |> impute(most_frequent) |> index\n' in text
    assert "# town has 30 labels: each gets a trained row of numbers, in `model`; 6 cells are missing: the commonest" in text
    assert "row1 = embedding(code1, 5)\n" in text and "x    = concat(numbers, row1)\n" in text
    assert [p.name for p in mlpc.load(tmp_path / "t.mlp").plan.params] == ["row1.W", "h.W", "h.b", "yhat.W", "yhat.b"]


def test_a_rare_label_is_brought_into_training_by_the_seed_or_its_column_is_left_out(ask, tmp_path: Path) -> None:
    n = 60
    y = [i % 10 + i / n for i in range(n)]
    rare = ["x" if i == 7 else "ab"[i % 2] for i in range(n)]
    rarer = [f"only{i}" if i < 18 else "a" for i in range(n)]
    data = put(tmp_path, csv_of(y=y, rare=rare, rarer=rarer, z=[i % 7 for i in range(n)]))
    status, out, _ = ask(data, "--target", "y")
    assert status == 0 and "rarer is left out: some of its labels or cells are so rare that training may not meet them" in out
    assert 'columns("rare") |> onehot' in (tmp_path / "t.mlp").read_text("utf-8")
    mlpc.load(tmp_path / "t.mlp")


@pytest.mark.parametrize(
    ("name", "others", "written"),
    [
        ("plain", ["other"], "plain"),
        ('a"b', ["ab"], "a?b"),
        ("a\nb", [], "a?b"),
        ('a"b', ["axb"], None),
        ("a*", ["ab"], None),
        ("a*", ["b"], "a*"),
        ("a[b]", [], "a[b]"),
        ("\u202eevil", [], "?evil"),
        ("größe\u2028", [], "größe?"),
    ],
)
def test_the_pattern_of_a_name_stands_for_it_alone(name: str, others: list[str], written: str | None) -> None:
    assert pattern(name, [name, *others]) == written


def test_many_names_that_begin_alike_are_one_pattern(ask, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = {f"pixel{i}": rng.normal(size=30).round(3).tolist() for i in range(12)}
    data = put(tmp_path, csv_of(y=rng.normal(size=30).round(3).tolist(), pi=list(rng.permutation(30)), **pixels))
    assert 'columns("pi", "pixel*")' in ask(data, "--target", "y", "-o", "-")[1]


# --- targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "loss", "metrics"),
    [
        ([f"{'ab'[i % 2]}" for i in range(40)], "cross_entropy(p, y)", "accuracy(p, y), confusion(p, y)"),
        ([i % 3 for i in range(40)], "cross_entropy(p, y)", "accuracy(p, y), confusion(p, y)"),
        ([int(i % 8 == 0) for i in range(40)], "cross_entropy(p, y, weight = balanced(y))", "accuracy(p, y), f1(p, y), confusion(p, y)"),
        ([i % 12 for i in range(40)], "mse(yhat, y)", "mae(yhat, y), rmse(yhat, y), r2(yhat, y)"),
        ([i % 3 + 0.5 for i in range(40)], "mse(yhat, y)", "mae(yhat, y), rmse(yhat, y), r2(yhat, y)"),
        ([1000 if i == 3 else i % 12 for i in range(40)], "huber(yhat, y)", "mae(yhat, y), rmse(yhat, y), r2(yhat, y)"),
    ],
)
def test_loss_and_metrics_by_the_kind_of_target(ask, tmp_path: Path, cells: list[object], loss: str, metrics: str) -> None:
    data = put(tmp_path, csv_of(z=[i * 7 % 11 for i in range(40)], goal=cells))
    text = ask(data, "--target", "goal", "-o", "-")[1]
    assert f"loss = mean({loss})" in text and f"\nreport {metrics}\n" in text


@pytest.mark.parametrize(
    ("rows", "split"),
    [
        (8, ""),
        (20, "random(train = 0.7, test = 0.3)"),
        (100, "random(train = 0.75, test = 0.25)"),
        (300, "random(train = 0.7, val = 0.15, test = 0.15)"),
        (10_000, "random(train = 0.8, val = 0.1, test = 0.1)"),
    ],
)
def test_shares_and_early_stopping_by_the_number_of_rows(ask, tmp_path: Path, rows: int, split: str) -> None:
    data = put(tmp_path, csv_of(z=[i * 7 % 11 for i in range(rows)], y=[i * 5 % 13 + i % 2 / 4 for i in range(rows)]))
    assert ask(data, "--target", "y")[0] == 0
    text = (tmp_path / "t.mlp").read_text("utf-8")
    assert (f"split = {split}" if split else "no split: 8 rows are too few") in text
    assert ("early_stop" in text) == ("val =" in split)
    mlpc.load(tmp_path / "t.mlp")


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        ("a,b\n1,2\n", "c", "error[E0402]: unknown column\n   t.csv has no column `c`\n   hint: there is a, b"),
        ("species,b\n1,2\n", "spcies", "hint: did you mean `species`?"),
        ("a,b\n1,x\n2,x\n", "b", "`b` is `x` in every row: there is nothing to learn"),
        ("a,b\n1,\n2,\n", "b", "every cell of `b` is missing"),
        ("a,b\n1,x\n2,y\n3,z\n", "b", "`b` is text, as `x`, with 3 labels in 3 rows: too many for classes"),
        ("a,b\n" + "".join(f"{i},{i / 2}\n" for i in range(30)) + "3,NA\n", "b", "`b`: one of its cells is no number: `NA`, t.csv:32"),
        ("a,b\n1,2\n1,3\n1,4\n", "b", "no column of t.csv is left to predict `b` from\n   `a`: it is 1 in every row that has it"),
        ("b\n1\n2\n", "b", "no column of t.csv is left to predict `b` from"),
        ("", "b", "t.csv is empty"),
    ],
)
def test_what_cannot_be_predicted_is_said_and_nothing_is_written(ask, tmp_path: Path, text: str, target: str, said: str) -> None:
    status, out, err = ask(put(tmp_path, text), "--target", target)
    assert (status, out) == (1, "") and said in err
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_without_a_target_the_columns_are_listed(ask) -> None:
    status, out, err = ask(GALLERY / "iris.csv")
    assert (status, out) == (2, "")
    assert "iris.csv has sepal_length, sepal_width, petal_length, petal_width, species\n   hint: --target species predicts the last" in err


def test_the_page_of_the_rules_has_their_numbers() -> None:
    page = (ROOT / "docs" / "new.md").read_text("utf-8")
    assert f"at most {MOST_ONEHOT} labels" in page and f"of {ROWS_A_LABEL} rows each" in page and f"none of {len(SEEDS)} seeds" in page
    assert (
        f"at most {FEW} with {ROWS_A_CLASS} rows each" in page
        and f"over {UNEVEN} times" in page
        and f"more than {FAR} interquartile" in page
    )
    assert f"not fallen for {PATIENCE} epochs" in page
    for (least, (train, val, test)), words in zip(SHARES, ("10,000 or more", "200 to 9,999", "50 to 199", "10 to 49"), strict=True):
        assert words.startswith(f"{least:,} ")
        assert f"| {words} | train {train}, {f'val {val}, ' if val != '0' else ''}test {test}" in page


# --- files ---------------------------------------------------------------------------------------


def test_what_is_there_is_not_written_over(ask, tmp_path: Path) -> None:
    data = tmp_path / "iris.csv"
    data.write_bytes((GALLERY / "iris.csv").read_bytes())
    mine = put(tmp_path, "mine", "iris.mlp")
    status, out, err = ask(data, "--target", "species")
    assert (status, out) == (1, "") and f"error[E0510]: the file is there already\n   {mine} is there already" in err
    assert mine.read_text() == "mine"
    assert ask(data, "--target", "species", "--force")[0] == 0 and mine.read_text().startswith("# iris.mlp: ")
    assert ask(data, "--target", "species")[0] == 0  # it says the same
    assert ask(data, "--target", "petal_width")[0] == 1


def test_the_model_stands_where_it_can_read_the_data(ask, tmp_path: Path) -> None:
    folder, aside = tmp_path / "in", tmp_path / "aside"
    folder.mkdir()
    aside.mkdir()
    data = put(folder, csv_of(z=list(range(0, 60, 2)), y=[i % 13 / 2 for i in range(30)]))
    assert ask(data, "--target", "y", "-o", tmp_path)[0] == 0 and 'from "in/t.csv"' in (tmp_path / "t.mlp").read_text()
    assert ask(data, "--target", "y", "-o", tmp_path / "other.mlp")[0] == 0
    mlpc.load(tmp_path / "other.mlp")
    status, _, err = ask(data, "--target", "y", "-o", aside)
    assert status == 1 and "E0408" in err and not list(aside.iterdir())
    assert ask(data, "--target", "y", "-o", aside / "model.txt")[0] == 2


@pytest.mark.parametrize(("name", "status"), [("a b.csv", 0), ("größe.csv", 0), ("x*y?[z].csv", 0), ('a"b.csv', 1), ("a\nb.csv", 1)])
def test_hostile_names_of_files(ask, tmp_path: Path, name: str, status: int) -> None:
    data = put(tmp_path, csv_of(z=list(range(0, 60, 2)), y=[i % 13 / 2 for i in range(30)]), name)
    assert ask(data, "--target", "y")[0] == status
    for model in tmp_path.glob("*.mlp"):
        mlpc.load(model)


def test_json(ask, tmp_path: Path) -> None:
    status, out, _ = ask(TABLES / "cars.csv", "--target", "Origin", "--json", "--dry-run")
    found = json.loads(out)
    assert (status, found["format"], found["target"], found["classes"], found["written"]) == (
        0,
        1,
        "Origin",
        ["Europe", "Japan", "USA"],
        [],
    )
    assert found["columns"][0] == {"name": "car id", "role": "out", "why": "it is different in every row"}
    assert found["text"].startswith("# cars.mlp: ") and not list(tmp_path.iterdir())
    examples = json.loads(ask("--example", "--json")[1])["examples"]
    assert {"name": "iris", "about": "a CSV in, a classifier out; preprocessing and split belong to the model"} in examples


@pytest.mark.parametrize("argv", [(), ("t.csv", "--example", "iris"), ("--example", "iris", "--target", "y")])
def test_what_to_write_must_be_clear(ask, argv: tuple[str, ...]) -> None:
    status, out, err = ask(*argv)
    assert (status, out) == (2, "") and "error[E0209]" in err


@pytest.mark.parametrize(("ending", "target"), [(".tsv", "y"), (".npz", "y"), (".parquet", "y")])
def test_every_kind_of_file(ask, tmp_path: Path, ending: str, target: str) -> None:
    rng = np.random.default_rng(1)
    x, y, data = rng.normal(size=(60, 2)), rng.integers(0, 3, 60), tmp_path / f"t{ending}"
    if ending == ".tsv":
        put(tmp_path, "a\tb\ty\n" + "".join(f"{a}\t{b}\t{c}\n" for (a, b), c in zip(x, y, strict=True)), data.name)
    elif ending == ".npz":
        np.savez(data, x=x, y=y, cube=np.zeros((60, 2, 2)), short=np.zeros(3), when=np.array(["2024-01-01"] * 60, dtype="M8[D]"))
    else:
        day = pyarrow.array([19000 + i for i in range(60)], pyarrow.date32())
        parquet.write_table(pyarrow.table({"a": x[:, 0], "b": x[:, 1], "y": y, "day": day}), data)
    status, out, err = ask(data, "--target", target)
    assert (status, err) == (0, "")
    model = mlpc.load(tmp_path / "t.mlp")
    assert model.plan.params[0].shape == (2, 8)
    assert out.count("is left out: ") == {".tsv": 0, ".npz": 3, ".parquet": 1}[ending]


# --- the gallery ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "models").glob("*.mlp")))
def test_an_example_is_copied_with_all_that_it_needs(ask, tmp_path: Path, name: str) -> None:
    status, out, err = ask("--example", name, "-o", tmp_path)
    assert (status, err) == (0, "") and out.endswith(f"next: mlpc run {tmp_path / name}.mlp\n")
    copied = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    assert [f"wrote {p}" in out for p in copied] == [True] * len(copied)
    for path in copied:
        original = ROOT / "models" / path.relative_to(tmp_path)
        assert path.suffix == ".md" or path.read_bytes() == original.read_bytes()
    tables = [p for p in copied if p.parent.name == "data" and p.suffix != ".md"]
    assert all("**Licence**" in p.with_suffix(".md").read_text("utf-8") or name == "spiral" for p in tables)
    assert mlpc.load(tmp_path / f"{name}.mlp").plan.lines == mlpc.load(ROOT / "models" / f"{name}.mlp").plan.lines


def test_examples_share_their_data_and_leave_other_files_alone(ask, tmp_path: Path) -> None:
    assert ask("--example", "penguins", "-o", tmp_path)[0] == ask("--example", "two_heads", "-o", f"{tmp_path}/")[0] == 0
    mine = put(tmp_path / "data", "mine", "iris.csv")
    status, _, err = ask("--example", "iris", "-o", tmp_path)
    assert status == 1 and f"{mine} is there already" in err and not (tmp_path / "iris.mlp").exists()
    status, _, err = ask("--example", "pengiuns", "-o", tmp_path)
    assert status == 1 and "did you mean `penguins`?" in err


# --- hostile tables ------------------------------------------------------------------------------

WORDS = [
    "x", "y", "h", "p", "yhat", "split", "numbers", "labels", "filled", "code1", "row1", "numeric", "categorical", "data", "model", "loss",
    "train", "from", "report", "columns", "concat", "standardize", "onehot", "mean", "sum", "step", "epochs", "weights", "training", "pi", "dense",
    "relu", "softmax", "id", "index", "a*", "*", "?", "a?", "a b", 'a"b', "a'b", "#", "a#b", "{", "}", "|>", "a\\b", "größe", "日本", "1", "-", "e\u0301",
    "\u202eb", "\ufeffa", "a\tb", "a\nb", "a\u2028b", "__import__('os')",
]  # fmt: skip
NAMES = st.sampled_from(WORDS) | st.text(min_size=1, max_size=8).filter(str.strip)
CELLS = st.sampled_from(
    [
        ["1", "2", "3"], ["0", "1"], ["a", "b"], ["a", ""], ["", "1.5", "2", "-7e3"], ["2024-01-02", "2024-02-03"], ["NA", "1", "2", "3"], ["k"], [""],
        ["1e308", "-1e308", "0"], ["1e-320", "0"], ["x", "y", "zzz", "#", '"', "}", "a,b"], ["0.1", "0.2", "0.3", "1e9"], [f"r{i}" for i in range(40)],
        [str(i) for i in range(40)], ["\u202e", "b", "日"],
    ]
)  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[str]]:
    rows = draw(st.sampled_from([1, 2, 3, 5, 9, 12, 30, 60, 210]))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    return {name: rng.choice(draw(CELLS), rows).tolist() for name in names}


def refused_by_csv(names: list[str]) -> bool:
    return any(c in name for name in names for c in "\r\n\0")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables(), pick=st.integers(0, 4), binary=st.booleans())
def test_a_random_table_gives_a_model_that_compiles_or_a_diagnosis(tmp_path: Path, capsys, table, pick: int, binary: bool) -> None:
    names = list(table)
    target = names[pick % len(names)]
    if binary or refused_by_csv(names):
        data = tmp_path / "t.parquet"
        parquet.write_table(pyarrow.table({name: [cell or None for cell in cells] for name, cells in table.items()}), data)
    else:
        data = tmp_path / "t.csv"
        with open(data, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([names, *zip(*table.values(), strict=True)])
    status = main(["new", str(data), f"--target={target}", "--force"])
    found = capsys.readouterr()
    model = tmp_path / "t.mlp"
    if status == 0:
        text = model.read_bytes()
        assert formatted(text, "t.mlp").encode() == text
        losses = mlpc.load(model, ["train.epochs=1"]).train().losses
        assert all(math.isfinite(loss) for loss in losses.values())
        model.unlink()
    else:
        assert status == 1 and found.err.startswith("error[E") and not model.exists(), found.err
