"""Writing a file so that there is always a whole one: the old, or none, until the new is on the disk."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Generator, Iterable
from pathlib import Path

UNFINISHED = re.compile(r"\..{1,80}\.[0-9a-f]{12}", re.DOTALL)


def replace_file(path: Path, *content: bytes | memoryview) -> None:
    """The pieces of `content` in the place of an existing file, whose mode and owner it keeps; a link stays, and what it leads to is replaced.

    The new file is written beside the old, flushed to the disk and renamed. OSError if that fails; the old one is then as it was.
    """
    _replace(path, content)


def write_file(path: Path, *content: bytes | memoryview) -> None:
    """The pieces of `content` in a file that may be there or not; else as `replace_file`. OSError, which names `path`, if that fails."""
    write_pieces(path, content)


def write_private(path: Path, *content: bytes | memoryview) -> None:
    """As `write_file`, of a file that nobody else may read, and that may be gone after a power cut: nothing waits for the disk. OSError."""
    with naming(path):
        _put(path, content, None, mode=0o600, wait=False)


def write_pieces(path: Path, content: Iterable[bytes | memoryview]) -> None:
    """As `write_file`, of pieces that are made as they are written; an exception on the way leaves what was there."""
    with naming(path):
        if os.path.exists(path):
            _replace(path, content)
        else:
            _put(Path(os.path.realpath(path)), content, None)


def flushed(path: Path) -> None:
    """Waits until a file, or every file in a folder and beneath, is on the disk. OSError, which names the file."""
    for inner in path.iterdir() if path.is_dir() else ():
        flushed(inner)
    with naming(path):
        _flush(path)


def sweep(folder: Path) -> None:
    """Removes the new files that a killed process has left beside those that they were to replace. Nobody else may be writing there."""
    for path in folder.iterdir():
        if UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Generator[None]:
    """An OSError in here says which file it is about, which those of a write or a flush do not, and of the new file is not its own name."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str | bytes | os.PathLike) and not UNFINISHED.fullmatch(Path(os.fsdecode(error.filename)).name):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _replace(path: Path, content: Iterable[bytes | memoryview]) -> None:
    target = Path(os.path.realpath(path))
    before = target.stat()
    if not os.access(target, os.W_OK):
        raise PermissionError(13, "the file is read-only", str(path))
    _put(target, content, before)


def _put(
    target: Path, content: Iterable[bytes | memoryview], before: os.stat_result | None, *, mode: int = 0o666, wait: bool = True
) -> None:
    """`before`: of the file whose mode and owner the new one takes; None: those of any new file, which has `mode` as the umask lets it.

    `wait`: until it is on the disk.
    """
    name = target.parent / f".{target.name[:80]}.{secrets.token_hex(6)}"
    number = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode if before is None else 0o600)
    try:
        with open(number, "wb") as file:
            file.writelines(content)
            file.flush()
            if before is not None:
                if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    with contextlib.suppress(PermissionError):  # only root may give a file away
                        os.fchown(number, before.st_uid, before.st_gid)
                os.fchmod(number, stat.S_IMODE(before.st_mode))
            if wait:
                os.fsync(number)
        os.replace(name, target)
    finally:
        with contextlib.suppress(FileNotFoundError):  # it has gone where it belongs
            os.unlink(name)
    if wait:
        _flush(target.parent)


def _flush(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
