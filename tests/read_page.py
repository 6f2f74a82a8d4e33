"""A plan's lines read back from its page as a person reads it: by its columns, its tables of copies and its dots."""

from __future__ import annotations

import re
from dataclasses import dataclass

LINE = re.compile(r" ([fgu]\d+) +(\S.*)?")
AGAIN = re.compile(r" ([fg]\d+(?:-[fg]\d+)?) again   (.*)")
HEAD = re.compile(r"(forward|gradient|update|state)\b")
NAME = re.compile(r"(?<![\w.'])(?:d\([\w.']+\)|[A-Za-z_][\w.']*)", re.ASCII)
NUMBER = re.compile(r"\d+")


@dataclass
class Read:
    id: str
    target: str
    text: str
    shape: str  # nothing in the update, whose lines are of every param


def read(page: str) -> dict[str, list[Read]]:
    """The lines of forward, gradient and update, those too that the page says only by a table."""
    found: dict[str, list[Read]] = {}
    for block in page.split("\n\n"):
        first, *rows = block.split("\n")
        if (head := HEAD.match(first)) and head[1] != "state":
            found[head[1]] = section(rows, first.find("shape"))
    return found


def section(rows: list[str], column: int) -> list[Read]:
    lines: list[Read] = []
    i = 0
    while i < len(rows):
        if head := AGAIN.match(rows[i]):
            stop = next((k for k in range(i + 1, len(rows)) if not of_table(rows, k)), len(rows))
            tables = [(head, rows[i + 1 : stop])]
            while stop < len(rows) and (more := AGAIN.match(rows[stop])) and more[1] == head[1]:
                size = len(tables[0][1])
                tables.append((more, rows[stop + 1 : stop + 1 + size]))
                stop += 1 + size
            lines += copies(lines, head[1], tables)
            i = stop
            continue
        start = LINE.match(rows[i])
        assert start, rows[i]
        stop = next((k for k in range(i + 1, len(rows)) if LINE.match(rows[k]) or AGAIN.match(rows[k])), len(rows))
        lines.append(line(start[1], [r for r in rows[i:stop] if not r.startswith("      # ")], column))
        i = stop
    return lines


def of_table(rows: list[str], k: int) -> bool:
    """Whether it is a row of a copy: it says nothing with a sign of equality, nor does the row below."""
    said = rows[k] + (rows[k + 1] if rows[k + 1 : k + 2] and rows[k + 1].startswith("     ") else "")
    return " = " not in said and not AGAIN.match(rows[k])


def line(id_: str, rows: list[str], column: int) -> Read:
    texts, shape = [], ""
    for r in rows:
        if column > 0 and r[column - 2 : column] == "  " and r[column : column + 1] == "[":
            shape = re.match(r"\[[^\]]*\]", r[column:])[0]  # type: ignore[index]
            r = r[:column]
        elif shape:
            continue  # the rest of a reason
        texts.append(r)
    text = " ".join(" ".join(texts).split()).removesuffix(" once, over all params together")
    target, right = text.removeprefix(f"{id_} ").split(" = ", 1)
    return Read(id_, target, all_terms(right), shape)


def copies(lines: list[Read], ids: str, tables: list[tuple[re.Match[str], list[str]]]) -> list[Read]:
    """The lines of every row, the columns of all tables taken together."""
    labels = [label for head, _ in tables for label in head[2].split()]
    rows = [[same[0].split()[0], *(cell for r in same for cell in r.split()[1:])] for same in zip(*(t for _, t in tables), strict=True)]
    whole: list[list[str]] = []
    for k, cells in enumerate(rows):
        if cells[0] == "⋮":
            a, b, last = (" ".join(c) for c in (*whole[-2:], rows[k + 1]))
            while (c := onward(a, b)) != last:
                whole.append(c.split())
                assert len(whole) < 10_000
                a, b = b, c
        else:
            whole.append(cells)
    start = next(i for i, x in enumerate(lines) if x.id == ids.split("-")[0])
    made: list[Read] = []
    for span, *cells in whole:
        names = {old: new for label, cell in zip(labels, cells, strict=True) for old, new in pairs(label, cell)}
        first, last = (int(x[1:]) for x in (span.split("-") * 2)[:2])
        for n, old in zip(range(first, last + 1), lines[start:], strict=False):
            made.append(Read(f"{span[0]}{n}", again(old.target, names), again(old.text, names), old.shape))
    return made


def pairs(label: str, cell: str) -> list[tuple[str, str]]:
    if cell == "-":
        return []
    if "-" not in label:
        return [(label, cell)]
    (a, b), (c, d) = ([int(x[1:]) for x in text.split("-")] for text in (label, cell))
    return [(f"t{i}", f"t{j}") for i, j in zip(range(a, b + 1), range(c, d + 1), strict=True)]


def again(text: str, names: dict[str, str]) -> str:
    def put(name: str) -> str:
        if name in names:
            return names[name]
        if name.startswith("d(") and put(name[2:-1]) != name[2:-1]:
            inner = put(name[2:-1])
            return f"d({inner})" if "." in inner else f"d{inner}"
        if name[0] == "d" and name[1:] in names:
            return f"d({names[name[1:]]})" if "." in names[name[1:]] else f"d{names[name[1:]]}"
        for end in sorted((m.start() for m in re.finditer(r"\.", name)), reverse=True):
            if name[:end] in names and not name.startswith("d("):
                return names[name[:end]] + name[end:]
        return name

    return NAME.sub(lambda m: put(m[0]), text)


def onward(a: str, b: str) -> str:
    """What follows b as b follows a."""
    steps = iter([2 * int(y) - int(x) for x, y in zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)])
    return NUMBER.sub(lambda _: str(next(steps)), b)


def all_terms(text: str) -> str:
    """A sum with the terms that stand in it as dots."""
    terms = text.split(" + ")
    while "⋯" in terms:
        k = terms.index("⋯")
        start, made = next((k - 2 * n, found) for n in range(1, 13) if (found := between(terms[k - 2 * n : k], terms[k + 1 : k + 1 + n])))
        terms[start : k + 1] = made
    return " + ".join(terms)


def between(two: list[str], last: list[str]) -> list[str] | None:
    """Two turns and those after them up to the last, or None if even steps do not lead there."""
    made, n = two, len(last)
    while len(made) < 3000:
        if any(NUMBER.sub("", a) != NUMBER.sub("", b) for a, b in zip(made[-2 * n : -n], made[-n:], strict=True)):
            return None
        following = [onward(a, b) for a, b in zip(made[-2 * n : -n], made[-n:], strict=True)]
        if following == last:
            return made
        made = made + following
    return None
