"""A table that is larger than the memory it may take: trained, shuffled and standardised. Run: python benchmarks/scale.py [--rows 40000000]

Makes a .npz of x [rows, 20] float32 and y [rows] int8 in a temporary folder (84 bytes a row), and trains a network of 32 units on nine
tenths of it in a process of its own. That prints rows a second and the peak of RssAnon, which is the memory that is the process's
own (what is mapped of the file is the page cache's, and can be had back), read every 20 ms. The file is deleted in the end.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np

WIDTH = 20
BOUND = "RssAnon"
ALLOWED = (160_000_000, 11)  # bytes, and bytes a row: 600 MB for 40 million rows
MODEL = """
data {{
  from "rows.npz"
  x     = x |> standardize
  y     = y
  split = random(train = 0.9, test = 0.1)
}}
model {{
  z = dense(x, 32, relu) |> dense(1)
  p = sigmoid(z)
}}
loss = mean(binary_cross_entropy_with_logits(z, y))
train {{
  optimizer = adam(lr = 0.001)
  precision = float32
  batch     = {batch}
  epochs    = {epochs}
}}
report accuracy(p, y)
"""


def write_rows(path: Path, rows: int) -> None:
    """The table, made and written a million rows at a time."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=WIDTH)
    scale = 10.0 ** rng.integers(-2, 3, WIDTH)
    parts = [min(10**6, rows - start) for start in range(0, rows, 10**6)]

    def member(archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int, ...], draw: str) -> None:
        stream = np.random.default_rng(1)
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            head = {"descr": dtype, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, head)
            for count in parts:
                x = stream.standard_normal((count, WIDTH), np.float32)
                made = x * scale.astype(np.float32) if draw == "x" else (np.abs(x) @ weights + 0.3 * x[:, 0] > 0.8 * weights.sum())
                file.write(np.ascontiguousarray(made, dtype).tobytes())

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        member(archive, "x", "<f4", (rows, WIDTH), "x")
        member(archive, "y", "|i1", (rows,), "y")


def anonymous() -> int:
    """Bytes of this process's own memory."""
    found = re.search(rf"^{BOUND}:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


class Peak:
    """The most of it, looked at every 20 ms."""

    def __init__(self) -> None:
        self.most = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        while not self.ended.wait(0.02):
            self.most = max(self.most, anonymous())


def trained(model: Path, stream: bool) -> int:
    """Trains it, and prints what that took. 1 if it was more memory than is allowed."""
    import mlpc
    from mlpc.runtime import arrays

    if stream:  # a small table goes the way of a large one
        arrays.IN_MEMORY = 0
    peak, base, began = Peak(), anonymous(), time.perf_counter()
    found = mlpc.load(model)
    rows, reading = sum(count for _, count in found.dataset.schema.rows), time.perf_counter() - began
    after = peak.most
    ends: list[float] = []
    steps = [time.perf_counter()]
    run = found.train(
        on_step=lambda _: steps.__setitem__(slice(1, None), [time.perf_counter()]), on_epoch=lambda _: ends.append(time.perf_counter())
    )
    seconds = time.perf_counter() - steps[0]
    count = dict(found.dataset.schema.rows)["train"]
    peak.ended.set()
    print(f"read      {rows:,} rows of {WIDTH} float32 looked through and fitted in {reading:.1f} s: {rows / reading:,.0f} rows a second")
    print(f"trained   {run.epochs} epoch{'s' * (run.epochs > 1)} of {count:,} rows, all measured, in {seconds:.1f} s: "
          f"{count * run.epochs / seconds:,.0f} rows a second")  # fmt: skip
    print(f"          steps alone {count * run.epochs / sum_of_steps(steps, ends, seconds):,.0f} rows a second" if run.epochs == 1 else "")
    print(f"loss      {run.losses['test']:.4f} on the test rows, accuracy {run.metrics['test']['accuracy']:.4f}")
    most = ALLOWED[0] + ALLOWED[1] * rows
    print(
        f"{BOUND}   {base / 1e6:.0f} MB at the beginning, {after / 1e6:.0f} MB while reading, {peak.most / 1e6:.0f} MB at most; allowed {most / 1e6:.0f} MB"
    )
    return int(peak.most > most)


def sum_of_steps(steps: list[float], ends: list[float], seconds: float) -> float:
    """Seconds from the first step to the last."""
    return steps[-1] - steps[0] if len(steps) > 1 else seconds


def main() -> int:
    """Makes the file, trains, deletes it. Status 1 if more memory was taken than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train is not None:
        return trained(args.train, args.rows < 10**7)
    needed = args.rows * (4 * WIDTH + 1)
    folder = Path(tempfile.mkdtemp(prefix="mlpc-scale-"))
    try:
        if shutil.disk_usage(folder).free < 2 * needed:
            print(f"{folder} has not twice the {needed / 1e9:.1f} GB that the table takes", file=sys.stderr)
            return 74
        began = time.perf_counter()
        write_rows(folder / "rows.npz", args.rows)
        print(f"written   {needed / 1e9:.2f} GB in {time.perf_counter() - began:.1f} s")
        (folder / "model.mlp").write_text(MODEL.format(batch=args.batch, epochs=args.epochs))
        return subprocess.run(
            [sys.executable, __file__, "--train", str(folder / "model.mlp"), "--rows", str(args.rows)], check=False
        ).returncode
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
