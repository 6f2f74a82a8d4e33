"""Text that means something to somebody else (terminals, markup, templates, LaTeX, JSON) goes through every rendering as text.

Names of the language are ASCII; what may hold anything are the file's title, comments, documentation, the names of columns, the
globs that find them, and labels. Each model is rendered, read back, and has the lines of its plan; or it is refused, legibly.
"""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from html.parser import HTMLParser

import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.compiler.plan import Plan
from mlpc.compiler.render.json import plan_document
from mlpc.compiler.render.latex import plan_latex
from mlpc.compiler.render.text import plan_text
from mlpc.dsl.diagnostics import MlpcError

from .read_page import read

Names = list[tuple[str, str]]  # (section, target) of every line, in order

PIECES = [
    "[bold red]", "[/]", "[link=file:///etc/passwd]x[/link]", ":smile:", "<script>alert(1)</script>", "</pre>", "<!--", "]]>", "&amp;", "'",
    "`", "\\", "\\n", "{{ 7 * 7 }}", "{0}", "{x!r}", "%s", "%(x)s", "${HOME}", "$(reboot)", "\\input{/etc/passwd}", "\\end{document}", "$$",
    "\\begin{align}", "\\def\\x{}", "^_~&%", "__import__('os')", "# ", " = ", "f1 x = y", "again", "⋮", "⋯", "日本語", "🎉", "e\u0301", "ᵀ", "π",
    "\x1b[31m", "\x1b]0;title\x07", "\x07", "\x08", "\x9b31m", "\u202e", "\u2066", "\u200f", "\u061c", "\ufeff", "\u00ad", "\u2028", "\x85", "\t",
    "\x00", "\x7f", "\ud800",
]  # fmt: skip
FORBIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
HOW_MANY, AT_ONCE = 300, 30


def lines_of_text(plan: Plan) -> Names:
    return [(section, line.target) for section, lines in read(legible(plan_text(plan))).items() for line in lines]


def lines_of_json(plan: Plan) -> Names:
    document = json.loads(legible(json.dumps(plan_document(plan))))
    return [(section, line["target"]) for section in ("forward", "gradient", "update") for line in document[section]]


def lines_of_html(plan: Plan) -> Names:
    """Of the text that a browser would show: what is no tag of ours is no tag."""
    page = Tags()
    page.feed(legible(plan._repr_html_()))
    page.close()
    assert set(page.tags) <= {"pre", "span"}
    return [(section, line.target) for section, lines in read(page.text).items() for line in lines]


def lines_of_latex(plan: Plan) -> Names:
    """By the tags of the equations, which LaTeX would print; no command of the user's is among those of the page."""
    document = legible(plan_latex(plan))
    assert not re.search(r"(?<!\\)\\(input|def|write|openin|csname)\b", document)
    assert document.count(r"\end{document}") == 1
    sections = {"f": "forward", "g": "gradient", "u": "update"}
    targets = {line.id: line.target for line in plan.lines}
    return [(sections[tag[0]], targets[tag]) for tag in re.findall(r"\\tag\{(\w+)\}", document)]


class Tags(HTMLParser):
    """The tags and the text of a page of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert [name for name, _ in attrs] in (["style"], ["class", "style"])
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


# Every rendering: from a plan to the lines that are read back from its text.
RENDERINGS: dict[str, Callable[[Plan], Names]] = {
    "text": lines_of_text, "json": lines_of_json, "html": lines_of_html, "latex": lines_of_latex,
}  # fmt: skip


def legible(text: str) -> str:
    """The text, which may hold no character that a terminal obeys or hides."""
    found = {f"U+{ord(c):04X}" for c in text if c != "\n" and unicodedata.category(c) in FORBIDDEN}
    assert not found, found
    return text


class Hostile:
    """One model: `text` of the file, `table` of its data, `title` of the file."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        wild = chance.random() < 0.2  # the others hold only what is allowed in a text, so that they come to be printed
        calm = [p for p in PIECES if not any(unicodedata.category(c) in FORBIDDEN for c in p)]

        def words(without: str = "", pieces: Sequence[str] = calm) -> str:
            pieces = PIECES if wild and chance.random() < 0.15 else pieces
            made = "".join(chance.choice([*pieces, "a", " "]) for _ in range(chance.randint(1, 6)))
            return "".join(c for c in made if c not in without)

        quoted = [f"c{i}{words(chr(34) + ',*' + chr(10))}" for i in range(2)]
        label = words('",\n').strip() or "b"
        self.title = f"m{words('/' + chr(0) + chr(0xD800), PIECES)}"[:60] + ".mlp"
        self.table = f"{quoted[0]},{quoted[1]},kind\n" + "".join(f"{i},{i * i % 7},{('a', label)[i % 2]}\n" for i in range(8))
        globs = [q if chance.random() < 0.5 else q[: chance.randint(1, 2)] + "*" for q in quoted]
        self.text = f"""# {words()}
# {words()}
block unit(x, width) {{   # {words()}
  return x + dense(x, width, tanh)
}}
data {{ # {words()}
  from "data.csv"
  x = columns("{globs[0]}", "{globs[1]}") |> standardize # {words()}
  y = kind |> onehot
}}
model {{
  h = x |> dense(8){" |> repeat(6, unit(8))" if seed % 6 == 0 else ""} # {words()}
  p = dense(h, # {words()}
            classes(y), softmax)
}}
loss = mean( # {words()}
  cross_entropy(p, y)) + 1e-3 * l2(weights) # {words()}
train {{
  optimizer = adam(lr = # {words()}
                   0.01)
  epochs = 1
}}
"""


@pytest.mark.parametrize("start", range(0, HOW_MANY, AT_ONCE))
def test_hostile_models_are_read_back_from_every_rendering(start, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    printed = 0
    for seed in range(start, start + AT_ONCE):
        hostile = Hostile(seed)
        (tmp_path / "data.csv").write_text(hostile.table, "utf-8", "surrogatepass")
        path = tmp_path / hostile.title
        path.write_text(hostile.text, "utf-8", "surrogatepass")
        try:
            model = mlpc.load(path)
        except MlpcError as error:
            legible(str(error))
            assert "bug" not in str(error)
            continue
        printed += 1
        wanted = [(line.section, line.target) for line in model.plan.lines]
        for rendering, lines in RENDERINGS.items():
            assert lines(model.plan) == wanted, (seed, rendering)
        if seed % 10 == 6:
            assert main(["plan", str(path), "--facts", "--defaults"]) == 0
            shown = capsys.readouterr()
            legible(shown.err)
            assert {*read(legible(re.sub(r"\x1b\[[0-9;]*m", "", shown.out)))} == {"forward", "gradient", "update"}
        path.unlink()
    assert printed > AT_ONCE // 2


def test_the_models_are_hostile():
    """What they say, all told, is what is feared."""
    everything = "".join(h.text + h.table + h.title for h in map(Hostile, range(HOW_MANY)))
    assert [p for p in PIECES if p not in everything] == []
