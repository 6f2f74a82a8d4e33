"""The plan as a page of LaTeX: the lines of the text, in its order, as aligned equations that amsmath sets.

Above each equation stands its line as the text has it, in a comment. `equation` sets one line, for derivations.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from .. import shapes
from ..derivation import Derivation, Rewriting
from ..footprint import Footprint
from ..plan import Line, Plan, Shape
from ..undisturbed import undisturbed
from .expression import read
from .formula import rows
from .letters import escaped
from .text import cost
from .typeset import Names, typeset, typeset_name

PAGE = 89.0  # what a line of the page holds, in letters
LEAST = 28.0  # of it for the right side of an equation
WIDEST_TARGET = 20.0  # a wider name stands alone, its equation below it
WORDS = 28  # letters of the last column
NOTE = 84
MARGIN = 2.0

PREAMBLE = r"""\documentclass[10pt,a4paper,fleqn,leqno]{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage{amsmath}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage[margin=18mm]{geometry}
\setlength{\mathindent}{3.4em}
\setlength{\parindent}{0pt}
\allowdisplaybreaks
\AtBeginDocument{\setlength{\abovedisplayskip}{2pt}\setlength{\abovedisplayshortskip}{2pt}}
\begin{document}
"""
LEGEND = (  # what is told of a sign where it is found, in an equation or in the text above it
    (r"\\partial ", r"$\partial X = \partial\,\mathrm{loss} / \partial X$, in the text \texttt{dX} or \texttt{d(X)}"),
    (r"\^\{\(", r"$W^{(h)}$ is \texttt{h.W}"),
    (" @ ", r"$A\,B$ product of matrices"),
    (r"\\odot", r"$\odot$ elementwise"),
    ("ᵀ", r"$A^{\top}$ transpose"),
    (r"\\sum", r"$\sum_{\mathrm{batch}}$ down the rows, $\sum_{\mathrm{features}}$ along each, $\sum$ over all numbers"),
    ("{:}", r"$A[:, a{:}b]$ columns $a$ to $b - 1$, counted from 0"),
    (" ([<>]|[<>=!]=) ", r"$[c]$ is 1 where $c$ holds, else 0"),
    ("kept", "kept: stored for the gradient"),
)


def plan_latex(plan: Plan, footprint: Footprint | None = None) -> str:
    """A whole document, for pdflatex with no packages but those of every LaTeX."""
    with undisturbed():
        return _document(plan, footprint)


def derivation_latex(found: Derivation, plan: Plan) -> str:
    """A whole document: how a line comes about, in a chain of equations, below each the rewrite that makes it."""
    with undisturbed():
        return _derivation(found, plan)


def equation(target: str, text: str, names: Names, room: float = PAGE) -> list[str]:
    """`target = text` as the rows of an `aligned` or `align*`: `left &= right`, then `& more`, without the `\\` between them.

    `text` is an expression as plans print it, else ValueError; `room` is for both sides, in letters (`PAGE` on A4).
    """
    left = typeset_name(target, names)
    formula = typeset(read(text, names.gradients), names)
    if left.width > WIDEST_TARGET:
        right = rows(formula, room - MARGIN, room - MARGIN)
        return [f"& {left.latex} =", *(rf"&\quad {{}}{more}" for more in right)]
    room -= left.width + 3
    first, *rest = rows(formula, room, room - MARGIN)
    return [f"{left.latex} &= {first}", *(rf"&\quad {{}}{more}" for more in rest)]


def names_of(plan: Plan) -> Names:
    """What is known of the names of the forward and gradient lines."""
    lines = {line.value for line in (*plan.forward, *plan.gradient)}
    outer = {v.id for v in plan.values if v.role in {"input", "param", "symbol"}} | {s.value for s in plan.model_states}
    found: dict[str, Shape] = {"rows": ()} | {v.name: v.shape for v in plan.values if v.name and v.id in lines | outer}
    gradients = [line.target for line in plan.gradient if line.target.startswith("d")]  # what else is there is t1, t2, ...
    return Names(found, {g: g[2:-1] if g.endswith(")") else g[1:] for g in gradients})


def names_of_update(plan: Plan) -> Names:
    """What is known of the names of the update lines, which are others: there `w` stands for every param."""
    found: dict[str, Shape] = {v.name: v.shape for v in plan.values if v.role == "symbol"}
    every = {plan.update_w, plan.update_dw, *(s.value for s in plan.states), *(line.value for line in plan.update)}
    found |= {v.name: v.shape for v in plan.values if v.id in every}
    w, dw = (plan.values[r].name if r is not None else "" for r in (plan.update_w, plan.update_dw))
    return Names(found, {dw: w} if w and dw in {f"d{w}", f"d({w})"} else {})


def _document(plan: Plan, footprint: Footprint | None) -> str:
    names = names_of(plan)
    sections = [_header(plan, names), _section(_heading("Forward"), "needed by", plan.forward, names)]
    if plan.gradient:
        sections.append(_section(_heading("Gradient"), "by", plan.gradient, names))
    if plan.update:
        sections.append(_section(_heading("Update", _every(plan, names)), "", plan.update, names_of_update(plan)))
    if plan.model_states and plan.update:
        told = [(s.name, plan.values[s.next].name) for s in plan.model_states if s.next is not None]
        sections.append(_states(told, names))
    closing = [escaped(cost(footprint))] if footprint else []
    page = "\n".join(sections)
    closing.append(r"\emph{legend:} " + r" \textperiodcentered{} ".join(told for sign, told in LEGEND if re.search(sign, page)))
    return (
        f"{PREAMBLE}{page}\n\\bigskip\n{{\\footnotesize\\raggedright\n" + "\\par\\smallskip\n".join(closing) + "\\par}\n\\end{document}\n"
    )


def _derivation(found: Derivation, plan: Plan) -> str:
    line = found.line
    names = names_of_update(plan) if line.section == "update" else names_of(plan)
    target = typeset_name(line.target, names)
    page = [
        rf"{{\LARGE\ttfamily {escaped(plan.title)}}}\par\medskip",
        rf"{{\raggedright ({line.id})\enspace${target.latex}$, ${_shape(line.shape)}$\par",
    ]
    page += [rf"\texttt{{{escaped(found.said)}}}\par"] if found.said else []
    if found.through:
        value = typeset_name(names.gradients[line.target], names).latex
        page.append(rf"${target.latex}$ is $\partial\,\mathrm{{loss}} / \partial {value}$, and the loss feels ${value}$ through\par}}")
        told = [f"{' '.join(equation(x.target, x.text, names, 1e9))} \\tag{{{x.id}}}" for x in found.through]
        page.append("\\begin{align*}\n" + " \\\\\n".join(told) + "\n\\end{align*}")
    else:
        page.append("}")
    room = PAGE - min(target.width, WIDEST_TARGET)
    rows: list[str] = []
    for number, step in enumerate(found.steps):
        first, *rest = equation(line.target, step.text, names, PAGE)
        if number:
            first = f"&={first.partition('&=')[2]}" if "&=" in first else "& ="
        rows.append(f"% {step.rule}: {line.target} = {step.text}\n" + " \\\\*\n".join([first, *rest, *_reason(step, room)]))
    page.append("\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}")
    return f"{PREAMBLE}" + "\n".join(page) + "\n\\end{document}\n"


def _reason(step: Rewriting, room: float) -> list[str]:
    """The rule of a step, what it says and the facts that license it."""
    facts = f"; {', '.join(step.facts)}" if step.facts else ""
    first, *rest = _folded(f"{step.statement}{facts}", int(room - len(step.rule)))
    told = [rf"\emph{{{escaped(step.rule)}}}: {escaped(first)}", *map(escaped, rest)]
    return [rf"&\qquad \text{{\footnotesize {text}}}" for text in told]


def _header(plan: Plan, names: Names) -> str:
    """The model's name, its size, its loss in the user's words and its output."""
    count, tensors = sum(p.count for p in plan.params), len(plan.params)
    facts = [f"{count:,} parameter{'s' * (count != 1)} in {tensors} tensor{'s' * (tensors != 1)}, batch $N$"]
    facts.append(rf"loss \texttt{{{escaped(plan.loss_text)}}}" if plan.loss_text else "prediction")
    if plan.output >= 0:
        value = plan.values[plan.output]
        facts.append(f"output ${typeset_name(value.name, names).latex}$, ${_shape(value.shape)}$")
    told = "\\par\n".join(facts)
    return f"{{\\LARGE\\ttfamily {escaped(plan.title)}}}\\par\\medskip\n{{\\raggedright {told}\\par}}\n"


def _every(plan: Plan, names: Names) -> str:
    """Of which params the update is."""
    inner = names_of_update(plan)
    w, dw = (f"${typeset_name(plan.values[r].name, inner).latex}$" if r is not None else "" for r in (plan.update_w, plan.update_dw))
    params = ", ".join(f"${typeset_name(p.name, names).latex}$" for p in plan.params)
    mean = f"after {plan.accumulate} batches, {dw} being their mean by rows: " if plan.accumulate > 1 else ""
    return rf"{mean}every {w} of {params}"


def _heading(title: str, words: str = "") -> str:
    return f"\\bigskip\n{{\\raggedright \\textbf{{\\large {title}}} {words}\\par}}\n"


def _section(title: str, words: str, lines: Sequence[Line], names: Names) -> str:
    """A heading and the lines below it; `words` heads the last column, and without it there are no columns but the equations."""
    targets = [typeset_name(line.target, names).width for line in lines]
    widest = max((w for w in targets if w <= WIDEST_TARGET), default=1.0)
    room, wrap = PAGE - widest - 3, WORDS
    if words:  # as much to the words as the equations leave, the equations broken if they leave too little
        room -= 0.8 * max((len(shapes.show(line.shape)) for line in lines), default=5) + 7
        widths = [typeset(read(line.text, names.gradients), names).width for line in lines]
        wrap = max(WORDS, int((room - max(widths, default=0.0)) / 0.9))
        told = [len(words), *(len(piece) for line in lines for piece in _folded(_words(line), wrap))]
        room = max(room - 0.9 * max(told), LEAST)
    body: list[str] = [rf"& && \textit{{shape}} && \textit{{{words}}} \\[2pt]"] if words else []
    for line, width in zip(lines, targets, strict=True):
        body.append(f"% {line.id} {line.target} = {line.text}")
        made: list[str] = []
        equations = equation(line.target, line.text, names, room + 3 + (width if width <= WIDEST_TARGET else 0))
        for i, (row, word) in enumerate(zip_longest(equations, _folded(_words(line), wrap), fillvalue="")):
            if i == 0 and words:
                row += f" && {_shape(line.shape)}"
            if word:
                row = f"{row or '&'} {'&&' if i == 0 else '&& &&'} \\text{{{escaped(word)}}}"
            made.append(row + (rf" \tag{{{line.id}}}" if i == 0 else ""))
        made += [rf"& \text{{\footnotesize\ttfamily {escaped(n)}}}" for n in _folded(line.note and f"# {line.note}", int(room / 0.9))]
        body.append(" \\\\*\n".join(made) + r" \\")
    cells = "\n".join(body).removesuffix(r" \\").replace("&& ", r"&\quad& ")
    return f"{title}\\begin{{alignat*}}{{{3 if words else 1}}}\n{cells}\n\\end{{alignat*}}\n"


def _states(told: Sequence[tuple[str, str]], names: Names) -> str:
    """What becomes of the states of the model."""
    body = " \\\\\n".join(f"{typeset_name(name, names).latex} &= {typeset_name(value, names).latex}" for name, value in told)
    return f"{_heading('State', 'after the update')}\\begin{{align*}}\n{body}\n\\end{{align*}}\n"


def _words(line: Line) -> str:
    """The last column: why a gradient line, and who reads a forward line."""
    if line.section != "forward":
        return line.by
    readers = list(line.needed_by)
    shown = " ".join(readers if len(readers) <= 6 else [*readers[:5], f"+{len(readers) - 5}"])
    return f"{shown}, kept" if line.kept else shown


def _shape(shape: Shape) -> str:
    return "[" + r",\, ".join(str(d) for d in shape) + "]"


def _folded(text: str, width: int) -> list[str]:
    """Words on lines of a width."""
    return textwrap.wrap(text, width, break_on_hyphens=False)
