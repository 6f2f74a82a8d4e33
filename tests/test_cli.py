"""The command line: documents, exit statuses, what goes where; and the Python face."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import mlpc
from mlpc.cli.main import main, parser
from mlpc.runtime.train import train

ROOT = Path(__file__).parents[1]
NOTEBOOK, IRIS, XOR = (str(ROOT / "models" / f"{name}.mlp") for name in ("notebook", "iris", "xor"))
SMALL = """data {
  x = [[1, 2], [3, 4], [5, 7]]
  y = [1, 2, 4]
}
model {
  p = dense(x, 1)
}
loss = mean(mse(p, y))
train {
  optimizer = sgd(lr = 0.01)
  epochs = 3
  batch = all
}
"""


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.mlp"
    path.write_text(SMALL, encoding="utf-8")
    return str(path)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """ask("plan", FILE) -> (status, stdout, stderr), in a folder that may be written to."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(argv)
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def strict(text: str) -> Any:
    """The one JSON document in `text`, which may hold no NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def epochs_shown(page: str) -> list[str]:
    return [line.split()[0] for line in page.split("\n\n")[1].splitlines()[1:]]


def process(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mlpc", *argv], capture_output=True, text=True, encoding="utf-8", timeout=60, **options)


# --- documents -----------------------------------------------------------------------------------


def test_plan_document(ask) -> None:
    status, out, err = ask("plan", NOTEBOOK, "--json")
    found = strict(out)
    assert (status, err, found["format"]) == (0, "", 1)
    assert {*found} >= {"format", "params", "forward", "gradient", "update"}
    assert all({*p} == {"name", "shape", "count", "init"} for p in found["params"])
    keys = {"id", "target", "text", "shape", "by", "line", "needs", "needed_by", "kept", "flops", "bytes", "note"}
    for section in ("forward", "gradient", "update"):
        assert found[section]
        assert all({*line} >= keys for line in found[section])
    assert found["update"][0]["applies_to"] == ["w1", "b1", "w2", "b2"]
    assert {"name": "batch", "value": "all", "from": "line 24"} in found["settings"]


def test_trace_document(ask) -> None:
    status, out, _ = ask("trace", XOR, "--json", "--step", "2")
    found = strict(out)
    assert (status, found["format"], found["step"]) == (0, 1, 2)
    assert isinstance(found["loss"], float)
    assert [v["section"] for v in found["values"]] == sorted(
        (v["section"] for v in found["values"]), key=["param", "input", "state", "forward", "gradient", "update"].index
    )
    assert {v["section"] for v in found["values"]} == {"param", "input", "state", "forward", "gradient", "update"}
    assert all({*v} >= {"id", "name", "section", "shape", "dtype", "value"} for v in found["values"])


def test_trace_shows_params_before_the_update(ask) -> None:
    first = {v["name"]: v["value"] for v in strict(ask("trace", NOTEBOOK, "--json")[1])["values"] if v["section"] == "param"}
    updated = {v["param"]: v["value"] for v in strict(ask("trace", NOTEBOOK, "--json")[1])["values"] if v["section"] == "update"}
    second = {
        v["name"]: v["value"] for v in strict(ask("trace", NOTEBOOK, "--json", "--step", "2")[1])["values"] if v["section"] == "param"
    }
    assert second == updated
    assert second != first


def test_run_document(ask) -> None:
    status, out, _ = ask("run", IRIS, "--json", "--set", "train.epochs=3", "--every", "2")
    found = strict(out)
    assert (status, found["format"], found["epochs"], found["steps"]) == (0, 1, 3, 24)
    assert {*found["loss"]} == {*found["metrics"]} == {"train", "test"}
    assert {*found["metrics"]["test"]} == {"accuracy", "confusion"}
    assert {*found["seconds"]} >= {"compile", "train"}
    assert {*found["environment"]} == {"mlpc", "python", "numpy", "blas", "cpu"}
    assert len(found["weights_sha256"]) == 64
    assert found["threads"] == 1
    assert {"name": "epochs", "value": "3", "from": "command line"} in found["settings"]
    assert [entry["epoch"] for entry in found["history"]] == [2, 3]


def test_check_document(ask) -> None:
    status, out, _ = ask("check", XOR, "--json")
    found = strict(out)
    assert (status, found["format"], found["right"], found["wrong"], found["not_judged"]) == (0, 1, 4, 0, 0)
    assert all({*p} >= {"name", "shape", "verdict", "gradient", "measured", "h", "difference"} for p in found["params"])
    assert found["line"] is None and found["reproducer"] is None


def test_numbers_that_are_not_finite_are_strings(ask, small: str) -> None:
    _, out, _ = ask("trace", small, "--json", "--step", "3", "--set", "train.optimizer.lr=1e300")
    found = strict(out)
    assert found["loss"] in {"NaN", "Infinity"}
    assert any("NaN" in str(v["value"]) or "Infinity" in str(v["value"]) for v in found["values"])


# --- pages ---------------------------------------------------------------------------------------


def test_facts(ask):
    _, out, _ = ask("plan", IRIS, "--facts")
    assert out.split("\nfacts\n")[1].splitlines()[:4] == [
        " x     [N, 4]   -",
        " y     [N, 3]   onehot",
        " h     [N, 16]  >= 0",
        " p     [N, 3]   simplex",
    ]


def test_plan_says_where_each_setting_comes_from(ask) -> None:
    _, out, _ = ask("plan", IRIS, "--defaults", "--set", "train.optimizer.lr=0.1", "--seed", "7")
    rows = [line.split(None, 2) for line in out[out.index("\nsettings") :].splitlines()[2:]]
    found = {row[0]: tuple(row[1:]) for row in rows if row[0] != "optimizer"}
    assert found["optimizer.lr"] == ("0.1", "command line")
    assert found["optimizer.beta1"][0] == "0.9" and found["optimizer.beta1"][1].startswith("default, std/optimizers.mlp:")
    assert found["batch"] == ("16", "line 18")
    assert found["seed"] == ("7", "command line")
    assert found["precision"] == ("float64", "default")
    assert found["steps"] == ("1600", "200 epochs of 8 steps")


def test_run_prints_its_epochs_a_table_and_a_labelled_confusion(ask) -> None:
    status, out, err = ask("run", IRIS, "--set", "train.epochs=12")
    assert (status, err) == (0, "")
    assert epochs_shown(out) == [str(i) for i in range(1, 13)]
    assert "rows 120 train, 30 test" in out and "adam(lr = cosine(0.02, 0.0001))" in out
    assert "from the command line: epochs = 12" in out
    assert "confusion, test: rows true, columns predicted" in out
    (head,) = [line for line in out.splitlines() if line.split() == ["setosa", "versicolor", "virginica"]]
    assert head
    assert "weights sha256 " in out and "\x1b" not in out


def test_run_prints_each_kth_epoch(ask) -> None:
    _, out, _ = ask("run", XOR, "--every", "200")
    assert epochs_shown(out) == ["200", "400", "500"]
    assert "true" in out and [line.split() for line in out.splitlines() if line.startswith("   1 ")] == [["1", "0", "2"]]


def test_trace_prints_lines_with_their_matrices(ask) -> None:
    _, out, _ = ask("trace", NOTEBOOK, "--values", "dz2", "--values", "w1")
    assert " g1  dz2 = p - y" in out and "-0.66651678" in out and "0.00496714" in out
    assert "db2" not in out


def test_trace_leaves_out_the_middle_of_a_long_matrix(ask) -> None:
    _, out, _ = ask("trace", IRIS, "--values", "x", "--set", "train.batch=all")
    assert "..." in out and len(out.splitlines()) < 40


def test_an_unknown_value_of_trace(ask) -> None:
    status, out, err = ask("trace", NOTEBOOK, "--values", "dz3")
    assert (status, out) == (1, "") and "E0201" in err and "did you mean" in err


def test_warnings_and_notes_go_to_stderr(ask, tmp_path: Path) -> None:
    path = tmp_path / "warned.mlp"
    path.write_text("fn relu(x) = max(x, 0)\n" + SMALL.replace("  p = ", "  idle = x * 2\n  p = "), encoding="utf-8")
    status, out, err = ask("run", str(path), "--json")
    assert status == 0 and strict(out)
    assert "warning[W0101]" in err and "note: `relu` here shadows the standard library's" in err


def test_every_command_has_help_with_an_example_and_the_statuses(ask) -> None:
    for command in ("new", "run", "report", "runs", "plan", "trace", "check", "explain", "diff", "fmt"):
        status, out, _ = ask(command, "--help")
        assert status == 0 and f"example:  mlpc {command} " in out and "exit status:" in out


def test_the_examples_of_help_are_no_errors(monkeypatch: pytest.MonkeyPatch, ask) -> None:
    monkeypatch.chdir(ROOT)
    for command in ("new", "run", "report", "runs", "plan", "trace", "check", "explain", "diff", "fmt"):
        example = next(line for line in ask(command, "--help")[1].splitlines() if line.startswith("example:"))
        assert parser().parse_args(example.split()[2:]).command == command


# --- exit statuses -------------------------------------------------------------------------------


def test_a_missing_file_is_status_1(ask) -> None:
    status, out, err = ask("run", str(ROOT / "models" / "irs.mlp"))
    assert (status, out) == (1, "")
    assert err.startswith("error[E0502]") and "did you mean" in err


@pytest.mark.parametrize("command", ["run", "plan", "trace", "check"])
def test_a_faulty_file_is_status_1_and_all_its_faults_are_told(ask, tmp_path: Path, command: str) -> None:
    path = tmp_path / "faulty.mlp"
    path.write_text(
        SMALL.replace("dense(x, 1)", "dens(x, 1)").replace("epochs =", "epoch =").replace("[5, 7]", "[5, 7, 9]"), encoding="utf-8"
    )
    status, out, err = ask(command, str(path), "--json")
    assert (status, out) == (1, "")
    assert "E0205" in err and "E0301" in err and "E04" in err
    assert "Traceback" not in err


def test_settings_of_the_command_line_are_checked(ask, small: str) -> None:
    assert ask("plan", small, "--set", "train.epoch=5")[0] == 1
    assert ask("plan", small, "--set", "epochs")[0] == 1
    status, _, err = ask("plan", small, "--set", "train.epochs=0")
    assert status == 1 and "--set train.epochs" in err


@pytest.mark.parametrize(
    "argv", [[], ["rum", "x"], ["run"], ["run", "x", "--step", "1"], ["trace", "x", "--step", "0"], ["run", "x", "--out", "a", "--no-out"]]
)
def test_the_command_line_is_status_2(ask, argv: list[str]) -> None:
    status, out, err = ask(*argv)
    assert (status, out) == (2, "") and "usage: mlpc" in err


def test_an_amount_of_memory_that_is_none_is_status_2(ask, small: str) -> None:
    assert ask("run", small, "--max-memory", "lots")[0] == 2


def test_too_much_memory_is_refused_by_name(ask, small: str) -> None:
    status, _, err = ask("run", small, "--max-memory", "10B")
    assert status == 1 and "E0501" in err


def test_a_loss_that_is_not_finite_is_status_3(ask, small: str) -> None:
    status, _, err = ask("run", small, "--json", "--set", "train.optimizer.lr=1e300")
    assert status == 3 and err.startswith("error[E0503]")


@pytest.mark.parametrize(
    "place",
    [
        "mlpc.dsl.parse._read", "mlpc.compiler.graph.report_items", "mlpc.compiler.pipeline.lower", "mlpc.compiler.assembly.gradients",
        "mlpc.compiler.assembly.forward_and_gradient", "mlpc.compiler.verify.verify", "mlpc.loading.read", "mlpc.runtime.steps.Kernel",
        "mlpc.model.train", "mlpc.cli.training.document",
    ],
)  # fmt: skip
def test_a_planted_bug_in_a_pass_is_status_70(ask, small: str, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def planted(*args: object, **more: object) -> None:
        raise ValueError("planted\nhere")

    import_module("mlpc.cli.run")  # what is patched must be there
    monkeypatch.setattr(place, planted)
    monkeypatch.delenv("MLPC_TRACEBACK", raising=False)
    status, out, err = ask("run", small, "--json")
    assert (status, out) == (70, "")
    assert "this is a bug in mlpc" in err and "ValueError: planted here" in err and "report" in err and small in err
    assert "Traceback" not in err


def test_a_bug_shows_its_traceback_when_asked_to(ask, small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpc.loading.read", lambda *a, **k: 1 / 0)
    monkeypatch.setenv("MLPC_TRACEBACK", "1")
    status, _, err = ask("run", small)
    assert status == 70 and "Traceback" in err


def test_memory_that_is_not_there_is_no_bug(ask, small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(*args: object, **more: object) -> None:
        raise MemoryError

    monkeypatch.setattr("mlpc.model.train", planted)
    status, _, err = ask("run", small)
    assert status == 1 and "E0501" in err


def test_ctrl_c_is_130_and_sigterm_143(ask, small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mlpc.model.train", interrupted)
    assert ask("run", small)[0] == 130
    before = signal.getsignal(signal.SIGTERM)

    def twice(*args: object, **more: object) -> None:
        for _ in range(2):  # the first is a wish to stop after the batch, the second ends it at once: tests/test_interruptions.py
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("mlpc.model.train", twice)
    status, _, err = ask("run", small)
    assert status == 143 and "Traceback" not in err
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_status_74(small: str) -> None:
    with open("/dev/full", "w") as full:
        found = subprocess.run([sys.executable, "-m", "mlpc", "plan", small], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert found.returncode == 74 and "No space left" in found.stderr and "Traceback" not in found.stderr


def test_a_closed_pipe_is_silent(small: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run([sys.executable, "-m", "mlpc", "plan", small], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (found.returncode, found.stderr) == (0, "")


# --- what runs -----------------------------------------------------------------------------------


def test_two_processes_come_to_the_same_weights() -> None:
    hashes = [
        strict(process("run", IRIS, "--json", "--no-out", "--set", "train.epochs=5", env={**os.environ, "PYTHONHASHSEED": salt}).stdout)[
            "weights_sha256"
        ]
        for salt in ("1", "2")
    ]
    assert hashes[0] == hashes[1]


def test_editing_one_printed_line_changes_the_weights(small: str) -> None:
    model = mlpc.load(small)
    evaluation, data, settings = model.compilation.evaluation, model.dataset, model.settings
    first = model.plan.forward[0]
    assert first.text == "x @ p.W + p.b" and first.steps[-1].op == "add"
    edited = replace(first, text="x @ p.W - p.b", steps=(*first.steps[:-1], replace(first.steps[-1], op="sub")))
    changed = replace(model.plan, forward=(edited, *model.plan.forward[1:]))
    again = replace(model.plan, forward=(first, *model.plan.forward[1:]))
    assert train(again, evaluation, data, settings).weights_sha256 == model.train().weights_sha256
    assert train(changed, evaluation, data, settings).weights_sha256 != model.train().weights_sha256


def test_the_seed_of_the_command_line_draws_other_weights(ask, small: str) -> None:
    first, same, other = (strict(ask("run", small, "--json", "--seed", s)[1])["weights_sha256"] for s in ("0", "0", "1"))
    assert first == same != other


# --- the face ------------------------------------------------------------------------------------


def test_version_needs_no_numpy() -> None:
    code = "import sys, mlpc.cli.main as m; s = m.main(['--version']); sys.exit(s or sum(n in sys.modules for n in ('numpy', 'networkx', 'lark')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (0, f"mlpc {mlpc.__version__}\n", "")


def test_a_model_in_python(small: str) -> None:
    model = mlpc.load(small, ["train.epochs=2"])
    assert isinstance(model, mlpc.Model) and isinstance(model.plan, mlpc.Plan)
    assert model.graph.has_edge("x", "p") and model.graph.nodes["p"]["shape"] == ("N", 1)
    seen: list[int] = []
    run = model.train(on_epoch=lambda entry: seen.append(entry["epoch"]))
    assert seen == [1, 2] == [entry["epoch"] for entry in run.history]
    assert math.isfinite(run.losses["train"]) and run.params["p.W"].shape == (2, 1)
    assert repr(run) == f"<Run of {model.plan.title}: epoch 2 of 2, {run.steps} steps, train.loss {run.losses['train']:.6g}>"


def test_a_model_from_a_text() -> None:
    assert mlpc.loads(SMALL).train().weights_sha256 == mlpc.loads(SMALL).train().weights_sha256
    with pytest.raises(mlpc.MlpcError, match="E04"):
        mlpc.loads(SMALL.replace("  x = [[1, 2], [3, 4], [5, 7]]\n", '  from "a.csv"\n  x = a\n'))


def test_what_the_package_does_not_have() -> None:
    assert {*mlpc.__all__} <= {*dir(mlpc)}
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        mlpc.lode  # noqa: B018


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--why", "loss", "--facts"], "--facts is of the whole page, and --why shows how one line comes about"),
        (["--why", "loss", "--prediction"], "--prediction is of the whole page"),
        (["--latex", "--defaults"], "--defaults is not part of the document that --latex writes"),
        (["--prediction", "--defaults"], "--defaults shows the settings of training, and --prediction has none"),
    ],
)
def test_no_option_of_plan_is_passed_over_in_silence(ask, small: str, options: list[str], said: str) -> None:
    status, out, err = ask("plan", small, *options)
    assert (status, out) == (2, "") and said in err


def test_the_facts_of_prediction_are_those_of_its_values(ask) -> None:
    for option, names in (("--prediction", ["x", "h", "p"]), ("--all", ["x", "y", "h", "p", "loss"])):
        _, out, _ = ask("plan", IRIS, option, "--facts")
        assert [line.split()[0] for line in out.split("\nfacts\n")[1].splitlines()] == names
        assert list(json.loads(ask("plan", IRIS, option, "--json")[1])["facts"]) == names


def test_a_table_in_place_of_a_model(ask) -> None:
    status, out, err = ask("run", "data/IRIS.csv")
    assert (status, out) == (1, "")
    assert "error[E0502]" in err and "data/IRIS.csv is a table, and the model was needed that reads it" in err
    assert "hint: mlpc new data/IRIS.csv --target COLUMN  writes one" in err


@pytest.mark.parametrize(("words", "status"), [(["--version"], 0), (["run"], 2), (["plan", "there-is-none.mlp"], 1)])
@pytest.mark.parametrize("left", ["", "threading.Thread(target=lambda: (time.sleep(0.3), print('done'))).start(); "])
def test_a_process_does_what_is_left_to_do_and_ends_with_the_status(words, status, left) -> None:
    code = f"import atexit, threading, time; from mlpc.cli.main import process; atexit.register(print, 'registered'); {left}process()"
    found = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60)
    assert found.returncode == status
    assert found.stdout.split()[-2 if left else -1 :] == [*(["done"] if left else []), "registered"]


def test_a_profiler_has_the_last_word() -> None:
    found = subprocess.run([sys.executable, "-m", "cProfile", "-m", "mlpc", "--version"], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")
    assert "function calls" in found.stdout
