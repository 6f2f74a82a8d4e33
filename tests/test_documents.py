"""The documents show what the commands print."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("regenerate", ROOT / "docs" / "regenerate.py")
assert spec is not None and spec.loader is not None
regenerate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(regenerate)

TIME = re.compile(r"[0-9.]+ s\b")
FREE = re.compile(r"[0-9.]+ .?B of [0-9.]+ .?B that are free")  # as the machine is
HASH = re.compile(r"\b[0-9a-f]{64}\b")
NEAR = re.compile(r"(agree|at worst) to [0-9]e-[0-9]+( \(.*\))?")
DATE = re.compile(r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9:]{8}\b")
DECIMAL = re.compile(r"\b[0-9]+\.[0-9]{4,}(?:e[+-]?[0-9]+)?\b")
MASKS = ((FREE, "<bytes> that are free"), (NEAR, r"\1 to <near>"), (TIME, "<time> s"), (DATE, "<date>"), (DECIMAL, "<number>"))


def masked(text: str) -> str:
    """Times, free memory, hashes and measured numbers aside: they differ between machines (the numbers are compared by tolerance).

    Hashes are counted, so that two that are the same stay so.
    """
    seen: dict[str, int] = {}
    text = HASH.sub(lambda m: f"<hash {seen.setdefault(m[0], len(seen) + 1)}>", text)
    for pattern, shown in MASKS:
        text = pattern.sub(shown, text)
    return text


def numbers(text: str) -> list[float]:
    return [float(n) for n in DECIMAL.findall(HASH.sub("", TIME.sub("", text)))]


@pytest.mark.parametrize("name", regenerate.DOCUMENTS)
def test_a_document_shows_what_the_commands_print(name: str) -> None:
    written = (ROOT / name).read_text("utf-8")
    printed = regenerate.regenerated(written)
    assert masked(printed) == masked(written), "run: python docs/regenerate.py"
    assert numbers(printed) == pytest.approx(numbers(written), rel=1e-3, abs=2e-6)


def test_the_masks_hide_no_line() -> None:
    assert masked("took 0.21 s, weights " + "a" * 64) == "took <time> s, weights <hash 1>"
    assert masked("\n".join(letter * 64 for letter in "aba")) == "<hash 1>\n<hash 2>\n<hash 1>"
    assert masked("differences agree to 3e-11") == masked("differences agree to 4e-10") != masked("differences differ by 4e-10")
    assert masked("527 KB of 23.4 GB that are free") == "<bytes> that are free"
    assert masked("epoch 12 loss 0.043035") == "epoch 12 loss <number>"
