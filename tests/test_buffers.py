"""The arena: no two live values share a byte, by a checker that knows nothing of how the layout was found."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlpc.compiler.ops import TABLE
from mlpc.compiler.plan import Step, Value
from mlpc.runtime.buffers import ALIGNMENT, assign
from mlpc.runtime.reference import evaluate

ROWS, LEAVES = 3, 2
UNARY, BINARY = ("neg", "exp", "tanh", "sigmoid"), ("add", "sub", "mul", "max")


@st.composite
def programs(draw):
    """Steps over squares [N, 3] (N = 3, so that transposes fit) and rows [3], with the values and a choice of what is kept."""
    values = [Value(i, "", "input", ("N", 3)) for i in range(LEAVES)]
    steps = []
    for _ in range(draw(st.integers(1, 25))):
        op = draw(st.sampled_from((*UNARY, *BINARY, "matmul", "transpose", "alias", "sum", "softmax", "slice")))
        squares = [v.id for v in values if v.shape != (3,)]
        anything = [v.id for v in values]
        number, shape, attrs = len(values), ("N", 3), ()
        if op in BINARY or op == "matmul":
            args = (draw(st.sampled_from(squares)), draw(st.sampled_from(anything if op in BINARY else squares)))
        elif op == "sum":
            args, shape, attrs = (draw(st.sampled_from(squares)),), (3,), (("axes", (0,)), ("keep", False))
        elif op == "slice":
            args, attrs = (draw(st.sampled_from(squares)),), (("axis", 1), ("start", 0), ("stop", 3))
        else:
            args = (draw(st.sampled_from(squares)),)
        values.append(Value(number, "", "inner", shape))
        steps.append(Step(op, args, number, attrs))
    made = [s.out for s in steps]
    return steps, values, draw(st.lists(st.sampled_from(made), min_size=1, max_size=3))


def needed_after(steps, keep):
    """For each step, the registers whose memory is needed once it has run: backwards, from the kept ones."""
    looks_at = {s.out: s.args[0] for s in steps if TABLE[s.op].kind == "view"}

    def owner(register):
        while register in looks_at:
            register = looks_at[register]
        return register

    needed, found = {owner(r) for r in keep}, []
    for step in reversed(steps):
        found.append(set(needed))
        needed |= {owner(a) for a in step.args}
        if step.out not in looks_at:
            needed.discard(step.out)
    return found[::-1]


def size(values, register):
    return 8 * (3 if values[register].shape == (3,) else 3 * ROWS)


@given(programs())
def test_no_two_live_values_share_a_byte(program):
    steps, values, keep = program
    layout = assign(steps, values, keep, ROWS, 8)
    needed = needed_after(steps, keep)
    for step, after in zip(steps, needed, strict=True):
        live = [r for r in after | {step.out} if r in layout.offsets]
        spans = sorted((layout.offsets[r], layout.offsets[r] + size(values, r), r) for r in live)
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False)), (step, spans)
        if step.out not in layout.offsets:
            continue
        start, stop = layout.offsets[step.out], layout.offsets[step.out] + size(values, step.out)
        for operand in step.args:  # an operand that dies here may only be overwritten number by number
            if operand in layout.offsets and start < layout.offsets[operand] + size(values, operand) and layout.offsets[operand] < stop:
                assert TABLE[step.op].inplace
                assert layout.offsets[operand] == start
                assert size(values, operand) == size(values, step.out)


@given(programs())
def test_memory_is_aligned_inside_the_arena_and_never_more_than_without_reuse(program):
    steps, values, keep = program
    layout = assign(steps, values, keep, ROWS, 8)
    assert all(o % ALIGNMENT == 0 and o + size(values, r) <= layout.arena_bytes for r, o in layout.offsets.items())
    assert layout.arena_bytes <= layout.unshared_bytes
    assert set(layout.offsets) == {s.out for s in steps if TABLE[s.op].kind != "view"}


@given(programs(), st.integers(0, 2**32))
def test_nan_in_every_freed_byte_changes_nothing(program, seed):
    steps, values, keep = program
    layout = assign(steps, values, keep, ROWS, 8)
    arena = np.full(layout.arena_bytes // 8, np.nan)
    draws = np.random.default_rng(seed)
    found = {i: draws.normal(size=(ROWS, 3)) for i in range(LEAVES)}
    with np.errstate(all="ignore"):
        expected = evaluate(steps, found, ROWS)
        for step, after in zip(steps, needed_after(steps, keep), strict=True):
            row, attrs = TABLE[step.op], dict(step.attrs)
            assert row.numpy
            if row.kind == "view":
                found[step.out] = row.numpy(*(found[a] for a in step.args), **attrs)
            else:
                start = layout.offsets[step.out] // 8
                count = size(values, step.out) // 8
                found[step.out] = arena[start : start + count].reshape(expected[step.out].shape)
                row.numpy(*(found[a] for a in step.args), out=found[step.out], **attrs)
            freed = np.ones(arena.size, bool)
            for r in after & set(layout.offsets):
                freed[layout.offsets[r] // 8 : (layout.offsets[r] + size(values, r)) // 8] = False
            arena[freed] = np.nan
    for register in keep:
        np.testing.assert_array_equal(found[register], expected[register])


def test_a_chain_runs_in_the_memory_of_one_value():
    steps = [Step("exp", (0,), 1), Step("tanh", (1,), 2), Step("neg", (2,), 3)]
    values = [Value(i, "", "inner", ("N", 8)) for i in range(4)]
    assert assign(steps, values, [3], 2, 8) == assign(steps, values, [3], 2, 8)
    layout = assign(steps, values, [3], 2, 8)
    assert (layout.offsets, layout.arena_bytes, layout.unshared_bytes) == ({1: 0, 2: 0, 3: 0}, 128, 384)


def test_a_view_keeps_what_it_looks_at():
    steps = [Step("exp", (0,), 1), Step("transpose", (1,), 2), Step("tanh", (1,), 3), Step("matmul", (2, 3), 4)]
    values = [Value(i, "", "inner", ("N", 3)) for i in range(5)]
    assert assign(steps, values, [4], 3, 8).offsets == {1: 0, 3: 128, 4: 256}


def test_an_operand_that_is_also_read_through_a_view_is_not_overwritten():
    steps = [Step("exp", (0,), 1), Step("transpose", (1,), 2), Step("add", (1, 2), 3)]
    values = [Value(i, "", "inner", ("N", 3)) for i in range(4)]
    layout = assign(steps, values, [3], 3, 8)
    assert layout.offsets[3] != layout.offsets[1]


def test_what_lives_elsewhere_takes_nothing():
    steps = [Step("exp", (0,), 1), Step("tanh", (1,), 2)]
    values = [Value(i, "", "inner", ("N", 3)) for i in range(3)]
    assert assign(steps, values, [2], 3, 8, elsewhere=[1]).offsets == {2: 0}
