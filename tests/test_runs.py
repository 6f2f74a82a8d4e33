"""The folder of a run: what is in it, that nothing is written over, and what happens when it cannot be written."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import mlpc
from mlpc.cli import progress
from mlpc.cli.main import main
from mlpc.cli.options import duration
from mlpc.cli.progress import rate
from mlpc.compiler.render.curve import losses
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import run_folder

ROOT = Path(__file__).parents[1]
IRIS = str(ROOT / "models" / "iris.mlp")
SMALL = """data {
  x = [[1, 2], [3, 4], [5, 7], [0, 1]]
  y = [1, 2, 4, 0.5]
  split = ordered(train = 0.5, val = 0.5)
}
model {
  p = dense(x, 1)
}
loss = mean(mse(p, y))
train {
  optimizer = adam(lr = 0.01)
  epochs = 4
  batch = 1
}
report rmse(p, y)
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.mlp").write_text(SMALL)
    return "small.mlp"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]):
    """ask("run", FILE) -> (status, stdout, stderr)."""

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(argv)
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def on_a_terminal(*argv: str, **options: Any) -> tuple[int, str]:
    """Status and output of mlpc with a terminal for stdin, stdout and stderr."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlpc", *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, **options
    )
    os.close(theirs)
    found = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        found += part
    os.close(ours)
    return process.wait(60), found.decode().replace("\r\n", "\n")


# --- the folder ------------------------------------------------------------------------------------


def test_a_run_is_kept_in_the_next_free_folder(ask, small: str) -> None:
    for n in (1, 2):
        status, out, err = ask("run", small)
        assert (status, err) == (0, "")
        assert out.endswith(f"\nkept in runs/small-{n}\n")
    os.rename("runs/small-1", "elsewhere")
    assert ask("run", small)[1].endswith("\nkept in runs/small-1\n")
    assert sorted(os.listdir("runs")) == ["small-1", "small-2"]
    assert files(Path("runs/small-1")) == [
        "history.csv",
        "history.jsonl",
        "plan.json",
        "plan.txt",
        "predictions.json",
        "run.json",
        "settings.json",
        "source/small.mlp",
        "weights.safetensors",
    ]


def test_what_the_files_say(ask, small: str) -> None:
    found = json.loads(ask("run", small, "--json", "--set", "train.epochs=3", "--out", "here")[1])
    here = Path("here")
    assert json.loads((here / "run.json").read_text()) == found
    assert (found["out"], found["stopped"]) == ("here", None)
    run = mlpc.load(small, ["train.epochs=3"]).train()
    assert found["weights_sha256"] == run.weights_sha256
    settings = json.loads((here / "settings.json").read_text())
    assert settings["command"] == ["mlpc", "run", small, "--json", "--set", "train.epochs=3", "--out", "here"]
    assert settings["file"] == os.path.realpath(small)
    assert {"name": "epochs", "value": "3", "from": "command line"} in settings["settings"]
    assert (here / "source/small.mlp").read_text() == SMALL
    ask("plan", small, "--set", "train.epochs=3")
    assert (here / "plan.txt").read_text() == ask("plan", small, "--set", "train.epochs=3")[1]
    plan = json.loads(ask("plan", small, "--json", "--set", "train.epochs=3")[1])
    assert json.loads((here / "plan.json").read_text()).items() <= plan.items()
    with open(here / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "train.loss", "val.loss", "train.rmse", "val.rmse"]
    assert [{k: float(v) for k, v in row.items()} for row in rows] == [run_folder.flat(entry) for entry in run.history]
    assert [json.loads(line) for line in (here / "history.jsonl").read_text().splitlines()] == list(run.history)


def test_a_run_comes_back_from_its_folder(ask, small: str) -> None:
    ask("run", small)
    run = mlpc.load(small).train()
    os.unlink(small)
    again = mlpc.load_run("runs/small-1")
    assert again.history == run.history and again.metrics == run.metrics and again.weights_sha256 == run.weights_sha256
    assert again.params["p.W"].tobytes() == run.params["p.W"].tobytes()
    assert mlpc.load_run("runs/small-1/weights.safetensors").history == ()


def test_the_kept_epoch_is_what_the_weights_are(ask, small: str) -> None:
    Path(small).write_text(SMALL.replace("batch = 1", "batch = 1\n  keep = best(val.loss)").replace("adam(lr = 0.01)", "sgd(lr = 0.1)"))
    run = mlpc.load(small).train()
    ask("run", small)
    again = mlpc.load_run("runs/small-1")
    assert again.kept_epoch == run.kept_epoch < again.epochs == 4
    assert again.losses == again.history[again.kept_epoch - 1]["loss"] and again.params["p.W"].tobytes() == run.params["p.W"].tobytes()


def test_imports_lie_where_the_model_looks_for_them(ask, small: str) -> None:
    os.makedirs("models/parts")
    os.makedirs("shared")
    Path("models/parts/one.mlp").write_text('import "../../shared/two.mlp"\n\nfn one(x) = two(x)\n')
    Path("shared/two.mlp").write_text("fn two(x) = 2 * x\n")
    Path("models/m.mlp").write_text('import "parts/one.mlp"\n' + SMALL.replace("dense(x, 1)", "dense(one(x), 1)"))
    assert ask("run", "models/m.mlp", "--data-root", ".")[0] == 0
    kept = Path("runs/m-1/source")
    assert files(kept) == ["models/m.mlp", "models/parts/one.mlp", "shared/two.mlp"]
    assert mlpc.load(kept / "models" / "m.mlp", data_root=kept).plan == mlpc.load("models/m.mlp", data_root=".").plan


def test_nothing_is_kept_when_nothing_is_asked_for(ask, small: str) -> None:
    status, out, _ = ask("run", small, "--no-out")
    assert status == 0 and "kept in" not in out and not Path("runs").exists()
    assert json.loads(ask("run", small, "--no-out", "--json")[1])["out"] is None


def test_a_folder_that_is_not_empty_is_left_alone(ask, small: str) -> None:
    os.makedirs("mine/a")
    for name in "bcdefg":
        Path("mine", name).write_text("mine")
    status, out, err = ask("run", small, "--out", "mine")
    assert (status, out) == (1, "")
    assert "error[E0506]" in err and "mine is not empty: it holds a, b, c, d, e and 2 more" in err
    assert files(Path("mine")) == list("bcdefg")
    assert "small.mlp is not a folder" in ask("run", small, "--out", small)[2]
    os.mkdir("empty")
    assert ask("run", small, "--out", "empty")[0] == 0
    assert ask("run", small, "--out", "deep/er")[0] == 0 and Path("deep/er/weights.safetensors").exists()


def test_a_run_that_is_refused_makes_no_folder(ask, small: str) -> None:
    assert ask("run", small, "--max-memory", "10B")[0] == 1
    assert ask("run", small, "--init", "nothing")[0] == 1
    assert ask("run", small, "--set", "train.epochs=no")[0] == 1
    assert not Path("runs").exists()


def test_two_at_once_get_a_folder_each(small: str) -> None:
    processes = [subprocess.Popen([sys.executable, "-m", "mlpc", "run", small], stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [p.wait(60) for p in processes] == [0] * 4
    assert sorted(os.listdir("runs")) == [f"small-{n}" for n in (1, 2, 3, 4)]
    assert len({(Path("runs") / name / "weights.safetensors").read_bytes() for name in os.listdir("runs")}) == 1


def test_one_folder_is_not_shared_by_two_that_found_it_empty(small: str, monkeypatch: pytest.MonkeyPatch, ask) -> None:
    monkeypatch.setattr(run_folder, "empty", lambda path: path)
    os.mkdir("both")
    assert ask("run", small, "--out", "both")[0] == 0
    before = {name: (Path("both") / name).read_bytes() for name in files(Path("both"))}
    status, _, err = ask("run", small, "--out", "both")
    assert (status, err) == (74, "mlpc: reading or writing failed: [Errno 17] File exists: 'both/source/small.mlp'\n")
    assert {name: (Path("both") / name).read_bytes() for name in files(Path("both"))} == before


def test_a_history_has_its_rows_while_it_runs(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    columns = ("epoch", "step", "train.loss")
    with run_folder.history(Path(), columns) as on_epoch:
        for epoch in (1, 2):
            on_epoch({"epoch": epoch, "step": epoch, "loss": {"train": float("nan")}, "metrics": {"train": {"confusion": [[1.0]]}}})
            seen.append((len(Path("history.csv").read_text().splitlines()), len(Path("history.jsonl").read_text().splitlines())))
    assert seen == [(2, 1), (3, 2)]
    assert Path("history.csv").read_text() == "epoch,step,train.loss\n1,1,nan\n2,2,nan\n"
    assert repr(run_folder.history_in(Path())[0]["loss"]["train"]) == "nan"


# --- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", range(0, 24, 2))
def test_a_disk_that_is_full_is_status_74_and_names_the_file(small: str, blocks: int) -> None:
    """A limit on the size of a file stands for the disk: the system refuses the write that crosses it."""
    Path(small).write_text(SMALL.replace("dense(x, 1)", "dense(x, 40) |> dense(1)").replace("epochs = 4", "epochs = 120"))
    limited = f"ulimit -f {blocks}; exec {sys.executable} -m mlpc run {small} --out kept >/dev/null"
    found = subprocess.run(["sh", "-c", limited], capture_output=True, text=True, check=False)
    if found.returncode:
        assert found.returncode == 74 and "Traceback" not in found.stderr
        (name,) = re.findall(r"^mlpc: reading or writing failed: \[Errno 27\] File too large: 'kept/(.*)'\n", found.stderr)
        assert name in {
            "settings.json",
            "plan.txt",
            "plan.json",
            "history.csv",
            "history.jsonl",
            "weights.safetensors",
            "predictions.json",
            "source/small.mlp",
        }
        assert not [p for p in Path("kept").iterdir() if p.name.startswith(".")]
        with pytest.raises(MlpcError) as caught:
            mlpc.load_run("kept")
        assert caught.value.diagnostics[0].message.startswith("kept has no weights.safetensors")
    else:
        assert mlpc.load_run("kept").epochs == 120


def test_a_place_where_nothing_can_be_made(ask, small: str) -> None:
    Path("runs").write_text("a file")
    assert ask("run", small)[::2] == (74, "mlpc: reading or writing failed: [Errno 17] File exists: 'runs'\n")
    status, _, err = ask("run", small, "--out", "/proc/mine")
    assert status == 74 and "/proc/mine" in err and "Traceback" not in err


# --- beginning from a run, rehearsing, stopping in time ------------------------------------------------


def test_init_begins_with_the_weights_of_a_run(ask, small: str) -> None:
    ask("run", small, "--out", "first")
    status, out, _ = ask("run", small, "--out", "second", "--init", "first", "--set", "train.optimizer.lr=0")
    assert status == 0 and "   begins with the weights of first\n" in out
    first, second = mlpc.load_run("first"), mlpc.load_run("second")
    assert second.params["p.W"].tobytes() == first.params["p.W"].tobytes()
    assert mlpc.load(small, ["train.optimizer.lr=0"]).train(init="first").params["p.W"].tobytes() == first.params["p.W"].tobytes()


def test_init_from_another_model_is_refused_by_name(ask, small: str) -> None:
    ask("run", small, "--out", "first")
    Path("wide.mlp").write_text(SMALL.replace("dense(x, 1)", "dense(x[:, 0:1], 1)").replace("p = ", "q = p = ").replace("q = p = ", "p = "))
    status, _, err = ask("run", "wide.mlp", "--init", "first")
    assert status == 1 and "error[E0505]" in err and "`p.W` is [2, 1] in first, and [1, 1] in wide.mlp" in err


def test_a_dry_run_does_all_but_train_and_keep(ask, small: str) -> None:
    status, out, err = ask("run", small, "--dry-run")
    assert (status, err) == (0, "")
    first = mlpc.load(small).trace().loss
    assert f"\nfirst loss   {first:.6f}, of the first batch\n" in out
    assert re.search(r"\nmemory       \S+ \S?B of \S+ \S?B that are free\n", out)
    assert out.endswith("\nkept in      a new folder runs/small-<n>\na dry run: nothing is trained, and nothing is written\n")
    found = json.loads(ask("run", small, "--dry-run", "--json")[1])
    assert (found["first_loss"], found["steps"], found["rows"]) == (first, 8, {"train": 2, "val": 2})
    assert os.listdir() == [small]


def test_a_training_whose_time_is_over_ends_within_an_epoch_and_is_kept(ask, small: str) -> None:
    run = mlpc.load(small).train(max_seconds=0)
    assert (run.steps, run.epochs, run.stopped) == (1, 1, "time")
    assert [h["step"] for h in run.history] == [1]
    assert mlpc.load(small, ["train.epochs=1", "train.batch=all"]).train(max_seconds=0).stopped == ""
    status, out, _ = ask("run", small, "--set", "train.epochs=100000000", "--max-time", "0.2s", "--json")
    found = json.loads(out)
    assert status == 0 and found["stopped"] == "time" and found["seconds"]["train"] < 5
    assert mlpc.load_run(found["out"]).steps == found["steps"]
    out = ask("run", small, "--max-time", "0s", "--no-out")[1]
    assert "\nstopped after epoch 1 of 4: its time was over\n" in out


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172800)])
def test_times(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "1h30", "-1s", "1 m", "nan", "1e3s", "١s"])
def test_what_is_no_time_is_status_2(ask, small: str, text: str) -> None:
    status, _, err = ask("run", small, f"--max-time={text}")
    assert status == 2 and "90s, 10m or 1h30m" in err


# --- the screen ----------------------------------------------------------------------------------------


def test_a_terminal_gets_a_bar_and_a_curve_and_a_pipe_a_line_an_epoch(ask, small: str) -> None:
    status, shown = on_a_terminal("run", small, "--set", "train.epochs=3000", cwd=os.getcwd())
    assert status == 0 and "kept in runs/small-1" in shown
    assert "epoch 1/3000" in shown and "steps/s" in shown and re.search(r"train \d.*val \d", shown)
    assert "epochs · line train · dots val" in shown
    piped = ask("run", small)[1]
    assert [line.split()[0] for line in piped.split("\n\n")[1].splitlines()[1:]] == ["1", "2", "3", "4"]
    assert "epochs · line" not in piped
    assert "epochs · line train · dots val" in ask("run", small, "--curve")[1]


def test_the_losses_as_a_picture() -> None:
    falling = [2.0 - i / 10 for i in range(20)]
    page = losses({"train": falling, "test": [1.0] * 20})
    assert page == PICTURE.splitlines()
    assert losses({"train": [1.0]}) == losses({}) == losses({"train": [float("nan")] * 3}) == []
    assert losses({"train": [1.0, 1.0, 1.0]})[-1].endswith("epochs · line train")
    assert losses({"train": [100.0, float("inf"), 1.0]})[-1].endswith("epochs · line train · log scale")
    assert not losses({"train": [100.0, -1.0]})[-1].endswith("log scale")


PICTURE = """\
        2 │⠉⠉⠉⠒⠒⠒⠒⠒⠒⠤⠤⠤⠤⢄⣀⣀⣀⣀⡀
          │⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡈⠉⡉⠉⡑⠒⡒⠒⡤⠤⡤⢄⣀⣀⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀ ⡀
          │                                ⠈⠉⠉⠑⠒⠒⠤⠤⣀⣀
          │                                          ⠉⠉⠑⠒⠤⢄⡀
          │                                                ⠈⠉⠒⠤⣀
          │                                                     ⠉⠒⢄⡀
          │                                                        ⠈⠢⡀
      0.1 │                                                          ⠘⢄
          └────────────────────────────────────────────────────────────
           1                            10                           20
           epochs · line train · dots test · log scale
"""


@pytest.mark.parametrize(("steps", "said"), [(0.0123, "0.0123 steps/s"), (12.34, "12.3 steps/s"), (45678.9, "45,700 steps/s")])
def test_a_rate_has_three_digits(steps: float, said: str) -> None:
    assert rate(steps) == said


def test_the_rate_of_a_run_that_goes_on_counts_its_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [100.0], dict[str, object]()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(progress.Progress, "add_task", lambda *_, **fields: told.update(fields))
    monkeypatch.setattr(progress.Progress, "update", lambda *_, **fields: told.update(fields))
    with progress.bar(9, 90, done=50, ended=5, label="fold 2/3  ") as (on_epoch, on_step):
        assert (told["completed"], told["epoch"]) == (50, "fold 2/3  epoch 6/9")
        now[0] += 2
        on_step(54)
        assert (told["completed"], told["rate"]) == (54, "2 steps/s")
        on_epoch({"epoch": 6, "loss": {"train": 0.5}})
        assert (told["epoch"], told["losses"]) == ("fold 2/3  epoch 7/9", "train 0.5")


def test_the_last_epoch_is_printed_whichever_it_turns_out_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[1] / "models" / "xor.mlp").read_text("utf-8")
    path = tmp_path / "xor.mlp"
    path.write_text(text, "utf-8")
    assert main(["run", str(path), "--no-out", "--every", "4", "--set", "train.epochs=6", "--watch", "p"]) == 0
    epochs = capsys.readouterr().out.split("\n\n")[1]
    shown = [line.split()[0] for line in epochs.split("\n") if line[:6].strip().isdigit()]
    assert shown == ["4", "6"]
