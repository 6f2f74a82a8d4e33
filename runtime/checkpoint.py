"""Checkpoints: snapshots of a training in its run's folder, from which it goes on to the same bits after any end.

A file is a line with the format and a SHA-256 of all that follows; a line of JSON; the bytes of the arrays. It is written whole or
not at all, two are kept, and a changed bit or a missing byte anywhere is found before anything of it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from ..dsl.diagnostics import fault
from .atomic import flushed, write_file
from .kernel import Array
from .progress import Entry, Progress, Snapshot
from .run_folder import HISTORY_LINES, entries_of, first_lines

FORMAT = 1
KEPT = 2
NAME = re.compile(r"checkpoint-([0-9]{1,16})\.bin")
HEAD = re.compile(rb"mlpc checkpoint ([0-9]{1,9}) ([0-9a-f]{64})\n")
HEAD_BYTES = len(f"mlpc checkpoint {FORMAT} \n") + 64


class Interval(Struct, frozen=True):
    """When a checkpoint is due: so many seconds, or epochs, after the one before. Infinity and 0 are never."""

    seconds: float
    epochs: int = 0


class Found(Struct, frozen=True, eq=False):
    """The checkpoint to go on from, and what it is of; `snapshot` None: there is none. `damaged`: what is wrong with each newer one."""

    snapshot: Snapshot | None
    identity: dict[str, Any]
    kept: tuple[Path, ...] = ()
    damaged: tuple[str, ...] = ()


class Checkpoints:
    """The checkpoints of the run in `folder`. `identity()`: a document of what the training is of, by which one is taken or refused.

    It is asked for when the first one is written, so that a short run pays nothing. `found`: what there is to go on from.
    """

    def __init__(self, folder: Path, interval: Interval, identity: Callable[[], dict[str, Any]], found: Found) -> None:
        self.folder, self.interval, self.kept = folder, interval, found.kept
        self._identity = identity
        self._of: dict[str, Any] | None = None
        self._time, self._epoch = time.monotonic(), len(found.snapshot.history) if found.snapshot is not None else 0

    def due(self, progress: Progress) -> bool:
        """Whether it is time for one."""
        epochs = len(progress.history) - self._epoch
        return time.monotonic() - self._time >= self.interval.seconds or 0 < self.interval.epochs <= epochs

    def save(self, snapshot: Snapshot) -> None:
        """Writes one; when it is on the disk, those before the last are removed. OSError, which names the file: they are still there."""
        if self._of is None:
            self._of = self._identity()
            flushed(self.folder)
        else:
            flushed(self.folder / HISTORY_LINES)
        made = self.folder / f"checkpoint-{snapshot.step}.bin"
        rows = len(snapshot.history)
        history = {"rows": rows, "sha256": hashlib.sha256(first_lines(self.folder, rows)).hexdigest()}
        write_file(made, *encoded({"identity": self._of, "snapshot": snapshot.document, "history": history}, snapshot.arrays))
        self.kept = (*(path for path in self.kept if path != made), made)[-KEPT:]
        for path in files(self.folder):
            if path not in self.kept:
                path.unlink(missing_ok=True)
        self._time, self._epoch = time.monotonic(), len(snapshot.history)


def newest(folder: Path) -> Found:
    """The last checkpoint in a folder that is whole, with its history. MlpcError E0505 if there are some and none is; OSError."""
    there = files(folder)
    damaged: list[str] = []
    for i, path in reversed([*enumerate(there)]):
        content = path.read_bytes()
        wrong = fault_of(content)
        if not wrong:
            document, arrays = decoded(content)
            history, wrong = history_of(folder, document["history"])
            if not wrong:
                return Found(Snapshot(document["snapshot"], arrays, history), document["identity"], there[: i + 1], tuple(damaged))
        damaged.append(f"{path}: {wrong}")
    if damaged:
        raise fault("E0505", None, "\n".join(damaged), "a copy of one of them may be whole; without any, --resume begins from the start")
    return Found(None, {})


def files(folder: Path) -> tuple[Path, ...]:
    """The checkpoints in a folder by their steps."""
    found = {path: int(match[1]) for path in folder.iterdir() if (match := NAME.fullmatch(path.name))}
    return tuple(sorted(found, key=lambda path: found[path]))


def encoded(document: dict[str, Any], arrays: dict[str, Array]) -> list[bytes | memoryview]:
    """The file in pieces, so that the arrays are not copied."""
    arrays = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    places = [[name, a.size, a.dtype.name] for name, a in arrays.items()]
    text = json.dumps({**document, "arrays": places}, allow_nan=False)
    pieces = [text.encode() + b"\n", *(a.view(np.uint8).data for a in arrays.values() if a.size)]
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return [f"mlpc checkpoint {FORMAT} {digest.hexdigest()}\n".encode(), *pieces]


def fault_of(content: bytes) -> str:
    """What is wrong with a file's bytes, or ""."""
    head = HEAD.match(content)
    if head is None or len(head[0]) != HEAD_BYTES:
        return "damaged, or no checkpoint"
    if int(head[1]) != FORMAT:
        return f"damaged, or of format {int(head[1])}, and this mlpc reads format {FORMAT}"
    if hashlib.sha256(memoryview(content)[HEAD_BYTES:]).hexdigest().encode() != head[2]:
        return "damaged: its bytes are not those that were written"
    return ""


def decoded(content: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """The document and the arrays of a file that is whole."""
    start = content.index(b"\n", HEAD_BYTES) + 1
    document = json.loads(content[HEAD_BYTES:start])
    arrays: dict[str, Array] = {}
    for name, size, dtype in document["arrays"]:
        arrays[name] = np.frombuffer(content, np.dtype(dtype).newbyteorder("<"), size, start)
        start += arrays[name].nbytes
    return document, arrays


def history_of(folder: Path, said: dict[str, Any]) -> tuple[tuple[Entry, ...], str]:
    """The rows that a checkpoint goes on from; what is wrong with them, or "". Later ones are left out: they will come again."""
    lines = first_lines(folder, said["rows"])
    if hashlib.sha256(lines).hexdigest() != said["sha256"]:
        return (), f"{folder / HISTORY_LINES} has not the {said['rows']} rows that it goes on from"
    return entries_of(lines), ""
