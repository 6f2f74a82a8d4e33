"""The page of a run: what it says is what the run's files say; it is one file that asks for nothing; nothing of the user's is markup."""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.dsl.diagnostics import MlpcError, printable
from mlpc.report.markup import Markup, element, joined
from mlpc.report.page import page
from mlpc.runtime import predictions as sampled
from mlpc.runtime.predictions import predictions
from mlpc.runtime.record import record
from mlpc.runtime.symbols import by_step

from .test_hostile import FORBIDDEN, PIECES

ROOT = Path(__file__).parents[1]
TABLE = "a,b,kind,size\n" + "".join(f"{i},{i * i % 7},{('big', 'small', 'odd')[i % 3]},{100 + 3 * i}\n" for i in range(24))
MODEL = """data {
  from "data.csv"
  x = columns("a", "b") |> standardize
  kind = kind |> onehot
  size = size |> standardize
  split = ordered(train = 0.75, test = 0.25)
}
model {
  h = dense(x, 4, tanh)
  q = dense(h, 1)
  p = dense(h, classes(kind), softmax)
}
loss = mean(cross_entropy(p, kind)) + mean(mse(q, size))
train {
  optimizer = adam(lr = cosine(0.1, 0.001))
  epochs = 6
  batch = 6
}
report accuracy(p, kind), confusion(p, kind), mae(q, size)
"""
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "nav", "ul", "li", "a", "section", "h1", "h2", "h3", "p", "div", "table",
    "caption", "thead", "tbody", "tr", "th", "td", "b", "br", "small", "pre", "code", "span", "figure", "figcaption", "details", "summary",
    "svg", "g", "path", "defs", "use", "text", "clippath", "rect",
}  # fmt: skip


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """ask("report", RUN) -> (status, stdout, stderr), in a folder of its own with a model and its table."""
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text(TABLE)
    Path("m.mlp").write_text(MODEL)

    def call(*argv: str) -> tuple[int, str, str]:
        status = main(argv)
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


class Page(HTMLParser):
    """What a browser makes of a page: its tags, balanced; its text; its tables by caption, rows of cells."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.tables: dict[str, list[list[str]]] = {}
        self.caption = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert not name.startswith("on") and name != "src", name
            assert name != "href" or str(value).startswith("#")
            assert name != "style" or not re.search(r"url\((?!#)", str(value))
        self.tags.append(tag)
        if tag == "br":
            self.handle_data(" ")
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        if tag == "caption":
            self.caption = ""
        elif tag == "tr":
            self.tables.setdefault(self.caption, []).append([])
        elif tag in {"th", "td"}:
            self.tables[self.caption][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "caption" in self.open:
            self.caption += data
        elif {"th", "td"} & {*self.open}:
            self.tables[self.caption][-1][-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def page_of(folder: str = "runs/m-1") -> Page:
    return Page((Path(folder) / "report.html").read_text("utf-8"))


# --- what it says ---------------------------------------------------------------------------------


def test_a_report_says_what_the_run_came_to(ask) -> None:
    found = json.loads(ask("run", "m.mlp", "--json")[1])
    assert ask("report", "runs/m-1") == (0, "runs/m-1/report.html\n", "")
    page = page_of()
    head, *rows = page.tables["epoch 6, the last"]
    assert head == ["", "train", "test"]
    told = {row[0]: [float(x) for x in row[1:]] for row in rows}
    wanted = {"loss": found["loss"], **{n: {s: found["metrics"][s][n] for s in ("train", "test")} for n in ("accuracy", "mae")}}
    assert {name: told[name] == pytest.approx([of["train"], of["test"]], rel=1e-5) for name, of in wanted.items()} == dict.fromkeys(
        told, True
    )
    for split in ("train", "test"):
        head, *rows = page.tables[f"confusion, {split}: rows true, columns predicted"]
        assert head == ["true", "big", "small", "odd", "rows"] or sorted(head[1:4]) == ["big", "odd", "small"]
        labels = head[1:4]
        assert [row[0] for row in rows] == labels
        counts = [[float(cell.split()[0]) for cell in row[1:4]] for row in rows]
        assert counts == found["metrics"][split]["confusion"]
        assert [float(row[4]) for row in rows] == [sum(c) for c in counts]
    assert page.text.count("Command:") == 1 and "mlpc run m.mlp --json" in page.text
    assert found["weights_sha256"] in page.text and found["environment"]["numpy"] in page.text
    for name in ("loss", "accuracy", "mae", "lr"):
        assert f"\n{name}" in page.text or name in page.text


def test_residuals_are_in_the_units_of_the_target_and_name_rows_of_the_file(ask) -> None:
    found = json.loads(ask("run", "m.mlp", "--json")[1])
    ask("report", "runs/m-1")
    page = page_of()
    rows = {r[0]: r for r in page.tables["residuals of size, predicted - true, in its own units"][1:]}
    for split in ("train", "test"):
        assert float(rows[split][4]) == pytest.approx(found["metrics"][split]["mae"], rel=1e-5)  # the metric is measured by the plan
    for place, split, true, predicted, off in page.tables["the rows of each split that are furthest off in size"][1:]:
        line = TABLE.splitlines()[int(place.removeprefix("data.csv:")) - 1]
        assert float(line.split(",")[3]) == float(true) and split in {"train", "test"}
        assert float(off) == pytest.approx(float(predicted) - float(true), rel=1e-4, abs=1e-3)


def test_without_a_matrix_in_the_report_the_rows_are_counted(ask) -> None:
    ask("run", "m.mlp")
    measured = json.loads(Path("runs/m-1/run.json").read_text())["metrics"]
    Path("m.mlp").write_text(MODEL.replace(", confusion(p, kind)", ""))
    ask("run", "m.mlp")
    ask("report", "runs/m-2")
    rows = page_of("runs/m-2").tables["p against kind, test: rows true, columns predicted"][1:]
    assert [[float(cell.split()[0]) for cell in row[1:4]] for row in rows] == measured["test"]["confusion"]


def test_the_plan_on_the_page_is_the_plan_that_ran(ask) -> None:
    ask("run", "m.mlp")
    ask("report", "runs/m-1")
    kept = Path("runs/m-1/plan.txt").read_text()
    assert kept.rstrip("\n") in page_of().text and "<span" in Path("runs/m-1/report.html").read_text()
    Path("runs/m-1/plan.txt").write_text(kept.replace("tanh", "tank"))  # as if by another version of mlpc
    ask("report", "runs/m-1")
    assert kept.replace("tanh", "tank").rstrip("\n") in page_of().text
    assert MODEL.rstrip("\n") in page_of().text


def test_the_same_run_gives_the_same_bytes(ask, tmp_path: Path) -> None:
    ask("run", "m.mlp")
    ask("report", "runs/m-1", "-o", "a.html")
    Path("matplotlibrc").write_text("lines.linewidth: 9\nsvg.fonttype: path\naxes.grid: False\n")
    env = {**os.environ, "PYTHONHASHSEED": "5", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "TZ": "Asia/Tokyo", "COLUMNS": "60"}
    subprocess.run([sys.executable, "-m", "mlpc", "report", "runs/m-1", "-o", "b.html"], env=env, check=True, stdout=subprocess.DEVNULL)
    assert Path("a.html").read_bytes() == Path("b.html").read_bytes()


def test_a_learning_rate_is_that_of_the_last_step_of_each_epoch(ask) -> None:
    model = mlpc.load("m.mlp")
    run = model.train()
    found = by_step(model.plan, model.settings, [entry["step"] for entry in run.history])
    steps = run.steps
    assert list(found) == ["lr"]
    wanted = [0.001 + 0.099 * (1 + math.cos(math.pi * (e["step"] - 1) / (steps - 1))) / 2 for e in run.history]
    assert found["lr"] == pytest.approx(wanted, rel=1e-12)
    assert by_step(mlpc.loads(MODEL.replace("cosine(0.1, 0.001)", "0.1"), ".").plan, model.settings, [1, 2]) == {}


def test_a_kept_epoch_and_an_early_end_are_told(ask) -> None:
    Path("m.mlp").write_text(
        MODEL.replace("epochs = 6", "epochs = 400\n  keep = best(test.loss)\n  early_stop = on(test.loss, patience = 3)")
    )
    found = json.loads(ask("run", "m.mlp", "--json")[1])
    ask("report", "runs/m-1")
    page = page_of()
    assert found["stopped"] == "early_stop" and found["kept_epoch"] == found["epochs"] - 3
    assert f"It stopped after epoch {found['epochs']} of 400: its early_stop was met." in page.text
    assert f"epoch {found['kept_epoch']}, which was kept" in page.tables
    assert f"kept: epoch {found['kept_epoch']}" in page.text


def test_a_training_that_has_not_ended_has_a_report(ask) -> None:
    ask("run", "m.mlp")
    for name in ("run.json", "weights.safetensors", "predictions.json"):
        os.unlink(f"runs/m-1/{name}")
    assert ask("report", "runs/m-1")[0] == 0
    page = page_of()
    assert "This training has not ended: what follows is as it stood after epoch 6." in page.text
    assert "confusion, test: rows true, columns predicted" in page.tables and "Residuals" not in page.text
    Path("runs/m-1/history.jsonl").write_text("")
    assert ask("report", "runs/m-1")[0] == 0 and "No epoch has ended yet." in page_of().text


def test_what_was_watched_and_what_is_not_finite(ask) -> None:
    ask("run", "m.mlp", "--watch", "h")
    history = Path("runs/m-1/history.jsonl")
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    lines[2]["loss"]["test"] = "NaN"
    lines[3]["watch"]["h"]["norm"] = None
    history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ask("report", "runs/m-1")
    page = page_of()
    assert "not finite in 1 epoch" in page.text and "numbers of h" in page.text
    assert [row[2:4] for row in page.tables["losses and metrics by epoch"]][3][1] == "NaN"


@pytest.mark.parametrize(("how", "said"), [("stop", "It stopped after epoch "), ("warn", "The loss was not finite in ")])
def test_a_loss_that_is_not_finite_is_told_first(ask, how: str, said: str) -> None:
    Path("m.mlp").write_text(MODEL.replace("adam(lr = cosine(0.1, 0.001))", "sgd(lr = 1e40)").replace("epochs = 6", "epochs = 20"))
    ask("run", "m.mlp", "--on-nan", how)
    assert ask("report", "runs/m-1")[0] == 0
    assert said in page_of().text.partition("Results")[0]


def test_a_run_of_no_data_and_one_epoch(ask) -> None:
    Path("m.mlp").write_text(
        "model {\n  param w [2] ~ ones\n  p = w\n}\nloss = sum(w^2)\ntrain {\n  optimizer = sgd(lr = 0.1)\n  steps = 1\n}\n"
    )
    assert ask("run", "m.mlp")[0] == 0 and ask("report", "runs/m-1")[0] == 0
    assert "no data" in page_of().text


# --- what it is -----------------------------------------------------------------------------------


def test_a_page_is_one_file_that_asks_for_nothing(ask) -> None:
    ask("run", "m.mlp")
    ask("report", "runs/m-1")
    text = Path("runs/m-1/report.html").read_text("utf-8")
    page = Page(text)
    assert "script" not in page.tags and 'http-equiv="Content-Security-Policy" content="default-src &#x27;none&#x27;; style-src' in text
    assert not re.search(r"(?:https?:)?//\w", text.replace("http://www.w3.org/2000/svg", ""))
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len({*ids}) and {*re.findall(r'(?:href="#|url\(#)([^")]+)', text)} <= {*ids}
    assert text.count("<svg ") == text.count('role="img" aria-label="') == page.tags.count("figcaption") == 6
    assert not re.search("#0102[0-9a-f]{2}", text) and "prefers-color-scheme: dark" in text and "@media print" in text
    assert page.tags.count("h1") == 1 and page.tags.count("table") == page.tags.count("caption")


@pytest.mark.parametrize("seed", range(6))
def test_hostile_names_are_text(seed: int, ask) -> None:
    chance = random.Random(seed)
    calm = [p for p in PIECES if not any(unicodedata.category(c) in FORBIDDEN for c in p)]

    def words() -> str:
        return "".join(c for c in "".join(chance.sample(calm, 5)) if c not in '",\n/')

    labels = [f"k{i}{words()}" for i in range(3)]
    kinds = {"big": labels[0], "small": labels[1], "odd": labels[2]}
    Path("data.csv").write_text(
        "a,b,kind,size\n" + "".join(",".join(kinds.get(c, c) for c in r.split(",")) + "\n" for r in TABLE.splitlines()[1:]), "utf-8"
    )
    title = f"m{words()[:30]}.mlp"
    Path(title).write_text(f"# {words()}\n{MODEL}".replace("epochs = 6", "epochs = 2"), "utf-8")
    status, _, err = ask("run", title, "--out", "r")
    assert status == 0, err
    assert ask("report", "r")[0] == 0
    text = Path("r/report.html").read_text("utf-8")
    assert not {c for c in text if c != "\n" and unicodedata.category(c) in FORBIDDEN}
    page = Page(text)
    head = page.tables["confusion, test: rows true, columns predicted"][0]
    assert sorted(head[1:4]) == sorted(printable(label).strip() for label in labels) or sorted(head[1:4]) == sorted(map(printable, labels))
    assert title in page.text


def test_text_is_escaped_wherever_it_is_put() -> None:
    assert joined("<b>", Markup("<b>"), "&") == "&lt;b&gt;<b>&amp;"
    assert element("td", "<i>", ["a", Markup("<br>")], class_='"x"', style="") == '<td class="&quot;x&quot;">&lt;i&gt;a<br></td>'
    assert element("pre", "a\x1b[0m\nb") == "<pre>a&lt;U+001B&gt;[0m\nb</pre>"


def test_a_browser_shows_it_without_a_complaint(ask, needs, tmp_path: Path) -> None:
    needs("chromium")
    Path("data.csv").write_text(TABLE.replace("big", "<script>alert(1)</script>"))
    ask("run", "m.mlp")
    ask("report", "runs/m-1")
    place = (tmp_path / "runs/m-1/report.html").as_uri()
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}", "--enable-logging=stderr"]
    found = subprocess.run(["chromium", *options, "--dump-dom", place], capture_output=True, timeout=100, check=True)
    complaints = [line for line in found.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]
    assert complaints == []
    shown = Page(found.stdout.decode("utf-8"))
    assert shown.tables == page_of().tables and "<script>alert(1)</script>" in shown.text
    subprocess.run(
        ["chromium", *options, "--force-device-scale-factor=1", "--window-size=1000,1400", f"--screenshot={tmp_path / 'shot.png'}", place],
        capture_output=True, timeout=100, check=True,
    )  # fmt: skip
    assert (tmp_path / "shot.png").read_bytes()[16:24] == (1000).to_bytes(4) + (1400).to_bytes(4)


# --- what goes wrong ------------------------------------------------------------------------------


def test_without_matplotlib_the_extra_is_named(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    ask("run", "m.mlp")
    for name in [*(n for n in sys.modules if n.partition(".")[0] == "matplotlib"), "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    status, out, err = ask("report", "runs/m-1")
    assert (status, out) == (1, "")
    assert "error[E0504]" in err and "matplotlib is not installed" in err and "pip install 'mlpc[report]'" in err


def test_nothing_that_is_not_a_report_is_written_over(ask) -> None:
    ask("run", "m.mlp")
    for _ in range(2):
        assert ask("report", "runs/m-1")[0] == 0
    Path("mine.html").write_text("<p>mine</p>")
    status, _, err = ask("report", "runs/m-1", "-o", "mine.html")
    assert status == 1 and "error[E0506]" in err and "mine.html is there already and is no report of mlpc's" in err
    assert Path("mine.html").read_text() == "<p>mine</p>"
    assert ask("report", "runs/m-1", "-o", "runs")[0] == 1
    status, _, err = ask("report", "runs/m-1", "-o", "nowhere/at/all.html")
    assert status == 74 and "nowhere/at/" in err
    found = json.loads(ask("report", "runs/m-1", "--json")[1])
    assert found == {"format": 1, "run": "runs/m-1", "out": "runs/m-1/report.html", "bytes": os.path.getsize("runs/m-1/report.html")}


@pytest.mark.parametrize(("path", "said"), [("nix", "nix does not exist"), ("m.mlp", "m.mlp is a file"), (".", ". has no settings.json")])
def test_what_is_no_run_is_refused(ask, path: str, said: str) -> None:
    status, _, err = ask("report", path)
    assert status == 1 and "error[E0505]" in err and f"{said}, and the folder of a run was needed" in err


def damaged(value: Any, chance: random.Random) -> Any:
    """The value with one thing in it that is gone or another."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        if chance.random() < 0.3:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: damaged(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        i = chance.randrange(len(value))
        return [*value[:i], *([] if chance.random() < 0.3 else [damaged(value[i], chance)]), *value[i + 1 :]]
    return chance.choice([None, 0, -1, 1e400, "x", [], {}, [[]], {"a": []}, True])


def test_a_damaged_folder_is_refused_or_told_as_it_is(ask) -> None:
    ask("run", "m.mlp", "--watch", "h", "--set", "train.epochs=2")
    kept = Path("runs/m-1")
    names = ("settings.json", "run.json", "predictions.json", "history.jsonl")
    told = {name: kept.joinpath(name).read_bytes() for name in names}
    refused = shown = 0
    for seed in range(320):
        chance, name = random.Random(seed), names[seed % len(names)]
        lines = told[name].splitlines() if name.endswith("jsonl") else [told[name]]
        i = chance.randrange(len(lines))
        lines[i] = json.dumps(damaged(json.loads(lines[i]), chance)).encode() if chance.random() < 0.9 else lines[i][: len(lines[i]) // 2]
        kept.joinpath(name).write_bytes(b"\n".join(lines))
        try:
            found = record(kept)
        except MlpcError as error:
            refused += 1
            assert {d.code for d in error.diagnostics} == {"E0505"}
        else:
            shown += 1
            if shown % 16 == 0:
                Page(page(found))
        kept.joinpath(name).write_bytes(told[name])
    assert refused > 50 and shown > 50


@pytest.mark.parametrize("name", ["weights.safetensors", "plan.txt"])
def test_half_a_file_is_told(ask, name: str) -> None:
    ask("run", "m.mlp")
    place = Path("runs/m-1", name)
    whole = place.read_bytes()
    place.write_bytes(whole[: whole.index(b"\n", len(whole) // 2)] if name == "plan.txt" else whole[: len(whole) // 2])
    status, _, err = ask("report", "runs/m-1")
    assert (status, "error[E0505]" in err) == ((1, True) if name.startswith("weights") else (0, False))


# --- the rows that are kept for it ------------------------------------------------------------------


def test_at_most_so_many_rows_of_a_split_are_kept_evenly(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled, "MOST", 5)
    ask("run", "m.mlp")
    found = record(Path("runs/m-1")).samples
    assert {split: (s.rows, len(s.places)) for split, s in found.items()} == {"train": (18, 5), "test": (6, 5)}
    assert found["train"].places == ("data.csv:2", "data.csv:6", "data.csv:10", "data.csv:14", "data.csv:19")
    ask("report", "runs/m-1")
    assert "Of the rows these are shown, evenly taken: 5 of 18 train, 5 of 6 test." in page_of().text


def test_predictions_are_those_of_the_model() -> None:
    """Beside the forward pass written out in NumPy."""
    model = mlpc.load(ROOT / "models" / "iris.mlp", ["train.epochs=2"])
    run = model.train()
    found = predictions(model.program, model.compilation, model.dataset, run.params, run.states)
    w = run.params
    x, y = model.dataset.splits["test"]["x"], model.dataset.splits["test"]["y"]
    z = np.maximum(x @ w["h.W"] + w["h.b"], 0) @ w["p.W"] + w["p.b"]
    assert found["splits"]["test"]["of"]["y"] == {"true": y.argmax(1).tolist(), "predicted": z.argmax(1).tolist()}
    assert found["targets"] == [{"name": "y", "value": "p", "classes": ["setosa", "versicolor", "virginica"]}]


def test_a_value_counts_only_if_it_is_clear_what_it_predicts() -> None:
    text = MODEL.replace('from "data.csv"', "").replace('columns("a", "b")', "[[1, 2], [3, 5], [4, 4], [2, 9]]")
    text = text.replace("kind = kind |> onehot", "kind = [0, 1, 1, 0]").replace("size = size ", "size = [1, 2, 3, 5] ")
    text = text.replace("p = dense(h, classes(kind), softmax)", "z = dense(h, 1)\n  p = sigmoid(z)").replace("confusion(p, kind), ", "")
    text = text.replace("mean(cross_entropy(p, kind))", "mean(mse(p, kind))").replace("batch = 6", "batch = all")

    def targets(text: str) -> list[tuple[str, str]]:
        model = mlpc.loads(text)
        run = model.train()
        found = predictions(model.program, model.compilation, model.dataset, run.params, run.states)
        return [(t["name"], t["value"]) for t in found["targets"]]

    assert targets(text) == [("kind", "p"), ("size", "q")]
    two = text.replace("mean(mse(q, size))", "mean(mse(q, size)) + mean(mse(z, size))").replace("mae(q, size)", "r2(q, size)")
    assert targets(two) == [("kind", "p")]  # q and z are both as wide as size, and neither is the output


def test_a_record_that_is_refused_names_its_file(ask) -> None:
    ask("run", "m.mlp")
    Path("runs/m-1/run.json").write_text("{")
    with pytest.raises(MlpcError, match=r"runs/m-1/run.json is damaged: it is no JSON object"):
        record(Path("runs/m-1"))
