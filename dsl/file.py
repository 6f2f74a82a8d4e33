"""The bytes of a model's file, and what is wrong with one that cannot be read."""

from __future__ import annotations

import stat
from pathlib import Path

from .diagnostics import fault, nearest

SIZE = 8 * 2**20  # bytes of a file; a page of mathematics has thousands


def read_file(path: Path) -> bytes:
    """The bytes of a regular file that is no larger than `SIZE`; else MlpcError (E0502)."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise fault("E0502", None, f"{path} is a folder", "name the .mlp file in it")
        if not stat.S_ISREG(status.st_mode):
            raise fault("E0502", None, f"{path} is not a regular file")
        if status.st_size > SIZE:
            raise fault("E0502", None, f"{path} has {status.st_size:,} bytes; {SIZE:,} is the most", "keep data in a file of its own")
        return path.read_bytes()
    except FileNotFoundError:
        near = _near_file(path)
        raise fault("E0502", None, f"{path} does not exist", near) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise fault("E0502", None, f"{path}: {reason}") from None


def _near_file(path: Path) -> str:
    try:
        near = nearest(path.name, (p.name for p in path.parent.iterdir() if p.is_file()))
    except OSError:
        return ""
    return f"did you mean {path.parent / near}?" if near else ""
