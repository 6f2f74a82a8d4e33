"""What the value of an option may be; argparse turns the error into status 2."""

from __future__ import annotations

import argparse
import math
import re

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, 1)


def count(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text, 0)


def folds(text: str) -> int:
    """A whole number of at least 2: of one fold, nothing else could be trained on."""
    return _whole(text, 2)


def rows(text: str) -> int | None:
    """A whole number of at least 1, or `all`, which is None."""
    return None if text == "all" else _whole(text, 1)


def duration(text: str) -> float:
    """Seconds of `90s`, `10m`, `1h30m`, `1.5h`."""
    parts = re.findall(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"a time was needed, as 90s, 10m or 1h30m, and this is {text!r}")
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def interval(text: str) -> tuple[float, int]:
    """Seconds and epochs of `60s`, `10m`, `5epochs`; the one that is not named is never, as both are of `off`."""
    epochs = re.fullmatch(r"([1-9][0-9]{0,9}) ?epochs?", text, re.ASCII)
    try:
        return (math.inf, int(epochs[1])) if epochs else (math.inf, 0) if text == "off" else (duration(text), 0)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"a time, or epochs, was needed, as 60s, 10m, 5epochs or off, and this is {text!r}") from None


def _whole(text: str, least: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16 and int(text) >= least):
        raise argparse.ArgumentTypeError(f"a whole number of at least {least} was needed, and this is {text!r}")
    return int(text)
