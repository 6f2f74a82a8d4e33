"""Real processes that are killed, stopped, run twice, or whose disk fails: nothing is corrupt, and what goes on ends with the same bytes."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlpc.cli.main import main
from mlpc.cli.signals import wish_to_stop
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import folds
from mlpc.runtime.atomic import sweep, write_file
from mlpc.runtime.lock import locked

HERE = Path(__file__).parent
MODEL = """data {
  x = [[1, 0], [2, -1], [3, 3], [-4, 1], [0, 2], [2, 5], [1, 1], [-3, 2], [4, 4], [0, -2], [5, 1], [2, 2]]
  y = [1, 2, 1, 3, 2, 5, 4, 1, 2, 0, 3, 1]
  split = ordered(train = 0.7, val = 0.3)
}
model {
  h = dense(x, 4, relu) |> dropout(0.3) |> batch_norm
  p = dense(h, 1)
}
loss = mean(mse(p, y))
train {
  optimizer = adam(lr = 0.01)
  epochs = EPOCHS
  batch = 2
  accumulate = 2
  keep = best(val.loss)
}
"""
BLOCKS = f"note: {folds.BLOCKS}\n"
RESULTS = ("weights.safetensors", "history.csv", "history.jsonl")
COMMAND = "import sys; from mlpc.cli.main import main; sys.exit(main(sys.argv[1:]))"
SLOW = "import time; from mlpc.runtime.steps import Step; run = Step.run; Step.run = lambda *a: (time.sleep(SECONDS), run(*a))[1]; "


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.mlp").write_text(MODEL.replace("EPOCHS", "40"))
    (tmp_path / "long.mlp").write_text(MODEL.replace("EPOCHS", "100000"))
    return tmp_path


def begin(*argv: str, seconds: float = 0.0) -> subprocess.Popen[str]:
    """`mlpc` in a process, each step of which takes so long."""
    code = (SLOW.replace("SECONDS", str(seconds)) if seconds else "") + COMMAND
    return subprocess.Popen([sys.executable, "-c", code, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Reads stdout until there is a line with the text."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    assert process.stderr is not None
    raise AssertionError(f"ended without {text!r}: {process.stderr.read()}")


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """(status, stderr)"""
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def contents(folder: str) -> list[bytes]:
    """What a run has made, or each of its folds."""
    return [(path / name).read_bytes() for path in [*sorted(Path(folder).glob("fold-*"))] or [Path(folder)] for name in RESULTS]


def whole(capsys: pytest.CaptureFixture[str], *more: str) -> list[bytes]:
    assert main(["run", "m.mlp", "--out", "whole", *more]) == 0
    capsys.readouterr()
    return contents("whole")


def killed(kills: int, rng: random.Random, expected: list[bytes], *more: str) -> None:
    """Runs, with some more arguments, that are killed again and again until so many kills have come; each ends with what is expected."""
    run = done = 0
    while done < kills:
        run += 1
        argv = ["run", "m.mlp", "--checkpoint-every", "0s", "--out", f"k{run}", *more]
        while True:
            process = begin(*argv)
            wait_for(process, "epochs")  # the page that is printed before the first step
            while not [
                *Path(f"k{run}").rglob("settings.json")
            ]:  # of folds before the first is begun: until then there is nothing to resume
                assert process.poll() is None, ended(process)
                time.sleep(0.001)
            if done < kills:
                time.sleep(rng.random() * 0.5)
                process.kill()
            status, err = ended(process)
            assert status in (0, -signal.SIGKILL), err
            if status == 0:
                break
            done += 1
            argv = ["run", "--checkpoint-every", "0s", "--resume", f"k{run}"]
        assert contents(f"k{run}") == expected
        assert not [p.name for p in Path(f"k{run}").rglob("*") if p.name.startswith(".") or p.name == "lock"]


def test_ten_kills(folder, capsys) -> None:
    (folder / "m.mlp").write_text(MODEL.replace("EPOCHS", "20"))
    killed(10, random.Random(0), whole(capsys))


def test_five_kills_of_folds(folder, capsys) -> None:
    (folder / "m.mlp").write_text(MODEL.replace("EPOCHS", "10"))
    killed(5, random.Random(1), whole(capsys, "--folds", "3"), "--folds", "3")


def test_five_kills_on_two_threads(folder, capsys) -> None:
    (folder / "m.mlp").write_text(MODEL.replace("EPOCHS", "20"))
    killed(5, random.Random(2), whole(capsys, "--threads", "2"), "--threads", "2")


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(8))
def test_two_hundred_kills_a_hundred_of_folds_and_a_hundred_on_two_threads(folder, capsys, seed, part) -> None:
    """Fifty in each part: a machine that is shared can do something else in between."""
    more = {4: ("--folds", "3"), 5: ("--folds", "3"), 6: ("--threads", "2"), 7: ("--threads", "2")}.get(part, ())
    killed(50, random.Random(8 * seed + part), whole(capsys, *more), *more)


def faults(folder: Path, which: str, *more: str) -> list[list[str]]:
    """What tests/faulty_disk.py says: [point, action, first status, second status, what came of it]."""
    found = subprocess.run([sys.executable, str(HERE / "faulty_disk.py"), str(folder), which, *more], capture_output=True, text=True,
                           env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, check=False)  # fmt: skip
    assert found.returncode == 0, found.stderr
    points, *lines = found.stdout.splitlines()
    assert int(points) > 50
    return [line.split() for line in lines]


def judge(lines: list[list[str]]) -> None:
    for line in lines:
        _, action, first, second, came, *_ = line
        assert int(first) == (-signal.SIGKILL if action == "kill" else 74), line
        assert (int(second), came) in ((0, "same"), (1, "none")), line  # the second: before anything was begun
    assert sum(line[4] == "none" for line in lines) < len(lines) / 5


def test_a_disk_that_fails_at_some_point_of_a_run(tmp_path) -> None:
    lines = faults(tmp_path, "some")
    assert {action for _, action, *_ in lines} == {"kill", "ENOSPC", "EIO"}
    judge(lines)


@pytest.mark.campaign
@pytest.mark.parametrize("more", [(), ("--folds", "2")])
def test_a_disk_that_fails_at_every_point_of_a_run(tmp_path, more) -> None:
    judge(faults(tmp_path, "all", *more))


@pytest.mark.campaign
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
@pytest.mark.parametrize("fault", ["signal=KILL", "error=ENOSPC", "error=EIO"])
def test_system_calls_that_fail(folder, capsys, needs, call, fault) -> None:
    needs("strace")
    (folder / "m.mlp").write_text(MODEL.replace("EPOCHS", "2"))
    expected = whole(capsys)
    command = [sys.executable, "-c", COMMAND, "run", "m.mlp", "--json", "--checkpoint-every", "0s", "--out"]
    counted = subprocess.run(["strace", "-f", "-c", "-e", f"trace={call}", *command, "counted"], capture_output=True, text=True, check=True)
    match = re.search(rf"(\d+) +{call}$", counted.stderr, re.MULTILINE)
    assert match, counted.stderr
    for n in range(1, int(match[1]) + 1):
        out = f"{n}"
        first = subprocess.run(["strace", "-f", "-qq", "-o", os.devnull, "-e", f"inject={call}:{fault}:when={n}", *command, out],
                               capture_output=True, check=False).returncode  # fmt: skip
        assert first in ((-signal.SIGKILL, 128 + signal.SIGKILL) if "KILL" in fault else (74,)), (n, first)
        if Path(out, "settings.json").exists():
            assert main(["run", "--resume", out]) == 0, n
            capsys.readouterr()
            assert contents(out) == expected, n
        shutil.rmtree(out, ignore_errors=True)


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")]
)
def test_a_signal_stops_a_run_within_a_batch_and_saves(folder, capsys, number, status, word) -> None:
    expected = whole(capsys)
    process = begin("run", "m.mlp", "--out", "r", seconds=0.05)
    wait_for(process, "train.loss")
    asked = time.monotonic()
    process.send_signal(number)
    found, err = ended(process)
    assert time.monotonic() - asked < 10
    assert found == status
    match = re.fullmatch(rf"stopped by {word} after step (\d+) of 80, in epoch (\d+) of 40\nto go on:  (mlpc run --resume r)\n", err)
    assert match, err
    assert 1 <= int(match[1]) < 80 and int(match[2]) == (int(match[1]) + 1) // 2
    assert [p.name for p in Path("r").glob("check*")] == [f"checkpoint-{match[1]}.bin"]
    assert not Path("r", "weights.safetensors").exists()
    assert main(match[3].split()[1:]) == 0
    assert f"   goes on after step {match[1]}\n" in capsys.readouterr().out
    assert contents("r") == expected


def test_a_closed_pipe_stops_a_run_and_saves(folder, capsys) -> None:
    expected = whole(capsys)
    process = begin("run", "m.mlp", "--out", "r", seconds=0.02)
    wait_for(process, "train.loss")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    with process.stderr:
        err = process.stderr.read()
    assert process.wait(60) == 141
    match = re.fullmatch(r"stopped by a closed pipe after step (\d+) of 80, in epoch \d+ of 40\nto go on:  (mlpc run --resume r)\n", err)
    assert match, err
    assert [p.name for p in Path("r").glob("check*")] == [f"checkpoint-{match[1]}.bin"]
    assert main(match[2].split()[1:]) == 0
    assert contents("r") == expected


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_of_stdout_and_stderr_stops_folds_and_saves(folder, capsys, unbuffered: str) -> None:
    expected = whole(capsys, "--folds", "3")
    reading, writing = os.pipe()
    words = [sys.executable, "-c", COMMAND, "run", "m.mlp", "--folds", "3", "--out", "r"]
    process = subprocess.Popen(words, stdout=writing, stderr=writing, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    os.close(writing)
    os.close(reading)
    assert process.wait(60) == 141
    assert not (Path("r") / "fold-2").exists()
    assert main(["run", "--resume", "r"]) == 0
    assert contents("r") == expected


def test_a_terminal_that_is_closed_loses_nothing(folder, capsys) -> None:
    expected = whole(capsys)
    process, terminal = pty.fork()
    if process == 0:
        code = SLOW.replace("SECONDS", "0.05") + COMMAND
        os.execv(sys.executable, [sys.executable, "-c", code, "run", "m.mlp", "--out", "r"])
    seen = b""
    while not re.search(rb"epoch ([2-9]|[1-3][0-9])/40", seen):  # the bar is drawn now and then, and may pass the second over
        seen += os.read(terminal, 4096)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (129, 74)  # 74: nobody is there to be told
    assert len(list(Path("r").glob("checkpoint-*.bin"))) == 1
    assert main(["run", "--resume", "r"]) == 0
    assert contents("r") == expected


def test_a_signal_without_a_folder_says_that_nothing_is_kept(folder) -> None:
    process = begin("run", "long.mlp", "--no-out", "--every", "1")
    wait_for(process, "train.loss")
    process.send_signal(signal.SIGINT)
    status, err = ended(process)
    assert status == 130
    assert re.fullmatch(r"stopped by Ctrl-C after step \d+ of 200000, in epoch \d+ of 100000\nnothing is kept: --no-out\n", err)
    assert not Path("runs").exists()


def test_a_signal_stops_the_folds_and_they_go_on_together(folder, ask) -> None:
    ask("run", "m.mlp", "--folds", "3", "--out", "whole")
    process = begin("run", "m.mlp", "--folds", "3", "--out", "r", seconds=0.01)
    wait_for(process, "     1 ")  # the line of the first fold
    deadline = time.monotonic() + 30
    while not (Path("r/fold-2/history.jsonl").exists() and Path("r/fold-2/history.jsonl").stat().st_size):
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    status, err = ended(process)
    match = re.fullmatch(
        r"stopped by Ctrl-C in fold 2 of 3, after step (\d+) of 80, in epoch \d+ of 40\nto go on:  mlpc run --resume r\n",
        err.removeprefix(BLOCKS),
    )
    assert status == 130 and match, err
    assert [p.name for p in Path("r").glob("fold-*/check*")] == [f"checkpoint-{match[1]}.bin"]
    assert json.loads(Path("r/folds.json").read_bytes())["folds"][0]["out"] == "r/fold-1"
    first = Path("r/fold-1/run.json").read_bytes()
    status, out, err = ask("run", "--resume", "r")
    assert (status, err) == (0, BLOCKS) and Path("r/fold-1/run.json").read_bytes() == first
    assert contents("r") == contents("whole")
    told = out.split("fold   epoch")[1].partition("kept")[0]
    assert told == ask("run", "--resume", "whole")[1].split("fold   epoch")[1].partition("kept")[0]  # of folds that have all ended
    assert ask("run", "--resume", "r", "--json")[1].encode() == Path("r/folds.json").read_bytes()


def test_folds_can_be_longer(folder, ask) -> None:
    ask("run", "m.mlp", "--folds", "2", "--out", "r", "--checkpoint-every", "7epochs")
    status, out, err = ask("run", "--resume", "r", "--set", "train.epochs=50")
    assert status == 0 and err.startswith(BLOCKS) and "from the command line: epochs = 50" in out
    ask("run", "m.mlp", "--folds", "2", "--out", "long", "--set", "train.epochs=50")
    assert contents("r") == contents("long")
    status, _, err = ask("run", "--resume", "r", "--seed", "9")
    assert status == 1 and "in fold 1, another setting: `seed` is 0 in r/fold-1, and this would be with 9" in err


def test_what_the_command_line_said_of_a_run_is_kept_with_it(folder, ask) -> None:
    said = ("--watch", "h", "--on-nan", "warn", "--checkpoint-every", "3epochs")
    ask("run", "m.mlp", "--out", "whole", *said)
    for more in ((), ("--folds", "2")):
        ask("run", "m.mlp", "--out", "r", "--max-time", "0s", *said, *more)
        status, out, _ = ask("run", "--resume", "r")
        assert status == 0 and "        h  norm " in out
        at = Path("r", *["fold-1"] * bool(more))
        assert all("watch" in json.loads(line) for line in (at / "history.jsonl").read_text().splitlines()[1:])
        steps = [int(p.stem.removeprefix("checkpoint-")) for p in sorted(at.glob("check*"))]
        assert len(steps) == 2 and steps[1] - steps[0] == 6  # two an epoch
        kept = json.loads((at / "settings.json").read_bytes())
        assert (kept["watch"], kept["on_nan"], kept["checkpoint_every"]) == (["h"], "warn", ["Infinity", 3])
        status, out, _ = ask("run", "--resume", "r", "--watch", "p", "--set", "train.epochs=41")  # it may be said anew
        assert status == 0 and "        p  norm " in out and "        h  norm " not in out
        assert json.loads((at / "settings.json").read_bytes())["watch"] == ["p"]
        shutil.rmtree("r")


@pytest.mark.parametrize("more", [(), ("--folds", "2")])
def test_a_run_that_was_killed_before_its_first_checkpoint_begins_with_the_weights_that_it_was_given(folder, ask, more) -> None:
    ask("run", "m.mlp", "--out", "w", "--seed", "7", "--set", "train.epochs=1")
    ask("run", "m.mlp", "--out", "whole", "--init", "w", *more)
    ask("run", "m.mlp", "--out", "r", "--init", "w", "--max-time", "0s", *more)
    for name in ("check*", "run.json", "weights*", "history*"):
        for path in Path("r").rglob(name):
            path.unlink()
    if more:
        shutil.rmtree("r/fold-2")
        (Path("r/fold-2/source")).mkdir(parents=True)  # killed while it was being made
    copy = Path("w/weights.safetensors").read_bytes()
    ask("run", "m.mlp", "--out", "v", "--seed", "8", "--set", "train.epochs=1")
    Path("w/weights.safetensors").write_bytes(Path("v/weights.safetensors").read_bytes())
    status, _, err = ask("run", "--resume", "r")
    assert status == 1 and "error[E0507]" in err and "/w are not those that r" in err
    Path("w/weights.safetensors").write_bytes(copy)
    assert ask("run", "--resume", "r")[0] == 0
    assert contents("r") == contents("whole")


def test_a_second_ctrl_c_stops_at_once(folder) -> None:
    process = begin("run", "m.mlp", "--out", "r", seconds=30)
    wait_for(process, "epochs")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "stopped by Ctrl-C\n")
    assert not list(Path("r").glob("check*"))
    assert main(["run", "--resume", "r", "--json"]) == 0


def test_signals_are_noted_once_and_then_are_what_they_were() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with wish_to_stop() as wish:
        assert not wish()
        os.kill(os.getpid(), signal.SIGTERM)
        assert wish() and wish.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    hangup = signal.getsignal(signal.SIGHUP)
    with wish_to_stop() as wish:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)  # by the system and by the shell
        assert wish.number == signal.SIGHUP
    assert signal.getsignal(signal.SIGHUP) == hangup
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup has it
    try:
        with wish_to_stop() as wish:
            os.kill(os.getpid(), signal.SIGINT)
            assert not wish()
    finally:
        signal.signal(signal.SIGINT, ignored)


def test_two_trainers_in_one_folder(folder, capsys) -> None:
    process = begin("run", "m.mlp", "--out", "r", seconds=30)
    wait_for(process, "epochs")
    deadline = time.monotonic() + 20
    while not Path("r", "lock").exists() or not Path("r", "lock").read_text():
        assert time.monotonic() < deadline
    assert main(["run", "--resume", "r"]) == 1
    err = capsys.readouterr().err
    assert "error[E0508]: another process trains in the run's folder" in err and f"process {process.pid} on " in err
    process.kill()
    ended(process)
    assert Path("r", "lock").exists()
    assert main(["run", "--resume", "r"]) == 0  # what a killed process leaves holds nobody up
    assert not Path("r", "lock").exists()


def test_a_lock_is_taken_once_and_given_back(tmp_path) -> None:
    with locked(tmp_path):
        with pytest.raises(MlpcError, match=f"process {os.getpid()} on .* trains in"), locked(tmp_path):
            pass
        assert (tmp_path / "lock").exists()
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_write_leaves_is_swept_and_nothing_else(tmp_path) -> None:
    write_file(tmp_path / "a", b"1", memoryview(b"2"))
    for name in (".a.0123456789ab", ".checkpoint-3.bin.ffffffffffff", ".a", ".hidden.txt", "b.0123456789ab"):
        (tmp_path / name).write_bytes(b"")
    sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a", ".hidden.txt", "a", "b.0123456789ab"]
    assert (tmp_path / "a").read_bytes() == b"12"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """ask("run", FILE) -> (status, stdout, stderr)."""

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(argv)
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def test_a_run_that_has_ended_says_so_and_can_be_longer(folder, ask) -> None:
    ask("run", "m.mlp", "--out", "r", "--checkpoint-every", "7epochs")
    assert sorted(p.name for p in Path("r").glob("check*")) == ["checkpoint-56.bin", "checkpoint-70.bin"]
    said = "r has come to its end, with epoch 40; for more:  mlpc run --resume r --set train.epochs=80\n"
    assert ask("run", "--resume", "r") == (0, said, "")
    assert '"steps": 80' in ask("run", "--resume", "r", "--json")[1]
    status, out, err = ask("run", "--resume", "r", "--set", "train.epochs=50")
    assert (status, err) == (0, "") and "   goes on after step 70\n" in out
    ask("run", "m.mlp", "--out", "long", "--set", "train.epochs=50")
    assert contents("r") == contents("long")
    assert ask("run", "--resume", "r")[1].startswith("r has come to its end, with epoch 50")
    status, _, err = ask("run", "--resume", "r", "--set", "train.epochs=45")
    assert status == 1 and "r has done 100 steps, and this would be 90 in all" in err


def test_without_a_checkpoint_it_begins_again(folder, ask) -> None:
    ask("run", "m.mlp", "--out", "r", "--set", "train.epochs=3")
    assert list(Path("r").glob("check*")) == []  # shorter than the interval
    status, out, _ = ask("run", "--resume", "r", "--set", "train.epochs=5")
    assert status == 0 and "has no checkpoint: begins again from the start" in out
    ask("run", "m.mlp", "--out", "whole", "--set", "train.epochs=5")
    assert contents("r") == contents("whole")


def test_a_schedule_over_the_whole_run_cannot_be_longer(folder, ask) -> None:
    text = Path("m.mlp").read_text().replace("lr = 0.01", "lr = cosine(0.01, 0.001)")
    Path("m.mlp").write_text(text)
    ask("run", "m.mlp", "--out", "r")
    status, _, err = ask("run", "--resume", "r", "--set", "train.epochs=50")
    assert status == 1 and "error[E0507]" in err and "its update reads `steps` or `epochs`" in err


def test_what_early_stop_has_ended_is_at_its_end(folder, ask) -> None:
    text = Path("m.mlp").read_text().replace("keep", "early_stop = on(val.loss, patience = 1)\n  keep")
    Path("m.mlp").write_text(text)
    ask("run", "m.mlp", "--out", "r")
    assert re.fullmatch(r"r has come to its end, with epoch \d+\n", ask("run", "--resume", "r")[1])
    status, _, err = ask("run", "--resume", "r", "--set", "train.epochs=5000")
    assert status == 1 and "`early_stop` ended r after epoch" in err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--seed", "9"], "another setting: `seed` is 0 in r, and this would be with 9"),
        (["--set", "train.precision=float32"], "another precision: r is in float64, and this would be in float32"),
        (["other.mlp"], "another model: other.mlp does not compute what m.mlp of r does"),
        (["rows.mlp"], "other data: the numbers of `x` in train are not those that r was begun with"),
    ],
)
@pytest.mark.parametrize("saved", ["0s", "off"])
def test_another_model_precision_or_data_is_refused_by_name(folder, ask, argv, said, saved) -> None:
    Path("other.mlp").write_text(Path("m.mlp").read_text().replace("relu", "tanh"))
    Path("rows.mlp").write_text(Path("m.mlp").read_text().replace("[3, 3]", "[3, 3.5]"))
    ask("run", "m.mlp", "--out", "r", "--set", "train.epochs=2", "--checkpoint-every", saved)
    status, _, err = ask("run", "--resume", "r", *argv)
    assert status == 1 and "error[E0507]: the run cannot go on" in err and said in err
    assert ask("run", "--resume", "r", "--set", "train.epochs=3")[0] == 0


def test_the_model_is_the_runs_own_copy_and_its_data_is_read_where_it_was(folder, ask) -> None:
    Path("a").mkdir()
    rows = "a,b,c\n" + "".join(f"{i},{i * i % 7},{3 * i % 5}\n" for i in range(12))
    Path("a/t.csv").write_text(rows)
    text = re.sub(r"x = .*\n  y = .*\n", 'from "t.csv"\n  x = columns("a", "b")\n  y = c\n', Path("m.mlp").read_text())
    text, parts = 'import "n.mlp"\n\n' + text.replace("batch_norm", "norm"), "block norm(x) {\n  return batch_norm(x)\n}\n"
    Path("a/t.mlp").write_text(text)
    Path("a/n.mlp").write_text(parts)
    assert ask("run", "a/t.mlp", "--out", "whole")[0] == 0
    assert ask("run", "a/t.mlp", "--out", "r", "--max-time", "0s")[0] == 0
    Path("a/t.mlp").write_text("model { }")
    Path("a/n.mlp").unlink()
    status, _, err = ask("run", "--resume", "r")
    assert status == 0 and "a/t.mlp has changed since; the run goes on with the model that it was begun with, r/source/t.mlp" in err
    assert contents("r") == contents("whole")
    Path("b").mkdir()
    Path("a/t.csv").rename("b/t.csv")
    Path("a/t.mlp").unlink()
    status, _, err = ask("run", "--resume", "r")
    assert status == 1 and "/a/t.mlp, is not there, and its data neither" in err and "mlpc run FILE --resume r" in err
    Path("a").rmdir()
    status, _, err = ask("run", "--resume", "r")
    assert status == 1 and "/a, is not there, and its data is read from there" in err
    Path("b/t.mlp").write_text(text)
    Path("b/n.mlp").write_text(parts)
    assert ask("run", "b/t.mlp", "--resume", "r", "--set", "train.epochs=41")[0] == 0
    assert json.loads(Path("r/settings.json").read_bytes())["file"] == str(folder / "b" / "t.mlp")
    assert ask("run", "b/t.mlp", "--out", "longer", "--set", "train.epochs=41")[0] == 0
    assert contents("r")[1:] == contents("longer")[1:]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["run"], "the model is missing"),
        (["run", "--resume", "r", "--init", "r"], "--init is for a run that begins"),
        (["run", "--resume", "r", "--dry-run"], "--dry-run is for a run that begins"),
        (["run", "--resume", "r", "--out", "s"], "not allowed with argument"),
        (["run", "m.mlp", "--no-out", "--checkpoint-every", "7s"], "--checkpoint-every saves into the run's folder, and --no-out has none"),
        (["run", "m.mlp", "--checkpoint-every", "7"], "a time, or epochs, was needed, as 60s, 10m, 5epochs or off, and this is '7'"),
    ],
)
def test_options_that_do_not_go_together(folder, ask, argv, said) -> None:
    status, _, err = ask(*argv)
    assert status == 2 and said in err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda: shutil.rmtree("r"), "r is not the folder of a run"),
        (lambda: Path("r/settings.json").unlink(), "r has no settings.json: no run was begun in it"),
        (lambda: Path("r/settings.json").write_text("{"), "settings.json is damaged: it is no JSON document"),
        (lambda: Path("r/settings.json").write_text("{}"), "settings.json is damaged: it has no `source`"),
    ],
)
def test_folders_that_are_no_runs(folder, ask, damage, said) -> None:
    ask("run", "m.mlp", "--out", "r", "--set", "train.epochs=1")
    damage()
    status, _, err = ask("run", "--resume", "r")
    assert status == 1 and "error[E0505]" in err and said in err


def test_a_run_that_an_earlier_mlpc_has_begun(folder, ask) -> None:
    ask("run", "m.mlp", "--out", "r", "--max-time", "0s")
    told = json.loads(Path("r/settings.json").read_bytes())
    new = {"folds", "init", "watch", "on_nan", "checkpoint_every"}
    assert new < {*told}
    Path("r/settings.json").write_text(json.dumps({name: value for name, value in told.items() if name not in new}))
    assert ask("run", "--resume", "r")[0] == 0
    ask("run", "m.mlp", "--out", "f", "--folds", "2", "--max-time", "0s")
    told = json.loads(Path("f/fold-1/settings.json").read_bytes())
    Path("f/fold-1/settings.json").write_text(json.dumps({name: value for name, value in told.items() if name not in new}))
    status, _, err = ask("run", "--resume", "f")
    assert status == 1 and "f was begun by an earlier mlpc, whose folds cannot go on" in err


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(folder, ask) -> None:
    ask("run", "m.mlp", "--out", "whole")
    ask("run", "m.mlp", "--out", "r", "--checkpoint-every", "7epochs")
    Path("r/checkpoint-70.bin").write_bytes(b"nothing")
    Path("r/run.json").unlink()
    status, out, err = ask("run", "--resume", "r")
    assert (status, err) == (0, "note: r/checkpoint-70.bin: damaged, or no checkpoint; the one before is used\n")
    assert "goes on after step 56" in out
    assert contents("r") == contents("whole")
