"""The page: what a run came to first, then how it went, what it was, and how it was made. One file, which asks for no other.

Every number is one that the run's folder holds, or is computed from those; where something is not there, the page says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.resources import files

from ..compiler.render.html import rows_html
from ..compiler.render.page import Part, Row, plain, row
from ..runtime.record import Record
from .confusion import confusions
from .course import course, history_table
from .figures import number
from .markup import Markup, element, joined, table
from .residuals import residuals

MARK = '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="mlpc report">\n'
ALLOWED = "default-src 'none'; style-src 'unsafe-inline'"  # no script, no network, whatever a name in the data says
STOPPED = {
    "early_stop": "its early_stop was met",
    "time": "its time was over",
    "on_epoch": "its `on_epoch` said so",
    "not_finite": "its loss was not finite, and these are the weights before that",
}

Section = tuple[str, str, list[Markup]]  # id, heading, content


def page(record: Record, plan: Iterable[Row] | None = None, learning_rate: dict[str, list[float]] | None = None) -> str:
    """The whole file. `plan`: the rows of its page, if they are those that the folder holds; `learning_rate`: what follows from the step.

    MlpcError E0504 without matplotlib.
    """
    sections = [s for s in _sections(record, plan, learning_rate or {}) if s[2]]
    contents = element(
        "nav", element("ul", (element("li", element("a", title, href=f"#{id_}")) for id_, title, _ in sections)), aria_label="contents"
    )
    body = [element("section", element("h2", title), content, id_=id_, aria_label=title) for id_, title, content in sections]
    style = files("mlpc.report").joinpath("report.css").read_text("utf-8")
    head = joined(
        element("meta", http_equiv="Content-Security-Policy", content=ALLOWED), "\n",
        element("meta", name="viewport", content="width=device-width, initial-scale=1"), "\n",
        element("title", f"{record.title}: {record.path.name}"), "\n",
        Markup(f"<style>\n{style}</style>"),
    )  # fmt: skip
    main = element("main", element("header", *_opening(record), contents), "\n", (Markup(f"{s}\n") for s in body))
    return f"{MARK}{head}\n</head>\n{element('body', main)}\n</html>\n"


def _sections(record: Record, plan: Iterable[Row] | None, learning_rate: dict[str, list[float]]) -> Iterator[Section]:
    yield "results", "Results", [_results(record)] if record.losses else []
    yield "course", "Course of the training", course(record, learning_rate)
    yield "confusion", "Confusion", confusions(record)
    yield "residuals", "Residuals", residuals(record)
    yield "plan", "Plan", [Markup(rows_html(plan if plan is not None else map(_plain, record.plan.rstrip("\n").split("\n"))))]
    yield (
        "source",
        "Source",
        [piece for name, text in record.sources for piece in (element("h3", name), element("pre", text, class_="source", tabindex="0"))],
    )
    yield (
        "settings",
        "Settings",
        [
            table("every setting of train, and where it comes from", ("setting", "value", "from"), record.settings),
            element("p", "Command: ", element("code", " ".join(record.command))),
        ],
    )
    facts = [*record.environment.items(), *([("weights sha256", record.weights_sha256)] if record.weights_sha256 else [])]
    yield "environment", "Environment", [table("what the numbers were made by", ("", ""), facts)]
    yield "history", "History", [history_table(record)] if record.history else []


def _opening(record: Record) -> Iterator[Markup]:
    """Title and facts; and what must be known before any number is read."""
    yield element("h1", f"{record.title}: {record.path.name}")
    rows = ", ".join(f"{count:,} {split}" for split, count in record.rows.items() if count)
    took = f"{record.seconds['train']:,.2f} s of training" if "train" in record.seconds else ""
    facts = [
        f"{record.parameters:,} parameter{'s' * (record.parameters != 1)}",
        f"rows: {rows}" if rows else "no data",
        f"{record.epochs:,} of {record.planned:,} epochs, {record.steps:,} steps",
        took,
        f"begun {record.begun.replace('T', ' ').replace('+00:00', ' UTC')}",
    ]
    yield element("p", " · ".join(filter(None, facts)), class_="aside")
    if not record.ended:
        yield element("p", f"This training has not ended: what follows is as it stood after epoch {record.epochs:,}.", class_="alarm")
    if record.stopped:
        yield element(
            "p",
            f"It stopped after epoch {record.epochs:,} of {record.planned:,}: {STOPPED.get(record.stopped, record.stopped)}.",
            class_="alarm",
        )
    if record.not_finite_steps and record.stopped != "not_finite":
        yield element("p", f"The loss was not finite in {record.not_finite_steps:,} of {record.steps:,} steps.", class_="alarm")
    yield from (element("p", note, class_="alarm") for note in record.notes)


def _results(record: Record) -> Markup:
    """Loss and metrics, a column a split; of the epoch whose weights were kept."""
    splits = list(record.losses)
    names = dict.fromkeys(name for metrics in record.metrics.values() for name, value in metrics.items() if not isinstance(value, list))
    of = {"loss": record.losses}
    of |= {name: {s: m[name] for s, m in record.metrics.items() if name in m} for name in names}
    rows = ([name, *(number(found[s]) if s in found else "" for s in splits)] for name, found in of.items())
    which = f"epoch {record.kept_epoch or record.epochs}" + (", which was kept" if 0 < record.kept_epoch < record.epochs else ", the last")
    return table(which, ("", *splits), rows, "numbers")


def _plain(line: str) -> Row:
    return row(Part(line))


def is_page(text: bytes) -> bool:
    """Whether a file that begins so is a report."""
    return text.startswith(MARK.encode())


def same_plan(rows: Iterable[Row], record: Record) -> bool:
    """Whether this is the page that was written when the training began."""
    return plain(rows) + "\n" == record.plan
