"""Every bad program of tests/bad/<folder> is answered with exactly the text that stands beside it."""

from pathlib import Path

import pytest

from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.parse import load_file

FOLDER = Path(__file__).parent / "bad" / "syntax"
PROGRAMS = sorted(FOLDER.glob("*.mlp"))


def test_that_every_text_has_its_program() -> None:
    assert [p.stem for p in sorted(FOLDER.glob("*.txt"))] == [p.stem for p in PROGRAMS]
    assert len(PROGRAMS) > 30


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_bad_program(program: Path) -> None:
    with pytest.raises(MlpcError) as caught:  # anything else is a traceback, and fails here
        load_file(program)
    assert str(caught.value) + "\n" == program.with_suffix(".txt").read_text(encoding="utf-8")
    assert caught.value.status == 1
