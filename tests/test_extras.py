"""erf is SciPy's, which an extra installs: asked for before anything runs, named where it is missing, and not imported in vain."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.compiler.ops import TABLE
from mlpc.dsl.diagnostics import MlpcError

MODEL = """block mine(x) {
  h = gelu(x)       # not here: where the user asks for it
  return h
}
data {
  x = [[1, 2], [3, 4]]
}
model {
  a = dense(x, 2, gelu)   # two layers
  b = mine(a)
}
loss = mean(b) + erf(sum(params))
train {
  optimizer = sgd(lr = 0.1)
  steps = 2
}
"""
MISSING = """error[E0504]: a library is not installed                                               model.mlp:9:3
    9 |   a = dense(x, 2, gelu)   # two layers
      |   ^^^^^^^^^^^^^^^^^^^^^
   this needs `erf`, which scipy computes, and scipy is not installed
   hint: pip install 'mlpc[scipy]'                                          more: mlpc explain E0504

error[E0504]: a library is not installed                                              model.mlp:10:3
   10 |   b = mine(a)
      |   ^^^^^^^^^^^
   this needs `erf`, which scipy computes, and scipy is not installed
   hint: pip install 'mlpc[scipy]'                                          more: mlpc explain E0504

error[E0504]: a library is not installed                                              model.mlp:12:1
   12 | loss = mean(b) + erf(sum(params))
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   this needs `erf`, which scipy computes, and scipy is not installed
   hint: pip install 'mlpc[scipy]'                                          more: mlpc explain E0504"""


@pytest.fixture
def without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(n for n in sys.modules if n.partition(".")[0] == "scipy"), "scipy", "scipy.special"]:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("start", [lambda m: m.train(), lambda m: m.trace(), lambda m: m.check()], ids=["train", "trace", "check"])
def test_every_line_that_needs_the_library_is_named_before_anything_runs(start, without_scipy):
    model = mlpc.loads(MODEL)
    assert "erf(" in "".join(line.text for line in model.plan.forward), "a plan needs no library"
    with pytest.raises(MlpcError) as caught:
        start(model)
    assert str(caught.value) == MISSING


def test_with_it_the_same_model_trains():
    assert math.isfinite(mlpc.loads(MODEL).train().history[-1]["loss"]["train"])


def test_explain_says_in_place_of_a_picture_what_it_needs(without_scipy, capsys):
    assert main(["explain", "gelu"]) == 0
    assert capsys.readouterr().out.endswith(
        "  fn gelu(x) = x * (1 + erf(x / sqrt(2))) / 2\n\n"
        "this needs `erf`, which scipy computes, and scipy is not installed; its derivative and picture need it: "
        "pip install 'mlpc[scipy]'\n"
    )


def test_scipy_is_imported_for_erf_alone():
    code = "import sys, mlpc; mlpc.load(sys.argv[1]).train(); print('scipy' in sys.modules)"
    model = Path(__file__).parents[1] / "models/xor.mlp"
    assert subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erf_is_that_of_the_c_library_and_may_write_over_its_operand(dtype):
    x = np.linspace(-6, 6, 2001, dtype=dtype)
    expected = np.array([math.erf(v) for v in x.tolist()])
    out = np.empty_like(x)
    kernel = TABLE["erf"].numpy
    assert kernel is not None and kernel(x, out=out) is out
    np.testing.assert_allclose(out, expected, rtol=2 * float(np.finfo(dtype).eps), atol=0)
    kernel(x, out=x)
    np.testing.assert_array_equal(x, out)


def test_every_library_of_an_operation_has_its_extra():
    import tomllib

    extras = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for op, row in TABLE.items():
        if row.library:
            name = row.library.partition(".")[0]
            assert any(wanted.startswith(name) for wanted in extras[name]), op
            assert any(wanted.startswith(name) for wanted in extras["test"]), op
