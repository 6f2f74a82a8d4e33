"""`mlpc runs`: what it lists, in which order, and what it says of two; and `mlpc diff` of runs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from mlpc.cli.main import main
from mlpc.cli.runs import ordered, table
from mlpc.compiler.render.page import plain
from mlpc.runtime.record import records

MODEL = """data {
  x = [[1, 2], [3, 4], [5, 7], [0, 1], [2, 2], [6, 3]]
  y = [0, 1, 1, 0, 0, 1]
  split = ordered(train = 0.5, test = 0.5)
}
model {
  p = dense(x, 1, sigmoid)
}
loss = mean(mse(p, y))
train {
  optimizer = sgd(lr = 0.1)
  epochs = 3
}
report accuracy(p, y), own = mean(abs(p - y))
"""


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """ask("runs") -> (status, stdout, stderr), in a folder of its own with a model."""
    monkeypatch.chdir(tmp_path)
    Path("m.mlp").write_text(MODEL)

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(argv)
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def dated(folder: str, begun: str, **scores: float) -> None:
    """Sets when a run was begun, and its scores of the test rows."""
    settings, ended = Path(folder, "settings.json"), Path(folder, "run.json")
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"begun": begun}))
    found = json.loads(ended.read_text())
    found["metrics"]["test"] |= scores
    found["seconds"]["train"] = 1.25
    ended.write_text(json.dumps(found))


def test_a_run_that_was_not_finite_says_so_in_the_table(ask) -> None:
    assert (
        ask("run", str(Path(__file__).parents[1] / "models" / "iris.mlp"), "--out", "runs/n", "--set", "train.optimizer.lr=1e200")[0] == 3
    )
    _, out, _ = ask("runs")
    (line,) = (line for line in out.splitlines() if "runs/n" in line)
    assert " not finite " in line


def test_the_runs_of_a_folder_are_a_table(ask) -> None:
    for epochs in "23":
        ask("run", "m.mlp", "--set", f"train.epochs={epochs}")
    dated("runs/m-1", "2030-01-02T03:04:05+00:00", accuracy=1.0)
    dated("runs/m-2", "2029-01-02T03:04:05+00:00", accuracy=0.5)
    status, out, err = ask("runs")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == [
        "run",
        "model",
        "begun",
        "epochs",
        "best",
        "train.loss",
        "test.loss",
        "train.accuracy",
        "train.own",
        "test.accuracy",
        "test.own",
        "time",
    ]
    assert lines[1][:6] == ["runs/m-2", "m.mlp", "2029-01-02", "03:04:05", "3/3", "3"] and lines[1][-2:] == ["1.25", "s"]
    assert lines[2][:6] == ["runs/m-1", "m.mlp", "2030-01-02", "03:04:05", "2/2", "2"]
    assert len({len(line) for line in out.splitlines()}) == 1
    found = json.loads(ask("runs", "--json")[1])["runs"]
    assert [(r["run"], r["epochs"], r["ended"]) for r in found] == [("runs/m-2", 3, True), ("runs/m-1", 2, True)]
    assert found[0]["metrics"]["test"]["accuracy"] == 0.5 and found[0]["settings"]["epochs"] == "3"


@pytest.mark.parametrize(
    ("by", "wanted"),
    [("test.accuracy", "231"), ("test.own", "132"), ("run", "123"), ("begun", "312"), ("epochs", "123"), ("time", "123")],
)
def test_the_best_come_first_and_what_has_no_number_last(ask, by: str, wanted: str) -> None:
    for _ in range(3):
        ask("run", "m.mlp")
    dated("runs/m-1", "2030-01-01T00:00:01+00:00", accuracy=0.5, own=0.1)
    dated("runs/m-2", "2030-01-01T00:00:02+00:00", accuracy=1.0, own=0.3)
    dated("runs/m-3", "2030-01-01T00:00:00+00:00", accuracy=0.7, own=0.2)
    for reverse in (False, True):
        found = ordered(records(Path("runs"))[0], by, reverse)
        names = "".join(r.path.name[-1] for r in found)
        same = by in {"epochs", "time"}  # the older of equals comes first
        assert names == ("312" if same else wanted[::-1] if reverse else wanted)
    dated("runs/m-2", "2030-01-01T00:00:02+00:00", accuracy=float("nan"))
    for reverse in (False, True):
        assert ordered(records(Path("runs"))[0], "test.accuracy", reverse)[-1].path.name == "m-2"


def test_a_column_that_there_is_not(ask) -> None:
    ask("run", "m.mlp")
    status, out, err = ask("runs", "--by", "test.acuracy")
    assert (status, out) == (1, "") and "no run has a column `test.acuracy`" in err and "did you mean `test.accuracy`?" in err


def test_a_damaged_run_hides_no_other(ask) -> None:
    for _ in range(2):
        ask("run", "m.mlp")
    os.mkdir("runs/mine")
    Path("runs/m-1/run.json").write_text("{")
    status, out, err = ask("runs")
    assert status == 0 and "runs/m-2" in out and "runs/m-1" not in out and "mine" not in out
    assert "error[E0505]" in err and "runs/m-1/run.json is damaged" in err


def test_a_run_that_has_not_ended_is_among_them(ask) -> None:
    ask("run", "m.mlp")
    for name in ("run.json", "weights.safetensors"):
        os.unlink(f"runs/m-1/{name}")
    out = ask("runs")[1]
    assert "not ended" in out and "3/3" in out
    ask("run", "m.mlp")
    assert "whether the plans differ is not known: one of the trainings has not ended" in ask("runs", "runs/m-1", "runs/m-2")[1]


def test_where_there_are_none(ask) -> None:
    status, _, err = ask("runs")
    assert status == 1 and "there is no folder runs" in err and "mlpc run FILE  keeps each run in runs/" in err
    os.mkdir("runs")
    assert ask("runs") == (0, "no runs in runs:  mlpc run FILE  makes one\n", "")
    assert json.loads(ask("runs", "--json")[1])["runs"] == []
    assert ask("runs", "m.mlp")[0] == 1


def test_a_narrow_terminal_leaves_columns_out_and_names_them(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    ask("run", "m.mlp")
    found = records(Path("runs"))[0]
    monkeypatch.setattr("mlpc.cli.runs.room", lambda: 92)
    page = plain(table(found, "test.own")).splitlines()
    assert all(len(line) <= 92 for line in page[:2]) and "test.own" in page[0]
    left = re.fullmatch(r" beside these: (.*) \(--json has all\)", page[2])
    assert left is not None and {*left[1].split(", ")} | {*page[0].split()} >= {
        "train.loss",
        "test.loss",
        "train.accuracy",
        "train.own",
        "test.accuracy",
    }
    monkeypatch.setattr("mlpc.cli.runs.room", lambda: 10)
    assert "test.loss" in plain(table(found)).splitlines()[2]


def test_two_runs_are_compared(ask) -> None:
    ask("run", "m.mlp")
    ask("run", "m.mlp", "--set", "train.optimizer.lr=0.5", "--set", "train.clip=norm(1)")
    status, out, err = ask("runs", "runs/m-1", "runs/m-2")
    assert (status, err) == (0, "")
    blocks = [[line.split() for line in block.splitlines()] for block in out.split("\n\n")]
    assert blocks[0][0][:3] == ["A", "runs/m-1", "m.mlp"] and blocks[0][1][:3] == ["B", "runs/m-2", "m.mlp"]
    assert blocks[1][0] == ["settings", "A", "B"]
    assert ["optimizer.lr", "0.1", "0.5"] in blocks[1] and ["clip", "off", "norm(1)"] in blocks[1] and len(blocks[1]) == 4
    scores = {line[0]: line[1:] for line in blocks[2][1:]}
    for name in ("train.loss", "test.own"):
        a, b, difference = map(float, scores[name])
        assert difference == pytest.approx(b - a, abs=2e-6) and a != b
    assert "the plans differ in " in out and out.endswith("mlpc diff runs/m-1 runs/m-2\n")
    found = json.loads(ask("runs", "runs/m-1", "runs/m-2", "--json")[1])
    assert {"name": "optimizer.lr", "values": ["0.1", "0.5"]} in found["settings"]
    status, out, err = ask("diff", "runs/m-1", "runs/m-2")
    assert status == 0 and "optimizer  sgd(lr = 0.1)" in out and "runs/m-2" in out
    assert "is a run, whose settings are what they were" in ask("diff", "runs/m-1", "runs/m-2", "--seed", "1")[2]


def test_two_runs_of_one_model_are_the_same(ask) -> None:
    for _ in range(2):
        ask("run", "m.mlp")
    out = ask("runs", "runs/m-1", "runs/m-2")[1]
    assert "the settings are the same" in out and "0.000000" in out
    assert out.endswith("the plans are the same\nthe weights are the same, to the last bit\n")
    assert "two runs are compared" in ask("runs", "runs/m-1", "runs/m-2", "--by", "begun")[2]
