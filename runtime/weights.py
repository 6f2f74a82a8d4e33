"""Weights as a file that any reader of safetensors opens: params and model states under their names, and one text beside them.

The text, `mlpc` of the metadata, is a JSON document from which the model is made again. It holds a SHA-256 of itself and one of
the numbers, so that no changed bit is taken for a weight. It is the only entry, since safetensors keeps several in no order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from ..compiler.plan import Plan, Tensor
from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from .atomic import naming, write_file
from .kernel import Array

FORMAT = 1
KEY = "mlpc"
FILE = "weights.safetensors"


class Weights(Struct, frozen=True, eq=False):
    """What a file of weights holds: the document, and name -> array, params and then states in order of declaration."""

    document: dict[str, Any]
    tensors: dict[str, Array]


def save(path: Path, weights: Weights) -> None:
    """Writes the file, which is whole or not there; the same weights give the same bytes. OSError, which names the file."""
    write_file(path, encoded(weights))


def load(path: Path) -> Weights:
    """The weights in a file. MlpcError E0505 for one that is damaged, of another format or without what mlpc needs; OSError."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise fault("E0505", None, f"{path} does not exist", "mlpc run FILE  writes a run's folder, which holds its weights")
    if not path.is_file():
        raise fault("E0505", None, f"{path} is not a regular file", f"name the folder of a run, or its {FILE}")
    try:
        with naming(path), safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors: dict[str, Array] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
    except (SafetensorError, TypeError, AttributeError) as error:  # the last two: numbers of a kind that NumPy has not
        raise _damaged(path, f"damaged, or no safetensors file: {error}") from None
    if text is None:
        raise _damaged(path, "it holds tensors, and not the model that they belong to")
    document = _document(path, text)
    return Weights(document, _declared(path, document, tensors))


def encoded(weights: Weights) -> bytes:
    """The bytes of the file."""
    from safetensors.numpy import save as serialize

    tensors = {name: np.ascontiguousarray(a) for name, a in weights.tensors.items()}
    document = {**weights.document, "tensors_sha256": digest(tensors.values())}
    return serialize(tensors, {KEY: _text({**document, "sha256": _sha256(_text(document).encode())})})


def digest(arrays: Iterable[Array]) -> str:
    """Of the bytes of all, C order, little-endian."""
    return _sha256(b"".join(np.ascontiguousarray(a, a.dtype.newbyteorder("<")).tobytes() for a in arrays))


def refuse_unwritable(plan: Plan) -> None:
    """MlpcError E0207 for the one name that the file has no place for."""
    if any(t.name == "__metadata__" for t in (*plan.params, *plan.model_states)):
        raise fault("E0207", None, "`__metadata__` is a word of the format that weights are kept in", "choose another name for it")


def fitting(plan: Plan, tensors: Mapping[str, Array], whose: str) -> dict[str, Array]:
    """The tensors that a plan begins with, in its precision; MlpcError E0505 with every one that is missing or of another shape.

    `whose` is what a message calls them.
    """
    wanted: tuple[Tensor, ...] = (*plan.params, *plan.model_states)
    faults: list[Diagnostic] = []
    for t in wanted:
        if t.name not in tensors:
            near = ", ".join(tensors) or "nothing"
            faults.append(Diagnostic("E0505", None, f"{whose} has no `{t.name}`, which {plan.title} needs", f"it holds {near}"))
        elif tensors[t.name].shape != t.shape:
            here, there = list(tensors[t.name].shape), list(t.shape)
            faults.append(Diagnostic("E0505", None, f"`{t.name}` is {here} in {whose}, and {there} in {plan.title}",
                                     "the model and its data must be those that the weights were trained for"))  # fmt: skip
    faults += [
        Diagnostic("E0505", None, f"{whose} holds `{name}`, which {plan.title} has not", "the same params and states are needed")
        for name in tensors if name not in {t.name for t in wanted}
    ]  # fmt: skip
    if faults:
        raise MlpcError(*faults)
    return {t.name: tensors[t.name].astype(plan.precision, copy=False) for t in wanted}


def _document(path: Path, text: str) -> dict[str, Any]:
    """What stands beside the tensors, unchanged."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "format" not in found:
        raise _damaged(path, "what stands beside the tensors is not mlpc's")
    if found["format"] != FORMAT:
        message = f"{path} is of format {found['format']}, and this mlpc reads format {FORMAT}"
        raise fault("E0505", None, message, f"it was written by mlpc {found.get('mlpc', 'of another version')}")
    if found.pop("sha256", None) != _sha256(_text(found).encode("utf-8", "surrogatepass")):
        raise _damaged(path, "what stands beside the tensors is not what was written")
    return found


def _declared(path: Path, document: dict[str, Any], tensors: dict[str, Array]) -> dict[str, Array]:
    """The tensors in order of declaration, if all are there and no number was changed."""
    said = [*document["params"], *document["states"]]
    missing = [t["name"] for t in said if t["name"] not in tensors]
    if missing:
        raise _damaged(path, f"there is no tensor {', '.join(f'`{name}`' for name in missing)}")
    found = {t["name"]: tensors[t["name"]] for t in said}
    for t in said:
        array = found[t["name"]]
        if (list(array.shape), array.dtype.name) != (t["shape"], document["precision"]):
            raise _damaged(path, f"`{t['name']}` is {list(array.shape)} {array.dtype}, and was {t['shape']} {document['precision']}")
    if len(found) != len(tensors) or digest(found.values()) != document["tensors_sha256"]:
        raise _damaged(path, "the numbers are not those that were written")
    return found


def _damaged(path: Path, message: str) -> MlpcError:
    return fault("E0505", None, f"{path}: {message}", "mlpc run FILE  writes such a file; a copy of it may be whole")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)
