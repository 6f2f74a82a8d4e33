"""How much memory a run will take, known before any array is made, and what there is."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from msgspec import Struct

from ..compiler.footprint import Footprint, summed
from ..compiler.plan import Plan
from ..compiler.settings import Settings
from ..compiler.undisturbed import undisturbed
from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from .accumulation import next_states, update_plan
from .expand import expand
from .held import held
from .kernel import lay_out
from .later import WAITING, rows_of_piece
from .measure import measuring_bytes
from .split import place_bytes
from .steps import SECTIONS
from .threads import suitable

MAKING = 8 * 6  # bytes that a number takes while it is made of those of a file: what was read, and what pipes make of it
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


class Prediction(Struct, frozen=True):
    """What a run will take: (what, bytes), in the order that they are made."""

    parts: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(size for _, size in self.parts)


@undisturbed()
def footprint(plan: Plan) -> Footprint:
    """What a step of a plan costs at its batch."""
    itemsize = 8 if plan.precision == "float64" else 4
    threads = suitable(plan)
    layout = lay_out(expand(plan, SECTIONS, plan.batch, (plan.loss,), threads), itemsize)
    kept = sum(math.prod(plan.batch if isinstance(d, str) else d for d in x.shape) * itemsize for x in plan.forward if x.kept)
    flops = sum(line.flops for line in plan.lines)
    return Footprint(plan.batch, flops, kept, layout.arena_bytes, layout.unshared_bytes, threads, summed(plan))


@undisturbed()
def predict(plan: Plan, evaluation: Plan, rows: Mapping[str, int], settings: Settings, stored: bool = False) -> Prediction:
    """The bytes of params, gradients, states, batches and intermediate values, for splits of so many `rows`; `stored`: in a file."""
    itemsize = np.dtype(plan.precision).itemsize
    numbers = sum(p.count for p in plan.params)
    count = rows.get("train", 1)
    settings = settings.scheduled(count)
    parts = [("params and gradients", 2 * numbers * itemsize), ("states of the optimizer", len(plan.states) * numbers * itemsize)]
    parts.append(("drawing the params", 16 * numbers))  # in float64, each by itself and then all in one array
    if stored:
        width = max(_width(evaluation), 1)
        piece = rows_of_piece(width, min(settings.batch, count)) * width
        parts.append(("rows that are read ahead", piece * ((WAITING + 2) * itemsize + MAKING)))
    elif plan.precision != "float64":
        parts.append((f"the data in {plan.precision}", sum(rows.values()) * _width(evaluation) * itemsize))
    parts += step_parts(plan, count, settings, stored, suitable(plan))
    largest = max((count for count in rows.values()), default=0)
    if largest:
        parts.append((f"measuring {largest} rows", measuring_bytes(evaluation, largest)))
    parts.append(("the last good state", (1 + len(plan.states)) * numbers * itemsize))
    if settings.keep is not None:
        parts.append(("the params of the best epoch", numbers * itemsize))
    return Prediction(tuple(parts))


def step_parts(plan: Plan, rows: int, settings: Settings, stored: bool = False, ranks: int = 1) -> Iterator[tuple[str, int]]:
    """The bytes of arrays that steps on a split of so many rows take beside the data, the params, their gradients and the states."""
    itemsize = np.dtype(plan.precision).itemsize
    size = min(settings.batch, rows)
    several = settings.accumulate > 1
    sections, keep = (SECTIONS[:2], next_states(plan)) if several else (SECTIONS, ())
    states = sum(s.count for s in plan.model_states)
    kernels = {
        f"a step on {n} rows": held(plan, sections, n, keep, n < rows or stored, ranks)
        for n in dict.fromkeys((size, rows % size if size else 0))
        if n
    }
    if several:
        kernels["the update"] = held(update_plan(plan), ("update",), 1, keep, False, ranks)
    scratch, lent = 0, dict[tuple[object, ...], int]()
    for what, kernel in kernels.items():
        new = {key: count for key, count in kernel.lent.items() if key not in lent}
        yield what, kernel.arrays + sum(new.values()) + max(kernel.scratch - scratch, 0)
        lent, scratch = lent | new, max(scratch, kernel.scratch)
    if several:
        numbers = sum(p.count for p in plan.params)
        yield "the mean of several batches", (numbers + 3 * states) * itemsize
    if states:
        yield "states of the model", states * itemsize
    if rows > 1:
        yield "the order of the rows", place_bytes(rows) * rows * (2 if settings.shuffle and size < rows and not stored else 1)


def available() -> int:
    """Bytes that can be had without swapping: the kernel's estimate, or the control group's limit if that is less."""
    found = [_free(), _group()]
    return min(n for n in found if n is not None) if any(n is not None for n in found) else 2**63


def refuse_if_over(predicted: Prediction, limit: int) -> None:
    """MlpcError E0501 if the run would take more than `limit` bytes."""
    if predicted.total <= limit:
        return
    largest = sorted(predicted.parts, key=lambda part: -part[1])[:3]
    parts = ", ".join(f"{show(size)} for {what}" for what, size in largest if size)
    message = f"the run needs {show(predicted.total)} and may take {show(limit)}: {parts}"
    hint = "a smaller batch, smaller params, precision = float32, or a higher limit: --max-memory " + show(
        predicted.total * 11 // 10
    ).replace(" ", "")
    raise fault("E0501", None, message, hint)


def parse_size(text: str, there_is: int | None = None) -> int:
    """Bytes of `2GB`, `512MiB`, `1000000` or `80%` (of what is available). MlpcError E0302 (status 2) otherwise."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(%|[KMGT]?i?B)?", text.strip(), re.ASCII | re.IGNORECASE)
    if match and match[2] == "%":
        return math.floor(float(match[1]) / 100 * (available() if there_is is None else there_is))
    if match and (match[2] or "B").upper() in UNITS:
        return math.floor(float(match[1]) * UNITS[(match[2] or "B").upper()])
    hint = "--max-memory 2GB, 512MiB, or 80% of what is available"
    raise MlpcError(Diagnostic("E0302", None, f"`{text}` is not an amount of memory", hint), status=2)


def show(size: int) -> str:
    """`1.5 GB`: bytes as a person reads them, in powers of ten."""
    for unit in ("TB", "GB", "MB", "KB"):
        if size >= UNITS[unit]:
            return f"{size / UNITS[unit]:.3g} {unit}" if size < 1000 * UNITS[unit] else f"{size // UNITS[unit]} {unit}"
    return f"{size} B"


def _width(plan: Plan) -> int:
    """Numbers of one row of all inputs."""
    shapes = {v.id: v.shape for v in plan.values}
    return sum(int(d) for r in plan.inputs for d in shapes[r][1:])


def _free() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text("ascii")
    except OSError:
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            return None
    match = re.search(r"^MemAvailable: +([0-9]+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _group() -> int | None:
    """What the limit of a container leaves."""
    try:
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text("ascii").strip() for name in ("max", "current"))
    except OSError:
        return None
    return max(int(limit) - int(used), 0) if limit.isdecimal() and used.isdecimal() else None
