"""Every bad program of tests/bad/<area> is answered with exactly the text that stands beside it.

What those of imports/ import lies in imports/parts.

A new one: write `name.mlp`, run `MLPC_PIN=1 pytest tests/test_bad.py`, and read `name.txt` with the eyes of its user.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import mlpc
from mlpc.dsl.diagnostics import MlpcError

FOLDER = Path(__file__).parent / "bad"
PROGRAMS = sorted(FOLDER.glob("*/*.mlp"))
AREAS = {"syntax": 30, "names": 60, "shapes": 45, "loss": 15, "settings": 35, "data": 40, "definitions": 35, "imports": 20, "sizes": 12}
HEAD = re.compile(r"error\[(E\d{4})\]: [^\n]+")


def diagnosed(program: Path) -> str:
    """What a user reads; anything but an MlpcError is a traceback, and fails here."""
    with pytest.raises(MlpcError) as caught:
        mlpc.load(program)
    assert caught.value.status == 1
    return re.sub(r"(std/\w+\.mlp):\d+", r"\1:*", str(caught.value)) + "\n"  # where std says it moves as std grows


def test_that_every_text_has_its_program() -> None:
    assert sorted(p.with_suffix("") for p in FOLDER.glob("*/*.txt")) == [p.with_suffix("") for p in PROGRAMS]
    for area, least in AREAS.items():
        assert sum(p.parent.name == area for p in PROGRAMS) >= least, area


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_bad_program(program: Path) -> None:
    text, pinned = diagnosed(program), program.with_suffix(".txt")
    if os.environ.get("MLPC_PIN"):
        pinned.write_text(text, encoding="utf-8")
    assert text == pinned.read_text(encoding="utf-8")


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.parent.name != "syntax"], ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_that_each_diagnosis_says_where_what_and_what_to_do(program: Path) -> None:
    blocks = program.with_suffix(".txt").read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    for block in blocks:
        head, *rest = block.split("\n")
        assert HEAD.match(head), head
        if "something is missing" not in head and "a setting is missing" not in head:  # what is not there has no place
            here = program.name if program.parent.name != "imports" else f"(?:{program.name}|parts/\\w+.mlp)"
            assert re.search(rf" {here}:\d+:\d+$", head), head  # never a place inside std/
            assert re.fullmatch(r"      \| +\^+", rest[1]), block
        code = head[len("error[") :].partition("]")[0]
        assert rest[-1].endswith(f"   more: mlpc explain {code}"), block
        hint = rest[-2] if rest[-1].lstrip().startswith("more:") else rest[-1]
        assert hint.startswith("   hint: "), block
    assert len(set(blocks)) == len(blocks)
