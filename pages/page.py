"""What is said of a word, once for a person and once for a program."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Page(Struct, frozen=True):
    """`kind`: code, function, operation, rewrite or derivation. `document` is what --json gives, `text` the same to be read."""

    kind: str
    document: dict[str, Any]
    text: str
