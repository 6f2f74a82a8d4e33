"""Text to syntax: structure, precedence, places; and that no text whatever leads to anything but a Program or MlpcError."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.file import read_file
from mlpc.dsl.parse import parse, parse_expression
from mlpc.dsl.syntax import (
    Assign,
    Binary,
    Call,
    Expr,
    Matrix,
    Member,
    Name,
    Number,
    Param,
    Prime,
    Program,
    Return,
    Section,
    Slice,
    State,
    Subscript,
    Text,
    Unary,
    walk,
)

NOTEBOOK = """# models/notebook.mlp: a two-layer network on four flowers, every matrix by hand
data {
  x = [[5.1, 1.4], [7.0, 4.7], [6.3, 6.0], [4.9, 1.5]]
  y = [0, 1, 2, 0] |> onehot
}

model {
  param w1 [2, 4] ~ normal(0, 0.01)
  param b1 [4]    ~ zeros
  param w2 [4, 3] ~ normal(0, 0.01)
  param b2 [3]    ~ zeros

  z1 = x @ w1 + b1
  A  = relu(z1)
  z2 = A @ w2 + b2
  p  = softmax(z2)
}

loss = sum(cross_entropy(p, y))

train {
  optimizer = sgd(lr = 0.1)
  epochs    = 100
  batch     = all
  shuffle   = off
  seed      = 42
  rng       = legacy          # numpy.random.seed(42), then randn in the order of the params
}
"""
IRIS = """# models/iris.mlp: a CSV in, a classifier out; preprocessing and split belong to the model
data {
  from "data/iris.csv"
  x = columns("sepal_*", "petal_*") |> standardize     # statistics of the training rows only
  y = species |> onehot
  split = stratified(train = 0.8, test = 0.2)
}

model {
  h = dense(x, 16, relu)
  p = dense(h, classes(y), softmax)
}

loss = mean(cross_entropy(p, y)) + 1e-4 * l2(weights)

train {
  optimizer = adam(lr = cosine(0.02, 0.0001))
  batch     = 16
  epochs    = 200
  seed      = 1
}

report accuracy(p, y), confusion(p, y)
"""
PENGUINS = """# models/penguins.mlp: missing cells, categories, a residual trunk beside a wide skip, own activation and loss
fn mish(x)                = x * tanh(log(1 + exp(x)))
fn huber(p, y, delta = 1) = where(abs(p - y) <= delta, 0.5 * (p - y)^2, delta * (abs(p - y) - 0.5 * delta))

block residual(x, width, act = relu, drop = 0) {
  h = dense(x, width, act) |> dropout(drop)
  return x + dense(h, cols(x), init = zeros)
}

data {
  from "data/penguins.csv"
  x = concat(columns("bill_*", "flipper_length_mm") |> impute(median) |> standardize,
             columns("species", "island", "sex") |> onehot)       # a missing sex is a category of its own
  y = body_mass_g |> drop_missing |> standardize       # predictions come back in grams
  split = random(train = 0.7, val = 0.15, test = 0.15)
}

model {
  deep = x |> dense(32) |> repeat(3, residual(width = 64, act = mish, drop = 0.1))
  wide = dense(x, 8)
  yhat = concat(deep, wide) |> dense(1)
}

loss = mean(huber(yhat, y, delta = 0.5)) + 1e-3 * l2(deep.weights) + 1e-5 * l1(wide.weights)

train {
  optimizer  = adamw(lr = 0.003, decay = 0.01)
  clip       = norm(1.0)
  batch      = 32
  epochs     = 150
  early_stop = on(val.loss, patience = 20)
  keep       = best(val.loss)
  precision  = float32
  seed       = 3
}

report mae(yhat, y), r2(yhat, y)
"""


def shown(node: Expr) -> str:
    """An expression with every bracket written."""
    match node:
        case Number(text=text) | Name(id=text):
            return text
        case Text(text=text):
            return f'"{text}"'
        case Member(parts=parts):
            return ".".join(p.id for p in parts)
        case Call(function=function, args=args, piped=piped):
            inner = ", ".join((f"{a.name.id} = " if a.name else "") + shown(a.value) for a in args)
            return f"{'|>' if piped else ''}{function.id}({inner})"
        case Unary(value=value):
            return f"(-{shown(value)})"
        case Binary(op=op, left=left, right=right):
            return f"({shown(left)} {op} {shown(right)})"
        case Slice(value=value, subscripts=subscripts):
            return f"{shown(value)}[{', '.join(shown_subscript(s) for s in subscripts)}]"
        case Matrix(items=items):
            return f"[{', '.join(shown(i) for i in items)}]"


def shown_subscript(subscript: Subscript) -> str:
    start, stop = (shown(e) if e else "" for e in (subscript.start, subscript.stop))
    return start if subscript.is_index else f"{start}:{stop}"


def lines(section: Section | None) -> list[str]:
    assert section is not None
    found: list[str] = []
    for s in section.body:
        match s:
            case Param(name=name, dims=dims, init=init):
                found.append(f"param {name.id} {[shown(d) for d in dims]} ~ {shown(init)}")
            case Assign(name=name, value=value):
                found.append(f"{name.id} = {shown(value)}")
            case _:
                found.append(s.span.text)
    return found


# --- the three files of the language's page


def test_notebook() -> None:
    program = parse(NOTEBOOK, "notebook.mlp")
    assert lines(program.data) == ["x = [[5.1, 1.4], [7.0, 4.7], [6.3, 6.0], [4.9, 1.5]]", "y = |>onehot([0, 1, 2, 0])"]
    assert lines(program.model) == [
        "param w1 ['2', '4'] ~ normal(0, 0.01)",
        "param b1 ['4'] ~ zeros",
        "param w2 ['4', '3'] ~ normal(0, 0.01)",
        "param b2 ['3'] ~ zeros",
        "z1 = ((x @ w1) + b1)",
        "A = relu(z1)",
        "z2 = ((A @ w2) + b2)",
        "p = softmax(z2)",
    ]
    assert program.loss is not None
    assert shown(program.loss.value) == "sum(cross_entropy(p, y))"
    assert lines(program.train)[:4] == ["optimizer = sgd(lr = 0.1)", "epochs = 100", "batch = all", "shuffle = off"]
    assert lines(program.train)[4:] == ["seed = 42", "rng = legacy"]
    assert (program.imports, program.definitions, program.report) == ((), (), ())


def test_iris() -> None:
    program = parse(IRIS, "iris.mlp")
    assert lines(program.data) == [
        'from "data/iris.csv"',
        'x = |>standardize(columns("sepal_*", "petal_*"))',
        "y = |>onehot(species)",
        "split = stratified(train = 0.8, test = 0.2)",
    ]
    assert lines(program.model) == ["h = dense(x, 16, relu)", "p = dense(h, classes(y), softmax)"]
    assert program.loss is not None
    assert shown(program.loss.value) == "(mean(cross_entropy(p, y)) + (1e-4 * l2(weights)))"
    assert [shown(a.value) for a in program.report] == ["accuracy(p, y)", "confusion(p, y)"]


def test_penguins() -> None:
    program = parse(PENGUINS, "penguins.mlp")
    assert [(d.kind, d.name.id, [(p.name.id, p.default and shown(p.default)) for p in d.parameters]) for d in program.definitions] == [
        ("fn", "mish", [("x", None)]),
        ("fn", "huber", [("p", None), ("y", None), ("delta", "1")]),
        ("block", "residual", [("x", None), ("width", None), ("act", "relu"), ("drop", "0")]),
    ]
    mish, _, residual = program.definitions
    assert [shown(s.value) for s in mish.body if isinstance(s, Return)] == ["(x * tanh(log((1 + exp(x)))))"]
    assert [type(s).__name__ for s in residual.body] == ["Assign", "Return"]
    assert lines(program.data)[1] == (
        'x = concat(|>standardize(|>impute(columns("bill_*", "flipper_length_mm"), median)), |>onehot(columns("species", "island", "sex")))'
    )
    assert lines(program.model)[0] == "deep = |>repeat(|>dense(x, 32), 3, residual(width = 64, act = mish, drop = 0.1))"
    assert program.loss is not None
    assert shown(program.loss.value).endswith("+ (1e-3 * l2(deep.weights))) + (1e-5 * l1(wide.weights)))")
    assert "early_stop = on(val.loss, patience = 20)" in lines(program.train)


# --- expressions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b - c", "((a + b) - c)"),
        ("a - b * c @ d / e", "(a - (((b * c) @ d) / e))"),
        ("-x^2", "(-(x ^ 2))"),
        ("-x * y", "((-x) * y)"),
        ("-x @ w", "((-x) @ w)"),
        ("a - -b", "(a - (-b))"),
        ("--x", "(-(-x))"),
        ("2^3^2", "(2 ^ (3 ^ 2))"),
        ("2^-1", "(2 ^ (-1))"),
        ("2^-x^2", "(2 ^ (-(x ^ 2)))"),
        ("2^-1 * 3", "((2 ^ (-1)) * 3)"),
        ("a + b < c * d", "((a + b) < (c * d))"),
        ("(a < b) < c", "((a < b) < c)"),
        ("a >= b |> mean", "|>mean((a >= b))"),
        ("a + b |> f(c) |> g", "|>g(|>f((a + b), c))"),
        ("a + (b |> f)", "(a + |>f(b))"),
        ("h[:, 1:3]^2", "(h[:, 1:3] ^ 2)"),
        ("-h[:, 2]", "(-h[:, 2])"),
        ("h[1:, :-1, -2:3, :, k + 1]", "h[1:, :(-1), (-2):3, :, (k + 1)]"),
        ("h[:][0]", "h[:][0]"),
        ("f(x)[:, 0]", "f(x)[:, 0]"),
        ("(a + b)[:, 0]", "(a + b)[:, 0]"),
        ("f(a, b = 1,)", "f(a, b = 1)"),
        ("f()", "f()"),
        ("[]", "[]"),
        ("[[1, 2,], [3, .5e-3],]", "[[1, 2], [3, .5e-3]]"),
        ("a.b.c + v'", "(a.b.c + v')"),
        ("data + model * loss", "(data + (model * loss))"),
        ("(a\n +  # why\n\n b)", "(a + b)"),
        ("a  # why\n  # |> not\n\n  |> f", "|>f(a)"),
        ("a |>\tf", "|>f(a)"),
        ("a == b", "(a == b)"),
        ("a != b", "(a != b)"),
        ("a <= 1e3", "(a <= 1e3)"),
        ("a<-1", "(a < (-1))"),
        ('"|> # ( ü"', '"|> # ( ü"'),
        ("0123456789.0123456789E+05", "0123456789.0123456789E+05"),
    ],
)
def test_expression(text: str, expected: str) -> None:
    assert shown(parse_expression(text)) == expected


def test_that_keywords_are_words_only_where_a_statement_begins() -> None:
    program = parse("model {\n  data = model + fn\n  loss = state.from\n  import(data)\n  database = paramount\n}\n", "k.mlp")
    assert lines(program.model) == ["data = (model + fn)", "loss = state.from", "import(data)", "database = paramount"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends(end: str, last: bool) -> None:
    text = "# first, a comment\n\nmodel { # c\n\n  # d\n  x = 3 # e\n  y = x\n  # f\n}\n# g\nloss = x" + "\n" * last
    program = parse(text.replace("\n", end).encode(), "e.mlp")
    assert program.source.text == text
    assert lines(program.model) == ["x = 3", "y = x"]
    assert program.loss is not None
    assert program.loss.span.line == 11


def test_statements() -> None:
    body = ["param w ~ zeros", "param v [] ~ zeros", "state m [cols(x)] ~ zeros", "state n ~ ones", "m' = m", "same(x, w)", "return x"]
    (block,) = parse("block b(x) {\n  " + "\n  ".join(body) + "\n}", "s.mlp").definitions
    assert [type(s).__name__ for s in block.body] == ["Param", "Param", "State", "State", "Prime", "Check", "Return"]
    w, v, m, n, prime, *_ = block.body
    assert isinstance(w, Param) and isinstance(v, Param) and isinstance(m, State) and isinstance(n, State) and isinstance(prime, Prime)
    assert (w.dims, v.dims, n.dims) == ((), (), None)
    assert m.dims is not None
    assert [shown(d) for d in m.dims] == ["cols(x)"]
    assert (prime.name.id, prime.name.span.text, prime.span.text) == ("m", "m", "m' = m")


def test_bodies_on_one_line() -> None:
    program = parse('import "a.mlp"\nfn f() { return 3 }\ndata { }\nmodel {}\nupdate u(w, dw,) { w\' = w }\nreport a(b), c = d\n', "o.mlp")
    assert [i.path.text for i in program.imports] == ["a.mlp"]
    assert [d.span.text for d in program.definitions] == ["fn f() { return 3 }", "update u(w, dw,) { w' = w }"]
    assert program.data is not None and program.data.body == ()
    assert program.model is not None and program.model.body == ()
    assert [(a.name.id if a.name else None, a.span.text) for a in program.report] == [(None, "a(b)"), ("c", "c = d")]


def test_documentation() -> None:
    text = "## far\n\n# near\nfn f(x) = x\n## one\n##  two ##\nfn g(x) = x\nfn h(x) = x\n##  of block\nblock b(x) {\n  return x\n}\n"
    assert [d.doc for d in parse(text, "d.mlp").definitions] == ["", "one\ntwo ##", "", "of block"]


# --- places


def test_that_spans_cover_what_is_seen() -> None:
    text = "model {  # a\n\n  h = (a + b) * c  # d\n    |> f(1)\n\n}  # e\n"
    model = parse(text, "p.mlp").model
    assert model is not None
    assert model.span.text == text[: text.index("}") + 1]
    assert model.keyword.span.text == "model"
    (h,) = model.body
    assert (h.span.line, h.span.column) == (3, 3)
    assert h.span.text == "h = (a + b) * c  # d\n    |> f(1)"
    call = getattr(h, "value", None)
    assert isinstance(call, Call) and call.piped
    product = call.args[0].value
    assert isinstance(product, Binary)
    assert [e.span.text for e in walk(product)] == ["(a + b) * c", "(a + b)", "a", "b", "c"]


def test_that_every_span_reads_as_its_node() -> None:
    for text in (NOTEBOOK, IRIS, PENGUINS):
        program = parse(text, "s.mlp")
        for section in (program.data, program.model, program.train):
            assert section is not None
            for statement in section.body:
                value = getattr(statement, "value", None)
                if value is None:
                    continue
                for node in walk(value):
                    again = parse_expression(f"({node.span.text})")
                    assert shown(again) == shown(node)


# --- limits


def test_that_depths_up_to_the_limit_are_allowed() -> None:
    assert shown(parse_expression("(" * 100 + "x" + ")" * 100)) == "x"
    parse_expression(" + ".join("x" * 251))
    for text in ("(" * 101 + "x" + ")" * 101, " + ".join("x" * 252), "-" * 20_000 + "x", "x^" * 20_000 + "x", "x" + " |> f" * 5_000):
        with pytest.raises(MlpcError, match="E0104"):
            parse_expression(text)


def test_that_long_integers_are_kept_as_written() -> None:
    assert shown(parse_expression("0" * 5000 + "1")) == "0" * 5000 + "1"


def test_speed() -> None:
    text = "model {\n" + "  z1 = relu(x @ w1 + b1, k = 3)  # a line\n" * 500 + "}\n"
    parse(text, "warm.mlp")
    fastest = min(elapsed(text) for _ in range(5))
    assert fastest < 0.2


def elapsed(text: str) -> float:
    start = time.process_time()
    parse(text, "speed.mlp")
    return time.process_time() - start


# --- files


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mlp"
    path.write_bytes(b"loss = mean(x)\r\n")
    program = parse(read_file(path), path.name, path)
    assert (program.source.name, program.source.path) == ("a.mlp", path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "iris.mlp").write_text("loss = x")
    big = tmp_path / "big.mlp"
    with big.open("wb") as file:
        file.truncate(9 * 2**20)
    cases = {
        tmp_path / "irsi.mlp": f"{tmp_path / 'irsi.mlp'} does not exist\n   hint: did you mean {tmp_path / 'iris.mlp'}?",
        tmp_path / "no" / "where.mlp": f"{tmp_path / 'no' / 'where.mlp'} does not exist",
        tmp_path: f"{tmp_path} is a folder\n   hint: name the .mlp file in it",
        Path("/dev/null"): "/dev/null is not a regular file",
        tmp_path / "iris.mlp" / "x": f"{tmp_path / 'iris.mlp' / 'x'}: Not a directory",
        tmp_path / ("x" * 300): f"{tmp_path / ('x' * 300)}: File name too long",
        tmp_path / "a\0b": f"{tmp_path}/a<U+0000>b: embedded null byte",
        big: f"{big} has 9,437,184 bytes; 8,388,608 is the most\n   hint: keep data in a file of its own",
    }
    for path, expected in cases.items():
        with pytest.raises(MlpcError) as caught:
            parse(read_file(path), path.name, path)
        text = str(caught.value).partition("more: mlpc explain E0502")[0].rstrip()
        assert text == f"error[E0502]: the file cannot be read\n   {expected}"


def test_lone_surrogates() -> None:
    with pytest.raises(MlpcError) as caught:
        parse("loss = '\udc80'", "s.mlp")
    assert "U+DC80 is a lone surrogate" in str(caught.value)
    str(caught.value).encode()


# --- settings


def test_setting_faults() -> None:
    cases = {
        "": "found the end of the text; needed: a value",
        "1 2": "found `2` after `1`; needed: an operator or the end of the line",
        "(1": "this `(` is not closed before the end of the text",
        "}": "this `}` closes nothing",
        "a = 3": "found `=` after `a`; needed: an operator, `(`, `.` or the end of the line",
        "1e400": "a number is at most 1.7976931348623157e+308",
        "π": "`π` is U+03C0; names are made of the letters a-z, A-Z, digits and `_`",
    }
    for text, expected in cases.items():
        with pytest.raises(MlpcError) as caught:
            parse_expression(text)
        assert [d.message for d in caught.value.diagnostics] == [expected]
        assert caught.value.diagnostics[0].span is not None
        assert caught.value.diagnostics[0].span.source.name == "--set"


# --- any text


PIECES = [
    "data", "model", "train", "loss", "report", "fn", "block", "update", "import", "from", "param", "state", "return", "x", "f", "v'",
    "1", "2.5", ".", "1e400", '"a"', '"', "'", "=", "==", "<", "+", "-", "*", "**", "/", "@", "^", "|>", "~", ":", ",", "(", ")", "[", "]",
    "{", "}", "\n", "\n", " ", "  ", "# c", "## d\n", "if", "for", "lambda", "let", "def", ";", "%", "!", "\\", "−", "²", "λ", "“",
    "\r", "\ufeff", "\0",
]  # fmt: skip


def answer(text: str | bytes) -> Program | MlpcError:
    """A program or the error, its text rendered; whatever else is raised fails the test."""
    try:
        return parse(text, "any.mlp")
    except MlpcError as error:
        assert str(error).startswith("error[E0")
        messages = " ".join(d.message + d.hint for d in error.diagnostics)
        assert not any(t in messages and t not in str(text) for t in ("_NL", "RPAR", "LBRACE", "$END", "PRIMED"))
        for diagnostic in error.diagnostics:
            span = diagnostic.span
            assert span is None or 0 <= span.start <= span.end <= len(span.source.text) + 1
        return error


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80) | st.text(st.characters(max_codepoint=126), max_size=200) | st.binary(max_size=60))
def test_any_text(text: str | bytes) -> None:
    answer(text)


@settings(max_examples=250, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from(["", " "]))
def test_any_soup(pieces: list[str], glue: str) -> None:
    answer(glue.join(pieces))


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from([NOTEBOOK, IRIS, PENGUINS]),
    st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 12), st.sampled_from(["", *PIECES])), min_size=1, max_size=4),
)
def test_any_mutation(text: str, edits: list[tuple[int, int, str]]) -> None:
    for start, length, instead in edits:
        text = text[:start] + instead + text[start + length :]
    answer(text)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["x", "-x", "f(x)", "[1, 2]", "h[:, 1]", "2.5", "a.b"]), st.data())
def test_that_what_is_shown_parses_to_the_same(leaf: str, data: st.DataObject) -> None:
    text = leaf
    for _ in range(data.draw(st.integers(0, 12))):
        shape = data.draw(st.sampled_from(["{} + y", "y - {}", "{} * y", "y ^ {}", "-{}", "f({}, k = 1)", "[{}]", "{} |> g", "({}) < 3"]))
        text = f"({shape.format(text)})"
    expression = parse_expression(text)
    assert shown(parse_expression(shown(expression).replace("|>g", "g"))).replace("|>", "") == shown(expression).replace("|>", "")
