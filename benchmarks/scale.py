"""A table that is larger than the memory it may take: trained, shuffled and standardised. Run: python benchmarks/scale.py [--rows 40000000]

Makes a .npz of x [rows, 20] float32 and y [rows] int8 in a temporary folder, 81 bytes a row, and trains a network of 32 units on nine
tenths of it in a process of its own. That prints rows a second and the peak of RssAnon, looked at every 20 ms: the memory that is the
process's own. What is mapped of the file is the page cache's, and can be had back. The file is deleted in the end.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 20
ALLOWED = (140_000_000, 11.5)  # bytes, and bytes a row: 600 MB for 40 million rows
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
    """The table, made and written a million rows at a time: columns of five sizes, and whether a sum of their sizes is large."""
    rng = np.random.default_rng(0)
    weights, scale = rng.random(WIDTH), (10.0 ** rng.integers(-2, 3, WIDTH)).astype(np.float32)

    def blocks() -> Iterator[NDArray[np.float32]]:
        stream = np.random.default_rng(1)
        return (stream.standard_normal((min(10**6, rows - start), WIDTH), np.float32) for start in range(0, rows, 10**6))

    def write(archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int, ...], parts: Iterator[NDArray[Any]]) -> None:
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
            for part in parts:
                file.write(part.astype(dtype).tobytes())

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        write(archive, "x", "<f4", (rows, WIDTH), (x * scale for x in blocks()))
        write(archive, "y", "|i1", (rows,), (np.abs(x) @ weights > 0.8 * weights.sum() for x in blocks()))


def anonymous() -> int:
    """Bytes of memory that are this process's own."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


class Peak:
    """The most of it, looked at every 20 ms."""

    def __init__(self) -> None:
        self.most = 0
        Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.most = max(self.most, anonymous())
            time.sleep(0.02)


def trained(file: Path) -> int:
    """Trains the model in a file, and prints what that took. 1 if it was more memory than is allowed."""
    import mlpc
    from mlpc.runtime import arrays

    arrays.IN_MEMORY = 0  # a small table goes the way of a large one
    peak, base, began = Peak(), anonymous(), time.perf_counter()
    model = mlpc.load(file)
    read, reading = time.perf_counter() - began, peak.most
    times: list[float] = []  # at which the first step ended, and the last one so far

    def on_step(_: int) -> None:
        times[1:] = [time.perf_counter()]

    run = model.train(on_step=on_step)
    trained = time.perf_counter() - began - read
    rows = dict(model.dataset.schema.rows)
    count, every = rows["train"] * run.epochs, sum(rows.values())
    allowed = ALLOWED[0] + ALLOWED[1] * every
    print(f"looked through   {every:,} rows, and standardised, in {read:.1f} s: {every / read:,.0f} rows a second")
    print(f"trained          {count:,} rows in {trained:.1f} s, with {every:,} measured: {count / trained:,.0f} rows a second")
    if run.epochs == 1 and len(times) > 1:
        print(f"                 {count / (times[-1] - times[0]):,.0f} rows a second in the steps alone")
    print(f"of the test rows loss {run.losses['test']:.4f}, accuracy {run.metrics['test']['accuracy']:.4f}")
    print(f"RssAnon          {base / 1e6:.0f} MB with Python and NumPy, at most {reading / 1e6:.0f} MB when looked through and "
          f"{peak.most / 1e6:.0f} MB in all; {allowed / 1e6:.0f} MB are allowed")  # fmt: skip
    return int(peak.most > allowed)


def main() -> int:
    """Makes the file, trains, deletes it. Status 1 if more memory was taken than is allowed, 74 without room on the disk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train is not None:
        return trained(args.train)
    needed = args.rows * (4 * WIDTH + 1)
    with tempfile.TemporaryDirectory(prefix="mlpc-scale-") as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < 1.1 * needed:
            print(f"there is no room for {needed / 1e9:.1f} GB in {folder}: TMPDIR names another place", file=sys.stderr)
            return 74
        began = time.perf_counter()
        write_rows(folder / "rows.npz", args.rows)
        print(f"written          {needed / 1e9:.2f} GB in {time.perf_counter() - began:.1f} s", flush=True)
        (folder / "model.mlp").write_text(MODEL.format(batch=args.batch, epochs=args.epochs))
        return subprocess.run([sys.executable, __file__, "--train", str(folder / "model.mlp")], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
