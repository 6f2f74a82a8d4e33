"""Weights as one safetensors file: what is in it, that it comes back to the last bit, and that nothing else is taken for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

import mlpc
from mlpc.compiler.render.json import numbers, plain
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import fitted, weights
from mlpc.runtime.data import Dataset
from mlpc.runtime.expressions import ARITHMETIC, Transform
from mlpc.runtime.pipes import PIPES

ROOT = Path(__file__).parents[1]
GALLERY = sorted((ROOT / "models").glob("*.mlp"))
SMALL = """model {
  param w [2, 1] ~ normal(0, 1)
  state m [1] ~ zeros
  h = batch_norm(x)
  m' = m + mean(h @ w, axis = batch)
  p = h @ w
}
data {
  x = [[1, 2], [3, 4], [5, 7], [0, 1]]
  y = [1, 2, 4, 0.5] |> minmax
}
loss = mean(mse(p, y))
train {
  optimizer = adam(lr = 0.01)
  epochs = 3
  PRECISION
}
report rmse(p, y)
"""


def small(precision: str = "float64") -> mlpc.Run:
    return mlpc.loads(SMALL.replace("PRECISION", f"precision = {precision}")).train(threads=1)


def refusal(path: Path) -> str:
    with pytest.raises(MlpcError) as caught:
        mlpc.load_run(path)
    assert caught.value.status == 1
    assert [d.code for d in caught.value.diagnostics] == ["E0505"] * len(caught.value.diagnostics)
    return "\n".join(d.message.replace(str(path.parent) + "/", "") for d in caught.value.diagnostics)


# --- what the file holds ---------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_any_reader_of_safetensors_opens_it(tmp_path: Path, precision: str) -> None:
    run = small(precision)
    run.save(tmp_path / "w.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    assert sorted(found) == sorted([*run.params, *run.states])
    assert {"w", "m"} < set(found) and any(name.startswith("h.") for name in found)
    for name, array in (run.params | run.states).items():
        assert (found[name].dtype, found[name].shape) == (np.dtype(precision), array.shape)
        assert found[name].tobytes() == array.tobytes()
    with safe_open(tmp_path / "w.safetensors", framework="numpy") as file:
        (key,) = file.metadata()
        document = json.loads(file.metadata()[key])
    assert key == "mlpc"
    assert (document["format"], document["precision"], document["mlpc"]) == (1, precision, mlpc.__version__)
    assert [p["name"] for p in document["params"]] == list(run.params)
    assert [s["name"] for s in document["states"]] == list(run.states)
    assert document["files"][-1]["text"] == SMALL.replace("PRECISION", f"precision = {precision}")


def test_the_same_run_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "m.mlp").write_text(SMALL.replace("PRECISION", ""))
    text = "import sys, mlpc; mlpc.load('m.mlp').train(threads=1).save(sys.argv[1])"
    for name, salt in (("a", "1"), ("b", "2")):
        subprocess.run([sys.executable, "-c", text, name], check=True, cwd=tmp_path, env={"PYTHONHASHSEED": salt})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("path", GALLERY, ids=lambda p: p.stem)
def test_a_run_of_the_gallery_comes_back_whole(path: Path, tmp_path: Path) -> None:
    model = mlpc.load(path, ["train.epochs=1"])
    run = model.train()
    run.save(tmp_path / "w.safetensors")
    again = mlpc.load_run(tmp_path / "w.safetensors")
    assert again.model.plan == model.plan
    assert again.model.prediction == model.prediction
    assert again.model.compilation.evaluation == model.compilation.evaluation
    assert [v.name for v in again.model.dataset.schema.values] == [v.name for v in model.dataset.schema.values]
    assert again.model.dataset.fitted == model.dataset.fitted
    assert (again.losses, again.metrics, again.steps, again.weights_sha256) == (run.losses, run.metrics, run.steps, run.weights_sha256)
    assert all((again.params[n] == a).all() for n, a in run.params.items()) and list(again.params) == list(run.params)
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "w.safetensors").read_bytes()


def test_imports_and_overrides_are_in_it_and_no_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "model" / "std").mkdir(parents=True)
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "deep.mlp").write_text("fn twice(x) = 2 * x\n")
    (tmp_path / "model" / "std" / "own.mlp").write_text('import "../../beside/deep.mlp"\n\nfn relu(x) = twice(max(x, 0))\n')
    text = SMALL.replace("PRECISION", "").replace("p = h @ w", "p = relu(h) @ w").replace("[0.5]", "")
    (tmp_path / "model" / "m.mlp").write_text('import "std/own.mlp"\n' + text)
    model = mlpc.load(tmp_path / "model" / "m.mlp", ["train.epochs=2", "train.optimizer.lr=0.25"], data_root=tmp_path)
    model.train().save(tmp_path / "w.safetensors")
    for file in [*tmp_path.rglob("*.mlp")]:
        file.unlink()
    again = mlpc.load_run(tmp_path / "w.safetensors")
    assert again.model.plan == model.plan
    assert again.model.settings.epochs == 2 and "0.25" in "".join(line.text for line in again.model.plan.update)


# --- what was learnt of the data --------------------------------------------------------------------

CELLS = "a,b,label,other,target\n" + "\n".join(
    f"{a},{b},{label},{other},{t}"
    for a, b, label, other, t in [
        ("0.1", "3", "2", "x", "1e-3"), ("0.2", "", "10", "y", "2.5"), ("0.30000000000000004", "5", "2.0", "", "700"),
        ("1e300", "7", "10", "x", "0.3"), ("-4.5", "1e-300", "2", "y", "11"), ("0.7", "2", "10", "x", "5"),
    ]
)  # fmt: skip
EVERY_PIPE = """data {
  from "t.csv"
  tenth = (0.1 + 0.2) * 1e-3
  a1 = columns("a") |> clip(-1, 1e5) |> standardize
  a2 = a1 * (0.1 + 0.2) - a1 / 3 + -a1
  b = b |> impute(median) |> minmax
  c = other |> impute(most_frequent) |> onehot
  d = columns("label", "other") |> onehot
  e = label |> index
  x = concat(a1, a2, b, c, d, e)
  y = target |> drop_missing |> log |> standardize
  split = ordered(train = 0.7, test = 0.3)
}
model {
  p = dense(x, 1)
}
loss = mean(mse(p, y)) + 0 * mean(tenth)
train {
  optimizer = sgd
  epochs = 1
}
"""


def every_pipe(folder: Path) -> mlpc.Model:
    (folder / "t.csv").write_text(CELLS)
    return mlpc.loads(EVERY_PIPE.replace("  tenth = (0.1 + 0.2) * 1e-3\n", "").replace(" + 0 * mean(tenth)", ""), folder)


def test_the_document_of_every_pipe_is_json_and_comes_back_equal(tmp_path: Path) -> None:
    model = every_pipe(tmp_path)
    text = json.dumps(fitted.document(model.dataset), allow_nan=False)
    again = fitted.restored(json.loads(text), model.program.source)
    was = model.dataset
    assert (again.schema, again.fitted, again.columns, again.splits) == (was.schema, was.fitted, was.columns, {})
    assert again.columns == {"a": "number", "b": "number", "other": "text", "label": "number", "target": "number"}
    assert json.dumps(fitted.document(again)) == text


def replayed(found: Dataset, columns: dict[str, list[str]], name: str) -> np.ndarray:
    """An independent interpreter of the document: cells of text to numbers, by statistics alone."""
    from mlpc.dsl.syntax import Source, Span
    from mlpc.runtime.columns import Column, Rows
    from mlpc.runtime.frame import Frame, numeric

    span = Span(Source("", ""), 0, 0)
    rows = Rows("", range(1, 7))

    def frame(array: np.ndarray) -> Frame:
        return Frame(tuple(str(i) for i in range(array.shape[1])), rows, span, array)

    def array(made: Frame) -> np.ndarray:
        whole = numeric(made).array
        assert whole is not None
        return whole

    def made(t: Transform, of: list[Frame | float]) -> Frame | float:
        match t.name:
            case "columns":
                names = [str(n) for group in t.statistics["names"] for n in (group if isinstance(group, tuple) else ())]
                return Frame(tuple(names), rows, span, cells=tuple(Column(n, tuple(columns[n]), rows) for n in names))
            case "value":
                (names,) = t.statistics["names"]
                assert isinstance(names, tuple)
                return frame(replayed(found, columns, names[0]))
            case "concat":
                return frame(np.column_stack([array(f) for f in of if isinstance(f, Frame)]))
            case word if word in PIPES:
                assert isinstance(of[0], Frame)
                return PIPES[word].apply(numeric(of[0]) if PIPES[word].numeric else of[0], t.statistics, span)
            case _ if not t.width:
                (value,) = t.statistics["value"]
                assert isinstance(value, float)
                return value
            case sign:
                operands = [array(f) if isinstance(f, Frame) else f for f in of]
                return frame(np.negative(operands[0]) if len(operands) == 1 else ARITHMETIC[sign][1](operands[0], operands[1]))

    results: list[Frame | float] = []
    for t in found.fitted[name]:
        results.append(made(t, [results[i] for i in t.of]))
    last = results[-1]
    assert isinstance(last, Frame)
    return array(last)


def test_the_document_is_all_that_raw_cells_need(tmp_path: Path) -> None:
    model = every_pipe(tmp_path)
    again = fitted.restored(json.loads(json.dumps(fitted.document(model.dataset))), model.program.source)
    names, *rows = [line.split(",") for line in CELLS.splitlines()]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    for value in model.dataset.schema.values:
        expected = np.concatenate([split[value.name] for split in model.dataset.splits.values()])
        assert replayed(again, columns, value.name).tobytes() == expected.tobytes(), value.name


@given(st.recursive(st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_numbers_written_for_json_come_back(value: object) -> None:
    assert repr(numbers(json.loads(json.dumps(plain(value), allow_nan=False)))) == repr(value)


# --- what is refused ---------------------------------------------------------------------------------


def test_every_truncation_and_every_changed_bit_is_refused(tmp_path: Path) -> None:
    run = small("float32")
    run.save(tmp_path / "w")
    whole = (tmp_path / "w").read_bytes()
    victim = tmp_path / "v"
    header = 8 + int.from_bytes(whole[:8], "little")
    seen: set[str] = set()
    for size in {*range(0, len(whole), 97), header - 1, header, len(whole) - 1}:
        victim.write_bytes(whole[:size])
        seen.add(refusal(victim).partition(":")[0])
    places = {*range(0, len(whole), 61), *range(16), *range(header - 16, len(whole))}
    for at in sorted(places):
        for bit in range(8):
            victim.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            try:
                again = weights.load(victim)
            except MlpcError as error:
                seen.add(error.diagnostics[0].message.replace(str(tmp_path) + "/", "").partition(":")[0])
                continue
            assert at < header, (at, bit)  # harmless: blanks after the header, or how a character of it is written
            assert {n: a.tobytes() for n, a in again.tensors.items()} == {n: a.tobytes() for n, a in (run.params | run.states).items()}
    assert seen <= {"v", "v is of format 9, and this mlpc reads format 1"} | {s for s in seen if s.startswith("v is of format")}


def rewritten(path: Path, change) -> Path:
    """A copy of weights whose document and tensors are changed, with no care for their sums."""
    with safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()["mlpc"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(document, tensors)
    path.with_name("changed").write_bytes(safetensors.numpy.save(tensors, {"mlpc": json.dumps(document)}))
    return path.with_name("changed")


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    small().save(tmp_path / "w")
    assert refusal(tmp_path / "none") == "none does not exist"
    (tmp_path / "folder").mkdir()
    assert refusal(tmp_path / "folder") == "folder has no weights.safetensors"
    (tmp_path / "text").write_text("a,b\n1,2\n")
    assert refusal(tmp_path / "text").startswith("text: damaged, or no safetensors file: ")
    (tmp_path / "other").write_bytes(safetensors.numpy.save({"w": np.ones(3)}))
    assert refusal(tmp_path / "other") == "other: it holds tensors, and not the model that they belong to"
    (tmp_path / "torch").write_bytes(safetensors.numpy.save({"w": np.ones(3)}, {"format": "pt", "mlpc": "[]"}))
    assert refusal(tmp_path / "torch") == "torch: what stands beside the tensors is not mlpc's"
    assert refusal(rewritten(tmp_path / "w", lambda d, t: d.update(format=2))) == "changed is of format 2, and this mlpc reads format 1"
    assert refusal(rewritten(tmp_path / "w", lambda d, t: t.pop("w"))) == "changed: there is no tensor `w`"
    assert (
        refusal(rewritten(tmp_path / "w", lambda d, t: t.update(w=t["w"].T.copy())))
        == "changed: `w` is [1, 2] float64, and was [2, 1] float64"
    )
    assert refusal(rewritten(tmp_path / "w", lambda d, t: t.update(w=-t["w"]))) == "changed: the numbers are not those that were written"
    assert (
        refusal(rewritten(tmp_path / "w", lambda d, t: d["files"][-1].update(text="")))
        == "changed: what stands beside the tensors is not what was written"
    )


def test_weights_of_another_model_are_refused_by_name() -> None:
    model = mlpc.loads(SMALL.replace("PRECISION", ""))
    found = {**small().params, **small().states}
    with pytest.raises(MlpcError) as caught:
        model.train(init={"w": np.ones((3, 1)), "extra": np.ones(1)} | {n: a for n, a in found.items() if n.startswith("h.")})
    assert [d.message for d in caught.value.diagnostics] == [
        "`w` is [3, 1] in `init`, and [2, 1] in model.mlp",
        "`init` has no `m`, which model.mlp needs",
        "`init` holds `extra`, which model.mlp has not",
    ]


def test_a_name_that_the_format_keeps_for_itself_is_refused_before_training() -> None:
    text = SMALL.replace("PRECISION", "").replace("param w ", "param __metadata__ ").replace("@ w", "@ __metadata__")
    with pytest.raises(MlpcError) as caught:
        mlpc.loads(text).train()
    assert [d.code for d in caught.value.diagnostics] == ["E0207"]


def test_the_model_of_a_run_has_no_rows_to_train_on(tmp_path: Path) -> None:
    small().save(tmp_path / "w")
    again = mlpc.load_run(tmp_path / "w")
    assert again.model.warnings == () and again.history == () and again.model.footprint.peak > 0
    with pytest.raises(MlpcError) as caught:
        again.model.train()
    assert caught.value.diagnostics[0].message == "model.mlp comes from a run, without the rows that it was trained on"
