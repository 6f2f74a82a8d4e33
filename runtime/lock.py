"""One trainer in a run's folder: a lock that the system holds for the process and lets go when it ends, however it ends."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..dsl.diagnostics import fault

FILE = "lock"
WITHOUT = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}  # what a file system says that has no locks


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Holds the folder's lock in here. MlpcError E0508 if another process has it; OSError.

    The file of a killed process stays behind and holds nobody up. Without locks in the system or the file system there is none.
    """
    path = folder / FILE
    number = _take(path)
    try:
        if number is not None:
            os.truncate(number, 0)
            os.write(number, f"process {os.getpid()} on {platform.node()}\n".encode("utf-8", "backslashreplace"))
        yield
    finally:
        if number is not None:
            path.unlink(missing_ok=True)  # first: who waits for it then finds that the file has gone
            os.close(number)


def _take(path: Path) -> int | None:
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(number)):
                return number
        except BlockingIOError:
            holder = os.pread(number, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(number)
            raise fault(
                "E0508", None, f"{holder} trains in {path.parent}", "wait for its end, or end it: Ctrl-C there saves where it is"
            ) from None
        except OSError as error:
            os.close(number)
            if error.errno in WITHOUT:
                return None
            raise
        os.close(number)  # the process before was just removing it
