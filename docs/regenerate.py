"""Puts into the documents what mlpc really says. Run: python docs/regenerate.py

A block that begins ```console and `$ COMMAND` gets the command's output (stderr after stdout); with ```console terminal it is what a
terminal shows, and with ```console terminal, Ctrl-C in step N one on which Ctrl-C is pressed then. A block ```csv FILE.csv is a file
for the commands; one that begins ```mlp FILE.mlp gets the file. The ```text after a ```mlp wrong gets its diagnosis. What stands
between `<!-- std: NAME -->` and `<!-- end -->` becomes the table of std/NAME.mlp.
`tests/test_documents.py` and `tests/test_language_reference.py` hold the documents to it.

An example, ```mlp or ```mlp wrong, is a file from which whole sections may be missing; `completed` adds them below it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import mlpc
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.parse import parse

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    "docs/language.md",
    "docs/new.md",
    "docs/predicting.md",
    "docs/reading-plans.md",
    "docs/running.md",
    "docs/tutorial.md",
)
COMMAND = re.compile(r"(```console( terminal(?:, Ctrl-C in step (\d+))?)?\n\$ ([^\n]*)\n).*?(^```$)", re.MULTILINE | re.DOTALL)
CSV = re.compile(r"^```csv ([^\n]+\.csv)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(```mlp ([^\n]+\.mlp)\n).*?(^```$)", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"^```mlp\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WRONG = re.compile(r"(^```mlp wrong\n(.*?)^```\n\n```text\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"(<!-- std: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

DATA = """
data {
  x = [[5.1, 3.5, 1.4, 0.2], [7.0, 3.2, 4.7, 1.4], [6.3, 3.3, 6.0, 2.5], [4.9, 3.0, 1.4, 0.2]]
  y = [0, 1, 2, 0] |> onehot
}
"""
MODEL = "\nmodel {\n  z = dense(x, 3)\n  p = softmax(z)\n}\n"
TRAIN = "\ntrain {\n  optimizer = sgd(lr = 0.01)\n  epochs    = 1\n}\n"
PRESSED = """
import os, signal, sys
from mlpc.cli.main import main
from mlpc.runtime.steps import Step

run = Step.run


def pressed(step, *rest):
    if step.number == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGINT)
    return run(step, *rest)


Step.run = pressed
sys.exit(main(sys.argv[2:]))
"""


def regenerated(text: str) -> str:
    """The document with every block as it is printed now; its commands follow one another in one folder."""
    with TemporaryDirectory() as folder:
        for name in ("docs", "models", "std", "tests"):
            (Path(folder) / name).symlink_to(ROOT / name)
        for name, content in CSV.findall(text):
            (Path(folder) / name).write_text(content, "utf-8")
        text = COMMAND.sub(lambda m: m[1] + printed(m[4], Path(folder), m[2] is not None, int(m[3] or 0)) + m[5], text)
    text = FILE.sub(lambda m: m[1] + (ROOT / m[2]).read_text("utf-8") + m[3], text)
    text = WRONG.sub(lambda m: m[1] + diagnosed(m[2]) + m[4], text)
    return TABLE.sub(lambda m: m[1] + std_table(m[2]) + m[3], text)


def printed(command: str, folder: Path, terminal: bool, step: int) -> str:
    """What a shell's command prints in a folder, on a terminal or not; Ctrl-C is pressed in a `step` other than 0."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    program = shlex.join([sys.executable, *(["-c", PRESSED, str(step)] if step else ["-m", "mlpc"])])
    words = ["sh", "-c", f'mlpc() {{ {program} "$@"; }}\n{command}']
    if terminal:
        out = on_a_terminal(words, folder, environment)
    else:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)
        out = done.stdout + done.stderr
    return "".join(f"{line.rstrip()}\n" for line in out.strip("\n").split("\n") if out)


def on_a_terminal(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    """What the process writes to a terminal, stdout and stderr as they come."""
    ours, theirs = os.openpty()
    with subprocess.Popen(words, cwd=folder, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        out = b""
        with suppress(OSError):  # EIO: the process has ended
            while more := os.read(ours, 4096):
                out += more
    os.close(ours)
    return out.decode("utf-8").replace("\r\n", "\n")


def completed(example: str) -> str:
    """The example with the sections that it lacks.

    Data: four flowers, x [N, 4] and y [N, 3] one-hot. Model: a softmax of x, or of the example's first data value a number per
    row. Loss: of the values that the example's model or data assigns. Train: one epoch.
    """
    has = {word: re.search(rf"^{word}\b", example, re.MULTILINE) for word in ("data", "model", "loss", "train")}
    loss = "mean(cross_entropy(p, y))"
    model = MODEL
    if has["model"]:
        model, loss = "", " + ".join(f"mean({name})" for name in assigned(example, "model"))
    elif has["data"] and not has["loss"]:
        first, *others = (name for name in assigned(example, "data") if name != "split")
        model = f"\nmodel {{\n  guess = dense({first}, 1)\n}}\n"
        loss = f"mean((guess - mean({others[-1]}, axis = features))^2)" if others else "mean(guess^2)"
    missing = (("data", DATA), ("model", model), ("loss", f"\nloss = {loss}\n"), ("train", TRAIN))
    return example + "".join(section for word, section in missing if not has[word])


def assigned(example: str, section: str) -> list[str]:
    """The names that the statements of a section assign, one statement a line."""
    body = re.search(rf"^{section} *\{{(.*?)^\}}", example, re.MULTILINE | re.DOTALL)
    return re.findall(r"^  (\w+)\s*=(?!=)", body[1], re.MULTILINE) if body else []


def diagnosed(example: str) -> str:
    """What mlpc says of a wrong example."""
    try:
        mlpc.loads(completed(example), ROOT / "models")
    except MlpcError as error:
        return f"{error}\n"
    return "nothing is wrong with this\n"


def std_table(name: str) -> str:
    """The definitions of std/NAME.mlp: each one's head and the first line of its documentation."""
    path = ROOT / "std" / f"{name}.mlp"
    rows = []
    for d in parse(path.read_text("utf-8"), path.name).definitions:
        given = ", ".join(" ".join(p.span.text.split()) for p in d.parameters)
        rows.append(f"| `{d.kind} {d.name.id}({given})` | {d.doc.split(chr(10))[0].replace('|', chr(92) + '|')} |\n")
    return "| | |\n|---|---|\n" + "".join(rows)


def main() -> None:
    """Rewrites the documents."""
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(regenerated(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
