"""A disk that fails at its n-th operation, and a driver that lets it fail at every one while `mlpc run` trains.

    python tests/faulty_disk.py FOLDER all|some

It is a process of its own with one thread, so that it may fork: a child trains on the faulty disk, another goes on with what it left.
`all`: a kill, a full disk and a fault at each point; `some`: one of them at every fifth. Written to stdout, a line each: the point,
what happened there, the status of the first, that of the second, and whether its files are those of a run without a fault.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

MODEL = """data {
  x = [[1, 0], [2, -1], [3, 3], [-4, 1], [0, 2]]
  y = [1, 2, 1, 3, 2]
}
model {
  h = dense(x, 2, relu) |> dropout(0.3)
  p = dense(h, 1)
}
loss = mean(mse(p, y))
train {
  optimizer = adam(lr = 0.01)
  steps = 4
  batch = 2
}
"""
ACTIONS = ("kill", "ENOSPC", "EIO")
RESULTS = ("weights.safetensors", "history.csv", "history.jsonl")


class Disk:
    """Counts what changes the disk, and at the n-th time does `action` half-way: "kill", or the name of an error."""

    def __init__(self, n: int, action: str) -> None:
        self.n, self.action = n, action
        self.count = 0

    def install(self) -> None:
        """From now on in this process."""
        for name in ("fsync", "replace", "unlink", "truncate", "write"):
            self._wrap(name)
        opened = builtins.open

        def open_(file: Any, mode: str = "r", *args: Any, **named: Any) -> Any:
            made = opened(file, mode, *args, **named)
            return File(made, self) if set(mode) & set("wxa") else made

        builtins.open = open_  # type: ignore[assignment]

    def meet(self, name: str) -> None:
        """One operation. A full disk stays full; another fault comes once."""
        self.count += 1
        full = self.action == "ENOSPC" and name not in ("unlink", "truncate")
        if self.count == self.n or (self.count > self.n and full):
            if self.action == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            number = getattr(errno, self.action)
            raise OSError(number, os.strerror(number))

    def _wrap(self, name: str) -> None:
        real = getattr(os, name)

        def wrapped(*args: Any, **named: Any) -> Any:
            if name != "write" or args[0] > 2:
                self.meet(name)
            return real(*args, **named)

        setattr(os, name, wrapped)


class File:
    """A file that is written to the disk: half of it is there when the fault comes."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self.file, self.disk = file, disk

    def write(self, content: Any) -> None:
        """Half, the fault, the rest."""
        self.file.write(content[: len(content) // 2])
        io.IOBase.flush(self.file)
        self.disk.meet("write")
        self.file.write(content[len(content) // 2 :])

    def writelines(self, pieces: Any) -> None:
        """One after the other."""
        for piece in pieces:
            self.write(piece)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def child(argv: list[str], disk: Disk | None) -> tuple[int, int]:
    """`mlpc` in a fork: its status, negative for a signal; how many operations there were."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        from mlpc.cli.main import main

        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        told = os.write
        if disk is not None:
            disk.install()
        status = main(argv)
        told(write, str(disk.count if disk else 0).encode())
        os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        count = int(file.read() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), count


def contents(folder: Path) -> list[bytes]:
    """What a run has made, or each of its folds."""
    return [(path / name).read_bytes() for path in [*sorted(folder.glob("fold-*"))] or [folder] for name in RESULTS]


def drive(folder: Path, every: bool, more: list[str]) -> None:
    """`more`: arguments of the run."""
    for name in ("run", "resume", "folds"):
        import_module(f"mlpc.cli.{name}")  # once, not in every child
    os.chdir(folder)
    Path("m.mlp").write_text(MODEL)
    train = ["run", "m.mlp", "--checkpoint-every", "0s", *more, "--out"]
    status, points = child([*train, "whole"], Disk(sys.maxsize, ACTIONS[0]))
    if status != 0:
        sys.exit(f"a run without a fault ended with status {status}")
    expected = contents(Path("whole"))
    print(points)
    for n in range(1, points + 1):
        for action in ACTIONS if every else ACTIONS[n // 5 % 3 :][: n % 5 == 0]:
            out = Path(f"{n}-{action}")
            first, _ = child([*train, str(out)], Disk(n, action))
            begun = any((out / name / "settings.json").exists() for name in ("", "fold-1"))
            second = child(["run", "--resume", str(out)], None)[0]
            left = [p.name for p in out.rglob("*") if p.name.startswith(".") or p.name == "lock"]
            same = begun and contents(out) == expected and not left
            print(n, action, first, second, "same" if same else "other" if begun else "none", *left, flush=True)


if __name__ == "__main__":
    drive(Path(sys.argv[1]), sys.argv[2] == "all", sys.argv[3:])
