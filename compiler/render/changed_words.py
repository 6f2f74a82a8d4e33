"""Which words of a line's text changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.']*|[0-9.]+(?:e[+-]?[0-9]+)?|\s+|.")


def changed_words(old: str, new: str, names: Mapping[str, str]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The ranges of two texts that differ, word by word, `names` of the old one as they are now; none where little is left of it."""
    ours, theirs = WORD.findall(old), WORD.findall(new)
    matcher = SequenceMatcher(None, [names.get(w, w) for w in ours], theirs, autojunk=False)
    blocks = [(b.a, b.b, b.size) for b in matcher.get_matching_blocks()]
    common = sum(len("".join(ours[a : a + size]).strip()) for a, _, size in blocks)
    if 2 * common < min(len(old), len(new)):
        return [], []
    return _gaps(ours, [(a, n) for a, _, n in blocks]), _gaps(theirs, [(b, n) for _, b, n in blocks])


def _gaps(words: Sequence[str], kept: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where the words stand that are not kept, blanks at the ends aside."""
    places = [0]
    for word in words:
        places.append(places[-1] + len(word))
    text = "".join(words)
    found: list[tuple[int, int]] = []
    at = 0
    for start, size in kept:
        a, b = places[at], places[start]
        inner = text[a:b].strip()
        if inner:
            a = text.index(inner, a)
            end = a + len(inner)
            if found and not re.search(r"\w", text[found[-1][1] : a]):  # only signs between them: one change
                a = found.pop()[0]
            found.append((a, end))
        at = start + size
    return found
