"""The page in LaTeX: the plan's lines in its order, each equation what the text says, and a document that pdflatex sets."""

from __future__ import annotations

import functools
import itertools
import re
import subprocess
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

import mlpc
from mlpc.cli.main import main
from mlpc.compiler.derive import derive
from mlpc.compiler.plan import Plan
from mlpc.compiler.render.expression import read
from mlpc.compiler.render.latex import PREAMBLE, derivation_latex, equation, names_of, names_of_update, plan_latex
from mlpc.compiler.render.letters import escaped, name
from mlpc.compiler.render.typeset import Names, typeset
from mlpc.dsl.parse import parse_expression
from mlpc.dsl.syntax import Binary, Call, Matrix, Name, Number, Slice, Text, Unary

from .plan_text import any_of, plain, transposed
from .test_plan_text import random_models

ROOT = Path(__file__).parents[1]
GALLERY = sorted(p.stem for p in (ROOT / "models").glob("*.mlp"))
NOTHING = Names({}, {})
ROW = re.compile(r"^% (\w+) (.*?) = (.*)$", re.MULTILINE)
TAG = re.compile(r"\\tag\{(\w+)\}")


@functools.cache
def model(stem: str) -> mlpc.Model:
    return mlpc.load(ROOT / "models" / f"{stem}.mlp")


def plans(stem: str) -> list[Plan]:
    return [model(stem).plan, model(stem).prediction]


def tex(text: str, names: Names = NOTHING) -> str:
    return typeset(read(text, names.gradients), names).latex


# --- the text, read ------------------------------------------------------------------------------


def shown(e) -> str:
    """An expression with all its brackets."""
    match e:
        case Number(text=text):
            return text
        case Name(id=text):
            return {"pi": "π"}.get(text, text)
        case Text(text=text):
            return repr(text)
        case Unary(value=value):
            return f"(-{shown(value)})"
        case Binary(op=op, left=left, right=right):
            return f"({shown(left)} {op} {shown(right)})"
        case Slice(value=value, subscripts=subscripts):
            bounds = [":".join("" if b is None else shown(b) for b in (s.start, s.stop)[: 2 - s.is_index]) for s in subscripts]
            return f"{shown(value)}[{', '.join(bounds)}]"
        case Matrix(items=items):
            return f"[{', '.join(map(shown, items))}]"
        case Call(function=f, args=args):
            return f"{f.id}({', '.join((f'{a.name.id} = ' if a.name else '') + shown(a.value) for a in args)})"
        case _:
            raise AssertionError(e)


def read_alike(plan: Plan) -> int:
    """Every line's text is read as the language's own parser reads it, names like d(h.z) put into its words."""
    for line in plan.lines:
        keys = {n: f"v{i}" for i, n in enumerate(line.needs)}
        words = re.sub(any_of(keys), lambda m, keys=keys: keys[m[0]], plain(line.text)) if keys else plain(line.text)
        found = (
            re.sub(any_of(keys), lambda m, keys=keys: keys[m[0]], shown(read(line.text, line.needs))) if keys else shown(read(line.text))
        )
        assert found == shown(parse_expression(transposed(words))), line.text
    return len(plan.lines)


@pytest.mark.parametrize("stem", GALLERY)
def test_the_gallery_is_read_as_the_language_reads_it(stem: str) -> None:
    assert sum(map(read_alike, plans(stem))) > 8


def test_random_plans_are_read_as_the_language_reads_them() -> None:
    assert sum(read_alike(plan) for start in range(0, 100, 20) for _, _, plan, _ in random_models(start)) > 500


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-a * b", "((-a) * b)"), ("-a^2", "(-(a ^ 2))"), ("a^-b^c", "(a ^ (-(b ^ c)))"), ("a - b - c", "((a - b) - c)"),
        ("a / b * c", "((a / b) * c)"), ("aᵀᵀ[:, 1:3]", "transpose(transpose(a))[:, 1:3]"), ("a[2, 1:]", "a[2, 1:]"),
        ("m' + d.e'", "(m' + d.e')"), ("f(a, k = [0, 1], g())", "f(a, k = [0, 1], g())"), ('f("a b")', "f('a b')"),
        ("d(h.W) * d(x)", "(d(h.W) * d(x))"), ("(a > 0) == (b <= 1e-08)", "((a > 0) == (b <= 1e-08))"),
    ],
)  # fmt: skip
def test_a_text_is_read(text: str, expected: str) -> None:
    assert shown(read(text, ["d(h.W)"])) == expected


def test_a_gradient_is_a_name_only_where_it_is_needed() -> None:
    assert isinstance(read("d(x)", ["d(x)"]), Name)
    assert isinstance(read("d(x)", []), Call)


@pytest.mark.parametrize("text", ["", "a b", "a +", "(a", "a)", "a < b < c", "f(a,, b)", "f(, a)", "é", "a = b", "a[", "1.", "'"])
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a line of a plan"):
        read(text)


# --- names ---------------------------------------------------------------------------------------

HOSTILE = [
    "a1", "a_1", "a_b", "ab", "alpha", "alpha1", "alpha_1", "Alpha", "a", "A", "_", "__", "_1", "a__1", "a11", "a1_1", "a1b", "ab1", "a_b1", "pi",
    "partial", "d", "dd", "textbf", "begin", "end", "frac", "mathrm", "N", "h.W", "hW", "h_W", "h.W1", "h1.W", "h.W_1", "a.b.c", "a.bc", "ab.c", "a.b_c",
    "v", "v'", "v1'", "h.v'", "sum", "Sigma", "sigma", "mu", "nu", "beta", "B", "prime", "top", "x" * 60, "W" * 30 + "." + "z" * 30,
]  # fmt: skip


def every_name() -> list[str]:
    """300 names: hostile ones, and words of letters that mean something to LaTeX or to the reader of names."""
    more = ("".join(t) for n in (2, 3) for t in itertools.product(("a", "1", "_", "mu", "d", "."), repeat=n))
    fits = [t for t in more if re.fullmatch(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*", t)]
    return list(dict.fromkeys([*HOSTILE, *fits, *(f"{t}'" for t in fits)]))[:300]


def test_no_two_names_look_alike() -> None:
    names = every_name()
    assert len(names) == 300
    gradients = Names({}, {f"d({n})": n for n in names})
    seen: dict[str, str] = {}
    for n in [*names, *gradients.gradients]:
        for text in (n, f"{n}^2" if "'" not in n else n, f"{n}ᵀ" if "'" not in n else n):
            assert seen.setdefault(tex(text, gradients), text) == text


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("z1", "z_{1}"), ("loss", r"\mathrm{loss}"), ("alpha2", r"\alpha_{2}"), ("a_1", r"\mathrm{a\_1}"), ("h.W", "W^{(h)}"),
        ("deep.dense1.W", r"W^{(\mathrm{deep}.\mathrm{dense}_{1})}"), ("h.m'", r"m^{\prime(h)}"), ("h2o", r"\mathrm{h2o}"), ("pi", r"\mathrm{pi}"),
        ("accuracy(p, y)", r"\text{\texttt{accuracy(p, y)}}"), ("100%_{\\x", r"\text{\texttt{100\%\_\{\textbackslash{}x}}"),
    ],
)  # fmt: skip
def test_a_name_is_set(text: str, latex: str) -> None:
    assert name(text).latex == latex


# --- expressions ---------------------------------------------------------------------------------

SHAPES = Names({"x": ("N", 3), "lr": (), "z1": ("N", 3), "m": ("P",)}, {"dz1": "z1", "d(h.W)": "h.W"})


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("x @ h.W + b", r"x\,W^{(h)} + b"), ("(a + b) @ c", r"(a + b)\,c"), ("a * b @ c", r"(a \odot b)\,c"), ("a * (b @ c)", r"a \odot b\,c"),
        ("a @ (b @ c)", r"a\,(b\,c)"), ("2 * a @ b", r"(2\,a)\,b"), ("2 * (a @ b)", r"2\,a\,b"),
        ("lr * m", r"\mathrm{lr} \cdot m"), ("0.9 * m", r"0.9\,m"), ("2 * 3", r"2 \cdot 3"), ("x * z1", r"x \odot z_{1}"),
        ("sum(x) * x", r"\bigl(\sum x\bigr) \cdot x"), ("x * sum(x)", r"x \cdot \sum x"), ("0.1 * sum(x^2) + y", r"0.1\,\sum x^{2} + y"),
        ("sum(x * y)", r"\sum(x \odot y)"), ("sum(a)^2", r"\bigl(\sum a\bigr)^{2}"), ("-sum(x) / N", r"\frac{-\sum x}{N}"),
        ("sum(dz1, axis = batch)", r"\sum_{\mathrm{batch}} \partial z_{1}"),
        ("sum(x, axis = [0, 1], keep = 1)", r"\sum_{[0,\, 1],\, \mathrm{keep} = 1} x"),
        ("max(x, axis = features)", r"\max_{\mathrm{features}}(x)"), ("max(x, 0)", r"\max(x,\, 0)"), ("mean(x)", r"\operatorname{mean}(x)"),
        ("(p - y) / N", r"\frac{p - y}{N}"), ("a / b / c", r"\frac{a / b}{c}"), ("a / (b / c)", r"\frac{a}{b / c}"), ("a / b * c", r"\frac{a}{b} \odot c"),
        ("a * (b / c)", r"a \odot \frac{b}{c}"), ("(a / b)^2", r"\Bigl(\frac{a}{b}\Bigr)^{2}"), ("-(a / b)", r"-\frac{a}{b}"), ("-a / b", r"\frac{-a}{b}"),
        ("a^(b / c)", "a^{b / c}"), ("a^-b", "a^{-b}"), ("-a^2", "-a^{2}"), ("(-a)^2", "(-a)^{2}"), ("1e-08", "10^{-8}"),
        ("2.5e-07 * x", r"2.5 \times 10^{-7}\,x"),
        ("dz1^2", r"(\partial z_{1})^{2}"), ("d(h.W)ᵀ @ dz1", r"(\partial W^{(h)})^{\top}\,\partial z_{1}"), ("h.Wᵀ", r"W^{(h)\top}"),
        ("h.W^2", "(W^{(h)})^{2}"), ("(a @ b)ᵀ", r"(a\,b)^{\top}"), ("a * -b", r"a \odot (-b)"), ("a - (b - c)", "a - (b - c)"),
        ("a - -b * c", r"a - (-b \odot c)"),
        ("x * (z1 > 0)", r"x \odot [z_{1} > 0]"), ("a == b", "[a = b]"), ("(a != b) <= c", r"[[a \ne b] \le c]"),
        ("x[:, 1:3]", r"x[{:},\,1{:}3]"), ("dz1[:, 1:3]", r"(\partial z_{1})[{:},\,1{:}3]"), ("a[0]", "a[0]"),
        ("where(a > 0, b, 0)", r"\begin{cases} b & \text{if } a > 0 \\ {}0 & \text{otherwise} \end{cases}"),
        ("where(c, a, b) / N", r"\frac{\operatorname{where}(c,\, a,\, b)}{N}"),
        ("sqrt(v + 1)", r"\sqrt{v + 1}"), ("sqrt(x)^2", r"(\sqrt{x})^{2}"), ("abs(x)", r"\lvert x\rvert "), ("tanh(x)^2", r"\tanh(x)^{2}"),
        ("log_softmax(z)", r"\operatorname{log\_softmax}(z)"), ("huber(p, y, delta = 0.5)", r"\operatorname{huber}(p,\, y,\, \delta = 0.5)"),
        ("cos(π * x)", r"\cos(\pi \cdot x)"), ("reshape(x, [N, 4])", r"\operatorname{reshape}(x,\, [N,\, 4])"),
    ],
)  # fmt: skip
def test_an_expression_is_set(text: str, latex: str) -> None:
    assert tex(text, SHAPES).replace("  ", " ") == latex.replace("  ", " ")


def balanced(document: str) -> bool:
    """Whether braces and environments close in the order in which they open."""
    opened: list[str] = []
    for sign in re.findall(r"\\begin\{[^}]*\}|\\end\{[^}]*\}|\\.|[{}]", re.sub(r"(?m)^%.*$", "", document)):
        if sign.startswith("\\begin") or sign == "{":
            opened.append(sign.replace("begin", "end"))
        elif sign[0] == "}" or sign.startswith("\\end"):
            closes = "{" if sign == "}" else sign
            if [*opened[-1:]] != [closes]:
                return False
            opened.pop()
    return not opened


def lists_the_lines(plan: Plan, document: str) -> None:
    """Ids, targets and texts stand in the comments, and the ids once more as tags, in the order of the plan."""
    assert ROW.findall(document) == [(line.id, line.target, line.text) for line in plan.lines]
    assert TAG.findall(document) == [line.id for line in plan.lines]
    equations = re.sub(r"(?m)^%.*$", "", document)
    at = 0
    for line in plan.lines:  # every equation in its place, as `equation` sets it, but broken
        names = names_of_update(plan) if line.section == "update" else names_of(plan)
        whole = equation(line.target, line.text, names, 1e9)[0].replace("&", "").replace(" ", "")
        end = equations.find(rf"\tag{{{line.id}}}", at)
        assert whole.split("=")[0] in equations[at:end].replace("&", "").replace(" ", ""), line
        at = end
    assert balanced(document)
    assert document.startswith(PREAMBLE)


@pytest.mark.parametrize("stem", GALLERY)
def test_the_page_lists_the_lines_of_the_gallery(stem: str) -> None:
    for plan in plans(stem):
        lists_the_lines(plan, plan_latex(plan, model(stem).footprint if plan.gradient else None))


def test_the_page_lists_the_lines_of_random_plans() -> None:
    for start in range(0, 100, 20):
        for _, _, plan, _ in random_models(start):
            lists_the_lines(plan, plan_latex(plan))


def trees(deep: int) -> list[str]:
    """All expressions of a depth over a name and a number, in all their brackets; no number is a matrix."""
    if deep == 0:
        return ["a", "2"]
    inner = trees(deep - 1)
    both = [
        f"({x}) {op} ({y})" for op in ("+", "-", "*", "/", "@", "^", "<") for x in inner for y in inner if op != "@" or "2" not in (x, y)
    ]
    alone = [form.format(x) for form in ("-({})", "({})ᵀ", "sum({})", "abs({})", "sqrt({})", "({})[:, 0:1]") for x in inner]
    return [*inner, *both, *alone]


def test_no_two_expressions_look_alike() -> None:
    seen: dict[str, str] = {}
    every = trees(2)
    assert len(every) > 10_000
    for text in every:
        e = read(text)
        said, latex = shown(e), typeset(e, NOTHING).latex
        assert seen.setdefault(latex, said) == said, latex
        assert balanced(latex)


# --- the page, set -------------------------------------------------------------------------------

TEXTS = [
    "".join(map(chr, range(0x20, 0x7F))), r"\input{/etc/passwd} \end{document} $$ %", "]]>*/ <!-- -- ,, '' `` !` ?` << >>", "{{ x }} ${y} #{z}",
    "\x00\x07\x1b[31m\x7f\x9f", "\u202egnp.exe\u2066 \u200b\ufeff", "äöüßéñç ÀÿÐþ × ÷ ¿¡", "中文 🙂 Ω π ᵀ ∂ · \u0301 \ud800", "x" * 300, "& & & \\\\ \\tag{f1}",
]  # fmt: skip


def identifiers() -> list[str]:
    """Of the names, those of one value that the language lets a model give."""
    taken = {"pi", "N", "sum", "begin"}
    return [n for n in every_name() if n.isidentifier() and n not in taken][:250]


@functools.cache
def hostile() -> Plan:
    """A plan of hostile names, in which title, notes and reasons are hostile too."""
    lines, last = [], "x"
    for n in identifiers():
        lines.append(f"  {n} = {last} * tanh({last})")
        last = n
    text = "data {\n  x = [[1, 2], [3, 4]]\n}\nmodel {\n  param first [2] ~ ones\n  x0 = x * first\n" + "\n".join(lines).replace(
        "= x *", "= x0 *", 1
    )
    found = mlpc.loads(f"{text}\n}}\nloss = mean({last}^2)\ntrain {{\n  optimizer = sgd(lr = 0.1)\n  epochs = 1\n}}\n").plan
    said = itertools.cycle(TEXTS)
    forward = tuple(replace(line, note=next(said)) for line in found.forward)
    gradient = tuple(replace(line, by=next(said)) for line in found.gradient)
    return replace(found, title=TEXTS[0] + TEXTS[5], loss_text=TEXTS[1], forward=forward, gradient=gradient)


def test_hostile_names_and_words_break_nothing() -> None:
    plan = hostile()
    assert len({line.target for line in plan.forward}) > 240
    lists_the_lines(plan, plan_latex(plan))


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_escaped(text: str) -> None:
    made = escaped(text)
    assert balanced(made)
    assert re.fullmatch(
        r"(?:[^\\{}$&#_%~^\x00-\x1f\x7f-\x9f\u0100-\U0010ffff]|\\[{}$&#_%]|\\text[a-z]+\{\}|\{\}|\$\^?\{?\\[a-z]+\}?\$)*", made
    )


def set_by_pdflatex(document: str, folder: Path) -> str:
    """What pdflatex says while it sets the document; the test fails if it cannot."""
    (folder / "page.tex").write_text(document, "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (folder / "page.pdf").stat().st_size > 1000
    return done.stdout


@pytest.mark.parametrize("stem", GALLERY)
def test_the_page_of_the_gallery_is_set(stem: str, needs, tmp_path: Path) -> None:
    needs("pdflatex")
    said = set_by_pdflatex(plan_latex(model(stem).plan, model(stem).footprint), tmp_path)
    assert "Warning" not in said
    assert [float(p) for p in re.findall(r"Overfull .hbox \(([0-9.]+)pt", said) if float(p) > 10] == []


def test_the_page_of_hostile_names_is_set(needs, tmp_path: Path) -> None:
    needs("pdflatex")
    set_by_pdflatex(plan_latex(hostile()), tmp_path)


def test_all_forms_of_expressions_are_set(needs, tmp_path: Path) -> None:
    needs("pdflatex")
    some = trees(2)[::29]
    body = "\n\n".join(f"${typeset(read(t), NOTHING).latex}$ $\\displaystyle {tex(t)}$" for t in [*some, *every_name()[:100]])
    set_by_pdflatex(f"{PREAMBLE}{body}\n\\end{{document}}\n", tmp_path)


@pytest.mark.parametrize("stem", GALLERY)
def test_a_derivation_is_a_chain_of_its_steps(stem: str) -> None:
    plan, derivations = derive(model(stem).program, model(stem).dataset.schema)
    assert [*derivations] == [line.id for line in plan.lines]
    for found in derivations.values():
        page = derivation_latex(found, plan)
        steps = re.findall(r"(?m)^% (.*?): (.*?) = (.*)$", page)
        assert steps == [(s.rule, found.line.target, s.text) for s in found.steps]
        assert TAG.findall(page) == [x.id for x in found.through]
        assert balanced(page)


@pytest.mark.parametrize(
    ("stem", "line"), [("notebook", "loss"), ("penguins", "loss"), ("penguins", "g23"), ("iris", "w"), ("two_heads", "dtrunk")]
)
def test_a_derivation_is_set(stem: str, line: str, needs, tmp_path: Path) -> None:
    needs("pdflatex")
    said = set_by_pdflatex(derivation_latex(model(stem).why(line), model(stem).plan), tmp_path)
    assert "Overfull" not in said


# --- the command ---------------------------------------------------------------------------------


def test_plan_latex_is_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(ROOT / "models" / "notebook.mlp")
    assert main(["plan", path, "--latex"]) == 0
    assert capsys.readouterr().out == plan_latex(model("notebook").plan, model("notebook").footprint)
    assert main(["plan", path, "--latex", "--prediction"]) == 0
    assert capsys.readouterr().out == plan_latex(model("notebook").prediction)
    assert main(["plan", path, "--latex", "--why", "dz2"]) == 0
    assert capsys.readouterr().out == derivation_latex(model("notebook").why("dz2"), model("notebook").plan)
    assert main(["plan", path, "--latex", "--json"]) == 2
    assert "not allowed with" in capsys.readouterr().err


def test_a_hundred_layers_are_set_at_once() -> None:
    layers = " |> ".join(["dense(4, tanh)"] * 100)
    text = f"data {{\n  x = [[1, 2], [3, 4]]\n}}\nmodel {{\n  h = x |> {layers}\n}}\nloss = mean(h^2) + l2(weights)\n"
    plan = mlpc.loads(f"{text}train {{\n  optimizer = sgd(lr = 0.1)\n  epochs = 1\n}}\n").plan
    began = time.perf_counter()
    page = plan_latex(plan)
    assert time.perf_counter() - began < 5  # ten times what it takes
    lists_the_lines(plan, page)
