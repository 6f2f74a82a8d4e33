"""Initialisers: fixed ones exactly, random ones by their moments, bounds and streams."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlpc.compiler.initializers import SIGNATURES
from mlpc.compiler.plan import ParamSpec
from mlpc.dsl.diagnostics import MlpcError
from mlpc.runtime.init import INITIALIZERS, draw, fans, generator


def param(name, init, *args, shape=(2, 3)):
    return ParamSpec(name, shape, init, args, "", 0, None)


def test_every_signature_is_drawn_and_nothing_else():
    assert list(INITIALIZERS) == list(SIGNATURES)


@pytest.mark.parametrize(
    ("init", "args", "expected"),
    [("zeros", (), [0, 0]), ("ones", (), [1, 1]), ("constant", (0.5,), [0.5, 0.5]), ("values", (((1, 2),),), [1, 2])],
)
def test_fixed_numbers(init, args, expected):
    assert draw([param("w", init, *args, shape=(1, 2))], 0).tolist() == expected


@pytest.mark.parametrize(
    ("init", "args", "mean", "deviation", "low", "high"),
    [
        ("normal", (2.0, 0.5), 2.0, 0.5, -math.inf, math.inf),
        ("normal", (), 0.0, 1.0, -math.inf, math.inf),
        ("uniform", (-1.0, 3.0), 1.0, 4 / math.sqrt(12), -1.0, 3.0),
        ("glorot_normal", (), 0.0, math.sqrt(2 / 600), -math.inf, math.inf),
        ("glorot_uniform", (), 0.0, math.sqrt(2 / 600), -math.sqrt(6 / 600), math.sqrt(6 / 600)),
        ("he_normal", (), 0.0, math.sqrt(2 / 200), -math.inf, math.inf),
        ("he_uniform", (), 0.0, math.sqrt(2 / 200), -math.sqrt(6 / 200), math.sqrt(6 / 200)),
        ("lecun_normal", (), 0.0, math.sqrt(1 / 200), -math.inf, math.inf),
        ("orthogonal", (), 0.0, math.sqrt(1 / 400), -1.0, 1.0),
    ],
)
@pytest.mark.parametrize("rng", ["default", "legacy"])
def test_moments_and_bounds(init, args, mean, deviation, low, high, rng):
    found = draw([param("w", init, *args, shape=(200, 400))], 0, rng)
    assert found.mean() == pytest.approx(mean, abs=5 * deviation / math.sqrt(80_000))
    assert found.std() == pytest.approx(deviation, rel=0.02)
    assert low <= found.min() and found.max() <= high


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
@pytest.mark.parametrize("rng", ["default", "legacy"])
def test_orthogonal_is(shape, rng):
    w = draw([param("w", "orthogonal", shape=shape)], 1, rng).reshape(shape)
    short = w @ w.T if shape[0] <= shape[1] else w.T @ w
    np.testing.assert_allclose(short, np.eye(min(shape)), atol=1e-14)
    row = draw([param("w", "orthogonal", shape=(6,))], 1, rng)
    assert np.linalg.norm(row) == pytest.approx(1)


def test_fans_of_a_number_a_row_and_a_matrix():
    assert [fans(()), fans((5,)), fans((4, 16))] == [(1, 1), (5, 5), (4, 16)]


def test_renaming_or_adding_a_param_moves_no_other():
    alone = draw([param("b", "normal")], 3)
    assert draw([param("a", "normal"), param("b", "normal")], 3)[6:].tolist() == alone.tolist()
    assert draw([param("c", "uniform"), param("b", "normal")], 3)[6:].tolist() == alone.tolist()
    assert draw([param("c", "normal")], 3).tolist() != alone.tolist()
    assert draw([param("b", "normal")], 4).tolist() != alone.tolist()


def test_legacy_is_numpys_own_stream_in_order_of_declaration():
    state = np.random.RandomState(42)
    expected = [*(0.0 + 0.1 * state.randn(2, 3)).ravel(), *np.zeros(3), *(-1 + 2 * state.rand(3))]
    params = [param("w", "normal", 0.0, 0.1), param("b", "zeros", shape=(3,)), param("u", "uniform", -1.0, 1.0, shape=(3,))]
    assert draw(params, 42, "legacy").tolist() == expected


def test_a_seed_that_numpys_legacy_stream_does_not_take():
    with pytest.raises(MlpcError, match="below 2\\^32"):
        draw([param("w", "normal")], 2**32, "legacy")
    assert draw([param("w", "normal")], 2**53).size == 6


def test_drawing_leaves_numpys_global_stream_alone():
    np.random.seed(0)
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()
    draw([param("w", "normal")], 0, "legacy")
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before


def test_purposes_have_streams_of_their_own():
    assert generator(0, "shuffle").random() != generator(0, "param:shuffle").random()


def test_no_params_and_numbers_alone():
    assert draw([], 0).tolist() == []
    assert draw([param("s", "normal", shape=())], 0, "legacy").shape == draw([param("s", "normal", shape=())], 0).shape == (1,)
