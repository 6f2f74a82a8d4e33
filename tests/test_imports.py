"""`import`: what it takes, from where it may take it, and what the reader of a plan or a diagnosis sees of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.compiler.imports import files_of
from mlpc.compiler.pipeline import compile
from mlpc.compiler.render.text import plan_text
from mlpc.compiler.schema import Schema
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.parse import parse
from mlpc.runtime.link import NESTED

GATED = "## A gate.\nblock gated(x, width) {\n  param W [cols(x), width] ~ zeros\n  z = x @ W\n  return z * sigmoid(z)\n}\n"
CREEP = "update creep(w, dw, lr = 0.25) {\n  s = sign(dw)\n  w' = w - lr * s\n}\n"
REST = """data {
  x = [[1, 2], [3, 4], [5, 6]]
  y = [0, 1, 1]
}
model {
  h = gated(x, 4)
  p = dense(h, 1)
}
loss = mean(mse(p, y))
train {
  optimizer = creep
  epochs = 2
}
"""


def write(folder: Path, **texts: str) -> Path:
    """`model`, `lib__a` ... become model.mlp, lib/a.mlp ...; gives the model's path."""
    for name, text in texts.items():
        path = folder / (name.replace("__", "/") + ".mlp")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder / "model.mlp"


def told(path: Path, **options: Path) -> str:
    with pytest.raises(MlpcError) as caught:
        mlpc.load(path, **options)
    assert caught.value.status == 1
    return re.sub(r" {2,}(\S+:\d+:\d+)$", r" \1", str(caught.value), flags=re.MULTILINE)


def test_an_imported_definition_means_what_it_means_in_the_file_itself(tmp_path: Path) -> None:
    imported = mlpc.load(write(tmp_path, model='import "a.mlp"\nimport "b.mlp"\n' + REST, a=GATED, b=CREEP))
    inline = mlpc.loads(GATED + CREEP + REST)
    assert [(line.id, line.target, line.text) for line in imported.plan.lines] == [
        (line.id, line.target, line.text) for line in inline.plan.lines
    ]
    assert imported.train().weights_sha256 == inline.train().weights_sha256
    assert imported.warnings == ()


def test_an_import_may_stand_below_its_use_and_a_definition_be_unused(tmp_path: Path) -> None:
    model = mlpc.load(write(tmp_path, model=REST + 'import "a.mlp"\n', a=CREEP + GATED + "fn unused(x) = x\n"))
    assert model.warnings == ()


def test_the_line_of_an_imported_block_is_that_of_its_call(tmp_path: Path) -> None:
    model = mlpc.load(write(tmp_path, model='import "a.mlp"\n' + REST, a="\n" * 50 + GATED + CREEP))
    assert {line.target: line.line for line in model.plan.forward if line.target in {"h", "p", "loss"}} == {"h": 7, "p": 8, "loss": 10}
    assert {line.line for line in model.plan.forward} <= {0, 7, 8, 10}  # a shared value without a name has none
    assert [(p.name, p.line) for p in model.plan.params] == [("h.W", 7), ("p.W", 8), ("p.b", 8)]
    assert {line.line for line in model.plan.update} == {0}


def test_paths_are_relative_to_the_importing_file_and_a_diamond_is_one(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        model='import "lib/left.mlp"\nimport "lib/right.mlp"\n' + REST,
        lib__left='import "deep/base.mlp"\nblock gated(x, width) { return based(x) |> dense(width) }\n',
        lib__right='import "../lib/deep/base.mlp"\nimport "../creep.mlp"\n',
        lib__deep__base="fn based(x) = x / 2\n",
        creep=CREEP,
    )
    model = mlpc.load(path)
    names = [file.source.name for file in files_of(model.program)]
    assert names == ["lib/deep/base.mlp", "lib/left.mlp", "creep.mlp", "lib/right.mlp", "model.mlp"]
    assert plan_text(model.plan) == plan_text(mlpc.load(path).plan)


def test_the_definitions_of_all_files_are_one_vocabulary(tmp_path: Path) -> None:
    """An imported definition sees the model's, and the model's takes the place of std's in it too."""
    both = GATED.replace("sigmoid(z)", "sigmoid(half(z))")
    model = mlpc.load(write(tmp_path, model='import "a.mlp"\nfn sigmoid(x) = x\nfn half(x) = x / 2\n' + REST, a=both + CREEP))
    inline = mlpc.loads("fn sigmoid(x) = x\nfn half(x) = x / 2\n" + both + CREEP + REST)
    assert [line.text for line in model.plan.lines] == [line.text for line in inline.plan.lines]
    assert model.compilation.notes == ("`sigmoid` here shadows the standard library's",)
    model = mlpc.load(write(tmp_path, model='import "a.mlp"\n' + REST, a=GATED + CREEP + "fn relu(x) = x\n"))
    assert model.compilation.notes == ("`relu` in a.mlp shadows the standard library's",)


def test_a_folder_of_the_user_named_std_is_the_users(tmp_path: Path) -> None:
    metric = "fn score(p, y) = 1 - mean(abs(p - y))\n"
    rest = REST.replace("epochs = 2", "epochs = 2\n  keep = best(train.score)") + "report score(p, y)\n"
    path = write(tmp_path, model='import "std/metrics.mlp"\n' + rest, std__metrics=GATED + CREEP + metric)
    assert "whether a larger or a smaller `score` is better is not known" in told(path)
    path = write(tmp_path, std__metrics=GATED.replace("x @ W", "x @ x") + CREEP + metric)
    assert "std/metrics.mlp:4:7\n    4 |   z = x @ x\n" in told(path)
    assert "(`gated` is called on line 7 of model.mlp)" in told(path)


def test_links_are_followed_and_do_not_lead_out(tmp_path: Path) -> None:
    inside, outside = tmp_path / "models", tmp_path / "elsewhere"
    write(outside, a=GATED + CREEP)
    path = write(inside, model='import "a.mlp"\n' + REST, real__a=GATED + CREEP)
    (inside / "a.mlp").symlink_to(inside / "real" / "a.mlp")
    assert mlpc.load(path).plan.params
    for link, target in (("a.mlp", outside / "a.mlp"), ("lib", outside)):
        (inside / "a.mlp").unlink(missing_ok=True)
        (inside / link).symlink_to(target)
        write(inside, model=f'import "{"a.mlp" if link == "a.mlp" else "lib/a.mlp"}"\n' + REST)
        assert "leads out of the model's folder" in told(path)
        assert mlpc.load(path, data_root=outside).plan.params
    (inside / "a.mlp").symlink_to(inside / "a.mlp")
    write(inside, model='import "a.mlp"\n' + REST)
    assert "error[E0109]" in told(path)


def test_a_file_reached_by_two_names_is_one(tmp_path: Path) -> None:
    path = write(tmp_path, model='import "a.mlp"\nimport "b.mlp"\n' + REST, a=GATED + CREEP, b='import "link.mlp"\nfn f(x) = x\n')
    (tmp_path / "link.mlp").symlink_to(tmp_path / "a.mlp")
    assert mlpc.load(path).plan.params


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mlp")
    assert "`a.mlp` is not a regular file" in told(write(tmp_path, model='import "a.mlp"\n' + REST))
    with (tmp_path / "b.mlp").open("wb") as file:
        file.truncate(9 * 2**20)
    assert "b.mlp has 9,437,184 bytes; 8,388,608 is the most" in told(write(tmp_path, model='import "b.mlp"\n' + REST))


@pytest.mark.parametrize("raw", [b"\xef\xbb\xbffn f(x) = x\n", b"fn f(x) = x\0\n", "fn f(x) = x\n".encode("utf-16"), b"fn f(x) = \xff\n"])
def test_the_bytes_of_an_imported_file_are_diagnosed_in_it(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.mlp").write_bytes(raw)
    assert " a.mlp:1:" in told(write(tmp_path, model='import "a.mlp"\n' + REST)).split("\n")[0]


def test_a_circle_through_the_model_itself(tmp_path: Path) -> None:
    said = told(write(tmp_path, model='import "a.mlp"\n' + REST, a='import "model.mlp"\n' + GATED + CREEP))
    assert "a.mlp:1:8" in said and "`model.mlp` imports `a.mlp` imports `model.mlp`" in said
    assert said.count("error[") == 1


def test_imports_may_be_deep_and_not_without_end(tmp_path: Path) -> None:
    def chain(length: int) -> Path:
        texts = {f"f{i}": f'import "f{i + 1}.mlp"\nfn f{i}(x) = f{i + 1}(x) + {i}\n' for i in range(length)}
        return write(tmp_path, model='import "f0.mlp"\n' + REST, **texts, **{f"f{length}": f"fn f{length}(x) = x\n" + GATED + CREEP})

    assert mlpc.load(chain(NESTED - 1)).plan.params
    said = told(chain(NESTED + 20))
    assert f"more than {NESTED} files import one another here" in said and said.count("error[") == 1


def test_a_text_without_a_folder_cannot_import(tmp_path: Path) -> None:
    text = 'import "a.mlp"\n' + REST
    with pytest.raises(MlpcError, match="this model has no folder, so it cannot import `a.mlp`") as caught:
        mlpc.loads(text)
    assert [d.code for d in caught.value.diagnostics] == ["E0109"]
    write(tmp_path, a=GATED + CREEP)
    assert mlpc.loads(text, tmp_path).plan.params


def test_the_compiler_reads_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, model='import "a.mlp"\n' + REST, a=GATED + CREEP)
    model = mlpc.load(path)
    (tmp_path / "a.mlp").unlink()
    monkeypatch.chdir(tmp_path)
    assert compile(model.program, model.dataset.schema).training == model.plan
    with pytest.raises(MlpcError, match="cannot import"):
        compile(parse(path.read_text("utf-8"), "model.mlp", path), Schema())


def test_every_fault_of_every_file_is_told(tmp_path: Path) -> None:
    said = told(
        write(
            tmp_path,
            model='import "a.mlp"\nimport "b.mlp"\nimport "c.mlp"\n' + REST.replace("dense(h, 1)", "dense(hh, 1)"),
            a="fn f(x) = x +\n" + GATED,
            b="fn g(x) = q\nfn ok(x) = f(x)\n",
        )
    )
    places = re.findall(r"error\[(\w+)\][^\n]* (\S+):\d+$", said, re.MULTILINE)
    assert places == [("E0103", "a.mlp:1"), ("E0109", "model.mlp:3"), ("E0201", "model.mlp:10"), ("E0201", "b.mlp:1")]


def test_plan_on_the_command_line(tmp_path: Path, capsys) -> None:
    path = write(tmp_path, model='import "lib/a.mlp"\n' + REST, lib__a=GATED + CREEP + "fn relu(x) = x\n")
    assert main(["plan", str(path), "--defaults"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"optimizer.lr +0.25 +default, lib/a.mlp:7\n", out)
    assert err == "note: `relu` in lib/a.mlp shadows the standard library's\n"
    assert main(["plan", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [line["line"] for line in document["update"]] == [None, None]
    for command in (["run", "--no-out"], ["check"]):
        assert main([*command, str(path)]) == 0
    assert main(["fmt", "--check", str(path), str(tmp_path / "lib" / "a.mlp")]) == 1  # each is a file by itself
    assert "model.mlp" in capsys.readouterr().out
