"""Replacing a file so that there is always a whole one: the old until the new is on the disk."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """`content` in the place of an existing file, whose mode and owner it keeps; a link stays, and what it leads to is replaced.

    The new file is written beside the old, flushed to the disk and renamed. OSError if that fails; the old one is then as it was.
    """
    target = Path(os.path.realpath(path))
    before = target.stat()
    if not os.access(target, os.W_OK):
        raise PermissionError(13, "the file is read-only", str(path))
    number, name = tempfile.mkstemp(prefix=f".{target.name[:80]}.", dir=target.parent)
    try:
        with open(number, "wb") as file:
            file.write(content)
            file.flush()
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(PermissionError):  # only root may give a file away
                    os.fchown(number, before.st_uid, before.st_gid)
            os.fchmod(number, stat.S_IMODE(before.st_mode))
            os.fsync(number)
        os.replace(name, target)
    finally:
        with contextlib.suppress(FileNotFoundError):  # it has gone where it belongs
            os.unlink(name)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
