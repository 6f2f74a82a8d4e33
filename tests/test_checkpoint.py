"""Checkpoints: every damage is found, and a training goes on from any of them to the same bytes."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

import mlpc
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import checkpoint, run_folder
from mlpc.runtime.checkpoint import Checkpoints, Interval, decoded, encoded, fault_of, newest
from mlpc.runtime.identity import identity, refuse_another
from mlpc.runtime.progress import Interrupted

ROWS = "[[1, 0], [2, -1], [3, 3], [-4, 1], [0, 2], [2, 5], [1, 1], [-3, 2], [4, 4], [0, -2], [5, 1]]"
TEXT = f"""
data {{
  x = {ROWS}
  y = [1, 2, 1, 3, 2, 5, 4, 1, 2, 0, 3]
  split = ordered(train = 0.7, val = 0.3)
}}
model {{
BODY
  p = dense(h, 1)
}}
loss = mean(mse(p, y))
train {{
SETTINGS
}}
report rmse(p, y)
"""
MODELS = {
    "plain": ("h = dense(x, 3, tanh)", "optimizer = sgd(lr = 0.01) \n epochs = 3 \n batch = 3"),
    "adam, dropout": ("h = dense(x, 4, relu) |> dropout(0.4)", "optimizer = adam(lr = 0.01) \n epochs = 3 \n batch = 2"),
    "batch_norm": ("h = dense(x, 4) |> batch_norm", "optimizer = momentum(lr = 0.01) \n epochs = 3 \n batch = 4"),
    "accumulate": ("h = dense(x, 4, relu) |> dropout(0.4) |> batch_norm",
                   "optimizer = adam(lr = 0.01) \n epochs = 3 \n batch = 2 \n accumulate = 3 \n clip = norm(1)"),
    "early_stop, keep": ("h = dense(x, 3) |> dropout(0.5)",
                         "optimizer = sgd(lr = 0.02) \n epochs = 9 \n batch = 4 \n keep = best(val.loss) \n early_stop = on(val.rmse, patience = 2)"),
    "legacy, float32": ("h = dense(x, 3, tanh) |> dropout(0.2)",
                        "optimizer = rmsprop(lr = 0.01) \n epochs = 2 \n batch = 3 \n rng = legacy \n precision = float32"),
    "file order, steps": ("h = dense(x, 3, tanh)", "optimizer = sgd(lr = 0.1) \n steps = 8 \n batch = 3 \n shuffle = off"),
    "all rows": ("h = dense(x, 3, tanh) |> dropout(0.1)", "optimizer = lion(lr = 0.01) \n epochs = 4 \n batch = all"),
    "chance in measuring": ("h = x + bernoulli(0.5, x)", "optimizer = sgd(lr = 0.01) \n epochs = 3 \n batch = 4"),
}  # fmt: skip


def model(name="plain", text=TEXT, **changed):
    body, settings = MODELS[name]
    return mlpc.loads(
        text.replace("BODY", "  " + body).replace("SETTINGS", settings), overrides=[f"train.{k}={v}" for k, v in changed.items()]
    )


def of(m):
    return identity(m.plan, m.compilation.evaluation, m.settings, m.dataset, 1, {"mlpc": "0"})


NEVER = Interval(math.inf)


class Folder:
    """A run's folder without the command: trains until it is asked to stop, and goes on."""

    def __init__(self, path: Path, interval=NEVER):
        self.path, self.interval = path, interval

    def train(self, m, stop=None, **more):
        found = newest(self.path)
        before = found.snapshot.history if found.snapshot else () if (self.path / run_folder.HISTORY).exists() else None
        columns = run_folder.history_columns(m.compilation.evaluation, dict(m.dataset.schema.rows))
        kept = Checkpoints(self.path, self.interval, lambda: of(m), found)
        with run_folder.history(self.path, columns, before) as on_epoch:
            return m.train(on_epoch=on_epoch, since=found.snapshot, checkpoints=kept, stop=stop, **more)

    def history(self):
        return [(self.path / name).read_bytes() for name in (run_folder.HISTORY, run_folder.HISTORY_LINES)]


def after(count):
    """True at the `count`-th time that it is asked, and then never again."""
    asked = itertools.count(1)
    return lambda: next(asked) == count


def same(a, b):
    assert a.weights_sha256 == b.weights_sha256
    assert {n: v.tobytes() for n, v in (a.params | a.states).items()} == {n: v.tobytes() for n, v in (b.params | b.states).items()}
    assert (a.history, a.losses, a.metrics, a.epochs, a.steps, a.kept_epoch, a.stopped) == (
        b.history, b.losses, b.metrics, b.epochs, b.steps, b.kept_epoch, b.stopped)  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_training_goes_on_to_the_same_bytes_from_wherever_it_was_left(tmp_path, name) -> None:
    m = model(name)
    (tmp_path / "whole").mkdir()
    whole = Folder(tmp_path / "whole")
    expected = whole.train(m)
    count = 0
    for count in itertools.count(1):
        (path := tmp_path / str(count)).mkdir()
        folder = Folder(path)
        try:
            run = folder.train(m, stop=after(count))
        except Interrupted:
            run = folder.train(m)
        else:
            break  # it was asked as often as that
        same(run, expected)
        assert folder.history() == whole.history()
    assert count > expected.steps
    assert checkpoint.files(whole.path) == ()


def test_what_is_watched_is_in_every_row_whenever_it_was_left(tmp_path) -> None:
    m = model("adam, dropout", epochs=2)
    (tmp_path / "whole").mkdir()
    whole = Folder(tmp_path / "whole")
    whole.train(m, watch=["h", "dh"])
    for count in range(1, 8):
        (path := tmp_path / str(count)).mkdir()
        with pytest.raises(Interrupted):
            Folder(path).train(m, watch=["h", "dh"], stop=after(count))
        Folder(path).train(m, watch=["h", "dh"])
        assert Folder(path).history() == whole.history()


@pytest.mark.parametrize("name", ["accumulate", "early_stop, keep"])
def test_a_training_that_is_left_at_every_turn_comes_to_the_same_bytes(tmp_path, name) -> None:
    m = model(name)
    (tmp_path / "whole").mkdir()
    whole = Folder(tmp_path / "whole")
    expected = whole.train(m)
    folder = Folder(tmp_path)
    places = []
    longest = 6  # so that a group of three batches, or a measurement, comes to its end
    run = None
    while run is None:
        try:
            run = folder.train(m, stop=after(longest))
        except Interrupted as interrupted:
            places.append(interrupted.step)
    same(run, expected)
    assert folder.history() == whole.history()
    assert places == sorted(places) and 5 <= len(places) < 50


def test_two_are_kept_at_the_interval_in_seconds_and_in_epochs(tmp_path) -> None:
    m = model("adam, dropout")
    folder = Folder(tmp_path, Interval(0))
    folder.train(m)
    assert [path.name for path in checkpoint.files(tmp_path)] == ["checkpoint-10.bin", "checkpoint-11.bin"]
    (tmp_path / "b").mkdir()
    Folder(tmp_path / "b", Interval(math.inf, 2)).train(model("all rows", epochs=7))
    assert [path.name for path in checkpoint.files(tmp_path / "b")] == ["checkpoint-4.bin", "checkpoint-6.bin"]


def test_a_run_that_its_time_ended_goes_on_as_if_it_had_not(tmp_path) -> None:
    m = model("adam, dropout")
    expected = m.train()
    folder = Folder(tmp_path)
    assert folder.train(m, max_seconds=0).stopped == "time"
    same(folder.train(m), expected)


def test_a_longer_run_goes_on_from_the_checkpoints_of_a_shorter_one(tmp_path) -> None:
    folder = Folder(tmp_path, Interval(0))
    folder.train(model("file order, steps"))
    longer = model("file order, steps", steps=14)
    same(folder.train(longer), longer.train())


def test_the_weights_that_a_run_began_with_need_not_be_there_again(tmp_path) -> None:
    m = model("adam, dropout")
    start = {name: a + 1 for name, a in m.train().params.items()}
    expected = m.train(init=start)
    folder = Folder(tmp_path)
    with pytest.raises(Interrupted):
        folder.train(m, init=start, stop=after(1))
    same(folder.train(m), expected)
    assert [path.name for path in checkpoint.files(tmp_path)] == ["checkpoint-0.bin", "checkpoint-1.bin"]


def small(tmp_path):
    m = model("accumulate")
    folder = Folder(tmp_path, Interval(0))
    folder.train(m)
    return folder, m


def test_every_changed_bit_and_every_missing_end_is_found(tmp_path) -> None:
    small(tmp_path)
    content = checkpoint.files(tmp_path)[-1].read_bytes()
    assert fault_of(content) == ""
    assert 2000 < len(content) < 10000
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        assert fault_of(bytes(changed)), bit
    for length in range(len(content)):
        assert fault_of(content[:length]), length
    assert fault_of(content + b"\0") and fault_of(b"") and fault_of(content + content)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: bytes([*b[:-1], b[-1] ^ 1]), lambda b: b""])
def test_of_two_the_whole_one_is_used_and_the_damaged_one_named(tmp_path, damage) -> None:
    folder, m = small(tmp_path)
    expected, (older, newer) = m.train(), checkpoint.files(tmp_path)
    newer.write_bytes(damage(newer.read_bytes()))
    found = newest(tmp_path)
    assert found.snapshot is not None and found.kept == (older,)
    assert len(found.damaged) == 1 and found.damaged[0].startswith(f"{newer}: damaged")
    older.rename(tmp_path / "checkpoint-1.bin")
    same(folder.train(m), expected)
    older = tmp_path / "checkpoint-1.bin"
    older.write_bytes(damage(older.read_bytes()))
    for path in checkpoint.files(tmp_path):
        path.write_bytes(b"mlpc checkpoint 2 " + b"0" * 64 + b"\n")
    with pytest.raises(MlpcError) as error:
        newest(tmp_path)
    assert [d.code for d in error.value.diagnostics] == ["E0505"]
    assert "of format 2, and this mlpc reads format 1" in str(error.value)


def test_the_history_is_cut_back_to_the_checkpoint_and_a_changed_one_refused(tmp_path) -> None:
    m = model("adam, dropout")
    (tmp_path / "whole").mkdir()
    whole = Folder(tmp_path / "whole")
    whole.train(m)
    folder = Folder(tmp_path)
    with pytest.raises(Interrupted):
        folder.train(m, stop=after(9))
    place = tmp_path / run_folder.HISTORY_LINES
    rows = place.read_bytes()
    place.write_bytes(rows + b'{"epoch": 9, "st')  # what a kill leaves of a row
    (tmp_path / run_folder.HISTORY).write_bytes(b"anything")
    folder.train(m)
    assert folder.history() == whole.history()
    (tmp_path / "b").mkdir()
    other = Folder(tmp_path / "b")
    with pytest.raises(Interrupted):
        other.train(m, stop=after(9))
    place = tmp_path / "b" / run_folder.HISTORY_LINES
    place.write_bytes(place.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(MlpcError, match="has not the 1 rows that it goes on from"):
        newest(tmp_path / "b")


def test_the_file_gives_back_what_was_put_in() -> None:
    arrays = {"a": np.array([1.0, np.nan, -0.0, 5e-324]), "none": np.zeros(0), "b": np.array([1, 2], np.float32)}
    content = b"".join(encoded({"k": [2**127, "é\n"]}, arrays))
    document, found = decoded(content)
    assert document["k"] == [2**127, "é\n"]
    assert {n: (a.dtype, a.tobytes()) for n, a in found.items()} == {n: (a.dtype, a.tobytes()) for n, a in arrays.items()}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda: model("adam, dropout"), ["another model: ", "another setting: `optimizer` is sgd(lr = 0.01) in r, and this would be with"]),
        (lambda: model(precision="float32"), ["another precision: r is in float64, and this would be in float32"]),
        (lambda: model(seed=3), ["another setting: `seed` is 0 in r, and this would be with 3"]),
        (lambda: model(text=TEXT.replace("tanh", "relu").replace("[3, 3]", "[3, 4]")), ["other data: the numbers of `x` in train are not"]),
        (lambda: model(text=TEXT.replace("0.7, val = 0.3", "0.5, val = 0.5")), ["other data: `x` of train was [8, 2], and what is read now is [6, 2]"]),
        (lambda: model(text=TEXT.replace("val = 0.3", "test = 0.3")), ["other data: `x` of val is not in what is read now"]),
        (lambda: model(text=TEXT.replace("mse(p, y)", "mse(p, 2 * y)")), ["another model: "]),
        (lambda: model(text="# a comment\n" + TEXT.replace("\nloss", "\n\n# more\nloss")), []),
        (lambda: model(epochs=9), []),
    ],
)  # fmt: skip
def test_what_it_is_of_is_compared_name_by_name(changed, said) -> None:
    before = json.loads(json.dumps(of(model())))
    if not said:
        refuse_another(before, of(changed()), "r")
        return
    with pytest.raises(MlpcError) as error:
        refuse_another(before, of(changed()), "r")
    (found,) = error.value.diagnostics
    assert found.code == "E0507"
    assert all(any(line.startswith(s) for line in found.message.split("\n")) for s in said), found.message
