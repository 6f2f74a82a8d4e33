"""`mlpc new`: a model file drafted from a table, or one of the gallery copied with all that it needs."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..dsl.diagnostics import Diagnostic, MlpcError, fault, printable
from ..dsl.syntax import Text
from ..loading import loads
from ..runtime.atomic import naming, write_file
from ..runtime.draft import Draft, draft
from ..runtime.goal import placeless
from ..runtime.kinds import NOWHERE, OUT, named, unwritable
from ..runtime.location import Words, located
from ..runtime.table import read_table
from .example import about, example, names
from .load import write, write_json

STDOUT = "-"
SHOWN = 12  # columns that are left out and named on the screen; the file names them all
WORDS = Words("E0401", "E0408", "name a table: data/iris.csv", "this folder")


def command(args: argparse.Namespace) -> int:
    """Writes the files and says what to type next. Status 0; 2 if it is not clear what to write."""
    if args.data is not None and args.example is not None:
        raise _usage("a table and an example", "leave one of them away")
    if args.example is not None and args.target is not None:
        raise _usage("an example, which has its target, and --target", "leave --target away")
    if args.example is None and args.data is None:
        raise _usage("neither a table nor an example", "mlpc new data.csv --target COLUMN, or mlpc new --example")
    if args.example is None:
        return _draft(args)
    return _copy(args) if args.example else _list(args)


def _usage(found: str, hint: str) -> MlpcError:
    return MlpcError(
        Diagnostic("E0209", None, f"`mlpc new` makes a file from a table or copies an example, and here is {found}", hint), status=2
    )


# --- from a table --------------------------------------------------------------------------------


def _draft(args: argparse.Namespace) -> int:
    data = placeless(lambda: located(Text(args.data, NOWHERE), Path(), [Path("/")], WORDS))
    beside = Path(os.path.dirname(args.data))
    place = _place(args, beside, f"{data.stem}.mlp")
    path = _from_folder(args, data, place.parent)
    table = placeless(lambda: read_table(Text(path, NOWHERE), place.parent, None))
    made = draft(table, args.target, path, place.name)
    loads(made.text, place.parent)  # it compiles, or what is wrong is told before anything is written
    files = {place: made.text.encode("utf-8")}
    if not _is_shown(args):
        _write_new(files, args.force)
    document = {"target": made.goal.name, "classes": list(made.goal.classes) or None, "columns": _columns(made), "text": made.text}
    _tell(args, place, files, made.text, document, [_summary(made, table.file), *_left_out(made)])
    return 0


def _place(args: argparse.Namespace, folder: Path, name: str) -> Path:
    """Where the model goes: the file that -o names, or under its own name into the folder that it names, or into `folder`."""
    if args.output in {None, STDOUT}:
        return folder / name
    output = Path(args.output)
    if output.is_dir() or args.output.endswith("/"):
        return output / name
    if output.suffix != ".mlp":
        raise MlpcError(
            Diagnostic("E0502", None, f"-o names `{args.output}`, and a model's file ends in .mlp", f"-o {output.stem}.mlp"), status=2
        )
    return output


def _from_folder(args: argparse.Namespace, data: Path, folder: Path) -> str:
    """The data's path as the model writes it, from its own folder down; E0408 if it does not lie there."""
    above = Path(os.path.realpath(folder))
    if not data.is_relative_to(above):
        told = f"`{args.data}` does not lie beneath `{folder}`, where the model would be, and a model reads what lies beneath its folder"
        raise fault("E0408", None, told, f"-o {os.path.join(os.path.relpath(data.parent), data.stem)}.mlp")
    path = data.relative_to(above).as_posix()
    if any(unwritable(c) for c in path):
        raise fault("E0401", None, f"the name of `{path}` has a character that no string of a model holds", "give the file another name")
    return path


def _summary(made: Draft, file: str) -> str:
    g, used = made.goal, [k for k in made.kinds if k.role != OUT]
    what = f"one of {len(g.classes):,} labels" if g.classes else "a quantity"
    return f"it predicts {named(g.name)}, {what}, from {len(used):,} column{'s' * (len(used) != 1)} of {printable(file)}, {g.rows:,} rows"


def _left_out(made: Draft) -> list[str]:
    out = [k for k in made.kinds if k.role == OUT]
    more = [f"and {len(out) - SHOWN:,} more are left out, each with its reason in the file"] if len(out) > SHOWN else []
    return [f"{named(k.name)} is left out: {printable(k.why)}" for k in out[:SHOWN]] + more


def _columns(made: Draft) -> list[dict[str, Any]]:
    return [{"name": k.name, "role": k.role, "why": k.why or None} for k in made.kinds]


# --- from the gallery ----------------------------------------------------------------------------


def _list(args: argparse.Namespace) -> int:
    found = {name: about(name) for name in names()}
    if args.json:
        write_json({"examples": [{"name": name, "about": said} for name, said in found.items()]})
        return 0
    width = max(map(len, found))
    write("\n".join(f"{name:<{width}}  {said}" for name, said in found.items()))
    write(f"\nnext: mlpc new --example {next(iter(found))}")
    return 0


def _copy(args: argparse.Namespace) -> int:
    found = example(args.example)
    place = _place(args, Path(), f"{found.name}.mlp")
    files = {place: found.text.encode("utf-8"), **{place.parent / path: content for path, content in found.others.items()}}
    if not _is_shown(args):
        _write_new(files, args.force)
    _tell(args, place, files, found.text, {"example": found.name, "text": found.text}, [])
    return 0


# --- what both do --------------------------------------------------------------------------------


def _is_shown(args: argparse.Namespace) -> bool:
    """The model is printed, not written."""
    return args.dry_run or args.output == STDOUT


def _write_new(files: Mapping[Path, bytes], force: bool) -> None:
    """All of them, or none: E0510 where another is there already, unless `force`. OSError."""
    others = [path for path, content in files.items() if os.path.lexists(path) and not _says(path, content)]
    if others and not force:
        told = f"{' and '.join(map(str, others))} {'are' if len(others) > 1 else 'is'} there already"
        raise fault("E0510", None, told, "-o FILE writes another one, --dry-run prints it, --force writes over what is there")
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)


def _says(path: Path, content: bytes) -> bool:
    """Whether a file has just this in it."""
    with naming(path):
        return path.is_file() and path.read_bytes() == content


def _tell(
    args: argparse.Namespace, place: Path, files: Mapping[Path, bytes], text: str, document: Mapping[str, object], said: list[str]
) -> None:
    """The document, the model alone, or what was written and what to type next."""
    following = f"mlpc run {shlex.quote(str(place))}"
    if args.json:
        write_json({"file": str(place), "written": [] if _is_shown(args) else [str(path) for path in files], "next": following, **document})
    elif _is_shown(args):
        write(text.rstrip("\n"))
    else:
        rows = [*(f"wrote {printable(str(path))}" for path in files), *(f"   {line}" for line in said), f"next: {printable(following)}"]
        write("\n".join(rows))
