"""What is built from the tree is the whole package, and imports from anywhere."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = [Path(*name.split(".")[1:]) for name in PROJECT["tool"]["setuptools"]["packages"]]
SHIPPED = {".py", ".lark", ".mlp", ".csv", ".json", ".css", ".typed"}

IMPORT_ALL = """
import importlib, pkgutil, mlpc
print(mlpc.__file__)
for module in pkgutil.walk_packages(mlpc.__path__, "mlpc."):
    if module.name != "mlpc.__main__":
        print(importlib.import_module(module.name).__file__)
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree without what .gitignore names, as a fresh clone would have it."""
    made = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("clean") / "mlpc", symlinks=True, ignore=shutil.ignore_patterns(".git", *made))


@pytest.fixture(scope="module")
def built(clean: Path) -> Path:
    """The folder with the sdist of the clean copy, and the wheel that was built from that sdist; no network is used."""
    dist = clean.parent / "dist"
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(clean)]
    done = subprocess.run(command, cwd=clean.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return dist


def package_files(tree: Path) -> set[str]:
    """Every file of the package's folders that users need, a data set's licence and an error's page too, relative to the package."""
    files = [path for folder in FOLDERS for path in (tree / folder).glob("*") if path.suffix in SHIPPED]
    files += [
        path for pattern in ("models/data/*", "models/parts/*", "dsl/pages/*", "pages/*.md", "pages/*/*.md") for path in tree.glob(pattern)
    ]
    return {path.relative_to(tree).as_posix() for path in files if path.is_file()}


@pytest.fixture(scope="module")
def unpacked(built: Path) -> Path:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(built / "wheel")
    return built / "wheel"


def test_the_wheel_holds_the_package_and_nothing_else(clean: Path, unpacked: Path) -> None:
    expected = package_files(clean)
    actual = {path.relative_to(unpacked / "mlpc").as_posix() for path in (unpacked / "mlpc").rglob("*") if path.is_file()}
    assert {"dsl/syntax.py", "dsl/grammar.lark", "compiler/render/__init__.py", "py.typed"} <= expected
    assert sorted(expected - actual) == []
    assert sorted(actual - expected) == []


def test_the_sdist_holds_the_same_files(clean: Path, built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert sorted((package_files(clean) | {"pyproject.toml", "README.md", "LICENSE"}) - names) == []


def test_every_module_imports_from_an_installed_copy(clean: Path, unpacked: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    command = [sys.executable, "-W", "error", "-c", IMPORT_ALL]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    actual = {Path(line).relative_to(unpacked / "mlpc").as_posix() for line in done.stdout.splitlines()}
    expected = {name for name in package_files(clean) if name.endswith(".py")} - {"__main__.py"}
    assert sorted(expected ^ actual) == []


def test_the_program_of_the_wheel_is_mlpc(unpacked: Path) -> None:
    entry_points = next(unpacked.glob("mlpc-*.dist-info/entry_points.txt")).read_text(encoding="utf-8")
    assert re.search(r"^mlpc = mlpc\.cli\.main:process$", entry_points, re.MULTILINE)
    assert "[pygments.lexers]\nmlpc = mlpc.editors.pygments_lexer:MlpLexer\n" in entry_points


def test_no_name_of_the_root_hides_a_library(clean: Path) -> None:
    """With the root on sys.path (`python -m pytest`), a folder `rich/` with an __init__.py would be imported for rich."""
    mine = {path.parent.name for path in clean.glob("*/__init__.py")} | {path.stem for path in clean.glob("*.py")}
    theirs = {name for name, owners in importlib.metadata.packages_distributions().items() if owners != ["mlpc"]}
    assert {"numpy", "networkx", "lark"} <= theirs
    assert sorted(mine & (theirs | sys.stdlib_module_names) - {"__init__", "__main__"}) == []


def test_the_type_checker_finds_every_folder() -> None:
    links = ROOT / "typings" / "mlpc"
    actual = {path.name: path.resolve().relative_to(ROOT).as_posix() for path in links.iterdir()}
    expected = {folder.parts[0] for folder in FOLDERS if folder.parts} | {"__init__.py"} | {p.name for p in links.glob("*.py")}
    assert actual == {name: name for name in expected}
