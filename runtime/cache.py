"""The cache of plans: a folder of files, each named by a SHA-256 of what it was made of and holding one of what it says.

It makes a second run quicker and nothing else: whatever is odd about a file or the folder means that nothing is there, and what
cannot be written is not kept. A file that others could have written is not read. That its bytes are those that were written says its
digest; who may write as this user may write another one, so that what is read must be checked like any input.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
from pathlib import Path

from .atomic import UNFINISHED, write_private

LARGEST = 8 * 2**20  # bytes of a file
MOST = 64 * 2**20  # bytes of all
MOST_FILES = 256
ABANDONED = 3600  # seconds after which a file that was begun is taken for a killed process's
HEAD = b"mlpc plan 1 %s\n"  # the form, and the SHA-256 of what follows
NAME = re.compile(r"[0-9a-f]{64}\.plan")


def place() -> Path | None:
    """Where the cache is: MLPC_CACHE_DIR, or `mlpc` in XDG_CACHE_HOME, or in ~/.cache. None if there is no home."""
    own, shared, home = (os.environ.get(name, "") for name in ("MLPC_CACHE_DIR", "XDG_CACHE_HOME", "HOME"))
    if own:
        return Path(own)
    if os.path.isabs(shared):  # XDG: a relative one is to be ignored
        return Path(shared, "mlpc")
    return Path(home, ".cache", "mlpc") if os.path.isabs(home) else None


def kept(key: str) -> bytes | None:
    """What was kept under a key, a SHA-256 in hexadecimal; None if nothing is there, or anything is odd about it."""
    folder = place()
    if folder is None or not _ours(folder):
        return None
    try:
        number = os.open(folder / f"{key}.plan", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError), open(number, "rb") as file:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode) or not _private(status) or status.st_size > LARGEST:
            return None
        content = file.read(LARGEST)
        head, body = content[: len(_head(b""))], content[len(_head(b"")) :]
        if head != _head(body):
            return None
        os.utime(number)  # what is read often stays
        return body
    return None


def keep(key: str, body: bytes) -> None:
    """Keeps it under a key, or does nothing where that cannot be; what was read longest ago may go for it."""
    folder = place()
    if folder is None or len(body) + len(_head(b"")) > LARGEST:
        return
    with contextlib.suppress(OSError, ValueError):
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        if _ours(folder):
            write_private(folder / f"{key}.plan", _head(body), body)
            _trim(folder)


def _head(body: bytes) -> bytes:
    return HEAD % hashlib.sha256(body).hexdigest().encode()


def _ours(folder: Path) -> bool:
    """Whether it is a folder that this user owns and nobody else may write to."""
    try:
        status = os.stat(folder)
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(status.st_mode) and _private(status)


def _private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _trim(folder: Path) -> None:
    """Removes the files that were read or written longest ago until the rest is within bounds, and what killed processes have left."""
    found: list[tuple[float, int, str]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if NAME.fullmatch(entry.name):
                found.append((status.st_mtime, status.st_size, entry.path))
            elif UNFINISHED.fullmatch(entry.name) and time.time() - status.st_mtime > ABANDONED:
                os.unlink(entry.path)
    found.sort(reverse=True)
    total = 0
    for count, (_, size, path) in enumerate(found, 1):
        total += size
        if count > MOST_FILES or total > MOST:
            os.unlink(path)
