"""`mlpc diff`: the pages pinned (MLPC_PIN=1 writes them), and that a difference leaves nothing out."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

import mlpc
from mlpc.cli.main import main
from mlpc.compiler.difference import Difference, Subject, difference, translated
from mlpc.compiler.plan import Line
from mlpc.compiler.render.difference import difference_text
from mlpc.compiler.render.difference_document import difference_document

from .test_plan_text import plan_of, random_models

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models"
PAGES = Path(__file__).parent / "pages" / "diff"
GALLERY = sorted(p.stem for p in MODELS.glob("*.mlp"))
TEXTS = {name: (MODELS / f"{name}.mlp").read_text("utf-8") for name in GALLERY}

CHANGES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {  # the page's name: the model, and what is written otherwise
    "activation": ("iris", (("16, relu", "16, gelu"),)),
    "width": ("iris", (("16, relu", "32, relu"),)),
    "layer": ("iris", (("p = dense(h,", "h2 = dense(h, 16, relu)\n  p = dense(h2,"),)),
    "rename": ("iris", (("h = dense(x", "hidden = dense(x"), ("dense(h,", "dense(hidden,"))),
    "optimizer": ("iris", (("adam(lr = cosine(0.02, 0.0001))", "sgd(lr = 0.1)"),)),
    "mean_to_sum": ("iris", (("mean(cross", "sum(cross"),)),
    "no_l2": ("iris", ((" + 1e-4 * l2(weights)", ""),)),
    "columns": ("iris", (('"sepal_*", ', ""),)),
    "batch": ("iris", (("batch     = 16", "batch     = 40"),)),
    "repeat": ("penguins", (("repeat(3", "repeat(4"),)),
    "no_clip": ("penguins", (("  clip       = norm(1.0)\n", ""),)),
    "delta": ("penguins", (("delta = 0.5", "delta = 0.7"),)),
    "rename_all": ("penguins", (("deep", "trunk"), ("yhat", "mass"))),
    "params": ("notebook", (("z1", "hidden"), ("w1", "W"), ("relu", "gelu"))),
}

_models: dict[str, mlpc.Model] = {}


def load(text: str, name: str) -> mlpc.Model:
    if text not in _models:
        _models[text] = mlpc.loads(text, MODELS)
    return replace(_models[text])


def changed(name: str) -> Difference:
    model, edits = CHANGES[name]
    text = TEXTS[model]
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return titled(load(TEXTS[model], model).diff(load(text, name)), f"{model}.mlp", f"{name}.mlp")


def titled(d: Difference, before: str, after: str) -> Difference:
    return replace(d, before=replace(d.before, name=before), after=replace(d.after, name=after))


def told(d: Difference) -> list[tuple[str | None, str | None, tuple[str, ...]]]:
    """(the old line's target, the new one's, what changed)."""
    return [(c.before.target if c.before else None, c.after.target if c.after else None, c.what) for c in d.lines]


def between(a: str, b: str) -> Difference:
    return load(a, "a").diff(load(b, "b"))


# --- the pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
def test_the_page_is_the_pinned_one(name: str) -> None:
    page = difference_text(changed(name))
    pinned = PAGES / f"{name}.txt"
    if os.environ.get("MLPC_PIN"):
        PAGES.mkdir(exist_ok=True)
        pinned.write_text(page, "utf-8")
    assert page == pinned.read_text("utf-8")
    assert max(map(len, page.split("\n"))) <= 100


def test_who_changes_an_activation_sees_the_lines_that_change() -> None:
    assert told(changed("activation")) == [
        ("h.z", "h.z", ("kept",)), (None, "t1", ()), (None, "t2", ()), ("h", "h", ("text", "steps")),
        ("d(h.z)", "d(h.z)", ("text", "steps", "by")),
    ]  # fmt: skip


def test_who_changes_a_width_sees_shapes_and_no_text() -> None:
    assert [(after, what) for _, after, what in told(changed("width"))] == [
        (name, ("shape",)) for name in ("h.z", "h", "d(p.W)", "dh", "d(h.z)", "d(h.W)", "d(h.b)")
    ]


@pytest.mark.parametrize(("name", "renames"), [("rename", [("h", "hidden")]), ("rename_all", [("deep", "trunk"), ("yhat", "mass")])])
def test_a_renamed_value_is_one_entry(name: str, renames: list[tuple[str, str]]) -> None:
    d = changed(name)
    assert [(r.before, r.after) for r in d.renames] == renames
    assert (d.lines, d.tensors, d.sayings, d.same) == ((), (), (), False)


def test_a_name_may_change_with_what_it_stands_for() -> None:
    d = changed("params")
    assert [(r.before, r.after) for r in d.renames] == [("w1", "W"), ("z1", "hidden")]
    assert [(a, b) for a, b, what in told(d) if "text" in what] == [("A", "A"), ("dz1", "dhidden")]


@pytest.mark.parametrize("name", GALLERY)
def test_layout_and_comments_are_no_difference(name: str) -> None:
    text = re.sub(r" = ", "  =   ", TEXTS[name]).replace("\n", "  # words\n\n")
    d = between(TEXTS[name], text)
    assert d.same, told(d)
    assert difference_text(d).endswith(f"the plans are the same: {len(d.after.plan.lines)} lines\n")


# --- nothing is left out -------------------------------------------------------------------------


def essence(line: Line) -> tuple[object, ...]:
    return (line.section, line.target, line.text, line.shape, line.by, line.kept, line.whole)


def applied(d: Difference) -> list[tuple[object, ...]]:
    """The lines of the first plan with the difference put in: what must come out is the second's."""
    gone = {c.before.id for c in d.lines if c.before}
    put = {c.after.id: essence(c.after) for c in d.lines if c.after}
    result: list[tuple[object, ...]] = []
    for section in ("forward", "gradient", "update"):
        names = {x: y for scope, x, y in d.names if (scope == "update") == (section == "update")}
        stays = iter([line for line in d.before.plan.lines if line.section == section and line.id not in gone])
        count = sum(line.section == section for line in d.after.plan.lines)
        for i in range(1, count + 1):
            if f"{section[0]}{i}" in put:
                result.append(put[f"{section[0]}{i}"])
                continue
            line = next(stays)
            target, text, by = (translated(t, names) for t in (line.target, line.text, line.by))
            result.append(essence(replace(line, target=target, text=text, by=by)))
        assert not list(stays)
    return result


def mirrored(d: Difference) -> tuple[object, ...]:
    """What is in a difference, as it is in that from the second plan to the first."""
    return (
        sorted((c.after.id if c.after else "", c.before.id if c.before else "", sorted({*c.what} - {"order"})) for c in d.lines if c.what != ("order",)),
        sorted((c.after.name if c.after else "", c.before.name if c.before else "", sorted({*c.what} - {"order"})) for c in d.tensors),
        sorted((r.scope, r.after, r.before) for r in d.renames),
        sorted((s.name, s.after or "", s.before or "") for s in d.sayings),
    )  # fmt: skip


def straight(d: Difference) -> tuple[object, ...]:
    return (
        sorted((c.before.id if c.before else "", c.after.id if c.after else "", sorted({*c.what} - {"order"})) for c in d.lines if c.what != ("order",)),
        sorted((c.before.name if c.before else "", c.after.name if c.after else "", sorted({*c.what} - {"order"})) for c in d.tensors),
        sorted((r.scope, r.before, r.after) for r in d.renames),
        sorted((s.name, s.before or "", s.after or "") for s in d.sayings),
    )  # fmt: skip


def holds(d: Difference, back: Difference) -> None:
    assert applied(d) == [essence(line) for line in d.after.plan.lines]
    assert applied(back) == [essence(line) for line in d.before.plan.lines]
    assert max(map(len, difference_text(d).split("\n"))) <= 100
    assert json.loads(json.dumps(difference_document(d))) == difference_document(d)


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(GALLERY, 2)))
def test_between_any_two_of_the_gallery(a: str, b: str) -> None:
    holds(between(TEXTS[a], TEXTS[b]), between(TEXTS[b], TEXTS[a]))


@pytest.mark.parametrize("name", CHANGES)
def test_back_is_the_mirror(name: str) -> None:
    d = changed(name)
    back = difference(d.after, d.before)
    holds(d, back)
    assert mirrored(back) == straight(d)


def test_random_plans() -> None:
    plans = [(seed, plan) for seed, _, plan, _ in random_models(0)]
    for (seed, a), (_, b) in itertools.pairwise(plans):
        assert difference(Subject("a", a), Subject("a", a)).same, seed
        holds(difference(Subject("a", a), Subject("b", b)), difference(Subject("b", b), Subject("a", a)))


def test_random_plans_under_other_names() -> None:
    """Every name of a random model at once: the bijection must be found from the structure alone."""
    from .random_graphs import to_mlp

    for seed, p, plan, _ in random_models(0):
        text = re.sub(r"\bv(\d+)\b", lambda found: f"u{997 - int(found[1])}", to_mlp(p))
        inputs = [(f"u{997 - i}", 3, p.body[i].attrs["facts"]) for i in p.of("input")]
        other = plan_of(text, inputs, p.rows)
        assert applied(difference(Subject("a", plan), Subject("b", other))) == [essence(line) for line in other.lines], seed


# --- particular differences ----------------------------------------------------------------------

SMALL = """
fn square(x) = x^2
data {
  x = [[1, 2], [3, 5], [0, 1]]
  y = [1, 0, 2]
}
model {
  h = dense(x, 3, square)
  p = dense(h, 1)
}
loss = mean(mse(p, y))
train {
  optimizer = sgd(lr = 0.1)
  epochs = 3
}
"""


def test_the_same_words_may_compute_something_else() -> None:
    d = between(SMALL, SMALL.replace("x^2", "x^2 / 2"))
    first = d.lines[0]
    assert first.before and first.after and (first.before.text, first.after.text, first.what) == ("square(h.z)", "square(h.z)", ("steps",))
    assert first.ran == ("pow(h.z, 2)", "div(pow(h.z, 2), 2)")
    assert "the same words computed pow(h.z, 2)\n         and now compute div(pow(h.z, 2), 2)\n" in difference_text(d)


def test_other_words_may_compute_the_same() -> None:
    d = between(SMALL, SMALL.replace("square", "sq"))
    first = d.lines[0]
    assert first.before and first.after and (first.before.text, first.after.text, first.what) == ("square(h.z)", "sq(h.z)", ("text",))
    assert "the same, in other words" in difference_text(d)


def test_a_shared_value_that_gets_a_name_is_renamed() -> None:
    text = SMALL.replace("h = dense(x, 3, square)", "z = dense(x, 3)\n  h = exp(z) + 1 / (2 + exp(z))")
    named = text.replace("h = exp(z) + 1 / (2 + exp(z))", "e = exp(z)\n  h = e + 1 / (2 + e)")
    d = between(text, named)
    assert [(r.before, r.after) for r in d.renames] == [("t1", "e")]


def test_numbers_of_shared_values_are_no_difference() -> None:
    """Lines above take t1 and t2; what was t1 is t3 now, and its line is not told."""
    text = SMALL.replace("h = dense(x, 3, square)", "z = dense(x, 3)\n  q = z + 1\n  h = exp(z) + 1 / (2 + exp(z))")
    text = text.replace("dense(h, 1)", "dense(h + q, 1)")
    d = between(text, text.replace("q = z + 1", "q = sin(z) + 1 / (3 + sin(z))"))
    assert ("model", "t1", "t3") in d.names and not d.renames
    assert "exp(z)" not in [line.text for c in d.lines for line in (c.before, c.after) if line]


def test_settings_and_data_are_told_where_the_lines_are_the_same() -> None:
    d = between(SMALL, SMALL.replace("epochs = 3", "epochs = 4\n  seed = 7").replace("[[1, 2]", "[[9, 2]"))
    assert [(s.section, s.name, s.before, s.after) for s in d.sayings] == [
        ("data", "x", "[[1, 2], [3, 5], [0, 1]]", "[[9, 2], [3, 5], [0, 1]]"), ("train", "seed", "0", "7"),
        ("train", "epochs", "3", "4"), ("train", "steps", "3", "4"),
    ]  # fmt: skip
    assert "every line is the same\n" in difference_text(d)


def test_params_declared_in_another_order() -> None:
    text = TEXTS["notebook"]
    first, second = (next(line for line in text.split("\n") if f"param {name}" in line) for name in ("w1", "b1"))
    d = between(text, text.replace(f"{first}\n{second}", f"{second}\n{first}"))
    assert [(c.what, c.after.name if c.after else "") for c in d.tensors] == [(("order",), "w1")]
    assert told(d) == [("dw1", "dw1", ("order",))]


def test_a_call_between_others_renames_those_below() -> None:
    text = SMALL.replace("h = dense(x, 3, square)", "h = x |> dense(8, relu) |> dense(4, relu) |> dense(3)")
    d = between(text, text.replace("|> dense(4", "|> dense(6, tanh) |> dense(4"))
    assert [(r.before, r.after) for r in d.renames] == [("h.dense2", "h.dense3"), ("h.dense3", "h.dense4")]
    added = ["h.dense2.z", "h.dense2", "d(h.dense2)", "d(h.dense2.z)", "d(h.dense2.W)", "d(h.dense2.b)"]
    assert sorted(c.after.target for c in d.lines if c.after and not c.before) == sorted(added)
    assert [c.after.name if c.after else "" for c in d.tensors if c.before] == ["h.dense3.W"]
    assert not [c for c in d.lines if not c.after]
    page = difference_text(d)
    pinned = PAGES / "call_between.txt"
    if os.environ.get("MLPC_PIN"):
        pinned.write_text(page, "utf-8")
    assert page == pinned.read_text("utf-8")


def test_an_update_of_other_names() -> None:
    own = "update mine(theta, g, rate = 0.1) {\n  theta' = theta - rate * g\n}\n"
    d = between(SMALL, own + SMALL.replace("sgd(lr = 0.1)", "mine"))
    assert [(r.scope, r.before, r.after) for r in d.renames] == [("update", "w", "theta"), ("update", "dw", "g")]
    assert not d.lines


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(ROOT)

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(["diff", *argv])
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_the_status_answers_only_when_asked(ask) -> None:
    iris, xor = "models/iris.mlp", "models/xor.mlp"
    assert [ask(iris, xor)[0], ask(iris, xor, "--exit-code")[0], ask(iris, iris, "--exit-code")[0]] == [0, 1, 0]
    assert ask(iris, iris)[1] == (
        "- models/iris.mlp   131 parameters in 4 tensors\n+ models/iris.mlp   131 parameters in 4 tensors\n\n"
        "the plans are the same: 17 lines\n"
    )  # fmt: skip


def test_a_setting_of_the_command_line_goes_to_both(ask) -> None:
    out = ask("models/notebook.mlp", "models/xor.mlp", "--set", "train.optimizer=sgd(lr = 0.1)", "--seed", "3", "--json")[1]
    said = {s["name"] for s in json.loads(out)["said"]}
    assert "loss" in said and not said & {"optimizer", "seed"}


def test_prediction_compares_what_predicts(ask) -> None:
    status, out, _ = ask("models/notebook.mlp", "models/xor.mlp", "--prediction", "--json")
    document = json.loads(out)
    assert status == 0 and document["forward"] and not document["gradient"] and not document["update"]
    assert {s["section"] for s in document["said"]} == {"data"}


def test_faults_of_both_files_are_told_under_their_names(ask) -> None:
    status, out, err = ask("docs/wrong.mlp", "models/irs.mlp", "--exit-code")
    assert (status, out) == (1, "")
    assert err.startswith("docs/wrong.mlp:\nerror[E0231]") and "\n\nmodels/irs.mlp:\nerror[E0502]" in err


def test_colours_add_no_character(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ask("models/iris.mlp", "models/xor.mlp")[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = ask("models/iris.mlp", "models/xor.mlp")[1]
    assert re.search(r"\x1b\[31m - .*\n", coloured) and re.search(r"\x1b\[32m \+ .*\n", coloured)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_hostile_names_of_files_reach_no_terminal(ask, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\u202eb.mlp"
    path.write_text(SMALL, "utf-8")
    status, out, _ = ask(str(path), "models/xor.mlp")
    assert status == 0 and "\x1b" not in out and "\u202e" not in out


def test_in_python(ask) -> None:
    a, b = mlpc.load("models/iris.mlp"), mlpc.load("models/xor.mlp")
    assert a.diff(a).same and not a.diff(b).same
    assert [c.after.target for c in a.diff(b, prediction=True).lines if c.after] == ["h.z", "h", "p.z", "p"]


# --- what comes again ----------------------------------------------------------------------------


def test_what_comes_again_under_other_names_is_folded(ask, tmp_path: Path) -> None:
    text = (ROOT / "models" / "penguins.mlp").read_text("utf-8")
    shutil.copytree(ROOT / "models" / "data", tmp_path / "data")
    for name, was, now in (("a", "", ""), ("b", "repeat(3", "repeat(12"), ("c", "act = mish, drop", "act = tanh, drop")):
        (tmp_path / f"{name}.mlp").write_text(text.replace(was, now), "utf-8")
    a, b, c = (str(tmp_path / f"{name}.mlp") for name in "abc")
    status, page, _ = ask(a, b)
    assert status == 0 and page.count("again = once more") == page.count("and so on in even steps") == 1
    assert (
        """
 + deep.residual4.dense2.b    [32]  zeros
     again   deep.residual4
             deep.residual5
             deep.residual6
    ⋮
             deep.residual12
"""
        in page
    )
    assert (
        """
    f23-f29 again   deep.residual4    deep.residual3    t7-t8
    f30-f36         deep.residual5    deep.residual4    t9-t10
    f37-f43         deep.residual6    deep.residual5    t11-t12
    ⋮
    f72-f78         deep.residual11   deep.residual10   t21-t22
    f79-f84         deep.residual12   deep.residual11   t23-t24
 - f22 deep """
        in page
    )
    _, every, _ = ask(a, b, "--all")
    assert " again  " not in every and all(f" + f{i} " in every for i in range(22, 86))
    assert page.split("\n")[-6:] == every.split("\n")[-6:]
    assert json.loads(ask(a, b, "--json")[1]) == json.loads(ask(a, b, "--json", "--all")[1])
    assert """
         now kept for the gradient
    f2-f3 again   deep.residual1   deep.dense1      t1
    f8-f9         deep.residual2   deep.residual1   t3
    f14-f15       deep.residual3   deep.residual2   t5
""" in ask(a, c)[1]
