"""`mlpc plan --json` is what docs/plan.schema.json says; that it says it of every key is in test_json_schemas.py."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mlpc.cli.main import main

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "docs" / "plan.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
MODELS = sorted((ROOT / "models").glob("*.mlp"))
STATEFUL = """data {
  x = [[1, 2], [3, 4], [5, 7], [6, 1]]
  y = [1, 2, 4, 5]
}
model {
  p = dense(batch_norm(x), 1)
}
loss = mean(mse(p, y))
train {
  optimizer = adam(lr = 0.01)
  epochs = 3
  clip = norm(1.0)
}
"""


@pytest.fixture
def document(capsys: pytest.CaptureFixture[str]):
    """document(FILE, "--prediction") -> what plan --json writes."""

    def ask(path: Path, *options: str) -> dict[str, Any]:
        assert main(["plan", str(path), "--json", *options]) == 0
        return json.loads(capsys.readouterr().out)

    return ask


def faults(found: Any) -> list[str]:
    return [f"{e.json_path}: {e.message}" for e in VALIDATOR.iter_errors(found)]


@pytest.mark.parametrize("options", [(), ("--prediction",)])
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_the_documents_of_the_gallery_are_what_the_schema_says(path: Path, options: tuple[str, ...], document) -> None:
    found = document(path, *options)
    assert faults(found) == []
    assert found["inputs"]
    assert ("settings" in found, "update_names" in found) == (not options, not options)


def test_states_and_clipping_are_in_the_schema(tmp_path: Path, document) -> None:
    path = tmp_path / "stateful.mlp"
    path.write_text(STATEFUL, "utf-8")
    found = document(path)
    assert faults(found) == []
    assert [s["becomes"] is None for s in found["state"]] == [False, False]
    assert any(line["over_all"] for line in found["update"])
    assert found["update_names"] == {"param": "w", "gradient": "dw"}
    assert found["update_state"] == [{"name": "m", "init": 0.0}, {"name": "v", "init": 0.0}]
    assert faults(document(path, "--prediction")) == []


def test_a_key_that_is_not_told_of_is_a_fault(document) -> None:
    found = document(ROOT / "models" / "notebook.mlp")
    for place in (lambda d: d, *(lambda d, k=k: d[k][0] for k in ("inputs", "params", "forward", "gradient", "update", "settings"))):
        more = copy.deepcopy(found)
        place(more)["secret"] = 1
        assert len(faults(more)) == 1
        for key in place(found):
            less = copy.deepcopy(found)
            del place(less)[key]
            assert faults(less) or key in {"settings", "facts", "memory", "flops", "threads", "update_names", "update_state"}, key


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("forward", "id", "x1"),
        ("gradient", "shape", ["M", 3]),
        ("update", "line", 0),
        ("forward", "kept", 1),
        ("gradient", "needs", ["y", "y"]),
    ],
)
def test_a_value_that_is_not_meant_is_a_fault(section: str, key: str, value: object, document) -> None:
    found = document(ROOT / "models" / "notebook.mlp")
    found[section][0][key] = value
    assert len(faults(found)) == 1
