"""Pictures as SVG that stands in a page of HTML: drawn by matplotlib, which comes with an extra, the same bytes every time.

Their colours are the page's: each is drawn in one that nobody would choose, and that is then replaced by a variable of report.css.
No word of the user's is in a picture but names of the language, which are plain letters.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..dsl.diagnostics import fault
from ..runtime.extras import install
from .markup import Markup, element

INK, FAINT = "#010203", "#010204"
LINES = tuple(f"#0102{n:02x}" for n in range(16, 22))  # of as many curves, whose variables are --line0 to --line5
VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)"} | {c: f"var(--line{i})" for i, c in enumerate(LINES)}
DASHES = ("-", (0, (5, 2)), (0, (1, 1.3)), (0, (5, 1.5, 1, 1.5)))  # who cannot tell the colours can tell these
WIDE = 8.0  # what falls to less than one in so many is drawn by its logarithm
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "text.parse_math": False, "axes.unicode_minus": False,
    "text.color": INK, "axes.edgecolor": FAINT, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "grid.color": FAINT,
    "axes.grid": True, "grid.alpha": 0.35, "grid.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False,
    "legend.frameon": False, "lines.linewidth": 1.5, "figure.facecolor": "none", "axes.facecolor": "none", "axes.axisbelow": True,
}  # fmt: skip


def require() -> None:
    """MlpcError E0504 without matplotlib."""
    try:
        import matplotlib as _  # noqa: F401
    except ImportError:
        raise fault("E0504", None, "a report has pictures, which matplotlib draws, and matplotlib is not installed",
                    install("report")) from None  # fmt: skip


def curves(title: str, values: Mapping[str, Sequence[float]], kept: int = 0) -> Markup:
    """One number an epoch for each name; a line at the epoch that was kept."""
    with _figure(title, (7.4, 2.9)) as (figure, made):
        axes = figure.subplots()
        for i, (name, numbers) in enumerate(values.items()):
            finite = [v if math.isfinite(v) else math.nan for v in numbers]
            axes.plot(range(1, len(numbers) + 1), finite, color=LINES[i % len(LINES)], linestyle=DASHES[i % len(DASHES)], label=name,
                      marker="o" if len(numbers) == 1 else "", markersize=4)  # fmt: skip
        if kept:
            axes.axvline(kept, color=INK, linewidth=0.8, linestyle=(0, (2, 2)), label=f"kept: epoch {kept}")
        axes.set_xlabel("epoch")
        longest = max(map(len, values.values()))
        axes.set_xlim(min(1, longest - 1), max(longest, 2))
        axes.xaxis.get_major_locator().set_params(integer=True)
        if by_logarithm(values):
            _logarithmic(axes)
        axes.set_ylabel(title)
        if len(values) > 1 or kept:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.3)
    return _inline(made, f"{title} by epoch: {', '.join(values)}")


def by_logarithm(values: Mapping[str, Sequence[float]]) -> bool:
    """Whether curves are drawn by their logarithm: all above 0, and of sizes far apart."""
    known = [v for numbers in values.values() for v in numbers if math.isfinite(v)]
    return bool(known) and min(known) > 0 and max(known) > WIDE * min(known)


def against(title: str, points: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Markup:
    """(true, predicted) of each row, for each split; on the line they would be the same."""
    with _figure(title, (3.9, 3.5)) as (figure, made):
        axes = figure.subplots()
        known = [v for both in points.values() for numbers in both for v in numbers if math.isfinite(v)]
        low, high = min(known, default=0.0), max(known, default=1.0)
        axes.plot([low, high], [low, high], color=FAINT, linewidth=1)
        for i, (split, (true, predicted)) in enumerate(points.items()):
            axes.plot(true, predicted, linestyle="", marker="osD^"[i % 4], markersize=3.2, alpha=0.6, color=LINES[i % len(LINES)],
                      markeredgewidth=0, label=split)  # fmt: skip
        axes.set_xlabel("true")
        axes.set_ylabel("predicted")
        axes.legend(loc="upper left", handletextpad=0.1)
    return _inline(made, f"{title}: a point for each row of {', '.join(points)}")


def spread(title: str, values: Mapping[str, Sequence[float]]) -> Markup:
    """A histogram of the numbers of each split, as shares, in the same bins."""
    with _figure(title, (3.9, 3.5)) as (figure, made):
        axes = figure.subplots()
        finite = {split: [v for v in numbers if math.isfinite(v)] for split, numbers in values.items()}
        edges = np.histogram_bin_edges([v for numbers in finite.values() for v in numbers], bins=30)
        for i, (split, numbers) in enumerate((s, n) for s, n in finite.items() if n):
            shares = np.histogram(numbers, edges)[0] / len(numbers)
            axes.stairs(shares, edges, color=LINES[i % len(LINES)], linestyle=DASHES[i % len(DASHES)], linewidth=1.4, label=split)
        axes.axvline(0, color=FAINT, linewidth=1)
        axes.set_xlabel("predicted - true")
        axes.set_ylabel("share of the rows")
        if any(finite.values()):
            axes.legend(loc="upper right")
    return _inline(made, f"{title}: histograms of {', '.join(values)}")


def _logarithmic(axes: Any) -> None:
    """A logarithmic scale whose ticks are plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    few = math.log10(high / low) < 2.5
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


@contextmanager
def _figure(title: str, size: tuple[float, float]) -> Generator[tuple[Any, io.StringIO]]:
    """An empty figure, and where its SVG stands at the end. A matplotlibrc of the user's changes nothing of it."""
    import matplotlib
    from matplotlib.figure import Figure

    made = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        matplotlib.rc("svg", hashsalt=title)
        figure = Figure(figsize=size, layout="constrained")
        yield figure, made
        figure.savefig(made, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})


def _inline(made: io.StringIO, words: str) -> Markup:
    """The picture with its words, without what only a file of its own needs."""
    text = made.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->\s*|<style.*?</style>\s*|font-family: [^;]*; ", "", text, flags=re.DOTALL).replace("xlink:href", "href")
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    box = re.search(r'viewBox="([^"]+)"', text)
    assert box is not None
    body = text[text.index(">") + 1 :].strip().removesuffix("</svg>")
    width = float(box[1].split()[2])
    return Markup(
        f'<svg viewBox="{box[1]}" style="max-width:{width * 4 / 3:.0f}px" role="img" '
        + element("x", aria_label=words).removeprefix("<x ").removesuffix("></x>")
        + f">{element('title', words)}{body}</svg>"
    )
