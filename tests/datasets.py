"""Data sections in a few words, for the tests of data."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.parse import parse
from mlpc.dsl.syntax import Source, Span
from mlpc.runtime.data import Dataset, read

SPAN = Span(Source("t.mlp", ""), 0, 0)


def program(*lines: str, model: str = ""):
    return parse("data {\n" + "\n".join(lines) + "\n}\n" + (f"model {{\n{model}\n}}\n" if model else ""), "t.mlp")


def inline(*lines: str, **settings) -> Dataset:
    return read(program(*lines), None, **settings)


def table(content: str | bytes, *lines: str, name: str = "t.csv", model: str = "", **settings) -> Dataset:
    """Reads the statements beside a file of that name and content."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(program(f'from "{name}"', *lines, model=model), Path(folder), **settings)


def said(*texts: str) -> pytest.RaisesExc:
    """An MlpcError with exactly these diagnoses: `CODE line: message | hint`."""

    def same(error: MlpcError) -> bool:
        found = [f"{d.code} {d.span.line if d.span else 0}: {d.message} | {d.hint}" for d in error.diagnostics]
        assert found == list(texts)
        return True

    return pytest.raises(MlpcError, check=same)
