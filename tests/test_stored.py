"""Tables that stay in their files give what tables in memory give, bit for bit: values, statistics, faults, weights, measures."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import mlpc
from mlpc.dsl.diagnostics import Diagnostic, MlpcError
from mlpc.runtime import arrays, evaluation, later, split
from mlpc.runtime import given as given_module
from mlpc.runtime.checkpoint import Checkpoints
from mlpc.runtime.data import Dataset
from mlpc.runtime.identity import identity
from mlpc.runtime.later import Later, ahead
from mlpc.runtime.progress import Interrupted

SCALE = Path(__file__).parents[1] / "benchmarks" / "scale.py"
ROWS = 500
RNG = np.random.default_rng(7)
X = RNG.normal(3, 2, (ROWS, 5)).astype(np.float32)
Y = (X.sum(axis=1) > 15).astype(np.int8)
K = RNG.integers(0, 4, ROWS)
HOLES = np.where(RNG.random((ROWS, 2)) < 0.1, np.nan, RNG.normal(size=(ROWS, 2)))
G = RNG.integers(0, 40, ROWS)
ALL = {"x": X, "y": Y, "k": K, "h": HOLES, "g": G}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tables of arrays stay where they are, and come a few rows at a time."""
    monkeypatch.setattr(arrays, "IN_MEMORY", 0)
    monkeypatch.setattr(later, "PIECE", 100)
    monkeypatch.setattr("mlpc.runtime.streamed.PIECE", 100)
    monkeypatch.setattr(evaluation, "SAMPLE", 3)


def written(folder: Path, text: str, **members: np.ndarray) -> Path:
    np.savez(folder / "t.npz", **(members or ALL))  # type: ignore[arg-type]
    (folder / "m.mlp").write_text(text)
    return folder / "m.mlp"


def both(path: Path, monkeypatch: pytest.MonkeyPatch, read: Any = mlpc.load) -> tuple[Any, Any]:
    """What is read of a table in memory, and of one in its file."""
    with monkeypatch.context() as m:
        m.setattr(arrays, "IN_MEMORY", 2**40)
        inside = read(path)
    return inside, read(path)


def same(inside: Dataset, outside: Dataset) -> None:
    assert outside.fitted == inside.fitted
    assert [repr(v) for v in outside.schema.values] == [repr(v) for v in inside.schema.values]
    assert (outside.schema.rows, outside.notes, outside.columns) == (inside.schema.rows, inside.notes, inside.columns)
    for part, values in inside.splits.items():
        rows = np.random.default_rng(0).permutation(len(inside.parts[part]))
        assert outside.parts[part].tolist() == inside.parts[part].tolist()
        assert outside.place(part, 0) == inside.place(part, 0) and outside.place(part, len(rows) - 1) == inside.place(part, len(rows) - 1)
        for name, array in values.items():
            found = outside.splits[part][name]
            assert isinstance(found, Later) and found.shape == array.shape and found[:].tobytes() == array.tobytes()
            assert found[rows].tobytes() == array[rows].tobytes() and found[3:9].tobytes() == array[3:9].tobytes()
            assert (found.low.tolist(), found.high.tolist()) == (array.min(axis=0).tolist(), array.max(axis=0).tolist())


REST = """
model {
  z = dense(x, 6, tanh) |> dense(1)
  p = sigmoid(z)
}
loss = mean(binary_cross_entropy_with_logits(z, y)) + 1e-3 * l2(weights)
train {
  optimizer = adam(lr = 0.01)
  epochs = 3
  batch = 32
}
report accuracy(p, y)
"""
DATA = """
data {
  from "t.npz"
  x = concat(columns("x") |> standardize, h |> impute(mean) |> minmax, k |> onehot, a)
  y = y
  SPLIT
}
""".replace("  x = concat", "  a = x * 2 |> clip(0, 9) |> standardize\n  x = concat")
SPLITS = ["", "split = random(train = 0.8, test = 0.2)", "split = ordered(train = 0.7, val = 0.1, test = 0.2)",
          "split = grouped(g, train = 0.7, test = 0.3)"]  # fmt: skip


@pytest.mark.parametrize("said", SPLITS)
def test_values_and_statistics_have_the_bits_of_a_table_in_memory(said: str, small: None, tmp_path: Path, monkeypatch: Any) -> None:
    inside, outside = both(written(tmp_path, DATA.replace("SPLIT", said) + REST), monkeypatch)
    same(inside.dataset, outside.dataset)


@pytest.mark.parametrize(
    "statements",
    [
        ["x = x", "y = k |> onehot", "split = stratified(train = 0.6, val = 0.2, test = 0.2)"],
        ["x = x", "y = k |> index", "split = stratified(train = 0.6, test = 0.4)"],
        ["x = h |> drop_missing |> standardize", "y = y", "split = random(train = 0.5, test = 0.5)"],
        ["x = concat(h |> drop_missing, k |> impute(most_frequent))", "y = y |> onehot", "split = stratified(train = 0.5, test = 0.5)"],
        ["x = concat(x, h |> impute(median))", "y = k |> drop_missing", "split = grouped(g + 0, train = 0.5, test = 0.5)"],
        ["x = numeric |> impute(0)", "y = y |> index"],
        ["x = log(x^2 + 1) - x / 3", "b = x |> standardize", "y = y"],
    ],
)  # fmt: skip
def test_whatever_the_statements(statements: list[str], small: None, tmp_path: Path, monkeypatch: Any) -> None:
    text = (
        "data {\n"
        + "\n".join(['from "t.npz"', *statements])
        + "\n}\nmodel { p = dense(x, 1) }\nloss = mean((p - sum(y, axis = features))^2)\n"
    )
    inside, outside = both(written(tmp_path, text + "train {\n optimizer = sgd(lr = 0.01)\n epochs = 1\n}"), monkeypatch)
    same(inside.dataset, outside.dataset)
    assert list(map(str, outside.warnings)) == list(map(str, inside.warnings))


def test_folds(small: None, tmp_path: Path, monkeypatch: Any) -> None:
    path = written(tmp_path, DATA.replace("SPLIT", SPLITS[1]) + REST)
    for inside, outside in zip(*both(path, monkeypatch, lambda p: mlpc.load_folds(p, 3)), strict=True):
        same(inside.dataset, outside.dataset)


def test_row_numbers_of_large_tables_take_four_bytes_and_say_the_same(small: None, tmp_path: Path, monkeypatch: Any) -> None:
    path = written(tmp_path, DATA.replace("SPLIT", SPLITS[1]) + REST)
    inside, before = mlpc.load(path), mlpc.load(path).train().weights_sha256
    monkeypatch.setattr(split, "MANY", 0)
    outside = mlpc.load(path)
    assert {a.dtype for a in outside.dataset.parts.values()} == {np.dtype(np.int32)}
    assert [a.tolist() for a in outside.dataset.parts.values()] == [a.tolist() for a in inside.dataset.parts.values()]
    assert outside.train().weights_sha256 == before


@pytest.mark.parametrize(
    "settings",
    [[], ["batch=499"], ["batch=all"], ["batch=7", "accumulate=3"], ["shuffle=off"], ["precision=float32"], ["steps=17"]],
)
def test_training_gives_the_same_bytes(settings: list[str], small: None, tmp_path: Path, monkeypatch: Any) -> None:
    path = written(tmp_path, DATA.replace("SPLIT", SPLITS[1]) + REST)
    inside, outside = both(path, monkeypatch, lambda p: mlpc.load(p, [f"train.{s}" for s in settings]).train())
    assert outside.weights_sha256 == inside.weights_sha256
    assert (outside.history, outside.notes) == (inside.history, inside.notes)


def test_what_goes_on_from_a_checkpoint_gives_the_same_bytes(small: None, tmp_path: Path, monkeypatch: Any) -> None:
    path = written(tmp_path, DATA.replace("SPLIT", SPLITS[1]) + REST)
    whole, model = both(path, monkeypatch)
    said = [identity(m.plan, m.compilation.evaluation, m.settings, m.dataset, 1, {}) for m in (whole, model)]
    assert said[0] == said[1]  # so a run that was begun in memory may go on without
    for stop in (1, 5, 13, 20):
        taken: list[Any] = []
        checkpoints = cast("Checkpoints", Keep(taken))
        count = iter(range(10**6))
        with pytest.raises(Interrupted):
            model.train(checkpoints=checkpoints, stop=lambda stop=stop, count=count: next(count) >= stop)
        assert model.train(since=taken[-1]).weights_sha256 == whole.train().weights_sha256
    assert not any(t.name.startswith("mlpc-rows") for t in threading.enumerate())


class Keep:
    """Checkpoints in memory."""

    def __init__(self, taken: list[Any]) -> None:
        self.taken = taken

    def save(self, found: Any) -> None:
        copy = {name: a.copy() for name, a in found.arrays.items()}
        self.taken.append(type(found)(found.document, copy, found.history))

    def due(self, progress: Any) -> bool:
        return False


# --- where the numbers lie -----------------------------------------------------------------------

PLAIN = "\nmodel { p = dense(x, 1) }\nloss = mean((p - y)^2)\ntrain {\n optimizer = sgd(lr = 0.01)\n epochs = 1\n}"
TWO = 'data {\n  from "t.npz"\n  x = x\n  y = y\n}' + PLAIN


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def archive(path: Path, compression: int = zipfile.ZIP_STORED, shift: int = 0, **members: np.ndarray | bytes) -> None:
    with zipfile.ZipFile(path, "w", compression) as found:
        if shift:
            found.writestr("n" * shift, b"")  # moves what follows by some bytes
        for name, member in members.items():
            found.writestr(f"{name}.npy", member if isinstance(member, bytes) else npy(member))


def lies_in(array: Any, path: Path) -> bool:
    """Whether an array's numbers are those of a file that is mapped."""
    while array is not None:
        if isinstance(array, np.memmap):
            return Path(str(array.filename)) == path
        array = getattr(array, "base", None)
    return False


@pytest.mark.parametrize("shift", range(9))
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_stored_member_is_mapped_wherever_it_begins(
    shift: int, dtype: str, order: Any, small: None, tmp_path: Path, monkeypatch: Any
) -> None:
    x = (X > 3 if dtype == "?" else X).astype(dtype, order=order)
    archive(tmp_path / "t.npz", shift=shift, x=x, y=Y)
    opened: list[Any] = []
    monkeypatch.setattr(arrays, "_opened", lambda *a, plain=arrays._opened: opened.append(plain(*a)) or opened[-1])
    dataset = mlpc.loads(TWO, tmp_path).dataset
    assert [lies_in(a, tmp_path / "t.npz") for a in opened] == [True, True]
    assert dataset.splits["train"]["x"][:].tolist() == x.astype(np.float64).tolist()


def test_a_compressed_member_is_unpacked_and_the_bits_are_the_same(small: None, tmp_path: Path) -> None:
    found: list[str] = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        archive(tmp_path / "t.npz", compression, x=X, y=Y)
        found.append(mlpc.loads(TWO, tmp_path).train().weights_sha256)
    assert found[0] == found[1]


def test_a_npy_file_is_mapped(small: None, tmp_path: Path, monkeypatch: Any) -> None:
    np.save(tmp_path / "t.npy", X)
    text = TWO.replace("t.npz", "t.npy").replace("x = x", "x = data").replace("  y = y\n", "").replace("(p - y)", "p")
    inside, outside = both(
        tmp_path, monkeypatch, lambda folder: mlpc.loads(text.replace("(p - y)", "(p - sum(y, axis = features))"), folder)
    )
    same(inside.dataset, outside.dataset)
    assert outside.train().weights_sha256 == inside.train().weights_sha256


def test_a_compressed_member_that_is_too_large_is_refused_with_the_way_out(small: None, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(arrays, "available", lambda: 10_000)
    archive(tmp_path / "t.npz", zipfile.ZIP_DEFLATED, x=X, y=Y)
    with pytest.raises(MlpcError) as caught:
        mlpc.loads(TWO, tmp_path)
    (found,) = caught.value.diagnostics
    assert found.code == "E0234" and found.message == "t.npz, array `x` takes 10,000 bytes unpacked, and 5,000 is the most"
    assert (
        found.hint == "save it as it is, np.savez(file, x=x), or as .npy: then it stays in the file, and rows are read as they are needed"
    )
    archive(tmp_path / "t.npz", zipfile.ZIP_STORED, x=X, y=Y)
    assert mlpc.loads(TWO, tmp_path).dataset.stored


def broken(path: Path, how: str) -> None:
    whole = npy(X)
    archive(
        path,
        x=whole.replace(b"(500, 5)", b"(900, 5)") if how == "a shape beyond its bytes" else whole,
        y=np.resize(Y, 900 if "shape" in how else ROWS),
    )
    raw = bytearray(path.read_bytes())
    if how == "another name in its own header":
        raw[30:35] = b"z.npy"
    elif how == "no header of its own":
        raw[:4] = b"PK\0\0"
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("another name in its own header", "t.npz, array `x` cannot be unpacked: File name in directory"),
        ("no header of its own", "t.npz, array `x` cannot be unpacked: Bad magic number for file header"),
        ("a shape beyond its bytes", "t.npz, array `x` is cut off: [900, 5] needs 18000 bytes, and here are 10000"),
    ],
)
def test_a_member_that_is_not_what_the_directory_says(how: str, said: str, small: None, tmp_path: Path) -> None:
    broken(tmp_path / "t.npz", how)
    with pytest.raises(MlpcError, match="E0405") as caught:
        mlpc.loads(TWO, tmp_path)
    assert caught.value.diagnostics[0].message.startswith(said)


FAULTS: dict[str, Any] = {
    "a missing cell": {"x": np.where(np.arange(ROWS)[:, None] == 333, np.nan, X)},
    "an infinite one": {"x": np.where(np.arange(ROWS)[:, None] == 499, np.inf, X)},
    "a whole number that float64 does not hold": {"x": np.where(np.arange(ROWS) == 17, 2**53 + 1, 1)},
    "objects": {"x": np.array([None] * ROWS)},
    "three axes": {"x": np.zeros((ROWS, 2, 2))},
    "no array of that name": {"z": X},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_as_in_memory(fault: str, small: None, tmp_path: Path, monkeypatch: Any) -> None:
    members = {**({} if "z" in FAULTS[fault] else {"x": X}), "y": Y, **FAULTS[fault]}
    path = written(tmp_path, TWO.replace("x = x", "x = x |> standardize"), **members)

    def told(_: Path) -> str:
        with pytest.raises(MlpcError) as caught:
            mlpc.load(path)
        return str(caught.value)

    inside, outside = both(path, monkeypatch, told)
    assert outside == inside


def test_arrays_of_unequal_rows(small: None, tmp_path: Path) -> None:
    archive(tmp_path / "t.npz", x=X, y=Y[:-1], unread=np.zeros(3))
    with pytest.raises(MlpcError, match="`y` has 499 rows and `x` has 500"):
        mlpc.loads(TWO, tmp_path)
    archive(tmp_path / "t.npz", x=X, y=Y, unread=np.zeros(3))
    assert mlpc.loads(TWO, tmp_path).dataset.stored


@pytest.mark.parametrize("statement", ["t = t |> onehot", "m = [1, 2, 3]"])
def test_text_and_matrices_are_read_whole(statement: str, small: None, tmp_path: Path) -> None:
    n = 3
    archive(tmp_path / "t.npz", x=X[:n], y=Y[:n], t=np.array(["a", "b", "a"]))
    assert not mlpc.loads(TWO.replace("y = y", f"y = y\n  {statement}"), tmp_path).dataset.stored


def test_arrays_that_are_given_stay_where_they_are(small: None, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = {"x": np.load(tmp_path / "x.npy", mmap_mode="r"), "y": Y}
    model = mlpc.loads(TWO.replace('from "t.npz"', ""), data=mapped)
    assert model.dataset.stored and model.dataset.splits["train"]["x"][:].tolist() == X.tolist()
    masked = mlpc.loads(TWO.replace('from "t.npz"', "").replace("x = x", "x = x |> impute(0)"), data={"x": np.ma.masked_less(X, 0), "y": Y})
    assert not masked.dataset.stored and masked.dataset.splits["train"]["x"].min() == 0


# --- new rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["npz", "csv", "arrays"])
def test_evaluate_reads_a_table_in_parts_to_the_same_bits(kind: str, small: None, tmp_path: Path, monkeypatch: Any) -> None:
    text = 'data {\n  from "t.npz"\n  x = concat(x, h |> drop_missing |> standardize)\n  y = y\n}' + REST
    run = mlpc.load(written(tmp_path, text + "\nreport roc_auc(p, y)")).train()
    given: Any = {"npz": tmp_path / "t.npz", "csv": tmp_path / "t.csv", "arrays": ALL}[kind]
    names = [*(f"x{i + 1}" for i in range(5)), "h1", "h2", "y"]
    lines = [",".join("" if v != v else repr(float(v)) for v in row) for row in np.column_stack([X, HOLES, Y])]
    (tmp_path / "t.csv").write_text("\n".join([",".join(names), *lines]))
    whole = run.evaluate(given)
    assert whole.loss == run.evaluate(tmp_path / "t.npz").loss and whole.rows == int((~np.isnan(HOLES).any(axis=1)).sum())
    assert whole.notes == (f"{ROWS - whole.rows} of {ROWS} rows dropped: a cell of h1, h2 is missing",)
    measured = mlpc.load(tmp_path / "m.mlp").train().metrics["train"]
    assert whole.metrics == measured
    monkeypatch.setattr("mlpc.runtime.given.BATCH", 7)
    monkeypatch.setattr(given_module.tables, "__defaults__", (7,))
    parts = run.evaluate(given)
    assert (parts.rows, parts.loss, parts.metrics, parts.notes) == (whole.rows, whole.loss, whole.metrics, whole.notes)


# --- the thread ----------------------------------------------------------------------------------


def test_what_the_thread_raises_is_raised_where_it_is_asked_for() -> None:
    def items():
        yield 1
        raise MlpcError()

    made = ahead(items())
    assert next(made) == 1
    with pytest.raises(MlpcError):
        next(made)
    assert list(made) == []


def test_it_is_never_far_ahead_and_ends_when_closed() -> None:
    begun: list[int] = []
    before = set(threading.enumerate())

    def items():
        for i in range(100):
            begun.append(i)
            yield i

    made = ahead(items())
    for i in range(5):
        assert next(made) == i
        time.sleep(0.01)
        assert len(begun) <= i + 1 + later.WAITING
    made.close()
    count = len(begun)
    time.sleep(0.02)
    assert len(begun) == count < 20 and set(threading.enumerate()) <= before


def test_a_fault_in_the_middle_of_a_training_ends_it_and_the_thread(small: None, tmp_path: Path, monkeypatch: Any) -> None:
    model = mlpc.load(written(tmp_path, TWO))
    count = iter(range(100))

    def failing(*given: Any) -> Any:
        if next(count) > 5:
            raise MlpcError(Diagnostic("E0405", None, "the file has gone"))
        return plain(*given)

    plain = later.Later.__getitem__
    monkeypatch.setattr(later.Later, "__getitem__", failing)
    before = set(threading.enumerate())  # another test may have left a generator to the garbage collector
    with pytest.raises(MlpcError, match="the file has gone"):
        model.train()
    assert set(threading.enumerate()) <= before


def test_a_training_takes_little_memory(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, SCALE], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
