"""Puts into the documents what the commands really print. Run: python docs/regenerate.py

A block that begins ```console and `$ mlpc ...` gets the command's output (stderr after stdout), one that begins
```mlp FILE the file. `tests/test_documents.py` holds the documents to it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md",)
COMMAND = re.compile(r"(```console\n\$ (mlpc [^\n]*)\n).*?(^```$)", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(```mlp ([^\n]+)\n).*?(^```$)", re.MULTILINE | re.DOTALL)


def regenerated(text: str) -> str:
    """The document with every block as it is printed now."""
    text = COMMAND.sub(lambda m: m[1] + printed(m[2]) + m[3], text)
    return FILE.sub(lambda m: m[1] + (ROOT / m[2]).read_text("utf-8") + m[3], text)


def printed(command: str) -> str:
    """What a command of mlpc prints, run from the root as a process of its own, not on a terminal."""
    environment = {**os.environ, "COLUMNS": "100", "PYTHONUTF8": "1"}
    words = [sys.executable, "-m", "mlpc", *command.split()[1:]]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)
    out = "\n".join(line.rstrip() for line in (done.stdout + done.stderr).strip("\n").split("\n"))
    return out + "\n"


def main() -> None:
    """Rewrites the documents."""
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(regenerated(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
