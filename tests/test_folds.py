"""`mlpc run --folds K`: which rows each fold holds out, that nothing else sees them, and what is printed and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpc
from mlpc.cli import folds, training
from mlpc.cli.main import main
from mlpc.dsl.diagnostics import MlpcError

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models"
SPLITS = {
    "random": "split = random(train = 0.6, val = 0.2, test = 0.2)",
    "stratified": "split = stratified(train = 0.6, val = 0.2, test = 0.2)",
    "ordered": "split = ordered(train = 0.6, val = 0.2, test = 0.2)",
    "grouped": "split = grouped(g, train = 0.6, val = 0.2, test = 0.2)",
    "": "",
}


def table(rows: int = 60) -> dict[str, list[Any]]:
    """Columns: two numbers, one with gaps, a label of three kinds (unequally many) and a group of nine."""
    draw = np.random.default_rng(7)
    a = draw.normal(size=(rows, 2)).round(3)
    kind = ["r" if i % 2 else "s" if i % 4 else "t" for i in range(rows)]
    gaps: list[Any] = ["" if i % 11 == 5 else i % 7 for i in range(rows)]
    return {"a": a[:, 0].tolist(), "b": a[:, 1].tolist(), "c": gaps, "kind": kind, "g": [f"g{i * 5 % 9}" for i in range(rows)]}


def written(folder: Path, split: str, columns: dict[str, list[Any]] | None = None, more: str = "") -> Path:
    """A model with every pipe that learns of its data, and its table."""
    columns = columns or table()
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (folder / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = folder / "model.mlp"
    path.write_text(
        f"""data {{
  from "t.csv"
  x = concat(a, b) |> standardize
  c2 = c |> impute(median) |> minmax
  y = kind |> onehot
  {SPLITS[split]}
}}
model {{
  h = dense(x, 3) + dense(c2, 3)
  z = dense(tanh(h), 3)
  p = softmax(z)
}}
loss = mean(cross_entropy(p, y, weight = balanced(y)))
train {{
  optimizer = adam(lr = 0.05)
  epochs = 4
  batch = 8
  seed = 3
{more}
}}
report accuracy(p, y)
report confusion(p, y)
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(argv)
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


# --- which rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_each_row_of_train_and_val_is_held_out_once_and_none_of_test(tmp_path: Path, split: str) -> None:
    path = written(tmp_path, split)
    whole = mlpc.load(path).dataset.parts
    pool = np.sort(np.concatenate([whole["train"], whole.get("val", whole["train"][:0])]))
    found = [m.dataset.parts for m in mlpc.load_folds(path, 4)]
    assert np.array_equal(np.sort(np.concatenate([p["val"] for p in found])), pool)
    for parts in found:
        assert set(parts) == {"train", "val"}
        assert np.array_equal(np.sort(np.concatenate([parts["train"], parts["val"]])), pool)
        assert np.array_equal(parts["train"], np.sort(parts["train"])) and np.array_equal(parts["val"], np.sort(parts["val"]))
    if split != "grouped":
        assert {len(p["val"]) for p in found} <= {len(pool) // 4, len(pool) // 4 + 1}


def test_a_stratified_fold_has_its_share_of_each_class(tmp_path: Path) -> None:
    found = mlpc.load_folds(written(tmp_path, "stratified"), 5)
    counts = np.array([m.dataset.splits["val"]["y"].sum(axis=0) for m in found])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all() and counts.min() >= 1


def test_a_group_is_in_one_fold(tmp_path: Path) -> None:
    groups = np.array(table()["g"])
    found = [set(groups[m.dataset.parts["val"]]) for m in mlpc.load_folds(written(tmp_path, "grouped"), 2)]
    assert not found[0] & found[1] and found[0] and found[1]


def test_ordered_folds_are_blocks_and_a_note_says_so(tmp_path: Path, ask: Any) -> None:
    path = written(tmp_path, "ordered")
    found = mlpc.load_folds(path, 4)
    assert [m.dataset.parts["val"].tolist() for m in found] == [list(range(i, i + 12)) for i in (0, 12, 24, 36)]
    assert "note: the split is `ordered`, so each fold is a block" in ask("run", str(path), "--folds", "4", "--no-out")[2]


def test_folds_follow_from_the_seed(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    first, again, other = (
        [m.dataset.parts["val"].tolist() for m in mlpc.load_folds(path, 3, [f"train.seed={seed}"])] for seed in (3, 3, 4)
    )
    assert first == again != other


# --- what sees them ------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["random", "ordered"])
def test_a_held_out_or_test_row_changes_no_statistic_and_no_weight(tmp_path: Path, split: str) -> None:
    """Every number of the rows that a fold does not train on is another: its statistics, plan and weights keep their bits."""
    path = written(tmp_path, split)
    before = mlpc.load_folds(path, 3)
    for i, model in enumerate(before):
        columns, trained = table(), set(model.dataset.parts["train"].tolist())
        for name in "ab":
            columns[name] = [v if row in trained else 1000 - 3 * v for row, v in enumerate(columns[name])]
        columns["c"] = [v if row in trained else 99 for row, v in enumerate(columns["c"])]
        (tmp_path / "other").mkdir(exist_ok=True)
        changed = mlpc.load_folds(written(tmp_path / "other", split, columns), 3)[i]
        assert changed.dataset.parts["val"].tolist() == model.dataset.parts["val"].tolist()
        assert changed.dataset.fitted == model.dataset.fitted and changed.plan == model.plan
        one, two = model.train(), changed.train()
        assert one.weights_sha256 == two.weights_sha256 and one.losses["train"] == two.losses["train"]
        assert one.losses["val"] != two.losses["val"]


def test_statistics_are_those_of_the_fold_s_training_rows(tmp_path: Path) -> None:
    a = np.array(table()["a"])
    for model in mlpc.load_folds(written(tmp_path, "random"), 3):
        rows, x = model.dataset.parts, model.dataset.splits
        mean, sd = a[rows["train"]].mean(), a[rows["train"]].std()
        np.testing.assert_allclose(x["val"]["x"][:, 0], (a[rows["val"]] - mean) / sd, rtol=1e-12)


def test_keep_watches_the_fold_even_where_the_file_has_no_val(tmp_path: Path) -> None:
    path = written(tmp_path, "", more="  keep = best(val.loss)")
    with pytest.raises(MlpcError, match="no split `val`"):
        mlpc.load(path)
    run = mlpc.load_folds(path, 3)[0].train()
    assert run.losses["val"] == min(entry["loss"]["val"] for entry in run.history)


def test_nothing_may_be_chosen_by_the_test_rows(tmp_path: Path) -> None:
    path = written(tmp_path, "random", more="  keep = best(test.loss)")
    with pytest.raises(MlpcError, match="no split `test`"):
        mlpc.load_folds(path, 3)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "folds", "message"),
    [
        ("random", 49, "49 folds need a row each, and `train` and `val` together have 48"),
        ("", 61, "61 folds need a row each, and `train` has 60"),
        ("stratified", 13, "each of 13 folds needs a row of every class, and `train` and `val` together have 12 of `s`"),
        ("grouped", 10, "10 folds need a group each, and `train` and `val` together have"),
    ],
)
def test_too_many_folds(tmp_path: Path, split: str, folds: int, message: str) -> None:
    with pytest.raises(MlpcError) as caught:
        mlpc.load_folds(written(tmp_path, split), folds)
    (d,) = caught.value.diagnostics
    assert d.code == "E0406" and d.message.startswith(message) and d.hint.startswith("--folds ")


def test_a_label_that_a_fold_alone_has_is_told_with_the_fold(ask: Any) -> None:
    status, out, err = ask("run", str(MODELS / "notebook.mlp"), "--folds", "3")
    assert (status, out) == (1, "") and "E0407" in err and "in fold 1, row 2, column `y`: `1` (1 row) is in no training row" in err


def test_folds_of_no_data(tmp_path: Path) -> None:
    path = tmp_path / "none.mlp"
    path.write_text("model {\n  param w ~ constant(3)\n}\nloss = w^2\ntrain {\n  optimizer = sgd(lr = 0.1)\n  epochs = 1\n}\n")
    with pytest.raises(MlpcError, match="no rows to cut into folds"):
        mlpc.load_folds(path, 2)
    with pytest.raises(MlpcError, match="1 fold: of one"):
        mlpc.load_folds(path, 1)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--folds", "1"], "a whole number of at least 2 was needed"),
        (["--folds", "3", "--overfit", "8"], "--overfit asks of some training rows, and --folds holds rows out"),
        (["--folds", "3", "--resume", "x"], "--folds is for a run that begins, and --resume goes on with one"),
    ],
)
def test_options_that_do_not_go_with_folds(ask: Any, argv: list[str], said: str) -> None:
    status, _, err = ask("run", str(MODELS / "iris.mlp"), *argv)
    assert status == 2 and said in err


# --- what is printed and kept --------------------------------------------------------------------


def test_a_line_a_fold_mean_and_sd_and_a_folder_each(tmp_path: Path, ask: Any) -> None:
    path = written(tmp_path, "stratified")
    status, out, err = ask("run", str(path), "--folds", "3")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert "3 folds of 16 rows out of 48" in out and "the 12 test rows are in none" in out
    head = lines.index(["fold", "epoch", "train.loss", "val.loss", "train.accuracy", "val.accuracy"])
    folds = np.array([[float(cell) for cell in line[2:]] for line in lines[head + 1 : head + 4]])
    runs = [m.train() for m in mlpc.load_folds(path, 3)]
    np.testing.assert_allclose(folds[:, 1], [r.losses["val"] for r in runs], atol=1e-6)
    assert lines[head + 4][0] == "mean" and lines[head + 5][:2] == ["±", "sd"]
    np.testing.assert_allclose([float(c) for c in lines[head + 4][1:]], folds.mean(axis=0), atol=2e-6)
    np.testing.assert_allclose([float(c) for c in lines[head + 5][2:]], folds.std(axis=0, ddof=1), atol=2e-6)
    for i, run in enumerate(runs, 1):
        folder = tmp_path / "runs" / "model-1" / f"fold-{i}"
        assert mlpc.load_run(folder).weights_sha256 == run.weights_sha256
        assert len((folder / "history.jsonl").read_text().splitlines()) == 4
    status, _, err = ask("run", "--resume", "runs/model-1/fold-2")
    assert status == 1 and "E0507" in err and "is fold 2 of 3, which go on together" in err and "--resume runs/model-1 " in err
    with pytest.raises(MlpcError, match="holds several runs"):
        mlpc.load_run("runs/model-1")
    status, _, err = ask("report", "runs/model-1")
    assert (
        status == 1 and "runs/model-1 has no settings.json: it holds several runs" in err and "name one of them: runs/model-1/fold-1" in err
    )


def test_json_says_the_same(tmp_path: Path, ask: Any) -> None:
    path = written(tmp_path, "random")
    _, out, _ = ask("run", str(path), "--folds", "3", "--json", "--out", "kept")
    found = json.loads(out)
    assert found == json.loads((tmp_path / "kept" / "folds.json").read_text())
    losses = [fold["loss"]["val"] for fold in found["folds"]]
    assert found["mean"]["val.loss"] == np.mean(losses) and found["sd"]["val.loss"] == pytest.approx(np.std(losses, ddof=1))
    assert [fold["out"] for fold in found["folds"]] == [str(Path("kept") / f"fold-{i}") for i in (1, 2, 3)]
    assert all(set(fold["loss"]) == {"train", "val"} for fold in found["folds"]) and "val.confusion" not in found["mean"]
    again = json.loads(ask("run", str(path), "--folds", "3", "--json", "--no-out")[1])
    assert [f["weights_sha256"] for f in again["folds"]] == [f["weights_sha256"] for f in found["folds"]]


def test_a_fold_whose_loss_is_not_finite_is_named(tmp_path: Path, ask: Any) -> None:
    path = written(tmp_path, "random")
    status, _, err = ask("run", str(path), "--folds", "3", "--set", "train.optimizer.lr=1e308", "--no-out")
    assert status == 3 and "E0503" in err and "in fold 1, " in err
    status, _, err = ask("run", str(path), "--folds", "3", "--set", "train.optimizer.lr=1e308", "--no-out", "--on-nan", "warn")
    assert status == 0 and [err.count(f"in fold {i}, the loss is not a number") for i in (1, 2, 3)] == [1, 1, 1]


def test_the_folds_before_one_whose_loss_is_not_finite_are_kept(tmp_path: Path, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "random")
    real = training.trained

    def spoilt(args: Any, model: Any, folder: Path, *more: Any, **named: Any) -> Any:
        if folder.name == "fold-2":
            (param, *_) = model.plan.params
            named["init"] = {p.name: np.full(p.shape, np.inf if p is param else 1.0) for p in model.plan.params}
        return real(args, model, folder, *more, **named)

    monkeypatch.setattr(folds, "trained", spoilt)
    status, out, err = ask("run", str(path), "--folds", "3", "--out", "r")
    assert status == 3 and "in fold 2, " in err and "kept in r/fold-2: the weights after step 0" in out
    assert [fold["out"] for fold in json.loads((tmp_path / "r/folds.json").read_text())["folds"]] == ["r/fold-1"]
    assert json.loads((tmp_path / "r/fold-2/run.json").read_text())["stopped"] == "not_finite"
    status, out, _ = ask("run", str(path), "--folds", "3", "--out", "s", "--json")
    assert status == 3 and len(json.loads(out)["folds"]) == 1


def test_epochs_curve_and_watched_values_of_each_fold_and_the_table_below(tmp_path: Path, ask: Any) -> None:
    path = str(written(tmp_path, "random"))
    status, out, _ = ask("run", path, "--folds", "2", "--no-out", "--every", "2", "--curve", "--watch", "h")
    first, second, below = out.split("\nfold 1 of 2\n")[1].replace("  fold   epoch", "\nfold 2 of 2\n").split("\nfold 2 of 2\n")
    for told in (first, second):
        assert [line.split()[0] for line in told.splitlines() if line.split()[:1] != [] and line[:6].strip().isdecimal()][:2] == ["2", "4"]
        assert told.count("        h  norm ") == 2 and "epochs · line train · dots val" in told
    assert [line.split()[0] for line in below.splitlines() if line][1:] == ["1", "2", "mean", "±"]
    assert status == 0
    history = [
        [e["epoch"] for e in f["history"]] for f in json.loads(ask("run", path, "--folds", "2", "--json", "--every", "3")[1])["folds"]
    ]
    assert history == [[3, 4], [3, 4]]
    status, _, err = ask("run", path, "--folds", "2", "--watch", "hh")
    assert status == 1 and "E0201" in err and not list(tmp_path.glob("runs/model-2"))


def test_a_rehearsal_of_folds(tmp_path: Path, ask: Any) -> None:
    path = str(written(tmp_path, "random"))
    status, out, _ = ask("run", path, "--folds", "3", "--dry-run")
    run = mlpc.load_folds(path, 3)[0].train(max_seconds=0)
    assert status == 0 and "3 folds of 16 rows out of 48" in out and not (tmp_path / "runs").exists()
    assert f"first loss   {run.history[0]['loss']['train']:.6f}, of the first batch" in out


def test_a_fold_that_lost_its_settings_is_not_thrown_away(tmp_path: Path, ask: Any) -> None:
    ask("run", str(written(tmp_path, "random")), "--folds", "2", "--out", "r")
    Path("r/fold-2/settings.json").unlink()
    weights = Path("r/fold-2/weights.safetensors").read_bytes()
    status, _, err = ask("run", "--resume", "r")
    assert status == 1 and "in fold 2, r/fold-2 holds history.jsonl, and settings.json is missing, by which it would go on" in err
    assert Path("r/fold-2/weights.safetensors").read_bytes() == weights
