"""`mlpc sweep`: the grid, what is checked before a run begins, the runs as processes, the table."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mlpc
from mlpc.cli import processes
from mlpc.cli.commands import parser
from mlpc.cli.grid import Combination, chosen, grid, pieces
from mlpc.cli.main import main
from mlpc.cli.processes import Outcome, reason
from mlpc.cli.sweep import Column, sorted_by, table
from mlpc.dsl.diagnostics import MlpcError

SMALL = """data {
  x = [[1, 2], [3, 4], [5, 7], [0, 1], [2, 2], [4, 1], [1, 1], [3, 3], [2, 5]]
  y = [1, 2, 4, 0.5, 1.5, 2, 1, 2, 3]
  split = ordered(train = 0.5, val = 0.25, test = 0.25)
}
model {
  p = dense(x, 1)
}
loss = mean(mse(p, y))
train {
  optimizer = adam(lr = 0.01)
  epochs = 3
  batch = 2
}
report rmse(p, y), mine = mean(p)
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.mlp").write_text(SMALL, encoding="utf-8")
    return "small.mlp"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*argv: str) -> tuple[int, str, str]:
        status = main(argv)
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def code_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(MlpcError) as caught:
        call()
    (d,) = caught.value.diagnostics
    return d.code, d.message


# --- the grid ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("0.1,0.01", ["0.1", "0.01"]),
        (" 0.1 , 0.01 ", ["0.1", "0.01"]),
        ("adam(lr=0.01, beta1=0.8),sgd(lr=0.1)", ["adam(lr=0.01, beta1=0.8)", "sgd(lr=0.1)"]),
        ("adam(lr = cosine(0.1, 0.01)),sgd", ["adam(lr = cosine(0.1, 0.01))", "sgd"]),
        ('f("a,b"),2', ['f("a,b")', "2"]),
        ("1),2", ["1)", "2"]),
        ("", [""]),
        ("1,", ["1", ""]),
    ],
)
def test_values_are_cut_at_commas_outside_of_brackets(listed: str, expected: list[str]) -> None:
    assert list(pieces(listed)) == expected


def test_the_grid_is_every_combination_the_last_key_first() -> None:
    found = grid(["train.optimizer.lr=0.1,0.01", "train.epochs=5", "train.batch=8,16,all"])
    assert found.size == 6 and found.swept == ("train.optimizer.lr", "train.batch")
    expected = [(lr, "5", batch) for lr in ("0.1", "0.01") for batch in ("8", "16", "all")]
    assert [tuple(v for _, v in found.at(i)) for i in range(6)] == expected


@pytest.mark.parametrize(
    ("assignments", "code", "message"),
    [
        (["train.epochs"], "E0301", "`--set train.epochs` does not name a setting"),
        (["train.epochs=5"], "E0301", "there is nothing to choose from: no --set has two values"),
        ([], "E0301", "there is nothing to choose from: no --set has two values"),
        (["train.epochs=5,6", "train.epochs=7"], "E0301", "`--set train.epochs` is written twice"),
        (["train.epochs=5,,6"], "E0302", "`--set train.epochs=5,,6` has a comma with no value before or after it"),
        (["train.epochs=5,6,5"], "E0302", "`--set train.epochs=5,6,5` lists 5 twice"),
    ],
)
def test_what_is_no_grid(assignments: list[str], code: str, message: str) -> None:
    assert code_of(lambda: grid(assignments)) == (code, message)


def test_random_draws_by_its_seed_and_large_grids_ask_for_it() -> None:
    values = ",".join(map(str, range(1, 201)))
    found = grid([f"train.epochs={values}", f"train.batch={values}"])
    assert code_of(lambda: chosen(found, None, 0)) == ("E0302", "these are 40,000 combinations, and a sweep has at most 10,000")
    first, again, other = (chosen(found, 50, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first)) == 50 and first == sorted(first)
    assert chosen(grid(["train.epochs=5,6"]), 50, 0) == [0, 1]


# --- what is checked before ----------------------------------------------------------------------


def test_faults_are_told_together_with_their_combinations_and_nothing_runs(small: str, ask: Any, tmp_path: Path) -> None:
    status, out, err = ask("sweep", small, "--set", "train.optimizer.lr=0.1,abc", "--set", "train.batch=2,0", "--set", "train.epochs=1")
    assert (status, out) == (1, "") and not (tmp_path / "runs").exists()
    assert err.count("error[") == 2
    assert "there is no value `abc` here\n   with optimizer.lr = abc, batch = 2\n" in err
    assert "this is 0\n   with optimizer.lr = 0.1, batch = 0, and with 1 other of 4 combinations\n" in err


def test_a_fault_of_the_file_is_told_once(small: str, ask: Any) -> None:
    Path(small).write_text(SMALL.replace("dense(x, 1)", "dens(x, 1)"), encoding="utf-8")
    status, _, err = ask("sweep", small, "--set", "train.epochs=1,2")
    assert status == 1 and err.count("error[") == 1 and "combinations" not in err


def test_combinations_that_are_the_same_are_refused(small: str, ask: Any) -> None:
    status, _, err = ask("sweep", small, "--set", "train.optimizer.lr=1,2", "--set", "train.optimizer=sgd(lr = 3)")
    assert status == 1 and "optimizer.lr = 1 and optimizer.lr = 2 come to the same settings" in err


def test_the_data_is_read_once_for_a_seed(small: str, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    read = mlpc.loading.read  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr("mlpc.loading.read", lambda *a, **k: calls.append(k["seed"]) or read(*a, **k))
    monkeypatch.setattr("mlpc.cli.sweep.outcomes", lambda args, runs, *rest: [Outcome(run, 3, {}, "no") for run in runs])
    assert ask("sweep", small, "--set", "train.seed=1,2", "--set", "train.epochs=1,2,3", "--no-out")[0] == 3
    assert calls == [1, 2]


# --- what it is sorted by ------------------------------------------------------------------------


def test_what_keep_watches_then_val_then_train_and_never_test(small: str) -> None:
    def default(*overrides: str, text: str = SMALL) -> tuple[str, bool]:
        found = sorted_by(None, [mlpc.loads(text, overrides=overrides)])
        return found.name, found.larger

    assert default() == ("val.loss", False)
    assert default("train.keep=best(val.rmse, min)") == ("val.rmse", False)
    assert default("train.keep=best(val.mine, max)") == ("val.mine", True)
    assert default("train.keep=best(test.loss)") == ("val.loss", False)
    assert default(text=SMALL.replace("val = 0.25, test = 0.25", "test = 0.5")) == ("train.loss", False)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("test.loss", ("test.loss", False)),
        ("val.mine,max", ("val.mine", True)),
        ("val.mine, min", ("val.mine", False)),
        ("val.mine", "`--by val.mine`: the best is the `max` or the `min`, and of this one nothing says which"),
        ("val.mine,most", "`--by val.mine,most`: the best is the `max` or the `min`, and this is `most`"),
        ("val.lss", "`--by val.lss`: a run has no such number"),
    ],
)
def test_by(asked: str, expected: object) -> None:
    models = [mlpc.loads(SMALL)]
    if isinstance(expected, str):
        assert code_of(lambda: sorted_by(asked, models)) == ("E0302", expected)
    else:
        found = sorted_by(asked, models)
        assert (found.name, found.larger) == expected


def test_the_table_shows_why_a_run_has_no_numbers() -> None:
    found = grid(["train.optimizer.lr=0.1,10"])
    runs = [Combination(i + 1, found.at(i), 1, 0) for i in range(2)]
    document = {
        "loss": {"train": 0.5, "val": 0.25, "test": 0.125},
        "metrics": {"train": {}, "val": {"r": 2.0, "c": [[1]]}, "test": {"r": 3}},
    }
    ranked = [Outcome(runs[0], 0, document), Outcome(runs[1], 3, {}, "E0503: the loss is not a number at step 2")]
    assert table(found, ranked, Column("val.loss", False, "")).splitlines() == [
        "run  optimizer.lr    val.loss  train.loss       val.r",
        "  1           0.1    0.250000    0.500000    2.000000",
        "  2            10  E0503: the loss is not a number at step 2",
    ]


def test_the_reason_is_the_first_sentence_of_a_diagnosis() -> None:
    with pytest.raises(MlpcError) as caught:
        mlpc.loads(SMALL.replace("dense(x, 1)", "dens(x, 1)"))
    assert reason("note: a note\n" + str(caught.value)) == "E0205: there is no function `dens`"
    assert reason("Killed\n") == "Killed" and reason("") == ""


# --- the runs ------------------------------------------------------------------------------------


def test_weights_and_table_depend_on_no_number_of_jobs_and_are_those_of_mlpc_run(small: str, ask: Any, tmp_path: Path) -> None:
    asked = ("sweep", small, "--set", "train.optimizer.lr=0.1,0.01,1e308", "--set", "train.batch=all")
    status, one, err = ask(*asked, "--jobs", "1")
    assert status == 0 and "3/3  run " in err and "runs/small-sweep-1/<run>" in one
    status, two, _ = ask(*asked, "--jobs", "2")
    assert status == 0
    assert two.replace("sweep-2", "sweep-1").replace("2 at a time", "one after the other") == one
    found, again = (json.loads((tmp_path / "runs" / f"small-sweep-{n}" / "sweep.json").read_text()) for n in (1, 2))
    assert [(r["run"], r["scores"], r["weights_sha256"]) for r in found["runs"]] == [
        (r["run"], r["scores"], r["weights_sha256"]) for r in again["runs"]
    ]
    scores = [r["scores"]["val.loss"] for r in found["runs"] if r["status"] == 0]
    assert len(scores) == 2 and scores == sorted(scores) and found["by"] == "val.loss"
    assert [r["status"] for r in found["runs"]] == [0, 0, 3] and "E0503" in found["runs"][2]["reason"]
    assert not any("test." in name for r in found["runs"] for name in r["scores"])
    best = found["runs"][0]
    run = mlpc.load(small, [f"{key}={value}" for key, value in best["set"].items()]).train()
    assert run.weights_sha256 == best["weights_sha256"] == mlpc.load_run(best["out"]).weights_sha256
    assert best["out"] == str(Path("runs") / "small-sweep-1" / str(best["run"]))


def test_a_sweep_of_folds(small: str, ask: Any) -> None:
    status, out, _ = ask("sweep", small, "--set", "train.optimizer.lr=0.1,0.01", "--folds", "2", "--json", "--no-out")
    found = json.loads(out)
    assert status == 0 and len(found["runs"]) == 2
    for r in found["runs"]:
        losses = [m.train().losses["val"] for m in mlpc.load_folds(small, 2, [f"{k}={v}" for k, v in r["set"].items()])]
        assert r["scores"]["val.loss"] == sum(losses) / 2 and r["sd"]["val.loss"] > 0


@pytest.mark.parametrize("more", [(), ("--folds", "2")])
def test_a_sweep_that_was_ended_goes_on_with_what_is_not_done(small: str, ask: Any, tmp_path: Path, more: tuple[str, ...]) -> None:
    asked = ("sweep", small, "--set", "train.epochs=2,3,4,5", "--by", "train.loss", *more)
    _, whole, _ = ask(*asked, "--out", "whole")
    ask(*asked, "--out", "r")
    for path in (*Path("r/2").rglob("run.json"), *Path("r/2").rglob("weights.*")):  # killed in the middle
        path.unlink()
    shutil.rmtree("r/3")
    Path("r/3/source").mkdir(parents=True)  # killed while it was being made
    shutil.rmtree("r/4")
    done = [p for p in Path("r/1").rglob("*") if p.is_file()]
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in done if p.name != "folds.json"}
    status, out, _ = ask("sweep", "--resume", "r", "--jobs", "2")
    assert status == 0 and out.replace("kept in r/", "kept in whole/") == whole.replace("one after the other", "2 at a time")
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in before} == before
    for weights in Path("whole").rglob("weights.safetensors"):
        assert Path("r", weights.relative_to("whole")).read_bytes() == weights.read_bytes()
    mine, other = (json.loads(Path(name, "sweep.json").read_text()) for name in ("r", "whole"))
    assert [r["scores"] for r in mine["runs"]] == [r["scores"] for r in other["runs"]] and mine["asked"] == other["asked"]
    Path(small).write_text(SMALL.replace("[2, 5]]", "[2, 6]]"), encoding="utf-8")
    status, _, err = ask("sweep", "--resume", "r")
    assert status == 1 and "error[E0507]" in err and "the model or its data is not what the sweep in r was begun with" in err


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["sweep"], 2, "the model is missing"),
        (["sweep", "--resume", "r", "--set", "train.epochs=1,2"], 2, "--set is for a sweep that begins, and --resume goes on with one"),
        (["sweep", "--resume", "r", "--out", "s"], 2, "not allowed with argument"),
        (["sweep", "--resume", "r"], 1, "r is not the folder of a sweep: it has no sweep.json"),
        (["sweep", "--resume", "d"], 1, "d/sweep.json is damaged, or of another version"),
    ],
)
def test_what_is_no_sweep_to_go_on_with(small: str, ask: Any, argv: list[str], status: int, said: str) -> None:
    Path("d").mkdir()
    Path("d/sweep.json").write_text("{}")
    found, _, err = ask(*argv)
    assert found == status and said in err


def test_ctrl_c_stops_all_children_and_prints_the_table_so_far(small: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mlpc", "sweep", small, "--set", "train.epochs=2,900000,900001,900002", "--jobs", "2"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env={**os.environ})
    folder, deadline = tmp_path / "runs" / "small-sweep-1", time.monotonic() + 60
    while not all((folder / n / "history.jsonl").exists() for n in ("2", "3")) or not (folder / "1" / "run.json").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    rows = [line.split() for line in out.splitlines() if re.match(r" +[1-4] ", line)]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [" ".join(row[2:]) for row in rows[1:]] == ["stopped", "stopped", "not begun"]
    assert "stopped by Ctrl-C: 1 of 4 runs had ended\nto go on:  mlpc sweep --resume runs/small-sweep-1\n" in err
    assert list((folder / "2").glob("checkpoint*")) and not (folder / "4").exists()
    mine = [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(folder).encode() in _bytes(p)] if Path("/proc").is_dir() else []
    assert not mine


def test_the_runs_of_a_sweep_that_is_killed_save_and_stop(small: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mlpc", "sweep", small, "--set", "train.epochs=900000,900001", "--jobs", "2"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    folders, deadline = [tmp_path / "runs" / "small-sweep-1" / n for n in ("1", "2")], time.monotonic() + 60
    while not all((folder / "history.jsonl").exists() for folder in folders):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    while not all(list(folder.glob("checkpoint-*.bin")) and not (folder / "lock").exists() for folder in folders):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not any((folder / "weights.safetensors").exists() for folder in folders)


def test_a_sweep_whose_table_nobody_will_read_begins_no_run(small: str, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "mlpc", "sweep", small, "--set", "train.epochs=2,3"]
    found = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert found.returncode == 141
    assert found.stderr == "stopped by a closed pipe: 0 of 2 runs had ended\nto go on:  mlpc sweep --resume runs/small-sweep-1\n"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


@pytest.mark.parametrize("edited", ["small.mlp", "data/t.csv"])
def test_a_file_that_changes_meanwhile_begins_no_further_run(small: str, ask: Any, monkeypatch: pytest.MonkeyPatch, edited: str) -> None:
    words = processes._words  # pyright: ignore[reportPrivateUsage]
    Path("data").mkdir()
    Path("data/t.csv").write_text("a,b\n" + "".join(f"{i},{2 * i}\n" for i in range(9)), encoding="utf-8")
    text = re.sub(r"  x = .*\n  y = .*\n", '  from "data/t.csv"\n  x = a\n  y = b\n', SMALL)
    Path(small).write_text(text, encoding="utf-8")

    def meanwhile(*args: Any) -> list[str]:
        Path(edited).write_bytes(Path(edited).read_bytes() + b"\n")
        return words(*args)

    monkeypatch.setattr(processes, "_words", meanwhile)
    _, out, _ = ask("sweep", small, "--set", "train.epochs=1,2", "--jobs", "1", "--no-out")
    assert f"not begun: {edited} has changed since the sweep began" in out


def test_help_has_its_example_and_it_is_no_error(ask: Any) -> None:
    status, out, _ = ask("sweep", "--help")
    assert status == 0 and "never test" in out
    example = next(line for line in out.splitlines() if line.startswith("example:"))
    assert parser().parse_args(example.split()[2:]).command == "sweep"
