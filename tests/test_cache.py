"""The cache of plans: the same run with it and without, what makes it miss, and what it makes of a file that is not what was written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

import mlpc
from mlpc.cli.main import main
from mlpc.compiler import codec
from mlpc.compiler.verify import fits
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime import cache
from mlpc.runtime.kernel import Kernel, allocate

building: Any = import_module("mlpc.building")
loading: Any = import_module("mlpc.loading")
recall: Any = import_module("mlpc.recall")
MODELS = sorted((Path(__file__).parents[1] / "models").glob("*.mlp"))
SMALL = """import "half.mlp"
data {
  from "rows.csv"
  x = columns("a", "b")
  y = c
}
model { p = dense(x, 1) |> half }
loss = mean(mse(p, y))
train {
  optimizer = adam(lr = 0.01)
  epochs    = 2
}
report mae(p, y)
"""
HALF = "fn half(x) = 0.5 * x\n"
ROWS = "a,b,c\n1,2,3\n4,5,6\n-1,0,2\n0,1,1\n"


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A model with an import and a table, in the current folder, with a cache of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MLPC_CACHE_DIR", str(folder))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name, text in (("small.mlp", SMALL), ("half.mlp", HALF), ("rows.csv", ROWS)):
        Path(name).write_text(text)
    return Path("small.mlp")


@pytest.fixture
def compiled(monkeypatch) -> list[str]:
    """The titles of what has been compiled."""
    titles: list[str] = []
    real = building.compile

    def compile(program: Any, *rest: Any, **more: Any) -> Any:
        titles.append(program.source.name)
        return real(program, *rest, **more)

    monkeypatch.setattr(building, "compile", compile)
    return titles


def run(path: Path, *words: str) -> SimpleNamespace:
    """`mlpc run` of a file, its figures of time left out."""
    found = subprocess.run([sys.executable, "-m", "mlpc", "run", str(path), *words], capture_output=True, text=True, check=False)
    return SimpleNamespace(status=found.returncode, out=re.sub(r"[0-9.]+ s ", "", found.stdout), err=found.stderr)


def files(folder: Path) -> dict[str, bytes]:
    """The files of a run, without those that say when and how long."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return {name: content for name, content in found.items() if name not in {"run.json", "settings.json"}}


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_the_gallery_runs_to_the_same_bytes_with_a_plan_from_the_cache(path, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setenv("MLPC_CACHE_DIR", str(tmp_path / "cache"))
    found = []
    for name, more in (("without", ["--no-cache"]), ("first", []), ("second", [])):
        status = main(["run", str(path), "--set", "train.epochs=2", "--out", str(tmp_path / name), *more])
        told = capfd.readouterr()
        printed = re.sub(r"[0-9.]+ s |kept in .*", "", told.out)
        found.append((status, printed, told.err, files(tmp_path / name)))
    assert "weights.safetensors" in found[0][3]
    assert found[1] == found[0]
    assert found[2] == found[0]


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_a_compilation_is_read_back_as_it_was(path) -> None:
    model = mlpc.load(path)
    compilation = replace(model.compilation, graph=None)
    written = codec.encoded(model.program, {"plan": compilation})
    program, plans = codec.decoded(json.loads(json.dumps(written)), model.program.source.path)
    found = plans["plan"]
    assert (found.training, found.evaluation) == (compilation.training, compilation.evaluation)
    assert repr((found.training, found.evaluation)) == repr((compilation.training, compilation.evaluation))
    assert (found.names, found.numbers, found.better, found.notes) == (
        compilation.names,
        compilation.numbers,
        compilation.better,
        compilation.notes,
    )
    assert codec.encoded(program, plans) == written
    assert fits(found, model.dataset.schema)


def test_a_hit_imports_neither_the_parser_nor_the_graph_library(small) -> None:
    script = "import sys; from mlpc.cli.main import main; main(['run', 'small.mlp', '--no-out']); print([m for m in ('lark', 'networkx') if m in sys.modules])"

    def imported() -> str:
        return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()[-1]

    assert imported() == "['lark']"  # networkx is for circles, and for who asks for `Model.graph`
    assert imported() == "[]"


def test_what_a_plan_depends_on(small, compiled, monkeypatch, tmp_path) -> None:
    def load(*overrides: str, path: Path = small) -> bool:
        """Whether it had to be compiled."""
        before = len(compiled)
        loading.load(path, overrides, cache=True)
        return len(compiled) > before

    assert load()
    assert not load()
    assert load("train.epochs=3")
    assert not load("train.epochs=3")
    small.write_text(SMALL + "# a remark\n")
    assert load()
    Path("half.mlp").write_text(HALF.replace("0.5", "0.25"))
    assert load()
    assert not load()
    Path("rows.csv").write_text(ROWS.replace("4,5,6", "40,50,60"))  # other numbers, the same schema
    assert not load()
    Path("rows.csv").write_text(ROWS + "7,8,9\n")  # another row
    assert load()
    assert not load()
    monkeypatch.setattr(recall, "__version__", "0.0.0")
    assert load()
    monkeypatch.setattr(recall.sys, "version", "4.0")
    assert load()
    assert not load()
    Path("elsewhere").mkdir()
    for name in ("small.mlp", "half.mlp", "rows.csv"):
        Path("elsewhere", name).write_text(Path(name).read_text())
    assert load(path=Path("elsewhere/small.mlp"))
    assert not load()


def test_std_and_the_code_of_mlpc_are_part_of_the_key(small, monkeypatch, tmp_path) -> None:
    root = tmp_path / "mlpc"
    for name, text in (("std/losses.mlp", "fn a(x) = x"), ("dsl/parse.py", "1"), ("compiler/ir.py", "2")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(recall, "ROOT", root)
    seen = {tuple(recall._fingerprint())}
    for name in ("std/losses.mlp", "dsl/parse.py", "compiler/ir.py"):
        (root / name).write_text((root / name).read_text() + "#")
        seen.add(tuple(recall._fingerprint()))
    (root / "std" / "more.mlp").write_text("")
    seen.add(tuple(recall._fingerprint()))
    assert len(seen) == 5
    places = [str(entry[0]) for entry in seen.pop()]
    assert any("lark" in place for place in places)
    assert any("networkx" in place for place in places)


def test_an_import_that_leads_elsewhere_now_is_read_anew(small, compiled) -> None:
    Path("other.mlp").write_text(HALF)
    loading.load(small, cache=True)
    Path("half.mlp").unlink()
    Path("half.mlp").symlink_to("other.mlp")
    loading.load(small, cache=True)
    assert compiled == ["small.mlp"] * 2
    Path("half.mlp").unlink()
    with pytest.raises(MlpcError, match=re.escape("there is no file `half.mlp`")):
        loading.load(small, cache=True)


def test_folds_have_a_plan_each(small, compiled) -> None:
    first = loading.load_folds(small, 2, cache=True)
    second = loading.load_folds(small, 2, cache=True)
    assert len(compiled) == 2
    assert [m.plan for m in second] == [m.plan for m in first]
    loading.load(small, cache=True)  # which is another question
    assert len(compiled) == 3
    assert loading.load_folds(small, 2, cache=True)[1].plan == first[1].plan
    assert len(compiled) == 3


def test_what_is_said_is_the_same(small) -> None:
    small.write_text(SMALL.replace("model {", "model {\n  idle = 2 * x\n").replace("half\n", "half\n"))
    first, second, without = run(small, "--no-out"), run(small, "--no-out"), run(small, "--no-out", "--no-cache")
    assert "W0101" in first.err
    assert "idle" in first.err
    assert first.status == 0
    assert second == first
    assert without == first
    Path("rows.csv").write_text(ROWS.replace("4,5,6", "4,five,6"))
    broken = run(small, "--no-out")
    assert "small.mlp:4:7" in broken.err
    assert "^^^" in broken.err
    assert broken == run(small, "--no-out", "--no-cache")
    Path("rows.csv").write_text(ROWS)
    exploded = run(small, "--no-out", "--set", "train.optimizer.lr=1e300")
    assert exploded.status == 3
    assert exploded == run(small, "--no-out", "--set", "train.optimizer.lr=1e300")


def test_a_model_from_the_cache_does_all_that_another_does(small) -> None:
    built = loading.load(small, cache=True)
    model = loading.load(small, cache=True)
    assert model.compilation.graph is None
    assert list(model.graph.nodes(data="shape")) == list(built.graph.nodes(data="shape"))
    assert repr(model.why("dp")) == repr(built.why("dp"))
    assert model.prediction == built.prediction
    assert model.settings.origins == built.settings.origins
    assert [p.source.name for p in (model.program, built.program)] == ["small.mlp"] * 2
    trained, again = built.train(), model.train()
    assert trained.weights_sha256 == again.weights_sha256
    rows = {"a": [1.0], "b": [2.0]}
    assert trained.predict(rows).tobytes() == again.predict(rows).tobytes()
    again.save("weights.safetensors")
    trained.save("others.safetensors")
    assert Path("weights.safetensors").read_bytes() == Path("others.safetensors").read_bytes()


def test_no_cache_reads_and_writes_nothing(small, tmp_path) -> None:
    assert run(small, "--no-out", "--no-cache").status == 0
    assert not (tmp_path / "cache").exists()
    assert run(small, "--no-out").status == 0
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    before = kept.stat().st_mtime_ns
    assert run(small, "--no-out", "--no-cache").status == 0
    assert kept.stat().st_mtime_ns == before


def test_a_cache_that_cannot_be_written_is_no_fault(small, tmp_path, monkeypatch) -> None:
    expected = run(small, "--no-out", "--no-cache")
    Path("file").write_text("")
    for folder in ("file", "file/within", "/proc/mlpc", "a\0b", "x" * 5000):
        monkeypatch.setattr(os, "environ", {**os.environ, "MLPC_CACHE_DIR": folder})
        cache.keep("0" * 64, b"x")
        assert cache.kept("0" * 64) is None
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("MLPC_CACHE_DIR", "/proc/mlpc")
    assert run(small, "--no-out") == expected


# --- the files ---------------------------------------------------------------------------------------------------------


def test_where_the_cache_is(monkeypatch) -> None:
    def place(**names: str) -> str:
        for name in ("MLPC_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.setenv(name, names.get(name, ""))
        return str(cache.place())

    assert place(MLPC_CACHE_DIR="here", XDG_CACHE_HOME="/xdg", HOME="/home/ada") == "here"
    assert place(XDG_CACHE_HOME="/xdg", HOME="/home/ada") == "/xdg/mlpc"
    assert place(XDG_CACHE_HOME="relative", HOME="/home/ada") == "/home/ada/.cache/mlpc"
    assert place(HOME="/home/ada") == "/home/ada/.cache/mlpc"
    assert place() == "None"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("MLPC_CACHE_DIR", str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


KEY = "a" * 64


def test_what_was_kept_is_there(folder) -> None:
    assert cache.kept(KEY) is None
    cache.keep(KEY, b"one")
    assert cache.kept(KEY) == b"one"
    cache.keep(KEY, b"two")
    assert cache.kept(KEY) == b"two"
    assert [p.name for p in folder.iterdir()] == [f"{KEY}.plan"]


def _writable_file(path: Path) -> None:
    path.chmod(0o620)


def _writable_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def _link(path: Path) -> None:
    path.rename(path.parent / "real")
    path.symlink_to(path.parent / "real")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def _shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_writable_file, _writable_folder, _link, _pipe, _folder, _longer, _shorter, _empty])
def test_an_odd_file_is_as_none(folder, spoil) -> None:
    cache.keep(KEY, b"content")
    spoil(folder / f"{KEY}.plan")
    assert cache.kept(KEY) is None
    folder.chmod(0o700)


def test_a_file_of_another_user_is_as_none(folder, monkeypatch) -> None:
    cache.keep(KEY, b"content")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert cache.kept(KEY) is None
    cache.keep(KEY, b"mine")  # nor is anything written into another's folder
    monkeypatch.undo()
    assert (folder / f"{KEY}.plan").read_bytes().endswith(b"content")


def test_a_file_that_is_too_large_is_neither_kept_nor_read(folder, monkeypatch) -> None:
    cache.keep(KEY, b"x" * 100)
    monkeypatch.setattr(cache, "LARGEST", 100)
    assert cache.kept(KEY) is None
    cache.keep("b" * 64, b"x" * 100)
    assert [p.name for p in folder.iterdir()] == [f"{KEY}.plan"]


def test_what_was_read_longest_ago_goes_first(folder, monkeypatch) -> None:
    keys = [c * 64 for c in "0123"]
    for i, key in enumerate(keys[:3]):
        cache.keep(key, b"x" * 100)
        os.utime(folder / f"{key}.plan", (1000 + i, 1000 + i))
    assert cache.kept(keys[0]) is not None
    (folder / ".left.0123456789ab").write_bytes(b"by a killed process")
    os.utime(folder / ".left.0123456789ab", (1000, 1000))
    (folder / "of another").write_bytes(b"x" * 10_000)
    monkeypatch.setattr(cache, "MOST_FILES", 3)
    cache.keep(keys[3], b"x" * 100)
    assert sorted(p.name for p in folder.iterdir()) == sorted([f"{keys[i]}.plan" for i in (0, 2, 3)] + ["of another"])
    monkeypatch.setattr(cache, "MOST", 2 * (folder / f"{keys[3]}.plan").stat().st_size)
    cache.keep(keys[3], b"y" * 100)
    assert sorted(p.name for p in folder.iterdir()) == sorted([f"{keys[i]}.plan" for i in (0, 3)] + ["of another"])


def test_every_changed_byte_is_noticed(folder, small, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MLPC_CACHE_DIR", str(folder))
    loading.load(small, cache=True)
    (path,) = folder.iterdir()
    content, key = path.read_bytes(), path.stem
    assert cache.kept(key) is not None
    for i in range(0, len(content), 1 if len(content) < 12_000 else 3):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :])
        assert cache.kept(key) is None, i
    for i in range(0, len(content), 97):
        path.write_bytes(content[:i])
        assert cache.kept(key) is None, i


# --- forged: the digest is right, and what is said is not what was written ------------------------------------------------


def places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a document."""
    yield place
    if isinstance(document, (list, dict)):
        for key, inner in enumerate(document) if isinstance(document, list) else document.items():
            yield from places(inner, (*place, key))


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at a place."""
    if not place:
        return value
    made = dict(document) if isinstance(document, dict) else list(document)
    made[place[0]] = changed(document[place[0]], place[1:], value)
    return made


def at(document: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


ODD = (None, True, -1, 10**400, 1.5, "__import__", [], ["Name"], {}, [[0, 0, 0]])


def test_a_forged_plan_is_refused_or_a_plan_and_never_a_crash(small, tmp_path, monkeypatch) -> None:
    """Every value of a document is replaced, and the digest made to fit: it is a miss, or a plan that verifies and that a kernel takes."""
    model = loading.load(small, cache=True)
    (path,) = (tmp_path / "cache").iterdir()
    document = json.loads(path.read_bytes().partition(b"\n")[2])
    accepted = 0
    for i, place in enumerate(list(places(document))[::2]):
        value = ODD[i % len(ODD)]
        before = at(document, place)
        if value == before and type(value) is type(before):
            continue
        cache.keep(path.stem, json.dumps(changed(document, place, value)).encode())
        found = loading.recalled(recall.question(small.read_bytes(), small, (), None, 0), loading._reading(Path(), None))
        if found is None:
            continue
        accepted += 1
        plan = found[0].plan
        assert plan.precision == model.plan.precision
        kernel = Kernel(plan, ("forward", "gradient", "update"), 4, allocate(plan))
        words = set(re.findall(r"[A-Za-z_]\w*", kernel.source))
        assert {w for w in words if not re.fullmatch(r"[fv][0-9]+", w)} <= {"def", "run", "out", "axes", "keep"}
    assert accepted > 20  # words that are only told, and numbers that only say what is computed


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (lambda d: d["plans"].clear(), "no plan"),
        (lambda d: d.pop("plans"), "no plans"),
        (lambda d: d["programs"].clear(), "no program"),
        (lambda d: d["sources"].clear(), "no text"),
        (lambda d: d["sources"][0].append(1), "a text of four parts"),
        (lambda d: d["programs"][-1].append(1), "a field too many"),
        (lambda d: d["programs"][-1].__setitem__(0, "Popen"), "no class of ours"),
        (lambda d: d["programs"][-1].__setitem__(1, 99), "a text that is not there"),
    ],
)
def test_a_document_of_another_form_is_a_miss(small, tmp_path, forge, why) -> None:
    loading.load(small, cache=True)
    (path,) = (tmp_path / "cache").iterdir()
    document = json.loads(path.read_bytes().partition(b"\n")[2])
    forge(document)
    cache.keep(path.stem, json.dumps(document).encode())
    asked = recall.question(small.read_bytes(), small, (), None, 0)
    assert loading.recalled(asked, loading._reading(Path(), None)) is None, why


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"x"', b"{", b"\xff", b"[" * 100_000, b'{"plans": {}, "programs": [], "sources": []}']
)
def test_a_file_that_is_no_document_is_a_miss(small, tmp_path, body) -> None:
    loading.load(small, cache=True)
    (path,) = (tmp_path / "cache").iterdir()
    cache.keep(path.stem, body)
    assert hashlib.sha256(body).hexdigest().encode() in path.read_bytes()
    asked = recall.question(small.read_bytes(), small, (), None, 0)
    assert loading.recalled(asked, loading._reading(Path(), None)) is None
