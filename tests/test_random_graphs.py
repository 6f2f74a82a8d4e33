"""Random programs through the reverse sweep, against autograd; and that planted faults do not come through."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mlpc.compiler import autodiff
from mlpc.compiler.autodiff import gradients
from mlpc.compiler.cotangents import Scalar
from mlpc.compiler.ops import TABLE, ShapeError, call
from mlpc.compiler.simplify import NAMES, RULES

from .interpret import evaluate
from .random_graphs import MEANING, TOLERANCE, deviation, expected_at_nodes, expected_gradients, features_of, generate, to_nodes

GRAPHS = 2000
FEATURES = ["fan-out", "reuse", "diamonds", "dead branches", "broadcasts", "one row", "named values", "one-hot or soft targets"]


def test_every_operation_with_a_gradient_has_a_meaning_of_its_own():
    """But those whose gradients `test_embedding.py` and `test_ops.py` hold: no random program has them."""
    assert {name for name, row in TABLE.items() if row.vjp} - {*MEANING} == {"gather", "scatter_add", "pad"}


@functools.lru_cache(maxsize=500)
def reference(seed):
    """A program and its gradients by autograd."""
    program = generate(seed)
    with np.errstate(all="ignore"):
        return program, expected_gradients(program)


def worst(seed, rules=RULES, at_nodes=True):
    """The largest deviation of any gradient of a random program."""
    program, expected = reference(seed)
    nodes, leaves, names = to_nodes(program, rules)
    params = {i: nodes[i] for i in expected}
    loss = nodes[program.loss]
    if not loss.args and loss not in params.values():
        return max(deviation(np.zeros_like(x), x) for x in expected.values())
    found = gradients(loss, params.values(), names)
    adjoints = list(found)
    arrays = dict(zip(adjoints, evaluate([found[n].node for n in adjoints], leaves, program.rows), strict=True))
    errors = [deviation(arrays.get(node, np.zeros(node.shape)), expected[i]) for i, node in params.items()]
    named = [n for n in adjoints if n in names]
    if at_nodes and named:
        at = expected_at_nodes(loss, named, leaves, program.rows)
        errors += [deviation(arrays[n], at[n]) for n in named]
    return max(errors)


def campaign(seeds):
    seen: Counter[str] = Counter()
    found: dict[int, float] = {}
    for seed in seeds:
        found[seed] = worst(seed)
        seen += features_of(reference(seed)[0])
    print(
        f"{len(found)} graphs: " + ", ".join(f"{name} {seen[name]}" for name in FEATURES) + f"; largest deviation {max(found.values()):.1e}"
    )
    assert all(seen[name] >= len(found) // 20 for name in FEATURES), "a feature is hardly met"
    assert not {seed: error for seed, error in found.items() if error > TOLERANCE}


def test_gradients_of_random_programs_are_autograds():
    campaign(range(GRAPHS))


@pytest.mark.parametrize("seed", [1781632458230])  # a loss that is a param itself, of which the gradient was 0
def test_gradients_of_programs_that_were_wrong_once(seed):
    assert worst(seed) <= TOLERANCE


@pytest.mark.campaign
def test_gradients_of_more_random_programs(seed):
    campaign(range(10_000 * seed + GRAPHS, 10_000 * seed + GRAPHS + 10_000))


def test_without_any_rule_they_are_the_same():
    assert max(worst(seed, {}) for seed in range(200)) <= TOLERANCE


def test_every_rule_takes_part():
    """All but `chosen`, as a condition that is constant is folded before it is a node, `gather`, as no program has indices, and those of updates."""
    fired: set[str] = set()
    for seed in range(1000):
        program, expected = reference(seed)
        nodes, _, names = to_nodes(program, RULES)
        gradients(nodes[program.loss], [nodes[i] for i in expected], names)
        fired |= {rule for rule, _ in nodes[0].ir.fired}
    assert fired == set(NAMES) - {"chosen", "gather", "numbers_first", "corrected_root"}


# --- planted faults ------------------------------------------------------------------------------

PLAIN_COMBINE, PLAIN_UNBROADCAST, PLAIN_PUT_BACK = autodiff.combine, autodiff.unbroadcast, autodiff.put_back


def half_of_the_readers(terms, *rest):
    """Fan-out that forgets all readers but one."""
    return PLAIN_COMBINE(terms[:1], *rest)


def without_signs(terms, *rest):
    return PLAIN_COMBINE([replace(t, scalar=replace(t.scalar, number=abs(t.scalar.number))) for t in terms], *rest)


def first_scalar_for_all(terms, *rest):
    return PLAIN_COMBINE([replace(t, scalar=terms[0].scalar) for t in terms], *rest)


def forgets_n(scalar, node, *rest):
    return PLAIN_PUT_BACK(Scalar(scalar.number), node, *rest)


def multiplies_by_n(scalar, node, *rest):
    return PLAIN_PUT_BACK(Scalar(scalar.number, abs(scalar.rows)), node, *rest)


def forgets_the_number(scalar, node, *rest):
    return PLAIN_PUT_BACK(Scalar(Fraction(-1 if scalar.negative else 1), scalar.rows), node, *rest)


def means_over_the_batch(part, arg):
    made = PLAIN_UNBROADCAST(part, arg)
    return made / 2 if made is not part else made


def keeps_the_broadcast(part, arg):
    return part


def largest_instead_of_sum(part, arg):
    lead = len(part.shape) - len(arg.shape)
    if lead > 0 and part.shape[lead:] == arg.shape:
        return call("max_over", part, axes=tuple(range(lead)), keep=False)
    return PLAIN_UNBROADCAST(part, arg)


def fires_without_the_fact(n):
    """sum(v, axis = features)  ->  1, whatever v is."""
    return call("broadcast", n.ir.const(1), shape=n.shape) if n.attr("keep") and n.attr("axes") == (len(n.args[0].shape) - 1,) else None


def shifts_by_anything(n):
    """softmax(z - x)  ->  softmax(z)."""
    z = n.args[0]
    return call("softmax", z.args[0]) if z.op == "sub" and z.args[0].shape == z.shape else None


def everything(x):
    return call("sum", x, axes=tuple(range(len(x.shape))), keep=False)


def first_columns(g, part):
    return call("slice", g, axis=len(g.shape) - 1, start=0, stop=part.shape[-1])


VJPS: dict[str, tuple[str, Callable[..., Any]]] = {
    "neg: sign": ("neg", lambda g, out, x: (g,)),
    "sub: sign of the second": ("sub", lambda g, out, a, b: (g, g)),
    "add: forgets the second": ("add", lambda g, out, a, b: (g, None)),
    "mul: swapped operands": ("mul", lambda g, out, a, b: (g * a, g * b)),
    "div: sign": ("div", lambda g, out, a, b: (g / b, g * out / b)),
    "div: a instead of the quotient": ("div", lambda g, out, a, b: (g / b, -(g * a / b))),
    "pow: exponent one too high": ("pow", lambda g, out, x, n: (g * (n * x**n), None)),
    "pow: factor": ("pow", lambda g, out, x, n: (g * x ** (n - 1), None)),
    "max: sides swapped": ("max", lambda g, out, a, b: (g * call("le", a, b), g * call("gt", a, b))),
    "abs: no sign": ("abs", lambda g, out, x: (g,)),
    "exp: of the argument": ("exp", lambda g, out, x: (g * x,)),
    "log: product": ("log", lambda g, out, x: (g * x,)),
    "sqrt: factor": ("sqrt", lambda g, out, x: (g / out,)),
    "tanh: no square": ("tanh", lambda g, out, x: (g * (1 - out),)),
    "cos: sign": ("cos", lambda g, out, x: (g * call("sin", x),)),
    "sin: sine": ("sin", lambda g, out, x: (g * out,)),
    "erf: factor": ("erf", lambda g, out, x: (g * call("exp", -(x**2)),)),
    "sigmoid: sign within": ("sigmoid", lambda g, out, x: (g * out * (1 + out),)),
    "softplus: mirrored": ("softplus", lambda g, out, x: (g * call("sigmoid", -x),)),
    "softmax: diagonal alone": ("softmax", lambda g, out, z: (out * (1 - out) * g,)),
    "softmax: wrong axis": ("softmax", lambda g, out, z: (out * (g - call("sum", g * out, axes=(0,), keep=True)),)),
    "log_softmax: sum of targets taken for 1": ("log_softmax", lambda g, out, z: (g - call("softmax", z),)),
    "logsumexp: not normalised": ("logsumexp", lambda g, out, x: (call("exp", x),)),
    "log1p: of x": ("log1p", lambda g, out, x: (g / x,)),
    "expm1: its own output": ("expm1", lambda g, out, x: (g * out,)),
    "where: sides swapped": ("where", lambda g, out, c, a, b: (None, call("where", c, 0, g), call("where", c, g, 0))),
    "matmul: missing transpose": ("matmul", lambda g, out, a, b: (g @ b, a.T @ g)),
    "matmul: factor": ("matmul", lambda g, out, a, b: (g @ b.T, a.T @ g / 2)),
    "max over an axis: everyone gets it": ("max_over", lambda g, out, x: (call("broadcast", everything(g), shape=x.shape),)),
    "slice: put back at the start": ("slice", lambda g, out, x: (call("pad", g, axis=out.attr("axis"), start=0, size=x.shape[-1]),)),
    "concat: everyone gets the first columns": ("concat", lambda g, out, *parts: tuple(first_columns(g, p) for p in parts)),
}  # fmt: skip
SWEEPS: dict[str, tuple[str, Callable[..., Any]]] = {
    "dropped accumulation": ("combine", half_of_the_readers),
    "accumulation without signs": ("combine", without_signs),
    "accumulation of different scalars": ("combine", first_scalar_for_all),
    "1/N forgotten": ("put_back", forgets_n),
    "N instead of 1/N": ("put_back", multiplies_by_n),
    "factors forgotten": ("put_back", forgets_the_number),
    "half of what was broadcast": ("unbroadcast", means_over_the_batch),
    "not summed back": ("unbroadcast", keeps_the_broadcast),
    "largest instead of sum": ("unbroadcast", largest_instead_of_sum),
}
REWRITES: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "rows sum to one without the fact": ("sum", "rows_sum_to_one", fires_without_the_fact),
    "softmax shifted by a row": ("softmax", "shift", shifts_by_anything),
}


def caught(rules=RULES):
    """The first graph of 500 whose gradients show a fault: a wrong number, or none at all."""
    with np.errstate(all="ignore"):
        for seed in range(500):
            try:
                if not worst(seed, rules, at_nodes=False) <= TOLERANCE:
                    return seed
            except (ShapeError, ValueError):  # shapes that do not fit
                return seed
    return None


def test_without_a_fault_nothing_is_caught():
    assert caught() is None


@pytest.mark.parametrize("fault", VJPS)
def test_a_wrong_row_is_caught(fault, monkeypatch):
    op, vjp = VJPS[fault]
    monkeypatch.setitem(TABLE, op, replace(TABLE[op], vjp=vjp))
    assert caught() is not None


@pytest.mark.parametrize("fault", SWEEPS)
def test_a_wrong_sweep_is_caught(fault, monkeypatch):
    function, wrong = SWEEPS[fault]
    monkeypatch.setattr(autodiff, function, wrong)
    assert caught() is not None


@pytest.mark.parametrize("fault", REWRITES)
def test_a_wrong_rule_is_caught(fault):
    op, rule, wrong = REWRITES[fault]
    rules = dict(RULES) | {op: tuple(wrong if r.__name__ == rule else r for r in RULES[op])}
    assert caught(rules) is not None
