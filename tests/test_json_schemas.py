"""What the commands write with --json is what docs/*.schema.json say, which say it of every key."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from mlpc.cli.main import main

ROOT = Path(__file__).parents[1]
MODELS = sorted((ROOT / "models").glob("*.mlp"))
IRIS = ROOT / "models" / "iris.mlp"
SCHEMAS: dict[str, Any] = {p.name: json.loads(p.read_text("utf-8")) for p in sorted((ROOT / "docs").glob("*.schema.json"))}
REGISTRY: Any = Registry().with_resources((name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items())
FILES = {
    "iris": "iris.csv", "penguins": "penguins.csv", "diabetes": "diabetes.csv", "digits": "digits.npz", "spiral": "spiral.csv",
    "two_heads": "penguins.csv", "wide_and_deep": "penguins.csv", "autoencoder": "digits.npz",
}  # fmt: skip

Ask = Callable[..., dict[str, Any]]


def faults(name: str, found: Any, part: str = "") -> list[str]:
    """What is wrong with a document by a schema, or by one of its parts."""
    schema = {"$ref": f"{name}.schema.json" + (f"#/$defs/{part}" if part else "")}
    return [f"{e.json_path}: {e.message}" for e in Draft202012Validator(schema, registry=REGISTRY).iter_errors(found)]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """ask("run", FILE, ...) -> what the command writes with --json."""

    def asked(*words: object, status: int = 0) -> dict[str, Any]:
        assert main([*map(str, words), "--json"]) == status
        return json.loads(capsys.readouterr().out)

    return asked


def properties(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, schema) of every key that the schema speaks of."""
    if isinstance(schema, dict):
        for key, inner in schema.get("properties", {}).items():
            yield f"{path}.{key}", inner
        for key, inner in schema.items():
            yield from properties(inner, f"{path}.{key}")
    elif isinstance(schema, list):
        for i, inner in enumerate(schema):
            yield from properties(inner, f"{path}[{i}]")


def test_there_is_one_for_each_of_these() -> None:
    assert sorted(SCHEMAS) == [f"{n}.schema.json" for n in ("check", "diff", "evaluate", "plan", "predict", "run", "trace")]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_tells_of_every_key(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    told = list(properties(SCHEMAS[name]))
    assert len(told) >= 6
    for where, inner in told:
        named: Any = REGISTRY.resolver(name).lookup(inner["$ref"]).contents if "$ref" in inner else {}
        assert "description" in {**named, **inner}, where


# --- the gallery -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_check_and_trace(path: Path, ask: Ask) -> None:
    assert faults("check", ask("check", path)) == []
    found = ask("trace", path, "--no-check", "--step", "2", "--set", "train.batch=2")
    for value in found["values"]:
        if isinstance(value["value"], list):
            value["value"] = value["value"][:1]  # the first row speaks for the others, of which there are 100,000 numbers
    assert faults("trace", found) == []


def test_a_trace_beside_differences(ask: Ask) -> None:
    found = ask("trace", IRIS, "--set", "train.batch=3")
    assert faults("trace", found) == []
    assert {"d(h.W)", "d(h.b)", "d(p.W)", "d(p.b)"} <= {v["name"] for v in found["values"] if "differences" in v}


@pytest.mark.parametrize(("before", "after"), [*zip(MODELS, MODELS[1:], strict=False), (MODELS[0], MODELS[0])], ids=lambda p: p.stem)
def test_diff(before: Path, after: Path, ask: Ask) -> None:
    found = ask("diff", before, after)
    assert faults("diff", found) == []
    assert found["same"] == (before == after)


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_run_predict_and_evaluate(path: Path, ask: Ask, tmp_path: Path) -> None:
    few = ("--set", "train.epochs=2") if "epochs" in path.read_text("utf-8") else ("--max-time", "1s")
    run = tmp_path / "run"
    done = ask("run", path, *few, "--out", run, "--every", "1")
    assert faults("run", done, "run") == faults("run", done) == []
    assert json.loads((run / "run.json").read_text("utf-8")) == done
    if path.stem not in FILES:
        return
    data = ROOT / "models" / "data" / FILES[path.stem]
    found = ask("predict", run, data)
    assert faults("predict", found) == []
    assert found["rows"] == len(found["predictions"][found["columns"][0]])
    assert faults("predict", ask("predict", run, data, "-o", tmp_path / "out.csv")) == []
    assert faults("evaluate", ask("evaluate", run, data)) == []


# --- what else `run` writes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "options", "status", "keys"),
    [
        ("run", ("--no-out", "--watch", "dh", "--set", "train.epochs=2"), 0, {"watch"}),
        ("run", ("--no-out", "--set", "train.optimizer.lr=1e160", "--every", "1"), 3, {"not_finite", "history"}),
        ("folds", ("--no-out", "--folds", "3", "--set", "train.epochs=2"), 0, {"folds", "mean", "sd"}),
        ("overfit", ("--overfit", "8"), 0, {"overfit"}),
        ("rehearsal", ("--dry-run",), 0, {"memory", "first_loss"}),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, tuple) else None,
)
def test_other_runs(part: str, options: tuple[str, ...], status: int, keys: set[str], ask: Ask) -> None:
    found = ask("run", IRIS, *options, status=status)
    assert faults("run", found, part) == faults("run", found) == []
    assert keys <= {*found}


def test_the_run_of_a_loss_that_overflows_at_once_has_words_for_its_numbers(ask: Ask) -> None:
    found = ask("run", IRIS, "--no-out", "--set", "train.optimizer.lr=1e160", "--set", "train.epochs=2", "--on-nan", "warn", "--every", "1")
    assert faults("run", found, "run") == []
    assert "NaN" in json.dumps(found["loss"])


# --- a document that is not one -----------------------------------------------------------------------------------


def objects(found: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(found, dict):
        yield found
        for value in found.values():
            yield from objects(value)
    elif isinstance(found, list):
        for value in found:
            yield from objects(value)


@pytest.mark.parametrize("name", ["check", "trace", "diff"])
def test_a_key_more_or_less_is_a_fault(name: str, ask: Ask) -> None:
    notebook = ROOT / "models" / "notebook.mlp"
    found = ask(name, *([IRIS, notebook] if name == "diff" else [notebook]))
    free = {"differences", "param", "applies_to", "over_all"}  # absent where they say nothing
    kinds = {frozenset(place): i for i, place in enumerate(objects(found))}
    for keys, i in kinds.items():
        more = copy.deepcopy(found)
        list(objects(more))[i]["secret"] = 1
        assert faults(name, more), keys
        for key in sorted(keys - free):
            less = copy.deepcopy(found)
            del list(objects(less))[i][key]
            assert faults(name, less), (keys, key)
