"""What the house keeps to and no linter knows: which way imports point, how long a file is, what may not be called."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
NOT_SHIPPED = {"tests", "typings", "benchmarks", "docs", "build", "dist"}

LONGEST = 300
LONG_FOR_A_REASON = {
    "dsl/syntax.py": "every form of the language, one after the other: a list, not a program",
}

LAYERS = ["dsl", "compiler", "runtime", "pages", "report", "cli", "editors"]  # each may import itself and what stands left of it
LIBRARIES = {  # every dependency, and the only places that may import it
    "IPython": ("__init__.py", "ipython_magic.py", "compiler/render/page"),  # an extra; the page only for a type
    "lark": ("dsl/",),
    "pygments": ("editors/pygments_lexer",),
    "matplotlib": ("report/pictures.py",),  # an extra
    "msgspec": ("",),  # what every value is made of
    "networkx": ("compiler/", "__init__.py", "model.py"),  # the model only for a type
    "numpy": (
        "runtime/",
        "pages/",
        "report/pictures.py",
        "cli/",
        "__init__.py",
        "compiler/ops",
        "compiler/kernels",
        "compiler/bound",
    ),  # the op table has a NumPy column
    "pyarrow": ("runtime/parquet.py",),  # an extra
    "narwhals": ("runtime/given.py",),  # an extra
    "rich": ("cli/",),
    "safetensors": ("runtime/weights.py",),
    "scipy": ("compiler/kernels",),  # an extra
    "threadpoolctl": ("runtime/", "cli/"),
}
UNSAFE = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
MAY_RUN_CODE = "runtime/kernel.py"  # it compiles the lines of the plan, whose names are its own
MAY_CATCH_ALL = "cli/main.py"  # the one handler that ends in status 70
VAGUE = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}


def ours() -> Iterator[tuple[str, str]]:
    """(path from the root, text) of every .py of the package."""
    folders = (p for p in ROOT.iterdir() if p.is_dir() and p.name not in NOT_SHIPPED and not p.name.startswith((".", "_")))
    for path in sorted([*ROOT.glob("*.py"), *(file for folder in folders for file in folder.rglob("*.py"))]):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def imports(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a file imports, wherever in it; our own without `mlpc.`, our root's as `mlpc`."""
    folder = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1]
            if node.module:
                yield node.lineno, "." + ".".join([*base, node.module])
            else:
                yield from ((node.lineno, "." + ".".join([*base, alias.name])) for alias in node.names)


def import_faults(path: str, text: str) -> Iterator[str]:
    layer = path.split("/")[0] if "/" in path else ""
    above = LAYERS[LAYERS.index(layer) + 1 :] if layer in LAYERS else LAYERS if layer else []
    for line, name in imports(path, ast.parse(text)):
        top = name.split(".")[1] if name.startswith(".") else name.split(".")[0]
        if name.startswith("."):
            is_layer_or_data = (ROOT / top).is_dir()
            if top in above or (layer and layer not in {"pages", "cli"} and not is_layer_or_data):
                yield f"{path}:{line} imports {name}, which stands above {layer}"
        elif top == "mlpc":
            yield f"{path}:{line} imports {name}: inside the package imports are relative"
        elif top in LIBRARIES and not path.startswith(LIBRARIES[top]):
            yield f"{path}:{line} imports {top}, which belongs to {' '.join(LIBRARIES[top])}"
        elif top in UNSAFE:
            yield f"{path}:{line} imports {top}, which runs code from a file"
        elif top not in LIBRARIES and top not in sys.stdlib_module_names:
            yield f"{path}:{line} imports {top}, which is no dependency of mlpc"


def call_faults(path: str, text: str) -> Iterator[str]:
    tree = ast.parse(text)
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    own |= {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name(id=name) if name not in own:
                pass
            case ast.Attribute(value=ast.Name(id="builtins"), attr=name):
                pass
            case _:
                name = ""
        if name in {"eval", "__import__"} or (name in {"exec", "compile"} and path != MAY_RUN_CODE):
            yield f"{path}:{node.lineno} calls {name}()"
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False):
                yield f"{path}:{node.lineno} allows pickle"


def catch_faults(path: str, text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler) and path != MAY_CATCH_ALL:
            caught = [None] if node.type is None else node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}) for kind in caught):
                yield f"{path}:{node.lineno} catches everything"


@pytest.mark.parametrize("rule", [import_faults, call_faults, catch_faults])
def test_the_package_keeps_the_rule(rule) -> None:
    assert [fault for path, text in ours() for fault in rule(path, text)] == []


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (import_faults, "dsl/parse.py", "from ..compiler.plan import Plan"),
        (import_faults, "dsl/parse.py", "import numpy"),
        (import_faults, "compiler/render/text.py", "def f():\n    from ...runtime.data import read"),
        (import_faults, "compiler/render/text.py", "from ... import runtime"),
        (import_faults, "compiler/lower.py", "from numpy.typing import NDArray"),
        (import_faults, "compiler/lower.py", "from .. import load"),
        (import_faults, "compiler/lower.py", "from mlpc.dsl import syntax"),
        (import_faults, "std/__init__.py", "from ..dsl.parse import parse"),
        (import_faults, "runtime/data.py", "import lark.exceptions"),
        (import_faults, "runtime/data.py", "import pickle"),
        (import_faults, "runtime/data.py", "from autograd import grad"),
        (import_faults, "runtime/train.py", "from ..cli import main"),
        (call_faults, "runtime/data.py", "x = eval('1')"),
        (call_faults, "runtime/data.py", "np.load(path, allow_pickle=True)"),
        (call_faults, "runtime/data.py", "np.load(path, allow_pickle=unsure)"),
        (call_faults, "runtime/train.py", "exec('1')"),
        (call_faults, "compiler/lower.py", "import builtins\nbuiltins.compile('1', '', 'eval')"),
        (call_faults, "runtime/kernel.py", "eval('1')"),
        (catch_faults, "runtime/data.py", "try:\n    f()\nexcept Exception:\n    pass"),
        (catch_faults, "runtime/data.py", "try:\n    f()\nexcept:\n    pass"),
        (catch_faults, "cli/run.py", "try:\n    f()\nexcept (OSError, BaseException):\n    pass"),
    ],
)
def test_a_planted_fault_is_found(rule, path: str, text: str) -> None:
    assert len(list(rule(path, text))) == 1


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (import_faults, "compiler/ops.py", "import numpy as np\nfrom .ir import Node\nfrom ..dsl.syntax import Span"),
        (import_faults, "compiler/render/text.py", "from ..plan import Plan\nfrom ...dsl.syntax import Span"),
        (import_faults, "cli/main.py", "from .. import runtime\nfrom ..runtime.data import read\nfrom .. import __version__"),
        (import_faults, "__init__.py", "from .runtime.model import Model\nimport numpy"),
        (call_faults, "runtime/kernel.py", "exec(compile('1', '', 'exec'))"),
        (call_faults, "runtime/model.py", "from ..compiler.pipeline import compile\ncompile(source, schema)"),
        (call_faults, "dsl/lexing.py", "re.compile('a')"),
        (call_faults, "runtime/data.py", "np.load(path, allow_pickle=False)"),
        (catch_faults, "cli/main.py", "try:\n    f()\nexcept Exception:\n    pass"),
        (catch_faults, "runtime/data.py", "try:\n    f()\nexcept (OSError, ValueError):\n    pass"),
    ],
)
def test_what_is_allowed_is_not_a_fault(rule, path: str, text: str) -> None:
    assert list(rule(path, text)) == []


def test_a_module_stays_short() -> None:
    lengths = {path: len(text.splitlines()) for path, text in ours()}
    actual = {path: lines for path, lines in lengths.items() if lines > LONGEST}
    assert {path: lines for path, lines in actual.items() if path not in LONG_FOR_A_REASON} == {}
    assert sorted(LONG_FOR_A_REASON) == sorted(actual), "an exception that is needed no more"


def test_every_folder_is_a_package_that_pyproject_names() -> None:
    folders = {Path(path).parent for path, _ in ours()}
    assert sorted(".".join(["mlpc", *folder.parts]) for folder in folders) == sorted(PACKAGES)
    assert [folder for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()] == []


def test_a_file_is_named_after_what_it_does() -> None:
    assert [path for path, _ in ours() if Path(path).stem in VAGUE] == []


def test_the_house_has_a_room_for_every_module():
    drawn = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    names = sorted(p.stem for folder in ("dsl", "compiler", "runtime") for p in (ROOT / folder).glob("*.py") if p.stem != "__init__")
    assert [n for n in names if f"`{n}`" not in drawn and f"/{n}`" not in drawn] == []
