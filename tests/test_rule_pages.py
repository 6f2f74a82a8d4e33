"""Every rewrite, every operation and every word of a derivation has a page, and its examples are what it says of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pytest

from mlpc.compiler.derivation import HOW
from mlpc.compiler.ir import Node, Rules
from mlpc.compiler.ops import TABLE
from mlpc.compiler.pipeline import compile
from mlpc.compiler.plan import Plan
from mlpc.compiler.simplify import LICENCE, RULES
from mlpc.dsl.parse import parse_expression
from mlpc.pages import derivation, gallery, operations, rewrites
from mlpc.pages.example import ASSIGNED, Example, compiled_without, examples, load, only_in, written

from .interpret import run
from .plan_text import transposed, value

NAMES = [rule.__name__ for rule in LICENCE]
EXAMPLES = [(name, e) for name in NAMES for e in examples(rewrites.text_of(name)) if not e.away]
AWAY = [(name, e) for name in NAMES for e in examples(rewrites.text_of(name)) if e.away]


def watched(fired: list[str]) -> Rules:
    """All rewrites, of which each says when it fires."""

    def told(rule: Callable[[Node], Node | None]) -> Callable[[Node], Node | None]:
        @wraps(rule)
        def watching(node: Node) -> Node | None:
            made = rule(node)
            if made is not None:
                fired.append(rule.__name__)
            return made

        return watching

    return {op: tuple(told(rule) for rule in chain) for op, chain in RULES.items()}


def fired_in(model) -> set[str]:
    fired: list[str] = []
    compile(model.program, model.dataset.schema, watched(fired))
    return set(fired)


def random_numbers(*models) -> dict[str, Any]:
    """Random values of the params; the data that any of the models reads as it is."""
    rng = np.random.default_rng(7)
    traces = [(model.plan, model.trace()) for model in models]
    read = {v.name: seen[v.name] for plan, seen in traces for v in plan.values if v.role == "input" and v.name in seen}
    return read | {p.name: rng.normal(size=p.shape) for p in models[0].plan.params}


def numbers_of(plan: Plan, given: dict[str, Any]) -> dict[str, Any]:
    rows = next((len(given[name]) for name in given if name not in {p.name for p in plan.params}), 1)
    registers = run(plan, given, {"N": rows}, "forward", "gradient")
    return {line.target: registers[line.value] for line in (*plan.forward, *plan.gradient)}


# --- rewrites ------------------------------------------------------------------------------------


def test_there_is_a_page_of_every_rewrite_and_no_other() -> None:
    assert sorted(p.name for p in rewrites.FOLDER.iterdir()) == sorted(f"{name}.md" for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_the_statement_why_and_an_example(name: str) -> None:
    text = rewrites.text_of(name)
    assert text.startswith(f"# rewrite {name}\n\n{rewrites.STATEMENTS[name]}\n\n## Why\n\n")
    assert max(map(len, text.split("\n"))) <= 132
    first = examples(text)[0]
    assert first.lines and not first.away


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=lambda p: p if isinstance(p, str) else "")
def test_the_example_has_the_lines_that_the_page_shows_and_only_by_the_rule(name: str, example: Example) -> None:
    model = load(example.text)
    other = compiled_without(model, name)
    assert set(example.lines) <= set(only_in(written(model.plan), written(other.plan)))
    assert name in fired_in(model)
    given = random_numbers(model, other)
    plain, made = numbers_of(other.plan, given), numbers_of(model.plan, given)
    for target in [t for t in made if t in plain and not t.startswith("t")]:
        np.testing.assert_allclose(made[target], plain[target], rtol=1e-12, atol=1e-14, err_msg=target)


@pytest.mark.parametrize(("name", "example"), AWAY, ids=lambda p: p if isinstance(p, str) else "")
def test_where_the_page_says_so_the_rule_stays_away(name: str, example: Example) -> None:
    model = load(example.text)
    last = ASSIGNED.findall(example.text)[-1]
    assert dict(written(compiled_without(model, name).plan))[last] == dict(written(model.plan))[last]
    if "## Fact" in rewrites.text_of(name):
        assert name not in fired_in(model)


def test_the_rewrites_that_need_a_fact_say_so() -> None:
    assert [name for name in NAMES if "## Fact" in rewrites.text_of(name)] == ["rows_sum_to_one", "corrected_root"]


def test_what_fires_over_the_gallery_has_a_page() -> None:
    fired = {name: fired_in(model) for name, model in gallery.gallery().items()}
    assert set().union(*fired.values()) <= set(NAMES)
    changed = gallery.changed_by("rows_sum_to_one")
    assert {name for name, rules in fired.items() if "rows_sum_to_one" in rules} == set(changed)
    assert [(line.id, line.target, line.text) for line in changed["notebook.mlp"]] == [("g1", "dz2", "p - y")]


def test_a_page_counts_without_the_rule() -> None:
    page = rewrites.page("softplus")
    assert page.document["lines"] == [{"target": "v", "text": "softplus(x)"}, {"target": "dx", "text": "sigmoid(x)"}]
    assert page.document["numbers"]["v"][2] == 800
    assert page.document["numbers"]["v without it"][2] == np.inf
    assert "   x   v without it              v\n-800              0              0\n" in page.text
    assert (
        page.text.index("## Without it") < page.text.index("## Not here") < page.text.index("## Licence") < page.text.index("## In the gal")
    )


# --- derivations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", derivation.names())
def test_the_example_of_a_word_has_the_lines_that_the_page_shows(name: str) -> None:
    text = derivation.text_of(name)
    assert text.startswith(f"# derivation: {name}\n\n")
    assert max(map(len, text.split("\n"))) <= 132
    (example,) = examples(text)
    assert example.lines
    assert set(example.lines) <= set(written(load(example.text).plan))


def test_there_is_a_page_of_what_the_lines_of_a_plan_say_of_themselves() -> None:
    assert set(derivation.names()) == set(derivation.MET) | set(HOW)
    assert [line.target for line in gallery.said_to_be("broadcast over batch")["notebook.mlp"]] == ["db2", "db1"]


def test_every_word_of_a_derivation_names_the_lines_of_the_gallery_of_which_it_is_true() -> None:
    def targets(word: str, model: str) -> list[str]:
        return [line["target"] for line in derivation.page(word).document["gallery"].get(f"{model}.mlp", [])]

    assert targets("several readers", "two_heads") == ["dtrunk"]  # both heads read the trunk
    assert targets("several readers", "notebook") == []
    assert targets("bypassed", "notebook") == ["p"]
    assert targets("scalars", "notebook") == ["dz2"]
    assert targets("words", "iris") == ["h"] and targets("factor", "spiral") == ["d(h.dense2.z)", "d(h.dense1.z)"]
    assert targets("choice", "penguins") == ["dyhat"]
    assert "It is met in no line of the gallery." in derivation.page("recomputed").text
    difference = load("model {\n  param z [2, 1] ~ ones\n  param s [2, 1] ~ zeros\n  u = s - exp(z)\n  v = -(u^2) / 2\n}")
    assert [line.target for line in gallery.turned_round({"m": difference})["m"]] == ["du"]


# --- operations ----------------------------------------------------------------------------------


def test_every_operation_has_its_reason_and_a_shape() -> None:
    assert sorted(operations.reasons()) == sorted(TABLE)
    for op, row in TABLE.items():
        if row.kind != "leaf":
            results = [case["result"] for case in operations.shape_table(op)]
            assert any(not r.startswith("refused") for r in results), op
            assert len(results) == len({str(case) for case in operations.shape_table(op)}), op


@pytest.mark.parametrize("op", [op for op, row in TABLE.items() if row.vjp])
def test_the_derivative_as_printed_is_the_slope_of_the_example(op: str) -> None:
    """The text alone, read by the grammar, beside central differences of the numbers; where an operand was repeated it is summed."""
    ran = operations.applied(op)
    row = TABLE[op]
    h = ran.pop("h")
    weights = np.random.default_rng(1).normal(size=h.shape)
    sent = dict(operations.derivative(op).sent)
    assert sent
    for name, x in ran.items():
        if f"d{name}" not in sent:
            continue
        scope = {**ran, "h": h, "dh": weights}
        found = value(parse_expression(transposed(sent[f"d{name}"].replace("ᵀ", "†"))), scope)
        if row.kind == "elementwise":
            found = np.broadcast_to(found, h.shape)
        while found.ndim > np.ndim(x):
            found = found.sum(0)
        expected = np.empty(np.shape(x))
        for i in np.ndindex(np.shape(x)):
            moved = [np.array(v) for v in ran.values()]
            step, place = 1e-6, list(ran).index(name)
            ends = []
            for sign in (1, -1):
                moved[place] = np.array(x)
                moved[place][i] += sign * step
                ends.append(float(np.sum(weights * computed(op, moved, h.shape))))
            expected[i] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def computed(op: str, arrays: list[Any], shape: tuple[int, ...]) -> Any:
    row = TABLE[op]
    assert row.example is not None and row.numpy is not None
    out = {} if row.kind == "view" else {"out": np.empty(shape)}
    return row.numpy(*arrays, **row.example[1], **out)


def test_the_page_of_a_product() -> None:
    text = operations.page("matmul").text
    assert "```plan\nda = dh @ bᵀ\ndb = aᵀ @ dh\n```" in text
    assert "[N, 4]  [4, 3]  [N, 3]\n" in text
    assert "[N, 4]  [3, 4]  refused: `@` needs [N, k] @ [k, m], and 4 is not 3\n" in text
    assert "h  =  [[-2.54, 1.29], [1.28, -0.9]]\n" in text
    assert "notebook.mlp" in text


def test_what_is_known_of_a_result() -> None:
    assert operations.fact_table("softmax") == {"anything": "simplex"}
    assert operations.fact_table("neg") == {}
    assert operations.fact_table("add")["> 0"] == "> 0"
