"""An absent tool skips and is counted at the end; where it is asked for it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
def test_one(needs): needs("no-such-tool")
def test_two(needs): needs("no-such-tool")
def test_three(needs): needs("numpy")
"""


@pytest.mark.parametrize(
    ("required", "status", "counts", "absent"),
    [
        ("", 0, "1 passed, 2 skipped", ["absent: no-such-tool, which cost 2 tests"]),
        ("chromium", 0, "1 passed, 2 skipped", ["absent: no-such-tool, which cost 2 tests"]),
        ("chromium,no-such-tool", 1, "2 failed, 1 passed", []),
        ("all", 1, "2 failed, 1 passed", []),
    ],
)
def test_an_absent_tool(tmp_path: Path, required: str, status: int, counts: str, absent: list[str]) -> None:
    (tmp_path / "conftest.py").symlink_to(Path(__file__).with_name("conftest.py"))
    (tmp_path / "test_tools.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--import-mode=importlib"]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "MLPC_REQUIRE": required}, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == status, done.stdout
    assert counts in lines[-1]
    assert [line for line in lines if line.startswith("absent: ")] == absent
    assert lines[-1 - len(absent) : -1] == absent or not absent
