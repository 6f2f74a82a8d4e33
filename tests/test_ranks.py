"""A step dealt out to several ranks: the same bits in one process as in several, whoever is first, and nobody left behind."""

from __future__ import annotations

import gc
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.compiler import ranks as dealing
from mlpc.compiler.ops import TABLE
from mlpc.compiler.ranks import cut
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import forks, lanes
from mlpc.runtime import steps as stepping
from mlpc.runtime import team as teams
from mlpc.runtime.init import draw
from mlpc.runtime.kernel import allocate
from mlpc.runtime.lanes import Spans, shares
from mlpc.runtime.steps import steps
from mlpc.runtime.team import Team
from mlpc.runtime.threads import pinned
from mlpc.runtime.train import columns, train_rows

from .deep_models import written

MODELS = sorted((Path(__file__).parents[1] / "models").glob("*.mlp"))
IRIS = next(p for p in MODELS if p.stem == "iris")
SHARED = teams.can_share() and len(os.sched_getaffinity(0)) > 1
several = pytest.mark.skipif(not SHARED, reason="one core, or a system on which processes do not share a training")


@pytest.fixture
def eager(monkeypatch):
    """Deals out whatever can be, however small."""
    for name in ("LARGE", "TALL", "FLOPS"):
        monkeypatch.setattr(dealing, name, 1)


# --- who does what -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "ranks", "expected"),
    [
        (128, 2, [(0, 64), (64, 128)]),
        (784, 2, [(0, 400), (400, 784)]),  # whole cache lines
        (70, 2, [(0, 48), (48, 70)]),
        (10, 4, [(0, 3), (3, 5), (5, 8), (8, 10)]),
        (2, 4, [(0, 1), (1, 2)]),  # in fours the first half of one would be none
        (0, 2, []),
    ],
)
def test_a_count_is_dealt_out_in_turn(count, ranks, expected):
    assert [(part.start, part.stop) for _, part in cut(count, ranks)] == expected


def test_every_number_is_dealt_out_once():
    for count in range(300):
        for ranks in (1, 2, 3, 4, 7):
            parts = list(cut(count, ranks))
            assert [i for _, part in parts for i in range(part.start, part.stop)] == list(range(count))
            assert [r for r, _ in parts] == sorted({r for r, _ in parts}) and all(0 <= r < ranks for r, _ in parts)


SIZES = {"elementwise": [(64, 3), (3,)], "rowwise": [(64, 3)], "reduce": [(64, 3)], "matmul": [(64, 3), (3, 5)]}


@pytest.mark.parametrize("op", [name for name, row in TABLE.items() if row.kind in SIZES and row.numpy is not None and not row.library])
def test_the_shares_together_are_the_operation(op, eager):
    """Every operation that is dealt out: what the ranks write is what one call writes, and none writes what is another's."""
    row: Any = TABLE[op]
    example, attrs = row.example
    draws = np.random.default_rng(0)
    height = 64
    shapes = [
        (height, *np.shape(a)[1:]) if np.ndim(a) == 2 and not (row.kind == "matmul" and i) else np.shape(a) for i, a in enumerate(example)
    ]
    args = [draws.integers(1, 3, size=s).astype(float) if op == "onehot" else draws.uniform(0.2, 2, size=s) for s in shapes]
    for axes in ((0,), (1,), (0, 1)) if row.kind == "reduce" else ((),):
        given = attrs | ({"axes": axes, "keep": True} if axes else {})
        out = np.full(row.shape([a.shape for a in args], given), np.nan)
        row.numpy(*args, out=out, **given)
        for ranks in (2, 3):
            found = np.full(out.shape, np.nan)
            parts = shares(row, args, found, given, ranks)
            assert (len(parts) == 1) == (axes == (0, 1))
            for _, operands, made in parts:
                assert np.isnan(made).all()
                row.numpy(*operands, out=made, **given)
            np.testing.assert_allclose(found, out, rtol=1e-13)  # a product or a sum of fewer columns may round otherwise


def test_what_is_small_is_the_first_ones():
    x = np.ones((8, 4))
    assert [rank for rank, _, _ in shares(TABLE["add"], [x, x], x, {}, 2)] == [0]
    assert [rank for rank, _, _ in shares(TABLE["matmul"], [x, x.T], np.ones((8, 8)), {}, 2)] == [0]


@pytest.fixture
def large(tmp_path):
    """A model that is worth two threads."""
    draws = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", features=draws.normal(size=(300, 200)).astype("f"), label=np.arange(300) % 7)
    (tmp_path / "large.mlp").write_text(
        'data {\n  from "rows.npz"\n  x = features\n  y = label |> onehot\n}\nmodel {\n  h = dense(x, 512, relu)\n  g = dense(h, 256, relu)\n'
        "  p = dense(g, classes(y), softmax)\n}\nloss = mean(cross_entropy(p, y))\n"
        "train {\n  optimizer = adam\n  batch = 128\n  epochs = 2\n  precision = float32\n}\n",
        "utf-8",
    )
    return mlpc.load(tmp_path / "large.mlp")


def test_a_plan_says_on_how_many_threads_it_runs_and_which_sums_depend_on_it(large):
    """Small products and sums are the first rank's, and lines without a sum have the same bits anyway."""
    found = large.footprint
    shown = {line.id: f"{line.target} = {line.text}" for line in large.plan.lines}
    assert found.threads == 2
    assert [shown[i] for i in found.summed] == [
        "h.z = x @ h.W + h.b",
        "g.z = h @ g.W + g.b",
        "d(g.W) = hᵀ @ d(g.z)",
        "dh = d(g.z) @ g.Wᵀ",
        "d(h.W) = xᵀ @ d(h.z)",
        "d(h.b) = sum(d(h.z), axis = batch)",
    ]


def test_many_small_products_are_worth_one_thread():
    """A hundred layers of 64 have more flops than `large`, and nothing to share but the update."""
    layers = "".join(f"  h{i} = dense({f'h{i - 1}' if i else 'x'}, 64, relu)\n" for i in range(100))
    rows = [[float(i % 7), 1.0] for i in range(64)]
    text = f"data {{\n  x = {rows}\n}}\nmodel {{\n{layers}  p = dense(h99, 1)\n}}\nloss = mean(p^2)\n"
    model = mlpc.loads(text + "train {\n  optimizer = sgd(lr = 0.1)\n  batch = 64\n  epochs = 1\n}\n")
    assert model.footprint.flops > 150_000_000 and (model.footprint.threads, model.footprint.summed) == (1, ())


@several
def test_two_threads_are_what_a_large_plan_gets(large, monkeypatch):
    """And with them the bits of one process that does it all; the same losses as on one thread, up to rounding."""
    found, one = large.train(), large.train(threads=1)
    monkeypatch.setattr(teams, "_cores", lambda: 1)
    alone = large.train()
    assert (found.threads, alone.threads, one.threads) == (2, 2, 1)
    assert found.weights_sha256 == alone.weights_sha256
    assert found.history[-1]["loss"]["train"] == pytest.approx(one.history[-1]["loss"]["train"], rel=1e-4)


def test_spans_know_what_they_have_seen():
    draws = np.random.default_rng(0)
    for _ in range(200):
        spans, seen = Spans(), set()
        for _ in range(20):
            start = int(draws.integers(60))
            stop = start + int(draws.integers(1, 9))
            assert spans.meet(start, stop) == bool(seen & set(range(start, stop)))
            spans.add(start, stop)
            seen |= set(range(start, stop))


# --- whoever is first ----------------------------------------------------------------------------


class Turns(Team):
    """Processes that are threads, one of which runs at a time, from meeting to meeting, in an order that is drawn."""

    def __init__(self, ranks, processes, seed):
        super().__init__(ranks, alone=True)
        self.members = processes
        self.draws = np.random.default_rng(seed)
        self.go = [threading.Semaphore(0) for _ in range(processes)]
        self.came = [threading.Semaphore(0) for _ in range(processes)]
        self.met = 0

    def meeting(self, member):
        def meet():
            self.came[member].release()
            self.go[member].acquire()

        return meet

    def add(self, parts):
        def run():
            done = [False] * len(parts)

            def whole(process):
                self.go[process].acquire()
                with np.errstate(all="ignore"):
                    parts[process]()
                done[process] = True
                self.came[process].release()

            threads = [threading.Thread(target=whole, args=(p,)) for p in range(len(parts))]
            for thread in threads:
                thread.start()
            while not all(done):
                self.met += 1
                for process in self.draws.permutation(len(parts)):
                    self.go[process].release()
                    self.came[process].acquire()
                assert len(set(done)) == 1, "they do not meet equally often"
            for thread in threads:
                thread.join()

        return run

    def begin(self):
        pass

    def close(self):
        pass


def after(model, team, monkeypatch, count=3):
    """The losses of so many steps, and all that they leave in the flat arrays."""
    plan, rows = model.plan, train_rows(model.dataset)
    data, known = columns(model.dataset, plan.precision)["train"], model.settings.scheduled(rows)
    monkeypatch.setattr(stepping, "Team", lambda ranks, alone: team)
    losses = []
    with pinned(1), np.errstate(all="ignore"):
        arrays = allocate(plan, draw(plan.params, known.seed, known.rng), known.seed, team.ranks)
        taken = steps(plan, arrays, data, rows, known)
        for step in taken:
            losses.append(step.run(plan.loss))
            if step.number == count:
                break
        taken.close()
    return losses, [a.copy() for a in arrays.flat]


def same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    for a, b in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(a, b)


def in_any_order(model, monkeypatch, seed):
    """Several processes give the bits of one, in any order, and about the numbers of one rank. Gives how often they met."""
    one = after(model, Team(), monkeypatch)
    met = 0
    for ranks, processes in ((2, 2), (3, 2), (4, 4)):
        expected = after(model, Team(ranks, alone=True), monkeypatch)
        np.testing.assert_allclose(expected[0], one[0], rtol=1e-3, atol=1e-5)
        team = Turns(ranks, processes, seed)
        same(after(model, team, monkeypatch), expected)
        met += team.met
    return met


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_the_gallery_has_the_same_bits_in_any_order(path, eager, monkeypatch):
    assert in_any_order(mlpc.load(path), monkeypatch, 0) > 3 * 3 * 2


def random_models(seeds, monkeypatch):
    for seed in seeds:
        in_any_order(mlpc.loads(written(seed, "recompute = on" if seed % 3 == 0 else "", most=8)), monkeypatch, seed)


def test_random_models_have_the_same_bits_in_any_order(eager, monkeypatch):
    """Dropout, norms with states, skips, several batches a step, `recompute`."""
    random_models(range(25), monkeypatch)


@pytest.mark.campaign
def test_more_random_models_have_the_same_bits_in_any_order(eager, monkeypatch, seed):
    random_models(range(1000 * seed, 1000 * seed + 300), monkeypatch)


def test_without_a_meeting_the_order_would_be_seen(eager, monkeypatch):
    """The tests above can fail: where nobody waits, some order gives other bits."""
    model = mlpc.load(IRIS)
    expected = after(model, Team(2, alone=True), monkeypatch)
    monkeypatch.setattr(lanes.Lanes, "_order", lambda *_: None)
    found = [after(model, Turns(2, 2, seed), monkeypatch)[1] for seed in range(10)]
    assert any(not np.array_equal(a, b) for flat in found for a, b in zip(flat, expected[1], strict=True))


# --- in several processes ------------------------------------------------------------------------


def children():
    """The processes that this one has begun and not waited for."""
    return [int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children").read_text("ascii").split()]


def trained(path=IRIS, **given):
    """The weights, history and threads of a training on two threads."""
    run = mlpc.load(path, ["train.epochs=3"]).train(threads=2, **given)
    return run.weights_sha256, run.history, run.threads


@several
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_a_training_has_the_same_bits_in_one_process_in_two_and_in_two_threads(path, eager, monkeypatch):
    model = mlpc.load(path, ["train.epochs=2"])
    begun = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: begun.append(1) or fork())
    found = model.train(threads=2)
    assert begun == [1] and not children()
    monkeypatch.setattr(teams, "can_share", lambda: False)  # as on other systems
    in_threads = model.train(threads=2)
    assert not [t for t in threading.enumerate() if t.name.startswith("mlpc-") and not ended(t)]
    monkeypatch.setattr(teams, "_cores", lambda: 1)
    alone = model.train(threads=2)
    assert begun == [1] and found.threads == in_threads.threads == alone.threads == 2
    assert (found.weights_sha256, found.history) == (alone.weights_sha256, alone.history)
    assert (in_threads.weights_sha256, in_threads.history) == (alone.weights_sha256, alone.history)


def ended(thread):
    thread.join(5)
    return not thread.is_alive()


@several
def test_they_wait_for_each_other_awake_and_asleep():
    """Each writes its own number and then reads the other's, a hundred times without and some with a pause."""
    team = Team(2)
    seen = np.frombuffer(mmap.mmap(-1, 64), np.int64)

    def part(me):
        def run():
            seen[me] += 1
            team.meeting(me)()
            seen[2 + me] += seen[1 - me]

        return run

    run = team.add([part(0), part(1)])
    with pytest.raises(RuntimeError, match="have not begun"):
        run()
    team.begin()
    with closing(team):
        assert len(children()) == 1
        expected = 0
        for i in range(1, 121):
            run()
            expected += i
            assert seen[:4].tolist() == [i, i, expected, expected]
            if i > 100:
                time.sleep(forks.SLEEP * (i % 3))
    assert not children()
    with pytest.raises(RuntimeError, match="have ended"):
        run()


@several
@pytest.mark.parametrize(("signum", "message"), [(signal.SIGKILL, "was ended by signal 9"), (signal.SIGUSR1, "was ended by signal 10")])
def test_a_process_that_is_ended_is_told_of(signum, message, eager):
    with pytest.raises(MlpcError) as caught:
        trained(on_step=lambda step: os.kill(children()[0], signum) if step == 5 else None)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("E0512", f"a process that shares this training {message}")
    assert found.hint == "--threads 1 needs none; --resume goes on from a run's last checkpoint" and not children()


@several
def test_a_process_that_is_ended_in_its_sleep_is_told_of():
    team = Team(2)
    run = team.add([lambda: None, lambda: None])
    team.begin()
    run()
    time.sleep(10 * forks.SLEEP)
    os.kill(children()[0], signal.SIGKILL)
    time.sleep(forks.SLEEP)
    with pytest.raises(MlpcError, match="was ended by signal 9"):
        run()
    assert not children()


@several
def test_a_fault_of_its_own_is_one_of_mlpc(capfd):
    def wrong():
        raise ZeroDivisionError("planted")

    team = Team(2)
    run = team.add([lambda: None, wrong])
    team.begin()
    with pytest.raises(RuntimeError, match="failed, as it says above"):
        run()
    assert "ZeroDivisionError: planted" in capfd.readouterr().err and not children()


@several
def test_where_no_process_can_be_started_it_says_so(monkeypatch, capsys, tmp_path):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    assert main(["run", str(IRIS), "--threads", "2", "--out", str(tmp_path / "run")]) == 1
    assert "error[E0512]: a process of the training is gone" in (err := capsys.readouterr().err)
    assert "cannot be started: Resource temporarily unavailable" in err


@several
def test_an_exception_between_two_steps_leaves_nobody_behind(eager):
    def stop(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(on_step=stop)
    gc.collect()
    assert not children()


def begun(tmp_path, epochs=100_000):
    """A training on two threads that goes on for long, in a group of its own, and the processes that share it."""
    code = "from mlpc.compiler import ranks; ranks.LARGE = ranks.TALL = ranks.FLOPS = 1; from mlpc.cli.main import process; process()"
    command = [
        sys.executable,
        "-c",
        code,
        "run",
        str(IRIS),
        "--threads",
        "2",
        "--set",
        f"train.epochs={epochs}",
        "--out",
        str(tmp_path / "run"),
    ]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    place = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(600):
        if (found := place.read_text("ascii").split()) and (tmp_path / "run" / "history.csv").exists():
            return process, [int(pid) for pid in found]
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate()[1])


def gone(pid):
    """Whether a process ends within some seconds."""
    for _ in range(100):
        if not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text("ascii").split()[2] == "Z":
            return True
        time.sleep(0.05)
    return False


@several
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("to_all", [False, True], ids=["to the first", "to all"])
def test_when_the_first_ends_all_do(signum, to_all, tmp_path):
    process, (other,) = begun(tmp_path)
    (os.killpg if to_all else os.kill)(process.pid, signum)
    status = process.wait(30)
    process.communicate()
    assert status == (-9 if signum == signal.SIGKILL else 128 + signum) and gone(other)


@several
def test_a_training_in_two_processes_goes_on_where_it_stopped(tmp_path, eager, capsys):
    process, _ = begun(tmp_path, 1500)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    process.communicate()
    assert main(["run", "--resume", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    whole = mlpc.load(IRIS, ["train.epochs=1500"]).train(threads=2)
    assert (found["threads"], found["weights_sha256"]) == (2, whole.weights_sha256)


@several
@pytest.mark.parametrize("threads", [1, 2])
def test_a_loss_that_is_not_finite_is_explained_alike(threads, eager):
    """The steps are run again in one process, to the same bits."""
    with pytest.raises(MlpcError) as caught:
        mlpc.load(IRIS, ["train.optimizer=sgd(lr = 1e30)", "train.precision=float32"]).train(threads=threads)
    (found,) = caught.value.diagnostics
    assert found.code == "E0503" and "step 2" in found.message


@several
def test_what_is_watched_is_the_same_in_two_processes(eager, monkeypatch):
    def watched():
        return mlpc.load(IRIS, ["train.epochs=2"]).train(threads=2, watch=["h", "dw"]).history

    found = watched()
    monkeypatch.setattr(teams, "_cores", lambda: 1)
    assert found == watched() and "watch" in found[0]
